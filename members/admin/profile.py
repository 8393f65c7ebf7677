"""Profile fields of a brand's own, and the page on which staff correct what is known about a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, ngettext
from unfold.widgets import UnfoldAdminTextInputWidget

from common.clock import now
from common.errors import AppError
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import two_lines
from console.forms import BrandModelForm
from console.http import row_id, viewer_of
from console.person import marked, once
from console.registry import Page, Panel, pages, panels, person_marks
from console.reveal import reveal
from members import profiles, services
from members.models import FieldKind, Gender, Member, ProfileField, ProfileValue
from members.opened import OWN
from members.selectors import Fact, profile_of, records_within

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase


class Words(forms.CharField):
    """A list on one line, separated by commas."""

    def to_python(self, value: Any) -> Any:
        """Read the line."""
        line = (value or "").replace("，", ",").replace("、", ",")
        return [word.strip() for word in line.split(",") if word.strip()]

    def prepare_value(self, value: Any) -> Any:
        """Show a list as one line."""
        return gettext(", ").join(value) if isinstance(value, list) else value


class ProfileFieldForm(BrandModelForm):
    """A field; its key, type and who sees it stay once it is made."""

    choices = Words(
        label=gettext_lazy("choices"),
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Only for “One of a list”: separated by commas."),
    )
    sources: Any = forms.MultipleChoiceField(
        label=gettext_lazy("who may say something, most trusted first"),
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("When they differ, the upper one counts; all of them stay visible."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the sources, the trusted ones of this field first."""
        super().__init__(*args, **kwargs)
        known = [key for key, _label in profiles.sources.items()]
        first = list(self.instance.sources or profiles.PRECEDENCE)
        order = [*first, *(key for key in known if key not in first)]
        self.fields["sources"].choices = [(key, profiles.sources.find(key) or key) for key in order]  # type: ignore[attr-defined]
        if not self.instance.pk:
            self.initial["sources"] = [profiles.MEMBER, profiles.DIALOGUE, profiles.OPERATOR]

    def clean(self) -> dict[str, Any]:
        """Check the whole as the service does, so that the error stands at its field."""
        cleaned = super().clean() or self.cleaned_data
        kept = ("key", "label", "kind", "sensitivity")  # some of them are only read once the field is made
        row = ProfileField(**{name: cleaned.get(name) or getattr(self.instance, name) for name in kept})
        row.choices, row.sources = cleaned.get("choices") or [], cleaned.get("sources") or []
        row.fresh_days, row.by_member = cleaned.get("fresh_days"), bool(cleaned.get("by_member"))
        if not self.errors:
            try:
                profiles.check_field(row)
            except AppError as error:
                self.add_error(error.field if error.field in self.fields else None, error.message)
        return cleaned


