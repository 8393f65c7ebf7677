"""The nearest stores and their hours the usual way: the distance annotated by the ORM, hours prefetched."""
# The peers' models are no app of the product's settings, so the types of Django's plugin do not know them.
# mypy: ignore-errors

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import F, Prefetch, Value
from django.db.models.functions import ASin, Cos, Power, Radians, Sin, Sqrt
from django.utils import timezone

from benchmarks.peers.read_models import DayException, Place, Shop, Span

EARTH_METRES = 6_371_008.8
DAYS_AHEAD = 8


def nearest(brand_id: int, *, lat: float, lng: float, limit: int) -> list[Shop]:
    """Give the nearest stores in operation; each with `metres` and `hours_now`."""
    brand = Place.objects.get(pk=brand_id)
    local = timezone.now().astimezone(ZoneInfo(brand.timezone))
    today = local.date()
    bow = Power(Sin(Radians(F("lat") - Value(lat)) / 2), 2) + Value(math.cos(math.radians(lat))) * Cos(
        Radians(F("lat"))
    ) * Power(Sin(Radians(F("lng") - Value(lng)) / 2), 2)
    days = DayException.objects.filter(day__range=(today - timedelta(days=1), today + timedelta(days=DAYS_AHEAD)))
    found = (
        Shop.objects.filter(brand_id=brand.pk, is_active=True, lat__isnull=False)
        .annotate(metres=2 * EARTH_METRES * ASin(Sqrt(bow)))
        .order_by("metres", "id")
        .prefetch_related(Prefetch("spans", Span.objects.order_by("opens")), Prefetch("exceptions", days))[:limit]
    )
    shops = list(found)
    for shop in shops:
        shop.hours_now = hours(shop, local)
    return shops


def hours(shop: Shop, local: datetime) -> dict[str, object]:
    """Give what a store's day looks like."""
    week, special = {}, {}
    for span in shop.spans.all():
        week.setdefault(span.weekday, []).append((span.opens, span.closes))
    for each in shop.exceptions.all():
        special[each.day] = [(each.opens, each.closes)] if each.opens and each.closes else []

    def spans(day: date) -> list[tuple[time, time]]:
        return special.get(day, week.get(day.weekday(), []))

    today = local.date()
    shown = [{"opens": f"{opens:%H:%M}", "closes": f"{closes:%H:%M}"} for opens, closes in spans(today)]
    found = {"is_open": False, "closes": None, "opens": None, "opens_on": None, "today": shown}
    for day in (today - timedelta(days=1), today):
        for opens, closes in spans(day):
            end = day if closes > opens else day + timedelta(days=1)
            if datetime.combine(day, opens, local.tzinfo) <= local < datetime.combine(end, closes, local.tzinfo):
                return found | {"is_open": True, "closes": f"{closes:%H:%M}"}
    for ahead in range(DAYS_AHEAD):
        day = today + timedelta(days=ahead)
        for opens, _closes in sorted(spans(day)):
            if datetime.combine(day, opens, local.tzinfo) > local:
                return found | {"opens": f"{opens:%H:%M}", "opens_on": day}
    return found
