"""Codes by which members invite, and people who come by one: each is somebody's at most once, and only when new."""

from __future__ import annotations

import logging
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.sealing import blind_index
from accounts.tenancy import brand_scope, current_brand_id
from common.errors import AppError
from coupons.codes import derive, folded
from loyalty.errors import MemberGone
from loyalty.services.ledger import lock_accounts, open_account, present
from members.models import Member
from referrals.errors import (
    CodeUnavailable,
    InvitationUnknown,
    InvitedBefore,
    NoProgramme,
    NotNew,
    OwnInvitation,
)
from referrals.models import Invitation, Referral, Sign, SignKind
from referrals.selectors import account_of_codes, running
from touchpoints.models import TouchKind
from wechat_gateway import calls
from wechat_gateway.answers import explained

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from touchpoints.models import Touch

logger = logging.getLogger(__name__)

#: Who came so long ago at most still counts as new: opening the link, signing in and sending the code take a while.
ARRIVAL: Final = timedelta(minutes=30)
SCENE: Final = "inv_"
TICKET_DAYS: Final = 30
RENEW_BEFORE: Final = timedelta(days=3)


@transaction.atomic
def own_invitation(*, member_id: int, at: datetime) -> Invitation:
    """Give the code by which a member invites; the same one each time. Raises MemberGone."""
    member = Member.objects.get(pk=present(member_id))
    known = Invitation.objects.filter(member=member).order_by("pk").first()
    if known is not None:
        return known
    secret = blind_index(current_brand_id(), "invitation", str(member.public_id)).bytes
    row = Invitation(member=member, code=derive(secret, member.pk), created_at=at)
    Invitation.objects.bulk_create([row], ignore_conflicts=True)  # two phones at once
    return Invitation.objects.filter(member=member).order_by("pk").get(code=row.code)


def picture_of(*, brand_id: int, member_id: int, at: datetime) -> tuple[str, datetime]:
    """Have WeChat make a code that brings followers; gives its picture and until when it works.

    Opens its own scopes: the call happens outside any transaction. Raises CodeUnavailable, MemberGone, NoProgramme.
    """
    with brand_scope(brand_id):
        row = own_invitation(member_id=member_id, at=at)
        programme = running(at)
        if programme is None:
            raise NoProgramme
        account = account_of_codes(programme)
        if account is None:
            raise CodeUnavailable(_("No service account is connected."))
        until = row.ticket_until
        if row.ticket and row.ticket_account_id == account.pk and until is not None and until - RENEW_BEFORE > at:
            return calls.code_picture_url(row.ticket), until
    answer = calls.create_code(account, f"{SCENE}{row.code}", at=at)
    ticket = str(answer.data.get("ticket", ""))[:200]
    if not answer.ok or not ticket:
        said = explained(answer)
        raise CodeUnavailable(str(said.cause) if said else _("WeChat could not be reached."))
    until = at + timedelta(days=TICKET_DAYS)
    with brand_scope(brand_id):
        Invitation.objects.filter(pk=row.pk).update(ticket=ticket, ticket_account=account, ticket_until=until)
    return calls.code_picture_url(ticket), until


@transaction.atomic
def accept(*, member_id: int, code: str, at: datetime, signs: Mapping[str, str] | None = None) -> tuple[Referral, bool]:
    """Write down by whom somebody was brought; the first invitation counts, sent again it gives the same answer.

    Gives the row, and whether it is new. Raises InvitationUnknown, NoProgramme, OwnInvitation, NotNew,
    InvitedBefore, MemberGone.
    """
    wanted = folded(code)
    invitation = Invitation.objects.filter(code=wanted).first() if wanted else None
    if invitation is None:
        raise InvitationUnknown
    try:
        inviter_id = present(invitation.member_id)
    except MemberGone:
        raise InvitationUnknown from None
    member_id = open_account(member_id).member_id  # whoever they are today, one call at a time
    note_signs(member_id=member_id, signs=signs or {}, at=at)
    if inviter_id == member_id:
        raise OwnInvitation
    known = Referral.objects.filter(invited_id=member_id).first()
    if known is not None:
        if known.inviter_id != inviter_id:
            raise InvitedBefore
        return known, False
    programme = running(at)
    if programme is None:
        raise NoProgramme
    if was_known(Member.objects.get(pk=member_id), at):
        raise NotNew
    row = Referral.objects.create(programme=programme, inviter_id=inviter_id, invited_id=member_id, bound_at=at)
    return row, True


def was_known(member: Member, at: datetime) -> bool:
    """Say whether the brand knew somebody before they came by an invitation at a moment."""
    moments = [member.created_at, member.joined_at]
    return any(moment is not None and moment < at - ARRIVAL for moment in moments)


def come_by_code(touch: Touch) -> None:
    """Take whoever follows by the picture of an invitation for invited; other scans cost nothing here."""
    if not touch.scene.startswith(SCENE) or touch.kind != TouchKind.FOLLOW:
        return
    try:
        with transaction.atomic():
            accept(member_id=touch.member_id, code=touch.scene.removeprefix(SCENE), at=touch.at)
    except AppError as refused:
        logger.info("nobody is invited by this scan: %s", refused.code)


def note_signs(*, member_id: int, signs: Mapping[str, str], at: datetime) -> int:
    """Keep fingerprints of what somebody was seen with; the values themselves are not kept. Gives how many."""
    brand_id = current_brand_id()
    rows = [
        Sign(member_id=member_id, kind=kind, value=_fingerprint(brand_id, kind, value), at=at)
        for kind, value in sorted(signs.items())
        if value and kind in SignKind.values
    ]
    Sign.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["brand", "kind", "value", "member"],
        update_fields=["at"],
    )
    return len(rows)


def _fingerprint(brand_id: int, kind: str, value: str) -> uuid.UUID:
    return blind_index(brand_id, f"invitation {kind.lower()}", value.strip())


@transaction.atomic
def report_sign(*, member_id: int, kind: str, value: str, at: datetime) -> None:
    """Keep what a shop or a mini program saw somebody use. Raises MemberGone."""
    member_id = present(member_id)
    lock_accounts([member_id])
    note_signs(member_id=member_id, signs={kind: value}, at=at)
