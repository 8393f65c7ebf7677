"""What a role sees is what its data scope says: random trees against a plain reference, with a twin that could leak."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field

import pytest

from accounts.models import RoleGrant
from accounts.roles import CAPABILITIES, DataScope, Role
from accounts.tenancy import brand_scope
from accounts.viewer import Viewer
from guides import selectors as guide_selectors
from guides.models import Guide
from guides.services import assign_guide
from inbox import selectors as inbox_selectors
from inbox.models import Conversation
from members import selectors as member_selectors
from members.models import Follower, Member, MemberTag
from stores.models import Region, RegionGrant, Store, StoreGrant
from stores.selectors import store_ids_of_grant, visible_stores
from tests.factories import AT, make_account, make_member, make_staff, make_tag

SEEDS = 16 if "ZHIYIN_ISOLATION_PASS" in os.environ else 6  # the runner; within the tests fewer trees are grown
READING_ONLY = (Role.ANALYST, Role.AUDITOR)


@dataclass
class Tree:
    """A brand's organisation as plain facts, beside the rows that were made from them."""

    parent: dict[int, int | None] = field(default_factory=dict)  # region -> region
    region_of: dict[int, int | None] = field(default_factory=dict)  # store -> region
    store_of: dict[int, int | None] = field(default_factory=dict)  # member -> store
    guide_of: dict[int, int] = field(default_factory=dict)  # member -> guide
    works_at: dict[int, tuple[int, int | None]] = field(default_factory=dict)  # guide -> store, staff
    tagged: set[int] = field(default_factory=set)
    talks: dict[int, tuple[int, int | None, int | None]] = field(default_factory=dict)  # -> member, store, assignee
    people: list[tuple[RoleGrant, set[int], set[int]]] = field(default_factory=list)  # grant, regions, stores
    tag_id: int = 0


def grow(brand, seed: int) -> Tree:
    """A random tree with people in it, everything through the same rows the product has."""
    rng, tree = random.Random(seed), Tree()
    with brand_scope(brand.pk):
        account = make_account(name=f"{brand.slug}")
        tree.tag_id = make_tag(name="高活").pk
        for number in range(rng.randint(1, 7)):
            parent = rng.choice([None, *tree.parent])
            tree.parent[Region.objects.create(name=f"区{number}", parent_id=parent).pk] = parent
        for number in range(rng.randint(1, 9)):
            region = rng.choice([None, *tree.parent, *tree.parent])
            tree.region_of[Store.objects.create(code=f"S{number}", name=f"店{number}", region_id=region).pk] = region
        for number in range(8):
            _hire(tree, rng, f"{brand.slug}-{number}")
        for number in range(14):
            _meet(tree, rng, account, number)
    return tree


def _hire(tree: Tree, rng: random.Random, username: str) -> None:
    role, scope = rng.choice(list(Role)), rng.choice(list(DataScope))
    user = make_staff(username, role, scope=scope)
    grant = RoleGrant.objects.get(staff_user=user)
    regions = set(rng.sample(sorted(tree.parent), rng.randint(0, min(2, len(tree.parent)))))
    stores = set(rng.sample(sorted(tree.region_of), rng.randint(0, min(2, len(tree.region_of)))))
    RegionGrant.objects.bulk_create(RegionGrant(grant=grant, region_id=pk) for pk in regions)
    StoreGrant.objects.bulk_create(StoreGrant(grant=grant, store_id=pk) for pk in stores)
    tree.people.append((grant, regions, stores))
    if rng.random() < 0.6:
        store = rng.choice(sorted(tree.region_of))
        guide = Guide.objects.create(
            staff_no=username, name=username, store_id=store, staff_user=user, created_at=AT, is_active=True
        )
        tree.works_at[guide.pk] = (store, user.pk)


def _meet(tree: Tree, rng: random.Random, account, number: int) -> None:
    store = rng.choice([None, *tree.region_of])
    member = make_member(account, name=f"人{number:02d}", store_id=store)
    tree.store_of[member.pk] = store
    if tree.works_at and rng.random() < 0.6:
        guide = Guide.objects.get(pk=rng.choice(sorted(tree.works_at)))
        assign_guide(member_id=member.pk, guide=guide, reason="code", at=AT)
        tree.guide_of[member.pk] = guide.pk
    if rng.random() < 0.5:
        MemberTag.objects.create(member=member, tag_id=tree.tag_id, source="x", at=AT)
        Member.objects.filter(pk=member.pk).update(tag_ids=[tree.tag_id])
        tree.tagged.add(member.pk)
    if rng.random() < 0.7:
        at_store = rng.choice([store, None, *tree.region_of])
        assignee = rng.choice([None, *(grant.staff_user_id for grant, _regions, _stores in tree.people)])
        row = Conversation.objects.create(
            account=account,
            follower=Follower.objects.get(member=member),
            store_id=at_store,
            assignee_id=assignee,
            opened_at=AT,
            last_at=AT,
        )
        tree.talks[row.pk] = (member.pk, at_store, assignee)


# --- the reference ----------------------------------------------------------------------------------------------------


def within(tree: Tree, region: int | None, tops: set[int]) -> bool:
    """Whether a region is one of some, or below one of them."""
    while region is not None:
        if region in tops:
            return True
        region = tree.parent[region]
    return False


def stores_seen(tree: Tree, grant: RoleGrant, regions: set[int], stores: set[int]) -> set[int]:
    if grant.scope == DataScope.BRAND:
        return set(tree.region_of)
    return {pk for pk, region in tree.region_of.items() if pk in stores or within(tree, region, regions)}


