"""Dialogues: data that operators edit, and the one engine that gateway, worker and preview run them by."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from django.utils import translation
from django.utils.translation import gettext as _

from conversations.dates import read_birthday, read_day, read_number
from conversations.patterns import normalised
from wechat_gateway.replies import MAX_TEXT_BYTES, fit

SAY, ASK = "SAY", "ASK"
TEXT, BIRTHDAY, CHOICE, MANY, NUMBER, DAY, YES_NO = "TEXT", "BIRTHDAY", "CHOICE", "MANY", "NUMBER", "DATE", "YES_NO"
ANSWERS: Final = (TEXT, BIRTHDAY, CHOICE, MANY, NUMBER, DAY, YES_NO)
OWN: Final = "field:"  # before the key of a profile field of the brand's own
END: Final = "END"
DONE, LEFT, GAVE_UP = "DONE", "LEFT", "GAVE_UP"
MOST_STEPS, MOST_CHOICES, MOST_TRIES = 12, 10, 3
# People are answered in the language of the account, whoever runs the process.
LANGUAGE: Final = "zh-hans"
LONGEST: Final = 300
LONGEST_ANSWER: Final = 60
LEAVING: Final = frozenset({"退出", "取消", "结束", "不聊了", "exit", "quit"})
SKIPPING: Final = frozenset({"跳过", "不想说", "不告诉你", "保密", "skip"})
SAID_YES: Final = frozenset({"是", "是的", "有", "有的", "对", "对的", "要", "会", "嗯", "好", "1", "yes", "y", "ok"})
SAID_NO: Final = frozenset({
    "否", "不是", "没有", "没", "无", "不", "不要", "不会", "不用", "2", "no", "n",
})  # fmt: skip
SAID_ALL: Final = frozenset({"都要", "都喜欢", "都有", "都是", "全部", "全都要", "全选", "all"})
_NUMBERS: Final = re.compile(r"\d+|[一二两三四五六七八九十]+")
_DENIED: Final = re.compile(r"[不没无非别除]|\b(?:not?|neither|except)\b")
# What stands in a talk in place of an answer that not everybody may see.
KEPT_APART: Final[Mapping[str, bool]] = {"kept": True}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers to choose from: where it leads, and the tag it puts on ('' and None for neither)."""

    label: str
    goto: str = ""
    tag_id: int | None = None
    number: int = 0  # by which it is chosen: it stays when one before it is no longer offered


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
    is_closed: bool = False
    """Its profile field takes no answers any more: it is not asked."""
    is_private: bool = False
    """Not everybody may see the answer: it is kept in the profile field only."""

    @property
    def own_key(self) -> str:
        """The key of the profile field of the brand's own that keeps the answer, '' for none."""
        return self.field.removeprefix(OWN) if self.field.startswith(OWN) else ""


@dataclass(frozen=True, slots=True)
class OwnField:
    """A profile field of the brand's own, as dialogues ask for it."""

    key: str
    label: str
    kind: str
    choices: tuple[str, ...] = ()
    is_private: bool = False
    listens: bool = True
    """It takes what dialogues hear."""


@dataclass(frozen=True, slots=True)
class State:
    """Where somebody is: the step whose question stands, what they have said, how often they were not understood."""

    step: str
    answers: Mapping[str, Any] = field(default_factory=dict)
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """An answer that is kept: for which field, as which value, and with which tags."""

    step: str
    field: str
    value: Any
    tag_ids: tuple[int, ...] = ()
    is_private: bool = False

    @property
    def in_talk(self) -> Any:
        """What the talk itself remembers of it."""
        return dict(KEPT_APART) if self.is_private else self.value


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
        """What is said, in one message that WeChat takes: what comes last, a question mostly, is cut last."""
        text = "\n\n".join(self.says)
        if len(text) * 4 <= MAX_TEXT_BYTES or len(text.encode()) <= MAX_TEXT_BYTES:
            return text
        last = fit(self.says[-1])
        before = fit("\n\n".join(self.says[:-1]), max(0, MAX_TEXT_BYTES - len(last.encode()) - 2))
        return f"{before}\n\n{last}" if before else last


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
                Choice(str(each.get("label", "")), str(each.get("goto", "")), each.get("tag_id"), number)
                for number, each in enumerate(row.get("choices", []), 1)
            ),
            goto=str(row.get("goto", "")),
        )
        for row in data
    )


def opened(steps: Sequence[Step], own: Mapping[str, OwnField]) -> tuple[Step, ...]:
    """Fit steps to the brand's fields as they are now: a question that none would keep is not asked."""
    return tuple(_fitted(step, own.get(step.own_key)) if step.own_key else step for step in steps)


