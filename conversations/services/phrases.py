"""What no rule answered: counting it, and suggesting rules from it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import connection
from django.utils import timezone

from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from conversations.models import Suggestion, SuggestionState, UnmatchedPhrase
from conversations.phrases import clusters, countable
from conversations.selectors import brand_zone, current_rules

if TYPE_CHECKING:
    from datetime import date, datetime
    from zoneinfo import ZoneInfo

KEEP_WEEKS: Final = 8

_COUNT: Final = """
INSERT INTO conversations_unmatchedphrase (brand_id, account_id, week, text, count, last_at)
VALUES (%s, %s, %s, %s, 1, %s)
ON CONFLICT (brand_id, account_id, week, text)
DO UPDATE SET count = conversations_unmatchedphrase.count + 1, last_at = excluded.last_at
"""


def note_unmatched(*, account_id: int, text: str, at: datetime, zone: ZoneInfo | None = None) -> None:
    """Count a message that no keyword rule answered. Without the brand's `zone` it is asked for."""
    counted = countable(text)
    if not counted:
        return
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [current_brand_id(), account_id, week_of(at, zone), counted, at])


def week_of(at: datetime, zone: ZoneInfo | None = None) -> date:
    """Give the Monday of a moment's week in the brand's zone."""
    day = timezone.localtime(at, zone or brand_zone()).date()
    return day - timedelta(days=day.weekday())


def suggest_rules(*, at: datetime) -> int:
    """Look for keywords that the unmatched messages of the last whole week share. Gives how many are new.

    Doing it again adds nothing; weeks long gone are dropped.
    """
    this_week = week_of(at)
    last_week = this_week - timedelta(days=7)
    UnmatchedPhrase.objects.filter(week__lt=this_week - timedelta(weeks=KEEP_WEEKS)).delete()
    rows: dict[int, dict[str, int]] = {}
    for account_id, text, count in (
        UnmatchedPhrase.objects.filter(week=last_week).order_by("pk").values_list("account_id", "text", "count")
    ):
        rows.setdefault(account_id, {})[text] = count
    known = set(Suggestion.objects.filter(week=last_week).values_list("account_id", flat=True))
    made = 0
    for account_id in sorted(set(rows) - known):
        taken = current_rules(account_id).reaches
        made += len(
            Suggestion.objects.bulk_create(
                (
                    Suggestion(
                        account_id=account_id,
                        week=last_week,
                        keyword=each.keyword,
                        count=each.count,
                        examples=list(each.examples),
                    )
                    for each in clusters(rows[account_id], taken=taken)
                ),
                ignore_conflicts=True,
            ),
        )
    return made


def ignore_suggestion(*, suggestion: Suggestion) -> None:
    """Leave a suggestion aside."""
    Suggestion.objects.filter(pk=suggestion.pk).update(state=SuggestionState.IGNORED)
    record_audit(
        action="leave suggestion aside",
        obj=suggestion,
        changes={"state": [suggestion.state, SuggestionState.IGNORED.value]},
    )
