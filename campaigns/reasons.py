"""Why a message was left out, refused or not sent, and what a person can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

from wechat_gateway import errcodes

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

OPTED_OUT: Final = "OPTED_OUT"
ON_LIST: Final = "ON_LIST"
IN_CONTROL: Final = "IN_CONTROL"
TOPIC_REFUSED: Final = "TOPIC_REFUSED"
WAY_REFUSED: Final = "WAY_REFUSED"
NOT_PERSONALISED: Final = "NOT_PERSONALISED"
UNDER_14: Final = "UNDER_14"
QUIET_HOURS: Final = "QUIET_HOURS"
NOT_FOLLOWER: Final = "NOT_FOLLOWER"
UNFOLLOWED: Final = "UNFOLLOWED"
WINDOW_CLOSED: Final = "WINDOW_CLOSED"
WINDOW_USED_UP: Final = "WINDOW_USED_UP"
NO_CONSENT: Final = "NO_CONSENT"
UNREACHABLE: Final = "UNREACHABLE"
EMPTY_FIELD: Final = "EMPTY_FIELD"
STOPPED: Final = "STOPPED"
USER_BLOCK: Final = "USER_BLOCK"
SYSTEM_FAILED: Final = "SYSTEM_FAILED"
FREQ_LIMIT: Final = "FREQ_LIMIT"
RESULT_OTHER: Final = "RESULT_OTHER"
NO_ANSWER: Final = "NO_ANSWER"
LEASE_LOST: Final = "LEASE_LOST"
NETWORK: Final = "NETWORK"
ACCOUNT: Final = "ACCOUNT"
QUOTA: Final = "QUOTA"
DISCONNECTED: Final = "DISCONNECTED"
RULE_INVALID: Final = "RULE_INVALID"
SEGMENT_OLD: Final = "SEGMENT_OLD"
MANY_UNKNOWN: Final = "MANY_UNKNOWN"
WRONG_ACCOUNT: Final = "WRONG_ACCOUNT"
NOT_CONFIRMED: Final = "NOT_CONFIRMED"


@dataclass(frozen=True)
class Explanation:
    """One reason in words: what happened (`cause`) and what to do (`action`); both are lazy translations."""

    code: str
    cause: _StrPromise | str
    action: _StrPromise | str


_LEAVE_OUT = _("They are left out; nothing to do.")
_SELF = _("Nothing to do: it goes on by itself.")

_OWN: Final[dict[str, tuple[_StrPromise, _StrPromise]]] = {
    OPTED_OUT: (_("They have opted out of this kind of message."), _LEAVE_OUT),
    ON_LIST: (_("They are on the brand's do-not-send list."), _LEAVE_OUT),
    IN_CONTROL: (_("They are in the control group, which gets no marketing so that its effect shows."), _LEAVE_OUT),
    TOPIC_REFUSED: (_("They do not want to hear about this topic."), _LEAVE_OUT),
    WAY_REFUSED: (_("They do not want offers and news by this channel."), _("Choose another channel for them.")),
    NOT_PERSONALISED: (
        _("They have turned personalised messages off, and this audience is chosen by what people are or did."),
        _("They get what goes to everybody, such as a campaign to all followers."),
    ),
    UNDER_14: (_("They are under 14: no marketing without a guardian."), _LEAVE_OUT),
    QUIET_HOURS: (_("It waits for the end of their quiet hours."), _SELF),
    NOT_FOLLOWER: (
        _("They have never followed this service account."),
        _("Invite them to follow, or hand them to a guide."),
    ),
    UNFOLLOWED: (_("They have stopped following the service account."), _("Leave them out, or hand them to a guide.")),
    WINDOW_CLOSED: (
        _("Nothing they have done lately allows a customer-service message to them."),
        _("Use a subscribe notification or a guide task, or wait for them to write again."),
    ),
    WINDOW_USED_UP: (
        _("All customer-service messages that their last act allowed have been sent, by whomever."),
        _("Use a subscribe notification or a guide task, or wait for them to write again."),
    ),
    NO_CONSENT: (
        _("They have agreed to no more subscribe notifications of this template."),
        _("Ask them again in an article or on a page with a subscribe button."),
    ),
    UNREACHABLE: (_("This channel cannot reach them."), _("Choose another channel for them.")),
    EMPTY_FIELD: (
        _("A field would have been empty for them."),
        _("Give the variable a fallback, such as {姓名|会员}, and send to them again."),
    ),
    STOPPED: (_("The campaign was stopped before their turn."), _("Copy the campaign to reach them.")),
    USER_BLOCK: (_("They refuse messages of the service account."), _LEAVE_OUT),
    SYSTEM_FAILED: (_("WeChat accepted the message and then failed to deliver it."), _("Send to them again.")),
    FREQ_LIMIT: (_("WeChat found the messages to them too frequent."), _("Send to them again later.")),
    RESULT_OTHER: (_("WeChat reported a result that is not known yet."), _("Look at the message's attempts.")),
    NO_ANSWER: (
        _("WeChat did not answer, so the message may or may not have arrived."),
        _("Nothing to do: it counts as delivered as soon as WeChat reports it."),
    ),
    LEASE_LOST: (
        _("The server stopped while the message was on its way; it may or may not have arrived."),
        _("Nothing to do: it counts as delivered as soon as WeChat reports it."),
    ),
    NETWORK: (_("WeChat's servers cannot be reached."), _SELF),
    ACCOUNT: (_("Sending is parked for the whole service account."), _("See the service account's page.")),
    QUOTA: (_("Today's quota is used up."), _("It goes on by itself at midnight, Beijing time.")),
    DISCONNECTED: (
        _("The service account is disconnected."),
        _("It goes on by itself as soon as somebody connects the account again."),
    ),
    RULE_INVALID: (
        _("The segment uses something that no longer exists."),
        _("Correct the segment, then copy and launch the campaign."),
    ),
    SEGMENT_OLD: (
        _("The people of the segment are older than they may be for sending."),
        _("It goes on by itself as soon as the segment is refreshed; the segment says what keeps it."),
    ),
    MANY_UNKNOWN: (
        _("WeChat gave many answers that are not known yet."),
        _("Look the code up in WeChat's documents; it is tried again by itself."),
    ),
    WRONG_ACCOUNT: (
        _("WeChat said of many people in a row that they do not belong to this service account."),
        _("Check which account the audience follows and synchronise followers; it is tried again by itself."),
    ),
    NOT_CONFIRMED: (
        _("WeChat accepted the message more than 24 hours ago and has reported no result."),
        _("Nothing to do: such messages have usually arrived."),
    ),
}


def explain(code: str) -> Explanation:
    """Explain a WeChat error code (as text) or one of the keys above; an unknown key explains itself by its name."""
    if code.lstrip("-").isdigit():
        known = errcodes.explain(int(code))
        return Explanation(code, known.cause, known.action)
    cause, action = _OWN.get(code, (code, ""))
    return Explanation(code, cause, action)


def keys() -> list[str]:
    """Every key of ours."""
    return sorted(_OWN)
