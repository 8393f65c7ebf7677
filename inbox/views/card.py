"""The person beside a conversation: who they are, why somebody answers, what is still to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy

from common.clock import now
from console.http import viewer_of
from console.person import panels_of
from inbox import on_screen, selectors
from inbox.views.thread import conversation_or_404
from members.opened import shows
from members.selectors import visible_members
from members.services import note_listed, note_opened

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


def card(request: HttpRequest, pk: int) -> HttpResponse:
    """Give the card. Of people outside the viewer's scope it tells nothing, though their conversation may be theirs."""
    conversation = conversation_or_404(request, pk)
    viewer, member = viewer_of(request), conversation.follower.member
    seen = viewer.can("members.view") and visible_members(viewer).filter(pk=member.pk).exists()
    if seen:
        note_opened(member_id=member.pk, page="inbox.card", at=now())
    else:
        note_listed(people=[member.pk], page="inbox.list", at=now())
    context = {
        "conversation": conversation,
        "name": on_screen.name_of(conversation),
        "member": member if seen else None,
        "member_link": reverse("admin:members_member_change", args=[member.pk]) if seen else "",
        "panels": panels_of(member, request) if seen else [],
        "hops": [on_screen.hop(row) for row in selectors.hops_of(conversation)],
        "tasks": selectors.open_tasks_of(conversation),
        "can_edit": viewer.can("inbox.edit"),
    }
    return TemplateResponse(request, "inbox/_card.html", context)


shows(
    *("inbox.card", gettext_lazy("Card beside a conversation"), "name", "number", "phone_masked", "profile", "tags"),
    *("behaviour", "relations", "purchases", "points", "coupons", "consents"),
)
