"""Pages of guides: who works where, with which code, for how many members; and the guide on a member's page."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import JSONObject
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy

from accounts.viewer import current_viewer
from common.clock import now
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.code import code_svg
from console.columns import state, two_lines
from console.http import viewer_of
from console.labels import source_label
from console.person import ENTRIES, brought, marked, once
from console.registry import (
    BASICS,
    BulkColumn,
    Column,
    Hit,
    Moment,
    Panel,
    Portrait,
    SearchGroup,
    TimelineKind,
    Trait,
    columns,
    panels,
    person_marks,
    portraits,
    search_groups,
    timeline_kinds,
    timelines,
)
from guides.models import Assignment, Guide, GuidePolicy, JoinedBy, Joining
from guides.selectors import in_reach, member_counts, policy, protected_until, valid_until
from touchpoints.selectors import scan_counts

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from accounts.viewer import Viewer
    from members.models import Member


@admin.register(Guide, site=site)
class GuideAdmin(ConsoleModelAdmin):
    """The brand's guides."""

    area = "guides"
    place = "guides"
    tab = gettext_lazy("Guides")
    tab_order = 10
    add_label = gettext_lazy("New guide")
    empty_text = gettext_lazy(
        "A guide looks after members. Whoever follows through a guide's code gets this guide and their store.",
    )
    list_display = (
        "guide",
        "store",
        BulkColumn("members", gettext_lazy("members"), member_counts, number=True, missing=0),
        "code",
        "working",
    )
    list_select_related = ("store", "touchpoint")
    field_labels: ClassVar[dict[str, Any]] = {"name": pgettext_lazy("person", "Name")}
    fields = ("staff_no", "name", "store", "staff_user", "touchpoint", "is_active")
    search_fields = ("staff_no",)
    search_help_text = gettext_lazy("Name or staff number")
    ordering = ("brand", "staff_no", "pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("guide", "members", "working")
    change_list_template = "guides/guides.html"
    change_form_outer_before_template = "console/guide_head.html"

    def reachable(self, queryset: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Show store managers the guides of their stores, guides themselves."""
        return in_reach(viewer_of(request), queryset)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave the channel out for roles whose link to it would refuse them: the head names it."""
        seen = viewer_of(request).can("touchpoints.view")
        return [name for name in self.fields if seen or name != "touchpoint"]

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Search by name or staff number."""
        return queryset.filter(Q(name__startswith=search_term) | Q(staff_no__istartswith=search_term)), False

    @admin.display(description=gettext_lazy("guide"))
    def guide(self, row: Guide) -> Any:
        """Show name and staff number."""
        return two_lines(row.name, row.staff_no)

    @admin.display(description=pgettext_lazy("channel tree", "Code"))
    def code(self, row: Guide) -> Any:
        """Show the code's picture and channel."""
        if row.touchpoint is None:
            return gettext("no code yet")
        viewer = current_viewer()
        if viewer is None or not viewer.can("touchpoints.view"):  # the channel's own page is not theirs to open
            return format_html(
                '<span class="zy-thumb">{}</span> {}', code_svg(row.touchpoint.code_url), row.touchpoint.name
            )
        link = reverse("admin:touchpoints_touchpoint_change", args=[row.touchpoint_id])
        return format_html(
            '<a href="{}"><span class="zy-thumb">{}</span> {}</a>',
            link,
            code_svg(row.touchpoint.code_url),
            row.touchpoint.name,
        )

    @admin.display(description=gettext_lazy("state"))
    def working(self, row: Guide) -> Any:
        """Show whether the guide works here."""
        return state(gettext("in service"), "success") if row.is_active else state(gettext("has left"))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Lead those who see the whole brand to its rules."""
        viewer = viewer_of(request)
        may = viewer.can("guides.edit") and viewer.scope == "BRAND"
        link = {"rules_link": reverse("admin:guides_rules") if may else ""}
        return super().changelist_view(request, {**link, **(extra_context or {})})

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show the code and the members above the form."""
        context = dict(extra_context or {})
        row = self.get_object(request, object_id) if object_id else None
        if row is not None:
            counts = scan_counts([row.touchpoint_id]).get(row.touchpoint_id, {}) if row.touchpoint_id else {}
            context.update(
                guide=row,
                code=code_svg(row.touchpoint.code_url) if row.touchpoint else "",
                people=member_counts([row.pk]).get(row.pk, 0),
                scans=sum(counts.values()),
                may_open_code=viewer_of(request).can("touchpoints.view"),
                may_hand_over=viewer_of(request).can("guides.edit"),
            )
        return super().changeform_view(request, object_id, form_url, context)

    def save_model(self, request: HttpRequest, obj: Guide, form: Any, change: bool) -> None:
        """Note since when the guide is here."""
        if not change:
            obj.created_at = now()
        super().save_model(request, obj, form, change)


# --- what other pages show -------------------------------------------------------------------------------------------


def _assignments_of(member: Member, limit: int = ENTRIES) -> list[Assignment]:
    rows = Assignment.objects.select_related("guide__store").filter(member=member).order_by("-since", "-pk")
    return once(member, f"assignments {limit}", lambda: list(rows[:limit]))


def _assignment_now(member: Member) -> Assignment | None:
    """Give who looks after a member, also if they have left, out of what the timeline asks anyway."""
    known = _assignments_of(member)
    open_ones = [row for row in known if row.until is None]
    if open_ones or len(known) < ENTRIES:
        return open_ones[0] if open_ones else None
    return Assignment.objects.select_related("guide__store").filter(member=member, until__isnull=True).first()


def _rules(member: Member) -> GuidePolicy:
    """Give the brand's rules as the query for a person's page brought them along."""
    kept = marked(member, "guides.policy")
    if kept is True:
        return policy()
    return GuidePolicy(**(kept or {}))


person_marks.register(
    "guides.policy",
    lambda: Subquery(
        GuidePolicy.objects.order_by("pk")
        .annotate(rules=JSONObject(protected_days="protected_days", valid_days="valid_days"))
        .values("rules")[:1]
    ),
)


def _how_long(since: datetime, rules: GuidePolicy) -> str:
    """Say until when another guide's code changes nothing, and until when somebody is looked after."""
    open_from, ends = protected_until(since, rules), valid_until(since, rules)
    if open_from is None:
        return gettext("another guide's code changes nothing")
    when = {"when": formats.local_time(open_from)}
    said = (
        gettext("another guide's code takes over since %(when)s")
        if open_from <= now()
        else gettext("another guide's code changes nothing until %(when)s")
    ) % when
    return said if ends is None else f"{said}{gettext(', ')}{gettext('valid until')} {formats.local_time(ends)}"


person_marks.register(
    "guides.joining",
    lambda: Subquery(
        Joining.objects.filter(member=OuterRef("pk"))
        .order_by("at", "pk")
        .annotate(
            said=JSONObject(name="guide__name", staff_no="guide__staff_no", store="store__name", way="way", at="at")
        )
        .values("said")[:1]
    ),
)


def _joined_with(member: Member) -> Trait | None:
    """Say with whom somebody joined, as the query for a person's page brought it along."""
    kept = brought(member, "guides.joining")
    if not kept:
        return None
    value = f"{kept['name']} {kept['staff_no']} · {kept['store']}"
    at = datetime.fromisoformat(kept["at"])
    return Trait(BASICS, gettext("Joined with"), value, str(JoinedBy(kept["way"]).label), at, order=30)


portraits.register(
    "guides.joining",
    Portrait(lambda member: [told] if (told := _joined_with(member)) is not None else [], area="guides"),
)


@panels.add("guides.guide")
def own_guide(member: Member, request: HttpRequest) -> Panel | None:
    """Show a member's guide, why it is them and for how long."""
    viewer = viewer_of(request)
    if not viewer.can("guides.view"):
        return None
    own = _assignment_now(member)
    rows: list[dict[str, str]] = []
    hint = gettext("Nobody yet. Whoever follows through a guide's code gets that guide.")
    if own is not None and own.guide.is_active:
        why = gettext("since %(when)s, because of: %(reason)s") % {
            "when": formats.local_time(own.since),
            "reason": source_label(own.reason),
        }
        rows = [
            {"label": gettext("Guide"), "value": str(own.guide), "why": why},
            {"label": gettext("Store"), "value": own.guide.store.name, "why": ""},
        ]
        hint = _how_long(own.since, _rules(member))
    elif own is not None:
        hint = gettext("%(guide)s has left. The next guide's code takes over.") % {"guide": own.guide}
    joined = _joined_with(member)
    if joined is not None:
        rows.append({"label": str(joined.label), "value": str(joined.value), "why": str(joined.source)})
    if viewer.can("guides.edit"):
        link = reverse("admin:members_member_guide", args=[member.pk])
        choose = gettext("Choose another guide") if own is not None else gettext("Choose a guide")
        rows.append({"label": "", "value": choose, "why": "", "link": link})
    return Panel(gettext("Exclusive guide"), "console/panel_facts.html", {"rows": rows, "hint": hint}, 10)


timeline_kinds.register("guides.assignments", TimelineKind(gettext_lazy("Guide"), "guides", "guides", 50))


@timelines.add("guides.assignments")
def assignments(member: Member, limit: int) -> list[Moment]:
    """Give who became a person's guide when."""
    rows = _assignments_of(member, limit)
    return [
        Moment(
            at=row.since,
            sentence=gettext("%(guide)s became the exclusive guide") % {"guide": row.guide},
            kind=gettext("Guide"),
            detail=source_label(row.reason),
            link=reverse("admin:guides_guide_change", args=[row.guide_id]),
        )
        for row in rows
    ]


def _guides_of(member_ids: list[int]) -> dict[int, str]:
    # Not joined: PostgreSQL takes every brand for a small one, and would begin with all people of all guides.
    kept = dict(
        Assignment.objects.filter(member_id__in=member_ids, until__isnull=True).values_list("member_id", "guide_id")
    )
    guides = Guide.objects.filter(is_active=True).in_bulk(set(kept.values()))
    return {pk: str(guides[guide_id]) for pk, guide_id in kept.items() if guide_id in guides}


_COLUMN = BulkColumn("guide", gettext_lazy("exclusive guide"), _guides_of, missing="--")
columns.register("guides.member_guide", Column("members.member", _COLUMN, "guides", 10))


def find_guides(viewer: Viewer, term: str) -> list[Hit]:
    """Find guides by staff number or the beginning of the name."""
    rows = in_reach(viewer, Guide.objects.select_related("store"))
    rows = rows.filter(Q(staff_no__istartswith=term) | Q(name__startswith=term)).order_by("staff_no", "pk")[:8]
    return [
        Hit(f"{row.name} {row.staff_no}", row.store.name, reverse("admin:guides_guide_change", args=[row.pk]))
        for row in rows
    ]


search_groups.register("guides", SearchGroup(gettext_lazy("Guides"), "guides", find_guides, 50))
