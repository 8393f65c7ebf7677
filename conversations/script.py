"""Dialogues: data that operators edit, and the one engine that gateway, worker and preview run them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from django.utils.translation import gettext as _

from conversations.dates import read_birthday
from conversations.patterns import normalised

SAY, ASK = "SAY", "ASK"
TEXT, BIRTHDAY, CHOICE = "TEXT", "BIRTHDAY", "CHOICE"
ANSWERS: Final = (TEXT, BIRTHDAY, CHOICE)
END: Final = "END"
DONE, LEFT, GAVE_UP = "DONE", "LEFT", "GAVE_UP"
MOST_STEPS, MOST_CHOICES, MOST_TRIES = 12, 10, 3
LONGEST: Final = 300
LONGEST_ANSWER: Final = 60
LEAVING: Final = frozenset({"退出", "取消", "结束", "不聊了", "exit", "quit"})
SKIPPING: Final = frozenset({"跳过", "不想说", "不告诉你", "保密", "skip"})


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers to choose from: where it leads, and the tag it puts on ('' and None for neither)."""

    label: str
    goto: str = ""
    tag_id: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Say something, or ask something. `goto` is the key of the step after it; '' means the next one, END the end."""

    key: str
    kind: str
    text: str
    answer: str = TEXT
    field: str = ""
    why: str = ""
    choices: tuple[Choice, ...] = ()
    goto: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """Where somebody is: the step whose question stands, what they have said, how often they were not understood."""

    step: str
    answers: Mapping[str, Any] = field(default_factory=dict)
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """An answer that is kept: for which field, as which value, and with which tag."""

    step: str
    field: str
    value: Any
    tag_id: int | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What comes of a message. `state` is None once the dialogue has ended; `understood` is False for a second try."""

    says: tuple[str, ...]
    state: State | None
    written: Written | None = None
    ended: str = ""
    understood: bool = True

    @property
    def text(self) -> str:
        """What is said, in one message."""
        return "\n\n".join(self.says)


