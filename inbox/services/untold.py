"""News of points and birthdays that did not leave: nobody has them, so another way may carry them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from loyalty.models import Unreached
from loyalty.services.notices import AGAIN, REFUSED_FOR, not_told
from wechat_gateway.errcodes import Reaction

if TYPE_CHECKING:
    from datetime import datetime

    from inbox.models import Message
    from wechat_gateway.answers import Answer

LATE: Final = "LATE"  # the window had closed when it was to leave
AT_NIGHT: Final = "NIGHT"  # the day had, too
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
    if said.cause in (LATE, AT_NIGHT) or said.reaction in _NOTED:
        hold = timedelta(0)
    not_told(reference=reference, why=Unreached.FAILED.value, hold=hold, at=at)
