"""What every carrier keeps, and what each of them refuses."""

import json
from datetime import timedelta

import pytest

from campaigns import typed_keys
from campaigns.carriers import Addressee, Unrenderable, carriers
from campaigns.models import Campaign, Family, MessageTemplate, SubscriptionStock, UnknownPolicy
from campaigns.services.drafts import unknown_policy
from campaigns.template_content import parse_fields
from campaigns.variables import render
from common.registry import Registry
from inbox.services import record_act, reserve_sends
from members import reach
from members.models import Follower, Member, Purpose
from tests.factories import AT, make_account, make_follower
from wechat_gateway import windows
from wechat_gateway.client import Outgoing


class CarrierContract:
    """Inherit this, name the carrier and give content it accepts: a new carrier needs no other test to be safe."""

    key = ""
    content = {}
    family = Family.TEMPLATE

    def allow(self, follower):
        """Let this carrier reach a follower, if following alone is not enough."""

    @pytest.fixture
    def campaign(self, in_brand):
        account = make_account()
        template = MessageTemplate.objects.create(
            account=account,
            template_id="tpl",
            family=self.family,
            title="提醒",
            fields=parse_fields("事项：{{thing1.DATA}}\n时间：{{time2.DATA}}"),
            synced_at=AT,
        )
        purpose = min(self.carrier.purposes)
        return Campaign(
            name="x", account=account, template=template, carrier=self.key, purpose=purpose, content=dict(self.content)
        )

    @property
    def carrier(self):
        return carriers.get(self.key)

    def test_it_is_registered_and_named(self):
        assert isinstance(carriers, Registry)
        assert self.carrier.key == self.key
        assert str(self.carrier.label)
        assert self.carrier.purposes <= set(Purpose.values)
        assert self.carrier.purposes

    def test_its_own_content_has_no_problem(self, campaign):
        assert self.carrier.validate(campaign) == []

    def test_every_empty_field_is_a_problem(self, campaign):
        campaign.content = {}
        fields = {problem.field for problem in self.carrier.validate(campaign) if problem.blocking}
        assert fields == {f"content.{info.key}" for info in self.carrier.fields(campaign)}

    def test_an_unknown_variable_is_a_problem(self, campaign):
        key = self.carrier.fields(campaign)[0].key
        campaign.content[key] = "{没有这个变量}"
        assert "variable_unknown" in {problem.code for problem in self.carrier.validate(campaign)}

    def test_it_makes_a_call_to_the_person(self, campaign):
        call = self.carrier.composer(campaign)(Addressee("oPerson", {"name": "陈子涵"}), "id-1")
        assert isinstance(call, Outgoing)
        assert call.path.startswith("/cgi-bin/")
        assert b"oPerson" in call.body
        assert "陈子涵".encode() in call.body

    def test_it_makes_the_same_call_again(self, campaign):
        compose = self.carrier.composer(campaign)
        person = Addressee("oPerson", {"name": "陈子涵"})
        assert compose(person, "id-1") == compose(person, "id-1")

    def test_a_field_that_stays_empty_is_refused_for_that_person(self, campaign):
        key = self.carrier.fields(campaign)[0].key
        campaign.content[key] = "{姓名}"
        with pytest.raises(Unrenderable):
            self.carrier.composer(campaign)(Addressee("oPerson", {"name": ""}), "id-1")

    def test_composing_asks_no_questions(self, campaign, django_assert_num_queries):
        compose = self.carrier.composer(campaign)
        with django_assert_num_queries(0):
            for number in range(3):
                compose(Addressee(f"o{number}", {"name": "陈"}), f"id-{number}")

    def test_it_reaches_followers_only(self, in_brand):
        account = make_account()
        here, left = make_follower(account), make_follower(account)
        for follower in (here, left):
            record_act(follower=follower, act=windows.Act.MESSAGE, at=AT)
            self.allow(follower)
        Follower.objects.filter(pk=left.pk).update(subscribed=False)
        Member.objects.filter(pk=left.member_id).update(subscribed=False)
        at = AT + timedelta(hours=1)
        assert list(self.carrier.reachable(Member.objects.all(), at)) == [here.member]
        assert list(self.carrier.reachable(Member.objects.all(), at, account.pk)) == [here.member]
        assert list(self.carrier.reachable(Member.objects.all(), at, account.pk + 1)) == []

    def test_segments_count_it(self):
        assert reach.carriers.get(self.key).label == self.carrier.label


