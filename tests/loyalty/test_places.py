"""Where people buy: sent there or in a store there; what an address says is all that is kept of it."""

from datetime import timedelta
from urllib.parse import parse_qs, urlparse

import pytest
from django.test import Client
from django.utils import translation

from accounts.tenancy import brand_scope
from common import clock
from common.divisions import locate
from loyalty.errors import FactRefused
from loyalty.models import Fact
from loyalty.places import added_up, bought_where
from members.errors import RuleInvalid
from members.models import Member, MemberTag
from members.segments import compile_rule, matching
from members.services import apply_due_facts, run_rules, save_tag_rule, set_flag
from stores.models import Store
from tests.factories import AT, make_account, make_member, make_staff, make_store, make_tag
from tests.loyalty.test_facts import fact
from tests.members.kept import fact as why
from tests.members.kept import follows, named, names, only, said

DAY = timedelta(days=1)
WEST_LAKE = "浙江省杭州市西湖区文三路 1 号"


def shipped(member, address, number, fen=10_000, at=AT, **more):
    return fact(member, number=number, amount=fen, at=at, ship_to=locate(address), **more).fact


@pytest.fixture
def shoppers(people):
    """Ann has parcels sent to Hangzhou and comes to the store in Shanghai; Ben buys in the store alone; Cat nowhere."""
    people.cat = make_member(people.account)
    people.store = make_store()
    ann, ben, cat, shop = people.ann, people.ben, people.cat, {"store_id": people.store.pk}
    named(a=ann, b=ben, c=cat)
    shipped(ann, WEST_LAKE, "1", 20_000)
    shipped(ann, "杭州", "2", 30_000, happened_at=AT - 40 * DAY)
    fact(ann, number="3", amount=90_000, **shop)
    fact(ben, number="4", amount=10_000, **shop)
    fact(cat, number="5", amount=10_000)
    return people


def bought_in(*places, how="some", days=365):
    return only("bought_in", how=how, places=list(places), days=days)


def test_of_an_address_only_codes_are_kept(shoppers):
    kept = Fact.objects.filter(number="1").values().get()
    assert kept["body"] == {"place": ["330000", "330100", "330106"]}
    assert "文三路" not in repr(kept)


def test_parcels_are_where_they_were_sent_and_the_rest_where_the_store_is(shoppers):
    found = bought_where(shoppers.ann.pk, at=AT)
    assert [(each.codes, each.orders, each.shipped, each.fen) for each in found.places] == [
        (("330000", "330100"), 2, 2, 50_000),
        (("310000", "310100"), 1, 0, 90_000),
    ]
    assert found.city is found.places[0]
    assert bought_where(shoppers.cat.pk, at=AT).unplaced == 1
    # A parcel sent from a store is where it was sent to; the part that came back is taken off.
    shipped(shoppers.ben, WEST_LAKE, "6", 5_000, store_id=shoppers.store.pk)
    fact(None, "REFUND", "7", amount=1_000, refers="6", at=AT)
    assert [(each.codes[1], each.fen) for each in bought_where(shoppers.ben.pk, at=AT).places] == [
        ("310100", 10_000),
        ("330100", 4_000),
    ]
    # Correcting a store corrects what was bought there.
    Store.objects.filter(pk=shoppers.store.pk).update(city="苏州", address="观前街 1 号")
    assert names(bought_in("苏州"), AT) == "ab"
    assert names(bought_in("上海"), AT) == ""


@pytest.mark.parametrize("address", ["朝阳区建国路", "1 Main St, New York", "到店自提"])
def test_an_address_that_says_no_place_keeps_no_sale_away_and_no_store_stands_for_it(shoppers, address):
    kept = shipped(shoppers.cat, address, "8", store_id=shoppers.store.pk)
    assert kept.body == {"unplaced": str(locate(address).why)}
    assert bought_where(shoppers.cat.pk, at=AT).unplaced == 2
    assert names(bought_in("上海"), AT) == "ab"
    empty = shipped(shoppers.cat, "  ", "9", store_id=shoppers.store.pk)  # nothing was said: the store says it
    assert empty.body == {}
    assert names(bought_in("上海"), AT) == "abc"


