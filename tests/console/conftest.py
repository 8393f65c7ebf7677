"""Two brands with data that could leak, and people with roles who look at it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.test import Client

from accounts.roles import DataScope, Role
from accounts.tenancy import brand_scope
from conversations.models import Dialogue, ReplyRecord, ReplyRule, Trigger
from stores.models import StoreGrant
from tests.factories import (
    AT,
    make_account,
    make_guide,
    make_member,
    make_staff,
    make_store,
    make_tag,
    make_touchpoint,
)
from wechat_gateway.models import InboundPush

PASSWORD = "correct horse battery"


def furnish(brand, prefix):
    """A brand with one of everything; names begin with the prefix."""
    with brand_scope(brand.pk):
        account = make_account(name=f"{prefix}服务号")
        store = make_store(code=f"{prefix}1", name=f"{prefix}静安店")
        tag = make_tag(name=f"{prefix}标签")
        touchpoint = make_touchpoint(account, name=f"{prefix}门口", tags=[tag], store=store)
        member = make_member(
            account, name=f"{prefix}陈子涵", phone_masked="138****6721", phone_tail="6721", store=store
        )
        follower = member.followers.get()
        guide = make_guide(store, staff_no=f"{prefix}0007", touchpoint=touchpoint)
        rule = ReplyRule.objects.create(
            account=account,
            name=f"{prefix}规则",
            trigger=Trigger.KEYWORD,
            keywords=["几点"],
            text="十点",
            updated_at=AT,
        )
        push = InboundPush.objects.create(
            account=account,
            dedupe_key=member.public_id,
            digest=member.public_id,
            kind="text",
            openid=follower.openid,
            lane=0,
            event_at=AT,
            received_at=AT,
            body="<xml><broken",
            state="QUARANTINED",
            reason="XML",
        )
        Dialogue.objects.create(
            account=account, name=f"{prefix}对话", keywords=[f"{prefix}生日"], draft=[], updated_at=AT
        )
        ReplyRecord.objects.create(
            account=account,
            follower=follower,
            rule=rule,
            push_id=push.pk,
            trigger=rule.trigger,
            way="PASSIVE",
            why="IN_TIME",
            at=AT,
        )
    return SimpleNamespace(
        brand=brand,
        account=account,
        store=store,
        tag=tag,
        touchpoint=touchpoint,
        member=member,
        follower=follower,
        guide=guide,
        rule=rule,
        push=push,
    )


@pytest.fixture
def ours(brand):
    return furnish(brand, "澜")


@pytest.fixture
def theirs(other_brand):
    return furnish(other_brand, "灶")


@pytest.fixture
def owner(ours):
    with brand_scope(ours.brand.pk):
        return make_staff("owner", Role.OWNER)


@pytest.fixture
def marketer(ours):
    with brand_scope(ours.brand.pk):
        return make_staff("marketer", Role.MARKETER)


@pytest.fixture
def guide_user(ours):
    with brand_scope(ours.brand.pk):
        return make_staff("guide", Role.GUIDE, scope=DataScope.OWN)


@pytest.fixture
def manager(ours):
    """A store manager of one store; another store has a member too."""
    with brand_scope(ours.brand.pk):
        user = make_staff("manager", Role.STORE_MANAGER, scope=DataScope.STORES)
        from accounts.models import RoleGrant

        StoreGrant.objects.create(grant=RoleGrant.objects.get(staff_user=user), store=ours.store)
        ours.far_store = make_store(code="BJ1", name="北京三里屯店")
        ours.far_member = make_member(ours.account, name="远方的人", store=ours.far_store)
        return user


def signed_in(user):
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def as_owner(owner):
    return signed_in(owner)


@pytest.fixture
def as_marketer(marketer):
    return signed_in(marketer)


@pytest.fixture
def as_guide(guide_user):
    return signed_in(guide_user)


@pytest.fixture
def as_manager(manager):
    return signed_in(manager)