class TestTemplate(CarrierContract):
    key = "template"
    content = {"thing1": "{姓名}的预约", "time2": "2025-06-02 15:30"}

    def test_marketing_is_refused_with_what_is_allowed(self, campaign):
        campaign.purpose = Purpose.MARKETING
        (problem,) = self.carrier.validate(campaign)
        assert problem.code == "carrier_not_allowed"
        assert str(carriers.get("custom").label) in problem.hint

    def test_advertising_words_warn(self, campaign):
        campaign.content["thing1"] = "限时优惠等您来"
        (problem,) = self.carrier.validate(campaign)
        assert (problem.code, problem.blocking) == ("looks_like_advertising", False)

    def test_a_template_of_another_account_is_refused(self, campaign):
        campaign.account = make_account("另一个号")
        assert "template_missing" in {problem.code for problem in self.carrier.validate(campaign)}

    def test_the_call_carries_id_link_and_mini_program(self, campaign):
        campaign.url, campaign.mini_appid, campaign.mini_path = "https://example.com/a", "wxmini", "pages/card"
        call = self.carrier.composer(campaign)(
            Addressee("oPerson", {"name": "一二三四五六七八九十一二三四五六七八九十"}), "id-1"
        )
        body = json.loads(call.body)
        assert body["client_msg_id"] == "id-1"
        assert body["url"] == "https://example.com/a"
        assert body["miniprogram"] == {"appid": "wxmini", "pagepath": "pages/card"}
        assert len(body["data"]["thing1"]["value"]) == 20


class TestCustom(CarrierContract):
    key = "custom"
    content = {"text": "{姓名}您好，周末见"}

    def test_only_those_whose_acts_allow_it_are_reached(self, in_brand):
        follower = make_follower(make_account())
        everybody, moment = Member.objects.all(), timedelta(seconds=1)
        assert list(self.carrier.reachable(everybody, AT)) == []

        record_act(follower=follower, act=windows.Act.SCAN, at=AT)
        assert list(self.carrier.reachable(everybody, AT + 59 * moment)) == [follower.member]
        assert list(self.carrier.reachable(everybody, AT + 60 * moment)) == []

        record_act(follower=follower, act=windows.Act.MESSAGE, at=AT)
        assert list(self.carrier.reachable(everybody, AT + timedelta(hours=48) - moment)) == [follower.member]
        assert list(self.carrier.reachable(everybody, AT + timedelta(hours=48))) == []
        assert reserve_sends(wanted={follower.pk: 9}, at=AT + moment) == {follower.pk: 5}
        assert list(self.carrier.reachable(everybody, AT + 2 * moment)) == []

    def test_bytes_are_counted(self, campaign):
        campaign.content["text"] = "长" * 683
        assert [problem.code for problem in self.carrier.validate(campaign)] == ["field_invalid"]


class TestSubscribe(CarrierContract):
    key = "subscribe"
    content = {"thing1": "{姓名}的取货", "time2": "2025-06-02 15:30"}
    family = Family.NOTICE_ONCE

    def allow(self, follower, template_id="tpl"):
        SubscriptionStock.objects.create(follower=follower, template_id=template_id, remaining=1, updated_at=AT)

    def test_a_template_of_the_other_family_is_refused(self, campaign):
        campaign.template.family = Family.TEMPLATE
        assert [problem.code for problem in self.carrier.validate(campaign)] == ["template_missing"]
        campaign.carrier, campaign.purpose, campaign.template.family = "template", Purpose.SERVICE, Family.NOTICE_LONG
        assert [problem.code for problem in carriers.get("template").validate(campaign)] == ["template_missing"]

    def test_offers_are_what_people_agreed_to(self, campaign):
        campaign.purpose, campaign.content["thing1"] = Purpose.MARKETING, "限时优惠等您来"
        assert self.carrier.validate(campaign) == []

    def test_an_operator_learns_that_it_is_never_sent_again(self, campaign):
        campaign.unknown_policy = UnknownPolicy.RESEND
        (problem,) = self.carrier.validate(campaign)
        assert (problem.code, problem.blocking) == ("never_resent", False)
        assert unknown_policy(campaign) == UnknownPolicy.LEAVE

    def test_the_call_carries_page_and_mini_program_and_no_id(self, campaign):
        campaign.url, campaign.mini_appid, campaign.mini_path = "https://example.com/a", "wxmini", "pages/card"
        call = self.carrier.composer(campaign)(Addressee("oPerson", {"name": "陈子涵"}), "id-1")
        assert call.path == "/cgi-bin/message/subscribe/bizsend"
        assert json.loads(call.body) == {
            "touser": "oPerson",
            "template_id": "tpl",
            "page": "https://example.com/a",
            "miniprogram": {"appid": "wxmini", "pagepath": "pages/card"},
            "data": {"thing1": {"value": "陈子涵的取货"}, "time2": {"value": "2025-06-02 15:30"}},
        }

    def test_who_has_none_left_is_not_reached(self, in_brand):
        follower = make_follower(make_account())
        assert list(self.carrier.reachable(Member.objects.all(), AT)) == []
        self.allow(follower)
        assert list(self.carrier.reachable(Member.objects.all(), AT)) == [follower.member]
        SubscriptionStock.objects.update(remaining=0)
        assert list(self.carrier.reachable(Member.objects.all(), AT)) == []


