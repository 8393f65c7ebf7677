"""As what each role answers: region managers for their regions, the service desk for everybody or for its stores."""

from __future__ import annotations

from datetime import time, timedelta
from types import SimpleNamespace

import pytest

from accounts.models import RoleGrant
from accounts.roles import DataScope, Role
from accounts.services import grant_role, revoke_role
from inbox import routing, selectors, services
from inbox.errors import NotAnAgent
from inbox.models import Agent, Conversation, Level, ServiceHours
from inbox.selectors import Post, post_of
from stores.models import Region, RegionGrant, Store, StoreGrant
from tests.factories import AT, make_member, make_staff, make_store
from tests.inbox.conftest import say, seconds
from tests.inbox.test_routing import NOON, on_duty, owner_of, why


@pytest.fixture
def east(account, in_brand):
    """A region with a store in a part of it, another store elsewhere, and everybody who could answer."""
    region = Region.objects.create(name="华东")
    store, far = make_store(), make_store(code="BJ1", name="北京店")
    Store.objects.filter(pk=store.pk).update(region=Region.objects.create(name="上海", parent=region))
    manager = make_staff("east", Role.REGION_MANAGER, scope=DataScope.STORES)
    RegionGrant.objects.create(grant=RoleGrant.objects.get(staff_user=manager), region=region)
    shop = make_staff("shop", Role.STORE_MANAGER, scope=DataScope.STORES)
    StoreGrant.objects.create(grant=RoleGrant.objects.get(staff_user=shop), store=store)
    desk = make_staff("desk", Role.SERVICE_DESK)
    person = make_member(account, store=store).followers.get()
    other = make_member(account, store=far).followers.get()
    return SimpleNamespace(
        region=region, store=store, far=far, manager=manager, shop=shop, desk=desk, person=person, other=other
    )


def grant_of(user):
    return RoleGrant.objects.get(staff_user=user)


def test_each_role_has_its_post(east, in_brand):
    nowhere = make_staff("nowhere", Role.SERVICE_DESK, scope=DataScope.STORES)
    assert post_of(east.manager.pk) == Post(Level.REGION, (east.store.pk,))
    assert post_of(east.shop.pk) == Post(Level.STORE, (east.store.pk,))
    assert post_of(east.desk.pk) == Post(Level.DESK, ())
    assert post_of(nowhere.pk) == Post(Level.STORE, ())  # no store is not every store
    StoreGrant.objects.create(grant=grant_of(nowhere), store=east.far)
    assert post_of(nowhere.pk) == Post(Level.DESK, (east.far.pk,))
    StoreGrant.objects.create(grant=grant_of(east.shop), store=east.far)
    assert post_of(east.shop.pk).level == Level.STORE  # two stores make no region
    own = make_staff("own", Role.MARKETER, scope=DataScope.OWN)
    assert post_of(own.pk) == Post(Level.GUIDE, ())  # and not the desk of everybody
    for role in (Role.ANALYST, Role.AUDITOR):
        reader = make_staff(role.lower(), role)
        assert post_of(reader.pk) is None
        with pytest.raises(NotAnAgent):
            services.set_duty(staff_id=reader.pk, on_duty=True, at=NOON)


def test_a_full_store_leaves_it_to_its_region_and_each_step_says_why(east, account):
    on_duty(east.shop, capacity=1)
    on_duty(east.manager, east.desk)
    say(make_member(account, store=east.store).followers.get(), at=NOON)
    conversation = say(east.person, at=NOON + seconds(1))

    assert owner_of(conversation) == east.manager
    assert why(conversation) == [
        (Level.GUIDE, routing.NONE),
        (Level.STORE, routing.FULL),
        (Level.REGION, routing.TAKEN),
    ]
    assert conversation.level == Level.REGION
    (step,) = [hop for hop in selectors.hops_of(conversation) if hop.level == Level.REGION]
    assert step.facts == {"who": "east", "load": 1, "capacity": 8}


def test_a_full_region_leaves_it_to_the_desk(east, account):
    on_duty(east.manager, capacity=1)
    on_duty(east.desk)
    say(make_member(account, store=east.store).followers.get(), at=NOON)
    conversation = say(east.person, at=NOON + seconds(1))
    assert owner_of(conversation) == east.desk
    assert why(conversation)[-2:] == [(Level.REGION, routing.FULL), (Level.DESK, routing.TAKEN)]
    (step,) = [hop for hop in selectors.hops_of(conversation) if hop.level == Level.REGION]
    assert step.facts["who"] == "上海"


def test_regions_keep_the_service_hours_and_stores_their_own(east):
    ServiceHours.objects.create(weekday=6, opens=time(14), closes=time(18))  # AT is a Sunday; it is noon
    on_duty(east.manager, east.desk)
    conversation = say(east.person, at=NOON)
    assert owner_of(conversation) is None
    assert why(conversation)[2:4] == [(Level.REGION, routing.CLOSED), (Level.DESK, routing.CLOSED)]
    on_duty(east.shop)
    assert owner_of(conversation) == east.shop


def test_a_region_manager_pulls_from_the_queue_only_what_is_in_the_region(east):
    near, far = say(east.person, at=NOON), say(east.other, at=NOON - seconds(60))
    on_duty(east.manager)
    assert [owner_of(each) for each in (near, far)] == [east.manager, None]
    on_duty(east.desk)
    assert owner_of(far) == east.desk


def test_the_desk_of_some_stores_gets_nothing_of_others(east):
    part = make_staff("part", Role.SERVICE_DESK, scope=DataScope.STORES)
    StoreGrant.objects.create(grant=grant_of(part), store=east.far)
    on_duty(part)
    near, far = say(east.person, at=NOON), say(east.other, at=NOON)
    assert [owner_of(each) for each in (near, far)] == [None, part]
    services.fill_all(at=NOON)
    assert owner_of(near) is None
    assert part.pk not in [seat.staff_id for seat in selectors.colleagues(near, at=NOON)]


def test_a_store_that_joins_the_region_is_answered_for_from_the_next_moment_on(east):
    on_duty(east.manager)
    conversation = say(east.other, at=NOON)
    assert owner_of(conversation) is None
    Store.objects.filter(pk=east.far.pk).update(region=east.region)
    services.note_seen(staff_id=east.manager.pk, at=NOON)
    services.fill_all(at=NOON)
    assert owner_of(conversation) == east.manager
    Store.objects.filter(pk=east.far.pk).update(region=None)
    services.note_seen(staff_id=east.manager.pk, at=NOON)
    assert Agent.objects.get(staff_user=east.manager).store_ids == [east.store.pk]


def test_who_loses_the_role_answers_no_longer(east):
    on_duty(east.desk)
    grant_role(staff_user=east.desk, role=Role.ANALYST)
    services.note_seen(staff_id=east.desk.pk, at=NOON + timedelta(minutes=1))
    assert not Agent.objects.get(staff_user=east.desk).on_duty
    conversation = say(east.person, at=NOON + timedelta(minutes=2))
    assert owner_of(conversation) is None

    on_duty(east.manager, at=NOON + timedelta(minutes=3))
    assert owner_of(conversation) == east.manager
    revoke_role(grant=grant_of(east.manager))
    services.note_seen(staff_id=east.manager.pk, at=NOON + timedelta(minutes=4))
    services.return_due(at=NOON + timedelta(minutes=4))
    assert Conversation.objects.get(pk=conversation.pk).assignee_id is None


def test_the_hour_does_not_matter_to_who_has_none(east):
    assert AT < NOON
    on_duty(east.desk, at=AT)
    assert owner_of(say(east.person, at=AT)) == east.desk
