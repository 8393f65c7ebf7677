"""Orders from tables become purchases once, count for tiers, give points only where asked to, and can be taken back."""

from __future__ import annotations

import pytest

from accounts.tenancy import brand_scope
from common.clock import now
from imports.models import ImportRow
from loyalty.invariants import breaches
from loyalty.models import EarnRule, Fact, FactKind, Standing, Tier
from loyalty.selectors.points import balance_of
from loyalty.services import Report, activate_rule, record_fact, save_rule
from members import services as member_services
from members.models import Identity, Member
from members.segments import matching
from tests.factories import AT, make_account, make_follower, make_member, make_store
from tests.imports.conftest import csv_of, ran, uploaded, verdicts
from tests.imports.conftest import undone as undone_job

pytestmark = pytest.mark.django_db
BOUGHT = {"condition": "event", "params": {"how": "did", "event": "loyalty.purchase", "times": 1, "days": 3650}}
TITLES = ("订单号", "手机", "金额", "时间", "商品", "门店编码")


@pytest.fixture
def buyer(brand):
    with brand_scope(brand.pk):
        make_store("SH004")
        member = make_follower(make_account()).member
        return member_services.bind_phone(member=member, number="13800001234", source="test", at=AT)


def test_orders_become_purchases_once_and_count_for_tiers(brand, buyer):
    with brand_scope(brand.pk):
        Tier.objects.create(name="初见", threshold=0)
        Tier.objects.create(name="常来", threshold=300)
    table = csv_of(
        TITLES,
        ("SO1", "13800001234", "199.90", "2025-06-01 13:45", "LY-1【衬衫】=199.90", "SH004"),
        ("SO2", "13800001234", "¥200", "2025-06-02", "", ""),
        ("SO3", "13999999999", "10", "2025-06-02", "", ""),
        ("SO4", "13800001234", "10", "2999-06-02", "", ""),
        ("SO5", "13800001234", "10", "2025-06-02", "A=20", "XX"),
        ("SO1", "13800001234", "199.90", "2025-06-01 13:45", "LY-1=199.90", "SH004"),
    )
    job = uploaded(brand, table, kind="orders")
    assert verdicts(brand, job) == {
        2: ("NEW", []),
        3: ("NEW", []),
        4: ("ERROR", [("phone", "member_unknown")]),
        5: ("ERROR", [("at", "day_invalid")]),
        6: ("ERROR", [("store", "store_unknown"), ("items", "items_more")]),
        7: ("ERROR", [("number", "twice")]),
    }
    assert ran(brand, job).became == {"NEW": 2}
    with brand_scope(brand.pk):
        rows = Fact.objects.order_by("number").values_list("number", "amount", "body", "store__code")
        assert list(rows) == [
            ("SO1", 19990, {"lines": [{"sku": "LY-1", "category": "衬衫", "amount": 19990}]}, "SH004"),
            ("SO2", 20000, {}, None),
        ]
        assert balance_of(buyer.pk).available == 0
    second = uploaded(brand, table, kind="orders")
    assert second.found["UNCHANGED"] == 2
    changed = uploaded(brand, csv_of(TITLES[:4], ("SO2", "13800001234", "201", "2025-06-02")), kind="orders")
    assert verdicts(brand, changed) == {2: ("CONFLICT", [("number", "order_changed")])}
    back = undone_job(brand, job)
    assert back.became["UNDONE"] == 2
    with brand_scope(brand.pk):
        assert Fact.objects.filter(kind=FactKind.REFUND).count() == 2
        assert not Standing.objects.filter(tier__name="座上宾").exists()
        assert breaches() == []


def test_orders_are_where_they_were_sent_and_a_bad_address_is_a_note(brand, buyer):
    titles = (*TITLES[:4], "收货省份", "收货城市", "收货区县", "收货地址")
    row = ("13800001234", "10", "2025-06-02")
    table = csv_of(
        titles,
        ("SO1", *row, "", "", "", "浙江省杭州市西湖区文三路 1 号"),
        ("SO2", *row, "北京市", "市辖区", "朝阳区", "建国路 1 号"),
        ("SO3", *row, "浙江省", "杭州市", "", "杭州市西湖区文三路"),
        ("SO4", *row, "上海市", "", "", "杭州市"),  # they differ: the columns are right
        ("SO5", *row, "", "", "", "朝阳区建国路"),
        ("SO6", *row, "", "", "", "1 Main St, New York"),
        ("SO7", *row, "", "", "", "香港九龙"),
        ("SO8", *row, "", "", "", "到店自提"),
    )
    job = uploaded(brand, table, kind="orders")
    notes = {6: "ship_ambiguous", 7: "ship_abroad", 9: "ship_unread"}
    assert verdicts(brand, job) == {
        number: ("NEW", [("ship_to", notes[number])] if number in notes else []) for number in range(2, 10)
    }
    with brand_scope(brand.pk):
        assert not [row for row in ImportRow.objects.filter(job=job) if "文三路" in row.cells.reveal()]
    assert ran(brand, job).became == {"NEW": 8}
    with brand_scope(brand.pk):
        kept = dict(Fact.objects.values_list("number", "body"))
    assert {number: body.get("place", body.get("unplaced")) for number, body in kept.items()} == {
        "SO1": ["330000", "330100", "330106"],
        "SO2": ["110000", "110100", "110105"],
        "SO3": ["330000", "330100", "330106"],
        "SO4": ["310000", "310100"],
        "SO5": "AMBIGUOUS",
        "SO6": "ABROAD",
        "SO7": ["810000", "810000"],
        "SO8": "UNKNOWN",
    }


