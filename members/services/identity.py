"""Who is who: unionid and phone tie followers and mini-program users to one person; safe merges are automatic."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import connection, transaction

from accounts.sealing import blind_index
from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from members.errors import PhoneInvalid, PhoneTaken
from members.models import Doubt, Identity, IdentityKind, Member
from members.services.doubts import (
    against,
    against_by_phone,
    against_its_phone,
    is_another,
    is_apart,
    open_doubt,
    who_stays,
)
from members.services.merging import merge_members, on_merge
from members.services.people import join, lock_standing, new_member
from members.services.pre_tags import apply_pre_tags

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

__all__ = ["merge_members", "on_merge"]  # where they were looked for before they had a module of their own

_PHONE = re.compile(r"\+?[0-9 ()-]{6,24}")
PENDING_LASTS: Final = timedelta(days=90)  # WeCom's pending_id (reference: WeCom 4)


@dataclass(frozen=True)
class Known:
    """Something a person is known by: a kind of identity, who issued it, and what it is."""

    kind: str
    value: str
    namespace: str = ""


@dataclass(frozen=True)
class Linked:
    """Whom identities lead to, and what could not be settled about it."""

    member: Member
    doubts: tuple[Doubt, ...] = ()


def record_mini_program_user(
    *,
    appid: str,
    openid: str,
    unionid: str,
    subject: str,
    at: datetime,
) -> Member:
    """Give the person behind a mini-program log-in; the same unionid as a follower's means the same member."""
    _one_at_a_time(IdentityKind.OPENID, appid, openid)
    known = _member_of(IdentityKind.OPENID, appid, openid, at)
    if known is None:
        if unionid:
            _one_at_a_time(IdentityKind.UNIONID, subject, unionid)
        by_union = _member_of(IdentityKind.UNIONID, subject, unionid, at) if unionid else None
        known = by_union or new_member(at=at)
        _tie(known, IdentityKind.OPENID, appid, openid, source="mini-program log-in", at=at)
    _met(known, at)
    if unionid:
        return link_unionid(member=known, subject=subject, unionid=unionid, source="mini-program log-in", at=at)
    return known


def link_unionid(*, member: Member, subject: str, unionid: str, source: str, at: datetime) -> Member:
    """Tie a person to a unionid. If another record has it, both become one; gives the record that stays."""
    return link_identity(
        member=member, known=Known(IdentityKind.UNIONID, unionid, subject), source=source, at=at
    ).member


def link_identity(*, member: Member, known: Known, source: str, at: datetime) -> Linked:
    """Tie a person to something they are known by, other than a phone.

    If another record has it, both become one unless something speaks against it: then somebody looks at them.
    """
    _one_at_a_time(known.kind, known.namespace, known.value)
    other = _member_of(known.kind, known.namespace, known.value, at)
    if other is not None and other.pk == member.pk:
        _seen_again(member, known, at)
        return Linked(member)
    member = lock_standing(member_id=member.pk)
    if other is None:
        _tie(member, known.kind, known.namespace, known.value, source=source, at=at)
        return Linked(member)
    other = lock_standing(member_id=other.pk)
    if other.pk == member.pk:
        return Linked(member)
    evidence = f"{known.kind.lower()} ({source})"
    reasons = against(member, other)
    if reasons or is_apart(member, other):
        doubt = open_doubt(one_id=member.pk, other_id=other.pk, reasons=reasons, evidence=evidence, at=at)
        return Linked(member, (doubt,))
    kept, merged = who_stays(member, other)
    return Linked(merge_members(kept=kept, merged=merged, evidence=evidence, at=at))


def meet(*, identities: Sequence[Known], source: str, at: datetime) -> Linked:
    """Give the person behind identities that one system says belong together, and tie them all to that person.

    A record is opened at first contact. Phones are tied last, and those another person holds lead to a doubt.
    """
    for each in sorted(identities, key=lambda each: (each.kind, each.namespace, each.value)):
        _one_at_a_time(each.kind, each.namespace, stored_value(each))
    ordered = sorted(identities, key=lambda each: each.kind == IdentityKind.PHONE)
    member = _met_before(ordered, at) or new_member(at=at)
    doubts: list[Doubt] = []
    for each in ordered:
        if each.kind == IdentityKind.PHONE:
            linked = link_phone(member=member, number=each.value, source=source, at=at)
        else:
            linked = link_identity(member=member, known=each, source=source, at=at)
        member = linked.member
        doubts += linked.doubts
    _met(member, at)
    return Linked(member, tuple(doubts))