def test_only_a_purchase_is_sent_somewhere(shoppers):
    for kind, more in (("REFUND", {"refers": "1", "amount": 1}), ("VISIT", {})):
        with pytest.raises(FactRefused) as refused:
            fact(shoppers.ann, kind, "10", ship_to=locate(WEST_LAKE), **more)
        assert refused.value.field == "ship_to"
    # The same number again is the same purchase, wherever it is said to go: what was said first counts.
    assert shipped(shoppers.ann, "上海市", "1", 20_000).body["place"][0] == "330000"


def test_segment_of_who_bought_there_and_of_who_buys_most_there(shoppers):
    assert (names(bought_in("浙江"), AT), names(bought_in("杭州西湖区", "宁波"), AT)) == ("a", "a")
    assert (names(bought_in("330106"), AT), names(bought_in("上海市静安区"), AT)) == ("a", "")
    assert (names(bought_in("上海"), AT), names(bought_in("上海", how="most"), AT)) == ("ab", "b")
    assert (names(bought_in("浙江省", how="most"), AT), names(bought_in("杭州", days=30), AT)) == ("a", "a")
    assert names(bought_in("浙江", how="most", days=30), AT) == ""  # one each: Shanghai's was dearer
    assert said(bought_in("杭州", "310000")) == "bought in “浙江省 杭州市” or “上海市” within 365 days"
    assert said(bought_in("杭州", how="most")) == "buys most in “浙江省 杭州市”, by the last 365 days"
    assert why(bought_in("杭州", how="most"), shoppers.ann, AT) == (True, "浙江省 杭州市, 2 purchases")
    assert why(bought_in("杭州"), shoppers.ben, AT) == (False, "never in these days")
    assert why(bought_in("杭州", how="most"), shoppers.cat, AT) == (False, "no purchase in these days has a place")
    fact(None, "REFUND", "11", amount=20_000, refers="1", at=AT)
    fact(None, "REFUND", "12", amount=30_000, refers="2", at=AT)
    assert (names(bought_in("杭州"), AT), names(bought_in("上海", how="most"), AT)) == ("", "ab")


@pytest.mark.parametrize(
    ("how", "place", "says"),
    [
        ("some", "鼓楼区", "may be in several cities"),
        ("some", "亚特兰蒂斯", "no province, city or district"),
        ("some", "日本", "no province, city or district"),
        ("most", "杭州西湖区", "is a district"),
    ],
)
def test_segment_names_places_that_are_there(in_brand, how, place, says):
    with translation.override("en"), pytest.raises(RuleInvalid) as refused:
        compile_rule(bought_in("上海", place, how=how), at=AT)
    assert says in str(refused.value)


def test_kept_segments_follow_and_the_past_is_known(shoppers):
    Member.objects.update(created_at=AT - 400 * DAY)
    assert why(bought_in("杭州"), shoppers.ann, AT, then=AT - 10 * DAY)[0] is True
    assert why(bought_in("上海"), shoppers.ann, AT, then=AT - 10 * DAY)[0] is False
    moved = follows(
        [bought_in("杭州", days=40), bought_in("上海", how="most", days=40)],
        lambda now: shipped(shoppers.cat, WEST_LAKE, "21", at=now),
        lambda now: fact(None, "REFUND", "22", amount=10_000, refers="21", at=now),
        lambda now: shipped(shoppers.ann, WEST_LAKE, "23", at=now),
        lambda _now: None,
        at=AT,
    )
    assert [bool(each) for each in moved] == [True, True]


def test_automatic_tag_by_address_is_given_with_the_purchase(shoppers):
    save_tag_rule(name="江浙沪", tag_id=make_tag("江浙沪").pk, rule=bought_in("浙江"), at=AT)
    while run_rules(shoppers.account.brand_id, at=AT):
        pass
    carries = MemberTag.objects.order_by("member__name").values_list("member__name", flat=True)
    assert list(carries) == ["a"]
    shipped(shoppers.ben, "宁波市鄞州区", "31")
    apply_due_facts(shoppers.account.brand_id, at=AT)
    assert list(carries.all()) == ["a", "b"]


