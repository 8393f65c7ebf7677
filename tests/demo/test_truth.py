"""Reports over a planted crowd say what is true of it: the truth is counted without the database."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from accounts.viewer import Viewer
from common.clock import now
from coupons.invariants import breaches as coupon_breaches
from demo import checks as demo_checks
from demo import crowd
from demo.brands import LANYU
from demo.checks import checks, compare
from demo.crowd import plant
from demo.identities import plant_more
from demo.load import keep_truth, truth_of
from demo.more_stores import LEAVERS, MEDIA, code_names, open_stores, store_names
from demo.notebook import Notebook, kept, notes
from demo.points import RULES, TIERS
from demo.truth import DINING, RICH, SAMPLE, SIZES, TAGS, Person, tier_of, together, truth
from guides.models import Guide
from inbox.selectors import search
from loyalty import services
from loyalty.invariants import breaches
from loyalty.models import EarnRule, Fact, PointsPolicy, Standing, Tier
from loyalty.selectors.points import liability_at
from loyalty.selectors.tiers import value_between
from members.models import Doubt, Identity, Member
from stores.models import Store
from tests.factories import make_account, make_store
from touchpoints.services import create_touchpoint

PEOPLE = 1_200
STORES, CODES = ("一店", "二店"), ("抖音", "门口", "达人")
LADDER = [(name, threshold) for name, threshold, _benefits in TIERS]


@pytest.fixture
def account(brand):
    """A brand with stores, a guide, codes, tiers and a rule: what a crowd is planted on."""
    with brand_scope(brand.pk):
        for number, name in enumerate(STORES):
            make_store(f"S{number}", name)
        account = make_account()
        Guide.objects.create(
            staff_no="G1", name="王敏", store=Store.objects.get(name=STORES[0]), created_at=now() - timedelta(days=200)
        )
        for name in CODES:
            create_touchpoint(name=name, account=account, at=now())
        for name, threshold in LADDER:
            Tier.objects.create(name=name, threshold=threshold)
        services.set_policy(settings=PointsPolicy(), at=now())
        name, kind, params = RULES[0]
        services.save_rule(rule=EarnRule(name=name, kind=kind, draft=dict(params)), at=now())
    return account


def test_reports_say_what_is_true_of_the_crowd(brand, account):
    for upto in (500, PEOPLE, PEOPLE):  # stopped and begun again, and once more
        plant(
            brand_id=brand.pk, account_id=account.pk, appid=account.appid, people=upto, stores=STORES, codes=CODES,
        )  # fmt: skip
    told = truth(PEOPLE, stores=STORES, guided=STORES[:1], codes=CODES, ladder=LADDER)
    with brand_scope(brand.pk):
        compared = list(compare(told, at=now()))
        assert [each for each in compared if not each.is_right] == []
        assert {each.key.split(":")[0] for each in compared} == set(checks) - {"to_decide"}
        assert {*told["members_by_tier"]} == {name for name, _yuan in LADDER}
        assert min(*told["came_by_code"].values(), *told["coupons"].values(), told["answered"]) > 5

        assert Member.objects.count() == told["people"]
        assert liability_at(now()).outstanding == told["points_outstanding"]
        months = {str(month): 0 for month in range(1, 13)}
        for mmdd in Member.objects.exclude(birth_mmdd=None).values_list("birth_mmdd", flat=True):
            months[str(mmdd // 100)] += 1
        assert months == told["birthdays_by_month"]
        facts = Fact.objects.filter(number__contains="CR")
        assert facts.filter(kind="PURCHASE").count() == told["purchases"]
        assert facts.filter(kind="REFUND").count() == told["refunds"] > 5
        person = Member.objects.exclude(phone_index=None).order_by("member_no").first()
        assert person.phone.reveal().endswith(person.phone_tail)
        assert (breaches(), coupon_breaches()) == ([], [])


@pytest.mark.parametrize("shape", [RICH, DINING], ids=["rich", "dining"])
def test_reports_say_what_is_true_of_crowds_of_other_shapes(brand, account, shape):
    plant(
        brand_id=brand.pk, account_id=account.pk, appid=account.appid, people=600, stores=STORES, codes=CODES,
        shape=shape,
    )  # fmt: skip
    told = truth(600, stores=STORES, guided=STORES[:1], codes=CODES, ladder=LADDER, shape=shape)
    with brand_scope(brand.pk):
        compared = list(compare(told, at=now()))
        assert [each for each in compared if not each.is_right] == []
        assert {"came_by_code", "coupons", "buyers", "pending_ids"} <= {each.key.split(":")[0] for each in compared}
        assert Fact.objects.filter(system="mini", kind="PURCHASE").count() == told["purchases_by_mini_program"]
        assert Fact.objects.filter(kind="PURCHASE").count() == told["purchases"]
        assert Fact.objects.filter(kind="REFUND").count() == told["refunds"]
        assert Identity.objects.filter(kind="UNIONID").count() == told["following"] - told["without_unionid"]
        assert liability_at(now()).outstanding == told["points_outstanding"]
        assert (breaches(), coupon_breaches()) == ([], [])


def test_a_truth_that_is_cut_off_leaves_the_one_before(settings, tmp_path, monkeypatch):
    settings.STATE_DIR = tmp_path
    keep_truth("M", "lanyu", {"members": 7})
    write = Path.write_text

    def half(path, text):
        write(path, text[: len(text) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(KeyboardInterrupt):
        keep_truth("M", "zaoshan", {"members": 8})
    assert truth_of("M") == {"lanyu": {"members": 7}}


def test_a_load_that_was_stopped_is_gone_on_with_and_says_so(brand, account, monkeypatch):
    given = {"brand_id": brand.pk, "account_id": account.pk, "appid": account.appid, "stores": STORES, "codes": CODES}
    monkeypatch.setattr(crowd, "AT_ONCE", 100)

    def fails(some, _ground, _cursor):
        if some[0].number == 200:
            raise KeyboardInterrupt

    whole = crowd.LAYERS
    monkeypatch.setattr(crowd, "LAYERS", (*whole, fails))
    with pytest.raises(KeyboardInterrupt):
        plant(people=400, **given)
    monkeypatch.setattr(crowd, "LAYERS", whole)
    said = []
    plant(people=400, say=said.append, **given)
    assert said == ["an earlier load ended early: going on after 200 of 400"]
    with brand_scope(brand.pk):
        told = truth(400, stores=STORES, guided=STORES[:1], codes=CODES, ladder=LADDER)
        assert [each for each in compare(told, at=now()) if not each.is_right] == []
        assert breaches() == []


def test_a_figure_that_is_not_true_is_named(brand, account):
    plant(brand_id=brand.pk, account_id=account.pk, appid=account.appid, people=200, stores=STORES, codes=CODES)
    told = truth(200, stores=STORES, guided=STORES[:1], codes=CODES, ladder=LADDER)
    for key in checks:
        if key not in told:
            continue
        lie = dict(told[key]) if isinstance(told[key], dict) else {"": told[key]}
        lie |= {name: lie[name] + 1 for name in [*lie][:1]}
        with brand_scope(brand.pk):
            found = list(compare(told | {key: lie if isinstance(told[key], dict) else lie[""]}, at=now()))
        assert [each.key.split(":")[0] for each in found if not each.is_right] == ([key] if lie else []), key


def test_many_touches_are_counted_in_one_question_and_give_the_same(brand, account, monkeypatch):
    plant(brand_id=brand.pk, account_id=account.pk, appid=account.appid, people=300, stores=STORES, codes=CODES)
    true = {"came_by_code": truth(300, stores=STORES, codes=CODES)["came_by_code"]}
    with brand_scope(brand.pk):
        one_by_one = list(compare(true, at=now()))
        monkeypatch.setattr(demo_checks, "FEW", 10)
        with CaptureQueriesContext(connection) as asked:
            assert list(compare(true, at=now())) == one_by_one
    assert all(each.is_right for each in one_by_one)
    assert len(asked) < 12


def test_size_m_has_the_volumes_that_it_is_for():
    fashion = truth(SIZES["M"]["lanyu"], shape=RICH)
    given = sum(number for key, number in fashion["coupons"].items() if key.endswith("given"))
    assert 105_000 < fashion["purchases"] < 115_000
    assert 0.28 < fashion["purchases_by_mini_program"] / fashion["purchases"] < 0.32
    assert 0.06 < fashion["refunds"] / fashion["purchases"] < 0.08
    assert 85_000 < given < 95_000
    assert (fashion["members"], fashion["without_unionid"], fashion["pending_ids"]) == (37_800, 400, 300)
    dining = truth(SIZES["M"]["zaoshan"], shape=DINING)
    assert 51_500 < dining["members"] < 52_500
    assert 0.60 < sum(dining["birthdays_by_month"].values()) / dining["people"] < 0.62
    assert dining["purchases"] > 200_000


def test_nobody_of_the_crowd_contradicts_themselves(brand, account):
    plant(brand_id=brand.pk, account_id=account.pk, appid=account.appid, people=PEOPLE, stores=STORES, codes=CODES)
    with brand_scope(brand.pk):
        early = Fact.objects.filter(kind="PURCHASE", happened_at__lt=F("member__joined_at"))
        assert early.count() == 0
        for standing in Standing.objects.select_related("tier").order_by("-tier__threshold")[:20]:
            value = value_between(standing.member_id, now() - timedelta(days=365), now())
            assert tier_of(value * 100, LADDER) == standing.tier.name
        assert len(search(Viewer(None, "test", brand.pk, "OWNER"), "风衣", limit=5)) > 0


def test_the_truth_is_the_same_every_time_and_has_the_planted_pareto():
    first, again = truth(SAMPLE), truth(SAMPLE)
    assert first == again
    assert first["people"] == SAMPLE
    assert sum(first["tags"].values()) == SAMPLE
    assert 30 < first["best_fifth_percent"] < 90
    assert Person(160).purchases[0][0] > 1_000_000
    assert (SIZES["M"]["lanyu"], SIZES["L"]["lanyu"]) == (60_000, 1_000_000)
    assert 0.05 < first["refunds"] / first["purchases"] < 0.09
    assert [*first["tags"]] == [*TAGS]
    days = Counter(person.joined_days_ago for person in map(Person, range(20_000)) if person.follows)
    assert (len(days), min(days.values()) > 70, max(days.values()) < 130) == (180, True, True)


def test_further_stores_guides_and_codes_are_those_that_the_truth_names(brand):
    with brand_scope(brand.pk):
        account = make_account()
        for number, shop in enumerate(LANYU.shops):
            make_store(f"F{number}", shop.name)
        create_touchpoint(name="门店", at=now())
    assert len(open_stores(brand.pk, LANYU, account, now())) == len(code_names(LANYU))
    assert open_stores(brand.pk, LANYU, account, now()) == []
    with brand_scope(brand.pk):
        assert sorted(Store.objects.values_list("name", flat=True)) == sorted(store_names(LANYU))
        assert (Store.objects.count(), Guide.objects.count() + len(LANYU.guides)) == (48, 320 + LEAVERS)
        assert len(set(code_names(LANYU))) == 2 * 48 + sum(len(codes) for _medium, codes in MEDIA["lanyu"])


def test_planted_cases_of_identity_wait_for_somebody_to_decide(brand):
    for recycled, twins in ((1, 1), (3, 2), (3, 2)):  # stopped, gone on with, and once more
        plant_more(brand.pk, recycled=recycled, twins=twins)
    with brand_scope(brand.pk):
        (told,) = compare({"to_decide": 5}, at=now())
        assert told.is_right, told
        reasons = sorted(set(row.reasons) for row in Doubt.objects.all())
    assert len(reasons) == 5


def test_a_notebook_counts_what_was_planted_and_who_rises():
    at = now()
    with kept() as book:
        book.ladder = LADDER
        notes().members |= {1, 2, 3}
        notes().bought(1, "A", 900_000, at)
        notes().brought_back(1, "A", 900_000, at + timedelta(days=1))
        notes().bought(2, "B", 100_000, at - timedelta(days=1))
        notes().bought(2, "C", 100_000, at)
    told = book.truth()
    assert told["members_by_tier"] == {"初见": 1, "常来": 1, "知音": 1}  # who rose stays until the year is over
    assert (told["buyers"], told["purchases"], told["net_fen"]) == (1, 3, 200_000)
    assert notes() is not book
    assert Notebook().truth()["members_by_tier"] == {}


def test_truths_of_two_groups_add_up():
    both = together({"members": 1, "tags": {"a": 1}, "mine": 5}, {"members": 2, "tags": {"a": 1, "b": 3}})
    assert both == {"members": 3, "tags": {"a": 2, "b": 3}}
