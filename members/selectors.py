"""Questions about people: who may be seen, who they are, whom a rule selects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection
from django.db.models import Q

from accounts.rest.callers import MemberPrincipal, SessionClaim
from accounts.roles import DataScope
from accounts.sealing import blind_index
from accounts.tenancy import current_brand_id, reporting
from common.registry import Registry
from members.models import (
    Consent,
    Follower,
    Identity,
    IdentityKind,
    Member,
    MemberTag,
    Segment,
    Snapshot,
    Tag,
    TagRule,
)
from members.reach import carriers
from members.segments import matching
from stores.selectors import store_ids_of_grant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.models import QuerySet

    from accounts.viewer import Viewer

SAMPLE = 20

# How apps above narrow members to “own” ones of a viewer (say, a guide's): callable(viewer) -> Q on Member.
own_members: Registry[Callable[[Viewer], Q]] = Registry("own members", purpose="whom a role with the scope OWN sees")


@dataclass(frozen=True)
class PersonLine:
    """One person of a sample; phones stay masked."""

    id: int
    name: str
    member_no: str
    phone_masked: str
    subscribed: bool


@dataclass(frozen=True)
class Reach:
    """How many of a segment one carrier reaches."""

    key: str
    label: str
    count: int


@dataclass(frozen=True)
class Preview:
    """What a rule selects at a moment: how many, a sample, and how many can be reached, per carrier and by any."""

    count: int
    sample: tuple[PersonLine, ...]
    reach: tuple[Reach, ...]
    reachable: int


def visible_members(viewer: Viewer) -> QuerySet[Member]:
    """Give the members a viewer may see; merged records are left out."""
    people = Member.objects.filter(merged_into__isnull=True)
    if viewer.scope == DataScope.BRAND:
        return people
    if viewer.scope == DataScope.STORES:
        return people.filter(store_id__in=store_ids_of_grant(viewer.grant_id))
    own = Q(pk__in=[])
    for _key, narrow in own_members.items():
        own |= narrow(viewer)
    return people.filter(own)


def within_reach(people: QuerySet[Member], viewer: Viewer | None) -> QuerySet[Member]:
    """Narrow people to those a viewer may see by name; without a viewer nobody is left out."""
    if viewer is None or viewer.scope == DataScope.BRAND:
        return people
    return people.filter(pk__in=visible_members(viewer).values("pk"))


def find_members(viewer: Viewer, text: str, *, limit: int = 8) -> list[Member]:
    """Search visible members by name prefix, phone tail, member number or the tail of an OpenID."""
    text = text.strip()
    if not text:
        return []
    visible = visible_members(viewer)
    wanted = Q(name__startswith=text)
    if text.isdigit() and len(text) == 4:
        wanted |= Q(phone_tail=text)
    if text.isdigit():
        wanted |= Q(member_no=text)
    found = list(visible.filter(wanted).order_by("-last_interaction_at", "-pk")[:limit])
    if not found and len(text) >= 6:
        edges = Identity.objects.filter(kind=IdentityKind.OPENID, value__endswith=text).values("member_id")
        found = list(visible.filter(pk__in=edges).order_by("-pk")[:limit])
    return found


def preview(rule: object, *, at: datetime, viewer: Viewer | None = None) -> Preview:
    """Count, sample and reach of a rule before anything is saved. Raises `RuleInvalid`.

    Figures are the brand's; the sample names only people within reach of `viewer`.
    """
    with reporting(current_brand_id()):
        people = matching(rule, at=at)
        count = people.count()
        sample = tuple(
            PersonLine(row.pk, row.name, row.member_no, row.phone_masked, row.subscribed)
            for row in within_reach(people, viewer)
            .only("name", "member_no", "phone_masked", "subscribed")
            .order_by("-last_interaction_at", "-pk")[:SAMPLE]
        )
        reach, anyhow = [], Q(pk__in=[])
        for key, way in carriers.items():
            reached = way.narrow(people, at)
            reach.append(Reach(key, str(way.label), reached.count()))
            anyhow |= Q(pk__in=reached.values("pk"))
        reachable = people.filter(anyhow).count() if reach else 0
    return Preview(count, sample, tuple(reach), reachable)


def segments() -> QuerySet[Segment]:
    """Give the brand's segments, newest change first."""
    return Segment.objects.order_by("-updated_at", "-pk")


