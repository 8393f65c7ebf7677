"""People who come by the hundred from another system: found, opened and taken back in few statements."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.db import connection
from django.db.models import Q

from accounts.bulk import insert_many
from accounts.sealing import blind_index, seal
from accounts.tenancy import current_brand_id
from members import facts, profiles
from members.models import (
    FactChange,
    FactDue,
    Identity,
    IdentityKind,
    Member,
    MemberTag,
    OptOut,
    PreTag,
    ProfileField,
    ProfileValue,
    Sensitivity,
)
from members.services.facts import note_fact
from members.services.identity import masked_phone
from members.services.locks import lock_identities
from members.services.people import new_member_no
from members.services.pre_tags import apply_pre_tags, awaited

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

__all__ = ["lock_identities"]  # of its callers here; they know it by this module

CARD: Final = IdentityKind.CARD


@dataclass(frozen=True)
class Newcomer:
    """Somebody another system knows. `phone` is E.164; `subject` is the Open Platform account of the UnionID.

    `phone_index` is the fingerprint of the phone (`phone_key`).
    """

    joined_at: datetime
    phone: str = ""
    phone_index: str = ""
    card: str = ""
    unionid: str = ""
    subject: str = ""
    name: str = ""
    birth_mmdd: int | None = None
    gender: str = ""
    city: str = ""
    store_id: int | None = None
    source: str = ""
    own: Mapping[str, str] = field(default_factory=dict)  # values of the brand's own fields by key, read


@dataclass(frozen=True)
class Known:
    """Whom identities lead to: for each kind, value (of phones the fingerprint) → key of the record of today."""

    phones: dict[str, int] = field(default_factory=dict)
    cards: dict[str, int] = field(default_factory=dict)
    unionids: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


def phone_key(phone: str) -> str:
    """Give the fingerprint by which a phone (E.164) is found."""
    return str(blind_index(current_brand_id(), "phone", phone))


def known_people(
    *,
    phones: Iterable[str] = (),
    cards: Iterable[str] = (),
    unionids: Iterable[str] = (),
    subject: str = "",
    numbers: Iterable[str] = (),
) -> Known:
    """Look up whom identities lead to; `phones` are fingerprints. Records that were merged lead to the one that stayed.

    Cards are the brand's own: a till of another system may have given the same number to somebody else. `subject` is
    the Open Platform account the UnionIDs are of. Two statements, and one more for each step of a merge.
    """
    by_kind = {
        IdentityKind.PHONE: list(phones),
        CARD: list(cards),
        IdentityKind.UNIONID: list(unionids),
    }
    wanted = Q(pk__in=[])
    for kind, some in by_kind.items():
        if some:
            wanted |= Q(kind=kind, namespace=subject if kind == IdentityKind.UNIONID else "", value__in=some)
    edges = list(Identity.objects.filter(wanted, ended_at=None).values_list("kind", "value", "member_id"))
    named = dict(Member.objects.filter(member_no__in=list(numbers)).values_list("member_no", "pk"))
    today = _today({pk for _kind, _value, pk in edges} | set(named.values()))
    found: dict[str, dict[str, int]] = {kind: {} for kind in by_kind}
    for known_as, value, pk in edges:
        found[known_as][value] = today[pk]
    return Known(
        found[IdentityKind.PHONE],
        found[CARD],
        found[IdentityKind.UNIONID],
        {number: today[pk] for number, pk in named.items()},
    )


def _today(member_ids: set[int]) -> dict[int, int]:
    """Give, for each record, the one that it has become."""
    became = {pk: pk for pk in member_ids}
    ends = set(member_ids)
    while ends:
        rows = Member.objects.filter(pk__in=ends, merged_into__isnull=False).values_list("pk", "merged_into_id")
        moved = {pk: into for pk, into in rows if into is not None}
        became = {pk: moved.get(end, end) for pk, end in became.items()}
        ends = set(moved.values())
    return became


def admit(*, newcomers: Sequence[Newcomer], source: str, at: datetime) -> list[int]:
    """Open the records of people nobody knows yet, as members; gives their keys in order.

    The caller has locked their identities and looked them up. Tags that waited for them are given.
    """
    if not newcomers:
        return []
    opened = _open(newcomers, at)
    ties: list[tuple[int, str, str, str, str]] = []
    for member_id, each in zip(opened, newcomers, strict=True):
        said = (each.source or source)[:40]
        ties += [(member_id, *tie, said) for tie in _ties(each)]
    people, kinds, issuers, values, sources = (list(column) for column in zip(*ties, strict=True)) if ties else [[]] * 5
    insert_many(
        Identity,
        {"member_id": people, "kind": kinds, "namespace": issuers, "value": values, "source": sources},
        same={"since": at},
    )
    _say(opened, newcomers, source, at)
    note_fact(kind=facts.JOIN, member_ids=opened)
    for kind in (IdentityKind.PHONE.value, IdentityKind.UNIONID.value):
        mine = {value: member_id for member_id, tied, _issuer, value, _said in ties if tied == kind}
        for value in sorted(awaited(kind, list(mine))) if mine else ():
            apply_pre_tags(member_id=mine[value], kind=kind, value=value, at=at)
    return opened


def _open(newcomers: Sequence[Newcomer], at: datetime) -> list[int]:
    """Write the records; gives their keys in order."""
    brand_id = current_brand_id()
    field: Any = Member._meta.get_field("phone")
    public = [uuid.uuid4() for _each in newcomers]
    sealed = [
        seal(brand_id, each.phone, field.context(Member(brand_id=brand_id, public_id=key))) if each.phone else None
        for each, key in zip(newcomers, public, strict=True)
    ]
    made = insert_many(
        Member,
        {
            "public_id": [str(key) for key in public],
            "member_no": _free_numbers(len(newcomers)),
            "name": [each.name for each in newcomers],
            "phone": sealed,
            "phone_index": [each.phone_index or None for each in newcomers],
            "phone_tail": [each.phone[-4:] for each in newcomers],
            "phone_masked": [masked_phone(each.phone) if each.phone else "" for each in newcomers],
            "birth_mmdd": [each.birth_mmdd for each in newcomers],
            "gender": [each.gender for each in newcomers],
            "city": [each.city for each in newcomers],
            "store_id": [each.store_id for each in newcomers],
            "joined_at": [each.joined_at for each in newcomers],
            "created_at": [min(each.joined_at, at) for each in newcomers],
        },
        same={"subscribed": False, "tag_ids": []},
        by="public_id",
    )
    return [made[key] for key in public]


def _say(opened: Sequence[int], newcomers: Sequence[Newcomer], by: str, at: datetime) -> None:
    """Write down who said what of their profiles: nobody else has said anything yet."""
    said = [
        (member_id, key, profiles.said_common(key, getattr(each, common.column)))
        for member_id, each in zip(opened, newcomers, strict=True)
        for key, common in profiles.COMMON.items()
        if getattr(each, common.column)
    ]
    said += [
        (member_id, key, text)
        for member_id, each in zip(opened, newcomers, strict=True)
        for key, text in each.own.items()
        if text
    ]
    public = [uuid.uuid4() for _each in said]
    hidden = _hidden({key for _member_id, key, _text in said})
    rows: dict[str, list[Any]] = {
        "public_id": [str(each) for each in public],
        "member_id": [member_id for member_id, _key, _text in said],
        "key": [key for _member_id, key, _text in said],
        "text": ["" if key in hidden else text for _member_id, key, text in said],
        "sealed": [
            _sealed_word(each, text) if key in hidden else None
            for each, (_member_id, key, text) in zip(public, said, strict=True)
        ],
    }
    insert_many(ProfileValue, rows, same={"source": profiles.IMPORT, "by": by[:60], "at": at, "counts": True})


def _hidden(keys: set[str]) -> set[str]:
    """Give those of the fields whose values not everybody may see."""
    own = keys - set(profiles.COMMON)
    rows = ProfileField.objects.filter(key__in=own).exclude(sensitivity=Sensitivity.PLAIN)
    return set(rows.values_list("key", flat=True)) if own else set()


def _sealed_word(public_id: uuid.UUID, text: str) -> bytes:
    brand_id = current_brand_id()
    field: Any = ProfileValue._meta.get_field("sealed")
    return seal(brand_id, text, field.context(ProfileValue(brand_id=brand_id, public_id=public_id)))


def _free_numbers(wanted: int) -> list[str]:
    found: set[str] = set()
    while len(found) < wanted:
        some = {new_member_no() for _ in range(wanted - len(found))}
        found |= some - set(Member.objects.filter(member_no__in=some).values_list("member_no", flat=True))
    return sorted(found)


def _ties(each: Newcomer) -> list[tuple[str, str, str]]:
    ties = []
    if each.phone:
        ties.append((IdentityKind.PHONE.value, "", each.phone_index))
    if each.card:
        ties.append((CARD.value, "", each.card))
    if each.unionid:
        ties.append((IdentityKind.UNIONID.value, each.subject, each.unionid))
    return ties


def tie_card(*, member_id: int, card: str, source: str, at: datetime) -> int:
    """Note that a person holds a card nobody else holds; gives the key of the edge. The card is locked."""
    edge = Identity.objects.create(member_id=member_id, kind=CARD, value=card, source=source[:40], since=at)
    return edge.pk


# --- taking back -----------------------------------------------------------------------------------------------------


def withdraw(*, member_ids: Sequence[int]) -> int:
    """Take records back that nothing refers to but what opened them; gives how many. They are gone afterwards.

    The caller has made sure that nothing else refers to them: whatever does, stops it (a foreign key).
    """
    people = sorted(member_ids)
    if not people:
        return 0
    _clear(people)
    with connection.cursor() as cursor:
        # Plain SQL: Django would look for rows to delete along in tables where rows are only ever added.
        cursor.execute("DELETE FROM members_member WHERE brand_id = %s AND id = ANY(%s)", [current_brand_id(), people])
        gone: int = cursor.rowcount
    return gone


def blank(*, member_ids: Sequence[int], at: datetime) -> int:
    """Take records back of which the points ledger keeps entries: what is personal goes, they are no members any more.

    Gives how many.
    """
    people = sorted(member_ids)
    if not people:
        return 0
    _clear(people)
    return Member.objects.filter(pk__in=people).update(
        name="",
        phone=None,
        phone_index=None,
        phone_tail="",
        phone_masked="",
        birth_mmdd=None,
        gender="",
        city="",
        store=None,
        joined_at=None,
        tag_ids=[],
        erased_at=at,
    )


_WAIT_AGAIN = """
UPDATE members_pretag p SET applied_at = NULL, member_id = NULL
WHERE p.brand_id = %(brand)s AND p.member_id = ANY(%(people)s) AND NOT EXISTS (
    SELECT 1 FROM members_pretag w WHERE w.brand_id = p.brand_id AND w.kind = p.kind AND w.value = p.value
    AND w.tag_id = p.tag_id AND w.applied_at IS NULL)
"""


def _clear(people: list[int]) -> None:
    """Take what ties people to the brand; tags that had waited for them wait again."""
    with connection.cursor() as cursor:
        cursor.execute(_WAIT_AGAIN, {"brand": current_brand_id(), "people": people})
    PreTag.objects.filter(member_id__in=people).delete()
    Identity.objects.filter(member_id__in=people).delete()
    ProfileValue.objects.filter(member_id__in=people).delete()
    OptOut.objects.filter(member_id__in=people, withdrawn=False, listed=False).delete()
    MemberTag.objects.filter(member_id__in=people).delete()
    FactDue.objects.filter(member_id__in=people).delete()
    FactChange.objects.filter(member_id__in=people).delete()
