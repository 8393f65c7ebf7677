"""Codes: made and renewed by WeChat outside any transaction, and what is known of every picture that may hang."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import BooleanField, ExpressionWrapper, Q
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import brand_scope
from common.failpoints import point
from touchpoints import tasks
from touchpoints.errors import CodeBeingMade, CodeNotIssued
from touchpoints.models import CodeAllowance, CodeIssue, CodeOrder, Touchpoint
from touchpoints.selectors.lookups import working
from wechat_gateway import calls
from wechat_gateway.answers import Outcome, explained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from wechat_gateway.answers import Answer
    from wechat_gateway.models import OfficialAccount

logger = logging.getLogger(__name__)

TEMPORARY_DAYS: Final = 30
RENEW_BEFORE: Final = timedelta(days=5)
FAILURES_IN_A_ROW: Final = 3
PATIENCE: Final = timedelta(minutes=2)  # longer than any call may take
SAME_CLICK: Final = timedelta(seconds=10)


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

    Opens its own scopes: the call to WeChat happens outside any transaction. Before it an order is written, so that
    two at once ask WeChat once (`CodeBeingMade`), and an answer that is lost on the way is known to be missing: the
    next try asks for the same scene and takes what WeChat made.
    """
    with brand_scope(brand_id):
        touchpoint = Touchpoint.objects.select_for_update(of=("self",)).select_related("account").get(pk=touchpoint_id)
        account = touchpoint.account
        if account is None:
            raise CodeNotIssued(_("This channel has no service account."), _("Only leaves of the tree carry a code."))
        order = _order(touchpoint, at)
    make = calls.create_permanent_code if touchpoint.is_permanent else calls.create_code
    answer = make(account, touchpoint.scene, at=at)
    point("issue code: answered, not kept")
    ticket, url = str(answer.data.get("ticket", "")), str(answer.data.get("url", ""))
    with brand_scope(brand_id):
        touchpoint = Touchpoint.objects.select_for_update().get(pk=touchpoint_id)
        if answer.ok and ticket and url:
            _close(order, CodeOrder.State.MADE, at)
            return keep_code(touchpoint=touchpoint, ticket=ticket[:200], url=url[:200], at=at)
        unheard = answer.ok or (answer.outcome is Outcome.UNKNOWN and not answer.code)
        _close(order, CodeOrder.State.LOST if unheard else CodeOrder.State.REFUSED, at)
        cause, action = _said(answer)
        touchpoint.problem = cause[:200]
        touchpoint.save(update_fields=["problem"])
    raise CodeNotIssued(cause, action)


def _order(touchpoint: Touchpoint, at: datetime) -> CodeOrder:
    """Write an order; the channel's row is locked. One that was never answered is given up after a while."""
    for earlier in CodeOrder.objects.filter(touchpoint=touchpoint, state=CodeOrder.State.ASKED):
        if at - earlier.asked_at < PATIENCE:
            raise CodeBeingMade
        CodeOrder.objects.filter(pk=earlier.pk).update(state=CodeOrder.State.LOST)
        logger.warning("the answer to an order of a code was lost: channel %s", touchpoint.pk)
    return CodeOrder.objects.create(
        touchpoint=touchpoint, account=touchpoint.account, is_permanent=touchpoint.is_permanent, asked_at=at
    )


def _close(order: CodeOrder, state: str, at: datetime) -> None:
    CodeOrder.objects.filter(pk=order.pk).update(state=state, answered_at=at)
    if state == CodeOrder.State.MADE:
        allowance = CodeAllowance.objects.filter(account_id=order.account_id).first()
        if not order.is_permanent or allowance is None or allowance.repeats_are_free:
            lost = CodeOrder.objects.filter(touchpoint_id=order.touchpoint_id, state=CodeOrder.State.LOST)
            lost.update(state=CodeOrder.State.FOUND)


def _said(answer: Answer) -> tuple[str, str]:
    said = explained(answer)
    if said:
        return str(said.cause), str(said.action)
    cause = _("WeChat could not be reached (%(cause)s)") % {"cause": answer.cause}
    return cause, _("Try again in a few minutes.")