def follower_by_openid(account_id: int, openid: str) -> Follower | None:
    """Give the follower behind an openid of an account."""
    return Follower.objects.select_related("member").filter(account_id=account_id, openid=openid).first()


def surviving(member: Member) -> Member:
    """Give the record a merged one became."""
    seen = set()
    while member.merged_into_id is not None and member.pk not in seen:
        seen.add(member.pk)
        member = Member.objects.get(pk=member.merged_into_id)
    return member


_SESSION_SQL = """
SELECT s.member_id, s.appid, s.openid FROM members_miniprogramsession s JOIN accounts_brand b ON b.id = s.brand_id
WHERE s.brand_id = %s AND s.public_id = %s AND s.expires_at > %s AND b.is_active
"""
_CARD_SQL = """
SELECT m.member_no, m.name, m.phone_masked, m.birth_mmdd, m.city, m.joined_at, m.subscribed, s.code, s.name
FROM members_member m LEFT JOIN stores_store s ON s.brand_id = m.brand_id AND s.id = m.store_id
WHERE m.brand_id = %s AND m.id = %s
"""


def principal_of_claim(claim: SessionClaim, at: datetime) -> MemberPrincipal | None:
    """Give whom a session stands for while it and its brand are alive; after a merge that is the record that stayed.

    Every call of a mini program asks this, so it is plain SQL: building the query costs the ORM more than running it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SESSION_SQL, [current_brand_id(), claim.session_id, at])
        row = cursor.fetchone()
    return MemberPrincipal(claim.brand_id, claim.session_id, *row) if row else None


def member_card(member_id: int) -> dict[str, Any]:
    """Give what a person sees about themselves, in one query: plain values, phone masked."""
    with connection.cursor() as cursor:
        cursor.execute(_CARD_SQL, [current_brand_id(), member_id])
        number, name, phone, birth, city, joined, following, store_code, store_name = cursor.fetchone()
    return {
        "member_no": number,
        "name": name,
        "phone": phone or None,
        "birthday": None if birth is None else f"{birth // 100:02d}-{birth % 100:02d}",
        "city": city,
        "joined_at": joined,
        "following": following,
        "store": None if store_code is None else {"code": store_code, "name": store_name},
    }


def consents_in_force(member_id: int) -> dict[str, Consent]:
    """Give the newest statement of a person about each purpose."""
    rows = Consent.objects.filter(member_id=member_id).order_by("purpose", "-at", "-pk").distinct("purpose")
    return {row.purpose: row for row in rows}


def member_by_id(member_id: int) -> Member:
    """Give a member by key."""
    return Member.objects.get(pk=member_id)


@dataclass(frozen=True)
class Wanted:
    """Which people another system asks for; every given condition must hold.

    `phone` is E.164 and found by its fingerprint; `tag` is a name; `before` is a key.
    """

    before: int | None = None
    member_no: str | None = None
    phone: str | None = None
    tag: str | None = None
    joined_since: datetime | None = None
    interacted_since: datetime | None = None


class PersonRow(NamedTuple):
    """A person as the brand's other systems see them; the phone stays masked, tags are in order."""

    id: int
    member_no: str
    name: str
    phone: str
    birth_mmdd: int | None
    city: str
    store_code: str | None
    store_name: str | None
    tags: list[str]
    following: bool
    created_at: datetime
    joined_at: datetime | None
    last_interaction_at: datetime | None


# The list of people is read all day long, so it is plain SQL: one statement with the tags' names, no model in between.
_PEOPLE_SQL = """
SELECT m.id, m.member_no, m.name, m.phone_masked, m.birth_mmdd, m.city, s.code, s.name,
       ARRAY(SELECT t.name FROM members_tag t WHERE t.brand_id = m.brand_id AND t.id = ANY (m.tag_ids)
             ORDER BY t.name COLLATE "C"),
       m.subscribed, m.created_at, m.joined_at, m.last_interaction_at
FROM members_member m LEFT JOIN stores_store s ON s.brand_id = m.brand_id AND s.id = m.store_id
WHERE m.brand_id = %(brand)s AND m.merged_into_id IS NULL{conditions}
ORDER BY m.brand_id DESC, m.id DESC LIMIT %(limit)s
"""
_PEOPLE_CONDITIONS = {
    "before": "m.id < %(before)s",
    "member_no": "m.member_no = %(member_no)s",
    "phone": "m.phone_index = %(phone)s",
    "tag": "EXISTS (SELECT 1 FROM members_membertag mt JOIN members_tag t ON t.brand_id = mt.brand_id "
    "AND t.id = mt.tag_id WHERE mt.brand_id = m.brand_id AND mt.member_id = m.id AND t.name = %(tag)s)",
    "joined_since": "m.joined_at >= %(joined_since)s",
    "interacted_since": "m.last_interaction_at >= %(interacted_since)s",
}


