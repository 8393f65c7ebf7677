"""How conversations look: sentences of lines, events, steps and reasons, states, and the meter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from console import formats
from console.labels import source_label
from inbox import routing
from inbox.models import AttachmentState, ConversationState, Direction, Level, SendState
from members.selectors import purpose_words
from wechat_gateway import windows
from wechat_gateway.errcodes import explain, explain_own

if TYPE_CHECKING:
    from inbox.allowed import Basis
    from inbox.models import Conversation, Hop, Message

LIST: Final = "admin:inbox_list"


@dataclass(frozen=True)
class State:
    """A state on screen: word, colour and icon."""

    label: str
    tone: str
    icon: str


_STATES: Final = {
    ConversationState.WAITING: ("warning", "schedule"),
    ConversationState.OPEN: ("info", "mark_chat_read"),
    ConversationState.SNOOZED: ("", "snooze"),
    ConversationState.RESOLVED: ("", "check"),
}
_SENDS: Final = {
    SendState.QUEUED: ("", "schedule"),
    SendState.SENDING: ("", "schedule"),
    SendState.SENT: ("", "check"),
    SendState.REFUSED: ("danger", "error"),
    SendState.UNKNOWN: ("warning", "help"),
}


def state_of(state: str) -> State:
    """Give a conversation's state on screen."""
    known = ConversationState(state)
    return State(str(known.label), *_STATES[known])


def page_of(conversation_id: int, *, line: int | None = None) -> str:
    """Give the address of a conversation, or of a line in it."""
    page = reverse("admin:inbox_conversation", args=[conversation_id])
    return page if line is None else f"{page}?line={line}"


def name_of(conversation: Conversation) -> str:
    """Give what a follower is called on screen: their name, or what little is known."""
    member = conversation.follower.member
    return member.name or _("Follower %(tail)s") % {"tail": formats.tail(conversation.follower.openid)}


def kind_label(kind: str) -> str:
    """Give the word for a kind of message without text."""
    words = {
        "image": _("picture"),
        "voice": _("voice message"),
        "video": _("video"),
        "shortvideo": _("short video"),
        "location": _("location"),
        "link": _("link"),
        "miniprogrampage": _("mini-program card"),
        "news": _("article card"),
        "file": _("file"),
    }
    return words.get(kind, _("message of another kind"))


def snippet(conversation: Conversation) -> str:
    """Give the last message in one line."""
    text = conversation.last_text
    if text.startswith("[") and text.endswith("]") and " " not in text:
        return f"[{kind_label(text[1:-1])}]"
    return text


def line(message: Message, conversation: Conversation) -> dict[str, Any]:
    """Give a line of the thread."""
    shown: dict[str, Any] = {
        "id": message.pk,
        "side": message.direction.lower(),
        "kind": message.kind,
        "text": message.text,
        "at": message.at,
        "who": _author(message),
        "facts": message.facts,
        "label": kind_label(message.kind) if message.kind != "text" else "",
        "auto": bool(message.facts.get("auto")) and message.direction == Direction.OUT,
    }
    if message.direction == Direction.EVENT:
        shown["text"] = event_sentence(message.kind, message.facts)
    elif message.direction == Direction.SYSTEM:
        shown["text"] = step_sentence(message.kind, message.facts)
    elif message.direction == Direction.OUT and message.state:
        shown |= _fate(message)
    if message.facts.get("withdrawn"):
        shown["note"] = _("They withdrew it, so it was deleted.")
    elif message.attachment is not None:
        shown |= _picture(message, conversation)
    elif message.facts.get("item"):
        shown["picture"] = reverse("admin:inbox_file", args=[conversation.pk, message.pk])
    return shown


def basis(found: Basis, conversation: Conversation) -> dict[str, Any]:
    """Give what allowed a message, for its line."""
    acts = {
        windows.Act.MESSAGE: _("they wrote"),
        windows.Act.MENU: _("they tapped the menu"),
        windows.Act.FOLLOW: _("they followed"),
        windows.Act.SCAN: _("they scanned a code"),
    }
    return {
        "ground": found.ground,
        "act": acts.get(found.act, "") if found.act else "",
        "act_at": found.act_at,
        "act_link": page_of(conversation.pk, line=found.line_id) if found.line_id else "",
        "purpose": purpose_words([found.purpose]).get(found.purpose, "") if found.purpose else "",
        "consent": found.consent,
        "said_through": source_label(found.consent.source) if found.consent else "",
    }


def _author(message: Message) -> str:
    if message.author is not None:
        return str(message.author)
    if message.direction == Direction.OUT:
        return _("Automatic")
    return ""


