"""A brand with a channel tree, and people who come by its codes."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest

from coupons.models import Coupon
from loyalty.models import FactKind
from loyalty.services import Report, record_fact
from members.models import Follower, Member
from members.services import record_follow, record_unfollow
from tests.coupons.conftest import claim
from tests.factories import AT, make_account, make_follower, make_store
from touchpoints import services
from touchpoints.services import create_touchpoint, record_touch

DAY = timedelta(days=1)


@pytest.fixture
def tree(in_brand):
    """Media, places, codes: 门店 (静安店: 门口 柜台; 徐汇店: 门口) and 包装 (礼盒)."""
    account = make_account()
    store = make_store()
    media = {name: create_touchpoint(name=name, at=AT) for name in ("门店", "包装")}
    places = {name: create_touchpoint(name=name, parent=media["门店"], at=AT) for name in ("静安店", "徐汇店")}
    codes = {
        name: create_touchpoint(name=name, parent=parent, account=account, at=AT)
        for name, parent in (
            ("静安门口", places["静安店"]),
            ("静安柜台", places["静安店"]),
            ("徐汇门口", places["徐汇店"]),
            ("礼盒", media["包装"]),
        )
    }
    return SimpleNamespace(account=account, store=store, media=media, places=places, codes=codes)


def come(code, *, at=AT, follower=None, joined=None, left=None, back=None):
    """Somebody scans a code for the first time and follows, or scans it as the follower they are."""
    new = follower is None
    if new:
        follower = make_follower(code.account, at=at)
    touch = record_touch(follower=follower, scene=code.scene, is_follow=new, at=at)
    if joined is not None:
        Member.objects.filter(pk=follower.member_id).update(joined_at=joined)
    if back is not None:
        Member.objects.filter(pk=follower.member_id).update(last_interaction_at=back)
    if left is not None:
        leave(follower, left)
    return SimpleNamespace(follower=follower, touch=touch)


def leave(follower, at):
    """Somebody stops following."""
    record_unfollow(follower=follower, at=at)
    services.record_unfollow(follower=follower, at=at)


def follow_again(follower, code, at):
    """Somebody who left follows again by a code."""
    record_follow(follower=follower, at=at)
    return record_touch(follower=Follower.objects.get(pk=follower.pk), scene=code.scene, is_follow=True, at=at)


def buy(member, number, fen, *, at, heard=None):
    """Somebody buys for so many fen; the till may tell of it later."""
    report = Report("pos", FactKind.PURCHASE, number, at, member_id=member.pk, amount=fen)
    return record_fact(report=report, at=heard or at)


def take(template, member, *, at, way="SCAN"):
    """Somebody takes a coupon."""
    coupon = claim(template, member, at=at).coupon
    Coupon.objects.filter(pk=coupon.pk).update(way=way)
    return coupon


def send_back(number, fen, *, at):
    """Goods of a purchase for so many fen come back."""
    return record_fact(report=Report("pos", FactKind.REFUND, f"R{number}", at, amount=fen, refers=number), at=at)