def test_report_adds_up_what_segments_find(shoppers):
    shipped(shoppers.cat, "浙江省", "41", 900)
    fact(None, "REFUND", "43", amount=200, refers="41", at=AT)
    shipped(shoppers.ben, "New York, USA", "42", 800)
    set_flag(member_id=shoppers.ben.pk, kind="TEST", reason="试机", by="林澄", since=None, at=AT)
    rows = {(kind, one, other): numbers for kind, one, other, *numbers in added_up(at=AT, days=365, everybody=True)}
    assert rows["province", "330000", None] == [2, 3, 50_700, 3]
    assert (rows["city", "330000", "330100"], rows["city", "330000", None]) == ([1, 2, 50_000, 2], [1, 1, 700, 1])
    assert rows["province", "310000", None] == [2, 2, 100_000, 0]
    assert (rows["nowhere", "NOTHING", None], rows["nowhere", "ABROAD", None]) == ([1, 1, 10_000, 0], [1, 1, 800, 0])
    assert rows["all", None, None] == [3, 7, 161_500, 3]
    for (kind, one, other), numbers in rows.items():
        if kind in ("province", "city") and (other or kind == "province"):
            assert numbers[0] == matching(bought_in(other or one), at=AT).count(), (kind, one)
    without = {(kind, one, other): numbers for kind, one, other, *numbers in added_up(at=AT, days=365)}
    assert without["province", "310000", None] == [1, 1, 90_000, 0]


def test_page_shows_this_brand_and_a_figure_opens_its_people(brand, other_brand):
    at = clock.now()
    for each in (other_brand, brand):
        with brand_scope(each.pk):
            account, store = make_account(), make_store()
            Store.objects.create(code="X1", name=f"{each.slug}不明店", city="亚特兰蒂斯")
            people = [make_member(account, name=f"{each.slug}{number}") for number in range(2)]
            shipped(people[0], WEST_LAKE, f"{each.slug}1", at=at)
            fact(people[1], number=f"{each.slug}2", amount=700, at=at, store_id=store.pk)
            marketer, analyst = make_staff(f"{each.slug}-m", "MARKETER"), make_staff(f"{each.slug}-a", "ANALYST")
    client, eyes = Client(), Client()
    client.force_login(marketer, backend="django.contrib.auth.backends.ModelBackend")
    eyes.force_login(analyst, backend="django.contrib.auth.backends.ModelBackend")
    page = f"/b/{brand.slug}/segments/places/"

    shown = client.get(page)
    text = shown.content.decode()
    assert (shown.context["sum"]["people"], text.count('class="is-there"'), len(shown.context["tiles"])) == (2, 2, 34)
    assert (f"{brand.slug}不明店" in text, f"{other_brand.slug}不明店" in text) == (True, False)
    assert "segments/new" not in eyes.get(page).content.decode()
    cities = client.get(page, {"province": "330000", "shade": "amount", "days": "30"})
    row = cities.context["rows"][0]
    assert (len(cities.context["rows"]), row["name"], row["people"], row["amount"]) == (1, "杭州", 1, "¥100.00")
    query = parse_qs(urlparse(row["link"]).query)
    counted = client.post(f"/b/{brand.slug}/segments/preview/", {"rule": query["rule"][0]}).content.decode()
    assert (f"{brand.slug}0" in counted, f"{brand.slug}1" in counted, other_brand.slug in counted) == (
        True,
        False,
        False,
    )
    for wrong in ("0", "-1", "x", "99999", "1e3"):
        assert client.get(page, {"days": wrong}).status_code == 422
    assert client.get(page, {"province": "zz", "shade": "zz"}).status_code == 200
    card = client.get(f"/b/{brand.slug}/members/member/{people[0].pk}/change/").content.decode()
    assert "浙江省 杭州市" in card
