"""What leaves by itself: answers of talks, and the days on which buttons were tapped."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db.models.functions import Now

from conversations.models import ButtonTap, ButtonUse, DialogueRun, KnownDue, RunState
from conversations.selectors import TALK_LASTS

if TYPE_CHECKING:
    from datetime import datetime

FINISHED_KEPT: Final = timedelta(days=180)
TAPS_KEPT: Final = timedelta(days=60)
DUE_KEPT: Final = timedelta(hours=1)  # gateways that have not looked for half as long read everybody anew
_A_ROUND: Final = 5_000


def forget_old_answers(*, at: datetime) -> int:
    """Empty the answers of talks in the brand in scope whose time is over; gives how many talks.

    Nobody goes on with a talk after 30 days (`TALK_LASTS`), so an unfinished one is left then and its answers go. What
    a finished one has written about the person, with the consent, stays there; its own copy goes after 180 days. The
    talks themselves stay and are counted.
    """
    DialogueRun.objects.filter(state=RunState.ACTIVE, updated_at__lte=at - TALK_LASTS).update(state=RunState.LEFT)
    told = DialogueRun.objects.exclude(answers={})
    over = told.exclude(state=RunState.DONE).filter(updated_at__lte=at - TALK_LASTS) | told.filter(
        state=RunState.DONE, updated_at__lte=at - FINISHED_KEPT
    )
    old = list(over.order_by("updated_at", "pk").values_list("pk", flat=True)[:_A_ROUND])
    return DialogueRun.objects.filter(pk__in=old).update(answers={})


def purge_taps(*, at: datetime) -> int:
    """Drop what is known of taps that no page asks about any more, in the brand in scope."""
    rows = ButtonTap.objects.filter(day__lt=(at - TAPS_KEPT).date()).order_by("day", "pk")
    old = list(rows.values_list("pk", flat=True)[:_A_ROUND])
    ButtonTap.objects.filter(pk__in=old).delete()
    uses = ButtonUse.objects.filter(day__lt=(at - TAPS_KEPT).date()).order_by("day", "pk")
    of_people = list(uses.values_list("pk", flat=True)[:_A_ROUND])
    ButtonUse.objects.filter(pk__in=of_people).delete()
    return len(old) + len(of_people)


def purge_known_due() -> int:
    """Drop changes that every gateway has seen or will not ask for any more, in the brand in scope.

    By the database's clock, which wrote them: the simulator's may run ahead.
    """
    deleted, _by_table = KnownDue.objects.filter(at__lt=Now() - DUE_KEPT).delete()
    return deleted
