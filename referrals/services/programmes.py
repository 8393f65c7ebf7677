"""Programmes as operators keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.services import record_audit
from coupons.models import TemplateState
from referrals.errors import ProgrammeInvalid
from referrals.models import Act, Programme

if TYPE_CHECKING:
    from datetime import datetime

    from coupons.models import Template

_FIELDS: Final = (
    "name", "first_day", "last_day", "act", "at_least", "within_days", "wait_days", "inviter_points",
    "inviter_template_id", "invited_points", "invited_template_id", "per_day", "per_month", "in_all", "fast",
    "account_id", "is_on",
)  # fmt: skip
MOST_POINTS: Final = 1_000_000
_TOO_MANY: Final = gettext_lazy("That is more than anybody can be given.")
_CLOSED: Final = gettext_lazy("This coupon is a draft or turned off.")
_OVERLAPS: Final = gettext_lazy("Another programme runs on some of these days. Turn it off or choose other days.")


@transaction.atomic
def save_programme(*, programme: Programme, at: datetime) -> Programme:
    """Save a programme; of those that run, no two share a day. Raises ProgrammeInvalid."""
    fault = programme_fault(programme)
    if fault is not None:
        raise ProgrammeInvalid(_("Not saved. %(why)s") % {"why": fault[1]}, field=fault[0])
    before = Programme.objects.filter(pk=programme.pk).first() if programme.pk else None
    programme.updated_at = at
    programme.save()
    changes = {
        name: [_plain(getattr(before, name)) if before else None, _plain(getattr(programme, name))]
        for name in _FIELDS
        if before is None or getattr(before, name) != getattr(programme, name)
    }
    record_audit(action="change invitation programme", obj=programme, changes=changes)
    return programme


def programme_fault(programme: Programme) -> tuple[str, str] | None:
    """Give what is wrong with a programme: the field, and the sentence."""
    given = [programme.inviter_points, programme.invited_points, programme.inviter_template, programme.invited_template]
    checks = (
        ("last_day", _days_out_of_order, _("The last day lies before the first.")),
        ("at_least", lambda each: each.act == Act.ORDER and each.at_least < 1, _("The amount must be above 0.")),
        ("inviter_points", lambda _each: not any(given), _("Something must be given to one side at least.")),
        ("inviter_points", lambda each: each.inviter_points > MOST_POINTS, _TOO_MANY),
        ("invited_points", lambda each: each.invited_points > MOST_POINTS, _TOO_MANY),
        ("inviter_template", lambda each: each.is_on and _closed(each.inviter_template), _CLOSED),
        ("invited_template", lambda each: each.is_on and _closed(each.invited_template), _CLOSED),
        ("first_day", lambda each: each.is_on and _overlapping(each), _OVERLAPS),
    )
    return next(((field, str(said)) for field, is_so, said in checks if is_so(programme)), None)


def _days_out_of_order(programme: Programme) -> bool:
    return programme.last_day is not None and programme.last_day < programme.first_day


def _closed(template: Template | None) -> bool:
    return template is not None and template.state != TemplateState.ACTIVE


def _overlapping(programme: Programme) -> bool:
    others = Programme.objects.filter(is_on=True).exclude(pk=programme.pk)
    others = others.filter(Q(last_day__isnull=True) | Q(last_day__gte=programme.first_day))
    if programme.last_day is not None:
        others = others.filter(first_day__lte=programme.last_day)
    return others.exists()


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int) else str(value)
