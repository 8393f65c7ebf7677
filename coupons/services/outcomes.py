"""Giving one coupon that something promised, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from coupons.errors import BudgetGone, LeftOut, MemberLimit, TemplateClosed
from coupons.models import Outcome
from coupons.services.issue import issue_coupon
from loyalty.errors import MemberGone
from loyalty.services import Operation
from loyalty.services.ledger import SYSTEM

if TYPE_CHECKING:
    from datetime import datetime

    from coupons.models import Coupon, Template


def give_promised(
    *, key: str, template: Template, member_id: int, way: str, reason: str, at: datetime
) -> tuple[Outcome, Coupon | None]:
    """Give it within the template's limits; the same key gives nobody a second one. Refusals are an outcome."""
    try:
        with transaction.atomic():
            move = issue_coupon(
                operation=Operation(SYSTEM, key), template=template, member_id=member_id, at=at, way=way, reason=reason
            )
    except MemberLimit:
        return Outcome.HAD_IT, None
    except BudgetGone:
        return Outcome.NONE_LEFT, None
    except TemplateClosed:
        return Outcome.CLOSED, None
    except LeftOut:
        return Outcome.FLAGGED, None
    except MemberGone:
        return Outcome.GONE, None
    return Outcome.GIVEN, move.coupon