def test_an_order_that_was_taken_back_comes_again_as_corrected_and_the_first_one_counts_for_nothing(brand, buyer):
    with brand_scope(brand.pk):
        draft = EarnRule(name="首单", kind="first_purchase", draft={"points": 50, "from_fen": 0})
        rule = save_rule(rule=draft, at=AT)
        activate_rule(rule_id=rule.pk, at=AT)
    day = f"{AT:%Y-%m-%d} 23:00"

    def buyers():
        with brand_scope(brand.pk):
            return matching(BOUGHT, at=now()).count()

    wrong = csv_of(TITLES[:4], ("SO1", "13800001234", "995", day))
    right = csv_of(TITLES[:4], ("SO1", "13800001234", "99.50", day))
    for _time in range(2):
        job = ran(brand, uploaded(brand, wrong, kind="orders"))
        assert (job.became, buyers()) == ({"NEW": 1}, 1)
        assert (undone_job(brand, job).became["UNDONE"], buyers()) == (1, 0)

    job = ran(brand, uploaded(brand, right, kind="orders", give_points="1"))

    assert job.became == {"NEW": 1}
    assert uploaded(brand, right, kind="orders").found == {"UNCHANGED": 1}
    assert verdicts(brand, uploaded(brand, wrong, kind="orders")) == {2: ("CONFLICT", [("number", "order_changed")])}
    with brand_scope(brand.pk):
        assert balance_of(buyer.pk).available == 50  # the first purchase, as if the others had never been
        back = Report(system="import", kind=FactKind.REFUND, number="R1", happened_at=now(), amount=9950, refers="SO1")
        assert record_fact(report=back, at=now()).fact.refers.amount == 9950
        assert breaches() == []


def test_people_go_when_their_orders_were_taken_back_before(brand, quiet):
    with brand_scope(brand.pk):
        make_store("SH004")
        Tier.objects.create(name="初见", threshold=0)
    people = ran(
        brand, uploaded(brand, csv_of(("手机号", "姓名"), ("13800001234", "陈子涵"), ("13800001235", "吴晓明")))
    )
    orders = ran(
        brand,
        uploaded(brand, csv_of(TITLES[:4], ("SO1", "13800001234", "199.90", "2025-06-01 13:45")), kind="orders"),
    )
    early = undone_job(brand, people)
    assert (early.became["UNDONE"], early.became["LEFT"]) == (1, 1)
    assert verdicts(brand, people)[2] == ("LEFT", [("phone", "left_used")])

    again = ran(brand, uploaded(brand, csv_of(("手机号", "姓名"), ("13800001236", "林一"))))
    more = ran(
        brand,
        uploaded(brand, csv_of(TITLES[:4], ("SO2", "13800001236", "10", "2025-06-01 13:45")), kind="orders"),
    )
    for job in (more, orders, again):
        assert undone_job(brand, job).became["UNDONE"] == 1
    with brand_scope(brand.pk):
        left = list(Member.objects.filter(merged_into=None, erased_at=None).values_list("name", flat=True))
        assert left == ["陈子涵"]  # what was said of them before the orders went stays said
        assert matching({"all": []}, at=now()).count() == 1
        assert breaches() == []


def test_orders_give_points_by_the_rules_of_then_where_asked_to(brand, buyer):
    with brand_scope(brand.pk):
        draft = EarnRule(name="消费", kind="spend", draft={"points": 1, "per_fen": 100})
        rule = save_rule(rule=draft, at=AT)
        activate_rule(rule_id=rule.pk, at=AT)
    day = f"{AT:%Y-%m-%d} 23:00"
    job = uploaded(brand, csv_of(TITLES[:4], ("SO1", "13800001234", "99.50", day)), kind="orders", give_points="1")
    ran(brand, job)
    with brand_scope(brand.pk):
        assert balance_of(buyer.pk).available == 99
    undone_job(brand, job)
    with brand_scope(brand.pk):
        assert balance_of(buyer.pk).available == 0
        assert breaches() == []


def test_card_of_another_till_is_nobody_here(brand, buyer):
    """Tills of another system may have given the brand's own card number to somebody else."""
    with brand_scope(brand.pk):
        other = make_member(make_account())
        Identity.objects.create(member=other, kind="CARD", namespace="till-2", value="1001", source="test", since=AT)
        Identity.objects.create(member_id=buyer.pk, kind="CARD", value="1002", source="test", since=AT)
        Identity.objects.create(member=other, kind="CARD", namespace="till-2", value="1002", source="test", since=AT)
    titles = ("订单号", "会员卡号", "金额", "时间")
    job = uploaded(
        brand, csv_of(titles, ("SO1", "1001", "10", "2025-06-02"), ("SO2", "1002", "10", "2025-06-02")), kind="orders"
    )
    assert verdicts(brand, job)[2][0] == "ERROR"
    ran(brand, job)
    with brand_scope(brand.pk):
        assert list(Fact.objects.values_list("number", "member_id")) == [("SO2", buyer.pk)]
    people = uploaded(brand, csv_of(("手机号", "会员卡号"), ("13900000077", "1001")))
    assert people.found == {"NEW": 1}
