"""How many coupons a person used, at the head of their page."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, Max, OuterRef, Subquery, Sum
from django.db.models.functions import JSONObject
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.clock import now
from console import formats
from console.person import brought
from console.registry import WORTH, Portrait, Trait, person_marks, portraits
from coupons.models import Coupon, State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from members.models import Member

_DAYS: Final = 365


def _used() -> Subquery:
    rows = Coupon.objects.filter(
        member=OuterRef("pk"), state=State.USED, used_at__gt=now() - timedelta(days=_DAYS)
    ).order_by()
    counted: Any = rows.values("member").annotate(times=Count("pk"), all=Sum("saved"), last=Max("used_at"))
    return Subquery(counted.annotate(told=JSONObject(times="times", saved="all", last="last")).values("told")[:1])


person_marks.register("coupons.used", _used)


def _coupons(member: Member) -> Iterable[Trait]:
    """Tell how many coupons were used in twelve months, and what they took off."""
    used: dict[str, Any] | None = brought(member, "coupons.used")
    if used:
        count = ngettext("%(count)s coupon, %(saved)s off", "%(count)s coupons, %(saved)s off", used["times"])
        value = count % {"count": formats.count(used["times"]), "saved": formats.fen(used["saved"])}
        link = reverse("admin:members_member_coupons", args=[member.pk])
        source = _("redeemed in 12 months, the last one")
        yield Trait(WORTH, _("Coupons used"), value, source, datetime.fromisoformat(used["last"]), link, 50)


portraits.register("coupons.used", Portrait(_coupons))