@admin.register(ProfileField, site=site)
class ProfileFieldAdmin(ConsoleModelAdmin):
    """What a brand keeps about people beyond name, birthday, gender and city."""

    area = "profile"
    place = "members"
    tab = gettext_lazy("Profile fields")
    tab_order = 35
    add_label = gettext_lazy("New profile field")
    audit_writes = False
    empty_text = gettext_lazy(
        "Skin type, shoe size, what somebody likes: a field says who may tell it, whom you trust most, and who sees it."
    )
    form = ProfileFieldForm
    list_display = ("field_name", "kind", "sensitivity", "trust", "fresh")
    fields = ("label", "key", "kind", "choices", "sensitivity", "sources", "fresh_days", "by_member")
    ordering = ("brand", "label", "pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("field_name", "kind", "sensitivity")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """What values were read by stays."""
        return ("key", "kind", "sensitivity") if obj is not None else ()

    @admin.display(description=gettext_lazy("name"))
    def field_name(self, row: ProfileField) -> Any:
        """Show the name and the key."""
        return two_lines(row.label, row.key)

    @admin.display(description=gettext_lazy("most trusted first"))
    def trust(self, row: ProfileField) -> str:
        """Show the precedence."""
        return " › ".join(str(profiles.sources.find(key) or key) for key in row.sources)

    @admin.display(description=gettext_lazy("fresh for"))
    def fresh(self, row: ProfileField) -> str:
        """Show for how long a value counts as fresh."""
        if row.fresh_days is None:
            return gettext("for good")
        return ngettext("%(count)s day", "%(count)s days", row.fresh_days) % {"count": row.fresh_days}

    def save_model(self, request: HttpRequest, obj: ProfileField, form: Any, change: bool) -> None:
        """Make and change through the service."""
        services.save_profile_field(field=obj, at=now())


# --- one person ------------------------------------------------------------------------------------------------------


def edit_member(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Correct what is known about a person; every word of every source stays visible."""
    viewer = viewer_of(request)
    member = records_within(viewer).filter(pk=pk).first()
    if member is None:
        raise Http404
    services.note_opened(member_id=member.pk, page="profile", at=now())
    errors: dict[str, str] = {}
    revealed: dict[int, str] = {}
    if request.method == "POST" and request.POST.get("act") == "reveal":
        try:
            revealed = _reveal(request, member)
        except AppError as error:
            messages.error(request, f"{error.message} {error.hint}".strip())
    elif request.method == "POST":
        viewer.require("members.edit")
        try:
            return _save(request, member)
        except AppError as error:
            errors[error.field] = error.message
    facts = profile_of(member.pk, at=now())
    context = {
        **site.each_context(request),
        "title": gettext("Edit profile"),
        "zy_object": str(member),
        "zy_deeper": True,
        "member": member,
        "inputs": _inputs(request, member, facts, errors),
        "facts": [_shown(fact, revealed) for fact in facts],
        "may_reveal": viewer.can("members.reveal"),
        "member_link": reverse("admin:members_member_change", args=[member.pk]),
    }
    return TemplateResponse(request, "members/profile.html", context, status=422 if errors else 200)


def _save(request: HttpRequest, member: Member) -> HttpResponseBase:
    """Keep what was changed on the page: what stands as it was shown is nobody's new word."""
    changed = {
        name.removeprefix("f-"): request.POST[name].strip()
        for name in request.POST
        if name.startswith("f-") and request.POST[name].strip() != request.POST.get(f"was-{name[2:]}", "").strip()
    }
    here = HttpResponseRedirect(reverse("admin:members_member_profile", args=[member.pk]))
    if not changed:
        messages.info(request, gettext("Nothing was changed."))
        return here
    label = viewer_of(request).label
    services.say(member_id=member.pk, source=profiles.OPERATOR, values=changed, at=now(), by=label)
    overruled = [
        fact.label
        for fact in profile_of(member.pk, at=now())
        if fact.key in changed and fact.counts is not None and fact.counts.source != profiles.OPERATOR
    ]
    if overruled:
        said = gettext("Saved. A more trusted source says otherwise, and counts: %(facts)s")
        messages.warning(request, said % {"facts": gettext(", ").join(overruled)})
    else:
        messages.success(request, gettext("Saved."))
    return here


def _reveal(request: HttpRequest, member: Member) -> dict[int, str]:
    row = ProfileValue.objects.filter(member=member, pk=row_id(request.POST.get("value")) or 0).first()
    if row is None:
        raise Http404
    text = reveal(viewer_of(request), row, "sealed", reason=request.POST.get("text", ""), at=now())
    services.note_listed(people=[member.pk], page="reveal.profile", fields=[f"{OWN}{row.key}"], at=now())
    return {row.pk: text}


def _inputs(request: HttpRequest, member: Member, facts: list[Fact], errors: dict[str, str]) -> list[dict[str, Any]]:
    own = {fact.key: fact for fact in facts if fact.field is not None}
    genders = [(value, str(label)) for value, label in Gender.choices]
    found = []
    for key, each in profiles.COMMON.items():
        now_is = profiles.said_common(key, getattr(member, each.column))
        found.append(_input(request, key, str(each.label), now_is, errors, genders if key == "gender" else None))
        if key == "birthday":
            found[-1]["hint"] = gettext("MM-DD, such as 08-17")
    for key, fact in own.items():
        field = fact.field
        if field is None or profiles.OPERATOR not in field.sources:
            continue
        choices = [(choice, choice) for choice in field.choices] if field.kind == FieldKind.CHOICE else None
        if field.kind == FieldKind.YES_NO:
            choices = [("yes", gettext("Yes")), ("no", gettext("No"))]
        plain = field.sensitivity == "PLAIN"
        now_is = fact.counts.text if plain and fact.counts else ""
        found.append(_input(request, key, field.label, now_is, errors, choices))
        found[-1]["kind"] = {FieldKind.NUMBER: "number", FieldKind.DATE: "date"}.get(FieldKind(field.kind), "text")
        if not plain and fact.counts:
            found[-1]["hint"] = gettext("Something is kept; what you write here replaces what staff said.")
    return found


def _input(
    request: HttpRequest, key: str, label: str, now_is: str, errors: dict[str, str], choices: Any
) -> dict[str, Any]:
    return {
        "key": key,
        "label": label,
        "was": now_is,
        "value": request.POST.get(f"f-{key}", now_is),
        "error": errors.get(key, ""),
        "choices": choices,
        "kind": "text",
        "hint": "",
    }


def _shown(fact: Fact, revealed: dict[int, str]) -> dict[str, Any]:
    """Give a fact with every word about it, the one that counts first."""
    words = [
        {
            "word": word,
            "text": revealed.get(word.id) or said_in_words(fact, word.text) or gettext("kept, not shown"),
            "source": profiles.sources.find(word.source) or word.source,
            "is_revealed": word.id in revealed,
        }
        for word in fact.words
    ]
    return {"label": fact.label, "words": words, "in_conflict": fact.in_conflict}


def said_in_words(fact: Fact, text: str) -> str:
    """Give a stored text as people say it."""
    if fact.key == "gender" and fact.field is None:
        return str(dict(Gender.choices).get(text, text))
    if fact.field is not None and fact.field.kind == FieldKind.YES_NO:
        return {"yes": gettext("Yes"), "no": gettext("No")}.get(text, text)
    return text


_PAGE = Page("members/profile/<int:pk>/", edit_member, "members_member_profile", "members")
pages.register(_PAGE.name, _PAGE)


person_marks.register("members.profile", lambda: Exists(ProfileValue.objects.filter(member=OuterRef("pk"))))


def profile_on(member: Member) -> list[Fact]:
    """Give what was said about somebody; asked once a page, and never of whom nobody said anything."""
    if not marked(member, "members.profile"):
        return []
    return once(member, "profile", lambda: profile_of(member.pk, at=now()))


@panels.add("members.profile")
def profile_panel(member: Member, request: HttpRequest) -> Panel | None:
    """Show the brand's own fields on the card, with source and age, and what is in conflict."""
    link = reverse("admin:members_member_profile", args=[member.pk])
    rows = []
    for fact in profile_on(member):
        if fact.counts is None or (fact.field is None and not fact.in_conflict):
            continue
        said = {"source": profiles.sources.find(fact.counts.source), "when": formats.local_time(fact.counts.at)}
        why = gettext("%(source)s, %(when)s") % said
        if fact.in_conflict:
            why = gettext("%(why)s · sources differ") % {"why": why}
        if fact.counts.is_stale:
            why = gettext("%(why)s · out of date") % {"why": why}
        text = said_in_words(fact, fact.counts.text) or gettext("kept, not shown")
        rows.append({"label": fact.label, "value": text, "why": why, "link": link if fact.in_conflict else ""})
    if not rows:
        return None
    return Panel(gettext("Profile"), "console/panel_facts.html", {"rows": rows, "hint": ""}, 15)
