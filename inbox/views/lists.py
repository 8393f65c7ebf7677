"""The list of conversations, and the canned replies of the composer."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from common.clock import now
from console.http import row_id, viewer_of
from console.site import page_response
from inbox import on_screen, routing, selectors, services
from inbox.models import Agent, TaskKind
from members.opened import Way, shows
from members.services import note_listed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from accounts.viewer import Viewer
    from inbox.models import Conversation

VIEWS: Final = {
    "mine": pgettext_lazy("conversations", "Mine"),
    "unassigned": gettext_lazy("Queue"),
    "waiting": gettext_lazy("Waiting longest"),
    "all": pgettext_lazy("conversations", "All"),
}
ASKED_FOR: Final = {"held": pgettext_lazy("conversations", "Messages that wait")}  # shown to who comes from there
_CANNED: Final = 12
_TASKS: Final = 5


def index(request: HttpRequest) -> HttpResponse:
    """Show the list with no conversation open."""
    context = {
        "title": _("Inbox"),
        "conversation": None,
        **list_context(request),
        **duty_context(request),
    }
    note(context)
    return page_response(request, "inbox/page.html", context)


def rows(request: HttpRequest) -> HttpResponse:
    """Give the list when it differs from the version the page has, else 204. Two queries (a search may take more)."""
    viewer, at = viewer_of(request), now()
    _seen(viewer, at)
    context = list_context(request)
    if context["version"] == request.GET.get("v", ""):
        return HttpResponse(status=204)
    note(context)
    return TemplateResponse(request, "inbox/_rows.html", context)


def note(context: Mapping[str, Any]) -> None:
    """Write down whom the list and the follow-ups show, where they are shown."""
    at = now()
    note_listed(people=context.get("people", ()), page="inbox.list", at=at)
    note_listed(people=context.get("task_people", ()), page="inbox.tasks", at=at)


def canned(request: HttpRequest) -> HttpResponse:
    """Give the canned replies that fit what was typed after the slash."""
    term = request.GET.get("q", "").strip()[:40]
    found = selectors.canned_replies(term)[:_CANNED]
    return JsonResponse(
        {"rows": [{"id": row.pk, "shortcut": row.shortcut, "title": row.title, "text": row.text} for row in found]}
    )


def list_context(request: HttpRequest, opened: int | None = None) -> dict[str, Any]:
    """Give the list pane: its rows, the views with their counts, and the version of all that."""
    viewer, at = viewer_of(request), now()
    view = request.GET.get("view", "")
    asked_for = ASKED_FOR.get(view.partition("-")[0])
    view = view if view in VIEWS or asked_for else default_view(viewer)
    views = {**VIEWS, **({view: asked_for} if asked_for else {})}
    term = request.GET.get("q", "").strip()[:60]
    opened = opened if opened is not None else row_id(request.GET.get("open"))
    page = min(max(row_id(request.GET.get("page")) or 1, 1), selectors.PAGES)
    start = (page - 1) * selectors.PAGE
    if term:
        found = selectors.hits(viewer, term, limit=selectors.PAGE + 1, start=start)
    else:
        listed = selectors.listed(viewer, view)[start : start + selectors.PAGE + 1]
        found = [(row, None) for row in listed]
    more, found = len(found) > selectors.PAGE, found[: selectors.PAGE]
    shown = [row for row, _line in found]
    counts = selectors.waiting_counts(viewer)
    here: dict[str, str | int] = {"view": view, **({"q": term} if term else {})}
    query = urlencode({**here, **({"page": page} if page > 1 else {})})
    return {
        "rows": [_row(row, at, opened, query, line) for row, line in found],
        "views": [
            {
                "key": key,
                "label": label,
                "active": key == view and not term,
                "link": f"?{urlencode({'view': key})}",
                "count": _count(counts.get(key)),
            }
            for key, label in views.items()
        ],
        "view": view,
        "term": term,
        "opened": opened,
        "now_ms": int(at.timestamp() * 1000),
        "target_ms": int(routing.TARGET.total_seconds() * 1000),
        "version": _version(shown, counts, opened, view),
        "people": [row.follower.member_id for row in shown],
        "page": page,
        "newer": f"?{urlencode({**here, 'page': page - 1})}" if page > 1 else "",
        "older": f"?{urlencode({**here, 'page': page + 1})}" if more and page < selectors.PAGES else "",
        "full": more and page == selectors.PAGES,
    }


def tasks(request: HttpRequest) -> HttpResponse:
    """Give what the person has to do when it differs from the version the page has, else 204. One query."""
    context = tasks_context(request)
    if context["tasks_version"] == request.GET.get("v", ""):
        return HttpResponse(status=204)
    note(context)
    return TemplateResponse(request, "inbox/_tasks.html", context)


def default_view(viewer: Viewer) -> str:
    """Give the list somebody begins with: what is theirs, or for who only looks, what waits."""
    return "mine" if viewer.can("inbox.edit") else "waiting"


def duty_context(request: HttpRequest) -> dict[str, Any]:
    """Give whether the person takes conversations now, and what they have to do."""
    viewer = viewer_of(request)
    agent = Agent.objects.filter(staff_user_id=viewer.staff_id).first()
    return {
        **tasks_context(request),
        "on_duty": agent is not None and agent.on_duty,
        "capacity": agent.capacity if agent else 0,
        "can_edit": viewer.can("inbox.edit"),
    }


def tasks_context(request: HttpRequest) -> dict[str, Any]:
    """Give what the person has to do, the most urgent first, and the version of all that."""
    viewer, at = viewer_of(request), now()
    found = list(selectors.tasks_for(viewer, at=at)[:_TASKS]) if viewer.can("inbox.edit") else []
    shown = [
        {
            "id": task.pk,
            "label": task.get_kind_display(),
            "note": task.note,
            "name": on_screen.name_of(task.conversation),
            "link": on_screen.page_of(task.conversation_id),
            "due_at": task.due_at,
            "until": task.kind == TaskKind.FOLLOW_UP,
            "is_due": task.due_at is not None and task.due_at <= at,
        }
        for task in found
    ]
    people = [task.conversation.follower.member_id for task in found]
    return {"tasks": shown, "task_people": people, "tasks_version": f"{zlib.crc32(repr(shown).encode()):x}"}


def _seen(viewer: Viewer, at: datetime) -> None:
    """Note in some of the polls that this person's console is open; most of them write nothing."""
    if viewer.staff_id is not None and int(at.timestamp()) % 30 < 3:
        services.note_seen(staff_id=viewer.staff_id, at=at)


