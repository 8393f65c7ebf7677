"""Automatic tags: what a rule would do, what it does, and that it takes back exactly what it gave."""

from datetime import timedelta
from random import Random

import pytest

from accounts.tenancy import brand_scope
from members.errors import RuleInvalid, TagRuleNameTaken
from members.models import FactDue, Member, MemberTag, TagRule
from members.selectors import tags_of
from members.services import (
    apply_due_facts,
    change_profile,
    dry_run,
    remove_tag_rule,
    run_rules,
    save_tag_group,
    save_tag_rule,
    switch_tag_rule,
    tag_members,
    untag_members,
)
from members.services import tag_rules as engine
from tests.factories import AT, make_account, make_member, make_tag

DAY = timedelta(days=1)
RECENT = {"all": [{"condition": "last_interaction", "params": {"how": "within", "days": 30}}]}
FOLLOWING = {"all": [{"condition": "subscribed", "params": {"value": "yes"}}]}
JOINED = {"all": [{"condition": "joined", "params": {"value": "yes"}}]}


def carriers(tag):
    return sorted(MemberTag.objects.filter(tag=tag).values_list("member__name", flat=True))


def finish(brand, at=AT):
    while run_rules(brand.pk, at=at):
        pass


@pytest.fixture
def people(brand):
    """Three recent people and two silent ones; one recent and one silent were tagged by hand."""
    with brand_scope(brand.pk):
        account, tag = make_account(), make_tag("活跃")
        found = {
            name: make_member(account, name=name, last_interaction_at=AT - days * DAY)
            for name, days in {"a": 1, "b": 2, "c": 3, "d": 40, "e": 50}.items()
        }
        hand = [found["c"].pk, found["d"].pk]
        tag_members(member_ids=hand, tag_ids=[tag.pk], source="staff: 王敏", at=AT)
    return {"tag": tag, **found}


def test_dry_run_says_what_saving_then_does(brand, people):
    with brand_scope(brand.pk):
        before = dry_run(rule=RECENT, tag_id=people["tag"].pk, at=AT)
        assert (before.tagged, before.untagged, before.held_back) == (2, 0, 0)
        assert carriers(people["tag"]) == ["c", "d"]
        rule = save_tag_rule(name="近期活跃", tag_id=people["tag"].pk, rule=RECENT, at=AT)
    finish(brand)
    with brand_scope(brand.pk):
        assert carriers(people["tag"]) == ["a", "b", "c", "d"]
        later = dry_run(rule=RECENT, tag_id=people["tag"].pk, at=AT + 29 * DAY, rule_id=rule.pk)
        assert (later.tagged, later.untagged) == (0, 1)  # b; c and d were tagged by hand as well
    finish(brand, at=AT + 29 * DAY)
    with brand_scope(brand.pk):
        assert carriers(people["tag"]) == ["a", "c", "d"]
        assert TagRule.objects.get(pk=rule.pk).people == 1


def test_removing_a_rule_takes_exactly_its_tags(brand, people):
    tag = people["tag"]
    with brand_scope(brand.pk):
        first = save_tag_rule(name="近期", tag_id=tag.pk, rule=RECENT, at=AT)
        save_tag_rule(name="关注", tag_id=tag.pk, rule=FOLLOWING, at=AT)
        Member.objects.filter(pk=people["b"].pk).update(subscribed=False)
    finish(brand)
    with brand_scope(brand.pk):
        assert carriers(tag) == ["a", "b", "c", "d", "e"]
        assert tags_of(people["c"].pk, at=AT)[0].rules == ("近期", "关注")
        remove_tag_rule(tag_rule=first, at=AT)
    finish(brand)
    with brand_scope(brand.pk):
        assert carriers(tag) == ["a", "c", "d", "e"]  # b had it from this rule alone
        assert not TagRule.objects.filter(pk=first.pk).exists()
        assert tags_of(people["c"].pk, at=AT)[0].source == "staff: 王敏"
        assert Member.objects.get(pk=people["b"].pk).tag_ids == []


