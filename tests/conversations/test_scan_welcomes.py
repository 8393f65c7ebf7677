"""Who follows already and scans a code: which welcome they got stands on their page, and one not heard follows."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.cache import cache

from accounts.tenancy import brand_scope
from conversations.admin.timeline import welcomes
from conversations.answers import passive_of
from conversations.models import ReplyRecord
from conversations.selectors import forget_compiled, rules_of
from inbox.models import Conversation
from members.models import Member
from tests.factories import AT, make_account, make_follower
from tests.inbox.conftest import stored
from touchpoints.inbound import record_touch as handler
from touchpoints.services import create_touchpoint, replies_changed
from wechat_gateway.replies import render

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


@pytest.fixture
def account(in_brand):
    cache.clear()
    forget_compiled()
    return make_account()


def make_code(account, welcome="欢迎再来静安店", name="静安门口"):
    code = create_touchpoint(name=name, account=account, welcome=welcome, at=AT)
    replies_changed(account_id=account.pk)
    return code


def scanned(follower, code, *, heard=True, late=timedelta(), reply=None):
    """A scan as the worker handles it, `late` after it happened; WeChat heard the welcome, nothing, or `reply`."""
    push = stored(follower, kind="SCAN", at=AT, scene=code.scene)
    row = ReplyRecord._meta.apps.get_model("wechat_gateway.InboundPush").objects.get(pk=push.push_id)
    row.received_at = AT + late
    if heard:
        rule = rules_of(follower.account_id).code_welcome(code.scene, AT)
        said = reply or render(
            passive_of(rule.contents[0]), openid=follower.openid, original_id=follower.account.original_id,
            at=row.received_at.timestamp(),
        )  # fmt: skip
        row.reply = said
    row.save()
    push = replace(push, received_at=row.received_at, reply=row.reply)
    handler(push)
    return push


def record():
    return ReplyRecord.objects.values_list("trigger", "way", "why", "state", "problem").get()


def test_a_welcome_that_was_heard_is_noted_with_its_code(account):
    follower, code = make_follower(account), make_code(account)
    push = scanned(follower, code)
    handler(push)  # the same push again changes nothing
    assert record() == ("SCAN", "PASSIVE", "IN_TIME", "DONE", "")


def test_a_welcome_that_was_not_heard_follows_within_its_minute(account):
    follower = make_follower(account)
    scanned(follower, make_code(account), heard=False, late=20 * SECOND)
    row = ReplyRecord.objects.get()
    assert (row.way, row.why, row.state, row.until) == ("SERVICE", "LATE", "WAITING", AT + 60 * SECOND)
    assert row.waiting == [{"msgtype": "text", "text": {"content": "欢迎再来静安店"}}]


def test_after_its_minute_a_welcome_is_lost_and_nobody_has_to_answer_it(account):
    follower = make_follower(account)
    scanned(follower, make_code(account), heard=False, late=61 * SECOND)
    assert record() == ("SCAN", "SERVICE", "LATE", "FAILED", "WINDOW_CLOSED")
    assert not Conversation.objects.filter(state="WAITING").exists()


def test_what_another_replier_said_is_none_of_ours(account):
    scanned(make_follower(account), make_code(account), reply="<xml><Content>导购已绑定</Content></xml>")
    assert not ReplyRecord.objects.exists()


def test_a_code_without_a_welcome_asks_nothing_more(account, django_assert_max_num_queries):
    from conversations.services.records import note_scan
    from touchpoints.models import Touch

    scanned(make_follower(account), make_code(account, welcome=""), heard=False)
    touch = Touch.objects.select_related("touchpoint", "follower").get()
    with django_assert_max_num_queries(0):
        note_scan(touch)
    assert not ReplyRecord.objects.exists()


def test_the_page_of_a_person_tells_of_their_welcomes_by_code(as_owner, ours):
    with brand_scope(ours.brand.pk):
        heard, lost = make_follower(ours.account), make_follower(ours.account)
        code = make_code(ours.account)
        scanned(heard, code)
        scanned(lost, code, heard=False, late=61 * SECOND)
    pages = [
        as_owner.get(f"/b/lanyu/members/member/{each.member_id}/change/").content.decode() for each in (heard, lost)
    ]
    assert all("收到渠道码“静安门口”的欢迎语" in page for page in pages)
    assert ["没有送达" in page for page in pages] == [False, True]


def test_another_brands_welcome_is_not_on_the_page(brand, other_brand):
    with brand_scope(other_brand.pk):
        foreign = make_account("灶")
        scanned(make_follower(foreign), make_code(foreign, name="灶门口"))
    with brand_scope(brand.pk):
        follower = make_follower(make_account())
        assert welcomes(Member.objects.get(pk=follower.member_id), 20) == []
        assert not ReplyRecord.objects.exists()
