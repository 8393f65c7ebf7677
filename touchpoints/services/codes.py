"""Codes: made and renewed by WeChat outside any transaction, and what is known of every picture that may hang."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.tasks_base import ring
from accounts.tenancy import brand_scope
from touchpoints import tasks
from touchpoints.errors import CodeNotIssued
from touchpoints.models import CodeIssue, Touchpoint
from wechat_gateway import calls
from wechat_gateway.errcodes import explain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wechat_gateway.answers import Answer

logger = logging.getLogger(__name__)

TEMPORARY_DAYS: Final = 30
RENEW_BEFORE: Final = timedelta(days=5)
PER_ROUND: Final = 500
FAILURES_IN_A_ROW: Final = 3


def keep_code(*, touchpoint: Touchpoint, ticket: str, url: str, at: datetime) -> Touchpoint:
    """Keep the code WeChat made for a channel; a temporary one lives 30 days (reference: service account 5.5).

    Pictures made earlier are kept too: each works until its own end, and may hang printed somewhere.
    """
    touchpoint.ticket, touchpoint.code_url, touchpoint.problem = ticket, url, ""
    touchpoint.expires_at = None if touchpoint.is_permanent else at + timedelta(days=TEMPORARY_DAYS)
    touchpoint.save(update_fields=["ticket", "code_url", "problem", "expires_at"])
    CodeIssue.objects.get_or_create(
        touchpoint=touchpoint,
        ticket=ticket,
        defaults={
            "account": touchpoint.account,
            "url": url,
            "is_permanent": touchpoint.is_permanent,
            "issued_at": at,
            "expires_at": touchpoint.expires_at,
        },
    )
    return touchpoint


def issue_code(brand_id: int, touchpoint_id: int, *, at: datetime) -> Touchpoint:
    """Have WeChat make (or renew) the code of a channel. Raises `CodeNotIssued` with the cause and what to do.

    Opens its own scopes: the call to WeChat happens outside any transaction.
    """
    with brand_scope(brand_id):
        touchpoint = Touchpoint.objects.select_related("account").get(pk=touchpoint_id)
        account = touchpoint.account
    if account is None:
        raise CodeNotIssued(_("This channel has no service account."), _("Only leaves of the tree carry a code."))
    make = calls.create_permanent_code if touchpoint.is_permanent else calls.create_code
    answer = make(account, touchpoint.scene, at=at)
    ticket, url = str(answer.data.get("ticket", "")), str(answer.data.get("url", ""))
    with brand_scope(brand_id):
        touchpoint = Touchpoint.objects.select_for_update().get(pk=touchpoint_id)
        if answer.ok and ticket and url:
            return keep_code(touchpoint=touchpoint, ticket=ticket[:200], url=url[:200], at=at)
        cause, action = _said(answer)
        touchpoint.problem = cause[:200]
        touchpoint.save(update_fields=["problem"])
    raise CodeNotIssued(cause, action)


def _said(answer: Answer) -> tuple[str, str]:
    said = explain(answer.code) if answer.code else None
    if said:
        return str(said.cause), str(said.action)
    cause = _("WeChat could not be reached (%(cause)s)") % {"cause": answer.cause}
    return cause, _("Try again in a few minutes.")


def make_codes(brand_id: int, touchpoint_ids: Sequence[int], *, anew: bool = False) -> None:
    """Have a worker make the codes of channels, after the transaction that wrote them; `anew` also those that exist."""
    if touchpoint_ids:
        ring(tasks.issue_codes, brand_id, list(touchpoint_ids), anew=anew)


def renew_codes(brand_id: int, *, at: datetime, only: Sequence[int] | None = None, anew: bool = False) -> int:
    """Renew the temporary codes that end within five days, and make those that are missing. Gives how many are new.

    Archived channels and those the brand has let end are left to expire. `only` narrows it to some channels, and
    `anew` makes those whatever they have.
    """
    with brand_scope(brand_id):
        due = (
            Touchpoint.objects.filter(is_active=True, account__isnull=False)
            .exclude(scene="")
            .filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at))
        )
        if only is not None:
            due = due.filter(pk__in=only)
        if not (anew and only is not None):
            due = due.filter(Q(ticket="") | Q(is_permanent=False, expires_at__lt=at + RENEW_BEFORE))
        ids = list(due.order_by("pk").values_list("pk", flat=True)[:PER_ROUND])
    made = failed = 0
    for touchpoint_id in ids:
        try:
            issue_code(brand_id, touchpoint_id, at=at)
            made, failed = made + 1, 0
        except CodeNotIssued as error:
            logger.warning("no code for channel %s: %s", touchpoint_id, error.message)
            failed += 1
            if failed == FAILURES_IN_A_ROW:
                break  # this is about WeChat or the account, not about single channels; the next round tries again
    return made


def mark_printed(*, touchpoint_ids: Sequence[int], at: datetime) -> int:
    """Note that the pictures of channels were downloaded: from now on their ends are announced as ends of prints."""
    current = Touchpoint.objects.filter(pk__in=touchpoint_ids).exclude(ticket="").values("ticket")
    rows = CodeIssue.objects.filter(touchpoint_id__in=touchpoint_ids, ticket__in=current, printed_at__isnull=True)
    return rows.update(printed_at=at)