def test_what_is_given_by_hand_is_taken_by_hand_and_what_a_rule_holds_is_not(brand, people):
    tag = people["tag"]
    with brand_scope(brand.pk):
        save_tag_rule(name="近期", tag_id=tag.pk, rule=RECENT, at=AT)
    finish(brand)
    with brand_scope(brand.pk):
        both = [people["c"].pk, people["d"].pk]
        assert untag_members(member_ids=both, tag_ids=[tag.pk], source="staff: 王敏", at=AT) == 1
        assert carriers(tag) == ["a", "b", "c"]
        assert tags_of(people["c"].pk, at=AT)[0].source == ""
        tag_members(member_ids=[people["a"].pk], tag_ids=[tag.pk], source="staff: 王敏", at=AT)
    finish(brand, at=AT + 60 * DAY)
    with brand_scope(brand.pk):
        assert carriers(tag) == ["a"]


def test_rule_that_stays_gives_and_never_takes(brand, people):
    with brand_scope(brand.pk):
        rule = save_tag_rule(name="来过", tag_id=people["tag"].pk, rule=RECENT, stays=True, at=AT)
    finish(brand)
    finish(brand, at=AT + 90 * DAY)
    with brand_scope(brand.pk):
        assert carriers(people["tag"]) == ["a", "b", "c", "d"]
        assert (
            dry_run(rule=RECENT, tag_id=people["tag"].pk, at=AT + 90 * DAY, stays=True, rule_id=rule.pk).untagged == 0
        )


def test_new_fact_is_tagged_at_once_and_only_where_there_are_rules(brand, people):
    vip = {"all": [{"condition": "city", "params": {"cities": ["杭州"]}}]}
    with brand_scope(brand.pk):
        change_profile(member_id=people["a"].pk, city="杭州")
        assert FactDue.objects.count() == 0  # nobody asks
        tag = make_tag("杭州")
        save_tag_rule(name="杭州", tag_id=tag.pk, rule=vip, at=AT)
    finish(brand)
    with brand_scope(brand.pk):
        assert carriers(tag) == ["a"]
        change_profile(member_id=people["b"].pk, city="杭州")
        change_profile(member_id=people["a"].pk, city="上海")
    while apply_due_facts(brand.pk, at=AT):
        pass
    with brand_scope(brand.pk):
        assert (carriers(tag), FactDue.objects.count()) == (["b"], 0)


def test_chunks_and_facts_lead_where_one_look_leads(brand, monkeypatch):
    """Random facts, applied one by one and in chunks of two, end as a full look at everybody does."""
    monkeypatch.setattr(engine, "CHUNK", 2)
    chance = Random(11)
    with brand_scope(brand.pk):
        account = make_account()
        people = [make_member(account, name=str(number)) for number in range(7)]
        tag, other = make_tag("甲"), make_tag("乙")
        save_tag_rule(name="杭州", tag_id=tag.pk, at=AT, rule={"any": [_city("杭州"), _city("苏州")]})
        save_tag_rule(name="都不", tag_id=other.pk, at=AT, rule={"none": [_city("杭州")]})
    finish(brand)
    for _ in range(12):
        with brand_scope(brand.pk):
            change_profile(member_id=chance.choice(people).pk, city=chance.choice(["杭州", "苏州", "上海", ""]))
        if chance.random() < 0.5:
            apply_due_facts(brand.pk, at=AT)
        else:
            run_rules(brand.pk, at=AT + engine.LOOKED_AT_EVERY)
    while apply_due_facts(brand.pk, at=AT):
        pass
    with brand_scope(brand.pk):
        cities = dict(Member.objects.filter(pk__in=[each.pk for each in people]).values_list("name", "city"))
        assert carriers(tag) == sorted(name for name, city in cities.items() if city in {"杭州", "苏州"})
        assert carriers(other) == sorted(name for name, city in cities.items() if city != "杭州")


def _city(name):
    return {"condition": "city", "params": {"cities": [name]}}