def members_seen(tree: Tree, grant: RoleGrant, regions: set[int], stores: set[int]) -> set[int]:
    if grant.scope == DataScope.BRAND:
        return set(tree.store_of)
    if grant.scope == DataScope.STORES:
        reached = stores_seen(tree, grant, regions, stores)
        return {pk for pk, store in tree.store_of.items() if store in reached}
    mine = {pk for pk, (_store, staff) in tree.works_at.items() if staff == grant.staff_user_id}
    return {pk for pk, guide in tree.guide_of.items() if guide in mine}


def talks_seen(tree: Tree, grant: RoleGrant, regions: set[int], stores: set[int]) -> set[int]:
    members, reached = members_seen(tree, grant, regions, stores), stores_seen(tree, grant, regions, stores)
    found = set()
    for pk, (member, store, assignee) in tree.talks.items():
        by_scope = {
            DataScope.BRAND: True,
            DataScope.STORES: store in reached,
            DataScope.OWN: member in members,
        }[DataScope(grant.scope)]
        if by_scope or assignee == grant.staff_user_id:
            found.add(pk)
    return found


def guides_seen(tree: Tree, grant: RoleGrant, regions: set[int], stores: set[int]) -> set[int]:
    reached = stores_seen(tree, grant, regions, stores)
    return {
        pk
        for pk, (store, staff) in tree.works_at.items()
        if {
            DataScope.BRAND: True,
            DataScope.STORES: store in reached,
            DataScope.OWN: staff == grant.staff_user_id,
        }[DataScope(grant.scope)]
    }


# --- the product ------------------------------------------------------------------------------------------------------


def ids(rows) -> set[int]:
    return {row.pk for row in rows}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_everybody_sees_exactly_what_the_reference_says(brand, other_brand, seed):
    tree, twin = grow(brand, seed), grow(other_brand, seed)
    assert not set(tree.store_of) & set(twin.store_of)
    with brand_scope(brand.pk):
        for grant, regions, stores in tree.people:
            viewer = Viewer(grant.staff_user_id, "", brand.pk, grant.role, grant.scope, grant.pk)
            reach = (tree, grant, regions, stores)
            members = members_seen(*reach)

            assert ids(visible_stores(viewer)) == stores_seen(*reach)
            assert ids(member_selectors.visible_members(viewer)) == members
            assert ids(inbox_selectors.visible_conversations(viewer)) == talks_seen(*reach)
            assert ids(inbox_selectors.listed(viewer, "all")) == talks_seen(*reach)
            assert ids(guide_selectors.in_reach(viewer, Guide.objects.all())) == guides_seen(*reach)
            # What is searched for, tagged or selected by a segment is never more than what is seen.
            assert ids(member_selectors.find_members(viewer, "人", limit=99)) == members
            rule = {"all": [{"condition": "tag", "params": {"how": "any", "tags": [tree.tag_id]}}]}
            preview = member_selectors.preview(rule, at=AT, viewer=viewer)
            assert {line.id for line in preview.sample} == members & tree.tagged


def test_a_region_reaches_what_lies_below_it_and_a_ring_ends(brand, other_brand):
    with brand_scope(other_brand.pk):
        top = Region.objects.create(name="全国")
        Store.objects.create(code="T1", name="邻店", region=top)
    with brand_scope(brand.pk):
        top = Region.objects.create(name="全国")
        east = Region.objects.create(name="华东", parent=top)
        city = Region.objects.create(name="上海", parent=east)
        stores = [Store.objects.create(code=each.name, name=each.name, region=each) for each in (top, east, city)]
        north = Store.objects.create(code="BJ", name="北京", region=Region.objects.create(name="华北", parent=top))
        user = make_staff("east", Role.REGION_MANAGER, scope=DataScope.STORES)
        grant = RoleGrant.objects.get(staff_user=user)
        RegionGrant.objects.create(grant=grant, region=east)
        assert store_ids_of_grant(grant.pk) == [stores[1].pk, stores[2].pk]

        opened = Store.objects.create(code="NEW", name="新店", region=city)  # a new store is in reach at once
        assert store_ids_of_grant(grant.pk) == [stores[1].pk, stores[2].pk, opened.pk]
        StoreGrant.objects.create(grant=grant, store=north)
        assert store_ids_of_grant(grant.pk) == [stores[1].pk, stores[2].pk, north.pk, opened.pk]

        Region.objects.filter(pk=east.pk).update(parent=city)  # what a form refuses, a database may still hold
        assert store_ids_of_grant(grant.pk) == [stores[1].pk, stores[2].pk, north.pk, opened.pk]
        assert store_ids_of_grant(None) == []


@pytest.mark.parametrize("role", READING_ONLY)
def test_reading_only_roles_have_no_act_but_view(role):
    assert {capability.rpartition(".")[2] for capability in CAPABILITIES[role]} == {"view"}
    assert "members.reveal" not in CAPABILITIES[role]


def test_who_narrows_a_brand_never_gets_more_than_who_runs_it():
    assert {role for role in Role if not CAPABILITIES[role] <= CAPABILITIES[Role.OWNER]} == set()
    assert CAPABILITIES[Role.STORE_MANAGER] < CAPABILITIES[Role.REGION_MANAGER]
    for role in (Role.REGION_MANAGER, Role.STORE_MANAGER, Role.GUIDE, Role.SERVICE_DESK):
        acts = {each for each in CAPABILITIES[role] if each.split(".")[0] in ("campaigns", "segments", "staff", "keys")}
        assert {each.split(".")[1] for each in acts} <= {"view"}, role
