"""What identifies the people of rows, and what the brand knows of them, looked up for a batch at once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from django.db.models import Q

from guides.models import Assignment, Guide
from imports.services.own_fields import fields_of, own_keys
from loyalty.services import opening
from members.models import Identity, IdentityKind, Member, MemberTag, ProfileField, ProfileValue, Tag, TagGroup
from members.profiles import COMMON, IMPORT
from members.selectors import tags_by_name
from members.services import intake
from members.services.profile import shown_value
from stores.selectors import brand_zone
from wechat_gateway.selectors import only_subject

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from imports.kinds import Row


@dataclass
class World:
    """What the brand knows of a batch of rows, looked up at once."""

    known: intake.Known
    subject: str
    today: str
    members: dict[int, Member] = field(default_factory=dict)
    tags: dict[str, int] = field(default_factory=dict)
    slots: dict[int, int] = field(default_factory=dict)
    carried: dict[int, dict[int, int | None]] = field(default_factory=dict)
    guides: dict[str, Guide] = field(default_factory=dict)
    assigned: dict[int, int] = field(default_factory=dict)
    openings: dict[str, opening.Given] = field(default_factory=dict)
    opened: dict[int, opening.Given] = field(default_factory=dict)  # opening balances that stand, by member
    unionids: dict[int, set[str]] = field(default_factory=dict)
    words: dict[int, dict[str, str]] = field(default_factory=dict)  # what imports said before, by member and key
    own: dict[str, ProfileField] = field(default_factory=dict)  # the brand's own fields the rows speak of
    counting: dict[int, dict[str, str]] = field(default_factory=dict)  # which words about those count


def phone_of(cells: dict[str, Any]) -> str:
    """Give the phone of a row; one that an export has masked is none."""
    phone = str(cells.get("phone") or "")
    return "" if "*" in phone else phone


def ties_of(row: Row) -> list[tuple[str, str]]:
    """Give what identifies a person beside the member number: kind and value. Worked out once for a row."""
    cells, ties = row.cells, row.ties
    if not ties:
        if phone := phone_of(cells):
            ties.append((IdentityKind.PHONE.value, intake.phone_key(phone)))
        if cells.get("card"):
            ties.append((intake.CARD.value, str(cells["card"])))
        if cells.get("unionid"):
            ties.append((IdentityKind.UNIONID.value, str(cells["unionid"])))
    return ties


def phone_index_of(row: Row) -> str:
    """Give the fingerprint of the phone of a row; empty without one."""
    return next((value for kind, value in ties_of(row) if kind == IdentityKind.PHONE), "")


_FIELDS: Final = {IdentityKind.PHONE.value: "phone", intake.CARD.value: "card", IdentityKind.UNIONID.value: "unionid"}


def names_of(row: Row, member_id: int | None) -> list[tuple[str, str]]:
    """Name the person by everything that identifies them, and by the record it leads to: field and name each."""
    names = [(_FIELDS[kind], f"{kind}\x1f{value}") for kind, value in ties_of(row)]
    if member_id is not None:
        names.append((names[0][0] if names else "member_no", f"member\x1f{member_id}"))
    return names


def locks_of(row: Row, subject: str) -> list[tuple[str, str, str]]:
    """Give what others must not decide about meanwhile: kind, issuer and value of each identity."""
    return [(kind, subject if kind == IdentityKind.UNIONID else "", value) for kind, value in ties_of(row)]


def subject_of_brand() -> str:
    """Give the Open Platform account UnionIDs of the brand come from; empty when there is none or several."""
    return only_subject()


def opening_names(row: Row) -> list[str]:
    """Name the opening balance of a row by each of what identifies its person."""
    names = [f"opening:{kind}:{value}" for kind, value in ties_of(row)]
    return names or [f"opening:NO:{row.cells.get('member_no', '')}"]


def look_up(rows: Sequence[Row], at: datetime) -> World:
    """Look up at once what a batch of rows is compared with, in a fixed number of statements."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for kind, value in ties_of(row):
            by_kind[kind].append(value)
    subject = subject_of_brand()
    known = intake.known_people(
        phones=by_kind[IdentityKind.PHONE],
        cards=by_kind[intake.CARD],
        unionids=by_kind[IdentityKind.UNIONID],
        subject=subject,
        numbers=[str(row.cells["member_no"]) for row in rows if row.cells.get("member_no")],
    )
    world = World(known, subject, at.astimezone(ZoneInfo(brand_zone())).date().isoformat())
    ids = {pk for each in (known.phones, known.cards, known.unionids, known.numbers) for pk in each.values()}
    world.members = Member.objects.in_bulk(list(ids))
    world.tags = tags_by_name({word for row in rows for word in row.cells.get("tags", [])})
    groups = dict(TagGroup.objects.filter(is_exclusive=True).values_list("name", "pk"))
    tagged = Tag.objects.filter(pk__in=set(world.tags.values()), group__in=list(groups))
    world.slots = {pk: groups[group] for pk, group in tagged.values_list("pk", "group")}
    carried = MemberTag.objects.filter(member_id__in=ids, given=True).values_list("member_id", "tag_id", "slot")
    for member_id, tag_id, slot in carried:
        world.carried.setdefault(member_id, {})[tag_id] = slot
    world.own = fields_of(key for row in rows for key in own_keys(row.cells))
    said = ProfileValue.objects.filter(member_id__in=ids, key__in=[*COMMON, *world.own])
    for word in said.filter(Q(source=IMPORT) | Q(counts=True, key__in=list(world.own))):
        if word.source == IMPORT:
            world.words.setdefault(word.member_id, {})[word.key] = shown_value(word)
        if word.counts and word.key in world.own:
            world.counting.setdefault(word.member_id, {})[word.key] = shown_value(word)
    staff = {str(row.cells["staff_no"]) for row in rows if row.cells.get("staff_no")}
    world.guides = {each.staff_no: each for each in Guide.objects.filter(staff_no__in=staff)}
    world.assigned = dict(
        Assignment.objects.filter(member_id__in=ids, until__isnull=True).values_list("member_id", "guide_id")
    )
    names = {name for row in rows if row.cells.get("points") for name in opening_names(row)}
    world.openings = opening.openings_of(names) if names else {}
    world.opened = opening.openings_of_members(ids) if names else {}
    if any(row.cells.get("unionid") for row in rows):
        held = Identity.objects.filter(
            member_id__in=ids, kind=IdentityKind.UNIONID, namespace=world.subject, ended_at=None
        )
        for member_id, value in held.values_list("member_id", "value"):
            world.unionids.setdefault(member_id, set()).add(value)
    return world


def standing_of(row: Row, world: World, member_id: int) -> opening.Given | None:
    """Give the opening balance of a row's person that stands, whatever named them when it was given."""
    given = (world.openings[name] for name in opening_names(row) if name in world.openings)
    return next((each for each in given if each.journal_id is not None), world.opened.get(member_id))
