"""Somebody sends where they are: answer with the three nearest open stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.utils import translation
from django.utils.translation import gettext as _

from common import clock
from stores.selectors import NearbyStore, brand_zone, nearest_stores
from wechat_gateway.registries import ReplyBook, reply_to
from wechat_gateway.replies import Reply, Text

if TYPE_CHECKING:
    from wechat_gateway.events import Push


@reply_to("location", key="stores.nearest", rank=50, reads=True)
def nearest(push: Push, book: ReplyBook) -> Reply | None:
    """Answer a location message (GCJ-02) with distance and hours."""
    if push.latitude is None or push.longitude is None:
        return None
    at = max(push.event_at, datetime.fromtimestamp(clock.timestamp(), UTC) - timedelta(minutes=5))
    stores = nearest_stores(lat=push.latitude, lng=push.longitude, at=at, limit=3)
    zone = ZoneInfo(brand_zone())
    with translation.override("zh-hans"):
        if not stores:
            stores = nearest_stores(lat=push.latitude, lng=push.longitude, at=at, limit=3, only_open=False)
            if not stores:
                return None
            head = _("No store near you is open right now. These open next:")
        else:
            head = _("The nearest open stores:")
        lines = [f"{number}. {line(store, at.astimezone(zone))}" for number, store in enumerate(stores, 1)]
    return Text("\n".join([head, *lines]))


def line(store: NearbyStore, local: datetime) -> str:
    """Say one store: name, distance, hours, address."""
    hours = store.hours
    if hours.is_open and hours.closes is not None:
        state = _("open until %(time)s") % {"time": f"{hours.closes:%H:%M}"}
    elif hours.opens is not None and hours.opens_on is not None:
        day = "" if hours.opens_on == local.date() else f"{hours.opens_on:%m-%d} "
        state = _("opens %(time)s") % {"time": f"{day}{hours.opens:%H:%M}"}
    else:
        state = _("closed")
    return f"{store.name} · {distance(store.distance)} · {state}\n   {store.address}".rstrip()


def distance(metres: float) -> str:
    """Say a distance: 850 m below a kilometre, 1.2 km above."""
    if metres < 1000:
        return _("%(metres)s m") % {"metres": max(10, round(metres / 10) * 10)}
    return _("%(kilometres)s km") % {"kilometres": f"{metres / 1000:.1f}"}
