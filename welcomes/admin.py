"""The page of welcome sequences: steps as fields, a preview by the engine's own reading, what each has brought."""

from __future__ import annotations

from datetime import time, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final
from uuid import uuid4
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from common.clock import now
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import state, two_lines
from console.forms import BrandModelForm
from console.http import row_id
from console.registry import BulkColumn
from library.selectors import media_choices
from members.models import Tag, Topic
from stores.selectors import brand_zone
from touchpoints.selectors import channels_by_scene, channels_to_count_for, scene_in, without_scene
from wechat_gateway.models import MiniProgram
from welcomes import on_screen, plan, selectors, services
from welcomes.models import Sequence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest

QUIET_FROM, QUIET_UNTIL = time(22), time(8)  # proposed for a new sequence
UNITS: Final = {"second": 1, "minute": 60, "hour": 3600}
UNIT_CHOICES = [
    ("second", gettext_lazy("seconds")),
    ("minute", gettext_lazy("minutes")),
    ("hour", gettext_lazy("hours")),
]
KIND_CHOICES = [
    (plan.TEXT, gettext_lazy("Text")),
    (plan.IMAGE, gettext_lazy("Picture")),
    (plan.MINI, gettext_lazy("Mini-program card")),
]
PARTS: Final = (
    "kind", "text", "item", "title", "appid", "page", "channel", "after", "unit", "unless_joined", "unless_acted",
    "tag", "waits", "key",
)  # fmt: skip


def _step_fields() -> dict[str, forms.Field]:
    """Give the fields of every step: s1_text, s1_after and so on."""
    made: dict[str, forms.Field] = {}
    for number in range(1, plan.MOST_STEPS + 1):
        made |= {
            f"s{number}_kind": forms.ChoiceField(
                label=gettext_lazy("What is sent"),
                required=False,
                choices=KIND_CHOICES,
                widget=UnfoldAdminSelectWidget,
            ),
            f"s{number}_item": forms.TypedChoiceField(
                label=gettext_lazy("Picture of the library"),
                required=False,
                coerce=int,
                empty_value=None,
                widget=UnfoldAdminSelectWidget,
                help_text=gettext_lazy("Sent as it is, or shown as the cover of the card."),
            ),
            f"s{number}_title": forms.CharField(
                label=gettext_lazy("Title of the card"),
                required=False,
                max_length=32,
                widget=UnfoldAdminTextInputWidget,
            ),
            f"s{number}_appid": forms.ChoiceField(
                label=gettext_lazy("Mini program"), required=False, widget=UnfoldAdminSelectWidget
            ),
            f"s{number}_page": forms.CharField(
                label=gettext_lazy("Page"),
                required=False,
                max_length=1024,
                widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "pages/home/index"}),
            ),
            f"s{number}_channel": forms.ChoiceField(
                label=gettext_lazy("Counts for the channel"),
                required=False,
                widget=UnfoldAdminSelectWidget,
                help_text=gettext_lazy(
                    "The page then carries a scene: whoever opens the mini program by this card counts for the channel."
                ),
            ),
            f"s{number}_text": forms.CharField(
                label=gettext_lazy("What is said"),
                required=False,
                widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
                help_text=gettext_lazy("An empty text is no step."),
            ),
            f"s{number}_after": forms.IntegerField(
                label=gettext_lazy("After the follow"),
                required=False,
                min_value=0,
                max_value=172_799,
                widget=UnfoldAdminIntegerFieldWidget,
            ),
            f"s{number}_unit": forms.ChoiceField(
                label=gettext_lazy("Unit"), required=False, choices=UNIT_CHOICES, widget=UnfoldAdminSelectWidget
            ),
            f"s{number}_unless_joined": forms.BooleanField(
                label=gettext_lazy("Only who is not yet a member"), required=False, widget=UnfoldBooleanSwitchWidget
            ),
            f"s{number}_unless_acted": forms.BooleanField(
                label=gettext_lazy("Only who has not answered yet"), required=False, widget=UnfoldBooleanSwitchWidget
            ),
            f"s{number}_tag": forms.TypedChoiceField(
                label=gettext_lazy("Only who has the tag"),
                required=False,
                coerce=int,
                empty_value=None,
                widget=UnfoldAdminSelectWidget,
            ),
            f"s{number}_waits": forms.BooleanField(
                label=gettext_lazy("Wait until they write or tap"),
                required=False,
                widget=UnfoldBooleanSwitchWidget,
                help_text=gettext_lazy(
                    "Later than a minute after the follow, WeChat allows a message only after their own message or "
                    "menu tap. Without waiting, the step is left out for everybody else."
                ),
            ),
            f"s{number}_key": forms.CharField(required=False, max_length=20, widget=forms.HiddenInput),
        }
    return made