def test_every_carrier_inherits_the_contract():
    assert {each.key for each in CarrierContract.__subclasses__()} == {key for key, _ in carriers.items()}


@pytest.mark.parametrize(
    ("key", "value", "good"),
    [
        ("thing1", "一" * 20, True),
        ("thing1", "一" * 21, False),
        ("thing1", "   ", False),
        ("number2", "1" * 32, True),
        ("number2", "1" * 33, False),
        ("number2", "12a", False),
        ("letter3", "abcXYZ", True),
        ("letter3", "ab1", False),
        ("symbol4", "%%%%%", True),
        ("symbol4", "%%%%%%", False),
        ("character_string5", "SO20240425001", True),
        ("character_string5", "订单1", False),
        ("character_string5", "a" * 33, False),
        ("time6", "15:01", True),
        ("time6", "2019年10月1日 15:01", True),
        ("time6", "明天下午", False),
        ("time6", "25:00", False),
        ("date7", "2019年10月1日", True),
        ("date7", "2025-06-02 15:30", True),
        ("date7", "六月", False),
        ("amount8", "¥128.00", True),
        ("amount8", "128元", True),
        ("amount8", "12345678901", False),
        ("amount8", "很多", False),
        ("phone_number9", "+86-21-62170000", True),
        ("phone_number9", "1" * 18, False),
        ("car_number10", "沪A12345", True),
        ("car_number10", "沪A12345678", False),
        ("name11", "陈子涵", True),
        ("name11", "一二三四五六七八九十一", False),
        ("name11", "Alexander Hamilton", True),
        ("phrase12", "已发货", True),
        ("phrase12", "已经发货啦啊", False),
        ("phrase12", "OK", False),
        ("const13", "已完成", True),
        ("keyword1", "旧模板", True),
    ],
)
def test_typed_fields_take_what_wechat_takes(key, value, good):
    assert typed_keys.fits(key, value) is good


def test_only_words_are_cut():
    assert typed_keys.cut("thing1", "一" * 25) == "一" * 19 + "…"
    assert typed_keys.cut("name2", "一" * 12) == "一" * 9 + "…"
    assert typed_keys.cut("number3", "1" * 40) == "1" * 40
    assert typed_keys.cut("thing1", "短") == "短"


def test_fields_are_read_from_the_template_text():
    content = "{{first.DATA}}\n门店：{{thing1.DATA}}\n时间:{{time3.DATA}}\n{{keyword2.DATA}}\n再次：{{thing1.DATA}}\n{{remark.DATA}}"
    assert parse_fields(content) == [
        {"key": "thing1", "label": "门店", "type": "thing"},
        {"key": "time3", "label": "时间", "type": "time"},
        {"key": "keyword2", "label": "keyword2", "type": ""},
    ]


def test_variables_take_facts_then_fallback():
    facts = {"name": "陈子涵", "city": ""}
    filled = render("{姓名|会员}在{城市|本店}，{name}", facts)
    assert (filled.text, filled.unknown, filled.empty) == ("陈子涵在本店，陈子涵", (), ())
    assert render("{城市}", facts).empty == ("城市",)
    assert render("{称呼}", facts).unknown == ("称呼",)