def _met_before(ordered: Sequence[Known], at: datetime) -> Member | None:
    """Give whom identities lead to; a phone leads to nobody whom WeChat or WeCom knows as another user."""
    for each in ordered:
        member = _member_of(each.kind, each.namespace, stored_value(each), at)
        if member is not None and (each.kind != IdentityKind.PHONE or not is_another(member, ordered)):
            return member
    return None


def link_phone(*, member: Member, number: str, source: str, at: datetime) -> Linked:
    """Bind a phone as `bind_phone` does; where that is refused somebody looks at both records, and nothing is bound."""
    try:
        with transaction.atomic():
            return Linked(bind_phone(member=member, number=number, source=source, at=at))
    except PhoneTaken as error:
        return Linked(member, (note_taken_phone(member_id=member.pk, error=error, source=source, at=at),))


def note_taken_phone(*, member_id: int, error: PhoneTaken, source: str, at: datetime) -> Doubt:
    """Have somebody look at two records that want the same phone."""
    if error.holder_id is None:
        raise error
    return open_doubt(
        one_id=member_id, other_id=error.holder_id, reasons=error.reasons, evidence=f"phone ({source})", at=at
    )


def bind_phone(*, member: Member, number: str, source: str, at: datetime) -> Member:
    """Bind a phone and make the person a member. Gives the record that stays.

    `number` is E.164 or mainland. If another record of the brand has the phone, both become one person when nothing
    speaks against it (say, a card from the shop), else `PhoneTaken`. Raises `PhoneInvalid`.
    """
    phone = normalised_phone(number)
    index = blind_index(current_brand_id(), "phone", phone)
    _one_at_a_time(IdentityKind.PHONE, "", str(index))
    member = lock_standing(member_id=member.pk)
    holder = (
        Member.objects.select_for_update()
        .filter(phone_index=index, merged_into__isnull=True)
        .exclude(pk=member.pk)
        .first()
    )
    if holder is not None:
        reasons = against_by_phone(asking=member, holder=holder, source=source, at=at)
        if reasons or is_apart(member, holder):
            raise PhoneTaken(holder_id=holder.pk, reasons=tuple(reasons))
        kept, merged = who_stays(holder, member)
        member = merge_members(kept=kept, merged=merged, evidence=f"phone ({source})", at=at)
    if member.phone_index != index:
        Identity.objects.filter(member=member, kind=IdentityKind.PHONE, ended_at__isnull=True).update(ended_at=at)
        member.phone = phone
        member.phone_index, member.phone_tail, member.phone_masked = index, phone[-4:], masked_phone(phone)
        member.save(update_fields=["phone", "phone_index", "phone_tail", "phone_masked"])
        _tie(member, IdentityKind.PHONE, "", str(index), source=source, at=at)
        record_audit(action="bind phone", obj=member, changes={"phone": [None, "***"]}, reason=source)
    return join(member=member, at=at)


def join_by_phone(*, number: str, source: str, at: datetime, name: str = "") -> tuple[Member, bool]:
    """Give the person whose phone this is, as a member, and whether they have become one now.

    Its owner has just shown that it is theirs; nobody is signed in whose other identities would say who they are.
    Raises `PhoneInvalid`, `PhoneTaken` where the phone may have gone to somebody else since the brand last heard of it.
    """
    holder = holder_of(known=Known(IdentityKind.PHONE, number), at=at)
    if holder is None:
        member, was_member = new_member(at=at), False
    else:
        member = lock_standing(member_id=holder.pk)
        was_member = member.joined_at is not None
        reasons = against_its_phone(holder=member, source=source, at=at)
        if reasons:
            raise PhoneTaken(holder_id=member.pk, reasons=tuple(reasons))
    member = bind_phone(member=member, number=number, source=source, at=at)
    if name:
        member = join(member=member, at=at, name=name)
    return member, not was_member


