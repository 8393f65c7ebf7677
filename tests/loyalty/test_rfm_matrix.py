"""The RFM matrix: each cell counts the people its rule finds, refunds and flags included."""

import json
from datetime import timedelta
from random import Random
from urllib.parse import parse_qs, urlparse

import pytest
from django.test import Client

from accounts.tenancy import brand_scope
from common import clock
from loyalty.errors import BandsInvalid
from loyalty.rfm_matrix import BANDS, Bands, fifths, matrix, read_bands, rule_of
from members import services
from members.segments import matching
from tests.factories import AT, make_account, make_member, make_staff
from tests.loyalty.test_facts import fact

DAY = timedelta(days=1)
CUTS = Bands(100, (5, 10, 20, 40), (2, 3, 4, 5), (10, 20, 50, 90))
FLAG = {"kind": "TEST", "reason": "试机", "by": "林澄"}


def buyers(number, at=AT):
    """People with random purchases around the cuts, some of them returned in part or whole, and some flagged."""
    chance, account = Random(number), make_account()
    people = []
    for _ in range(14):
        member = make_member(account)
        people.append(member)
        for each in range(chance.randint(0, 6)):
            days, yuan = chance.choice([0, 4, 5, 6, 10, 19, 39, 41, 99, 100, 101]), chance.choice([1, 9, 10, 30])
            order = f"{member.pk}-{each}"
            fact(member, number=order, amount=yuan * 100, at=at, happened_at=at - days * DAY)
            if chance.random() < 0.25:
                back = {"kind": "REFUND", "refers": order, "amount": chance.choice([yuan * 100, 50])}
                fact(member, number=f"r{order}", at=at, happened_at=at - chance.randint(0, days) * DAY, **back)
    services.set_flag(member_id=people[0].pk, since=None, at=at, **FLAG)
    services.merge_members(kept=people[1], merged=people[2], evidence="t", at=at)
    return people


def test_every_cell_counts_whom_its_rule_finds(in_brand):
    buyers(3)
    filled = 0
    for everybody, money in ((False, None), (True, 2)):
        found = matrix(CUTS, at=AT, money=money, everybody=everybody)
        for r in range(1, BANDS + 1):
            for f in range(1, BANDS + 1):
                rule = rule_of(CUTS, recency=r, frequency=f, money=money, everybody=everybody)
                people = found[r, f].people if (r, f) in found else 0
                assert people == matching(rule, at=AT).count(), (r, f, money, everybody)
                filled += people > 0
        whole = rule_of(CUTS, recency=None, frequency=None, money=money, everybody=everybody)
        assert sum(cell.people for cell in found.values()) == matching(whole, at=AT).count()
    assert filled > 5


def test_fifths_part_buyers_evenly_and_cuts_always_rise(in_brand):
    assert fifths(CUTS, at=AT) == CUTS  # nobody bought anything: they stay as they are
    account = make_account()
    for number in range(10):
        member = make_member(account)
        for each in range(number + 1):
            fact(member, number=f"{number}-{each}", amount=1000, at=AT, happened_at=AT - (number + 1) * 3 * DAY)
    found = fifths(CUTS, at=AT)

    assert (found.recency, found.frequency, found.money) == ((6, 12, 18, 24), (2, 4, 6, 8), (20, 40, 60, 80))
    people = matrix(found, at=AT)
    assert sum(cell.people for (r, _f), cell in people.items() if r == 5) == 1  # on the day of a cut one is outside it
    assert read_bands(window="100", recency="6, 12，18、24", frequency="2,4,6,8", money="20,40,60,80") == found


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("window", {"window": "0"}),
        ("window", {"window": "1e3"}),
        ("recency", {"recency": "1,2,3"}),
        ("recency", {"recency": "4,3,2,1"}),
        ("recency", {"recency": "1,2,3,365"}),
        ("frequency", {"frequency": "1,2,3,4"}),
        ("frequency", {"frequency": "2,3,4,x"}),
        ("money", {"money": "1,2,3,99999999999"}),
        ("money", {"money": ""}),
    ],
)
def test_cuts_that_cannot_be_used_name_their_field(field, given):
    fine = {"window": "365", "recency": "30,60,90,180", "frequency": "2,3,5,8", "money": "1,2,3,4"}
    with pytest.raises(BandsInvalid) as refused:
        read_bands(**fine | given)
    assert refused.value.field == field


def test_page_counts_this_brand_and_a_cell_opens_its_people(brand, other_brand):
    at = clock.now()
    for each, buys in ((other_brand, 3), (brand, 1)):
        with brand_scope(each.pk):
            account = make_account()
            people = [make_member(account, name=f"{each.slug}{number}") for number in range(buys + 1)]
            for member in people:
                fact(member, number=f"{member.pk}", amount=10_000, at=at, happened_at=at - DAY)
            services.set_flag(member_id=people[0].pk, since=None, at=at, **FLAG)
            marketer, analyst = make_staff(f"{each.slug}-m", "MARKETER"), make_staff(f"{each.slug}-a", "ANALYST")
    client, eyes = Client(), Client()
    client.force_login(marketer, backend="django.contrib.auth.backends.ModelBackend")
    eyes.force_login(analyst, backend="django.contrib.auth.backends.ModelBackend")
    page = f"/b/{brand.slug}/segments/rfm/"

    table = client.get(page).context["table"]
    corner = table["rows"][0]["cells"][-1]
    assert (table["sum"]["people"], corner["people"], corner["average"]) == (1, 1, "¥100.00")
    assert client.get(page, {"everybody": "1"}).context["table"]["sum"]["people"] == 2
    assert "segments/new" not in eyes.get(page).content.decode()
    query = parse_qs(urlparse(corner["link"]).query)
    builder = client.get(corner["link"]).content.decode()
    assert (query["name"], "RFM R5 F1" in builder, "r.3" in builder) == (["RFM R5 F1"], True, True)
    counted = client.post(f"/b/{brand.slug}/segments/preview/", {"rule": query["rule"][0]}).content.decode()
    assert (f"{brand.slug}1" in counted, f"{brand.slug}0" in counted, other_brand.slug in counted) == (
        True,
        False,
        False,
    )
    for rule in ("{", "[" * 5000, json.dumps({"all": [{"condition": "gone"}]}), "x" * 9000):
        assert client.get(f"/b/{brand.slug}/segments/new/", {"rule": rule}).status_code == 200
    assert client.get(page, {"recency": "1", "window": "x"}).status_code == 422
    assert "M3" in client.get(page, {"money_band": "3", "shade": "money", "fifths": "1"}).content.decode()