def _row(row: Conversation, at: datetime, opened: int | None, query: str, line: int | None) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": on_screen.name_of(row),
        "snippet": on_screen.snippet(row),
        "mine": not row.last_inbound,
        "link": f"{on_screen.page_of(row.pk)}?{query}" + (f"&line={line}" if line is not None else ""),
        "state": on_screen.state_of(row.state),
        "waits_ms": int(row.waiting_since.timestamp() * 1000) if row.waiting_since else 0,
        "late": row.waiting_since is not None and at - row.waiting_since > routing.TARGET,
        "assignee": str(row.assignee) if row.assignee else "",
        "store": row.store.name if row.store else "",
        "at": row.last_at,
        "is_open": row.pk == opened,
    }


def _count(number: int | None) -> str:
    if number is None:
        return ""
    return f"{selectors.COUNTED_TO}+" if number > selectors.COUNTED_TO else str(number)


def _version(shown: list[Conversation], counts: dict[str, int], opened: int | None, view: str) -> str:
    said = repr([[(row.pk, row.version) for row in shown], sorted(counts.items()), opened, view])
    return f"{zlib.crc32(said.encode()):x}"


shows("inbox.list", gettext_lazy("List of conversations"), "name", "words", way=Way.LIST)
shows("inbox.tasks", gettext_lazy("Follow-ups of the inbox"), "name", way=Way.LIST)
