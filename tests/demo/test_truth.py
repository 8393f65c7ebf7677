"""Reports over a planted crowd say what is true of it: the truth is counted without the database."""

from __future__ import annotations

from accounts.tenancy import brand_scope
from common.clock import now
from demo.crowd import plant
from demo.truth import SAMPLE, SIZES, TAGS, Person, truth
from loyalty.invariants import breaches
from loyalty.models import Fact
from loyalty.places import added_up
from loyalty.selectors.points import liability_at
from members.models import Member, Tag
from members.selectors import preview
from tests.factories import make_account, make_store

PEOPLE = 700


def count(rule):
    return preview(rule, at=now()).count


def test_reports_say_what_is_true_of_the_crowd(brand):
    with brand_scope(brand.pk):
        make_store("S1", "一店")
        make_store("S2", "二店")
        account = make_account()
    for upto in (300, PEOPLE, PEOPLE):  # stopped and begun again, and once more
        plant(brand_id=brand.pk, account_id=account.pk, appid=account.appid, people=upto)
    told = truth(PEOPLE)
    with brand_scope(brand.pk):
        assert Member.objects.count() == told["people"]
        assert Member.objects.exclude(joined_at=None).count() == told["members"]
        assert count({"all": [{"condition": "subscribed", "params": {"value": "yes"}}]}) == told["following"]
        for name in TAGS:
            rule = {"condition": "tag", "params": {"how": "any", "tags": [Tag.objects.get(name=name).pk]}}
            assert count({"all": [rule]}) == told["tags"][name]
        liability = liability_at(now())
        assert liability.outstanding == told["points_outstanding"]
        months = {str(month): 0 for month in range(1, 13)}
        for mmdd in Member.objects.exclude(birth_mmdd=None).values_list("birth_mmdd", flat=True):
            months[str(mmdd // 100)] += 1
        assert months == told["birthdays_by_month"]
        bought = list(Fact.objects.filter(system="crowd").values_list("member_id", "amount"))
        assert len(bought) == told["purchases"]
        assert sum(fen for _member, fen in bought) == told["purchased_fen"]
        assert len({member for member, _fen in bought}) == told["buyers"]
        places = {row[1]: row[3] for row in added_up(at=now(), days=365) if row[0] == "province"}
        assert places == told["buyers_by_province"]
        person = Member.objects.exclude(phone_index=None).order_by("member_no").first()
        assert person.phone.reveal().endswith(person.phone_tail)
        assert breaches() == []


def test_the_truth_is_the_same_every_time_and_has_the_planted_pareto():
    first, again = truth(SAMPLE), truth(SAMPLE)
    assert first == again
    assert first["people"] == SAMPLE
    assert sum(first["tags"].values()) == SAMPLE
    assert 30 < first["best_fifth_percent"] < 90
    assert Person(160).purchases[0][0] > 1_000_000
    assert (SIZES["M"], SIZES["L"]) == (60_000, 1_000_000)