_Fields: Any = type("_Fields", (BrandModelForm,), _step_fields())


class SequenceForm(_Fields):  # type: ignore[misc] # the fields of steps are made by the dozen
    """A sequence as numbered steps."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Show what is stored in the form's own fields."""
        super().__init__(*args, **kwargs)
        tags = [("", gettext("(everybody)")), *Tag.objects.order_by("name", "pk").values_list("pk", "name")]
        steps = plan.read_steps(self.instance.steps)
        self.chosen_channels: dict[str, int] = {}
        topic: Any = self.fields.get("topic")  # whoever may only read has none of the model's fields to fill in
        if topic is not None:
            offered = Topic.objects.filter(Q(is_active=True) | Q(pk=self.instance.topic_id))
            topic.queryset, topic.empty_label = offered.order_by("name", "pk"), gettext("(no topic)")
            topic.help_text = gettext_lazy(
                "Whoever has turned this topic off gets nothing of the sequence; the report counts them by this reason."
            )
        if self.instance.pk is None:
            self.initial.setdefault("quiet_from", QUIET_FROM)
            self.initial.setdefault("quiet_until", QUIET_UNTIL)
        pictures = [("", "--"), *media_choices()]
        programs = [
            ("", "--"),
            *MiniProgram.objects.filter(is_active=True).order_by("name", "pk").values_list("appid", "name"),
        ]
        known = channels_by_scene(step.page for step in steps)
        channels = [("", gettext("(none)")), *((str(pk), name) for pk, name in channels_to_count_for())]
        for number in range(1, plan.MOST_STEPS + 1):
            field: Any = self.fields[f"s{number}_tag"]
            field.choices = tags
            step = steps[number - 1] if number <= len(steps) else None
            item: Any = self.fields[f"s{number}_item"]
            item.choices = _with(pictures, step.item if step else None)
            program: Any = self.fields[f"s{number}_appid"]
            program.choices = _with(programs, step.appid if step and step.appid else None)
            self.initial |= {f"s{number}_{name}": value for name, value in _initial(step).items()}
            counted = known.get(scene_in(step.page)) if step else None
            if step and counted:
                self.initial[f"s{number}_page"] = without_scene(step.page)
                self.initial[f"s{number}_channel"] = str(counted[0])
            channel: Any = self.fields[f"s{number}_channel"]
            channel.choices = _with(channels, str(counted[0]) if counted else None)

    def clean(self) -> dict[str, Any]:
        """Read the steps; a sequence that is on must be one that can run."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        numbers = [
            number
            for number in range(1, plan.MOST_STEPS + 1)
            if _is_step(cleaned, number) and f"s{number}_after" in cleaned
        ]
        steps = [_step(cleaned, number) for number in numbers]
        self.instance.steps = [plan.written(step) for step in steps]
        self._clean_channels(cleaned, numbers, steps)
        if (cleaned.get("quiet_from") is None) != (cleaned.get("quiet_until") is None):
            self.add_error("quiet_until", gettext("Quiet hours need both a beginning and an end, or neither."))
        if cleaned.get("is_enabled") and not self.errors:
            for fault in plan.faults(steps, at=now()):
                self.add_error(f"s{numbers[fault.number - 1] if fault.number else 1}_{fault.field}", fault.message)
            self._look_for_another(cleaned)
        return cleaned

    def _clean_channels(self, cleaned: dict[str, Any], numbers: list[int], steps: list[plan.Step]) -> None:
        """Read for which channels cards count, by step; only connected mini programs can tell who opens them."""
        self.chosen_channels = {}
        for number, step in zip(numbers, steps, strict=True):
            channel = row_id(str(cleaned.get(f"s{number}_channel") or ""))
            if channel is None or step.kind != plan.MINI:
                continue
            self.chosen_channels[step.key] = channel
            if not MiniProgram.objects.filter(appid=step.appid, is_active=True).exists():
                said = gettext("This mini program is not connected, so nobody can tell who opens it. Connect it first.")
                self.add_error(f"s{number}_channel", said)

    def _look_for_another(self, cleaned: dict[str, Any]) -> None:
        others = Sequence.objects.filter(account=cleaned.get("account"), is_enabled=True)
        other = others.exclude(pk=self.instance.pk or 0).first()
        if other is not None:
            said = gettext("“%(name)s” is on for this account. Turn it off first: one sequence per account can be on.")
            self.add_error("is_enabled", said % {"name": other.name})


def _with(choices: list[tuple[Any, str]], chosen: Any) -> list[tuple[Any, str]]:
    """What is chosen already stays a choice, also when it is no longer offered."""
    if chosen is None or chosen in {value for value, _label in choices}:
        return choices
    return [*choices, (chosen, gettext("no longer offered"))]


def _is_step(cleaned: dict[str, Any], number: int) -> bool:
    if (cleaned.get(f"s{number}_kind") or plan.TEXT) != plan.TEXT:
        return True
    return bool(str(cleaned.get(f"s{number}_text") or "").strip())


def _initial(step: plan.Step | None) -> dict[str, Any]:
    if step is None:
        return {"kind": plan.TEXT, "unit": "minute", "unless_joined": True, "waits": True, "key": uuid4().hex[:8]}
    seconds = int(step.after.total_seconds())
    unit = next((name for name in ("hour", "minute") if seconds and seconds % UNITS[name] == 0), "second")
    return {
        "kind": step.kind,
        "item": step.item,
        "title": step.title,
        "appid": step.appid,
        "page": step.page,
        "text": step.text,
        "after": seconds // UNITS[unit],
        "unit": unit,
        "unless_joined": step.unless_joined,
        "unless_acted": step.unless_acted,
        "tag": step.tag_id,
        "waits": step.waits,
        "key": step.key,
    }


def _step(cleaned: dict[str, Any], number: int) -> plan.Step:
    def get(name: str) -> Any:
        return cleaned.get(f"s{number}_{name}")

    return plan.Step(
        key=get("key") or uuid4().hex[:8],
        after=timedelta(seconds=(get("after") or 0) * UNITS[get("unit") or "second"]),
        text=(get("text") or "").strip(),
        kind=get("kind") or plan.TEXT,
        item=get("item"),
        title=(get("title") or "").strip(),
        appid=get("appid") or "",
        page=(get("page") or "").strip(),
        unless_joined=bool(get("unless_joined")),
        unless_acted=bool(get("unless_acted")),
        tag_id=get("tag"),
        waits=bool(get("waits")),
    )


def _arms(ids: Iterable[int]) -> dict[int, Any]:
    return dict(selectors.arms_of(ids, at=now()))


def _people_cell(value: Any, row: Sequence) -> Any:
    treated, control = value or (selectors.Arm(), selectors.Arm())
    return two_lines(
        f"{treated.people + control.people:,}", gettext("%(count)s in the control group") % {"count": control.people}
    )


def _activation_cell(value: Any, row: Sequence) -> Any:
    treated, control = value or (selectors.Arm(), selectors.Arm())
    if treated.share.rate is None:
        return formats.NOTHING
    against = formats.rate(control.share.rate) if control.share.rate is not None else formats.NOTHING
    return two_lines(formats.rate(treated.share.rate), gettext("control group %(rate)s") % {"rate": against})


@admin.register(Sequence, site=site)
class SequenceAdmin(ConsoleModelAdmin):
    """What accounts say to new followers in their first 48 hours."""

    area = "replies"
    place = "inbox"
    tab = gettext_lazy("First 48 hours")
    tab_order = 19
    add_label = gettext_lazy("New sequence")
    audit_writes = False  # save_sequence writes the entry
    empty_text = gettext_lazy(
        "A sequence speaks to new followers in their first 48 hours, with messages that their own acts allow, "
        "and shows against a control group whether it helps."
    )
    form = SequenceForm
    list_display = (
        "titled",
        "count_of_steps",
        BulkColumn("people", gettext_lazy("new followers"), _arms, number=True, show=_people_cell),
        BulkColumn("activation", gettext_lazy("activated in 48 hours"), _arms, number=True, show=_activation_cell),
        "enabled",
    )
    list_select_related = ("account", "topic")
    ordering = ("brand", "account", "name", "pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("titled", "activation", "enabled")
    change_form_template = "welcomes/sequence_form.html"
    conditional_fields: ClassVar[dict[str, str]] = {
        f"s{number}_{name}": f"{kinds}.includes(s{number}_kind)"
        for number in range(1, plan.MOST_STEPS + 1)
        for name, kinds in {
            "text": "['TEXT']",
            "item": "['IMAGE','MINI']",
            "title": "['MINI']",
            "appid": "['MINI']",
            "page": "['MINI']",
            "channel": "['MINI']",
        }.items()
    }
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "account",
                    "name",
                    "topic",
                    "control_percent",
                    "ends_on_act",
                    ("quiet_from", "quiet_until"),
                    "is_enabled",
                )
            },
        ),
        *(
            (
                formats.numbered(gettext_lazy("Step %(number)s"), number),
                {"fields": tuple(f"s{number}_{name}" for name in PARTS)},
            )
            for number in range(1, plan.MOST_STEPS + 1)
        ),
    )

    @admin.display(description=gettext_lazy("name"))
    def titled(self, row: Sequence) -> Any:
        """Show the sequence and its account."""
        return two_lines(row.name, row.account.name)

    @admin.display(description=gettext_lazy("steps"))
    def count_of_steps(self, row: Sequence) -> str:
        """Show how many messages there are."""
        return str(len(row.steps))

    @admin.display(description=gettext_lazy("state"))
    def enabled(self, row: Sequence) -> Any:
        """Show whether new followers enter."""
        return state(gettext("enabled"), "success") if row.is_enabled else state(gettext("disabled"))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show roles that may only look the stored row, without the form's own fields."""
        may = self.has_change_permission(request, obj) if obj is not None else self.has_add_permission(request)
        if not may:
            return ((None, {"fields": ("account", "name", "topic", "control_percent", "count_of_steps", "enabled")}),)
        used = len(obj.steps) if obj is not None else 1
        every: Any = self.fieldsets
        head, *steps = every
        return (
            head,
            *(
                (title, {**options, "classes": () if number <= used + 1 else ("collapse",)})
                for number, (title, options) in enumerate(steps, 1)
            ),
        )

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Show the saved steps on a phone, and what the sequence has brought."""
        obj: Sequence | None = kwargs.get("obj")
        if obj is not None and obj.pk:
            at = now()
            found = selectors.report(obj, at=at)
            tags = dict(Tag.objects.order_by("pk").values_list("pk", "name"))
            context["quiet"] = services.quiet_of(obj, ZoneInfo(brand_zone()))
            context["preview"] = on_screen.phone(obj, tags, at=at)
            context["report"] = on_screen.figures(found)
            context["step_rows"] = on_screen.step_rows(plan.read_steps(obj.steps), found)
            context["at"], context["topic"] = at, obj.topic
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Sequence, form: Any, change: bool) -> None:
        """Save through the service."""
        services.save_sequence(sequence=obj, at=now(), channels=form.chosen_channels)
