"""A coupon as birthday benefit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from coupons.models import Template, TemplateState, Way
from coupons.services.outcomes import give_promised
from loyalty.birthdays import benefits
from loyalty.services.ledger import lock_accounts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from django_stubs_ext import StrOrPromise

    from loyalty.models import BirthdayGrant


def _offered() -> list[tuple[int, str]]:
    rows = Template.objects.filter(state=TemplateState.ACTIVE).order_by("name", "pk")
    return list(rows.values_list("pk", "name")[:200])


class BirthdayCoupon:
    """A coupon, at once; its own limits and budget hold."""

    label = gettext_lazy("A coupon")
    numbers: Mapping[str, tuple[StrOrPromise, int, int]] = {}
    picks: Mapping[str, tuple[StrOrPromise, Callable[[], list[tuple[int, str]]]]] = {
        "template": (gettext_lazy("Coupon for a birthday"), _offered)
    }

    def says(self, params: dict[str, Any]) -> str:
        """Say which."""
        names = Template.objects.filter(pk=int(params.get("template") or 0)).values_list("name", flat=True)
        return _("coupon “%(name)s”") % {"name": names[0]} if names else _("a coupon")

    def points(self, params: dict[str, Any]) -> int:
        """Cost no points."""
        return 0

    def give(self, grants: Sequence[BirthdayGrant], *, at: datetime) -> dict[int, str]:
        """Give one for each grant; whom the coupon's limits or the person's state leave out gets none."""
        templates = Template.objects.in_bulk([each.params.get("template") for each in grants])
        made = {}
        lock_accounts({each.member_id for each in grants})  # before any template, as a claim does
        for each in grants:
            template = templates.get(each.params.get("template"))
            if template is None:
                continue
            _outcome, coupon = give_promised(
                key=f"birthday:{each.pk}",
                template=template,
                member_id=each.member_id,
                way=Way.BIRTHDAY,
                reason=_("Birthday"),
                at=at,
            )
            if coupon is not None:
                made[each.pk] = f"coupon {coupon.pk}"
        return made


benefits.register("coupon", BirthdayCoupon())