def _fitted(step: Step, own: OwnField | None) -> Step:
    if own is None or not own.listens or own.kind != step.answer:
        return replace(step, is_closed=True)
    choices = tuple(choice for choice in step.choices if choice.label in own.choices)
    is_closed = step.answer == CHOICE and not choices
    return replace(step, choices=choices, is_closed=is_closed, is_private=own.is_private)


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
    if step.is_closed:
        turn = _go_on(steps, _after(steps, step), state.answers)
        said = _("That is not asked any more, so nothing of it was kept.")
        return replace(turn, says=(said, *turn.says), understood=False)
    value, chosen = _read(step, text)
    if value is None:
        return _again(step, state)
    tags = tuple(dict.fromkeys(choice.tag_id for choice in chosen if choice.tag_id))
    written = Written(step.key, step.field, value, tags, step.is_private)
    following = next((choice.goto for choice in chosen if choice.goto), "") or _after(steps, step)
    answers = {**state.answers, step.key: written.in_talk}
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
    lines += [f"{choice.number}. {choice.label}" for choice in step.choices]
    if step.answer == MANY:
        lines.append(_("(You can name several, like “1 and 3”.)"))
    if step.answer == YES_NO:
        lines += [f"1. {_('Yes')}", f"2. {_('No')}"]
    return "\n".join(lines)


def _again(step: Step, state: State) -> Turn:
    tries = state.tries + 1
    if tries >= MOST_TRIES:
        said = _("I have not understood it, so I leave it at that. Write the first word again whenever you like.")
        return Turn((said,), None, ended=GAVE_UP, understood=False)
    said = {
        BIRTHDAY: _("That is no date I know. Write it like 8月8, 0808 or 8.8."),
        CHOICE: _("Answer with a number or a word from the list."),
        MANY: _("Answer with numbers or words from the list, like “1 and 3”."),
        YES_NO: _("Answer with yes or no."),
        NUMBER: _("That is no whole number I know. Write it in figures, like 38."),
        DAY: _("That is no date I know. Write it with the year, like 2020-05-20."),
    }.get(step.answer, _("Write it in at most 60 characters."))
    return Turn((said, question(step)), replace(state, tries=tries), understood=False)


def _read(step: Step, text: str) -> tuple[Any, Sequence[Choice]]:
    """Give the value of an answer and the choices made; the value is None for what is no answer."""
    if step.answer == BIRTHDAY:
        found = read_birthday(text)
        if found is None:
            return None, ()
        return ({"lunar": True} if found.lunar else found.mmdd), ()
    if step.answer in {CHOICE, MANY}:
        chosen = _several(step.choices, text) if step.answer == MANY else _one(step.choices, text)
        return "、".join(choice.label for choice in chosen) or None, chosen
    if step.answer in _READERS:
        return _READERS[step.answer](text), ()
    plain = " ".join(text.split())
    return (plain if 0 < len(plain) <= LONGEST_ANSWER else None), ()


def _one(choices: Sequence[Choice], text: str) -> list[Choice]:
    """Give the choice that an answer names, by number or word; [] for what is no answer."""
    wanted = normalised(text)
    for choice in choices:
        if wanted in {str(choice.number), normalised(choice.label)}:
            return [choice]
    having = [choice for choice in choices if normalised(choice.label) in wanted]
    return having if len(having) == 1 else []


def _several(choices: Sequence[Choice], text: str) -> list[Choice]:
    """Give the choices that an answer names, by number or word, in the order of the list; [] for what is no answer.

    Every number in it must be one of the list's; where something is denied nothing is guessed.
    """
    rest = normalised(text)
    if rest in SAID_ALL:
        return list(choices)
    found: set[int] = set()
    for choice in sorted(choices, key=lambda each: -len(each.label)):  # “tea sets” before “tea”
        label = normalised(choice.label)
        if label and label in rest:
            found.add(choice.number)
            rest = rest.replace(label, " ")
    numbers = {choice.number for choice in choices}
    for said in _NUMBERS.findall(rest):
        number = read_number(said)
        if number in numbers:
            found.add(number)
        elif said.isdecimal() and len(set(said)) == len(said) and {int(each) for each in said} <= numbers:
            found |= {int(each) for each in said}  # “13” of a list of five
        else:
            return []
    if _DENIED.search(_NUMBERS.sub(" ", rest)):
        return []
    return [choice for choice in choices if choice.number in found]


def _yes_or_no(text: str) -> str | None:
    wanted = normalised(text).rstrip("的呀啊哦。.!~")
    if wanted in SAID_YES or normalised(text) in SAID_YES:
        return "yes"
    return "no" if wanted in SAID_NO or normalised(text) in SAID_NO else None


