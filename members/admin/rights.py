"""Requests about personal data: the list with its clocks, one request with its answer, and the copy, fetched once."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson
from django.contrib import admin, messages
from django.core import signing
from django.db.models import Count, Min
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import escape
from django.utils.translation import get_language, gettext, gettext_lazy, pgettext, pgettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from common.clock import now
from common.errors import AppError
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state, two_lines
from console.http import brand_of, viewer_of
from console.registry import Page, Todo, home_cards, pages
from console.reveal import watchers
from members import services
from members.admin.decisions import context_of
from members.errors import CopyGone
from members.models import RequestFile, RequestKind, RequestState, RightsRequest
from members.opened import lists
from members.personal import Fate
from members.services.proof import is_intact

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from accounts.viewer import Viewer

LINK_SECONDS: Final = 600
_SALT: Final = "members.copy"
_TONES = {
    RequestState.OPEN: "warning",
    RequestState.READY: "info",
    RequestState.DONE: "success",
    RequestState.REFUSED: "",
    RequestState.TAKEN_BACK: "",
}
CHANNELS = {
    "MINI_PROGRAM": gettext_lazy("mini-program"),
    "CONSOLE": gettext_lazy("entered by staff"),
    "STORE": gettext_lazy("in a store"),
}
FATES = {
    Fate.DELETED: (gettext_lazy("deleted"), "success"),
    Fate.ANONYMOUS: (gettext_lazy("made anonymous"), "info"),
    Fate.KEPT: (gettext_lazy("kept"), ""),
}


class StateView(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """Requests that wait, and those that were answered."""

    title = gettext_lazy("state")
    parameter_name = "state"
    views: ClassVar = [("OPEN", pgettext_lazy("request", "Open")), ("over", gettext_lazy("Answered"))]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the two."""
        return list(self.views)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen one."""
        if self.value() == "OPEN":
            return queryset.filter(state=RequestState.OPEN)
        return queryset.exclude(state=RequestState.OPEN) if self.value() == "over" else queryset


@admin.register(RightsRequest, site=site)
class RightsRequestAdmin(ConsoleModelAdmin):
    """What people ask for about their own data. Each has a last day; an erasure is done here and leaves a proof."""

    area = "privacy"
    place = "settings"
    tab = gettext_lazy("Requests about data")
    tab_order = 44
    allow_add = False
    allow_change = False
    audit_writes = False
    empty_text = gettext_lazy(
        "Members ask in the mini-program for a copy of their data, its correction or deletion; what somebody asks for "
        "in a shop is entered on the person's page, under privacy."
    )
    list_display = (
        "who",
        "kind",
        moment("asked_at", gettext_lazy("asked")),
        "clock",
        "status",
        moment("answered_at", gettext_lazy("answer given")),
    )
    list_display_links = ("who",)
    list_select_related = ("member",)
    list_filter = (StateView,)
    views_filter = StateView
    ordering = ("brand", "-asked_at", "-pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("who", "kind", "clock")

    @admin.display(description=gettext_lazy("member"))
    def who(self, row: RightsRequest) -> Any:
        """Show the person, or the number that is left of them."""
        return two_lines(row.member.name or gettext("No name yet"), row.member.member_no)

    @admin.display(description=gettext_lazy("answer until"))
    def clock(self, row: RightsRequest) -> Any:
        """Show the last day, and how much is left while it is open."""
        return clock_of(row, now())

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: RightsRequest) -> Any:
        """Show how it stands."""
        return state(row.get_state_display(), _TONES[RequestState(row.state)])

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show one request with its answer; answer it."""
        row = self.get_object(request, object_id) if object_id else None
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        if request.method == "POST":
            viewer_of(request).require("privacy.edit")
            return self._act(request, row)
        if request.GET.get("proof") == "json" and row.proof:
            answer = HttpResponse(orjson.dumps(row.proof, option=orjson.OPT_INDENT_2), content_type="application/json")
            answer["Content-Disposition"] = f'attachment; filename="proof-{row.pk}.json"'
            return answer
        return self._page(request, row)

    def _act(self, request: HttpRequest, row: RightsRequest) -> Any:
        viewer, at, act = viewer_of(request), now(), request.POST.get("act", "")
        link = ""
        try:
            if act == "erase" and request.POST.get("text", "").strip() == row.member.member_no:
                services.answer_erasure(request=row, by=viewer.label, at=at)
                self.message_user(request, gettext("Deleted. The proof is below."), level="success")
            elif act == "erase":
                self.message_user(request, gettext("Not deleted: the member number was not typed."), level="error")
            elif act == "corrected":
                services.answer_correction(request=row, by=viewer.label, at=at)
            elif act == "explain":
                services.answer_explanation(request=row, answer=request.POST.get("text", ""), by=viewer.label, at=at)
                self.message_user(request, gettext("Answered. The person can fetch it now."), level="success")
            elif act == "refuse":
                services.refuse(request=row, reason=request.POST.get("text", ""), by=viewer.label, at=at)
            elif act == "link":
                link = link_to_copy(request, row)
        except AppError as error:
            self.message_user(request, f"{error.message} {error.hint}".strip(), level="error")
        return self._page(request, row, link=link) if link else HttpResponseRedirect(request.path)

    def _page(self, request: HttpRequest, row: RightsRequest, *, link: str = "") -> Any:
        made = RequestFile.objects.defer("content").filter(request=row).order_by("-pk").first()
        open_ = row.state == RequestState.OPEN and viewer_of(request).can("privacy.edit")
        may_explain = open_ and row.kind == RequestKind.EXPLAIN
        context = {
            **self.admin_site.each_context(request),
            "title": row.get_kind_display(),
            "zy_object": row.member.member_no,
            "row": row,
            "status": self.status(row),
            "clock": clock_of(row, now()),
            "channel": CHANNELS.get(row.channel, row.channel),
            "person_link": reverse("admin:members_member_privacy", args=[row.member_id]),
            "may_erase": open_ and row.kind == RequestKind.ERASE,
            "may_correct": open_ and row.kind == RequestKind.CORRECT,
            "may_explain": may_explain,
            **(context_of(row.member, at=now()) if may_explain else {}),
            "may_refuse": open_ and row.kind != RequestKind.COPY,
            "waits": services.reasons_to_wait(row.member_id) if open_ and row.kind == RequestKind.ERASE else [],
            "made": made,
            "may_fetch": made is not None
            and made.fetched_at is None
            and made.expires_at > now()
            and viewer_of(request).can("privacy.edit"),
            "link": link,
            "proof": proof_lines(row.proof),
            "digest": row.proof.get("digest", ""),
            "intact": is_intact(row.proof) if row.proof else True,
        }
        return TemplateResponse(request, "members/privacy/request.html", context)


