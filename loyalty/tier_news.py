"""News of tiers: up, kept, down, grace begins, and that the next evaluation would take something away."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection
from django.db.models import F
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.tenancy import current_brand_id
from loyalty.models import NewsText, Notice, Standing, TierChange, TierChangeKind
from loyalty.news import Item, Kind, kinds
from loyalty.selectors import tiers as selectors
from loyalty.selectors.points import zone
from members.models import Member

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

UP, KEPT, DOWN, GRACE, DUE = "tier_up", "tier_kept", "tier_down", "tier_grace", "tier_due"
NEWS_FOR: Final = 7  # days: after that a change is no news
_INSTANT: Final = timedelta(microseconds=1)
_LOSES: Final = frozenset({TierChangeKind.GRACE.value, TierChangeKind.DOWNGRADE.value})


def about_of(change: TierChange, heights: Mapping[str, int]) -> str:
    """Give which news a decision is, "" for one that changes nothing for the member."""
    if change.kind == TierChangeKind.GRACE:
        return GRACE
    if change.kind == TierChangeKind.KEEP:
        return KEPT
    risen = heights.get(change.after, 0) - heights.get(change.before, 0)
    return UP if risen > 0 else DOWN if risen < 0 else ""


def note_changes(changes: Sequence[TierChange]) -> None:
    """Note that members are to be told of decisions just written down: of each member the last one.

    Called in the transaction that decides, so that nothing is told twice and nothing is lost.
    """
    last = {change.member_id: change for change in changes}
    if not last:
        return
    wanted = set(NewsText.objects.filter(is_on=True, about__in=[UP, KEPT, DOWN, GRACE]).values_list("about", flat=True))
    if not wanted:
        return
    heights = {tier.name: number for number, tier in enumerate(selectors.tiers())}
    here = zone()
    Notice.objects.bulk_create(
        [
            Notice(
                member_id=change.member_id,
                about=about,
                subject=change.pk,
                day=change.at.astimezone(here).date() + timedelta(days=NEWS_FOR),
                at=change.at,
            )
            for change in last.values()
            if (about := about_of(change, heights)) in wanted
        ],
        ignore_conflicts=True,
        batch_size=1000,
    )


class _Changes:
    """A decision about a member's tier, noted when it is made."""

    def find(self, *, days: int, at: datetime) -> int:
        """Find nothing: it was noted in the transaction that decided it."""
        return 0

    def still(self, rows: Sequence[Notice], *, at: datetime) -> dict[int, Item]:
        """Leave out what a later decision has overtaken, and what no longer stands (a merge undone, data deleted)."""
        people = {row.member_id for row in rows}
        standings = _standings(people)
        decided = TierChange.objects.exclude(kind=TierChangeKind.UNLOCK).exclude(kind="LOCK", before=F("after"))
        newest = decided.filter(member_id__in=people).order_by("member_id", "-pk").distinct("member_id")
        last = {change.member_id: change for change in newest}
        missing = _missing({row.member_id for row in rows if row.about == GRACE}, at=at)
        first = selectors.lowest()
        found = {}
        for row in rows:
            change, standing = last.get(row.member_id), standings.get(row.member_id)
            if change is None or standing is None or change.pk != row.subject or standing.tier.name != change.after:
                continue
            if row.about == GRACE and not standing.in_grace:
                continue
            before = change.before or (first.name if first else "")
            words = _words(standing) | {"before": before, "missing": f"{missing.get(row.member_id, 0):,}"}
            found[row.pk] = Item(row.member_id, words)
        return found

    def together(self, items: Sequence[Item]) -> Mapping[str, str]:
        """Tell the last one alone."""
        return items[-1].words


# Whose tier is looked at soon, and who does not know of that evaluation yet.
_DUE_SOON: Final = """
INSERT INTO loyalty_notice (brand_id, member_id, about, subject, day, at)
SELECT s.brand_id, s.member_id, %(about)s, s.member_id,
    ((s.evaluates_at - interval '1 microsecond') AT TIME ZONE %(zone)s)::date, %(at)s
FROM loyalty_standing s
WHERE s.brand_id = %(brand)s AND s.evaluates_at > %(at)s AND s.evaluates_at <= %(until)s
    AND (s.locked_until IS NULL OR s.locked_until <= s.evaluates_at)
ON CONFLICT DO NOTHING
"""


