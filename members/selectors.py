"""Questions about people: who may be seen, who they are, whom a rule selects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    Tag,
)
from members.reach import carriers
from members.segments import matching
from stores.selectors import store_ids_of_grant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

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


def tag_names(tag_ids: Iterable[int]) -> dict[int, str]:
    """Give the names of tags by id."""
    return dict(Tag.objects.filter(pk__in=set(tag_ids)).values_list("pk", "name"))


def member_by_id(member_id: int) -> Member:
    """Give a member by key."""
    return Member.objects.get(pk=member_id)


def picked_members(
    *,
    member_no: str | None = None,
    phone: str | None = None,
    tag: str | None = None,
    joined_since: datetime | None = None,
    interacted_since: datetime | None = None,
) -> QuerySet[Member]:
    """Give the members that meet every given condition, with their stores; merged records are left out.

    `phone` is E.164 and found by its fingerprint; `tag` is a name.
    """
    people = Member.objects.select_related("store").filter(merged_into__isnull=True)
    if member_no is not None:
        people = people.filter(member_no=member_no)
    if phone is not None:
        people = people.filter(phone_index=blind_index(current_brand_id(), "phone", phone))
    if tag is not None:
        people = people.filter(pk__in=MemberTag.objects.filter(tag__name=tag).values("member_id"))
    if joined_since is not None:
        people = people.filter(joined_at__gte=joined_since)
    if interacted_since is not None:
        people = people.filter(last_interaction_at__gte=interacted_since)
    return people


def tags() -> QuerySet[Tag]:
    """Give the brand's tags, newest first."""
    return Tag.objects.order_by("-pk")


def tags_by_name(names: Iterable[str]) -> dict[str, int]:
    """Give the ids of tags by name."""
    return dict(Tag.objects.filter(name__in=set(names)).values_list("name", "pk"))
