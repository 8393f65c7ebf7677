"""What people do on the page of a conversation: each is one service call, answered with the thread as it is then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from common.clock import now
from common.errors import AppError
from console.http import brand_of, row_id, viewer_of
from guides.models import Assignment
from inbox import on_screen, selectors, services
from inbox.errors import NotAnAgent
from inbox.models import AgentTask
from inbox.views.thread import conversation_or_404, fragment
from library import services as library_services
from library.files import LARGEST

if TYPE_CHECKING:
    from inbox.models import Conversation

MORNING: Final = time(9)
TASK_IN: Final = timedelta(hours=2)


def say(request: HttpRequest, pk: int) -> HttpResponse:
    """Send a text or a picture, or keep a text as an internal note."""
    conversation = _posted(request, pk)

    def write() -> None:
        staff_id, key, text = _staff_id(request), _key(request), request.POST.get("text", "")
        picture = request.FILES.get("picture")
        if picture is not None:
            item = library_services.add_media(
                name=picture.name or "", body=picture.read(LARGEST + 1), at=now(), brand_id=conversation.brand_id
            )
            services.send_picture(conversation_id=pk, staff_id=staff_id, item=item, client_key=key, at=now())
            return
        if request.POST.get("as") == "note":
            services.write_note(conversation_id=pk, staff_id=staff_id, text=text, client_key=key, at=now())
            return
        canned_id = row_id(request.POST.get("canned"))
        services.send_text(
            conversation_id=pk, staff_id=staff_id, text=text, client_key=key, at=now(), canned_id=canned_id
        )

    return _do(request, conversation, write, said="inbox:sent")


def step(request: HttpRequest, pk: int) -> HttpResponse:
    """Take, transfer, snooze, resolve, give a task, or ask to be reminded."""
    conversation = _posted(request, pk)
    act = _STEPS.get(request.POST.get("act", ""))
    if act is None:
        raise Http404
    return _do(request, conversation, lambda: act(request, conversation), said="inbox:done")


def duty(request: HttpRequest) -> HttpResponse:
    """Begin or end to take conversations."""
    if request.method != "POST":
        raise Http404
    services.set_duty(staff_id=_staff_id(request), on_duty=request.POST.get("duty") == "on", at=now())
    return HttpResponseRedirect(reverse(on_screen.LIST))


def task_done(request: HttpRequest, task_id: int) -> HttpResponse:
    """Tick a task off."""
    task = AgentTask.objects.filter(pk=task_id).first()
    if request.method != "POST" or task is None:
        raise Http404
    if task.staff_user_id != viewer_of(request).staff_id:
        conversation_or_404(request, task.conversation_id)
    services.finish_task(task_id=task.pk, at=now())
    return HttpResponseRedirect(reverse(on_screen.LIST))


def _posted(request: HttpRequest, pk: int) -> Conversation:
    conversation = conversation_or_404(request, pk)
    if request.method != "POST":
        raise Http404
    return conversation


def _do(request: HttpRequest, conversation: Conversation, work: Callable[[], object], *, said: str) -> HttpResponse:
    """Do it and give the thread; what was refused is said beside the composer, and what was typed stays."""
    refusal = None
    try:
        work()
    except AppError as error:
        if error.status in (404, 500):
            raise
        refusal = {"message": error.message, "hint": error.hint}
    if "HX-Request" not in request.headers:
        if refusal:
            messages.error(request, f"{refusal['message']} {refusal['hint']}".strip())
        return HttpResponseRedirect(on_screen.page_of(conversation.pk))
    seen = selectors.conversation_seen_by(viewer_of(request), conversation.pk)
    if seen is None:  # handed to somebody whose conversations this person does not see
        response = HttpResponse(status=204)
        response["HX-Redirect"] = reverse(on_screen.LIST)
        return response
    response = fragment(request, seen, refusal=refusal)
    response["HX-Trigger"] = "inbox:refused" if refusal else said
    return response


def _staff_id(request: HttpRequest) -> int:
    staff_id = viewer_of(request).staff_id
    if staff_id is None:
        raise NotAnAgent
    return staff_id


def _key(request: HttpRequest) -> UUID:
    try:
        return UUID(request.POST.get("client_key", ""))
    except ValueError as error:
        raise Http404 from error


def _take(request: HttpRequest, conversation: Conversation) -> None:
    services.take(conversation_id=conversation.pk, staff_id=_staff_id(request), at=now())


def _transfer(request: HttpRequest, conversation: Conversation) -> None:
    services.transfer(
        conversation_id=conversation.pk,
        to_staff_id=row_id(request.POST.get("to")),
        reason=request.POST.get("reason", ""),
        at=now(),
    )


def _resolve(request: HttpRequest, conversation: Conversation) -> None:
    services.resolve(conversation_id=conversation.pk, at=now())


def _snooze(request: HttpRequest, conversation: Conversation) -> None:
    at = now()
    services.snooze(conversation_id=conversation.pk, until=_until(request, at), at=at)


def _until(request: HttpRequest, at: datetime) -> datetime:
    zone = ZoneInfo(brand_of(request).timezone)
    local = at.astimezone(zone)
    tomorrow = datetime.combine(local.date() + timedelta(days=1), MORNING, zone)
    monday = datetime.combine(local.date() + timedelta(days=7 - local.weekday()), MORNING, zone)
    choices = {"hour": at + timedelta(hours=1), "tomorrow": tomorrow, "monday": monday}
    return choices.get(request.POST.get("until", ""), tomorrow)


def _task(request: HttpRequest, conversation: Conversation) -> None:
    at = now()
    own = (
        Assignment.objects.select_related("guide")
        .filter(member_id=conversation.follower.member_id, until__isnull=True)
        .first()
    )
    note = request.POST.get("note", "").strip() or _("Contact them: the time for a reply here is over.")
    staff_id = own.guide.staff_user_id if own else None
    services.give_task(conversation_id=conversation.pk, staff_id=staff_id, note=note, due_at=at + TASK_IN, at=at)


def _remind(request: HttpRequest, conversation: Conversation) -> None:
    services.remind_me(conversation_id=conversation.pk, staff_id=_staff_id(request), at=now())


_STEPS: Final[dict[str, Callable[[HttpRequest, Conversation], None]]] = {
    "take": _take,
    "transfer": _transfer,
    "resolve": _resolve,
    "snooze": _snooze,
    "task": _task,
    "remind": _remind,
}
