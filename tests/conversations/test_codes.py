"""What a code says to whoever scans it: until the code is over, and with the name of what it gives."""

from __future__ import annotations

from datetime import timedelta

import pytest

from common import clock
from conversations.engine import Asked, Facts
from conversations.selectors import rules_of
from coupons import services as coupon_services
from coupons.models import Template
from coupons.selectors.scans import KIND
from coupons.services import stop_template
from tests.conversations.test_engine import rule
from tests.coupons.conftest import AMOUNT, claim, make_template
from tests.factories import AT, make_account, make_member, make_tag
from touchpoints.models import Touchpoint
from touchpoints.services import archive_branch, create_touchpoint
from wechat_gateway.models import OfficialAccount

END = AT + timedelta(days=1)
BEFORE, AFTER = END - timedelta(seconds=1), END


@pytest.fixture
def account(in_brand):
    return make_account()


def said(rules, code, at, facts=None):
    decision = rules.decide(Asked("FOLLOW", at, scene=code.scene), facts or Facts())
    return decision.contents[0].text if decision.rule else None


def test_compiled_rules_turn_when_a_code_is_over(account):
    tag = make_tag()
    rule(account, "FOLLOW", "礼盒", audience_kind="tag", audience_id=tag.pk)
    rule(account, "FOLLOW", "大家")
    own = create_touchpoint(name="门口", account=account, at=AT, welcome="门口好", ends_at=END)
    tagged = create_touchpoint(name="礼盒", account=account, at=AT, tags=[tag], ends_at=END)
    for_ever = create_touchpoint(name="柜台", account=account, at=AT, welcome="柜台好")

    rules = rules_of(account.pk)

    assert [said(rules, own, at) for at in (BEFORE, AFTER)] == ["门口好", "大家"]
    assert [said(rules, tagged, at) for at in (BEFORE, AFTER)] == ["礼盒", "大家"]
    assert [said(rules, for_ever, at) for at in (BEFORE, AFTER)] == ["柜台好", "柜台好"]
    assert [bool(rules.code_welcome(own.scene, at)) for at in (BEFORE, AFTER)] == [True, False]


@pytest.mark.parametrize("how", ["archived", "paused"])
def test_codes_out_of_use_welcome_nobody(account, how):
    code = create_touchpoint(name="门口", account=account, at=AT, welcome="门口好")
    if how == "archived":
        archive_branch(touchpoint=code, at=AT)
    else:
        Touchpoint.objects.filter(pk=code.pk).update(is_active=False)
    assert said(rules_of(account.pk), code, AT) is None


def test_the_welcome_names_what_the_code_gives_while_it_is_given(account):
    template = make_template(name="见面礼 20 元", claimable=False)
    code = create_touchpoint(
        name="门口", account=account, at=AT, welcome="送你 {benefit}（{权益}）", benefit="神秘礼物",
        gives=(KIND, template.pk),
    )  # fmt: skip
    assert said(rules_of(account.pk), code, AT) == "送你 见面礼 20 元（见面礼 20 元）"
    before = OfficialAccount.objects.get(pk=account.pk).replies_version
    stop_template(template_id=template.pk, at=AT)
    assert OfficialAccount.objects.get(pk=account.pk).replies_version > before  # so that gateways compile them anew
    assert said(rules_of(account.pk), code, AT) is None  # it says nothing else, so the next rule answers
    Touchpoint.objects.filter(pk=code.pk).update(benefit_kind="", benefit_id=None)
    assert said(rules_of(account.pk), code, AT) == "送你 神秘礼物（神秘礼物）"  # a gift at the counter, not one of ours


@pytest.fixture
def last_one(account):
    """A code whose coupon has one left, and the member who may take it."""
    template = make_template(name="见面礼 20 元", total=1)
    code = create_touchpoint(
        name="门口", account=account, at=AT, welcome="你好！送你{权益}，请查收。\n回复 1 看新品", benefit="入会立减 20 元",
        gives=(KIND, template.pk),
    )  # fmt: skip
    return template, code, make_member(account)


def version_of(account):
    return OfficialAccount.objects.get(pk=account.pk).replies_version


def test_the_last_coupon_given_takes_its_promise_out_of_the_welcome(account, last_one):
    template, code, member = last_one
    assert said(rules_of(account.pk), code, AT) == "你好！送你见面礼 20 元，请查收。\n回复 1 看新品"
    before = version_of(account)
    claim(template, member)
    assert version_of(account) > before  # so that gateways compile them anew
    assert said(rules_of(account.pk), code, AT) == "你好！回复 1 看新品"

    more = Template.objects.get(pk=template.pk)
    more.total = 2
    coupon_services.save_template(template=more, at=AT)
    assert said(rules_of(account.pk), code, AT) == "你好！送你见面礼 20 元，请查收。\n回复 1 看新品"


def test_a_coupon_that_comes_back_to_the_budget_is_promised_again(account, last_one):
    template, code, _member = last_one
    batch = coupon_services.create_batch(template=template, label="包裹", count=1, at=AT)
    assert said(rules_of(account.pk), code, AT) == "你好！回复 1 看新品"
    before = version_of(account)
    coupon_services.stop_batch(batch_id=batch.pk, at=AT)
    assert version_of(account) > before
    assert said(rules_of(account.pk), code, AT).startswith("你好！送你见面礼 20 元")


def test_no_coupon_is_promised_after_its_last_day(account, monkeypatch):
    rule = AMOUNT | {"validity": "FIXED", "first_day": "2025-06-01", "last_day": "2025-06-05"}
    template = make_template(name="节日券", rule={key: value for key, value in rule.items() if key != "days"})
    code = create_touchpoint(
        name="门口", account=account, at=AT, welcome="你好！送你{权益}。", gives=(KIND, template.pk)
    )  # fmt: skip
    over = AT.replace(day=5, hour=16)  # the midnight of the brand
    monkeypatch.setattr(clock, "now", lambda: AT)
    rules = rules_of(account.pk)  # compiled before, as gateways have it
    assert [said(rules, code, at) for at in (over - timedelta(days=1), over)] == ["你好！送你节日券。", None]
    monkeypatch.setattr(clock, "now", lambda: over)
    assert said(rules_of(account.pk), code, over) == "你好！"
