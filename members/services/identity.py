"""Who is who: unionid and phone tie followers and mini-program users to one person; safe merges are automatic."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING

from django.db import connection, transaction

from accounts.sealing import blind_index
from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from common.registry import Registry
from members.errors import PhoneInvalid, PhoneTaken
from members.facts import TAGS
from members.models import (
    Consent,
    Follower,
    Identity,
    IdentityKind,
    Member,
    MemberTag,
    MergeRecord,
    MiniProgramSession,
)
from members.services.consent import move_holds
from members.services.facts import TAG, log_facts, note_fact
from members.services.people import join, new_member, refresh_subscribed
from members.services.pre_tags import apply_pre_tags
from members.services.tags import refresh_tag_ids

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_PHONE = re.compile(r"\+?[0-9 ()-]{6,24}")

# What apps above move when two records become one: callable(kept=Member, merged=Member, at=datetime) -> how many rows.
on_merge: Registry[Callable[..., int]] = Registry(
    "merge steps", purpose="what moves when two records become one person"
)


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
    known = _member_of(IdentityKind.OPENID, appid, openid)
    if known is None:
        if unionid:
            _one_at_a_time(IdentityKind.UNIONID, subject, unionid)
        by_union = _member_of(IdentityKind.UNIONID, subject, unionid) if unionid else None
        known = by_union or new_member(at=at)
        _tie(known, IdentityKind.OPENID, appid, openid, source="mini-program log-in", at=at)
    if unionid:
        return link_unionid(member=known, subject=subject, unionid=unionid, source="mini-program log-in", at=at)
    return known


def link_unionid(*, member: Member, subject: str, unionid: str, source: str, at: datetime) -> Member:
    """Tie a person to a unionid. If another record has it, both become one; gives the record that stays."""
    _one_at_a_time(IdentityKind.UNIONID, subject, unionid)
    other = _member_of(IdentityKind.UNIONID, subject, unionid)
    if other is None:
        _tie(member, IdentityKind.UNIONID, subject, unionid, source=source, at=at)
        return member
    if other.pk == member.pk:
        return member
    if member.phone_index and other.phone_index and member.phone_index != other.phone_index:
        # Two phones speak for two people: leave both and let somebody look (the audit log names both records).
        record_audit(action="identity conflict", obj=member, changes={"same unionid as": [None, other.member_no]})
        return member
    kept, merged = (other, member) if _older(other, member) else (member, other)
    return merge_members(kept=kept, merged=merged, evidence=f"unionid ({source})", at=at)


def bind_phone(*, member: Member, number: str, source: str, at: datetime) -> Member:
    """Bind a phone and make the person a member. Gives the record that stays.

    `number` is E.164 or mainland. If another record of the brand has the phone: one person when only one of the two has
    a WeChat identity under each appid (say, a card from the shop), else `PhoneTaken`. Raises `PhoneInvalid`.
    """
    phone = normalised_phone(number)
    index = blind_index(current_brand_id(), "phone", phone)
    _one_at_a_time(IdentityKind.PHONE, "", str(index))
    member = Member.objects.select_for_update().get(pk=member.pk)
    other = (
        Member.objects.select_for_update()
        .filter(phone_index=index, merged_into__isnull=True)
        .exclude(pk=member.pk)
        .first()
    )
    if other is not None:
        if _same_namespaces(member, other) or (member.phone_index and member.phone_index != index):
            raise PhoneTaken
        member = merge_members(kept=other, merged=member, evidence=f"phone ({source})", at=at)
    if member.phone_index != index:
        Identity.objects.filter(member=member, kind=IdentityKind.PHONE, ended_at__isnull=True).update(ended_at=at)
        member.phone = phone
        member.phone_index, member.phone_tail, member.phone_masked = index, phone[-4:], masked_phone(phone)
        member.save(update_fields=["phone", "phone_index", "phone_tail", "phone_masked"])
        _tie(member, IdentityKind.PHONE, "", str(index), source=source, at=at)
        record_audit(action="bind phone", obj=member, changes={"phone": [None, "***"]}, reason=source)
    return join(member=member, at=at)


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


@transaction.atomic
def merge_members(*, kept: Member, merged: Member, evidence: str, at: datetime) -> Member:
    """Make two records one person: everything of `merged` moves to `kept`, and a record says what moved."""
    locked = {
        row.pk: row for row in Member.objects.select_for_update().filter(pk__in=[kept.pk, merged.pk]).order_by("pk")
    }
    kept, merged = locked[kept.pk], locked[merged.pk]
    moved: dict[str, int] = {
        "followers": Follower.objects.filter(member=merged).update(member=kept),
        "identities": Identity.objects.filter(member=merged).update(member=kept),
        "sessions": MiniProgramSession.objects.filter(member=merged).update(member=kept),
        "tags": _move_tags(kept, merged, at),
        "opt-outs": move_holds(kept=kept, merged=merged),
        "consents": _copy_consents(kept, merged, at),
    }
    for key, step in on_merge.items():
        moved[key] = step(kept=kept, merged=merged, at=at)
    if merged.phone_index and not kept.phone_index:
        kept.phone = merged.phone
        kept.phone_index, kept.phone_tail, kept.phone_masked = (
            merged.phone_index,
            merged.phone_tail,
            merged.phone_masked,
        )
    merged.merged_into = kept
    merged.subscribed = False
    merged.save(update_fields=["merged_into", "subscribed"])
    kept.name = kept.name or merged.name
    kept.store_id = kept.store_id or merged.store_id
    kept.joined_at = min(filter(None, [kept.joined_at, merged.joined_at]), default=None)
    kept.created_at = min(kept.created_at, merged.created_at)
    kept.last_interaction_at = max(filter(None, [kept.last_interaction_at, merged.last_interaction_at]), default=None)
    kept.save()
    refresh_subscribed(member_ids=[kept.pk], at=at)
    refresh_tag_ids(member_ids=[kept.pk, merged.pk])
    MergeRecord.objects.create(kept=kept, merged=merged, evidence=evidence, moved=moved, at=at)
    record_audit(action="merge members", obj=kept, changes={"merged": [None, merged.member_no]}, reason=evidence)
    kept.refresh_from_db()
    return kept


def _member_of(kind: str, namespace: str, value: str) -> Member | None:
    edge = (
        Identity.objects.select_related("member")
        .filter(kind=kind, namespace=namespace, value=value, ended_at__isnull=True)
        .first()
    )
    return edge.member if edge else None


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
        defaults={"member": member, "source": source, "since": at},
    )
    if created and kind != IdentityKind.OPENID:
        apply_pre_tags(member_id=member.pk, kind=kind, value=value, at=at)


def _older(one: Member, other: Member) -> bool:
    return (one.created_at, one.pk) <= (other.created_at, other.pk)


def _same_namespaces(one: Member, other: Member) -> bool:
    """Say whether both records have an OpenID of the same appid: then they are two WeChat users, not one."""

    def appids(member: Member) -> set[str]:
        edges = Identity.objects.filter(member=member, kind=IdentityKind.OPENID, ended_at__isnull=True)
        return set(edges.values_list("namespace", flat=True))

    return bool(appids(one) & appids(other))


def _move_tags(kept: Member, merged: Member, at: datetime) -> int:
    """Give the one who stays the other's tags; what both have, or what an exclusive group forbids, stays as it is."""
    mine = {row.tag_id: row for row in MemberTag.objects.filter(member=kept)}
    slots = {row.slot for row in mine.values() if row.slot is not None}
    theirs = list(MemberTag.objects.filter(member=merged).order_by("pk"))
    moving = [row for row in theirs if row.tag_id not in mine and (row.slot is None or row.slot not in slots)]
    for row in theirs:
        known = mine.get(row.tag_id)
        if known is not None and row.given and not known.given:
            known.given, known.source, known.expires_at = True, row.source, row.expires_at
            known.save(update_fields=["given", "source", "expires_at"])
    MemberTag.objects.filter(pk__in=[row.pk for row in theirs if row not in moving]).delete()
    MemberTag.objects.filter(pk__in=[row.pk for row in moving]).update(member=kept)
    gone, came = [(merged.pk, row.tag_id) for row in theirs], [(kept.pk, row.tag_id) for row in moving]
    log_facts(what=TAG, pairs=gone, before="yes", after="", source="merge", at=at)
    log_facts(what=TAG, pairs=came, before="", after="yes", source="merge", at=at)
    note_fact(kind=TAGS, member_ids=[kept.pk])
    return len(moving)


def _copy_consents(kept: Member, merged: Member, at: datetime) -> int:
    rows = list(Consent.objects.filter(member=merged).order_by("at", "pk"))
    Consent.objects.bulk_create(
        Consent(
            member=kept,
            purpose=row.purpose,
            granted=row.granted,
            text_version=row.text_version,
            source=f"merge: {row.source}"[:40],
            at=row.at,
        )
        for row in rows
    )
    return len(rows)
