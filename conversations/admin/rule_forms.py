"""The form of a reply rule: its fields, its answers, and overlaps that are shown before it is saved."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from common.errors import AppError
from console.forms import BrandModelForm
from console.http import row_id
from conversations import answers, reasons
from conversations.audiences import options as audience_options
from conversations.engine import rule_of
from conversations.models import Match, ReplyRule, Suggestion, Trigger
from conversations.overlaps import NEVER, SOME, UNSURE, overlaps
from conversations.patterns import check_pattern
from conversations.selectors import dialogues_to_compare, file_fault, rules_to_compare
from conversations.sheets import split_words
from library.models import MediaKind
from library.selectors import media_choices
from touchpoints.selectors import channels_by_scene, channels_to_count_for, scene_in, without_scene
from wechat_gateway.models import MiniProgram
from wechat_gateway.replies import clean

if TYPE_CHECKING:
    from conversations.engine import Rule
    from conversations.overlaps import Overlap

EXTRA = answers.MOST - 1
FIRST_FIELDS = ("text", "title", "url", "picture_url", "media_id", "mini_appid", "mini_page")
_COMPARED = ("name", "trigger", "match", "position", "from_time", "until_time", "from_date", "until_date")
_CONTENT_FIELD = {"mini_appid": "appid", "mini_page": "page"}
EXTRA_LABELS = {
    "text": gettext_lazy("Text"),
    "title": gettext_lazy("Title"),
    "url": gettext_lazy("Link"),
    "picture_url": gettext_lazy("Picture (link)"),
    "media_id": gettext_lazy("File of the library"),
    "appid": gettext_lazy("Mini-program's AppID"),
    "page": gettext_lazy("Mini-program's page"),
    "channel": gettext_lazy("Counts for the channel"),
}


def _file_field() -> forms.ChoiceField:
    return forms.ChoiceField(
        label=gettext_lazy("File of the library"),
        required=False,
        choices=lambda: [("", gettext("(none)")), *_files()],
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy("New files are added under Content, library. The account keeps what a rule sends."),
    )


def _channel_field() -> forms.ChoiceField:
    return forms.ChoiceField(
        label=EXTRA_LABELS["channel"],
        required=False,
        choices=lambda: [("", gettext("(none)")), *((str(pk), name) for pk, name in channels_to_count_for())],
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy(
            "The page then carries a scene: whoever opens the mini program by this card counts for the channel."
        ),
    )


def _files() -> list[tuple[str, list[tuple[str, str]]]]:
    """Give what the library has, by kind."""
    rows = [
        (str(kind.label), [(answers.item_key(pk), name) for pk, name in media_choices(kind.value)])
        for kind in MediaKind
    ]
    return [row for row in rows if row[1]]


def _extra_fields() -> dict[str, forms.Field]:
    """Give the fields of the answers after the first: m1_kind, m1_text and so on."""
    made: dict[str, forms.Field] = {}
    for number in range(1, EXTRA + 1):
        made[f"m{number}_kind"] = forms.ChoiceField(
            label=gettext_lazy("Kind"),
            required=False,
            choices=lambda: [("", gettext("(none)")), *answers.kind_choices()],
            widget=UnfoldAdminSelectWidget,
        )
        for name, label in EXTRA_LABELS.items():
            if name == "media_id":
                made[f"m{number}_media_id"] = _file_field()
                continue
            if name == "channel":
                made[f"m{number}_channel"] = _channel_field()
                continue
            wide = name == "text"
            made[f"m{number}_{name}"] = forms.CharField(
                label=label,
                required=False,
                max_length=2000,
                widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}) if wide else UnfoldAdminTextInputWidget,
            )
    return made


class _RuleFields(BrandModelForm):
    """What a rule's form asks besides the columns."""

    words = forms.CharField(
        label=gettext_lazy("Keywords"),
        required=False,
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=gettext_lazy(
            "Separate several by commas or new lines; expressions each stand on a line. For a menu button: its key."
        ),
    )
    who = forms.ChoiceField(
        label=gettext_lazy("Only for"),
        required=False,
        choices=lambda: [("", gettext("Everybody")), *audience_options()],
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy(
            "When somebody follows, channels are tried first, then tags, tiers, segments, and everybody last."
        ),
    )
    days = forms.MultipleChoiceField(
        label=gettext_lazy("Weekdays"),
        required=False,
        choices=[(str(number), day) for number, day in enumerate(reasons.WEEKDAYS)],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=gettext_lazy("None chosen means every day."),
    )
    media_id = _file_field()
    mini_channel = _channel_field()
    overlap_seen = forms.CharField(required=False, widget=forms.HiddenInput, label="")
    suggestion = forms.CharField(required=False, widget=forms.HiddenInput, label="")


RuleFields: Any = type("RuleFields", (_RuleFields,), _extra_fields())