def _fate(message: Message) -> dict[str, Any]:
    state = SendState(message.state)
    tone, icon = _SENDS[state]
    fate: dict[str, Any] = {"state": State(str(state.label), tone, icon), "cause": "", "action": "", "code": ""}
    if state == SendState.QUEUED and message.due_at is not None:
        fate["state"] = State(pgettext("message", "Waits"), "warning", "schedule")
        fate["cause"], _action = reason_of(message.code, message.cause)
        fate["code"] = message.code or ""
        fate["action"] = _("It is tried again by itself, next at %(when)s.") % {
            "when": formats.local_time(message.due_at)
        }
    elif state == SendState.REFUSED:
        fate["cause"], fate["action"] = reason_of(message.code, message.cause)
        fate["code"] = message.code or ""
        if waited := message.facts.get("waited_for"):
            why, _action = reason_of(waited["code"], waited["cause"])
            fate["cause"] += " " + _("It had waited: %(why)s") % {"why": why}
    elif state == SendState.UNKNOWN:
        fate["cause"] = _("No answer came from WeChat, so it may or may not have arrived.")
        fate["action"] = _("It is not sent again by itself. Ask the follower before writing it again.")
    return fate


def reason_of(code: int | None, cause: str) -> tuple[str, str]:
    """Say why a message was not sent, and what to do."""
    if code:
        known = explain(code)
        return str(known.cause), str(known.action)
    causes = {
        "OPTED_OUT": (_("They wanted no such messages any more when it was to leave."), _("Nothing is to be done.")),
        "IN_CONTROL": (_("They are in the control group, which gets no marketing."), _("Nothing is to be done.")),
        "OFF_TOPIC": (_("They had turned its topic off when it was to leave."), _("Nothing is to be done.")),
        "NOT_CHOSEN": (_("They wanted nothing chosen for them any more."), _("Nothing is to be done.")),
        "LATE": (_("The time for a reply was over before it left."), _("Wait until they write again.")),
        "NIGHT": (_("It was night before it could leave."), _("It is sent again by itself in the morning.")),
        "OVER": (_("What it says was no longer true when it could leave."), _("Nothing is to be done.")),
        "FILE_GONE": (_("The picture is no longer in the library."), _("Add it again.")),
        "USER_BLOCK": (
            _("WeChat took it and reported later that they refuse messages of the service account."),
            _("Nothing is to be done."),
        ),
        "SYSTEM_FAILED": (
            _("WeChat took it and reported later that it could not be delivered."),
            _("Reach them another way."),
        ),
        "QUOTA": (_("Today's quota of customer-service messages is used up."), _("Try again tomorrow.")),
    }
    own = explain_own(cause) if cause not in causes else None
    if own is not None:
        return str(own.cause), str(own.action)
    return causes.get(cause, (_("WeChat could not be reached."), _("Try again in a minute.")))


def _picture(message: Message, conversation: Conversation) -> dict[str, Any]:
    attachment = message.attachment
    if attachment is None or attachment.state == AttachmentState.WAITING:
        return {"note": _("The picture is being fetched.")}
    if attachment.state == AttachmentState.STORED:
        return {"picture": reverse("admin:inbox_file", args=[conversation.pk, message.pk])}
    notes = {
        "EXPIRED": _("The picture is gone: WeChat keeps it for three days."),
        "NOT_A_PICTURE": _("Not shown: the file is not a picture."),
        "TOO_LARGE": _("Not shown: the file is larger than 10 MB."),
    }
    return {"note": notes.get(attachment.reason, _("The picture could not be fetched from WeChat."))}


def event_sentence(kind: str, facts: dict[str, Any]) -> str:
    """Say what a follower did besides writing."""
    if kind == "subscribe":
        return _("followed through a code") if facts.get("scene") else _("followed")
    if kind == "CLICK":
        return _("tapped the menu button “%(key)s”") % {"key": facts.get("key", "")}
    known = {
        "unsubscribe": _("unfollowed"),
        "SCAN": _("scanned a code"),
        "VIEW": _("opened a page from the menu"),
        "view_miniprogram": _("opened the mini program from the menu"),
    }
    return known.get(kind, _("used the menu"))


