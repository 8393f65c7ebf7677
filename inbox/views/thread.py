"""One conversation: its lines, the meter of what may be sent, the composer, and the pictures in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy

from common.clock import now
from console.http import row_id, viewer_of
from console.site import page_response
from inbox import fallbacks, on_screen, selectors
from inbox.allowed import basis_of
from inbox.errors import ConversationMissing
from inbox.models import AttachmentState, ConversationState, Direction, Message
from inbox.views import lists
from library import files
from library.models import MediaItem
from members.opened import shows
from members.services import note_opened

if TYPE_CHECKING:
    from inbox.models import Conversation
    from wechat_gateway.windows import Allowance

WINDOWS: Final = {"before": "before", "after": "after", "line": "around"}  # in the address: what it asks for
shows("conversation", gettext_lazy("Conversation"), "name", "words")

SAFE: Final = frozenset({"image/png", "image/jpeg", "image/gif"})


def conversation_or_404(request: HttpRequest, pk: int) -> Conversation:
    """Give a conversation that the person may see; others look as if there were none."""
    row = selectors.conversation_seen_by(viewer_of(request), pk)
    if row is None:
        raise ConversationMissing
    return row


def show(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a conversation beside the list."""
    conversation = conversation_or_404(request, pk)
    at = now()
    context = {
        "title": on_screen.name_of(conversation),
        **lists.list_context(request, opened=conversation.pk),
        **lists.duty_context(request),
        **thread_context(request, conversation),
        "client_key": uuid4(),
        "colleagues": selectors.colleagues(conversation, at=at),
    }
    lists.note(context)
    return page_response(request, "inbox/page.html", context)


def poll(request: HttpRequest, pk: int) -> HttpResponse:
    """Give the thread when it differs from the version the page has, else 204. Two queries when nothing changed."""
    conversation = conversation_or_404(request, pk)
    at = now()
    allowed = selectors.allowance_of(conversation.follower_id, at=at)
    if version_of(conversation, allowed) == request.GET.get("v", ""):
        return HttpResponse(status=204)
    return fragment(request, conversation)


def fragment(
    request: HttpRequest, conversation: Conversation, *, refusal: dict[str, str] | None = None
) -> HttpResponse:
    """Give the thread alone, with what went wrong if something did."""
    context = {
        **thread_context(request, conversation),
        "refusal": refusal,
        "can_edit": viewer_of(request).can("inbox.edit"),
    }
    return TemplateResponse(request, "inbox/_thread.html", context)


def file(request: HttpRequest, pk: int, line_id: int) -> HttpResponse:
    """Hand out a picture of a conversation to who may see the conversation; nothing else ever leads to a file."""
    conversation = conversation_or_404(request, pk)
    row = Message.objects.select_related("attachment").filter(pk=line_id, conversation=conversation).first()
    if row is None:
        raise Http404
    path, content_type = "", ""
    if row.attachment is not None and row.attachment.state == AttachmentState.STORED:
        path, content_type = row.attachment.path, row.attachment.content_type
    elif row.facts.get("item"):
        item = MediaItem.objects.filter(pk=row.facts["item"]).first()
        path, content_type = (item.path, item.content_type) if item else ("", "")
    if not path or content_type not in SAFE:
        raise Http404
    try:
        body = files.read(path)
    except FileNotFoundError as error:
        raise Http404 from error
    note_opened(member_id=conversation.follower.member_id, page="conversation", at=now())
    response = HttpResponse(body, content_type=content_type)
    response["Cache-Control"] = "private, max-age=86400"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Disposition"] = "inline"
    return response


def allowed(request: HttpRequest, pk: int, line_id: int) -> HttpResponse:
    """Say what allowed a message of ours: the statement behind it, or what the person did themselves."""
    conversation = conversation_or_404(request, pk)
    row = Message.objects.filter(pk=line_id, conversation=conversation, direction=Direction.OUT).first()
    if row is None:
        raise Http404
    note_opened(member_id=conversation.follower.member_id, page="conversation", at=now())
    return TemplateResponse(request, "inbox/_allowed.html", on_screen.basis(basis_of(conversation, row), conversation))


def thread_context(request: HttpRequest, conversation: Conversation) -> dict[str, Any]:
    """Give everything of a conversation that changes while one looks: its newest lines, or those the address asks for.

    `?before=`, `?after=` and `?line=` name a line of the conversation; one that is gone shows the newest.
    """
    at = now()
    asked = {key: row_id(request.GET.get(key)) for key in WINDOWS} if request.method == "GET" else {}
    chosen = next((key for key in WINDOWS if asked.get(key) is not None), "")
    shown = selectors.window(conversation, **{WINDOWS[chosen]: asked[chosen]} if chosen else {})
    first, last = (shown.lines[0].pk, shown.lines[-1].pk) if shown.lines else (0, 0)
    allowed = selectors.allowance_of(conversation.follower_id, at=at)
    meter = on_screen.meter(
        allowed, at=at, following=conversation.follower.subscribed, connected=conversation.account.is_active
    )
    waits = conversation.waiting_since
    note_opened(member_id=conversation.follower.member_id, page="conversation", at=at)
    return {
        "conversation": conversation,
        "name": on_screen.name_of(conversation),
        "state": on_screen.state_of(conversation.state),
        "lines": [on_screen.line(row, conversation) for row in shown.lines],
        "window": f"{chosen}={asked[chosen]}" if chosen else "",
        "found": asked.get("line"),
        "earlier": f"before={first}" if shown.earlier else "",
        "later": f"after={last}" if shown.later else "",
        "meter": meter,
        "offers": [] if meter["open"] or not conversation.account.is_active else fallbacks.offers(conversation, at=at),
        "is_mine": conversation.assignee_id == viewer_of(request).staff_id,
        "is_resolved": conversation.state == ConversationState.RESOLVED,
        "waits_ms": int(waits.timestamp() * 1000) if waits else 0,
        "now_ms": int(at.timestamp() * 1000),
        "version": version_of(conversation, allowed),
        "changes": conversation.version,
        "at": at,
    }


def version_of(conversation: Conversation, allowed: Allowance) -> str:
    """Give what changes whenever the thread would look different."""
    until = int(allowed.until.timestamp()) if allowed.until else 0
    reachable = f"{int(conversation.follower.subscribed)}{int(conversation.account.is_active)}"
    return f"{conversation.version}.{allowed.left}.{until}.{reachable}"