def people(wanted: Wanted, *, limit: int) -> list[PersonRow]:
    """Give at most `limit` people who meet every condition, newest contact first; merged records are left out."""
    brand_id = current_brand_id()
    given = {name: value for name, value in vars(wanted).items() if value is not None}
    if "phone" in given:
        given["phone"] = blind_index(brand_id, "phone", given["phone"])
    conditions = "".join(f" AND {_PEOPLE_CONDITIONS[name]}" for name in given)
    with connection.cursor() as cursor:
        cursor.execute(_PEOPLE_SQL.format(conditions=conditions), {**given, "brand": brand_id, "limit": limit})
        return [PersonRow(*row) for row in cursor.fetchall()]


def tags() -> QuerySet[Tag]:
    """Give the brand's tags, newest first."""
    return Tag.objects.order_by("-pk")


def tags_by_name(names: Iterable[str]) -> dict[str, int]:
    """Give the ids of tags by name or synonym; a name comes before another tag's synonym."""
    wanted = set(names)
    found: dict[str, int] = {}
    for pk, name, synonyms in Tag.objects.filter(Q(name__in=wanted) | Q(synonyms__overlap=sorted(wanted))).values_list(
        "pk", "name", "synonyms"
    ):
        found.update({word: pk for word in synonyms if word in wanted and word not in found})
        if name in wanted:
            found[name] = pk
    return found


@dataclass(frozen=True)
class TagOnPerson:
    """A tag somebody carries: what it means, who or what put it there, since when and until when.

    `source` is who gave it ("" when only rules hold it), `rules` are the names of the automatic tags that hold it.
    """

    tag_id: int
    name: str
    group: str
    meaning: str
    owner: str
    source: str
    rules: tuple[str, ...]
    at: datetime
    expires_at: datetime | None


def tags_of(member_id: int) -> list[TagOnPerson]:
    """Give the tags somebody carries, newest first. Two queries."""
    rows = list(MemberTag.objects.select_related("tag").filter(member_id=member_id).order_by("-at", "-pk"))
    wanted = {rule_id for row in rows for rule_id in row.rule_ids}
    names = dict(TagRule.objects.filter(pk__in=wanted).values_list("pk", "name"))
    return [
        TagOnPerson(
            row.tag_id,
            row.tag.name,
            row.tag.group,
            row.tag.meaning,
            row.tag.owner,
            row.source if row.given else "",
            tuple(names[rule_id] for rule_id in row.rule_ids if rule_id in names),
            row.at,
            row.expires_at,
        )
        for row in rows
    ]


@dataclass(frozen=True)
class Move:
    """How many people stood in one stage and later in another; None is whoever one of the two did not know."""

    before: int | None
    after: int | None
    people: int


_MOVES_SQL = """
SELECT a.stage, b.stage, count(*) FROM
(SELECT member_id, stage FROM members_snapshotmember WHERE brand_id = %(brand)s AND snapshot_id = %(before)s) a
FULL JOIN
(SELECT member_id, stage FROM members_snapshotmember WHERE brand_id = %(brand)s AND snapshot_id = %(after)s) b
USING (member_id) GROUP BY a.stage, b.stage ORDER BY a.stage NULLS LAST, b.stage NULLS LAST
"""


def moves(before: Snapshot, after: Snapshot) -> list[Move]:
    """Give who moved from where to where between two snapshots of a grouping; the people add up to both."""
    with connection.cursor() as cursor:
        cursor.execute(_MOVES_SQL, {"brand": current_brand_id(), "before": before.pk, "after": after.pk})
        return [Move(*row) for row in cursor.fetchall()]


def snapshots(grouping_id: int) -> QuerySet[Snapshot]:
    """Give the snapshots of a grouping, newest first."""
    return Snapshot.objects.filter(grouping_id=grouping_id).order_by("-at", "-pk")