def test_rule_never_pushes_another_tag_of_an_exclusive_group_aside(brand, people):
    with brand_scope(brand.pk):
        save_tag_group(name="活跃度", is_exclusive=True, at=AT)
        hot, cold = make_tag("热", group="活跃度"), make_tag("冷", group="活跃度")
        tag_members(member_ids=[people["a"].pk], tag_ids=[cold.pk], source="staff: 王敏", at=AT)
        seen = dry_run(rule=RECENT, tag_id=hot.pk, at=AT)
        assert (seen.tagged, seen.held_back) == (2, 1)
        save_tag_rule(name="热", tag_id=hot.pk, rule=RECENT, at=AT)
        save_tag_rule(name="冷", tag_id=cold.pk, rule={"none": RECENT["all"]}, at=AT)
    finish(brand)
    with brand_scope(brand.pk):
        assert (carriers(hot), carriers(cold)) == (["b", "c"], ["a", "d", "e"])
        assert TagRule.objects.get(name="热").blocked == 1
    finish(brand, at=AT + 29 * DAY)  # b goes cold: the old band goes before the new one comes, one look later at most
    finish(brand, at=AT + 29 * DAY + engine.LOOKED_AT_EVERY)
    with brand_scope(brand.pk):
        assert (carriers(hot), carriers(cold)) == ([], ["a", "b", "c", "d", "e"])


def test_rule_at_rest_neither_gives_nor_takes(brand, people):
    with brand_scope(brand.pk):
        rule = save_tag_rule(name="近期", tag_id=people["tag"].pk, rule=RECENT, at=AT)
    finish(brand)
    with brand_scope(brand.pk):
        switch_tag_rule(tag_rule=rule, is_on=False, at=AT)
    finish(brand, at=AT + 90 * DAY)
    with brand_scope(brand.pk):
        assert carriers(people["tag"]) == ["a", "b", "c", "d"]
        switch_tag_rule(tag_rule=rule, is_on=True, at=AT + 90 * DAY)
    finish(brand, at=AT + 90 * DAY)
    with brand_scope(brand.pk):
        assert carriers(people["tag"]) == ["c", "d"]


def test_rules_do_not_depend_on_each_other(brand, people):
    asks = {"all": [{"condition": "tag", "params": {"how": "any", "tags": [people["tag"].pk]}}]}
    with brand_scope(brand.pk):
        other = make_tag("二次")
        with pytest.raises(RuleInvalid) as refused:
            save_tag_rule(name="自己", tag_id=people["tag"].pk, rule=asks, at=AT)
        assert refused.value.path == "all[0].params.tags"
        save_tag_rule(name="看标签", tag_id=other.pk, rule=asks, at=AT)
        with pytest.raises(RuleInvalid):
            save_tag_rule(name="给标签", tag_id=people["tag"].pk, rule=RECENT, at=AT)
        with pytest.raises(TagRuleNameTaken):
            save_tag_rule(name="看标签", tag_id=make_tag("三").pk, rule=JOINED, at=AT)
    finish(brand)
    with brand_scope(brand.pk):
        assert carriers(other) == ["c", "d"]


def test_rule_that_names_what_is_gone_changes_nothing_and_says_so(brand, people):
    gone = make_rule_on_a_lost_tag(brand)
    with brand_scope(brand.pk):
        tag_members(member_ids=[people["a"].pk], tag_ids=[gone.tag_id], source="t", at=AT)
    finish(brand)
    with brand_scope(brand.pk):
        row = TagRule.objects.get(pk=gone.pk)
        assert (carriers(row.tag), bool(row.problem)) == (["a"], True)


def make_rule_on_a_lost_tag(brand):
    with brand_scope(brand.pk):
        lost, tag = make_tag("会消失"), make_tag("结果")
        asks = {"none": [{"condition": "tag", "params": {"how": "any", "tags": [lost.pk]}}]}
        rule = save_tag_rule(name="依赖", tag_id=tag.pk, rule=asks, at=AT)
        lost.delete()
        return rule


def test_rules_of_another_brand_tag_nobody_here(brand, other_brand, people):
    with brand_scope(other_brand.pk):
        theirs = make_tag("活跃")
        member = make_member(make_account(), name="z", last_interaction_at=AT)
        save_tag_rule(name="近期活跃", tag_id=theirs.pk, rule=RECENT, at=AT)
    finish(brand)
    finish(other_brand)
    with brand_scope(brand.pk):
        assert carriers(people["tag"]) == ["c", "d"]
    with brand_scope(other_brand.pk):
        assert carriers(theirs) == [member.name]
