"""The installation's third-party platform: its tickets, its access token with one owner, and its API (reference: 7).

Nothing here belongs to a brand. Calls go out on behalf of the platform; those on behalf of an account that authorised
it go through `client.call` with the account's own token, which `tokens` fetches through here.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b, sha256
from typing import Any, Final
from urllib.parse import quote, urlencode
from uuid import UUID

import orjson
from django.conf import settings
from django.db import OperationalError, connection, transaction
from psycopg2 import errorcodes

from common.secret import Secret
from wechat_gateway import transport
from wechat_gateway.answers import Answer, Outcome, classify
from wechat_gateway.errcodes import ErrorClass, Reaction, explain
from wechat_gateway.errors import CallsParked, NoPlatform
from wechat_gateway.models import Platform, PlatformPush, PushState
from wechat_gateway.wire import Fields, Unreadable, read_fields, text_of

logger = logging.getLogger(__name__)

TICKET_LIFE: Final = timedelta(hours=12)
TICKET_ALARM: Final = timedelta(minutes=30)
PRE_AUTH_SECONDS: Final = 600
RELEASE_CHECK: Final = "release_check"  # kept like an authorisation event, for a worker to answer
UNREADABLE: Final = "unreadable"  # kept as it came, for people
_MARGIN: Final = timedelta(minutes=10)
_FETCH_SECONDS: Final = 5.0
_WAIT_MS: Final = 8_000
_HOLD_MS: Final = 12_000  # who holds the platform's row for longer without a word is frozen
HEAL_EVERY: Final = timedelta(seconds=60)
_PAUSE: Final = timedelta(seconds=5)
_PAUSE_LONG: Final = timedelta(seconds=60)
_REFUSED: Final = 42006  # "the platform's access token is no longer valid"
_NO_TICKET: Final = 61006
_TOKEN_FIELDS: Final = ("access_token", "generation", "fetched_at", "expires_at")
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,1024}")

# The accounts WeChat plays when it checks a platform before its release: appid → original id (reference: 7.7).
TESTERS: Final = {
    "wx570bc396a51b8ff8": "gh_3c884a361561",
    "wx9252c5e0bb1836fc": "gh_c0f28a78b318",
    "wx8e1097c5bc82cde9": "gh_3f222ed8d140",
    "wx14550af28c71a144": "gh_26128078e9ab",
    "wxa35b9c23cfe664eb": "gh_2b3713f184a6",
    "wxd101a85aa106f53e": "gh_8dad206e9538",
    "wxc39235c15087f6f3": "gh_905ae9d01059",
    "wx7720d01d4b2a4500": "gh_393666f1fdf4",
    "wx05d483572dcd5d8b": "gh_39abb5d4e1b7",
    "wx5910277cae6fd970": "gh_7818dcb60240",
}


def current() -> Platform | None:
    """The platform of this installation, None when it has none."""
    return Platform.objects.filter(is_active=True).first()


def require() -> Platform:
    """The platform of this installation. Raises NoPlatform."""
    platform = current()
    if platform is None:
        raise NoPlatform
    return platform


def events_url(platform: Platform) -> str:
    """The address for authorisation events, to be entered in the Open Platform console."""
    return f"{settings.PUBLIC_URL.rstrip('/')}/wx/platform/{platform.path_token}"


def messages_url() -> str:
    """The address for messages and events of authorised accounts, with WeChat's placeholder."""
    return f"{settings.PUBLIC_URL.rstrip('/')}/wx/$APPID$/callback"


def authorisation_url(platform: Platform, *, pre_auth_code: str, redirect_uri: str) -> str:
    """WeChat's page on which an account's administrator scans and authorises (7.2); for official accounts only."""
    query = urlencode(
        {
            "component_appid": platform.appid,
            "pre_auth_code": pre_auth_code,
            "redirect_uri": redirect_uri,
            "auth_type": "1",
        },
        quote_via=quote,
    )
    return f"{settings.WECHAT_MP_URL}/cgi-bin/componentloginpage?{query}"


def print_of(code: str) -> str:
    """What a pre-authorisation code is looked up by."""
    return sha256(code.encode()).hexdigest()


# -- calls ------------------------------------------------------------------------------------------------------------


def call(api: str, payload: Mapping[str, Any], *, at: datetime) -> Answer:
    """POST /cgi-bin/component/<api> with the platform's token; a token that is refused is replaced once.

    Raises NoPlatform, CallsParked.
    """
    answer, generation = call_once(api, payload, at=at)
    if answer.reaction is Reaction.REFRESH_TOKEN:
        access_token(at=at, refused=generation)
        answer, generation = call_once(api, payload, at=at)
        if answer.reaction is Reaction.REFRESH_TOKEN:
            access_token(at=at, refused=generation)  # a fresh one was refused, too: raises, unless others have a newer
    return answer


