"""Segment rules: what they select, what they refuse, how they read."""

from datetime import timedelta

import pytest
from django.utils import translation

from accounts.tenancy import brand_scope, reporting
from members.errors import RuleInvalid
from members.segments import MAX_DEPTH, MAX_LEAVES, _joined, compile_rule, describe, matching, sentence
from members.selectors import preview
from members.services import save_segment, tag_members, withdraw_consent
from tests.factories import AT, make_account, make_member, make_store, make_tag

YES = {"condition": "subscribed", "params": {"value": "yes"}}


def leaf(key, **params):
    return {"condition": key, "params": params}


@pytest.fixture
def people(in_brand):
    """Four people with planted facts, by letter."""
    account, store, tag = make_account(), make_store(), make_tag()
    found = {
        "a": make_member(account, name="a", last_interaction_at=AT - timedelta(days=1), store=store),
        "b": make_member(account, name="b", last_interaction_at=AT - timedelta(days=40)),
        "c": make_member(account, name="c", joined_at=AT, subscribed=False),
        "d": make_member(account, name="d", last_interaction_at=AT - timedelta(days=29), store=store),
    }
    tag_members(member_ids=[found["a"].pk, found["b"].pk], tag_ids=[tag.pk], source="test", at=AT)
    return {"store": store, "tag": tag, **found}


def names(rule):
    return sorted(matching(rule, at=AT).values_list("name", flat=True))


def test_each_condition_selects_the_planted_people(people):
    tag, store = people["tag"].pk, people["store"].pk

    assert names({"all": [YES]}) == ["a", "b", "d"]
    assert names({"all": [leaf("tag", how="any", tags=[tag])]}) == ["a", "b"]
    assert names({"all": [leaf("store", stores=[store])]}) == ["a", "d"]
    assert names({"all": [leaf("last_interaction", how="within", days=30)]}) == ["a", "d"]
    assert names({"all": [leaf("last_interaction", how="before", days=30)]}) == ["b", "c"]
    assert names({"all": [leaf("joined", value="yes")]}) == ["c"]


def test_groups_nest_all_any_and_none(people):
    tag, store = people["tag"].pk, people["store"].pk
    has_tag, in_store = leaf("tag", how="any", tags=[tag]), leaf("store", stores=[store])

    assert names({"all": [YES, {"any": [has_tag, in_store]}]}) == ["a", "b", "d"]
    assert names({"all": [YES, {"none": [has_tag]}]}) == ["d"]
    assert names({"none": [has_tag, in_store]}) == ["c"]
    assert names({"all": [{"any": [{"all": [has_tag, in_store]}, leaf("joined", value="yes")]}]}) == ["a", "c"]
    assert names({"all": []}) == ["a", "b", "c", "d"]


def test_array_index_and_plain_role_agree(people, brand):
    rule = {"all": [leaf("tag", how="all", tags=[people["tag"].pk])]}
    as_application = names(rule)
    with reporting(brand.pk):
        assert names(rule) == as_application == ["a", "b"]


def test_preview_counts_and_samples_before_anything_is_saved(people):
    shown = preview({"all": [YES]}, at=AT)

    assert shown.count == 3
    assert {person.name for person in shown.sample} == {"a", "b", "d"}
    assert shown.reachable <= shown.count


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ([], "rule"),
        ({}, "rule"),
        ({"all": [], "any": []}, "rule"),
        ({"all": {}}, "all"),
        ({"some": []}, "rule"),
        ({"all": [{"condition": "nope"}]}, "all[0].condition"),
        ({"all": [{"condition": ["subscribed"]}]}, "all[0].condition"),
        ({"all": [YES, {"any": []}]}, "all[1]"),
        ({"all": [leaf("subscribed", value="maybe")]}, "all[0].params.value"),
        ({"all": [leaf("subscribed", other=1)]}, "all[0].params.other"),
        ({"all": [{"condition": "subscribed", "params": [1]}]}, "all[0].params"),
        ({"all": [{**YES, "extra": 1}]}, "all[0]"),
        ({"any": [leaf("last_interaction", how="within", days=0)]}, "any[0].params.days"),
        ({"any": [leaf("last_interaction", how="within", days=True)]}, "any[0].params.days"),
        ({"any": [leaf("last_interaction", how="within", days="30")]}, "any[0].params.days"),
        ({"none": [leaf("tag", how="any", tags=[])]}, "none[0].params.tags"),
        ({"none": [leaf("tag", how="any", tags=["1"])]}, "none[0].params.tags"),
        ({"none": [leaf("tag", how="any", tags=[10**9])]}, "none[0].params"),
        ({"none": [leaf("store", stores=[10**9])]}, "none[0].params"),
    ],
)
def test_faulty_rule_names_the_place(in_brand, rule, path):
    with pytest.raises(RuleInvalid) as caught:
        compile_rule(rule, at=AT)

    assert caught.value.path == path


def test_depth_and_size_have_limits(in_brand):
    deep = YES
    for _ in range(MAX_DEPTH):
        deep = {"all": [deep]}
    compile_rule({"all": [YES] * MAX_LEAVES}, at=AT)
    for rule in (deep, {"all": [YES] * (MAX_LEAVES + 1)}):
        with pytest.raises(RuleInvalid):
            compile_rule(rule, at=AT)


def test_another_brands_tag_is_unknown(brand, other_brand):
    with brand_scope(other_brand.pk):
        foreign = make_tag()
    with brand_scope(brand.pk):
        with pytest.raises(RuleInvalid) as caught:
            compile_rule({"all": [leaf("tag", how="any", tags=[foreign.pk])]}, at=AT)
        with pytest.raises(RuleInvalid) as missing:
            compile_rule({"all": [leaf("tag", how="any", tags=[10**9])]}, at=AT)

        assert caught.value.message == missing.value.message


def test_rule_of_another_brand_selects_nobody_here(people, other_brand, brand):
    assert matching({"all": []}, at=AT).count() == 4


def test_sentence_says_the_rule(people):
    rule = {"all": [YES, {"none": [leaf("last_interaction", how="within", days=30)]}]}
    with translation.override("en"):
        assert sentence(rule) == "is following and not (interacted within the last 30 days)"
        assert sentence({"all": []}) == "everybody"


def test_chinese_leaves_a_blank_before_figures_where_parts_are_joined():
    assert _joined("，且", ["已关注", "90 天内买过", "有标签「A」"]) == "已关注，且 90 天内买过，且有标签「A」"
    assert _joined(" and ", ["follows", "bought within 90 days"]) == "follows and bought within 90 days"


def test_saving_a_faulty_rule_is_refused(in_brand):
    with pytest.raises(RuleInvalid):
        save_segment(name="x", rule={"all": [{"condition": "nope"}]}, at=AT)


def test_description_covers_every_condition_and_field(in_brand):
    described = {item["key"]: {each["name"] for each in item["fields"]} for item in describe()}

    assert described["last_interaction"] == {"how", "days"}
    assert {"subscribed", "joined", "tag", "store"} <= set(described)


def test_withdrawing_twice_leaves_one_opt_out(people):
    from members.models import Consent, OptOut

    for _ in range(2):
        withdraw_consent(member=people["a"], purpose="MARKETING", source="test", at=AT)

    assert (OptOut.objects.count(), Consent.objects.count()) == (1, 2)
