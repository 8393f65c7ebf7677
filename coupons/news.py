"""Coupons that end soon tell their holder: one message a day names all of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.tenancy import current_brand_id
from coupons.models import Coupon, State
from coupons.words import joined
from loyalty.news import Item, Kind, kinds
from loyalty.selectors.points import zone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from loyalty.models import Notice

ABOUT: Final = "coupon"
MOST: Final = 5  # coupons that one message names
_NEW_FOR: Final = timedelta(days=1)  # who has just been given a coupon knows of it
_INSTANT: Final = timedelta(microseconds=1)

# Index coupons_to_expire: what ends soon.
_ENDING: Final = """
INSERT INTO loyalty_notice (brand_id, member_id, about, subject, day, at)
SELECT c.brand_id, c.member_id, %(about)s, c.id,
    ((c.valid_until - interval '1 microsecond') AT TIME ZONE %(zone)s)::date, %(at)s
FROM coupons_coupon c
WHERE c.brand_id = %(brand)s AND c.state = 'UNUSED' AND c.valid_until > %(at)s AND c.valid_until <= %(until)s
    AND c.issued_at <= %(given)s
ON CONFLICT DO NOTHING
"""


class _EndingCoupons:
    """Coupons nobody has used, some days before they end."""

    def find(self, *, days: int, at: datetime) -> int:
        """Note which end within some days: each once for the day it ends on."""
        words: dict[str, Any] = {
            "brand": current_brand_id(),
            "about": ABOUT,
            "zone": str(zone()),
            "at": at,
            "until": at + timedelta(days=days),
            "given": at - _NEW_FOR,
        }
        with connection.cursor() as cursor:
            cursor.execute(_ENDING, words)
            return int(cursor.rowcount)

    def still(self, rows: Sequence[Notice], *, at: datetime) -> dict[int, Item]:
        """Leave out what was used, set aside, taken back or prolonged; what moved is its new holder's."""
        coupons = Coupon.objects.select_related("version").filter(state=State.UNUSED, valid_until__gt=at)
        mine = {coupon.pk: coupon for coupon in coupons.filter(pk__in=[row.subject for row in rows]).order_by("pk")}
        here, found = zone(), {}
        for row in rows:
            coupon = mine.get(row.subject)
            if coupon is not None and (coupon.valid_until - _INSTANT).astimezone(here).date() == row.day:
                words = {"name": coupon.version.name, "day": row.day.isoformat()}
                found[row.pk] = Item(coupon.member_id, words)
        return found

    def together(self, items: Sequence[Item]) -> dict[str, str]:
        """Name the coupons, those that end first in front; the day is the soonest."""
        items = sorted(items, key=lambda item: item.words["day"])
        names = [_("%(name)s (until %(day)s)") % item.words for item in items[:MOST]]
        if len(items) > MOST:
            left = len(items) - MOST
            names.append(ngettext("%(count)s more coupon", "%(count)s more coupons", left) % {"count": left})
        return {"count": str(len(items)), "coupons": joined(names), "day": items[0].words["day"]}


kinds.register(
    ABOUT,
    Kind(
        gettext_lazy("Coupons that end soon"),
        words={"count": "张数", "coupons": "优惠券", "day": "日期"},
        samples={"count": "2", "coupons": "满 100 减 20、满 50 减 5", "day": "2026-12-31"},
        text="您有 {count} 张优惠券即将到期：{coupons}。记得使用。",
        proposed={
            "number": "{count}",
            "character_string": "{count}",
            "thing": "{coupons}",
            "date": "{day}",
            "time": "{day} 23:59",
            "name": "{姓名|会员}",
        },
        source=_EndingCoupons(),
        in_advance=True,
    ),
)
