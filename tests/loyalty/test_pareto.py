"""The curve of turnover: each point's share equals the plain sum, and its segment finds exactly its people."""

from __future__ import annotations

import json
from datetime import timedelta
from math import ceil
from random import Random
from urllib.parse import parse_qs, urlparse

import pytest

from accounts.tenancy import brand_scope
from common import clock
from loyalty.models import Fact
from loyalty.pareto import curve, rule_of
from members import services
from members.segments import matching, sentence
from tests.factories import AT, make_account, make_member
from tests.loyalty.test_facts import fact
from tests.loyalty.test_rfm_matrix import FLAG, buyers

DAY = timedelta(days=1)
PAGE = "/b/lanyu/segments/pareto/"


def truth(at, days):
    """What everybody paid less what came back, by hand, the biggest first."""
    since, spent = at - days * DAY, {}
    for row in Fact.objects.select_related("refers", "member").order_by("pk"):
        first = row.refers or row
        if not (since < row.happened_at <= at and first.happened_at > since):
            continue
        if row.member.merged_into_id or row.member.erased_at:
            continue
        spent[row.member_id] = spent.get(row.member_id, 0) + (row.amount if row.refers_id is None else -row.amount)
    return {pk: fen for pk, fen in spent.items() if fen > 0}


@pytest.mark.parametrize("days", [20, 100, 3650])
def test_share_equals_the_plain_sum_and_the_segment_its_people(in_brand, days):
    people = buyers(5) + buyers(6)
    found, plain = curve(at=AT, days=days), truth(AT, days)
    for flagged in (people[0], people[14]):
        plain.pop(flagged.pk, None)
    order = sorted(plain, key=lambda pk: (-plain[pk], pk))
    assert (found.people, found.fen) == (len(order), sum(plain.values()))
    for percent in (1, 5, 10, 17, 20, 30, 50, 80, 99, 100):
        step, first = found.at(percent), order[: ceil(len(order) * percent / 100)]
        assert (step.people, step.fen) == (len(first), sum(plain[pk] for pk in first)), percent
        assert step.least == plain[first[-1]]
        assert step.share == step.fen / found.fen
        assert sorted(matching(rule_of(percent, days), at=AT).values_list("pk", flat=True)) == sorted(first), percent


def test_few_buyers_equal_amounts_and_nobody_at_all(in_brand):
    assert curve(at=AT, days=365).steps == ()
    assert matching(rule_of(100, 365), at=AT).count() == 0
    account = make_account()
    for number in range(3):
        fact(make_member(account), number=f"{number}", amount=100, at=AT, happened_at=AT)
    found = curve(at=AT, days=365)
    assert [found.at(percent).people for percent in (1, 33, 34, 66, 67, 100)] == [1, 1, 2, 2, 3, 3]
    assert matching(rule_of(34, 365), at=AT).count() == 2
    assert sentence(rule_of(20, 365)) == "最近 365 天内消费最多的 20% 买家"


def test_page_shows_this_brand_and_a_line_opens_its_people(as_owner, ours, theirs):
    at, chance = clock.now(), Random(3)
    for side, buys in ((theirs, 7), (ours, 10)):
        with brand_scope(side.brand.pk):
            account = make_account()
            for number in range(buys):
                fen = 100_000 if number < 2 else chance.randint(1_000, 2_000)
                member = make_member(account, name=f"{side.brand.slug}{number}")
                fact(member, number=f"p{number}", amount=fen, at=at, happened_at=at - DAY)
            flagged = make_member(account)
            fact(flagged, number="flagged", amount=9_000_000, at=at, happened_at=at - DAY)
            services.set_flag(member_id=flagged.pk, since=None, at=at, **FLAG)
    shown = as_owner.get(PAGE).context
    rows = {row["percent"]: row for row in shown["rows"]}
    assert (shown["people"], rows[20]["people"], rows[50]["people"]) == (10, 2, 5)
    asked = as_owner.get(PAGE, {"percent": "40", "days": "30"}).context
    assert [row["percent"] for row in asked["rows"] if row["is_asked"]] == [40]
    for wrong in ("0", "101", "x", "1.5", "-3"):
        assert as_owner.get(PAGE, {"percent": wrong}).status_code == 422
    assert as_owner.get(PAGE, {"days": "13"}).context["days"] == 365
    query = parse_qs(urlparse(rows[20]["link"]).query)
    assert as_owner.get(rows[20]["link"]).status_code == 200
    preview = as_owner.post("/b/lanyu/segments/preview/", {"rule": query["rule"][0]}).content.decode()
    assert ("lanyu0" in preview, "lanyu1" in preview, "lanyu2" in preview) == (True, True, False)
    assert json.loads(query["rule"][0]) == rule_of(20, 365)