def call_once(api: str, payload: Mapping[str, Any], *, at: datetime) -> tuple[Answer, int]:
    """Make one call of `call` without replacing anything; gives the answer and the generation of the token.

    For whoever holds a lock, whose transaction must not hold the platform's as well. Raises NoPlatform, CallsParked.
    """
    platform, token = access_token(at=at)
    return _post(platform, api, payload, token), platform.generation


def access_token(*, at: datetime, refused: int | None = None) -> tuple[Platform, Secret]:
    """The platform with its access token, fetched by one caller at a time. Raises NoPlatform, CallsParked.

    `refused` is the generation of a token that WeChat did not take: only if it is still the newest, it is replaced, and
    that at most once a minute: with a second system on the same platform each would end the other's token for ever.
    When there is none, calls are parked, so that all who wait for one do not ask for it in turn.
    """
    platform = require()
    token = _usable(platform, at, refused)
    if token is not None and not _is_due(platform, at):
        return platform, token
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SET LOCAL lock_timeout = {_WAIT_MS}; SET LOCAL idle_in_transaction_session_timeout = {_HOLD_MS}"
                )
            platform = Platform.objects.select_for_update().get(pk=platform.pk)
            token = _usable(platform, at, refused)
            if token is not None and not _is_due(platform, at):
                return platform, token
            if not _is_parked(platform, at):
                token = _fetch_into(platform, at, heals=refused is not None) or token
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", None) != errorcodes.LOCK_NOT_AVAILABLE:
            raise
        raise CallsParked(wechat_code=None, reason="", until=at + _PAUSE) from None
    if token is not None:
        return platform, token
    raise CallsParked(wechat_code=platform.parked_code, reason="", until=platform.parked_until)


def _is_due(platform: Platform, at: datetime) -> bool:
    """Whether the next token is wanted though the present one works: not while WeChat gives none."""
    return (platform.expires_at or at) <= at + _MARGIN and not _is_parked(platform, at)


def _is_parked(platform: Platform, at: datetime) -> bool:
    return platform.parked_until is not None and platform.parked_until > at


def _fetch_into(platform: Platform, at: datetime, *, heals: bool) -> Secret | None:
    """Fetch a token into the row that is locked, or park calls; gives the token."""
    if heals and platform.healed_at is not None and at - platform.healed_at < HEAL_EVERY:
        platform.expires_at = at  # what WeChat refuses is of no use to the next caller either
        platform.parked_code, platform.parked_until = _REFUSED, platform.healed_at + HEAL_EVERY
        platform.save(update_fields=["expires_at", "parked_code", "parked_until"])
        logger.error("the platform's new access token is refused too: does another system use the same platform?")
        return None
    answer = _fetch(platform, at)
    text, life = answer.data.get("component_access_token"), answer.data.get("expires_in")
    if answer.ok and isinstance(text, str) and _TOKEN.fullmatch(text) and type(life) is int and life > 0:
        if heals or platform.parked_code == _REFUSED:
            platform.healed_at = at
        platform.access_token = text
        platform.generation += 1
        platform.fetched_at, platform.expires_at = at, at + timedelta(seconds=life)
        platform.parked_code = platform.parked_until = None
        platform.save(update_fields=[*_TOKEN_FIELDS, "healed_at", "parked_code", "parked_until"])
        return Secret(text)
    platform.parked_code, platform.parked_until = answer.code or None, at + _pause(answer)
    platform.save(update_fields=["parked_code", "parked_until"])
    logger.error("the platform gets no access token: code %s %s", answer.code, answer.cause)
    return None


def _pause(answer: Answer) -> timedelta:
    """How long to leave WeChat alone: hardly, where the next try may do, longer where people have to act first."""
    if not answer.code or explain(answer.code).error_class is ErrorClass.RETRY:
        return _PAUSE
    return _PAUSE_LONG


def start_tickets() -> Answer:
    """Ask WeChat to push tickets again (7.1); needs no token. Raises NoPlatform."""
    platform = require()
    body = {
        "component_appid": platform.appid,
        "component_secret": platform.app_secret.reveal() if platform.app_secret else "",
    }
    url = f"{settings.WECHAT_BASE_URL}/cgi-bin/component/api_start_push_ticket"
    answer = classify(transport.perform(transport.HttpRequest(url, orjson.dumps(body), total_seconds=_FETCH_SECONDS)))
    if not answer.ok:
        logger.error("WeChat starts no tickets: code %s %s", answer.code, answer.cause)
    return answer


