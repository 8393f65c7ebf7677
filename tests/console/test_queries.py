"""Pages ask as often for three rows as for one."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from guides.services import assign_guide
from inbox.models import CannedReply
from inbox.services import set_duty
from members.services import start_clocks, tag_members
from tests.factories import AT, make_guide, make_member, make_staff, make_store, make_tag, make_touchpoint
from wechat_gateway.incidents import QUOTA, open_incident

pytestmark = pytest.mark.django_db

LISTS = [
    "",
    "members/member/",
    "members/follower/",
    "members/tag/",
    "touchpoints/touchpoint/",
    "touchpoints/quality/",
    "touchpoints/attribution/",
    "stores/store/",
    "guides/guide/",
    "conversations/replyrule/",
    "conversations/menu/",
    "inbox/cannedreply/",
    "inbox/agent/",
    "wechat_gateway/officialaccount/",
    "wechat_gateway/inboundpush/",
    "wechat_gateway/incident/",
    "members/erasureclock/",
    "members/accessentry/",
    "accounts/rolegrant/",
    "accounts/auditentry/",
    "accounts/apikey/",
    "search/?s=澜陈",
]


def asked(client, path):
    with CaptureQueriesContext(connection) as queries:
        assert client.get(f"/b/lanyu/{path}").status_code == 200
    return [query["sql"] for query in queries.captured_queries]


def answering(number):
    """A text and somebody who answers."""
    CannedReply.objects.create(shortcut=f"r{number}", title=f"澜{number}", text="十点", updated_at=AT)
    set_duty(staff_id=make_staff(f"desk{number}", "MARKETER").pk, on_duty=True, at=AT)


def grow(ours):
    with brand_scope(ours.brand.pk):
        for number in range(2):
            answering(number)
            open_incident(kind=QUOTA, appid=ours.account.appid, subject=f"/cgi-bin/{number + 1}", at=AT)
            store = make_store(code=f"S{number}", name=f"澜分店{number}")
            tag = make_tag(name=f"澜新{number}")
            touchpoint = make_touchpoint(ours.account, name=f"澜码{number}", tags=[tag], store=store)
            guide = make_guide(store, staff_no=f"澜10{number}", touchpoint=touchpoint)
            member = make_member(ours.account, name=f"澜陈{number}", store=store)
            start_clocks(followers=[member.followers.get()], reason="REVOKED", at=AT)
            tag_members(member_ids=[member.pk], tag_ids=[tag.pk], source="code: x", at=AT)
            assign_guide(member_id=member.pk, guide=guide, reason="code: x", at=AT)


@pytest.mark.parametrize("path", LISTS)
def test_list_asks_as_often_for_three_rows_as_for_one(as_owner, ours, path):
    with brand_scope(ours.brand.pk):
        answering("x")
        tag_members(member_ids=[ours.member.pk], tag_ids=[ours.tag.pk], source="code: x", at=AT)
        assign_guide(member_id=ours.member.pk, guide=ours.guide, reason="code: x", at=AT)
        open_incident(kind=QUOTA, appid=ours.account.appid, subject="/cgi-bin/0", at=AT)
        start_clocks(followers=[ours.follower], reason="REVOKED", at=AT)
    asked(as_owner, path)  # whoever opens a report of channels first counts the people that wait
    one = asked(as_owner, path)
    grow(ours)
    asked(as_owner, path)
    three = asked(as_owner, path)
    assert len(three) == len(one), "\n".join(three)


def test_member_page_asks_as_often_for_a_long_life_as_for_a_short_one(as_owner, ours):
    here = f"members/member/{ours.member.pk}/change/"
    with brand_scope(ours.brand.pk):
        tag_members(member_ids=[ours.member.pk], tag_ids=[ours.tag.pk], source="code: x", at=AT)
    one = asked(as_owner, here)
    with brand_scope(ours.brand.pk):
        for number in range(3):
            tag = make_tag(name=f"澜多{number}")
            tag_members(member_ids=[ours.member.pk], tag_ids=[tag.pk], source="code: x", at=AT)
    assert len(asked(as_owner, here)) == len(one)


def test_home_and_lists_keep_their_budget(as_owner, ours):
    def own(path):  # without session, user, second factor, brand, role and the scope's transaction
        statements = [sql.lstrip() for sql in asked(as_owner, path)]
        return [sql for sql in statements if sql.startswith(("SELECT", "WITH")) and "set_config" not in sql]

    assert len(own("")) <= 5 + 16
    assert len(own("members/member/")) <= 5 + 8
    assert len(own(f"members/member/{ours.member.pk}/change/")) <= 5 + 15
    assert len(own("search/?s=澜陈")) <= 5 + 10


def test_list_does_not_count_further_than_people_read(as_owner, ours):
    statements = [sql for sql in asked(as_owner, "members/member/") if "COUNT(*)" in sql]
    assert all("LIMIT" in sql for sql in statements)
