"""The member centre in one call: every number is its ledger's, and rows cost no queries."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from common import clock
from coupons.models import Coupon, Move
from loyalty import services as loyalty
from loyalty.models import Benefit, Entry, Fact, Lot, Tier
from loyalty.services import Operation, Report, record_fact
from members import services
from members.models import Consent, OptOut, RightsRequest
from tests.coupons.conftest import claim, hold, make_template

DAY = timedelta(days=1)


def fill(side, rows, tag):
    """Give a member so many of everything."""
    at, member = clock.now(), side.member
    with brand_scope(side.brand.pk):
        for number in range(rows):
            key = f"{tag}{number}"
            loyalty.earn_points(operation=Operation("t", key), member_id=member.pk, points=100, source="t", at=at)
            Lot.objects.filter(expires_at=None).update(expires_at=at + (number + 3) * DAY)
            report = Report("pos", "PURCHASE", f"SO-{key}", at - number * DAY, member_id=member.pk, amount=50_000,
                            store_id=side.store.pk)  # fmt: skip
            record_fact(report=report, at=at)
            claim(make_template(at=at), member, at=at)
            services.give_consent(member=member, purpose="SERVICE", text_version=key, source="t", at=at)
            template = make_template(at=at)
            hold(claim(template, member, at=at).coupon, order=f"SO-{key}", at=at)


def ladder(side):
    with brand_scope(side.brand.pk):
        first = Tier.objects.create(name="初见", threshold=0)
        Tier.objects.create(name="知音", threshold=2_000)
        Benefit.objects.create(tier=first, kind="PRICE", value=5)


@pytest.fixture
def filled(a):
    ladder(a)
    fill(a, 3, "x")
    with brand_scope(a.brand.pk):
        at = clock.now()
        refund = Report("pos", "REFUND", "RF1", at, member_id=a.member.pk, amount=10_000, refers="SO-x0")
        record_fact(report=refund, at=at)
        loyalty.freeze_points(operation=Operation("t", "f"), member_id=a.member.pk, points=30, source="t", at=at)
        services.set_preferences(member=a.member, channel="t", source="t", at=at, personal=False)
        services.ask(member=a.member, kind="COPY", words="", channel="t", at=at)
    return a


def test_every_number_equals_its_ledger(filled):
    side = filled
    shown = side.me.get("/me/centre/").json()

    with brand_scope(side.brand.pk):
        mine = {"member_id": side.member.pk}
        legs = {row["pocket"]: row["n"] for row in Entry.objects.filter(**mine).values("pocket").annotate(n=Sum("points"))}  # fmt: skip
        points, tier, coupons = shown["points"], shown["tier"], shown["coupons"]
        assert (points["available"], points["held"]) == (legs["AVAILABLE"], legs["HELD"]) == (270, 30)
        assert points["spendable"] == points["available"] - points["owed"]
        lots = Lot.objects.filter(remaining__gt=0, **mine)
        ending = list(lots.values_list("expires_at").annotate(n=Sum("remaining")).order_by("expires_at"))
        assert [each["points"] for each in points["endings"]] == [n for _at, n in ending]
        paid = Fact.objects.filter(kind="PURCHASE", **mine).aggregate(n=Sum("amount"))["n"]
        back = Fact.objects.filter(kind="REFUND", **mine).aggregate(n=Sum("amount"))["n"]
        assert tier["value"] == (paid - back) // 100 == 1_400
        assert (tier["name"], tier["next_tier"], tier["missing"], tier["percent"]) == ("初见", "知音", 600, 70)
        assert [each["kind"] for each in tier["benefits"]] == ["PRICE"]
        orders = shown["orders"]["results"]
        assert [each["number"] for each in orders] == ["SO-x0", "SO-x1", "SO-x2"]
        assert (sum(each["amount"] for each in orders), sum(each["refunded"] for each in orders)) == (paid, back)
        last = {row.coupon_id: row.after for row in Move.objects.filter(**mine).order_by("pk")}
        assert coupons["usable"] == sum(after == "UNUSED" for after in last.values()) == 3
        assert coupons["held"] == sum(after == "HELD" for after in last.values()) == 3
        assert [each["state"] for each in coupons["first"]] == ["UNUSED"] * 3
        assert all(each["text"] for each in coupons["first"])
        consent = Consent.objects.filter(purpose="SERVICE", **mine).order_by("pk").last()
        line = next(each for each in shown["consents"]["results"] if each["purpose"] == "SERVICE")
        assert (line["granted"], line["text_version"]) == (consent.granted, consent.text_version)
        assert shown["preferences"]["personalised"] is not OptOut.objects.filter(**mine).exists()
        assert shown["privacy"]["open"] == RightsRequest.objects.filter(state="OPEN", **mine).count() == 1
    card = side.me.get("/me/").json()
    same = ("member_no", "name", "phone", "birthday", "city", "joined_at", "following", "store", "guide", "tags")
    assert {key: shown[key] for key in same} == {key: card[key] for key in same}


def test_coupons_count_as_they_stand_now_swept_or_not(a):
    fill(a, 1, "y")
    at = clock.now()
    with brand_scope(a.brand.pk):
        free, held = Coupon.objects.filter(state="UNUSED").get(), Coupon.objects.filter(state="HELD").get()
        Coupon.objects.filter(pk=held.pk).update(held_until=at - timedelta(seconds=1))  # nobody has swept it yet
    assert a.me.get("/me/centre/").json()["coupons"]["usable"] == 2
    with brand_scope(a.brand.pk):
        Coupon.objects.filter(pk=free.pk).update(valid_from=at + DAY, valid_until=at + 2 * DAY)
        Coupon.objects.filter(pk=held.pk).update(valid_until=at)
    shown = a.me.get("/me/centre/").json()["coupons"]
    assert (shown["usable"], shown["coming"], shown["held"], shown["first"]) == (0, 1, 0, [])


def test_whom_the_brand_has_blocked_can_use_no_coupon(a):
    fill(a, 1, "z")
    with brand_scope(a.brand.pk):
        services.set_flag(member_id=a.member.pk, kind="BLOCKED", since=None, reason="刷券", by="x", at=clock.now())
    shown = a.me.get("/me/centre/").json()["coupons"]
    assert (shown["usable"], shown["first"]) == (0, [])


def asked(side):
    side.me.get("/me/centre/")
    with CaptureQueriesContext(connection) as queries:
        assert side.me.get("/me/centre/").status_code == 200
    return len(queries)


def test_three_rows_cost_as_many_queries_as_one(a):
    ladder(a)
    fill(a, 1, "one")
    before = asked(a)
    fill(a, 3, "more")
    assert asked(a) == before <= 28


def test_a_visitor_has_a_centre_too_and_another_brand_sees_nothing(a, b):
    fill(b, 1, "b")
    shown = a.me.get("/me/centre/").json()
    assert (shown["points"]["endings"], shown["orders"]["results"], shown["coupons"]["usable"]) == ([], [], 0)
    assert shown["tier"]["name"] is None
    assert shown["tier"]["percent"] is None
    assert a.system.get("/me/centre/").status_code == 403