class RuleForm(RuleFields):  # type: ignore[misc] # the fields of further answers are made by the dozen
    """A rule; an overlap with another one is shown once before it is saved."""

    overlaps: list[Overlap]
    left_out: int  # rules of the account that it was not compared with
    data: Any
    is_typed = False  # asked while somebody types: nothing is saved, so nothing has to be confirmed

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Show what is stored in the form's own fields."""
        super().__init__(*args, **kwargs)
        self.overlaps, self.left_out = [], 0
        self.chosen_suggestion: Suggestion | None = None
        self.chosen_channels: dict[int, int] = {}
        row = self.instance
        separator = "\n" if row.match == Match.REGEX else gettext(", ")
        self.initial.setdefault("words", separator.join(str(word) for word in row.keywords))
        self.initial["who"] = f"{row.audience_kind}:{row.audience_id}" if row.audience_kind else ""
        self.initial["days"] = [str(day) for day in row.weekdays]
        for number, each in enumerate(row.more[:EXTRA], 1):
            for name in ("kind", *answers.FIELDS):
                self.initial[f"m{number}_{name}"] = each.get(name, "")
        self._keep_known_files()
        self._show_channels()

    def _keep_known_files(self) -> None:
        """Offer what is stored, too: an id of WeChat's own, or a file that was put away since."""
        for name in ("media_id", *(f"m{number}_media_id" for number in range(1, EXTRA + 1))):
            known, field = str(self.initial.get(name) or ""), self.fields.get(name)
            if not known or not isinstance(field, forms.ChoiceField):
                continue
            offered: list[Any] = [*cast("Any", field.choices)]
            if known not in {key for _label, rows in offered[1:] for key, _name in rows}:
                shown = gettext("Picture …%(tail)s") % {"tail": known[-6:]}
                field.choices = [*offered, (gettext("As stored"), [(known, shown)])]

    def _show_channels(self) -> None:
        """Show which channels the cards count for, and their pages without the scenes that say so."""
        pages = {"mini": self.instance.mini_page} | {
            f"m{number}": str(each.get("page", "")) for number, each in enumerate(self.instance.more[:EXTRA], 1)
        }
        known = channels_by_scene(pages.values())
        for prefix, page in pages.items():
            found = known.get(scene_in(page))
            field = self.fields.get(f"{prefix}_channel")
            if found is None or not isinstance(field, forms.ChoiceField):
                continue
            self.initial[f"{prefix}_page"], self.initial[f"{prefix}_channel"] = without_scene(page), str(found[0])
            offered: list[Any] = [*cast("Any", field.choices)]
            if str(found[0]) not in {key for key, _name in offered}:
                field.choices = [*offered, (str(found[0]), found[1])]

    def clean(self) -> dict[str, Any]:
        """Ask for what the trigger and the kinds of answer need; show overlaps."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        self._clean_words(cleaned)
        self._clean_answers(cleaned)
        self._clean_schedule(cleaned)
        kind, _separator, pk = cleaned.get("who", "").partition(":")
        self.instance.audience_kind, self.instance.audience_id = kind, row_id(pk) if kind else None
        self.chosen_suggestion = suggestion_named(cleaned.get("suggestion"))
        if not self.errors and not self.is_typed:
            self._look_for_overlaps(cleaned)
        return cleaned

    def _clean_words(self, cleaned: dict[str, Any]) -> None:
        expression = cleaned.get("match") == Match.REGEX and cleaned.get("trigger") == Trigger.KEYWORD
        words = split_words(cleaned.get("words", ""), expression=expression)
        self.instance.keywords = words if cleaned.get("trigger") in {Trigger.KEYWORD, Trigger.CLICK} else []
        if cleaned.get("trigger") in {Trigger.KEYWORD, Trigger.CLICK} and not words:
            self.add_error("words", gettext("Write at least one keyword (for a menu button: its key)."))
        if expression:
            for word in words:
                try:
                    check_pattern(word)
                except AppError as error:
                    self.add_error("words", " ".join(part for part in (error.message, error.hint) if part))

    def _clean_answers(self, cleaned: dict[str, Any]) -> None:
        first = answers.Content(
            cleaned.get("reply_kind", ""),
            **{_CONTENT_FIELD.get(name, name): clean(cleaned.get(name) or "").strip() for name in FIRST_FIELDS},
        )
        account = cleaned.get("account")
        for name, problem in (answers.faults_of(first) or file_fault(first, account)).items():
            self.add_error({"appid": "mini_appid", "page": "mini_page", "kind": "reply_kind"}.get(name, name), problem)
        more = []
        for number in range(1, EXTRA + 1):
            if cleaned.get(f"m{number}_kind"):
                content = answers.read_content(
                    {name: cleaned.get(f"m{number}_{name}", "") for name in ("kind", *answers.FIELDS)}
                )
                for name, problem in (answers.faults_of(content) or file_fault(content, account)).items():
                    self.add_error(f"m{number}_{name}", problem)
                more.append(answers.kept(content))
        self.instance.more = more
        self._clean_channels(cleaned)

    def _clean_channels(self, cleaned: dict[str, Any]) -> None:
        """Read for which channels cards count, by the place of the answer; only connected mini programs can tell."""
        self.chosen_channels = {}
        used = [number for number in range(1, EXTRA + 1) if cleaned.get(f"m{number}_kind")]
        places = [
            ("mini", "reply_kind", 0),
            *((f"m{number}", f"m{number}_kind", place) for place, number in enumerate(used, 1)),
        ]
        for prefix, kind, place in places:
            channel = row_id(str(cleaned.get(f"{prefix}_channel") or ""))
            if channel is None or cleaned.get(kind) != answers.MINI:
                continue
            appid = str(cleaned.get(f"{prefix}_appid") or "").strip()
            self.chosen_channels[place] = channel
            if not MiniProgram.objects.filter(appid=appid, is_active=True).exists():
                said = gettext("This mini program is not connected, so nobody can tell who opens it. Connect it first.")
                self.add_error(f"{prefix}_channel", said)

    def _clean_schedule(self, cleaned: dict[str, Any]) -> None:
        self.instance.weekdays = sorted(int(day) for day in cleaned.get("days", []))
        if (cleaned.get("from_time") is None) != (cleaned.get("until_time") is None):
            self.add_error("until_time", gettext("Give both hours or none."))
        first, last = cleaned.get("from_date"), cleaned.get("until_date")
        if first and last and last < first:
            self.add_error("until_date", gettext("The last day is before the first."))

    def look_while_typing(self) -> list[Overlap] | None:
        """Give the overlaps of what is typed so far; None while nothing can be said, as without keywords."""
        self.is_typed = True
        self.full_clean()
        typed = {"words", "match", "trigger", "account"}
        if typed & set(self.errors) or not self._is_compared(self.cleaned_data) or not self.instance.keywords:
            return None
        account = self.cleaned_data["account"]
        others = rules_to_compare(account.pk, except_for=self.instance.pk)
        self.left_out = others.left_out
        return self._overlaps_with(self.cleaned_data, [*dialogues_to_compare(account.pk), *others.rules])

    @staticmethod
    def _is_compared(cleaned: dict[str, Any]) -> bool:
        wanted = cleaned.get("trigger") == Trigger.KEYWORD and cleaned.get("is_enabled")
        return bool(wanted and cleaned.get("account"))

    def _overlaps_with(self, cleaned: dict[str, Any], others: list[Rule]) -> list[Overlap]:
        row = self.instance
        probe = ReplyRule(
            pk=row.pk,
            account_id=cleaned["account"].pk,
            keywords=row.keywords,
            weekdays=row.weekdays,
            audience_kind=row.audience_kind,
            audience_id=row.audience_id,
            **{name: cleaned[name] for name in _COMPARED if cleaned.get(name) is not None},
        )
        compiled = rule_of(probe)
        return overlaps(compiled, others) if compiled is not None else []

    def _look_for_overlaps(self, cleaned: dict[str, Any]) -> None:
        row = self.instance
        if not self._is_compared(cleaned):
            return
        before = row_id(self.data.get("put_before", ""))
        others = rules_to_compare(cleaned["account"].pk, except_for=row.pk)
        self.left_out = others.left_out
        ahead = next((other for other in others.rules if other.pk == before), None)
        if ahead is not None:
            row.position = cleaned["position"] = max(ahead.position - 1, 0)
            self.data = self.data.copy()
            self.data["position"] = str(row.position)
        self.overlaps = self._overlaps_with(cleaned, [*dialogues_to_compare(cleaned["account"].pk), *others.rules])
        shown = [each for each in self.overlaps if each.share in {NEVER, SOME, UNSURE}]
        digest = _digest(shown)
        if shown and digest != cleaned.get("overlap_seen"):
            self.data = self.data.copy()
            self.data["overlap_seen"] = digest
            if all(each.share == UNSURE for each in shown):
                said = gettext(
                    "Not saved yet: whether something else answers the same messages could not be compared. "
                    "Look at the overlaps."
                )
            else:
                said = gettext("Not saved yet: something else answers some of the same messages. Look at the overlaps.")
            self.add_error(None, said)


def _digest(found: list[Overlap]) -> str:
    said = repr([(each.other.pk, each.winner.pk, each.share, each.example) for each in found])
    return blake2b(said.encode(), digest_size=12).hexdigest()


def suggestion_named(value: object) -> Suggestion | None:
    """Give the suggestion of a number that came with a request; None for anything else."""
    pk = row_id(str(value or ""))
    return Suggestion.objects.filter(pk=pk).first() if pk is not None else None