def step_sentence(kind: str, facts: dict[str, Any]) -> str:
    """Say what happened to a conversation."""
    who, reason = str(facts.get("who", "")), str(facts.get("reason", ""))
    sentences = {
        "assigned": _("Assigned to %(who)s") % {"who": who},
        "taken": _("%(who)s took it") % {"who": who},
        "transferred": _("Transferred to %(who)s: %(reason)s") % {"who": who, "reason": reason},
        "released": _("Sent to the queue: %(reason)s") % {"reason": reason},
        "returned": _("Taken back from %(who)s: %(reason)s") % {"who": who, "reason": hop_reason(reason)},
        "queued": _("Nobody is free; it waits in the queue"),
        "reopened": _("Opened again"),
        "resolved": _("Resolved"),
        "woken": _("Snoozed until now"),
        "handed_over": _("Handed over to a person"),
        "reminder": _("%(who)s is reminded when they write again") % {"who": who},
        "task": _("Task for %(who)s: %(note)s") % {"who": who or _("the store"), "note": facts.get("note", "")},
    }
    if kind == "promised":
        return _("Outside service hours: a reply was promised for %(when)s") % {"when": moment(facts.get("when", ""))}
    if kind == "resolved_quietly":
        days = int(facts.get("days") or 0)
        return ngettext(
            "Resolved by itself: no reply for %(days)s day after our last answer",
            "Resolved by itself: no reply for %(days)s days after our last answer",
            days,
        ) % {"days": days}
    if kind == "snoozed":
        return _("Snoozed until %(when)s") % {"when": moment(facts.get("until", ""))}
    return str(sentences.get(kind, kind))


def moment(text: str) -> str:
    """Give a stored moment in the zone of the page."""
    return formats.local_time(datetime.fromisoformat(text)) if text else formats.NOTHING


def hop(row: Hop) -> dict[str, Any]:
    """Give a step of finding who answers: where, taken or not, why."""
    facts = row.facts
    detail = ""
    if row.reason in (routing.TAKEN, routing.PULLED) and facts.get("capacity"):
        detail = _("%(load)s of %(capacity)s") % {"load": facts["load"], "capacity": facts["capacity"]}
    elif row.reason in (routing.CLOSED, routing.QUEUED) and facts.get("opens"):
        detail = _("opens %(when)s") % {"when": moment(facts["opens"])}
    elif row.reason == routing.TRANSFERRED:
        detail = str(facts.get("reason", ""))
    return {
        "level": str(Level(row.level).label),
        "taken": row.taken,
        "who": facts.get("who", ""),
        "reason": hop_reason(row.reason),
        "detail": detail,
        "at": row.at,
    }


def hop_reason(reason: str) -> str:
    """Give a reason of the routing in words."""
    words = {
        routing.TAKEN: _("free and there"),
        routing.NONE: _("there is nobody"),
        routing.ELSEWHERE: _("does not answer here"),
        routing.CLOSED: _("outside hours"),
        routing.AWAY: _("not there"),
        routing.FULL: _("has no room"),
        routing.PASSED: _("did not answer in time"),
        routing.QUEUED: _("waits in the queue"),
        routing.PULLED: _("took it from the queue"),
        routing.TRANSFERRED: _("was given it"),
    }
    return str(words.get(reason, reason))


def meter(allowed: windows.Allowance, *, at: datetime, following: bool, connected: bool = True) -> dict[str, Any]:
    """Give what may be sent, for the page: how many, until when, or why nothing."""
    off = explain_own("DISCONNECTED") if not connected else None
    if off is not None:
        return {
            "open": False, "cause": str(off.cause), "action": str(off.action), "code": "", "left": 0, "messages": 0,
        }  # fmt: skip
    if not following:
        return {
            "open": False,
            "cause": _("This person no longer follows the account."),
            "action": "",
            "code": "",
            "left": 0,
            "messages": 0,
        }
    if allowed.open:
        return {
            "open": True,
            "left": allowed.left,
            "messages": allowed.messages,
            "until": allowed.until,
            "until_ms": int(allowed.until.timestamp() * 1000) if allowed.until else 0,
            "seconds": int((allowed.until - at).total_seconds()) if allowed.until else 0,
        }
    why = explain(allowed.refusal)
    return {
        "open": False,
        "left": 0,
        "messages": 0,
        "cause": str(why.cause),
        "action": str(why.action),
        "code": allowed.refusal,
    }


def seconds(value: int) -> str:
    """Give a length of time as people say it."""
    if value < 60:
        return pgettext("length", "%(n)s s") % {"n": value}
    minutes, rest = divmod(value, 60)
    if minutes < 60:
        return pgettext("length", "%(m)s min %(s)s s") % {"m": minutes, "s": rest}
    hours, minutes = divmod(minutes, 60)
    return pgettext("length", "%(h)s h %(m)s min") % {"h": hours, "m": minutes}