def clock_of(row: RightsRequest, at: datetime) -> Any:
    """Give the last day of a request, and for an open one the days that are left."""
    if row.state != RequestState.OPEN:
        return formats.local_time(row.due_at)
    left = (row.due_at - at).days
    if row.due_at <= at:
        return state(gettext("overdue since %(day)s") % {"day": formats.local_time(row.due_at)}, "danger")
    tone = "warning" if left < 3 else "info"
    return state(gettext("%(day)s, %(left)s days left") % {"day": formats.local_time(row.due_at), "left": left}, tone)


def proof_lines(proof: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the lines of a proof in the words of who looks at it."""
    language = "zh-hans" if (get_language() or "").startswith("zh") else "en"
    return [
        {
            **line,
            "label": line["label"][language],
            "law": line["law"][language],
            "fate": state(FATES[Fate(line["fate"])][0], FATES[Fate(line["fate"])][1]),
        }
        for line in proof.get("lines", ())
    ]


def link_to_copy(request: HttpRequest, row: RightsRequest) -> str:
    """Give an address at which whoever asks now can fetch the copy for ten minutes."""
    viewer = viewer_of(request)
    token = signing.dumps({"request": row.pk, "brand": viewer.brand_id, "staff": viewer.staff_id}, salt=_SALT)
    return reverse("admin:fetch_copy", args=[token])


def fetch(request: HttpRequest, token: str) -> HttpResponse:
    """Hand a copy out as two files in one; the link is good for ten minutes, for the one who made it, once."""
    viewer, at = viewer_of(request), now()
    try:
        known = signing.loads(token, salt=_SALT, max_age=LINK_SECONDS)
    except signing.BadSignature:
        raise Http404 from None
    if (known["brand"], known["staff"]) != (viewer.brand_id, viewer.staff_id):
        raise Http404
    row = RightsRequest.objects.filter(pk=known["request"]).first()
    if row is None:
        raise Http404
    try:
        content = services.fetch_copy(request=row, by=viewer.label, at=at)
    except CopyGone as error:
        messages.error(request, f"{error.message} {error.hint}")
        return HttpResponseRedirect(reverse("admin:members_rightsrequest_change", args=[row.pk]))
    services.note_listed(people=[row.member_id], page="copy", at=at)
    mark = gettext("Fetched by %(who)s for %(brand)s on %(when)s; request %(number)s") % {
        "who": viewer.label,
        "brand": brand_of(request).name,
        "when": formats.local_time(at),
        "number": row.pk,
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("copy.json", orjson.dumps({**content["json"], "watermark": mark}, option=orjson.OPT_INDENT_2))
        archive.writestr("copy.html", content["html"].replace("</body>", f"<p>{escape(mark)}</p></body>"))
    answer = HttpResponse(packed.getvalue(), content_type="application/zip")
    answer["Content-Disposition"] = f'attachment; filename="copy-{row.pk}.zip"'
    answer["Cache-Control"] = "no-store"
    return answer


watchers.register("members.unusual_access", services.watch_access)
pages.register("fetch_copy", Page("members/copies/<str:token>/", fetch, "fetch_copy", "privacy", "edit"))


@home_cards.add("members.requests_about_data")
def open_requests(viewer: Viewer) -> Todo | None:
    """Name requests that wait for an answer, the next deadline first."""
    if not viewer.can("privacy.edit"):
        return None
    waiting = RightsRequest.objects.filter(state=RequestState.OPEN).aggregate(count=Count("pk"), first=Min("due_at"))
    return Todo(
        gettext("Requests about personal data waiting for an answer"),
        waiting["count"],
        f"{reverse('admin:members_rightsrequest_changelist')}?state=OPEN",
        pgettext("request", "Answer"),
        gettext("the first until %(day)s") % {"day": formats.local_time(waiting["first"])} if waiting["count"] else "",
        20,
    )


lists("members.RightsRequest", "name", "number", "consents", page=("name", "number", "consents"))