class _NextEvaluation:
    """The next evaluation would take something away."""

    def find(self, *, days: int, at: datetime) -> int:
        """Note whose evaluation comes within some days."""
        words: dict[str, Any] = {
            "brand": current_brand_id(),
            "about": DUE,
            "zone": str(zone()),
            "at": at,
            "until": at + timedelta(days=days),
        }
        with connection.cursor() as cursor:
            cursor.execute(_DUE_SOON, words)
            return int(cursor.rowcount)

    def still(self, rows: Sequence[Notice], *, at: datetime) -> dict[int, Item]:
        """Leave out who would keep the tier, or whose evaluation has come or moved."""
        people = Member.objects.filter(pk__in={row.member_id for row in rows})
        page = selectors.forecasts(at=at, days=_FAR, people=people, limit=len(rows)).page
        losing = {each.standing.member_id: each for each in page if each.kind in _LOSES}
        here, found = zone(), {}
        for row in rows:
            forecast = losing.get(row.member_id)
            ends = forecast.standing.evaluates_at if forecast else None
            if forecast is None or ends is None or (ends - _INSTANT).astimezone(here).date() != row.day or ends <= at:
                continue
            words = _words(forecast.standing) | {"missing": f"{forecast.needed:,}"}
            found[row.pk] = Item(row.member_id, words)
        return found

    def together(self, items: Sequence[Item]) -> Mapping[str, str]:
        """Tell the one there is."""
        return items[-1].words


_FAR: Final = 3_650


def _standings(people: Collection[int]) -> dict[int, Standing]:
    rows = Standing.objects.select_related("tier").filter(member_id__in=people)
    return {row.member_id: row for row in rows.order_by("pk")}


def _missing(people: Collection[int], *, at: datetime) -> dict[int, int]:
    if not people:
        return {}
    page = selectors.forecasts(at=at, days=_FAR, people=Member.objects.filter(pk__in=people), limit=len(people)).page
    return {each.standing.member_id: each.needed for each in page}


def _words(standing: Standing) -> dict[str, str]:
    ends = standing.evaluates_at
    until = (ends - _INSTANT).astimezone(zone()).date().isoformat() if ends else _("no end")
    return {"tier": standing.tier.name, "until": until}


_SAMPLE: Final = {"tier": "金卡", "until": "2026-12-31"}
_FIELDS: Final = {"name": "{姓名|会员}", "date": "{until}", "time": "{until} 23:59", "phrase": "{tier}"}
_CHANGES: Final = _Changes()

for _about, _label, _text, _more in (
    (UP, gettext_lazy("Tier: up"), "恭喜，您已升级为{tier}，有效期至 {until}。", {"before": ("原等级", "银卡")}),
    (KEPT, gettext_lazy("Tier: kept"), "您的{tier}已续期，有效期至 {until}。", {}),
    (DOWN, gettext_lazy("Tier: down"), "您的会员等级已由{before}调整为{tier}。", {"before": ("原等级", "黑卡")}),
    (
        GRACE,
        gettext_lazy("Tier: grace begins"),
        "您的{tier}已进入保级宽限期，{until} 前再累计 {missing} 成长值即可保级。",
        {"missing": ("还差", "320")},
    ),
):
    kinds.register(
        _about,
        Kind(
            _label,
            words={"tier": "等级", "until": "有效期"} | {name: word for name, (word, _said) in _more.items()},
            samples=_SAMPLE | {name: said for name, (_word, said) in _more.items()},
            text=_text,
            by_template=True,
            proposed=_FIELDS,
            source=_CHANGES,
        ),
    )
kinds.register(
    DUE,
    Kind(
        gettext_lazy("Tier: next evaluation"),
        words={"tier": "等级", "until": "有效期", "missing": "还差"},
        samples=_SAMPLE | {"missing": "320"},
        text="您的{tier}将于 {until} 到期，再累计 {missing} 成长值即可保级。",
        by_template=True,
        proposed=_FIELDS | {"number": "{missing}", "character_string": "{missing}"},
        source=_NextEvaluation(),
        in_advance=True,
    ),
)
