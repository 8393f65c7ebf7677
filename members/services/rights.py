"""Requests about one's own data: each has a clock, an answer, and something to show for it."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson
from django.db import IntegrityError, transaction

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, current_brand_id
from members import tasks
from members.errors import CopyGone, RequestAnswered, RequestAsked, RequestInvalid
from members.models import Member, RequestFile, RequestKind, RequestState, RightsRequest
from members.services.copies import copy_of, page_of
from members.services.erasure import erase_member
from members.services.explaining import explanation_of, explanation_page
from members.services.preferences import set_preferences

if TYPE_CHECKING:
    from datetime import datetime

#: PIPL names no number; the mini-program rules of several provinces do: 15 working days.
WORKING_DAYS: Final = 15
COPY_KEPT: Final = timedelta(days=7)
_WORDS: Final = 200
_ANSWER: Final = 400
_A_ROUND: Final = 20


@transaction.atomic
def ask(*, member: Member, kind: str, channel: str, at: datetime, words: str = "", by: str = "") -> RightsRequest:
    """Take a request down; a copy is begun at once. Raises `RequestAsked`, `RequestInvalid`.

    An objection to personalised marketing needs nobody's answer: it holds from now on, and the request is done.
    """
    words = words.strip()
    if len(words) > _WORDS or (kind == RequestKind.CORRECT and not words):
        raise RequestInvalid("words")
    try:
        with transaction.atomic():
            row = RightsRequest.objects.create(
                member=member,
                kind=RequestKind(kind),
                words=words,
                channel=channel,
                asked_at=at,
                due_at=after_working_days(at, WORKING_DAYS),
                asked_by=by[:60],
            )
    except IntegrityError:
        raise RequestAsked from None
    record_audit(action="ask about data", obj=row, changes={"kind": [None, row.kind]}, label=member.member_no)
    if row.kind == RequestKind.OBJECT:
        set_preferences(member=member, personal=False, channel=channel, source=f"request {row.pk}", at=at)
        _answer(row, by, at, RequestState.DONE)
    if row.kind == RequestKind.COPY:
        ring(tasks.make_copies, current_brand_id())
    return row


def after_working_days(at: datetime, days: int) -> datetime:
    """Give the moment after so many days from Monday to Friday; public holidays are not taken off: sooner is safe."""
    left, moment = days, at
    while left:
        moment += timedelta(days=1)
        left -= moment.weekday() < 5
    return moment


def make_copies(brand_id: int, *, at: datetime) -> int:
    """Make the copies that are asked for in a brand, each in a transaction of its own; gives how many."""
    made = 0
    while made < _A_ROUND:
        with brand_scope(brand_id):
            row = (
                RightsRequest.objects.select_for_update(skip_locked=True, of=("self",))
                .select_related("member")
                .filter(kind=RequestKind.COPY, state=RequestState.OPEN)
                .order_by("asked_at", "pk")
                .first()
            )
            if row is None:
                return made
            _make_copy(row, at)
        made += 1
    return made


def _make_copy(row: RightsRequest, at: datetime) -> RequestFile:
    document = copy_of(row.member, at=at)
    made = _keep(row, {"json": document, "html": page_of(document)}, at)
    row.state, row.answered_at = RequestState.READY, at
    row.save(update_fields=["state", "answered_at"])
    return made


def _keep(row: RightsRequest, document: dict[str, Any], at: datetime) -> RequestFile:
    content = orjson.dumps(document).decode()
    return RequestFile.objects.create(
        request=row,
        content=content,
        sha256=hashlib.sha256(content.encode()).hexdigest(),
        made_at=at,
        expires_at=at + COPY_KEPT,
    )


@transaction.atomic
def fetch_copy(*, request: RightsRequest, by: str, at: datetime) -> dict[str, Any]:
    """Hand the copy out, once: `{"json": …, "html": …}`. Whoever fetches it is written down. Raises `CopyGone`."""
    made = RequestFile.objects.select_for_update().filter(request=request).order_by("-pk").first()
    if made is None or made.fetched_at is not None or made.expires_at <= at or made.content is None:
        raise CopyGone
    content: dict[str, Any] = orjson.loads(made.content.reveal())
    made.content, made.fetched_at, made.fetched_by = None, at, by[:60]
    made.save(update_fields=["content", "fetched_at", "fetched_by"])
    RightsRequest.objects.filter(pk=request.pk, state=RequestState.READY).update(state=RequestState.DONE)
    record_audit(action="fetch copy", obj=request, changes={"sha256": [None, made.sha256]}, label=by)
    return content


@transaction.atomic
def answer_erasure(*, request: RightsRequest, by: str, at: datetime) -> RightsRequest:
    """Delete the person who asks for it and keep the proof. Raises `ErasureHeld`, `RequestAnswered`."""
    row = _open(request, RequestKind.ERASE)
    proof = erase_member(member=row.member, reason=f"request {row.pk}", at=at)
    return _answer(row, by, at, RequestState.DONE, proof=proof)


@transaction.atomic
def answer_correction(*, request: RightsRequest, by: str, at: datetime) -> RightsRequest:
    """Say that what was wrong has been put right. Raises `RequestAnswered`."""
    row = _open(request, RequestKind.CORRECT)
    record_audit(action="answer request", obj=row, changes={"state": [RequestState.OPEN, RequestState.DONE]})
    return _answer(row, by, at, RequestState.DONE)


@transaction.atomic
def answer_explanation(*, request: RightsRequest, answer: str, by: str, at: datetime) -> RightsRequest:
    """Give the person what programs decided about them as of now, with what somebody adds after looking at it.

    Raises `RequestAnswered`, `RequestInvalid`.
    """
    answer = answer.strip()
    if len(answer) > _ANSWER:
        raise RequestInvalid("answer")
    row = _open(request, RequestKind.EXPLAIN)
    document = explanation_of(row.member, at=at, answer=answer)
    _keep(row, {"json": document, "html": explanation_page(document)}, at)
    record_audit(action="answer request", obj=row, changes={"state": [RequestState.OPEN, RequestState.READY]})
    row.answer = answer
    row.save(update_fields=["answer"])
    return _answer(row, by, at, RequestState.READY)


@transaction.atomic
def refuse(*, request: RightsRequest, reason: str, by: str, at: datetime) -> RightsRequest:
    """Refuse with the reason that the person is told. Raises `RequestAnswered`, `RequestInvalid`."""
    reason = reason.strip()
    if not reason or len(reason) > _WORDS:
        raise RequestInvalid("refusal")
    row = _open(request)
    record_audit(
        action="refuse request", obj=row, changes={"state": [RequestState.OPEN, RequestState.REFUSED]}, reason=reason
    )
    return _answer(row, by, at, RequestState.REFUSED, refusal=reason)


@transaction.atomic
def take_back(*, request: RightsRequest, at: datetime) -> RightsRequest:
    """The person has thought better of it. Raises `RequestAnswered`."""
    return _answer(_open(request), "", at, RequestState.TAKEN_BACK)


def drop_copies(*, at: datetime) -> int:
    """Delete copies whose time is over, in the brand in scope; gives how many."""
    over = RequestFile.objects.filter(expires_at__lte=at).exclude(content=None)
    return over.update(content=None)


def _open(request: RightsRequest, kind: str = "") -> RightsRequest:
    row = RightsRequest.objects.select_for_update(of=("self",)).select_related("member").get(pk=request.pk)
    if row.state != RequestState.OPEN or (kind and row.kind != kind):
        raise RequestAnswered
    return row


def _answer(
    row: RightsRequest, by: str, at: datetime, state: RequestState, *, refusal: str = "", proof: Any = None
) -> RightsRequest:
    row.state, row.answered_by, row.answered_at = state, by[:60], at
    row.refusal, row.proof = refusal, proof or {}
    row.save(update_fields=["state", "answered_by", "answered_at", "refusal", "proof"])
    return row
