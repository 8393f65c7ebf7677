"""Privacy: whose data is on its way to deletion, for how long it is kept, and what a member's card says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from common.clock import now
from common.errors import AppError
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state
from console.person import marked
from console.registry import Page, Panel, pages, panels, person_marks
from members import services
from members.admin.rights import proof_lines
from members.models import ErasureClock, ErasureState, Member
from members.opened import lists
from members.services.erasure import MOST_GRACE_DAYS
from members.services.proof import is_intact

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponseBase

_TONES = {ErasureState.RUNNING: "warning", ErasureState.STOPPED: "", ErasureState.DONE: "success"}
_KINDS = {
    "pushes": gettext_lazy("messages and events"),
    "identities": gettext_lazy("identities"),
    "tags": gettext_lazy("tags"),
    "taggings": gettext_lazy("tags at WeChat"),
    "sessions": gettext_lazy("sessions"),
    "name": gettext_lazy("name"),
    "city": gettext_lazy("city"),
    "member": gettext_lazy("the person's details"),
}


class RunningView(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """Clocks that run, that were stopped, and that ran out."""

    title = gettext_lazy("state")
    parameter_name = "state"
    views: ClassVar = list(ErasureState.choices)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the three."""
        return list(self.views)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen one."""
        return queryset.filter(state=self.value()) if self.value() in ErasureState.values else queryset


@admin.register(ErasureClock, site=site)
class ErasureClockAdmin(ConsoleModelAdmin):
    """Clocks start, stop and run out by themselves; here they are read."""

    area = "privacy"
    place = "settings"
    tab = gettext_lazy("Privacy")
    tab_order = 45
    allow_add = False
    allow_change = False
    audit_writes = False
    empty_text = gettext_lazy("When somebody unfollows or withdraws, it is shown here until when their data is kept.")
    list_display = (
        moment("started_at", gettext_lazy("since")),
        "who",
        "why",
        moment("due_at", gettext_lazy("deleted at")),
        "status",
    )
    list_select_related = ("follower", "follower__account")
    change_list_template = "members/erasures.html"
    list_filter = (RunningView,)
    views_filter = RunningView
    ordering = ("brand", "-started_at", "-pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("who", "due_at", "status")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Lead to the setting from the list."""
        context = {
            "policy_link": reverse("admin:members_erasureclock_policy") if self.may(request, "edit") else "",
            "grace_days": services.privacy_policy().unfollow_grace_days,
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    @admin.display(description=gettext_lazy("follower"))
    def who(self, row: ErasureClock) -> str:
        """Show the account and the end of the OpenID; nothing of a person who is gone."""
        openid = row.follower.openid
        return f"{row.follower.account} {'--' if openid.startswith('erased-') else formats.tail(openid)}"

    @admin.display(description=gettext_lazy("reason"))
    def why(self, row: ErasureClock) -> str:
        """Show what started it."""
        return f"{row.get_reason_display()}{f' ({row.what})' if row.what else ''}"

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: ErasureClock) -> Any:
        """Show how it stands."""
        return state(row.get_state_display(), _TONES[ErasureState(row.state)])

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show what started it, when it runs out, and what was deleted."""
        row = self.get_object(request, object_id) if object_id else None
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        if request.method == "POST":
            return HttpResponseNotAllowed(["GET", "HEAD"])
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Deletion of personal data"),
            "zy_object": formats.local_time(row.started_at),
            "row": row,
            "who": self.who(row),
            "why": self.why(row),
            "status": self.status(row),
            "proof": proof_lines(row.proof),
            "intact": is_intact(row.proof) if row.proof else True,
            "digest": row.proof.get("digest", ""),
            "erased": [(_KINDS.get(key, key), rows) for key, rows in sorted(row.erased.items()) if rows],
        }
        return TemplateResponse(request, "members/erasure.html", context)


class PolicyForm(forms.Form):
    """For how long."""

    unfollow_grace_days = forms.IntegerField(
        label=gettext_lazy("Days after an unfollow"),
        min_value=0,
        max_value=MOST_GRACE_DAYS,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text=gettext_lazy(
            "Whoever follows again within these days finds everything as it was. After them profile, tags and messages "
            "are deleted; orders and points stay without name. Members who joined keep their membership."
        ),
    )


def policy(request: HttpRequest) -> HttpResponseBase:
    """Show and change the days of grace."""
    known = services.privacy_policy()
    form = PolicyForm(request.POST or None, initial={"unfollow_grace_days": known.unfollow_grace_days})
    if request.method == "POST" and form.is_valid():
        try:
            services.set_privacy_policy(at=now(), **form.cleaned_data)
        except AppError as error:
            form.add_error(error.field, error.message)
        else:
            messages.success(request, gettext("Saved."))
            return HttpResponseRedirect(reverse("admin:members_erasureclock_changelist"))
    context = {
        **site.each_context(request),
        "title": gettext("Days of grace"),
        "zy_deeper": True,
        "form": form,
        "list_link": reverse("admin:members_erasureclock_changelist"),
        "verb": gettext("Save"),
    }
    return TemplateResponse(request, "console/connect.html", context)


pages.register(
    "privacy_policy", Page("members/privacy-policy/", policy, "members_erasureclock_policy", "privacy", "edit")
)


person_marks.register(
    "members.erasure",
    lambda: Exists(ErasureClock.objects.filter(follower__member=OuterRef("pk"), state=ErasureState.RUNNING)),
)


@panels.add("members.erasure")
def erasure_of(member: Member, request: HttpRequest) -> Panel | None:
    """Say on a member's card that their data is on its way to deletion, or gone."""
    running = None
    if marked(member, "members.erasure"):
        clocks = ErasureClock.objects.filter(follower__member=member, state=ErasureState.RUNNING)
        running = clocks.order_by("due_at", "pk").first()
    rows: list[dict[str, Any]] = []
    if running is not None:
        rows.append({"label": running.get_reason_display(), "value": formats.local_time(running.started_at)})
        rows.append({"label": gettext("deleted at"), "value": formats.local_time(running.due_at)})
        if running.held_for:
            rows.append({"label": gettext("waits for"), "value": running.held_for})
    if member.erased_at is not None:
        rows.append({"label": gettext("personal data deleted"), "value": formats.local_time(member.erased_at)})
    if not rows:
        return None
    return Panel(gettext("Deletion of personal data"), "console/panel_facts.html", {"rows": rows}, order=90)


lists("members.ErasureClock", "wechat", by="follower.member_id")
