"""Permanent codes: what each account has spent of them, and what happens next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from touchpoints import selectors
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from datetime import datetime

    from touchpoints.selectors import CodeMeter

NEARLY_SPENT: Final = 0.8
MONTHS_AHEAD: Final = 24


def code_meters(at: datetime) -> list[dict[str, Any]]:
    """Give how many permanent codes each account has spent, and what happens next."""
    accounts = OfficialAccount.objects.filter(is_active=True).order_by("pk")
    return [
        {"meter": meter, "label": meter.account.name, "parts": _spent_on(meter), "next": _what_next(meter)}
        for meter in selectors.code_meters(accounts, now=at)
    ]


def _spent_on(meter: CodeMeter) -> list[str]:
    parts = [ngettext("%(count)s made here", "%(count)s made here", meter.made) % {"count": f"{meter.made:,}"}]
    if meter.ordered:
        parts.append(_("%(count)s ordered and not made yet") % {"count": f"{meter.ordered:,}"})
    if meter.elsewhere:
        parts.append(_("%(count)s made elsewhere") % {"count": f"{meter.elsewhere:,}"})
    if meter.lost and not meter.repeats_are_free:
        parts.append(_("%(count)s perhaps spent: WeChat's answer was lost") % {"count": f"{meter.lost:,}"})
    return parts


def _what_next(meter: CodeMeter) -> str:
    if not meter.left:
        return _("No permanent code can be made any more: WeChat takes none back. Temporary codes go on as before.")
    months = meter.months_left
    if months is not None and months < MONTHS_AHEAD:
        text = _(
            "At the pace of the last 30 days the rest lasts %(months)s months, then only temporary codes are left."
        )
        return text % {"months": months}
    if meter.used >= NEARLY_SPENT * meter.limit:
        return _("Nearly spent. At the limit only temporary codes can be made: keep the rest for signs that stay.")
    return ""
