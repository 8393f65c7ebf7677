"""Who was brought by whom, what speaks against it in plain words, and the decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from common.clock import now
from common.errors import AppError
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state, two_lines
from console.http import viewer_of
from members.opened import along, lists
from members.selectors import visible_members
from referrals import services
from referrals.models import Referral, State
from referrals.reasons import sentences

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from members.models import Member

TONES = {
    State.OPEN: "",
    State.WAITING: "info",
    State.HELD: "warning",
    State.DOUBTED: "warning",
    State.PAID: "success",
    State.REFUSED: "danger",
    State.LAPSED: "",
    State.RETURNING: "info",
    State.RETURNED: "danger",
}
TO_LOOK_AT = "LOOK"


class StateView(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """What waits for a decision first."""

    title = gettext_lazy("state")
    parameter_name = "state"
    views: ClassVar = [
        (TO_LOOK_AT, gettext_lazy("To be looked at")),
        *(each for each in State.choices if each[0] not in (State.HELD, State.DOUBTED, State.RETURNING)),
    ]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name them; both that wait for a decision stand first."""
        return self.views

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen one."""
        if self.value() == TO_LOOK_AT:
            return queryset.filter(state__in=[State.HELD, State.DOUBTED])
        return queryset.filter(state=self.value()) if self.value() in State.values else queryset


@admin.register(Referral, site=site)
class ReferralAdmin(ConsoleModelAdmin):
    """Invited people appear by themselves; those that look made up wait here."""

    area = "points"
    place = "rewards"
    tab = gettext_lazy("Invited people")
    tab_order = 71
    allow_add = False
    allow_change = False
    audit_writes = False
    empty_text = gettext_lazy("Whoever comes by a member's invitation is listed here, with who brought them.")
    list_display = (moment("bound_at", gettext_lazy("came")), "pair", "why", "got", "status")
    list_display_links = ("bound_at", "pair")
    list_select_related = ("inviter", "invited", "programme")
    list_filter = (StateView,)
    views_filter = StateView
    ordering = ("brand", "-id")
    phone_columns: ClassVar[tuple[str, ...]] = ("pair", "why", "status")

    def reachable(self, queryset: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Show those of whom a person may see both."""
        viewer = viewer_of(request)
        if viewer.scope == "BRAND":
            return queryset
        mine = visible_members(viewer).values("pk")
        return queryset.filter(inviter__in=mine, invited__in=mine)

    @admin.display(description=gettext_lazy("invited person, and by whom"))
    def pair(self, row: Referral) -> Any:
        """Show both by name."""
        return two_lines(name_of(row.invited), gettext("by %(name)s") % {"name": name_of(row.inviter)})

    @admin.display(description=gettext_lazy("what speaks against it"))
    def why(self, row: Referral) -> Any:
        """Show the reasons."""
        said = sentences(row.reasons)
        return two_lines(said[0], " ".join(said[1:])) if said else "--"

    @admin.display(description=gettext_lazy("who invited / who was invited got"))
    def got(self, row: Referral) -> str:
        """Show what was given."""
        return got_words(row)

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: Referral) -> Any:
        """Show how it stands."""
        return state(row.get_state_display(), TONES[State(row.state)])

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show one invitation, and take a decision."""
        row = self.get_object(request, object_id) if object_id else None
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        if request.method == "POST":
            return self._decide(request, row)
        waits = row.state in (State.HELD, State.DOUBTED)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Invitation"),
            "zy_object": name_of(row.invited),
            "zy_deeper": True,
            "row": row,
            "invited": name_of(row.invited),
            "inviter": name_of(row.inviter),
            "status": self.status(row),
            "reasons": sentences(row.reasons),
            "may_approve": waits and self.may(request, "edit"),
            "may_refuse": (waits or row.state == State.PAID) and self.may(request, "edit"),
            "is_given": row.state in (State.PAID, State.DOUBTED),
            "waits": waits,
            "others": list(
                self.reachable(Referral.objects.select_related("invited"), request)
                .filter(inviter_id=row.inviter_id)
                .exclude(pk=row.pk)
                .order_by("-pk")[:20]
            ),
            "list_link": reverse("admin:referrals_referral_changelist"),
        }
        return TemplateResponse(request, "referrals/person.html", context)

    def _decide(self, request: HttpRequest, row: Referral) -> HttpResponseRedirect:
        if not self.may(request, "edit"):
            raise PermissionDenied
        act = request.POST.get("act")
        if act not in ("approve", "refuse"):
            raise Http404
        try:
            found = services.decide(
                referral_id=row.pk,
                approve=act == "approve",
                reason=request.POST.get("reason", ""),
                by=viewer_of(request).label,
                at=now(),
            )
        except AppError as error:
            messages.error(request, f"{error.message} {error.hint}".strip())
            return HttpResponseRedirect(reverse("admin:referrals_referral_change", args=[row.pk]))
        messages.success(request, gettext("Decided: %(state)s.") % {"state": found.get_state_display()})
        return HttpResponseRedirect(f"{reverse('admin:referrals_referral_changelist')}?state={TO_LOOK_AT}")


def name_of(member: Member) -> str:
    """Name a member."""
    return f"{member.name or gettext('No name yet')} {member.member_no}"


def got_words(row: Referral) -> str:
    """Say what both sides got."""
    return f"{row.get_inviter_given_display() or '--'} / {row.get_invited_given_display() or '--'}"


lists(
    "referrals.Referral",
    "name",
    "number",
    "relations",
    by=along("inviter_id", "invited_id"),
    page=("name", "number", "relations"),
)
