"""When two records may be one person: what speaks against it, and what somebody decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction

from accounts.services import record_audit
from members import doubts
from members.errors import DoubtNotDecided
from members.happenings import happenings
from members.models import Doubt, DoubtState, Identity, IdentityKind, Member
from members.services.merging import clear_phone, merge_members

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from members.services.identity import Known

# Of whom a person has one: an issuer's card, the UnionID of an Open Platform account, the contact of a WeCom company.
_ONE_OF_EACH: Final = (
    (IdentityKind.CARD, doubts.CARDS),
    (IdentityKind.UNIONID, doubts.UNIONIDS),
    (IdentityKind.EXTERNAL, doubts.CONTACTS),
)


def against(one: Member, other: Member) -> list[str]:
    """Give what speaks against two records being one person, whatever ties them."""
    found = []
    if one.phone_index and other.phone_index and one.phone_index != other.phone_index:
        found.append(doubts.PHONES)
    if one.birth_mmdd and other.birth_mmdd and one.birth_mmdd != other.birth_mmdd:
        found.append(doubts.BIRTHDAYS)
    found += [reason for kind, reason in _ONE_OF_EACH if _differ(one, other, kind)]
    return found


def against_by_word(one: Member, other: Member) -> list[str]:
    """Give what speaks against two records being one person that somebody or a system says they are."""
    found = against(one, other)
    if _same_issuer(one, other, IdentityKind.OPENID):
        found.append(doubts.WECHAT)
    if _plain(one.name) and _plain(other.name) and _plain(one.name) != _plain(other.name):
        found.append(doubts.NAMES)
    return found


def against_by_phone(*, asking: Member, holder: Member, source: str, at: datetime) -> list[str]:
    """Give what speaks against two records being one person that nothing but a phone ties."""
    return against_by_word(asking, holder) + against_its_phone(holder=holder, source=source, at=at)


def against_its_phone(*, holder: Member, source: str, at: datetime) -> list[str]:
    """Give what speaks against whoever shows a phone now being the one it was bound to."""
    found = []
    edge = Identity.objects.filter(member=holder, kind=IdentityKind.PHONE, ended_at__isnull=True).first()
    if edge is not None:
        if not doubts.is_confirmed(source) and not doubts.is_confirmed(edge.source):
            found.append(doubts.TYPED)
        if at - max(edge.since, _last_seen(holder)) > doubts.PHONE_HOLDS_FOR:
            found.append(doubts.OLD_PHONE)
    return found


def is_another(member: Member, identities: Sequence[Known]) -> bool:
    """Say whether WeChat or WeCom knows somebody as another user than these identities say."""
    users = (IdentityKind.OPENID, IdentityKind.UNIONID, IdentityKind.EXTERNAL)
    said = [each for each in identities if each.kind in users]
    return any(each.value not in _issued(member, each.kind).get(each.namespace, {each.value}) for each in said)


def is_apart(one: Member, other: Member) -> bool:
    """Say whether somebody decided that these are two people."""
    first, second = sorted((one.pk, other.pk))
    return Doubt.objects.filter(one_id=first, other_id=second, state=DoubtState.APART).exists()


def open_doubt(*, one_id: int, other_id: int, reasons: Sequence[str], evidence: str, at: datetime) -> Doubt:
    """Have somebody look at two records. What was decided about them before stays decided."""
    first, second = sorted((one_id, other_id))
    doubt, is_new = Doubt.objects.get_or_create(
        one_id=first,
        other_id=second,
        defaults={"reasons": list(reasons), "evidence": evidence[:60], "found_at": at},
    )
    if is_new:
        record_audit(
            action="identity conflict",
            obj=doubt.one,
            changes={"same person as": [None, doubt.other.member_no]},
            reason=evidence,
        )
    elif doubt.state == DoubtState.OPEN and set(reasons) - set(doubt.reasons):
        doubt.reasons = [*doubt.reasons, *(each for each in reasons if each not in doubt.reasons)]
        doubt.save(update_fields=["reasons"])
    return doubt


@transaction.atomic
def decide_doubt(*, doubt_id: int, merge: bool, reason: str, by: str, at: datetime, free_phone: bool = False) -> Doubt:
    """Make two records one, or keep them apart for good; with `free_phone` the older record gives its phone up.

    Raises `DoubtNotDecided`.
    """
    doubt = Doubt.objects.select_for_update().get(pk=doubt_id)
    reason = reason.strip()
    if doubt.state != DoubtState.OPEN:
        raise DoubtNotDecided("decided")
    if len(reason) < 2:
        raise DoubtNotDecided("reason")
    people = Member.objects.select_for_update().filter(pk__in=[doubt.one_id, doubt.other_id]).order_by("pk")
    one, other = people
    if one.merged_into_id or other.merged_into_id or one.erased_at or other.erased_at:
        raise DoubtNotDecided("gone")
    doubt.state = DoubtState.MERGED if merge else DoubtState.APART
    doubt.decided_at, doubt.decided_by, doubt.note = at, by[:60], reason[:200]
    doubt.save(update_fields=["state", "decided_at", "decided_by", "note"])
    if merge:
        kept, merged = who_stays(one, other)
        merge_members(kept=kept, merged=merged, evidence=f"review: {doubt.evidence}", at=at)
    else:
        record_audit(
            action="keep members apart", obj=one, changes={"two people": [None, other.member_no]}, reason=reason
        )
        if free_phone:
            _free_phone(one if one.phone_index else other, at)
    return doubt


def propose_merge(*, member: Member, member_no: str, by: str, at: datetime) -> Doubt:
    """Ask for two records to be looked at. Raises `DoubtNotDecided` when there is no such other record."""
    other = Member.objects.filter(member_no=member_no, merged_into__isnull=True, erased_at__isnull=True).first()
    if other is None or other.pk == member.pk:
        raise DoubtNotDecided("unknown")
    doubt = open_doubt(
        one_id=member.pk,
        other_id=other.pk,
        reasons=[doubts.ASKED, *against(member, other)],
        evidence=f"staff: {by}",
        at=at,
    )
    if doubt.state != DoubtState.OPEN:  # somebody asks again, with more to go by
        Doubt.objects.filter(pk=doubt.pk).update(state=DoubtState.OPEN, found_at=at, evidence=f"staff: {by}"[:60])
        doubt.refresh_from_db()
    return doubt


def who_stays(one: Member, other: Member) -> tuple[Member, Member]:
    """Give which record stays and which goes: who joined stays, of two alike the one that was met first."""
    first, second = sorted((one, other), key=lambda each: (each.joined_at is None, each.created_at, each.pk))
    return first, second


def _free_phone(member: Member, at: datetime) -> None:
    Identity.objects.filter(member=member, kind=IdentityKind.PHONE, ended_at__isnull=True).update(ended_at=at)
    clear_phone(member)


def _issued(member: Member, kind: str) -> dict[str, set[str]]:
    edges = Identity.objects.filter(member=member, kind=kind, ended_at__isnull=True)
    found: dict[str, set[str]] = {}
    for namespace, value in edges.values_list("namespace", "value"):
        found.setdefault(namespace, set()).add(value)
    return found


def _same_issuer(one: Member, other: Member, kind: str) -> bool:
    return bool(set(_issued(one, kind)) & set(_issued(other, kind)))


def _differ(one: Member, other: Member, kind: str) -> bool:
    """Say whether one issuer gave both something, and not the same."""
    mine, theirs = _issued(one, kind), _issued(other, kind)
    return any(not mine[issuer] & theirs[issuer] for issuer in set(mine) & set(theirs))


def _plain(name: str) -> str:
    return "".join(name.split()).casefold()


def _last_seen(member: Member) -> datetime:
    """Give when the person themselves was last heard of, by anything that is known."""
    known: list[datetime | None] = [member.created_at, member.last_interaction_at]
    for _key, item in happenings.items():
        if item.is_act:
            rows = item.rows().filter(**{item.member: member.pk})
            known.append(rows.order_by(f"-{item.at}").values_list(item.at, flat=True).first())
    return max(moment for moment in known if moment is not None)