def _day(text: str) -> str | None:
    found = read_day(text)
    return found.isoformat() if found else None


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {NUMBER: read_number, DAY: _day, YES_NO: _yes_or_no}


def _go_on(steps: Sequence[Step], key: str, answers: Mapping[str, Any]) -> Turn:
    says: list[str] = []
    seen: set[str] = set()
    while key != END and key not in seen:
        seen.add(key)
        step = _by_key(steps, key)
        if step is None:
            break
        if step.is_closed:
            key = _after(steps, step)
            continue
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
    return found or _loops(steps) or _too_long(steps)


def _step_faults(step: Step, known: set[str]) -> list[str]:
    said = []
    if not step.text or len(step.text) > LONGEST:
        said.append(_("Write what is said, in at most 300 characters."))
    if {step.goto, *(choice.goto for choice in step.choices)} - known:
        said.append(_("It leads to a step that does not exist."))
    if step.kind != ASK:
        return said
    if (step.field or any(choice.tag_id for choice in step.choices)) and not step.why:
        said.append(_("What is kept about somebody is asked with a reason: say why."))
    said += _choice_faults(step)
    if step.field == "birthday" and step.answer != BIRTHDAY:
        said.append(_("A birthday is asked for as a date."))
    if step.answer == BIRTHDAY and step.field not in {"", "birthday"}:
        said.append(_("A date can be kept as the birthday only."))
    if step.answer in _READERS and step.field and not step.own_key:
        said.append(_("Such an answer can be kept in a profile field of your own only."))
    return said


def _choice_faults(step: Step) -> list[str]:
    said = []
    if step.answer in {CHOICE, MANY} and not 2 <= len(step.choices) <= MOST_CHOICES:
        said.append(_("Give two to ten choices, one a line."))
    if step.answer == MANY and (step.field or any(choice.goto for choice in step.choices)):
        said.append(_("Several answers are kept as tags and in the talk, and all lead to the same step."))
    labels = [normalised(choice.label) for choice in step.choices]
    if len(set(labels)) != len(labels):
        said.append(_("Two choices read the same."))
    return said


def own_faults(steps: Sequence[Step], own: Mapping[str, OwnField]) -> list[StepFault]:
    """Give what keeps answers from going into the brand's profile fields, as these are now."""
    return [
        StepFault(step.key, said)
        for step in steps
        if step.kind == ASK and step.own_key and (said := _own_fault(step, own.get(step.own_key)))
    ]


def _own_fault(step: Step, own: OwnField | None) -> str:
    if own is None:
        return _("The profile field “%(name)s” is not there any more: keep the answer elsewhere.") % {
            "name": step.own_key
        }
    if not own.listens:
        return _(
            "“%(name)s” takes nothing from dialogues: put them among those who may say something there, "
            "or keep the answer elsewhere."
        ) % {"name": own.label}
    if own.kind != step.answer:
        return _("“%(name)s” keeps answers of another type.") % {"name": own.label}
    unknown = [choice.label for choice in step.choices if choice.label not in own.choices]
    if own.kind == CHOICE and unknown:
        return _("“%(choice)s” is not in the list of “%(name)s”.") % {"choice": unknown[0], "name": own.label}
    return ""


def _too_long(steps: Sequence[Step]) -> list[StepFault]:
    """Find what is said at once and is longer than a message can be, at the question that it ends with."""
    longest: dict[str, int] = {}
    with translation.override(LANGUAGE):
        for key, turn in _turns(steps):
            used = len("\n\n".join(turn.says).encode())
            longest[key] = max(used, longest.get(key, 0))
    said = _(
        "With what is said before it, this takes %(used)s of the %(limit)s bytes of a message "
        "(a Chinese character takes three): shorten it, or ask something in between."
    )
    numbers = {key: {"used": f"{used:,}", "limit": f"{MAX_TEXT_BYTES:,}"} for key, used in longest.items()}
    return [
        StepFault(step.key, said % numbers[step.key]) for step in steps if longest.get(step.key, 0) > MAX_TEXT_BYTES
    ]


def _turns(steps: Sequence[Step]) -> Iterator[tuple[str, Turn]]:
    """Give everything that a dialogue may say at once, each with the step where it ends."""
    first = begin(steps)
    yield first.state.step if first.state else steps[-1].key, first
    for step in steps:
        if step.kind != ASK:
            continue
        state = State(step.key)
        texts = [min(SKIPPING), *(str(choice.number) for choice in step.choices)]
        if step.answer == BIRTHDAY:
            texts.append("农历八月初八")  # the answer that is thanked for at length
        for turn in (_again(step, state), *(answer(steps, state, text) for text in texts)):
            yield turn.state.step if turn.state else step.key, turn


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
