"""The page of dialogues: steps as data, a preview by the engine that answers, publishing as a new version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.utils import translation
from django.utils.translation import gettext, gettext_lazy, ngettext, pgettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from common.clock import now
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import state, two_lines
from console.forms import BrandModelForm
from console.registry import BulkColumn
from conversations import services
from conversations.models import Dialogue, RunState
from conversations.patterns import normalised
from conversations.script import (
    ASK,
    BIRTHDAY,
    CHOICE,
    DAY,
    END,
    LANGUAGE,
    MANY,
    MOST_STEPS,
    NUMBER,
    OWN,
    SAY,
    TEXT,
    YES_NO,
    OwnField,
    Step,
    answer,
    begin,
    faults,
    opened,
    own_faults,
    read_steps,
)
from conversations.selectors import closed_questions, own_fields, rules_to_compare, talks_of
from members.models import FieldKind, Tag

if TYPE_CHECKING:
    from django.http import HttpRequest

SEPARATORS = re.compile(r"[\n,，、;；]+")
CHOICE_LINE = re.compile(r"\s*(?P<label>[^#=]+?)\s*(?:=>\s*(?P<goto>\w+)\s*)?(?:#\s*(?P<tag>.+?)\s*)?")
MOST_SAID = 20
MOST_NAMED = 3
KINDS = [("", gettext_lazy("(no step)")), (SAY, gettext_lazy("Say")), (ASK, gettext_lazy("Ask"))]
ANSWERS = [
    (TEXT, gettext_lazy("a text")),
    (BIRTHDAY, gettext_lazy("a date (birthday)")),
    (CHOICE, gettext_lazy("one of several")),
    (MANY, gettext_lazy("one or more of several")),
    (NUMBER, gettext_lazy("a whole number")),
    (DAY, gettext_lazy("a date with its year")),
    (YES_NO, gettext_lazy("yes or no")),
]


def _after_choices() -> list[tuple[str, Any]]:
    steps = [(str(number), gettext("step %(number)s") % {"number": number}) for number in range(1, MOST_STEPS + 1)]
    return [("", gettext("the next step")), *steps, (END, gettext("the end"))]


def _fields_to_keep(own: dict[str, OwnField], used: set[str]) -> list[tuple[str, Any]]:
    """Offer the common facts and every field of the brand; one that a step names stays even when it is gone."""
    kept: list[tuple[str, Any]] = [("", gettext("(only in this talk)"))]
    kept += [(key, item.label) for key, item in services.answer_fields.items()]
    mine = [(OWN + field.key, _field_label(field)) for field in own.values()]
    known = {key for key, _label in (*kept, *mine)}
    mine += [(key, gettext("%(name)s (not there any more)") % {"name": key}) for key in sorted(used - known)]
    return [*kept, (gettext("Profile fields of your own"), mine)] if mine else kept


def _field_label(field: OwnField) -> str:
    said = f"{field.label} · {FieldKind(field.kind).label}"
    if field.is_private:
        said = gettext("%(name)s · not for everybody") % {"name": said}
    return said if field.listens else gettext("%(name)s (takes nothing from dialogues)") % {"name": said}


def _step_fields() -> dict[str, forms.Field]:
    """Give the fields of every step: s1_kind, s1_text and so on."""
    made: dict[str, forms.Field] = {}
    wide = {"required": False, "max_length": 600, "widget": UnfoldAdminTextareaWidget(attrs={"rows": 2})}
    for number in range(1, MOST_STEPS + 1):
        made |= {
            f"s{number}_kind": forms.ChoiceField(
                label=gettext_lazy("Kind"), required=False, choices=KINDS, widget=UnfoldAdminSelectWidget
            ),
            f"s{number}_text": forms.CharField(label=gettext_lazy("What is said"), **wide),
            f"s{number}_answer": forms.ChoiceField(
                label=pgettext_lazy("dialogue", "Answer"),
                required=False,
                choices=ANSWERS,
                widget=UnfoldAdminSelectWidget,
                help_text=gettext_lazy(
                    "“One or more of several” puts on the tags of the choices and stays in the talk: no profile field "
                    "holds several values. What is to stand in a field is asked as “one of several”."
                ),
            ),
            f"s{number}_field": forms.ChoiceField(
                label=gettext_lazy("Keep as"),
                required=False,
                widget=UnfoldAdminSelectWidget,
                help_text=gettext_lazy(
                    "A profile field of your own brings its type and its list along. What not everybody may see is "
                    "kept sealed there; the message itself stands in the conversation."
                ),
            ),
            f"s{number}_why": forms.CharField(
                label=gettext_lazy("Why we ask"),
                required=False,
                max_length=100,
                widget=UnfoldAdminTextInputWidget,
                help_text=gettext_lazy("Said with the question. Answering it is the consent that is kept."),
            ),
            f"s{number}_choices": forms.CharField(
                label=gettext_lazy("Choices"),
                help_text=gettext_lazy("One a line. “Outfits => 4 # Fashion” leads to step 4 and puts on the tag."),
                **wide,
            ),
            f"s{number}_goto": forms.ChoiceField(
                label=gettext_lazy("After it"),
                required=False,
                choices=_after_choices,
                widget=UnfoldAdminSelectWidget,
            ),
        }
    return made


class _DialogueFields(BrandModelForm):
    words = forms.CharField(
        label=gettext_lazy("Begins with"),
        required=True,
        max_length=300,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Words people write, or keys of menu buttons; separate several by commas."),
    )
    overlap_seen = forms.CharField(required=False, widget=forms.HiddenInput, label="")
    publish = forms.BooleanField(
        label=gettext_lazy("Publish as a new version"),
        required=False,
        initial=True,
        help_text=gettext_lazy("People who are talking finish with the version they began with."),
    )


DialogueFields: Any = type("DialogueFields", (_DialogueFields,), _step_fields())


class DialogueForm(DialogueFields):  # type: ignore[misc] # the fields of steps are made by the dozen
    """A dialogue as numbered steps; rules that no longer answer its words are named once before it is saved."""

    data: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Show what is stored in the form's own fields."""
        super().__init__(*args, **kwargs)
        self.initial["words"] = gettext(", ").join(str(word) for word in self.instance.keywords)
        self.own = own_fields()
        names = dict(Tag.objects.order_by("pk").values_list("pk", "name"))
        used = {step.field for step in read_steps(self.instance.draft) if step.field}
        to_keep = _fields_to_keep(self.own, used)
        for number in range(1, MOST_STEPS + 1):
            self.fields[f"s{number}_field"].choices = to_keep
        for number, step in enumerate(read_steps(self.instance.draft)[:MOST_STEPS], 1):
            for name in ("kind", "text", "answer", "field", "why", "goto"):
                self.initial[f"s{number}_{name}"] = getattr(step, name)
            self.initial[f"s{number}_choices"] = "\n".join(_line(choice, names) for choice in step.choices)

    def clean(self) -> dict[str, Any]:
        """Read the steps; publishing asks that nothing is wrong with them."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        words = [word.strip() for word in SEPARATORS.split(cleaned.get("words", "")) if word.strip()]
        self.instance.keywords = list(dict.fromkeys(words))
        tags = dict(Tag.objects.order_by("pk").values_list("name", "pk"))
        rows = [
            self._step(cleaned, number, tags) for number in range(1, MOST_STEPS + 1) if cleaned.get(f"s{number}_kind")
        ]
        self.instance.draft = rows
        self._look_for_words(cleaned)
        if cleaned.get("publish") and not self.errors:
            steps = read_steps(rows)
            for fault in faults(steps) or own_faults(steps, self.own):
                self.add_error(f"s{fault.key}_text" if fault.key else None, fault.message)
        return cleaned

    def _look_for_words(self, cleaned: dict[str, Any]) -> None:
        mine = {normalised(word) for word in self.instance.keywords}
        others = Dialogue.objects.filter(account=cleaned.get("account"), is_enabled=True)
        for other in others.exclude(pk=self.instance.pk or 0).order_by("pk"):
            shared = mine & {normalised(str(word)) for word in other.keywords}
            if shared and cleaned.get("is_enabled"):
                said = gettext("“%(word)s” begins the dialogue “%(name)s” already.")
                self.add_error("words", said % {"word": min(shared), "name": other.name})
        if cleaned.get("account") and cleaned.get("is_enabled") and not self.errors:
            self._look_for_rules(cleaned)

    def _look_for_rules(self, cleaned: dict[str, Any]) -> None:
        """Say once, before it is saved, which rules no longer answer these words: a dialogue comes before them."""
        words = [word for each in self.instance.keywords if (word := normalised(each))]
        rules = rules_to_compare(cleaned["account"].pk, most=None).rules
        taken = [(word, rule) for word in words for rule in rules if rule.captures(word)]
        seen = " ".join(f"{rule.pk}:{word}" for word, rule in taken)
        if not taken or seen == cleaned.get("overlap_seen"):
            return
        self.data = self.data.copy()
        self.data["overlap_seen"] = seen
        said = gettext("“%(word)s” is answered by the rule “%(name)s” now")
        named = [said % {"word": word, "name": rule.name} for word, rule in taken[:MOST_NAMED]]
        more = len(taken) - MOST_NAMED
        if more > 0:
            named.append(ngettext("and %(number)s more", "and %(number)s more", more) % {"number": more})
        self.add_error(
            None,
            gettext("Not saved yet: %(what)s. The dialogue comes before rules; save again if that is meant.")
            % {"what": gettext(", ").join(named)},
        )

    def _step(self, cleaned: dict[str, Any], number: int, tags: dict[str, int]) -> dict[str, Any]:
        def get(name: str) -> str:
            return str(cleaned.get(f"s{number}_{name}") or "").strip()

        row: dict[str, Any] = {"key": str(number), "kind": get("kind"), "text": get("text"), "goto": get("goto")}
        if row["kind"] == ASK:
            row |= {"answer": get("answer") or TEXT, "field": get("field"), "why": get("why")}
            own = self.own.get(row["field"].removeprefix(OWN)) if row["field"].startswith(OWN) else None
            if own is not None:
                row["answer"] = own.kind
            if row["answer"] in {CHOICE, MANY}:
                row["choices"] = self._choices(get("choices"), number, tags)
                if own is not None and not row["choices"]:
                    row["choices"] = [{"label": choice} for choice in own.choices]
        return {name: value for name, value in row.items() if value}

    def _choices(self, text: str, number: int, tags: dict[str, int]) -> list[dict[str, Any]]:
        found = []
        for line in text.replace("\r", "").split("\n"):
            match = CHOICE_LINE.fullmatch(line)
            if match is None:
                if line.strip():
                    said = gettext("“%(line)s” cannot be read as a choice.")
                    self.add_error(f"s{number}_choices", said % {"line": line.strip()[:30]})
                continue
            choice: dict[str, Any] = {"label": match["label"], "goto": match["goto"] or ""}
            if match["tag"]:
                if match["tag"] not in tags:
                    said = gettext("There is no tag “%(name)s”.")
                    self.add_error(f"s{number}_choices", said % {"name": match["tag"][:30]})
                choice["tag_id"] = tags.get(match["tag"])
            found.append({name: value for name, value in choice.items() if value})
        return found


def _line(choice: Any, names: dict[int, str]) -> str:
    goto = f" => {choice.goto}" if choice.goto else ""
    tag = f" # {names[choice.tag_id]}" if choice.tag_id in names else ""
    return f"{choice.label}{goto}{tag}"


def _state_cell(value: Any, row: Dialogue) -> Any:
    """Show whether a dialogue can be begun, and which of its questions nobody is asked."""
    if value and row.is_enabled:
        return two_lines(state(gettext("a question is left out"), "warning"), value)
    return state(gettext("enabled"), "success") if row.is_enabled else state(gettext("disabled"))


def _talks_cell(value: Any, row: Dialogue) -> Any:
    counts = value or {}
    done = counts.get(RunState.DONE, 0)
    return two_lines(
        f"{sum(counts.values()):,}",
        gettext("%(done)s finished, %(active)s going on") % {"done": done, "active": counts.get(RunState.ACTIVE, 0)},
    )


@admin.register(Dialogue, site=site)
class DialogueAdmin(ConsoleModelAdmin):
    """Dialogues of the brand's accounts."""

    area = "replies"
    place = "inbox"
    tab = gettext_lazy("Dialogues")
    tab_order = 18
    add_label = gettext_lazy("New dialogue")
    audit_writes = False  # save_dialogue writes the entry
    empty_text = gettext_lazy(
        "A dialogue asks one question after the other, says why, and keeps the answers with the consent."
    )
    form = DialogueForm
    list_display = (
        "name",
        "begins",
        "questions",
        BulkColumn("talks", gettext_lazy("talks"), talks_of, number=True, show=_talks_cell),
        BulkColumn("runs", gettext_lazy("state"), closed_questions, show=_state_cell),
    )
    list_select_related = ("account",)
    ordering = ("brand", "account", "name", "pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("name", "begins", "runs")
    change_form_template = "conversations/dialogue_form.html"
    conditional_fields: ClassVar[dict[str, str]] = {
        f"s{number}_{name}": shown.format(n=number)
        for number in range(1, MOST_STEPS + 1)
        for name, shown in {
            "text": "s{n}_kind != ''",
            "answer": "s{n}_kind == 'ASK' && !(s{n}_field || '').startsWith('field:')",
            "field": "s{n}_kind == 'ASK'",
            "why": "s{n}_kind == 'ASK'",
            "choices": "s{n}_kind == 'ASK' && (s{n}_answer == 'CHOICE' || s{n}_answer == 'MANY')",
            "goto": "s{n}_kind != ''",
        }.items()
    }
    fieldsets = (
        (None, {"fields": ("account", "name", "words", "is_enabled", "publish", "overlap_seen")}),
        *(
            (
                formats.numbered(gettext_lazy("Step %(number)s"), number),
                {
                    "fields": tuple(
                        f"s{number}_{name}" for name in ("kind", "text", "answer", "field", "why", "choices", "goto")
                    ),
                },
            )
            for number in range(1, MOST_STEPS + 1)
        ),
    )

    @admin.display(description=gettext_lazy("begins with"))
    def begins(self, row: Dialogue) -> Any:
        """Show what begins the dialogue, and on which account."""
        return two_lines(gettext(", ").join(str(word) for word in row.keywords) or "--", row.account.name)

    @admin.display(description=gettext_lazy("questions"))
    def questions(self, row: Dialogue) -> str:
        """Show how many questions are asked."""
        return str(sum(step.kind == ASK for step in read_steps(row.draft)))

    @admin.display(description=gettext_lazy("state"))
    def enabled(self, row: Dialogue) -> Any:
        """Show whether the dialogue can be begun."""
        return _state_cell(None, row)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show roles that may only look the stored row, without the form's own fields."""
        may = self.has_change_permission(request, obj) if obj is not None else self.has_add_permission(request)
        if may:
            used = len(obj.draft) if obj is not None else 2
            every: Any = self.fieldsets
            head, *steps = every
            return (
                head,
                *(
                    (title, {**options, "classes": () if number <= used + 1 else ("collapse",)})
                    for number, (title, options) in enumerate(steps, 1)
                ),
            )
        return ((None, {"fields": ("account", "name", "begins", "questions", "enabled")}),)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Show what the stored draft answers to the lines typed in the preview."""
        obj: Dialogue | None = kwargs.get("obj")
        said = [line.strip()[:200] for line in request.GET.get("say", "").splitlines() if line.strip()][:MOST_SAID]
        if obj is not None and obj.pk and obj.draft:
            own = own_fields()
            context["preview"] = {"said": "\n".join(said), "phone": _preview(obj, said, own)}
            context["left_out"] = [
                {"step": fault.key, "why": fault.message} for fault in own_faults(read_steps(obj.draft), own)
            ]
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Dialogue, form: Any, change: bool) -> None:
        """Save through the service; the gateway talks by it within a second."""
        services.save_dialogue(dialogue=obj, at=now(), publish=bool(form.cleaned_data.get("publish")))


def _preview(dialogue: Dialogue, said: list[str], own: dict[str, OwnField]) -> dict[str, Any]:
    """Run the draft by the engine that answers people: the bubbles of a talk with these messages."""
    steps: tuple[Step, ...] = opened(read_steps(dialogue.draft), own)
    names = {key: str(item.label) for key, item in services.answer_fields.items()}
    names |= {OWN + field.key: field.label for field in own.values()}
    with translation.override(LANGUAGE):
        turn = begin(steps)
        bubbles: list[dict[str, Any]] = [{"kind": "text", "text": str((dialogue.keywords or ["…"])[0]), "mine": True}]
        bubbles.append({"kind": "text", "text": turn.text})
        for line in said:
            if turn.state is None:
                break
            bubbles.append({"kind": "text", "text": line, "mine": True})
            turn = answer(steps, turn.state, line)
            if turn.written is not None and turn.written.field:
                kept = names.get(turn.written.field, turn.written.field)
                value = gettext("(kept, not shown)") if turn.written.is_private else _in_words(turn.written.value)
                bubbles.append({"kind": "note", "text": f"{kept} ← {value}"})
            if turn.text:
                bubbles.append({"kind": "text", "text": turn.text})
    if turn.state is None:
        bubbles.append({"kind": "note", "text": gettext("The talk has ended.")})
    return {"account": dialogue.account.name, "bubbles": bubbles}


def _in_words(value: Any) -> str:
    return {"yes": gettext("Yes"), "no": gettext("No")}.get(str(value), str(value))
