"""Pages of tags: the brand's words for people, and whether WeChat has them too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import Count
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_lazy

from common.clock import now
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state, two_lines
from console.forms import BrandModelForm
from console.registry import BulkColumn
from members import services
from members.models import MemberTag, RemoteTag, Tag
from members.services.tags import WECHAT_NAME_BYTES

if TYPE_CHECKING:
    from django.http import HttpRequest


class TagAdminForm(BrandModelForm):
    """A tag; one that WeChat shares must have a name WeChat takes."""

    def clean(self) -> dict[str, Any]:
        """Check WeChat's limit on names."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("sync") and len(cleaned.get("name", "").encode()) > WECHAT_NAME_BYTES:
            self.add_error("name", gettext("WeChat takes tag names of up to 30 bytes (10 Chinese characters)."))
        return cleaned


def _people_counts(ids: list[int]) -> dict[int, int]:
    rows = MemberTag.objects.filter(tag_id__in=ids).values("tag_id").annotate(people=Count("pk")).order_by("tag_id")
    return {row["tag_id"]: row["people"] for row in rows}


def _people_link(people: int, row: Tag) -> Any:
    return format_html('<a href="{}?tag={}">{}</a>', reverse("admin:members_member_changelist"), row.pk, f"{people:,}")


def _remotes(ids: list[int]) -> dict[int, list[RemoteTag]]:
    found: dict[int, list[RemoteTag]] = {}
    for row in RemoteTag.objects.select_related("account").filter(tag_id__in=ids).order_by("pk"):
        found.setdefault(row.tag_id, []).append(row)
    return found


def _sync_cell(remotes: list[RemoteTag] | None, row: Tag) -> Any:
    if not row.sync:
        return state(gettext("only here"))
    problem = next((remote.problem for remote in remotes or [] if remote.problem), "")
    if problem:
        return two_lines(state(gettext("not in step"), "warning"), problem)
    if not remotes:
        return state(gettext("waiting for WeChat"), "info")
    return state(gettext("in step with WeChat"), "success")


@admin.register(Tag, site=site)
class TagAdmin(ConsoleModelAdmin):
    """The brand's tags and whether WeChat has them too."""

    area = "tags"
    place = "members"
    tab = gettext_lazy("Tags")
    tab_order = 30
    add_label = gettext_lazy("New tag")
    empty_text = gettext_lazy(
        "Tags mark people by what they did or like. Codes and staff put them on; segments find people by them.",
    )
    form = TagAdminForm
    list_display = (
        "name",
        "group_name",
        BulkColumn(
            "people", gettext_lazy("number of people"), _people_counts, number=True, missing=0, show=_people_link
        ),
        BulkColumn("sync_state", gettext_lazy("WeChat"), _remotes, show=_sync_cell),
        moment("created_at", gettext_lazy("created")),
    )
    search_fields = ("name",)
    search_help_text = gettext_lazy("Name of a tag")
    fields = ("name", "group", "meaning", "sync")
    ordering = ("brand", "name", "pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("name", "people", "sync_state")

    @admin.display(description=gettext_lazy("tag group"))
    def group_name(self, row: Tag) -> str:
        """Show the group."""
        return row.group or "--"

    def save_model(self, request: HttpRequest, obj: Tag, form: Any, change: bool) -> None:
        """Create through the service; a change of the link to WeChat goes through its own."""
        if change:
            wanted = obj.sync
            obj.sync = form.initial.get("sync", obj.sync)
            super().save_model(request, obj, form, change)
            services.set_tag_sync(tag=obj, sync=wanted)
            getattr(request, "zy_changes", {}).pop("sync", None)
            return
        made = services.create_tag(name=obj.name, at=now(), group=obj.group, meaning=obj.meaning, sync=obj.sync)
        obj.pk, obj.created_at = made.pk, made.created_at

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Leave the entry to the service that created the tag."""