def read_steps(data: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Give the steps kept as JSON."""
    return tuple(
        Step(
            key=str(row.get("key", "")),
            kind=str(row.get("kind", SAY)),
            text=str(row.get("text", "")),
            answer=str(row.get("answer", TEXT)),
            field=str(row.get("field", "")),
            why=str(row.get("why", "")),
            choices=tuple(
                Choice(str(each.get("label", "")), str(each.get("goto", "")), each.get("tag_id"))
                for each in row.get("choices", [])
            ),
            goto=str(row.get("goto", "")),
        )
        for row in data
    )


def begin(steps: Sequence[Step]) -> Turn:
    """Start a dialogue: everything up to its first question."""
    return _go_on(steps, steps[0].key if steps else END, {})


def answer(steps: Sequence[Step], state: State, text: str) -> Turn:
    """Take a message as the answer to the question that stands."""
    wanted = normalised(text)
    step = _by_key(steps, state.step)
    if step is None:  # cannot be: a version never changes
        return Turn((), None, ended=GAVE_UP)
    if wanted in LEAVING:
        return Turn((_("All right. Nothing more is asked; what you have told stays."),), None, ended=LEFT)
    if wanted in SKIPPING:
        return _go_on(steps, _after(steps, step), state.answers)
    value, chosen = _read(step, text)
    if value is None:
        return _again(step, state)
    written = Written(step.key, step.field, value, chosen.tag_id if chosen else None)
    following = chosen.goto if chosen and chosen.goto else _after(steps, step)
    answers = {**state.answers, step.key: value}
    turn = _go_on(steps, following, answers)
    if isinstance(value, dict) and value.get("lunar"):
        thanks = _("A date of the lunar calendar: I have noted that, but not which day it is this year.")
        turn = replace(turn, says=(thanks, *turn.says))
    return replace(turn, written=written)


def question(step: Step) -> str:
    """Put a question with the reason for it and what can be chosen."""
    lines = [step.text]
    if step.why:
        lines.append(_("(Why we ask: %(why)s You can say “skip” or “exit”.)") % {"why": step.why})
    lines += [f"{number}. {choice.label}" for number, choice in enumerate(step.choices, 1)]
    return "\n".join(lines)


def _again(step: Step, state: State) -> Turn:
    tries = state.tries + 1
    if tries >= MOST_TRIES:
        said = _("I have not understood it, so I leave it at that. Write the first word again whenever you like.")
        return Turn((said,), None, ended=GAVE_UP, understood=False)
    said = {
        BIRTHDAY: _("That is no date I know. Write it like 8月8, 0808 or 8.8."),
        CHOICE: _("Answer with a number or a word from the list."),
    }.get(step.answer, _("Write it in at most 60 characters."))
    return Turn((said, question(step)), replace(state, tries=tries), understood=False)


def _read(step: Step, text: str) -> tuple[Any, Choice | None]:
    """Give the value of an answer and the choice made, (None, None) for what is no answer."""
    if step.answer == BIRTHDAY:
        found = read_birthday(text)
        if found is None:
            return None, None
        return ({"lunar": True} if found.lunar else found.mmdd), None
    if step.answer == CHOICE:
        wanted = normalised(text)
        for number, choice in enumerate(step.choices, 1):
            if wanted in {str(number), normalised(choice.label)}:
                return choice.label, choice
        having = [choice for choice in step.choices if normalised(choice.label) in wanted]
        return (having[0].label, having[0]) if len(having) == 1 else (None, None)
    plain = " ".join(text.split())
    return (plain if 0 < len(plain) <= LONGEST_ANSWER else None), None


def _go_on(steps: Sequence[Step], key: str, answers: Mapping[str, Any]) -> Turn:
    says: list[str] = []
    seen: set[str] = set()
    while key != END and key not in seen:
        seen.add(key)
        step = _by_key(steps, key)
        if step is None:
            break
        if step.kind == ASK:
            return Turn((*says, question(step)), State(step.key, answers))
        says.append(step.text)
        key = _after(steps, step)
    return Turn(tuple(says), None, ended=DONE)


def _after(steps: Sequence[Step], step: Step) -> str:
    if step.goto:
        return step.goto
    keys = [each.key for each in steps]
    place = keys.index(step.key) + 1
    return keys[place] if place < len(keys) else END


def _by_key(steps: Sequence[Step], key: str) -> Step | None:
    return next((step for step in steps if step.key == key), None)


@dataclass(frozen=True, slots=True)
class StepFault:
    """One thing that keeps a dialogue from being published; `key` is its step, '' for the whole."""

    key: str
    message: str


def faults(steps: Sequence[Step]) -> list[StepFault]:
    """Give everything that keeps a dialogue from being published."""
    if not any(step.kind == ASK for step in steps):
        return [StepFault("", _("A dialogue asks at least one question."))]
    found: list[StepFault] = []
    if len(steps) > MOST_STEPS:
        found.append(StepFault("", _("A dialogue has twelve steps at most.")))
    known = {step.key for step in steps} | {END, ""}
    for step in steps:
        found += [StepFault(step.key, said) for said in _step_faults(step, known)]
    return found or _loops(steps)


def _step_faults(step: Step, known: set[str]) -> list[str]:
    said = []
    if not step.text or len(step.text) > LONGEST:
        said.append(_("Write what is said, in at most 300 characters."))
    if {step.goto, *(choice.goto for choice in step.choices)} - known:
        said.append(_("It leads to a step that does not exist."))
    if step.kind != ASK:
        return said
    if step.field and not step.why:
        said.append(_("What is kept about somebody is asked with a reason: say why."))
    if step.answer == CHOICE and not 2 <= len(step.choices) <= MOST_CHOICES:
        said.append(_("Give two to ten choices, one a line."))
    labels = [normalised(choice.label) for choice in step.choices]
    if len(set(labels)) != len(labels):
        said.append(_("Two choices read the same."))
    if step.field == "birthday" and step.answer != BIRTHDAY:
        said.append(_("A birthday is asked for as a date."))
    if step.answer == BIRTHDAY and step.field not in {"", "birthday"}:
        said.append(_("A date can be kept as the birthday only."))
    return said


def _loops(steps: Sequence[Step]) -> list[StepFault]:
    """Find steps that only say something and lead back to themselves."""
    for step in steps:
        seen: set[str] = set()
        here: Step | None = step
        while here is not None and here.kind == SAY:
            if here.key in seen:
                return [StepFault(step.key, _("These steps lead round in a circle without asking anything."))]
            seen.add(here.key)
            here = _by_key(steps, _after(steps, here))
    return []