def set_allowance(
    *,
    account: OfficialAccount,
    permanent_codes: int,
    made_elsewhere: int,
    repeats_are_free: bool,
    at: datetime,
) -> CodeAllowance:
    """Say how many permanent codes WeChat lets an account make, and how many were made without this product."""
    before = CodeAllowance.objects.filter(account=account).first()
    fields: dict[str, Any] = {
        "permanent_codes": permanent_codes,
        "made_elsewhere": made_elsewhere,
        "repeats_are_free": repeats_are_free,
    }
    row, _made = CodeAllowance.objects.update_or_create(account=account, defaults=fields | {"changed_at": at})
    record_audit(
        action="change code allowance",
        obj=account,
        changes={name: [getattr(before, name, None), value] for name, value in fields.items()},
    )
    return row


def make_codes(brand_id: int, touchpoint_ids: Sequence[int], *, anew: bool = False) -> None:
    """Have a worker make the codes of channels, after the transaction that wrote them; `anew` also those that exist."""
    if touchpoint_ids:
        ring(tasks.issue_codes, brand_id, list(touchpoint_ids), anew=anew)


def renew_codes(
    brand_id: int,
    *,
    at: datetime,
    only: Sequence[int] | None = None,
    anew: bool = False,
    goes_on: Callable[[], bool] = lambda: True,
) -> int:
    """Renew the temporary codes that end within five days, and make those that are missing. Gives how many are new.

    Those that end come first, of every account, then what is missing; what was refused the last time comes after the
    others. Three refusals in a row are about the account or its codes of this kind: the rest of those waits for the
    next round, and nothing else waits with them. Archived channels and those the brand has let end are left to expire.
    `only` narrows it to some channels, and `anew` makes those whatever they have. When `goes_on` ends the round, a
    worker is rung for what is left of it.
    """
    made = 0
    refused: Counter[tuple[int, bool]] = Counter()
    with brand_scope(brand_id):
        groups = list(
            _due(at, only, anew=anew)
            .order_by("account_id")
            .values_list("account_id", "is_permanent", "has_code")
            .distinct()
        )
    # Those that end first of all, permanent ones last: WeChat takes none of them back.
    order: list[tuple[tuple[int, bool], int]] = []
    for account_id, is_permanent, has_code in sorted(groups, key=lambda group: (group[1], not group[2], group[0])):
        with brand_scope(brand_id):
            due = _due(at, only, anew=anew).filter(account_id=account_id, is_permanent=is_permanent, has_code=has_code)
            ids = list(due.order_by("was_refused", "expires_at", "pk").values_list("pk", flat=True))
        order += [((account_id, is_permanent), pk) for pk in ids]
    for number, (kind, touchpoint_id) in enumerate(order):
        if refused[kind] == FAILURES_IN_A_ROW:
            continue
        if not goes_on():
            make_codes(brand_id, [pk for kind, pk in order[number:] if refused[kind] < FAILURES_IN_A_ROW], anew=anew)
            break
        try:
            issue_code(brand_id, touchpoint_id, at=at)
            made, refused[kind] = made + 1, 0
        except CodeBeingMade:
            continue  # somebody else asked a moment ago and waits for the answer
        except CodeNotIssued as error:
            logger.warning("no code for channel %s: %s", touchpoint_id, error.message)
            refused[kind] += 1
    return made


def _due(at: datetime, only: Sequence[int] | None, *, anew: bool) -> QuerySet[Any]:
    """Give the channels whose codes are to be made, with whether they have one and whether WeChat refused the last."""
    due = Touchpoint.objects.filter(working(at), account__isnull=False).exclude(scene="")
    due = due.annotate(
        has_code=ExpressionWrapper(~Q(ticket=""), output_field=BooleanField()),
        was_refused=ExpressionWrapper(~Q(problem=""), output_field=BooleanField()),
    )
    if only is not None:
        due = due.filter(pk__in=only)
    if anew and only is not None:  # but not twice for a double click
        lately = CodeIssue.objects.filter(touchpoint_id__in=only, issued_at__gt=at - SAME_CLICK)
        return due.exclude(pk__in=lately.values("touchpoint_id"))
    return due.filter(Q(ticket="") | Q(is_permanent=False, expires_at__lt=at + RENEW_BEFORE))


def mark_printed(*, touchpoint_ids: Sequence[int], at: datetime) -> int:
    """Note that the pictures of channels were downloaded: from now on their ends are announced as ends of prints."""
    current = Touchpoint.objects.filter(pk__in=touchpoint_ids).exclude(ticket="").values("ticket")
    rows = CodeIssue.objects.filter(touchpoint_id__in=touchpoint_ids, ticket__in=current, printed_at__isnull=True)
    return rows.update(printed_at=at)
