"""The page of what no rule answered: suggestions of the last week, and what is asked this week."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from common.clock import now
from console.http import row_id, viewer_of
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from conversations import services
from conversations.models import Suggestion
from conversations.selectors import open_suggestions, unmatched_phrases
from conversations.services.phrases import week_of

if TYPE_CHECKING:
    from django.http import HttpRequest

SHOWN = 50


def unmatched_page(request: HttpRequest) -> HttpResponse:
    """Show keywords worth a rule, and the messages without an answer; a suggestion can be left aside."""
    may_edit = viewer_of(request).can("replies.edit")
    here = reverse("admin:conversations_unmatched")
    if request.method == "POST":
        viewer_of(request).require("replies.edit")
        pk = row_id(request.POST.get("suggestion", ""))
        suggestion = Suggestion.objects.filter(pk=pk).first() if pk is not None else None
        if suggestion is None:
            raise Http404
        services.ignore_suggestion(suggestion=suggestion)
        messages.success(request, gettext("“%(keyword)s” is left aside.") % {"keyword": suggestion.keyword})
        return HttpResponseRedirect(here)
    week = week_of(now())
    context = {
        "title": gettext("Unmatched"),
        "suggestions": open_suggestions(),
        "week": week,
        "until": week + timedelta(days=6),
        "phrases": unmatched_phrases(week)[:SHOWN],
        "before": unmatched_phrases(week - timedelta(days=7))[:SHOWN],
        "may_edit": may_edit,
    }
    return page_response(request, "conversations/unmatched.html", context)


pages.register(
    "conversations.unmatched", Page("conversations/unmatched/", unmatched_page, "conversations_unmatched", "replies")
)
nav.register("inbox.unmatched", Tab("inbox", gettext_lazy("Unmatched"), "conversations_unmatched", "replies", 14))
