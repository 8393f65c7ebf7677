"""News that did not leave, or did not arrive: nobody has them, so another way may carry them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from common.failpoints import point
from inbox.models import Message, SendState
from loyalty.models import Unreached
from loyalty.services.notices import AGAIN, REFUSED_FOR, not_delivered, not_told
from wechat_gateway.errcodes import Reaction

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from wechat_gateway.answers import Answer

LATE: Final = "LATE"  # the window had closed when it was to leave
AT_NIGHT: Final = "NIGHT"  # the day had, too
OVER: Final = "OVER"  # what it says was no longer true
_REFUSED_BY_THEM: Final = "OPTED_OUT"
# What WeChat knew better is noted with the person by now, so that the way itself says whether it reaches them.
_NOTED: Final = frozenset({Reaction.CONSENT_USED, Reaction.MARK_UNFOLLOWED, Reaction.WINDOW_CLOSED})
_PASSES: Final = frozenset({Reaction.RETRY, Reaction.REFRESH_TOKEN, Reaction.PAUSE_MINUTE})


def try_another_way(line: Message, said: Answer, at: datetime) -> None:
    """News that did not leave is news nobody has: its next way is tried, unless the person wants none.

    WeChat's refusal of the message itself holds this way for a day, and what passes by itself for some hours.
    """
    reference = line.facts.get("tells")
    if reference is None:
        return
    if said.cause == _REFUSED_BY_THEM:
        not_told(reference=reference, why=Unreached.REFUSED.value, hold=None, at=at)
        return
    hold = AGAIN if said.code is None or said.reaction in _PASSES else REFUSED_FOR
    if said.cause in (LATE, AT_NIGHT, OVER) or said.reaction in _NOTED:
        hold = timedelta(0)
    not_told(reference=reference, why=Unreached.FAILED.value, hold=hold, at=at)


@dataclass(frozen=True)
class Fate:
    """What WeChat reports of a message it had taken: `cause` says why it did not arrive, "" when it did."""

    account_id: int
    msgid: int
    cause: str = ""
    is_refused: bool = False


def settle_reported(fates: Iterable[Fate], *, at: datetime) -> set[tuple[int, int]]:
    """Note what became of lines that WeChat had taken; gives (account, msgid) of those that are lines of ours.

    One that did not arrive stands so in its conversation, and news it carried take their next way. Twice is once.
    """
    by_id = {(fate.account_id, fate.msgid): fate for fate in fates}
    rows = Message.objects.select_for_update(of=("self",)).select_related("conversation")
    found = set()
    for line in rows.filter(msgid__in=[msgid for _account, msgid in by_id]).order_by("pk"):
        fate = by_id.get((line.conversation.account_id, line.msgid or 0))
        if fate is None:
            continue
        found.add((fate.account_id, fate.msgid))
        if not fate.cause or line.state != SendState.SENT:
            continue
        line.state, line.cause, line.settled_at = SendState.REFUSED, fate.cause, at
        line.save(update_fields=["state", "cause", "settled_at"])
        if line.facts.get("tells") is not None:
            not_delivered(reference=line.facts["tells"], is_refused=fate.is_refused, at=at)
        point("inbox: reported, not committed")
    return found
