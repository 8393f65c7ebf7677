"""A brand with an account the simulated WeChat knows, and pushes as a worker gets them."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from accounts.roles import DataScope, Role
from guides.services import assign_guide
from inbox import services
from inbox.models import Conversation
from tests.factories import AT, make_account, make_follower, make_guide, make_staff, make_store
from wechat_gateway.events import Push
from wechat_gateway.models import InboundPush


def push_of(follower, kind="text", content="", at=AT, **more):
    """A push of a follower as handlers get it."""
    account = follower.account
    fields = {
        "brand_id": follower.brand_id,
        "account_id": account.pk,
        "appid": account.appid,
        "original_id": account.original_id,
        "openid": follower.openid,
        "kind": kind,
        "event_at": at,
        "received_at": at,
        "content": content,
        "fields": {},
    }
    return Push(**(fields | more))


def stored(follower, reply="", **more):
    """A push that stands in the inbox of pushes with the answer that went out."""
    at = more.get("at", AT)
    row = InboundPush.objects.create(
        account=follower.account,
        dedupe_key=uuid4(),
        digest=uuid4(),
        kind=more.get("kind", "text"),
        openid=follower.openid,
        lane=0,
        event_at=at,
        received_at=at,
        body="",
        reply=reply,
    )
    return push_of(follower, push_id=row.pk, reply=reply, **more)


def text_reply(text):
    return (
        "<xml><ToUserName>a</ToUserName><FromUserName>b</FromUserName><CreateTime>1</CreateTime>"
        f"<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{text}]]></Content></xml>"
    )


def say(follower, content="你好", at=AT, **more):
    """Let a follower write; gives the conversation."""
    services.record_push(push=stored(follower, content=content, at=at, **more))
    return Conversation.objects.get(follower=follower)


@pytest.fixture
def account(in_brand):
    return make_account()


@pytest.fixture
def follower(account):
    return make_follower(account)


@pytest.fixture
def team(account):
    """A store with a guide and a manager, and two people at the desk; nobody is on duty yet."""
    from accounts.models import RoleGrant
    from stores.models import StoreGrant

    store = make_store()
    guide_user = make_staff("wang", Role.GUIDE, scope=DataScope.OWN)
    guide = make_guide(store)
    guide.staff_user = guide_user
    guide.save()
    manager = make_staff("li", Role.STORE_MANAGER, scope=DataScope.STORES)
    StoreGrant.objects.create(grant=RoleGrant.objects.get(staff_user=manager), store=store)
    return SimpleNamespace(
        store=store,
        guide=guide,
        guide_user=guide_user,
        manager=manager,
        desk=make_staff("desk", Role.MARKETER),
        other_desk=make_staff("desk2", Role.MARKETER),
    )


def own_guide(follower, team, at=AT):
    assign_guide(member_id=follower.member_id, guide=team.guide, reason="code: 门口", at=at)


def seconds(number):
    return timedelta(seconds=number)


@pytest.fixture
def viewer_of_brand(in_brand):
    """Somebody who sees the whole brand."""
    from accounts.viewer import Viewer

    return Viewer(None, "所有", in_brand.pk, Role.OWNER)
