"""What several sources say about a person: all of it is kept, and the declared one counts, whatever comes first."""

import itertools
from datetime import timedelta

import pytest

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from members.errors import ProfileFieldInvalid, ProfileValueInvalid, RuleInvalid
from members.models import Member, ProfileField, ProfileValue
from members.segments import matching
from members.selectors import profile_of
from members.services import change_profile, recount_profiles, save_profile_field, say
from members.services.segments import save_segment
from tests.factories import AT, make_account, make_member

DAY = timedelta(days=1)


def field(key="skin", **more):
    facts = {
        "label": f"字段{key}",
        "kind": "CHOICE",
        "choices": ["干性", "油性", "混合"],
        "sources": ["member", "pos", "api"],
    }
    return save_profile_field(field=ProfileField(key=key, **(facts | more)), at=AT)


@pytest.fixture
def member(in_brand):
    return make_member(make_account(), name="")


def counts(member, key="skin", at=AT):
    fact = next(fact for fact in profile_of(member.pk, at=at) if fact.key == key)
    return (fact.counts.source, fact.counts.text) if fact.counts else None


def test_the_declared_source_counts_whatever_is_heard_first_and_all_stay_visible(member):
    field(fresh_days=30)
    news = [("api", "混合", AT + 2 * DAY), ("pos", "油性", AT + DAY), ("member", "干性", AT), ("pos", "干性", AT - DAY)]
    for number, order in enumerate(itertools.permutations(news)):
        one = make_member(make_account(), name=f"第{number}位")
        for source, value, at in order:
            say(member_id=one.pk, source=source, values={"skin": value}, at=at)
        fact = profile_of(one.pk, at=AT + 3 * DAY)[-1]
        assert [(word.source, word.text) for word in fact.words] == [
            ("member", "干性"),
            ("api", "混合"),
            ("pos", "油性"),
        ]
        assert fact.in_conflict
        assert ProfileValue.objects.get(member=one, counts=True).source == "member"
        if number == 5:
            break


def test_a_stale_word_gives_way_to_a_fresh_one_of_a_lower_source(member):
    field(fresh_days=30)
    say(member_id=member.pk, source="member", values={"skin": "干性"}, at=AT)
    say(member_id=member.pk, source="pos", values={"skin": "油性"}, at=AT + 20 * DAY)
    assert counts(member, at=AT + 30 * DAY) == ("member", "干性")
    assert counts(member, at=AT + 31 * DAY) == ("pos", "油性")
    assert ProfileValue.objects.get(member=member, counts=True).source == "member"  # as was last looked
    assert recount_profiles(at=AT + 31 * DAY) == 1
    assert ProfileValue.objects.get(member=member, counts=True).source == "pos"  # and segments ask for that
    assert recount_profiles(at=AT + 31 * DAY) == 0
    assert recount_profiles(at=AT + 90 * DAY) == 1  # none is fresh: precedence again
    say(member_id=member.pk, source="api", values={"skin": ""}, at=AT + 31 * DAY)
    assert counts(member, at=AT + 31 * DAY) == ("pos", "油性")


def test_another_precedence_counts_at_once_for_everybody_it_changes(member):
    row, alone = field(), make_member(make_account(), name="二")
    for who, source, value in ((member, "member", "干性"), (member, "pos", "油性"), (alone, "member", "干性")):
        say(member_id=who.pk, source=source, values={"skin": value}, at=AT)
    row.sources = ["pos", "api", "member"]
    save_profile_field(field=row, at=AT + DAY)
    assert dict(ProfileValue.objects.filter(counts=True).values_list("member_id", "source")) == {
        member.pk: "pos",
        alone.pk: "member",
    }
    assert counts(member, at=AT + DAY) == ("pos", "油性")


def test_common_facts_follow_the_same_rule_and_stand_on_the_member(member):
    say(
        member_id=member.pk,
        source="operator",
        values={"name": "陈先生", "birthday": "02-29", "gender": "M"},
        at=AT,
        by="王敏",
    )
    member.refresh_from_db()
    assert (member.name, member.birth_mmdd, member.gender) == ("陈先生", 229, "M")
    change_profile(member_id=member.pk, name="陈子涵")
    say(member_id=member.pk, source="operator", values={"name": "陈小姐"}, at=AT + 10000 * DAY, by="王敏")
    member.refresh_from_db()
    assert member.name == "陈子涵"  # the member's own word
    change_profile(member_id=member.pk, name="")
    member.refresh_from_db()
    assert member.name == "陈小姐"
    assert AuditEntry.objects.filter(action="change profile").count() == 3