def holder_of(*, known: Known, at: datetime) -> Member | None:
    """Give whom something leads to; whoever else decides about it waits until this transaction ends."""
    value = stored_value(known)
    _one_at_a_time(known.kind, known.namespace, value)
    return _member_of(known.kind, known.namespace, value, at)


def waits_for_contact(*, member: Member, corp: str, at: datetime) -> bool:
    """Say whether WeCom has to be asked (again) for the pending_id by which a contact to come will be known.

    It lasts 90 days and is asked for when the person does something (reference: WeCom 4), never in bulk.
    """
    edges = Identity.objects.filter(member=member, namespace=corp, ended_at__isnull=True)
    if edges.filter(kind=IdentityKind.EXTERNAL).exists():
        return False
    return not edges.filter(kind=IdentityKind.PENDING, expires_at__gt=at).exists()


def normalised_phone(number: str) -> str:
    """Give a number as E.164; mainland numbers may come without country code. Raises `PhoneInvalid`."""
    import phonenumbers  # with its first number: the gateway process never reads one

    written = unicodedata.normalize("NFKC", number).strip()
    if not _PHONE.fullmatch(written):
        raise PhoneInvalid
    try:
        parsed = phonenumbers.parse(written, "CN")
    except phonenumbers.NumberParseException:
        raise PhoneInvalid from None
    if not phonenumbers.is_possible_number(parsed) or len(str(parsed.national_number)) < 6:
        raise PhoneInvalid
    if parsed.country_code == 86 and not (
        len(str(parsed.national_number)) == 11 and str(parsed.national_number)[0] == "1"
    ):
        raise PhoneInvalid
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def masked_phone(phone: str) -> str:
    """Show a phone as 138****6721 (foreign ones keep their country code)."""
    national = phone.removeprefix("+86")
    return f"{national[:3]}****{national[-4:]}"


def _member_of(kind: str, namespace: str, value: str, at: datetime) -> Member | None:
    edge = (
        Identity.objects.select_related("member")
        .filter(kind=kind, namespace=namespace, value=value, ended_at__isnull=True)
        .first()
    )
    if edge is None:
        return None
    if edge.expires_at is not None and edge.expires_at <= at:
        Identity.objects.filter(pk=edge.pk).update(ended_at=edge.expires_at)
        return None
    member: Member = edge.member
    return member


def stored_value(known: Known) -> str:
    """Give what is kept of it: of a phone its fingerprint. Raises `PhoneInvalid`."""
    if known.kind != IdentityKind.PHONE:
        return known.value
    return str(blind_index(current_brand_id(), "phone", normalised_phone(known.value)))


def _met(member: Member, at: datetime) -> None:
    """First contact may have been earlier than what was heard of first."""
    if at < member.created_at:
        Member.objects.filter(pk=member.pk, created_at__gt=at).update(created_at=at)
        member.created_at = at


def _seen_again(member: Member, known: Known, at: datetime) -> None:
    """The same news again: an edge is as old as the oldest of it, and a passing one lasts from the newest."""
    edge = Identity.objects.filter(
        member=member, kind=known.kind, namespace=known.namespace, value=known.value, ended_at__isnull=True
    )
    edge.filter(since__gt=at).update(since=at)
    if known.kind == IdentityKind.PENDING:
        edge.filter(expires_at__lt=at + PENDING_LASTS).update(expires_at=at + PENDING_LASTS)


def _one_at_a_time(kind: str, namespace: str, value: str) -> None:
    """Make whoever else decides about the same identity wait until this transaction ends.

    Two log-ins at once would both find nobody and open two records; no row is there yet that could be locked.
    """
    name = "\x1f".join((str(current_brand_id()), kind, namespace, value))
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])


def _tie(member: Member, kind: str, namespace: str, value: str, *, source: str, at: datetime) -> None:
    _edge, created = Identity.objects.get_or_create(
        kind=kind,
        namespace=namespace,
        value=value,
        ended_at=None,
        defaults={
            "member": member,
            "source": source[:40],
            "since": at,
            "expires_at": at + PENDING_LASTS if kind == IdentityKind.PENDING else None,
        },
    )
    if created and kind in (IdentityKind.UNIONID, IdentityKind.PHONE):
        apply_pre_tags(member_id=member.pk, kind=kind, value=value, at=at)
