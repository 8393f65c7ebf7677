"""What programs decided about one person, for whoever answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.urls import reverse
from django.utils.translation import gettext as _

from common.clock import now
from console.http import viewer_of
from console.registry import Page, pages
from console.site import page_response
from members import selectors
from members.choices import PERSONAL
from members.decisions import decisions_about
from members.explanations import profile_in_words
from members.models import OptOut
from members.services.access import note_opened
from members.services.explaining import rights_in_words

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest, HttpResponse

    from members.models import Member


def context_of(member: Member, *, at: datetime) -> dict[str, Any]:
    """Give what the parts of the page show."""
    kinds = decisions_about(member, at=at)
    return {
        "profile": profile_in_words(member, at=at),
        "personalised": not OptOut.objects.filter(member=member, purpose=PERSONAL).exists(),
        "kinds": kinds,
        "nothing": [kind for kind in kinds if not kind.decisions],
        "rights": rights_in_words(),
    }


def decisions(request: HttpRequest, pk: int) -> HttpResponse:
    """Show them."""
    member = selectors.records_within(viewer_of(request)).filter(pk=pk).first()
    if member is None:
        raise Http404
    note_opened(member_id=member.pk, page="decisions", at=now())
    context = {
        "title": _("Decisions about “%(name)s”") % {"name": member.name or member.member_no},
        "zy_object": member,
        "zy_deeper": True,
        "back": reverse("admin:members_member_privacy", args=[member.pk]),
        **context_of(member, at=now()),
    }
    return page_response(request, "members/privacy/decisions.html", context)


_PAGE = Page("members/decisions/<int:pk>/", decisions, "members_member_decisions", "members")
pages.register(_PAGE.name, _PAGE)
