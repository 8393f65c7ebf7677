"""Records that may be one person: the queue, both side by side, and the decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, ngettext, pgettext
from unfold.contrib.filters.admin import DropdownFilter

from common.clock import now
from common.errors import AppError
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state, two_lines
from console.http import viewer_of
from console.labels import source_label
from members import services
from members.doubts import REASONS
from members.merging import in_order
from members.models import Doubt, DoubtState, Identity, IdentityKind, Member
from members.opened import along, lists
from members.selectors import visible_members
from members.services.doubts import who_stays

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

_TELLING = 6  # name to store: where these differ it may be somebody else
_TONES = {DoubtState.OPEN: "warning", DoubtState.MERGED: "success", DoubtState.APART: ""}


class StateView(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """Pairs that wait, were merged, or stay apart."""

    title = gettext_lazy("state")
    parameter_name = "state"
    views: ClassVar = list(DoubtState.choices)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the three."""
        return list(self.views)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen one."""
        return queryset.filter(state=self.value()) if self.value() in DoubtState.values else queryset


@admin.register(Doubt, site=site)
class DoubtAdmin(ConsoleModelAdmin):
    """Pairs appear by themselves when something ties two records and something else speaks against it."""

    area = "members"
    place = "members"
    tab = gettext_lazy("Possible merges")
    tab_order = 40
    allow_add = False
    allow_change = False
    audit_writes = False
    empty_text = gettext_lazy(
        "When two records could be one person and something speaks against it, they wait here for a decision."
    )
    list_display = (moment("found_at", gettext_lazy("noticed")), "pair", "tie", "against", "status")
    list_display_links = ("found_at", "pair")
    list_select_related = ("one", "other")
    list_filter = (StateView,)
    views_filter = StateView
    ordering = ("brand", "-id")
    phone_columns: ClassVar[tuple[str, ...]] = ("pair", "against", "status")

    def reachable(self, queryset: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Show pairs of which a person may see both."""
        viewer = viewer_of(request)
        if viewer.scope == "BRAND":
            return queryset
        mine = visible_members(viewer).values("pk")
        return queryset.filter(one__in=mine, other__in=mine)

    @admin.display(description=gettext_lazy("the two records"))
    def pair(self, row: Doubt) -> Any:
        """Show both by name."""
        return two_lines(_name(row.one), _name(row.other))

    @admin.display(description=gettext_lazy("what ties them"))
    def tie(self, row: Doubt) -> str:
        """Show the evidence."""
        return evidence_words(row.evidence)

    @admin.display(description=gettext_lazy("what speaks against it"))
    def against(self, row: Doubt) -> Any:
        """Show the first reason and how many more there are."""
        words = reason_words(row)
        more = len(words) - 1
        second = ngettext("and %(count)s more", "and %(count)s more", more) % {"count": more} if more > 0 else ""
        return two_lines(words[0] if words else "--", second)

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: Doubt) -> Any:
        """Show how it stands."""
        return state(row.get_state_display(), _TONES[DoubtState(row.state)])

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show both records side by side, and take a decision."""
        row = self.get_object(request, object_id) if object_id else None
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        if request.method == "POST":
            return self._decide(request, row)
        kept, merged = who_stays(row.one, row.other)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Is it one person?"),
            "zy_object": f"{_name(row.one)} · {_name(row.other)}",
            "zy_deeper": True,
            "row": row,
            "kept": kept,
            "merged": merged,
            "tie": evidence_words(row.evidence),
            "reasons": reason_words(row),
            "status": self.status(row),
            "lines": compared(kept, merged),
            "may_decide": self.may(request, "merge") and row.state == DoubtState.OPEN,
            "is_open": row.state == DoubtState.OPEN,
            "shares_phone": row.evidence.startswith("phone") and not (kept.phone_index and merged.phone_index),
            "list_link": reverse("admin:members_doubt_changelist"),
        }
        return TemplateResponse(request, "members/doubt.html", context)

    def _decide(self, request: HttpRequest, row: Doubt) -> HttpResponseRedirect:
        if not self.may(request, "merge"):
            raise PermissionDenied
        act = request.POST.get("act")
        if act not in ("merge", "apart"):
            raise Http404
        try:
            services.decide_doubt(
                doubt_id=row.pk,
                merge=act == "merge",
                reason=request.POST.get("reason", ""),
                by=viewer_of(request).label,
                at=now(),
                free_phone=act == "apart" and request.POST.get("free_phone") == "on",
            )
        except AppError as error:
            messages.error(request, f"{error.message} {error.hint}".strip())
            return HttpResponseRedirect(reverse("admin:members_doubt_change", args=[row.pk]))
        said = (
            gettext("Merged. It can be undone on the page of the person, under Identity.")
            if act == "merge"
            else gettext("Kept apart. These two are not proposed again.")
        )
        messages.success(request, said)
        return HttpResponseRedirect(reverse("admin:members_doubt_changelist"))


def _name(member: Member) -> str:
    return f"{member.name or gettext('No name yet')} {member.member_no}"


def evidence_words(evidence: str) -> str:
    """Say what ties two records: `unionid (user info)` is 同一 UnionID（微信资料）."""
    kind, _sep, source = evidence.partition(" (")
    if kind.startswith("staff: "):
        return gettext("%(name)s asks for it") % {"name": kind.removeprefix("staff: ")}
    if kind.startswith("review: "):
        return gettext("decided by hand: %(evidence)s") % {
            "evidence": evidence_words(evidence.removeprefix("review: "))
        }
    label = dict(IdentityKind.choices).get(kind.upper())
    if label is None:
        return source_label(evidence)
    said = gettext("the same: %(kind)s") % {"kind": label}
    return f"{said} ({source_label(source.removesuffix(')'))})" if source else said


def reason_words(row: Doubt) -> list[str]:
    """Say what speaks against two records being one person."""
    return [str(REASONS.get(key, key)) for key in row.reasons]


def compared(one: Member, other: Member) -> list[dict[str, Any]]:
    """Give what both have, line by line, with whether it differs; a constant number of queries."""
    edges: dict[int, list[str]] = {one.pk: [], other.pk: []}
    for edge in Identity.objects.filter(member__in=[one, other], ended_at__isnull=True).order_by("kind", "pk"):
        shown = "" if edge.kind == IdentityKind.PHONE else f" {formats.tail(edge.value)}"
        edges[edge.member_id].append(f"{edge.get_kind_display()}{shown}")

    def facts(member: Member) -> list[tuple[str, list[str]]]:
        mmdd = member.birth_mmdd
        return [
            (pgettext("person", "Name"), [member.name] if member.name else []),
            (gettext("Phone"), [member.phone_masked] if member.phone_masked else []),
            (gettext("Birthday"), [f"{mmdd // 100:02d}-{mmdd % 100:02d}"] if mmdd else []),
            (gettext("Gender"), [str(member.get_gender_display())] if member.gender else []),
            (gettext("City"), [member.city] if member.city else []),
            (gettext("Store"), [str(member.store)] if member.store_id else []),
            (gettext("Joined"), [formats.local_time(member.joined_at)] if member.joined_at else []),
            (gettext("First contact"), [formats.local_time(member.created_at)]),
            (gettext("Last interaction"), [formats.ago(member.last_interaction_at)]),
            (gettext("Identity"), edges[member.pk]),
        ]

    lines = [
        {
            "label": label,
            "one": mine,
            "other": theirs,
            "differs": number < _TELLING and bool(mine and theirs and mine != theirs),
        }
        for number, ((label, mine), (_label, theirs)) in enumerate(zip(facts(one), facts(other), strict=True))
    ]
    for _key, asset in in_order():
        mine, theirs = list(asset.show(one.pk)), list(asset.show(other.pk))
        if mine or theirs:
            lines.append({"label": asset.label, "one": mine, "other": theirs, "differs": False})
    return lines


lists(
    "members.Doubt",
    "name",
    "number",
    by=along("one_id", "other_id"),
    page=(
        "name",
        "number",
        "phone_masked",
        "birthday",
        "gender",
        "city",
        "card",
        "tags",
        "relations",
        "points",
        "coupons",
    ),
)