def _usable(platform: Platform, at: datetime, refused: int | None) -> Secret | None:
    token: Secret | None = platform.access_token
    if token is None or platform.expires_at is None or platform.expires_at <= at:
        return None
    return None if refused is not None and platform.generation <= refused else token


def _fetch(platform: Platform, at: datetime) -> Answer:
    if platform.ticket is None or platform.ticket_at is None or platform.ticket_at <= at - TICKET_LIFE:
        return Answer(Outcome.NOT_SENT, Reaction.RETRY, _NO_TICKET)
    body = {
        "component_appid": platform.appid,
        "component_appsecret": platform.app_secret.reveal() if platform.app_secret else "",
        "component_verify_ticket": platform.ticket.reveal(),
    }
    url = f"{settings.WECHAT_BASE_URL}/cgi-bin/component/api_component_token"
    request = transport.HttpRequest(url, orjson.dumps(body), repeatable=True, total_seconds=_FETCH_SECONDS)
    return classify(transport.perform(request))


def _post(platform: Platform, api: str, payload: Mapping[str, Any], token: Secret) -> Answer:
    query = urlencode({"component_access_token": token.reveal()})
    url = f"{settings.WECHAT_BASE_URL}/cgi-bin/component/{api}?{query}"
    body = orjson.dumps({"component_appid": platform.appid, **payload})
    return classify(transport.perform(transport.HttpRequest(url, body, total_seconds=_FETCH_SECONDS)))


# -- events -----------------------------------------------------------------------------------------------------------


def keep_event(fields: Fields, *, now: float) -> bool:
    """Keep an authentic event of the platform before it is acknowledged; says whether a worker has to look at it."""
    kind = text_of(fields, "InfoType")
    event_at = _moment(text_of(fields, "CreateTime"), now)
    if kind == "component_verify_ticket":
        _keep_ticket(text_of(fields, "ComponentVerifyTicket"), event_at)
        return False
    return _keep_push(kind, text_of(fields, "AuthorizerAppid") or text_of(fields, "appid"), fields, event_at, now)


def keep_release_check(*, appid: str, openid: str, code: str, now: float) -> bool:
    """Keep the question of WeChat's release check that is answered by a call (7.7)."""
    fields: Fields = {"openid": openid, "code": code}
    return _keep_push(RELEASE_CHECK, appid, fields, datetime.fromtimestamp(now, UTC), now)


def keep_unreadable(raw: bytes, reason: str, *, now: float) -> bool:
    """Keep an authentic event that could not be read as it came: a person looks at it, a later version may read it."""
    at = datetime.fromtimestamp(now, UTC)
    push = PlatformPush(
        info_type=UNREADABLE,
        dedupe_key=UUID(blake2b(raw, digest_size=16).hexdigest()),
        body=json.dumps({"raw": base64.b64encode(raw).decode()}),
        event_at=at,
        received_at=at,
        state=PushState.FAILED,
        reason=f"{UNREADABLE} {reason}"[:200],
    )
    PlatformPush.objects.bulk_create([push], ignore_conflicts=True)
    return False


def read_again(raw: str, *, now: float) -> None:
    """Keep what an event says that could not be read before. Raises Unreadable."""
    fields = read_fields(base64.b64decode(raw))
    if text_of(fields, "AppId") != require().appid:
        raise Unreadable(UNREADABLE)
    keep_event(fields, now=now)


def _keep_ticket(ticket: str, at: datetime) -> None:
    if not _TOKEN.fullmatch(ticket):
        return
    with transaction.atomic():
        platform = Platform.objects.select_for_update().filter(is_active=True).first()
        if platform is None or (platform.ticket_at is not None and platform.ticket_at > at):
            return  # an older one that comes late
        platform.previous_ticket, platform.ticket, platform.ticket_at = platform.ticket, ticket, at
        platform.parked_code = platform.parked_until = None  # what the old one could not get, the new one may
        platform.save(update_fields=["previous_ticket", "ticket", "ticket_at", "parked_code", "parked_until"])


def _keep_push(kind: str, appid: str, fields: Fields, at: datetime, now: float) -> bool:
    body = json.dumps(fields, sort_keys=True, ensure_ascii=False)
    push = PlatformPush(
        info_type=(kind or "unknown")[:64],
        appid=appid[:32],
        dedupe_key=UUID(blake2b(body.encode(), digest_size=16).hexdigest()),
        body=body,
        event_at=at,
        received_at=datetime.fromtimestamp(now, UTC),
    )
    PlatformPush.objects.bulk_create([push], ignore_conflicts=True)
    return True


def _moment(created: str, now: float) -> datetime:
    known = created.isascii() and created.isdigit() and len(created) <= 11 and int(created) <= now + 86_400
    return datetime.fromtimestamp(int(created) if known else now, UTC)
