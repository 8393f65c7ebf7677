"""Pages of coupons as operators and stores use them; another brand's rows never show."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from common.clock import now
from coupons import errors, on_screen, services
from coupons.invariants import breaches
from coupons.models import CodeBatch, Coupon, Move, Template, Way
from coupons.rules import read
from coupons.words import rule_sentence
from tests.console.conftest import signed_in
from tests.coupons.conftest import AMOUNT, claim, make_template, once
from tests.factories import make_member, make_staff

FORM = {
    "name": "夏日 8.5 折", "kind": "PERCENT", "percent": "15", "cap": "50", "threshold": "200", "pieces": "1",
    "products": "", "categories": "衬衫，围巾", "validity": "RELATIVE", "delay": "0", "days": "14",
    "on_refund": "RETURN", "grace_days": "7", "total": "100", "per_member": "2", "claimable": "on", "amount": "",
}  # fmt: skip
TEMPLATES, COUNTER = "/b/lanyu/coupons/template/", "/b/lanyu/coupons/counter/"


@pytest.fixture
def as_owner(as_owner, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    return as_owner


@pytest.fixture(autouse=True)
def sound(ours):
    yield
    with brand_scope(ours.brand.pk):
        assert breaches() == []


def page(answer):
    assert answer.status_code == 200, answer.status_code
    return re.sub(r"\s+", " ", answer.content.decode())


def given(of, member=None, **more):
    with brand_scope(of.brand.pk):
        template = make_template(at=now() - timedelta(hours=1), **({"name": f"{of.brand.name}满减"} | more))
        return claim(template, member or of.member, at=now() - timedelta(hours=1)).coupon


def code_for(of, coupon):
    with brand_scope(of.brand.pk):
        return services.show_code(coupon_id=coupon.pk, at=now())[0]


def test_a_template_is_typed_read_turned_on_and_changed_without_touching_what_was_given(as_owner, ours):
    shown = page(as_owner.post(f"{TEMPLATES}preview/", FORM))
    with translation.override("en"):
        sentence = rule_sentence(read({
            "kind": "PERCENT", "percent": 15, "cap": 5_000, "threshold": 20_000, "categories": ["衬衫", "围巾"],
            "days": 14,
        }))  # fmt: skip
    assert sentence in shown
    assert "¥44.85" in shown  # 15 % of ¥299.00, rounded down
    assert "¥50.00" in shown  # 15 % of ¥599.00 is more than the cap
    assert "cannot be used" in shown  # ¥99.00
    assert "How many percent" in page(as_owner.post(f"{TEMPLATES}preview/", FORM | {"percent": ""}))
    answer = as_owner.post(f"{TEMPLATES}add/", FORM, follow=True)
    assert sentence in page(answer)
    with brand_scope(ours.brand.pk):
        row = Template.objects.get()
        assert (row.state, row.total, row.per_member, row.draft["cap"]) == ("DRAFT", 100, 2, 5_000)
    change = f"{TEMPLATES}{row.pk}/change/"
    as_owner.post(change, {"act": "activate"})
    with brand_scope(ours.brand.pk):
        coupon = claim(Template.objects.get(), ours.member, at=now()).coupon
    as_owner.post(change, FORM | {"percent": "30"})
    with brand_scope(ours.brand.pk):
        assert (Template.objects.get().draft["percent"], coupon.version.rule["percent"]) == (30, 15)
    refused = page(as_owner.post(change, FORM | {"total": "0"}))
    assert "greater than or equal to 1" in refused
    as_owner.post(change, {"act": "stop"})
    listed = page(as_owner.get(TEMPLATES))
    assert "夏日 8.5 折" in listed
    assert "Stopped" in listed


@pytest.mark.parametrize(
    "bad", [{"percent": "1.5"}, {"threshold": "abc"}, {"threshold": "-1"}, {"cap": "1.001"}, {"name": ""}]
)
def test_a_template_that_cannot_be_says_so_at_its_field_and_is_not_kept(as_owner, ours, bad):
    answer = as_owner.post(f"{TEMPLATES}add/", FORM | bad)
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors
    with brand_scope(ours.brand.pk):
        assert Template.objects.count() == 0


def test_a_members_page_shows_every_coupon_with_its_history_and_nobody_elses(as_owner, ours, theirs):
    mine, foreign = given(ours), given(theirs)
    path = f"/b/lanyu/coupons/member/{ours.member.pk}/"
    shown = page(as_owner.get(path))
    assert "claimed “澜屿满减”" in shown
    assert "灶" not in shown
    assert "澜屿满减" in page(as_owner.get(f"/b/lanyu/members/member/{ours.member.pk}/change/"))
    assert as_owner.get(f"/b/lanyu/coupons/member/{theirs.member.pk}/").status_code == 404
    assert as_owner.post(path, {"act": "void", "coupon": foreign.pk, "reason": "发错了", "key": "1"}).status_code == 404
    as_owner.post(path, {"act": "void", "coupon": mine.pk, "reason": "发错了", "key": "1"})
    assert "taken back" in page(as_owner.get(path))
    with brand_scope(ours.brand.pk):
        assert Coupon.objects.get(pk=mine.pk).state == "VOID"
        assert AuditEntry.objects.filter(action="take coupon back").count() == 1


def test_a_guide_hands_out_what_may_be_handed_out_once_a_tap(ours):
    with brand_scope(ours.brand.pk):
        allowed = make_template("导购券", at=now(), per_member=5)
        closed = make_template("内部券", at=now(), by_guides=False)
        desk = signed_in(make_staff("clerk", "STORE_MANAGER"))
    path = f"/b/lanyu/coupons/member/{ours.member.pk}/"
    shown = page(desk.get(path))
    assert "导购券" in shown
    assert "内部券" not in shown
    for _tap in range(2):
        desk.post(path, {"act": "give", "template": allowed.pk, "reason": "老顾客", "key": "tap"})
    desk.post(path, {"act": "give", "template": closed.pk, "reason": "老顾客", "key": "tap"})
    desk.post(path, {"act": "give", "template": allowed.pk, "reason": "", "key": "again"})
    with brand_scope(ours.brand.pk):
        assert [(move.detail["way"], move.reason) for move in Move.objects.all()] == [("GUIDE", "老顾客")]


def test_a_coupon_is_given_to_the_members_whose_numbers_are_typed_once_a_tap(as_owner, ours, theirs):
    with brand_scope(ours.brand.pk):
        template = make_template("回馈券", at=now(), per_member=2, claimable=False)
        far = make_member(ours.account)
    typed = f"{ours.member.member_no}，{far.member_no}\n{theirs.member.member_no} {far.member_no} 0000"
    form = {"act": "push", "numbers": typed, "reason": "春季回馈", "key": "tap"}
    path = f"{TEMPLATES}{template.pk}/change/"
    for _tap in range(2):
        said = page(as_owner.post(path, form, follow=True))
        assert "Given to 2 members. Had their share: 0. None left: 0. Unknown: 2." in said
    for wrong in ({"numbers": " "}, {"numbers": "1 " * 101 + " ".join(map(str, range(101)))}, {"reason": ""}):
        assert "Nothing was" in page(as_owner.post(path, form | wrong | {"key": "other"}, follow=True))
    with brand_scope(ours.brand.pk):
        assert sorted(Coupon.objects.values_list("member_id", flat=True)) == sorted([ours.member.pk, far.pk])
    with brand_scope(theirs.brand.pk):
        assert Coupon.objects.count() == 0


def test_a_store_looks_a_code_up_redeems_it_once_and_a_manager_takes_a_slip_back(as_manager, as_owner, ours, settings):
    as_manager.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    coupon = given(ours)
    code = code_for(ours, coupon)
    form = {"code": code.lower(), "store": ours.store.pk, "amount": "", "act": "look"}
    assert "amount needed" in page(as_manager.post(COUNTER, form))
    short = page(as_manager.post(COUNTER, form | {"amount": "150"}))
    assert "¥50.00 are missing" in short or "amount needed" in short
    found = page(as_manager.post(COUNTER, form | {"amount": "250"}))
    assert re.search(r'data-testid="saving">¥30.00<', found)
    tap = form | {"amount": "250", "act": "redeem", "key": "tap"}
    for _tap in range(2):
        assert as_manager.post(COUNTER, tap).status_code == 302
    again = page(as_manager.post(COUNTER, tap | {"key": "other"}))
    assert "It has been used" in again
    with brand_scope(ours.brand.pk):
        move = Move.objects.get(kind="REDEEM")
        assert (move.store_id, move.staff.username, move.saved) == (ours.store.pk, "manager", 3_000)
    assert as_manager.post(COUNTER, tap | {"store": ours.far_store.pk, "key": "far"}).status_code == 404
    undo = {"act": "undo", "coupon": coupon.pk, "reason": "扫错了", "key": "u"}
    as_manager.post(COUNTER, undo)
    with brand_scope(ours.brand.pk):
        assert Coupon.objects.get(pk=coupon.pk).state == "UNUSED"
        move = Move.objects.get(kind="UNDO")
        assert (move.reason, move.staff.username) == ("扫错了", "manager")
    as_manager.post(COUNTER, undo | {"key": "u2"})
    with brand_scope(ours.brand.pk):
        assert Move.objects.filter(kind="UNDO").count() == 1


def test_number_of_a_bill_lets_others_on_it_be_seen_and_a_refund_give_the_coupon_back(as_manager, ours, settings):
    as_manager.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    form = {"store": ours.store.pk, "amount": "250", "number": " B-1 "}
    rule = {"kind": "AMOUNT", "amount": 1_000, "days": 5, "stacks": "ALONE"}
    first, second = (given(ours, name=name, rule=rule) for name in ("甲券", "乙券"))
    look = {"code": code_for(ours, first), "act": "look"}
    assert "does not come back" in page(as_manager.post(COUNTER, form | look | {"number": ""}))
    assert "This is no number of a bill" in page(as_manager.post(COUNTER, form | look | {"number": "B 1"}))
    assert "This is no number of a bill" in page(as_manager.post(COUNTER, form | look | {"number": "x" * 65}))
    assert "does not come back" not in page(as_manager.post(COUNTER, form | look))
    assert as_manager.post(COUNTER, form | look | {"act": "redeem", "key": "1"}).status_code == 302
    other = page(as_manager.post(COUNTER, form | {"code": code_for(ours, second), "act": "look"}))
    assert "cannot be used" in other
    with brand_scope(ours.brand.pk):
        assert Coupon.objects.get(pk=first.pk).order == "B-1"
        assert [
            move.kind for move in services.return_order(order="B-1", member_id=ours.member.pk, at=now(), reason="退货")
        ]
        assert Coupon.objects.get(pk=first.pk).state == "UNUSED"


def test_a_guide_redeems_and_does_not_undo_and_nobody_undoes_after_half_an_hour(ours, as_owner):
    with brand_scope(ours.brand.pk):
        guide = signed_in(make_staff("till", "GUIDE"))
    coupon = given(ours, rule={"kind": "GIFT", "gift": "新品咖啡", "days": 5})
    code = code_for(ours, coupon)
    form = {"code": code, "store": ours.store.pk, "amount": "", "act": "look"}
    assert "新品咖啡" in page(guide.post(COUNTER, form))
    assert guide.post(COUNTER, form | {"act": "redeem", "key": "1"}).status_code == 302
    assert guide.post(COUNTER, {"act": "undo", "coupon": coupon.pk, "reason": "扫错了"}).status_code == 403
    with brand_scope(ours.brand.pk):
        late = now() + timedelta(minutes=30)
        with pytest.raises(errors.UndoTooLate):
            services.undo_redemption(operation=once(), coupon_id=coupon.pk, reason="扫错了", at=late)


def test_codes_of_another_brand_and_of_nobody_look_alike_at_the_counter(as_owner, ours, theirs):
    foreign = code_for(theirs, given(theirs))
    form = {"store": ours.store.pk, "amount": "250", "act": "look"}
    shown = [page(as_owner.post(COUNTER, form | {"code": code})) for code in (foreign, "A" * 12, "ABC")]
    assert "This code is unknown" in shown[0]
    assert "灶" not in shown[0]
    assert "This is no code" in shown[1]
    assert "This is no code" in shown[2]


def test_a_batch_is_made_downloaded_with_a_trace_and_stopped(as_owner, ours):
    with brand_scope(ours.brand.pk):
        template = make_template("包装券", at=now(), total=50)
    add = "/b/lanyu/coupons/codebatch/add/"
    refused = page(as_owner.post(add, {"template": template.pk, "label": "礼盒", "count": "51"}, follow=True))
    assert "50 of these coupons are left" in refused
    for day in ("9999-12-31", "0001-01-01"):
        wrong = {"template": template.pk, "label": "礼盒", "count": "5", "last_day": day}
        assert "Choose a day in the years 2000 to 2099." in page(as_owner.post(add, wrong))
    as_owner.post(add, {"template": template.pk, "label": "礼盒", "count": "5"})
    with brand_scope(ours.brand.pk):
        batch = CodeBatch.objects.get()
        services.make_portion(batch_id=batch.pk, at=now())
    path = f"/b/lanyu/coupons/codebatch/{batch.pk}/change/"
    assert re.search(r'data-testid="made">5<', page(as_owner.get(path)))
    file = as_owner.post(path, {"act": "download"})
    lines = file.content.decode("utf-8-sig").split()
    assert (lines[0], len(set(lines)), len(lines[1])) == ("code,used", 6, len("XXXX-XXXX-XXXX,0"))
    as_owner.post(path, {"act": "stop"})
    assert "Stopped" in page(as_owner.get("/b/lanyu/coupons/codebatch/"))
    with brand_scope(ours.brand.pk):
        assert AuditEntry.objects.filter(action="download coupon codes").count() == 1
        assert Template.objects.get().taken == 0
        analyst = signed_in(make_staff("analyst", "ANALYST"))
    assert analyst.get(path).status_code == 200
    for act in ("download", "stop"):
        assert analyst.post(path, {"act": act}).status_code == 403
    assert analyst.get(COUNTER).status_code == 403
    assert analyst.post(f"{TEMPLATES}{template.pk}/change/", {"act": "stop"}).status_code == 403


def test_three_rows_cost_as_many_queries_as_one(as_owner, ours):
    def rows(count):
        for number in range(count):
            coupon = given(ours, name=f"券{number}{count}", rule=AMOUNT | {"threshold": 0})
            code = code_for(ours, coupon)
            as_owner.post(COUNTER, {"code": code, "store": ours.store.pk, "amount": "9", "act": "redeem", "key": code})
            given(ours, name=f"新{number}{count}")
            with brand_scope(ours.brand.pk):
                services.create_batch(template=coupon.template, label="x", count=1, at=now())

    def asked(path):
        with CaptureQueriesContext(connection) as queries:
            assert as_owner.get(path).status_code == 200
        return len(queries)

    paths = [TEMPLATES, COUNTER, "/b/lanyu/coupons/codebatch/", f"/b/lanyu/coupons/member/{ours.member.pk}/"]
    rows(1)
    for path in paths:
        asked(path)
    one = [asked(path) for path in paths]
    rows(2)
    assert [asked(path) for path in paths] == one


@pytest.mark.parametrize("way", Way)
def test_every_way_to_a_coupon_is_said_on_the_persons_timeline(way):
    assert "%(name)s" in on_screen._given(way)
