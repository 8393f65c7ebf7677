"""One jsapi_ticket per account: read from PostgreSQL, fetched by one holder at a time (reference: 5.14)."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha1
from typing import Final

from django.db import OperationalError, connection
from psycopg2 import errorcodes

from accounts.tenancy import brand_scope
from common.failpoints import point
from common.secret import Secret
from wechat_gateway import tokens
from wechat_gateway.answers import Answer
from wechat_gateway.client import call
from wechat_gateway.errcodes import ErrorClass, explain
from wechat_gateway.errors import CallsParked
from wechat_gateway.models import JsTicket, OfficialAccount

logger = logging.getLogger(__name__)

PATH: Final = "/cgi-bin/ticket/getticket"
LIFE: Final = 7200
_PAUSE: Final = timedelta(seconds=5)
_PAUSE_LONG: Final = timedelta(seconds=60)
_WAIT_MS: Final = 8_000
_HOLD_MS: Final = 12_000
_TICKET: Final = re.compile(r"[\x21-\x7e]{1,512}")


@dataclass(frozen=True, slots=True)
class Ticket:
    """A usable ticket."""

    secret: Secret
    expires_at: datetime


def current(account: OfficialAccount, *, at: datetime) -> Ticket:
    """The account's ticket; fetched when there is none or it has ended, by one caller at a time. Raises CallsParked.

    Opens its own short scopes. Whoever needs the same ticket waits for the one fetch; after a refusal nobody asks
    WeChat for a while, or all who wait would be refused in turn.
    """
    with brand_scope(account.brand_id):
        found = _usable(JsTicket.objects.filter(appid=account.appid).first(), at)
    return found or _fetch(account, at)


def sign(ticket: Secret, *, nonce: str, timestamp: int, url: str) -> str:
    """The signature of a page: lower-case names in this order, values as they are (reference: 1.5 F)."""
    text = f"jsapi_ticket={ticket.reveal()}&noncestr={nonce}&timestamp={timestamp}&url={url}"
    return sha1(text.encode(), usedforsecurity=False).hexdigest()


def _usable(row: JsTicket | None, at: datetime) -> Ticket | None:
    """The stored ticket unless it has ended. Raises CallsParked while WeChat gives no other."""
    if row is None:
        return None
    if row.ticket is not None and row.expires_at is not None and row.expires_at > at:
        return Ticket(row.ticket, row.expires_at)
    if row.parked_until is not None and row.parked_until > at:
        raise CallsParked(wechat_code=row.parked_code, reason="", until=row.parked_until)
    return None


def _fetch(account: OfficialAccount, at: datetime) -> Ticket:
    # Whoever holds the ticket's row must not wait for the token's as well.
    tokens.current(account, at=at)
    try:
        with brand_scope(account.brand_id):
            row = _lock(account)
            point("js ticket: locked")
            known = _usable(row, at)
            if known is not None:
                return known
            answer = call(account, PATH, at=at, query={"type": "jsapi"})
            ticket, life = answer.data.get("ticket"), answer.data.get("expires_in")
            if answer.ok and isinstance(ticket, str) and _TICKET.fullmatch(ticket) and type(life) is int and life > 0:
                row.ticket = ticket
                row.fetched_at, row.expires_at = at, at + timedelta(seconds=min(LIFE, life))
                row.parked_code = row.parked_until = None
                row.save(update_fields=["ticket", "fetched_at", "expires_at", "parked_code", "parked_until"])
                return Ticket(Secret(ticket), row.expires_at)
            row.parked_code, row.parked_until = answer.code or None, at + _pause(answer)
            row.save(update_fields=["parked_code", "parked_until"])
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", None) != errorcodes.LOCK_NOT_AVAILABLE:
            raise
        raise CallsParked(wechat_code=None, reason="", until=at + _PAUSE) from None
    logger.warning("account %s gets no jsapi_ticket: code %s %s", account.appid, answer.code, answer.cause)
    raise CallsParked(wechat_code=row.parked_code, reason="", until=row.parked_until)


def _pause(answer: Answer) -> timedelta:
    """How long to leave WeChat alone: hardly, where the next try may do, longer where people have to act first."""
    if not answer.code or explain(answer.code).error_class is ErrorClass.RETRY:
        return _PAUSE
    return _PAUSE_LONG


def _lock(account: OfficialAccount) -> JsTicket:
    """The account's row, which nobody else may change until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SET LOCAL lock_timeout = {_WAIT_MS}; SET LOCAL idle_in_transaction_session_timeout = {_HOLD_MS}"
        )
    rows = JsTicket.objects.select_for_update().filter(appid=account.appid)
    row = rows.first()
    if row is None:
        JsTicket.objects.bulk_create([JsTicket(appid=account.appid)], ignore_conflicts=True)
        row = rows.get()
    return row
