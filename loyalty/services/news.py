"""Telling people news of their coupons and tiers: noted once, told by the first way that reaches them, never twice.

What is said is what is true when it is said, and again when it leaves: hours may lie between note, message and worker.
"""

from __future__ import annotations

from datetime import datetime, time
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from common.failpoints import point
from loyalty.errors import NewsRefused
from loyalty.models import NewsText, Notice, Unreached
from loyalty.news import kinds
from loyalty.selectors import points as selectors
from loyalty.services.ledger import claimed
from loyalty.services.notices import AGAIN, AT_ONCE, Owed, by_day, tell

if TYPE_CHECKING:
    from loyalty.news import Item

MOST_DAYS: Final = 90
_LONGEST: Final = 200


@transaction.atomic
def save_news_text(*, about: str, text: str, days: int, is_on: bool, at: datetime) -> NewsText:
    """Save in which words people are told a kind of news, and whether they are. Raises NewsRefused with the field."""
    kind, text = kinds.get(about), text.strip()
    if is_on and not text:
        raise NewsRefused(_("Not saved. Without words nobody can be told."), field="text")
    if len(text) > _LONGEST:
        said = _("Not saved. At most %(most)s characters fit into one message.") % {"most": _LONGEST}
        raise NewsRefused(said, field="text")
    if kind.in_advance and not 1 <= days <= MOST_DAYS:
        said = _("Not saved. A whole number from %(low)s to %(high)s is needed.") % {"low": 1, "high": MOST_DAYS}
        raise NewsRefused(said, field="days")
    row = NewsText.objects.select_for_update().filter(about=about).first() or NewsText(about=about)
    before = {"is on": row.is_on, "text": row.text, "days": row.days} if row.pk else {}
    row.is_on, row.text, row.updated_at = is_on, text, at
    row.days = days if kind.in_advance else row.days
    row.save()
    after = {"is on": is_on, "text": text, "days": row.days}
    record_audit(
        action="change words of news",
        obj=row,
        changes={name: [before.get(name), after[name]] for name in after if before.get(name) != after[name]},
    )
    return row


def find_news(*, about: str, at: datetime) -> int:
    """Note who is to be told of what ends soon; gives how many notices are new."""
    source = kinds.get(about).source
    text = NewsText.objects.filter(about=about, is_on=True).first()
    return source.find(days=text.days, at=at) if source is not None and text is not None else 0


@transaction.atomic
def carry_news(*, about: str, at: datetime, limit: int = AT_ONCE) -> int:
    """Tell some of those who were not told yet, by day only; gives how many notices were looked at.

    One message a day tells a person everything of a kind. Whom no way reaches is tried again until the day is over.
    What is no longer true is closed with that reason, and looked at again: a merge or a redemption may be undone.
    """
    source, today = kinds.get(about).source, at.astimezone(selectors.zone()).date()
    text = NewsText.objects.filter(about=about, is_on=True).exclude(text="").first()
    if source is None or text is None or not by_day(at) or not claimed(f"news\x1f{current_brand_id()}\x1f{about}"):
        return 0
    open_ones = Notice.objects.filter(about=about, way="", day__gte=today)
    due = open_ones.filter(Q(tried_at=None) | Q(tried_at__lt=at - AGAIN)).order_by("day", "pk")
    people = set(due.values_list("member_id", flat=True)[:limit])
    rows = list(due.select_for_update().filter(member_id__in=people))
    true = source.still(rows, at=at)
    theirs: dict[int, list[Notice]] = {}
    for row in rows:
        row.tried_at = at
        if row.pk in true:
            row.member_id = true[row.pk].member_id  # what it is about may have moved to another record
            theirs.setdefault(row.member_id, []).append(row)
        else:
            row.why = Unreached.NOTHING_LEFT.value
    for member_id in _told_today(set(theirs), about=about, at=at):
        for row in theirs.pop(member_id):
            row.why = Unreached.LATER.value
    owed = {member_id: _owed(mine, [true[row.pk] for row in mine], about) for member_id, mine in theirs.items()}
    told = tell(text.text, owed, about=about, at=at)
    for member_id, mine in theirs.items():
        for row in mine:
            row.way, row.why = told[member_id]
    Notice.objects.bulk_update(rows, ["member", "tried_at", "way", "why"])
    point("news: told, not noted")
    return len(rows)


def _owed(rows: list[Notice], items: list[Item], about: str) -> Owed:
    kind = kinds.get(about)
    words = kind.source.together(items) if kind.source is not None else {}
    return Owed(
        {name: words[name] for name in kind.words},
        tuple(row.pk for row in rows),
        {way: until for row in rows for way, until in row.ways_held.items()},
        rows[0].why,
    )


def _told_today(people: set[int], *, about: str, at: datetime) -> set[int]:
    here = selectors.zone()
    midnight = datetime.combine(at.astimezone(here).date(), time(), here)
    rows = Notice.objects.filter(member_id__in=people, about=about, tried_at__gte=midnight).exclude(way="")
    return set(rows.order_by().values_list("member_id", flat=True))


def due_kinds() -> list[str]:
    """Give the kinds of news that a brand tells."""
    wanted = set(NewsText.objects.filter(is_on=True).values_list("about", flat=True))
    return [key for key, kind in kinds.items() if kind.source is not None and key in wanted]
