"""Codes that do not do their work: nobody scans them, their picture no longer works, or they should be gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Case, Exists, OuterRef, Subquery, Value, When

from touchpoints.models import CodeIssue, Touch, TouchCase, TouchKind, Touchpoint
from touchpoints.selectors.lookups import working

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

QUIET_DAYS: Final = 30
PRINT_WARNING: Final = timedelta(days=7)


class Ailment(StrEnum):
    """What is wrong with a code."""

    NO_SCAN = "NO_SCAN"  # nobody scanned it for a month
    NOT_MADE = "NOT_MADE"  # WeChat has not made it
    EXPIRED = "EXPIRED"  # its picture no longer works
    ENDED = "ENDED"  # the brand let it end, and it is still scanned
    ARCHIVED = "ARCHIVED"  # archived, and still scanned
    PRINT_ENDS = "PRINT_ENDS"  # a printed picture stops working within a week


@dataclass(frozen=True)
class CodeHealth:
    """What is wrong with one code, and the facts that say so."""

    touchpoint_id: int
    ailments: tuple[Ailment, ...]
    last_scan: datetime | None
    print_ends_at: datetime | None = None
    problem: str = ""


def code_health(rows: Iterable[Touchpoint], *, now: datetime) -> dict[int, CodeHealth]:
    """Look at codes: two queries, however many they are."""
    codes = [row for row in rows if row.scene]
    ids = [row.pk for row in codes]
    scans = _last_scans(ids)
    prints = _printed_ends(ids, now)
    return {row.pk: _health(row, scans.get(row.pk), prints.get(row.pk), now) for row in codes}


def _health(row: Touchpoint, last_scan: datetime | None, print_ends: datetime | None, now: datetime) -> CodeHealth:
    quiet = now - timedelta(days=QUIET_DAYS)
    scanned_lately = last_scan is not None and last_scan >= quiet
    found = []
    if row.archived_at is not None:
        found += [Ailment.ARCHIVED] if last_scan is not None and last_scan > row.archived_at else []
    elif row.ends_at is not None and row.ends_at <= now:
        found += [Ailment.ENDED] if last_scan is not None and last_scan > row.ends_at else []
    else:
        if not row.ticket:
            found.append(Ailment.NOT_MADE)
        elif row.expires_at is not None and row.expires_at <= now:
            found.append(Ailment.EXPIRED)
        if row.is_active and row.created_at < quiet and not scanned_lately:
            found.append(Ailment.NO_SCAN)
        if print_ends is not None:
            found.append(Ailment.PRINT_ENDS)
    return CodeHealth(row.pk, tuple(found), last_scan, print_ends, row.problem)


def _scans() -> QuerySet[Touch]:
    """Give what shows that a code is seen: not our own people, nor a guide added in WeCom, for which nobody scanned."""
    return Touch.objects.exclude(case=TouchCase.STAFF).exclude(kind=TouchKind.CONTACT)


def _last_scans(ids: list[int]) -> dict[int, datetime]:
    newest = _scans().filter(touchpoint=OuterRef("pk")).order_by("-at").values("at")[:1]
    rows = Touchpoint.objects.filter(pk__in=ids).annotate(last_scan=Subquery(newest))
    return {pk: at for pk, at in rows.order_by("pk").values_list("pk", "last_scan") if at is not None}


def _printed_ends(ids: list[int], now: datetime) -> dict[int, datetime]:
    """Give when the next printed picture of each code stops working, if that is soon: each may hang somewhere.

    Where none works any more, it is when the last one stopped.
    """
    rows = CodeIssue.objects.filter(touchpoint_id__in=ids, printed_at__isnull=False).order_by("expires_at", "pk")
    ends: dict[int, list[datetime | None]] = {}
    for pk, at in rows.values_list("touchpoint_id", "expires_at"):
        ends.setdefault(pk, []).append(at)
    found = {}
    for pk, moments in ends.items():
        working = [at for at in moments if at is None or at > now]
        at = next((at for at in working if at is not None), None) if working else moments[-1]
        if at is not None and at < now + PRINT_WARNING:
            found[pk] = at
    return found


def with_ending_prints(rows: QuerySet[Touchpoint], *, now: datetime) -> QuerySet[Any]:
    """Say of channels, as `print_ends`, whether they are in use and a printed picture stops working within a week."""
    ending = CodeIssue.objects.filter(printed_at__isnull=False, expires_at__gt=now, expires_at__lt=now + PRINT_WARNING)
    said = Case(When(working(now), then=Exists(ending.filter(touchpoint=OuterRef("pk")))), default=Value(False))
    found: QuerySet[Any] = rows.annotate(print_ends=said)
    return found


def quiet_codes(rows: QuerySet[Touchpoint], *, now: datetime) -> QuerySet[Touchpoint]:
    """Narrow channels to codes in use that nobody has scanned for a month."""
    quiet = now - timedelta(days=QUIET_DAYS)
    lately = _scans().filter(at__gte=quiet, touchpoint__isnull=False)
    return (
        rows.exclude(scene="").filter(working(now), created_at__lt=quiet).exclude(pk__in=lately.values("touchpoint_id"))
    )
