"""The page on which a brand connects an account by scanning: link, wait, taken over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext

from common.clock import now
from common.errors import AppError
from console.registry import Page, pages
from console.site import site
from wechat_gateway import platforms, services
from wechat_gateway.errcodes import explain
from wechat_gateway.models import Invitation, InvitationState
from wechat_gateway.on_screen import invitation_words

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

_GOING_ON = frozenset({InvitationState.ASKED, InvitationState.READY, InvitationState.RETURNED})


def authorise(request: HttpRequest) -> HttpResponseBase:
    """Begin with a POST, follow with `?i=`, and come back from WeChat with a code. Nothing here calls WeChat."""
    here = reverse("admin:wechat_gateway_officialaccount_authorise")
    if request.method == "POST":
        return _begin(request, here)
    public_id = _uuid(request.GET.get("i", ""))
    if public_id is None:
        return _page(request, None)
    if request.GET.get("auth_code"):
        return _came_back(request, public_id, here)
    found = Invitation.objects.select_related("account").filter(public_id=public_id).first()
    if found is None:
        raise Http404
    if request.GET.get("part") != "state":
        return _page(request, found)
    if request.GET.get("v") == found.state and not _is_over(found):
        return HttpResponse(status=204)
    return TemplateResponse(request, "console/_authorise.html", _context(request, found))


def _begin(request: HttpRequest, here: str) -> HttpResponseBase:
    try:
        invitation = services.invite(at=now())
    except AppError as error:
        return _page(request, None, problem=f"{error.message} {error.hint}".strip())
    return HttpResponseRedirect(f"{here}?i={invitation.public_id}")


def _came_back(request: HttpRequest, public_id: UUID, here: str) -> HttpResponseBase:
    try:
        services.accept_return(public_id=public_id, auth_code=request.GET["auth_code"][:512], at=now())
    except AppError as error:
        return _page(request, None, problem=f"{error.message} {error.hint}".strip())
    return HttpResponseRedirect(f"{here}?i={public_id}")


def _page(request: HttpRequest, invitation: Invitation | None, problem: str = "") -> TemplateResponse:
    context = {
        **site.each_context(request),
        **_context(request, invitation),
        "title": gettext("Connect by scanning"),
        "problem": problem,
        "has_platform": platforms.current() is not None,
        "list_link": reverse("admin:wechat_gateway_officialaccount_changelist"),
        "zy_deeper": True,
    }
    return TemplateResponse(request, "console/authorise.html", context)


def _context(request: HttpRequest, invitation: Invitation | None) -> dict[str, Any]:
    if invitation is None:
        return {"invitation": None}
    link = ""
    if invitation.state == InvitationState.READY and not _is_over(invitation):
        back_to = (
            f"{_origin(request)}{reverse('admin:wechat_gateway_officialaccount_authorise')}?i={invitation.public_id}"
        )
        link = services.link_of(invitation, back_to=back_to)
    known = explain(invitation.code) if invitation.code is not None else None
    return {
        "invitation": invitation,
        "link": link,
        "is_over": _is_over(invitation),
        "is_live": invitation.state in _GOING_ON and not _is_over(invitation),
        "words": invitation_words(invitation),
        "cause": str(known.cause) if known else "",
        "account_link": reverse("admin:wechat_gateway_officialaccount_change", args=[invitation.account_id])
        if invitation.account_id
        else "",
    }


def _origin(request: HttpRequest) -> str:
    return f"{'https' if request.is_secure() or settings.IS_PRODUCTION else 'http'}://{request.get_host()}"


def _is_over(invitation: Invitation) -> bool:
    return invitation.state == InvitationState.READY and (
        invitation.expires_at is None or invitation.expires_at <= now()
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


pages.register(
    "wechat_authorise",
    # Named below the list of accounts, so that the list's tab is lit.
    Page("wechat/authorise/", authorise, "wechat_gateway_officialaccount_authorise", "accounts", "edit"),
)
