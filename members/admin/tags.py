"""Pages of tags: the brand's words for people, their groups, and whether WeChat has them too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Count, Q
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_lazy, ngettext
from unfold.widgets import UnfoldAdminTextInputWidget

from common.clock import now
from common.errors import AppError
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state, two_lines
from console.forms import BrandModelForm
from console.registry import BulkColumn
from members import services
from members.figures import PEOPLE_PER_TAG, counted
from members.models import MemberTag, RemoteTag, Tag, TagDirection, TagGroup
from members.services.tags import MOST_DAYS, WECHAT_NAME_BYTES, checked_synonyms

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

_SEPARATORS = re.compile(r"[,，、;；\n]+")


class TagAdminForm(BrandModelForm):
    """A tag; one that WeChat shares must have a name WeChat takes, and a synonym leads to one tag only."""

    synonyms = forms.CharField(
        label=gettext_lazy("also called"),
        required=False,
        max_length=400,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Other words for the same, separated by commas. Searches find the tag by them."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Show synonyms as one line."""
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["synonyms"] = gettext(", ").join(self.instance.synonyms)
            if self.instance.sync and self.instance.pk in {
                pk for pk, (_problem, is_there) in _remotes([self.instance.pk]).items() if not is_there
            }:
                self.fields["sync"].help_text = " ".join(
                    [
                        _not_at_wechat(),
                        gettext("Its group is only kept from WeChat to here, so it is not made there again."),
                        gettext("Switch this off to keep the tag here alone, or make it in WeChat's console."),
                    ]
                )

    def clean_synonyms(self) -> list[str]:
        """Read the line."""
        return sorted({word.strip() for word in _SEPARATORS.split(self.cleaned_data["synonyms"]) if word.strip()})

    def clean_lasts_days(self) -> int | None:
        """Take a number of days, or none for ever."""
        days: int | None = self.cleaned_data["lasts_days"]
        if days is not None and not 1 <= days <= MOST_DAYS:
            raise forms.ValidationError(
                gettext("A number from %(low)s to %(high)s is expected here.") % {"low": 1, "high": MOST_DAYS}
            )
        return days

    def clean(self) -> dict[str, Any]:
        """Check WeChat's limit on names, and that every word leads to one tag."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("sync") and len(cleaned.get("name", "").encode()) > WECHAT_NAME_BYTES:
            self.add_error("name", gettext("WeChat takes tag names of up to 30 bytes (10 Chinese characters)."))
        if "name" in cleaned and "synonyms" in cleaned:
            try:
                checked_synonyms(cleaned["name"], cleaned["synonyms"], but=self.instance.pk)
            except AppError as error:
                self.add_error("synonyms", f"{error.message} {error.hint}".strip())
        group = TagGroup.objects.filter(name=cleaned.get("group") or "", is_exclusive=True).first()
        if self.instance.pk and group is not None and group.name != self.initial.get("group"):
            carriers = MemberTag.objects.filter(tag=self.instance).values("member_id")
            doubles = MemberTag.objects.filter(slot=group.pk, member_id__in=carriers).count()
            if doubles:
                said = ngettext(
                    "%(count)s person has another tag of this exclusive group.",
                    "%(count)s people have another tag of this exclusive group.",
                    doubles,
                )
                self.add_error("group", said % {"count": doubles})
        return cleaned


def _people_counts(ids: list[int]) -> dict[int, tuple[int, str]]:
    at = now()
    found = counted(PEOPLE_PER_TAG, {"tags": sorted(ids)}, at=at)
    since = "" if found.as_of == at else gettext("as of %(time)s") % {"time": formats.local_time(found.as_of)}
    return {pk: (found.value.get(str(pk), 0), since) for pk in ids}


def _people_link(people: tuple[int, str], row: Tag) -> Any:
    link = reverse("admin:members_member_changelist")
    number = format_html('<a href="{}?tag={}">{}</a>', link, row.pk, f"{people[0]:,}")
    return two_lines(number, people[1])


def _remotes(ids: list[int]) -> dict[int, tuple[str, bool]]:
    """Give the first problem of each tag, and whether WeChat has it; of a tag that only WeChat makes, always."""
    found: dict[int, tuple[str, bool]] = {}
    for tag_id, problem in RemoteTag.objects.filter(tag_id__in=ids).order_by("pk").values_list("tag_id", "problem"):
        found[tag_id] = (found.get(tag_id, ("", True))[0] or problem, True)
    pulled = TagGroup.objects.filter(direction=TagDirection.PULL).values("name")
    absent = Tag.objects.filter(pk__in=set(ids) - set(found), group__in=pulled).values_list("pk", flat=True)
    return found | dict.fromkeys(absent, ("", False))


def _not_at_wechat() -> str:
    return gettext("WeChat has no such tag. People here keep it until somebody takes it off them.")


def _sync_cell(remote: tuple[str, bool] | None, row: Tag) -> Any:
    if not row.sync:
        still = remote is not None and remote[1]
        return two_lines(state(gettext("only here")), gettext("WeChat still has it") if still else "")
    if remote is None:
        return state(gettext("waiting for WeChat"), "info")
    problem, is_there = remote
    if not is_there:
        return two_lines(state(gettext("not at WeChat"), "warning"), _not_at_wechat())
    if problem:
        return two_lines(state(gettext("not in step"), "warning"), problem)
    return state(gettext("in step with WeChat"), "success")


def _groups_of(ids: list[int]) -> dict[int, tuple[str, bool]]:
    names = dict(Tag.objects.filter(pk__in=ids).exclude(group="").values_list("pk", "group"))
    groups = TagGroup.objects.filter(name__in=set(names.values()), is_exclusive=True)
    exclusive = set(groups.values_list("name", flat=True))
    return {pk: (name, name in exclusive) for pk, name in names.items()}


def _group_cell(group: tuple[str, bool] | None, row: Tag) -> Any:
    if group is None:
        return "--"
    return two_lines(group[0], gettext("exclusive")) if group[1] else group[0]


@admin.register(Tag, site=site)
class TagAdmin(ConsoleModelAdmin):
    """The brand's tags and whether WeChat has them too."""

    area = "tags"
    place = "members"
    tab = gettext_lazy("Tags")
    tab_order = 30
    add_label = gettext_lazy("New tag")
    audit_writes = False
    empty_text = gettext_lazy(
        "Tags mark people by what they did or like. Codes and staff put them on; segments find people by them.",
    )
    form = TagAdminForm
    change_form_template = "members/tags/form.html"
    list_display = (
        "tag_name",
        BulkColumn("group_name", gettext_lazy("tag group"), _groups_of, show=_group_cell),
        BulkColumn(
            "people", gettext_lazy("number of people"), _people_counts, number=True, missing=(0, ""), show=_people_link
        ),
        "lasts",
        "owner_name",
        BulkColumn("sync_state", gettext_lazy("WeChat"), _remotes, show=_sync_cell),
        moment("created_at", gettext_lazy("created")),
    )
    search_fields = ("name", "meaning")
    search_help_text = gettext_lazy("Name of a tag")
    fields = ("name", "group", "meaning", "owner", "lasts_days", "synonyms", "is_shown", "sync")
    ordering = ("brand", "name", "pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("tag_name", "people", "sync_state")
    field_labels: ClassVar[dict[str, Any]] = {
        "lasts_days": gettext_lazy("Days it stays on a person"),
        "owner": gettext_lazy("Who looks after it"),
    }

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Search by name, meaning and synonym."""
        found = Q(name__icontains=search_term) | Q(meaning__icontains=search_term)
        return queryset.filter(found | Q(synonyms__contains=[search_term.strip()])), False

    @admin.display(description=gettext_lazy("name"))
    def tag_name(self, row: Tag) -> Any:
        """Show the name and what it means."""
        return two_lines(row.name, row.meaning) if row.meaning else row.name

    @admin.display(description=gettext_lazy("stays"))
    def lasts(self, row: Tag) -> str:
        """Show for how long it stays."""
        if row.lasts_days is None:
            return gettext("for good")
        return ngettext("%(count)s day", "%(count)s days", row.lasts_days) % {"count": row.lasts_days}

    @admin.display(description=gettext_lazy("owner"))
    def owner_name(self, row: Tag) -> str:
        """Show who looks after it."""
        return row.owner or "--"

    def save_model(self, request: HttpRequest, obj: Tag, form: Any, change: bool) -> None:
        """Create and change through the services."""
        facts = {name: form.cleaned_data[name] for name in self.fields}
        if change:
            services.change_tag(tag=obj, at=now(), **facts)
            return
        made = services.create_tag(at=now(), **facts)
        obj.pk, obj.created_at = made.pk, made.created_at


class TagGroupForm(BrandModelForm):
    """A group of tags; making it exclusive while people carry two of it needs a decision."""

    keep_newest = forms.BooleanField(
        label=gettext_lazy("Whoever carries several keeps the newest"),
        required=False,
        help_text=gettext_lazy("Only needed when a group becomes exclusive and people carry several of its tags."),
    )

    def clean(self) -> dict[str, Any]:
        """Refuse an exclusive group that is not, unless it is said which tag stays."""
        cleaned = super().clean() or self.cleaned_data
        becomes = cleaned.get("is_exclusive") and not (self.instance.pk and self.initial.get("is_exclusive"))
        if becomes and not cleaned.get("keep_newest"):
            name = self.initial.get("name") or cleaned.get("name", "")
            tags = Tag.objects.filter(group=name).values("pk")
            rows = MemberTag.objects.filter(tag__in=tags).order_by().values("member_id")
            people = rows.annotate(many=Count("pk")).filter(many__gt=1).count()
            if people:
                said = ngettext(
                    "%(count)s person carries several tags of this group. Say below that the newest stays, or take the "
                    "others off first.",
                    "%(count)s people carry several tags of this group. Say below that the newest stays, or take the "
                    "others off first.",
                    people,
                )
                self.add_error("is_exclusive", said % {"count": people})
        return cleaned


def _tag_counts(ids: list[int]) -> dict[int, int]:
    names = dict(TagGroup.objects.filter(pk__in=ids).values_list("name", "pk"))
    rows = Tag.objects.filter(group__in=names).values("group").annotate(tags=Count("pk")).order_by("group")
    return {names[row["group"]]: row["tags"] for row in rows}


@admin.register(TagGroup, site=site)
class TagGroupAdmin(ConsoleModelAdmin):
    """Groups of tags: what they are for, whether one excludes the others, and whose word counts with WeChat."""

    area = "tags"
    place = "members"
    tab = gettext_lazy("Tag groups")
    tab_order = 31
    add_label = gettext_lazy("New tag group")
    audit_writes = False
    empty_text = gettext_lazy(
        "Groups keep tags in order. Of an exclusive group, such as spending bands, nobody carries two.",
    )
    form = TagGroupForm
    list_display = (
        "group_name",
        "exclusive",
        BulkColumn("tags", gettext_lazy("number of tags"), _tag_counts, number=True, missing=0),
        "direction",
        moment("created_at", gettext_lazy("created")),
    )
    search_fields = ("name",)
    search_help_text = gettext_lazy("Name of a tag group")
    fields = ("name", "meaning", "is_exclusive", "keep_newest", "direction")
    ordering = ("brand", "name", "pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("group_name", "exclusive", "tags")
    field_labels: ClassVar[dict[str, Any]] = {
        "is_exclusive": gettext_lazy("A person carries one of these tags at most")
    }

    @admin.display(description=gettext_lazy("name"))
    def group_name(self, row: TagGroup) -> Any:
        """Show the name and what it is for."""
        return two_lines(row.name, row.meaning) if row.meaning else row.name

    @admin.display(description=gettext_lazy("exclusive"))
    def exclusive(self, row: TagGroup) -> Any:
        """Show whether one tag excludes the others."""
        return state(gettext("one at most"), "info") if row.is_exclusive else state(gettext("any number"))

    def save_model(self, request: HttpRequest, obj: TagGroup, form: Any, change: bool) -> None:
        """Save through the service."""
        facts = {name: form.cleaned_data[name] for name in self.fields}
        known = TagGroup.objects.get(pk=obj.pk) if change else None
        saved = services.save_tag_group(group=known, at=now(), **facts)
        obj.pk, obj.created_at = saved.pk, saved.created_at