@pytest.mark.parametrize(("key", "value"), [
    ("skin", "不知道"), ("skin", 5), ("size", "12.5"), ("size", True), ("size", "9" * 14), ("day", "2026-02-30"),
    ("day", "20260220"), ("vip", "maybe"), ("note", "x" * 201), ("note", "a\x00b"), ("nonsense", "x"), ("birthday", "02-30"),
    ("gender", "Q"), ("name", "x" * 61), ("only", "x"),
])  # fmt: skip
def test_values_that_do_not_fit_are_refused_and_nothing_is_kept(member, key, value):
    field()
    for name, kind in (("size", "NUMBER"), ("day", "DATE"), ("vip", "YES_NO"), ("note", "TEXT")):
        field(name, kind=kind, choices=[])
    field("only", kind="TEXT", choices=[], sources=["pos"])
    with pytest.raises(ProfileValueInvalid) as error:
        say(member_id=member.pk, source="member", values={"city": "上海", key: value}, at=AT)
    assert error.value.field == key


@pytest.mark.parametrize("wrong", [
    {"key": "Skin"}, {"key": "name"}, {"kind": "CHOICE", "choices": []}, {"choices": ["a", "a"]}, {"sources": []},
    {"sources": ["mars"]}, {"fresh_days": 0}, {"sources": ["pos"], "by_member": True}, {"label": " "},
])  # fmt: skip
def test_fields_that_cannot_be_are_refused(in_brand, wrong):
    with pytest.raises(ProfileFieldInvalid):
        field(**wrong)


def test_a_field_keeps_key_type_and_eyes(in_brand):
    row = field()
    row.sensitivity = "SEALED"
    with pytest.raises(ProfileFieldInvalid):
        save_profile_field(field=row, at=AT)
    with pytest.raises(ProfileFieldInvalid):
        field(label="另一个")


def test_what_not_everybody_may_see_is_sealed_masked_and_in_no_log(member):
    field("allergy", kind="TEXT", choices=[], sensitivity="MASKED")
    field("illness", kind="TEXT", choices=[], sensitivity="SEALED")
    say(member_id=member.pk, source="pos", values={"allergy": "花生过敏", "illness": "湿疹病史"}, at=AT)
    say(member_id=member.pk, source="member", values={"illness": "没有病史"}, at=AT)

    seen = {fact.key: fact for fact in profile_of(member.pk, at=AT)}
    assert [word.text for word in seen["allergy"].words] == ["花***"]
    assert [word.text for word in seen["illness"].words] == ["", ""]
    assert seen["illness"].in_conflict
    assert not ProfileValue.objects.exclude(text="").exists()
    assert "花生" not in str(list(AuditEntry.objects.values_list("changes", "reason", "object_label")))
    row = ProfileValue.objects.get(key="allergy")
    assert row.sealed.reveal() == "花生过敏"


def test_segments_ask_for_what_counts_and_never_for_what_is_sealed(member):
    skin, sealed = field(), field("illness", kind="TEXT", choices=[], sensitivity="SEALED")
    other = make_member(make_account(), name="二")
    say(member_id=member.pk, source="member", values={"skin": "干性"}, at=AT)
    say(member_id=other.pk, source="member", values={"skin": "油性"}, at=AT)
    say(member_id=other.pk, source="api", values={"skin": "干性"}, at=AT)

    def found(row, values):
        rule = {"all": [{"condition": "profile", "params": {"fields": [row.pk], "values": values}}]}
        return set(matching(rule, at=AT).values_list("pk", flat=True))

    assert (found(skin, ["干性"]), found(skin, ["油性", "干性"])) == ({member.pk}, {member.pk, other.pk})
    with pytest.raises(RuleInvalid):
        found(sealed, ["x"])
    save_segment(
        name="干性",
        rule={"all": [{"condition": "profile", "params": {"fields": [skin.pk], "values": ["干性"]}}]},
        at=AT,
    )


def test_another_brand_knows_nothing_of_it(brand, other_brand):
    with brand_scope(brand.pk):
        field()
    with brand_scope(other_brand.pk):
        member = make_member(make_account(), name="x")
        with pytest.raises(ProfileValueInvalid):
            say(member_id=member.pk, source="member", values={"skin": "干性"}, at=AT)
        assert [fact.key for fact in profile_of(member.pk, at=AT)] == []
        assert Member.objects.count() == 1
