"""What programs decided about somebody is told in words: to them, and to whoever answers them."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone, translation

from accounts.tenancy import brand_scope
from campaigns.models import Campaign, Delivery
from loyalty.models import Standing, Tier, TierChange
from members import services
from members.decisions import deciders, decisions_about
from members.models import Consent, Member, MemberTag, RightsRequest, TagRule
from members.services.consent import set_control_group
from tests.api.conftest import a, rates  # noqa: F401 - fixtures
from tests.factories import AT, make_account, make_member, make_tag
from tests.members.test_privacy_pages import signed_in
from welcomes.models import Enrolment, Sequence

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def campaign(account, name, rule, **more):
    given = {"purpose": "MARKETING", "state": "FINISHED", "launched_at": AT, "created_at": AT, "updated_at": AT}
    return Campaign.objects.create(account=account, name=name, rule=rule, **given | more)


def deliver(row, member, **more):
    given = {"seq": 1, "account_id": row.account_id, "openid": "o1", "state": "DELIVERED", "sent_at": AT}
    return Delivery.objects.create(campaign=row, member_id=member.pk, **given | more)


def holds(tag):
    return {"all": [{"condition": "tag", "params": {"how": "any", "tags": [tag.pk]}}]}


def plant(name="陈子涵", at=AT):
    """Plant a person about whom every program has decided something."""
    account = make_account()
    member = make_member(account, name=name, joined_at=at, created_at=at - DAY)
    vip, other = make_tag("贵宾"), make_tag("护肤")
    rule = TagRule.objects.create(
        name="上海", tag=vip, rule={"all": [{"condition": "city", "params": {"cities": ["上海"]}}]}, created_at=at,
        updated_at=at,
    )  # fmt: skip
    MemberTag.objects.create(member=member, tag=vip, source="rule", at=at, given=False, rule_ids=[rule.pk])
    services.give_consent(member=member, purpose="MARKETING", text_version="v7", source="x", at=at - DAY)
    deliver(campaign(account, "新品", holds(vip), launched_at=at), member)
    deliver(
        campaign(account, "夜宵", {"all": []}, launched_at=at),
        member,
        state="SUPPRESSED",
        reason="TOPIC_REFUSED",
        sent_at=None,
    )
    campaign(account, "面膜", holds(other), launched_at=at + DAY)
    gold = Tier.objects.create(name="金卡", threshold=3000)
    Standing.objects.create(member=member, tier=gold, since=at)
    TierChange.objects.create(member=member, kind="UPGRADE", after="金卡", value=3200, window_from=at - DAY, at=at)
    sequence = Sequence.objects.create(account=account, name="欢迎", steps=[], updated_at=at)
    follower = member.followers.get()
    Enrolment.objects.create(sequence=sequence, follower=follower, in_control=True, followed_at=at, until=at + 2 * DAY)
    set_control_group(per_mille=500, at=at)
    return member


def told(member, at=AT + 2 * DAY):
    with translation.override("en"):
        return {kind.key: kind for kind in decisions_about(member, at=at)}


def test_every_decision_is_told_with_its_reason(in_brand):
    member = plant()
    found = {key: [(each.what, each.because) for each in kind.decisions] for key, kind in told(member).items()}

    came, held = sorted(found["campaigns.messages"], key=lambda line: "Left out" in line[0])
    assert came[0] == "“新品”: Delivered"
    assert "贵宾" in came[1][0]
    assert came[1][1].endswith("text v7.")
    assert held[1][1] == "Not sent: this topic was refused."
    [(what, because)] = found["campaigns.not_chosen"]
    assert what == "“面膜”: not chosen"
    assert "护肤" in because[0]
    assert because[0].startswith("“")
    assert "not so" in because[0]
    [(tier, why)] = found["loyalty.tier"]
    assert (tier, "3,200" in why[0], "3,000" in why[0]) == ("金卡", True, True)
    [(tag, rules)] = found["members.tags"]
    assert tag == "Tag “贵宾”"
    assert "上海" in rules[0]
    assert "by chance" in found["welcomes.sequence"][0][1][0]
    assert set(found) == set(dict(deciders.items()))
    assert [key for key, kind in told(member).items() if kind.ends_with_switch] == [
        "campaigns.messages",
        "members.tags",
    ]


def test_only_the_persons_own_are_told(brand, other_brand):
    with brand_scope(other_brand.pk):
        plant("别家")
    with brand_scope(brand.pk):
        plant()
        stranger = make_member(make_account(), name="路人")
        seen = {key: kind.decisions for key, kind in told(stranger).items() if key != "members.control"}
        assert [key for key, decisions in seen.items() if decisions] == ["campaigns.not_chosen"]
        assert {each.what for each in seen["campaigns.not_chosen"]} == {
            f"“{name}”: not chosen" for name in ("新品", "夜宵", "面膜")
        }


def test_withdrawn_consent_is_not_named_as_what_allowed_it(in_brand):
    member = plant()
    Consent.objects.create(
        member=member, purpose="MARKETING", granted=False, text_version="", source="x", at=AT - timedelta(hours=1)
    )
    lines = [line for each in told(member)["campaigns.messages"].decisions for line in each.because]
    assert "Allowed: nothing had been refused." in lines
    assert not [line for line in lines if "v7" in line]


def test_operator_answers_and_the_person_fetches_it_once(brand):
    with brand_scope(brand.pk):
        member = plant(at=timezone.now() - 3 * DAY)
        row = services.ask(member=member, kind="EXPLAIN", channel="MINI_PROGRAM", words="为什么", at=timezone.now())
    owner = signed_in(brand, "owner-d", "OWNER")
    page = f"/b/lanyu/members/rightsrequest/{row.pk}/change/"
    seen = owner.get(page).content.decode()
    assert "面膜" in seen
    assert "by chance" in seen
    assert "面膜" in owner.get(f"/b/lanyu/members/decisions/{member.pk}/").content.decode()
    assert owner.post(page, {"act": "explain", "text": "x" * 401}).status_code == 302
    with brand_scope(brand.pk):
        assert RightsRequest.objects.get().state == "OPEN"
    assert owner.post(page, {"act": "explain", "text": "等级以消费为准"}).status_code == 302
    with brand_scope(brand.pk):
        row.refresh_from_db()
        assert (row.state, row.answer) == ("READY", "等级以消费为准")
        content = services.fetch_copy(request=row, by="member", at=timezone.now())
        assert content["json"]["answer"] == "等级以消费为准"
        assert "面膜" in content["html"]
        services.erase_member(member=Member.objects.get(pk=member.pk), reason="test", at=timezone.now())
        row.refresh_from_db()
        assert (row.words, row.answer) == ("", "")


def test_member_reads_it_in_their_language(a):  # noqa: F811
    zh, en = (a.me.get("/me/explanations/"), a.me.send("GET", "/me/explanations/", HTTP_ACCEPT_LANGUAGE="en"))
    assert (zh.status_code, en.status_code) == (200, 200)
    assert "等级" in {kind["name"] for kind in zh.json()["kinds"]}
    assert "Tier" in {kind["name"] for kind in en.json()["kinds"]}
    asked = a.me.post("/me/requests/", {"kind": "EXPLAIN", "words": "为什么"})
    assert (asked.status_code, json.loads(asked.content)["answer"]) == (201, "")
