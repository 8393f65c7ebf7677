"""Puts every answer to an outgoing call into one of four classes; only ACCEPTED counts as done (goal R12)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NoReturn

from wechat_gateway.errcodes import ErrorClass, Explanation, Reaction, explain, explain_own
from wechat_gateway.errors import WeChatRefused

if TYPE_CHECKING:
    from wechat_gateway.transport import Exchange

PICTURE: Final = "a picture"  # in place of an id: the answer is a picture, or JSON that says why not
_PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
MAX_ID: Final = 2**63 - 1
_RID: Final = re.compile(r"rid:\s*([0-9a-f-]{8,64})")
_CODE_TEXT: Final = re.compile(r"-?[0-9]{1,18}")
_ID_TEXT: Final = re.compile(r"[0-9]{1,19}")
_SAFE_TO_REPEAT: Final = frozenset({400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 421, 425, 426, 428, 429, 431})


class Outcome(StrEnum):
    """What became of a call."""

    ACCEPTED = "ACCEPTED"
    REFUSED = "REFUSED"  # for good; the reason is kept
    NOT_SENT = "NOT_SENT"  # safe to try again
    UNKNOWN = "UNKNOWN"  # may have been done


@dataclass(frozen=True, slots=True)
class Answer:
    """One classified answer.

    `code` is WeChat's errcode, None when there was none. `cause` is a short code of ours ("HTML", "TIMEOUT").
    `data` is the JSON object of an accepted or refused call. `msgid` is the id of an accepted message, as text.
    `retry_after` is in seconds, 0 when nothing was said.
    """

    outcome: Outcome
    reaction: Reaction = Reaction.NONE
    code: int | None = None
    cause: str = ""
    message: str = ""
    rid: str = ""
    msgid: str = ""
    retry_after: int = 0
    flags: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict, repr=False)
    picture: bytes = field(default=b"", repr=False)  # of the few calls that are answered with one

    @property
    def ok(self) -> bool:
        """True only when WeChat accepted the call."""
        return self.outcome is Outcome.ACCEPTED

    def require(self) -> Answer:
        """Itself when WeChat accepted the call; raises WeChatRefused otherwise."""
        if not self.ok:
            raise WeChatRefused(self)
        return self


class _Doubtful(Exception):
    pass


def explained(answer: Answer) -> Explanation | None:
    """What an operator reads of a call that did not succeed; None when WeChat could not be reached."""
    return explain(answer.code) if answer.code else explain_own(answer.cause)


def classify(exchange: Exchange, *, id_field: str = "", sends: bool = False) -> Answer:
    """The class of an answer.

    `id_field` names the id without which code 0 proves nothing ("msgid" of template/send). `sends` is true when the
    call changes something for a person: then an error of the request parks the campaign and refuses nobody.
    """
    if exchange.error:
        return _without_answer(exchange)
    status = exchange.status
    if 300 <= status < 400:
        return Answer(Outcome.NOT_SENT, Reaction.ALARM, cause=f"HTTP_{status}")
    if status in _SAFE_TO_REPEAT or 400 <= status < 500:
        reaction = Reaction.RETRY if status == 429 else Reaction.ALARM
        return Answer(Outcome.NOT_SENT, reaction, cause=f"HTTP_{status}", retry_after=exchange.retry_after)
    if status != 200:
        return Answer(Outcome.UNKNOWN, Reaction.ALARM, cause=f"HTTP_{status}")
    return _by_body(exchange.body, id_field, sends=sends)


def _by_body(body: bytes, id_field: str, *, sends: bool) -> Answer:
    if id_field == PICTURE:
        if body.startswith(_PICTURES):
            return Answer(Outcome.ACCEPTED, code=0, picture=body)
        id_field = "picture"  # no answer in JSON has one, so that code 0 without a picture proves nothing
    try:
        data = _strict_object(body)
    except _Doubtful:
        cause = "EMPTY" if not body.strip() else "HTML" if body.lstrip()[:1] == b"<" else "JSON"
        return Answer(Outcome.UNKNOWN, Reaction.ALARM, cause=cause)
    return _by_code(data, id_field, sends=sends)


def _without_answer(exchange: Exchange) -> Answer:
    if exchange.error == "TOO_LARGE":
        return Answer(Outcome.UNKNOWN, Reaction.ALARM, cause="TOO_LARGE")
    if exchange.request_written:
        return Answer(Outcome.UNKNOWN, Reaction.RETRY, cause=exchange.error)
    return Answer(Outcome.NOT_SENT, Reaction.RETRY, cause=exchange.error)


def _strict_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; raises _Doubtful for anything that two parsers could read differently."""
    try:
        found = _DECODER.decode(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise _Doubtful from None
    if type(found) is not dict:
        raise _Doubtful
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Doubtful
    return found


def _refuse(_: str) -> NoReturn:
    raise _Doubtful


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)


def _by_code(data: dict[str, Any], id_field: str, *, sends: bool) -> Answer:
    flags: tuple[str, ...] = ()
    code: Any = data.get("errcode", None if sends or id_field else 0)
    if isinstance(code, str) and _CODE_TEXT.fullmatch(code):
        code, flags = int(code), ("CODE_AS_TEXT",)
    if type(code) is not int:
        return Answer(Outcome.UNKNOWN, Reaction.ALARM, cause="NO_CODE", data=data)
    message = str(data.get("errmsg", ""))[:300]
    match = _RID.search(message) if "rid" in message else None
    rid = match[1] if match else ""
    msgid = _id(data.get(id_field or "msgid"))  # some name an id that proves nothing
    if code == 0:
        if id_field and not msgid:
            return Answer(Outcome.UNKNOWN, Reaction.ALARM, 0, "NO_MSGID", message, rid, flags=flags, data=data)
        return Answer(Outcome.ACCEPTED, Reaction.NONE, 0, "", message, rid, msgid, flags=flags, data=data)
    known = explain(code)
    outcome = _OUTCOMES[known.error_class]
    reaction = known.reaction
    if known.error_class is ErrorClass.REQUEST and sends:
        outcome, reaction = Outcome.NOT_SENT, Reaction.PARK_CAMPAIGN if reaction is Reaction.NONE else reaction
    return Answer(outcome, reaction, code, f"CODE_{code}", message, rid, msgid, flags=flags, data=data)


_OUTCOMES: Final = {
    ErrorClass.CREDENTIAL: Outcome.NOT_SENT,
    ErrorClass.RETRY: Outcome.NOT_SENT,
    ErrorClass.QUOTA: Outcome.NOT_SENT,
    ErrorClass.REQUEST: Outcome.REFUSED,
    ErrorClass.PERSON: Outcome.REFUSED,
    ErrorClass.CONFIGURATION: Outcome.NOT_SENT,
    ErrorClass.DONE: Outcome.ACCEPTED,
    ErrorClass.UNKNOWN: Outcome.UNKNOWN,
}


def _id(value: object) -> str:
    """Ids exceed 2^53, so they are text from here on; 0, negatives, fractions and booleans are no ids."""
    if type(value) is int and 0 < value <= MAX_ID:
        return str(value)
    if isinstance(value, str) and _ID_TEXT.fullmatch(value) and 0 < int(value) <= MAX_ID:
        return value
    return ""
