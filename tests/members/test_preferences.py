"""What people want: topics, ways, hours and the switch, each a line of the ledger and in force at once."""

from datetime import time

import pytest

from accounts.tenancy import brand_scope
from members import selectors, services
from members.choices import chooses_people, keys_for, topic_key
from members.errors import ConsentTextInvalid, PreferenceInvalid, TopicInvalid
from members.models import Consent, MemberTag, OptOut, TagRule
from members.services import Quiet, merge_members, save_topic, set_minor, set_preferences
from tests.factories import AT, make_account, make_member, make_tag

pytestmark = pytest.mark.django_db
SAID = {"channel": "MINI_PROGRAM", "source": "mini program", "at": AT}


@pytest.fixture
def member(in_brand):
    save_topic(code="events", name="门店活动", at=AT)
    save_topic(code="news", name="新品", at=AT)
    return make_member(make_account())


def refused(member):
    return sorted(OptOut.objects.filter(member=member).values_list("purpose", flat=True))


def test_choice_is_kept_once_and_every_change_is_a_line_of_the_ledger(member):
    topic = topic_key(selectors.Topic.objects.get(code="events").pk)

    assert (
        set_preferences(member=member, topics={"events": False}, ways={"template": False}, personal=False, **SAID) == 3
    )
    assert set_preferences(member=member, topics={"events": False, "news": True}, **SAID) == 0
    assert refused(member) == sorted(["CARRIER:template", "PERSONAL", topic])
    assert set_preferences(member=member, topics={"events": True}, personal=True, **SAID) == 2

    assert refused(member) == ["CARRIER:template"]
    ledger = Consent.objects.filter(member=member, purpose=topic).order_by("pk").values_list("granted", "channel")
    assert list(ledger) == [(False, "MINI_PROGRAM"), (True, "MINI_PROGRAM")]
    wants = selectors.preferences_of(member.pk)
    assert {code: wanted for code, _name, _meaning, wanted in wants.topics} == {"events": True, "news": True}
    assert {key: wanted for key, _label, _meaning, wanted in wants.ways}["template"] is False
    assert (wants.marketing, wants.personal, wants.quiet) == (True, True, None)


def test_quiet_hours_are_kept_changed_and_ended(member):
    set_preferences(member=member, quiet=Quiet(time(22), time(8)), **SAID)
    assert selectors.preferences_of(member.pk).quiet == (time(22), time(8))
    set_preferences(member=member, quiet=Quiet(time(21), time(7)), **SAID)
    assert selectors.preferences_of(member.pk).quiet == (time(21), time(7))
    set_preferences(member=member, no_quiet=True, **SAID)
    assert selectors.preferences_of(member.pk).quiet is None
    with pytest.raises(PreferenceInvalid):
        set_preferences(member=member, quiet=Quiet(time(8), time(8)), **SAID)


def test_what_does_not_exist_cannot_be_chosen(member, other_brand):
    for wrong in ({"topics": {"golf": False}}, {"ways": {"pigeon": False}}):
        with pytest.raises(PreferenceInvalid):
            set_preferences(member=member, **wrong, **SAID)
    assert refused(member) == []


def test_topics_of_another_brand_are_none_here(db, brand, other_brand):
    with brand_scope(other_brand.pk):
        save_topic(code="golf", name="灶高尔夫", at=AT)
    with brand_scope(brand.pk):
        member = make_member(make_account())
        with pytest.raises(PreferenceInvalid):
            set_preferences(member=member, topics={"golf": False}, **SAID)
        assert selectors.preferences_of(member.pk).topics == []


@pytest.mark.parametrize(("code", "name"), [("", "x"), ("Ä", "x"), ("a" * 21, "x"), ("ok", ""), ("ok", "x" * 31)])
def test_topic_needs_a_code_and_a_name(in_brand, code, name):
    with pytest.raises(TopicInvalid):
        save_topic(code=code, name=name, at=AT)


def test_service_messages_ask_for_nothing_but_their_own_purpose():
    assert keys_for(purpose="SERVICE", topic_id=3, carrier="template", personal=True) == ["SERVICE"]
    assert keys_for(purpose="MARKETING", topic_id=3, carrier="custom", personal=True) == [
        "MARKETING", "TOPIC:3", "CARRIER:custom", "PERSONAL",
    ]  # fmt: skip


def test_rule_that_only_asks_who_may_be_written_to_chooses_nobody():
    everybody = {"all": [{"condition": "subscribed", "params": {}}, {"none": [{"condition": "consent"}]}]}
    assert not chooses_people(everybody)
    assert not chooses_people({"all": []})
    assert chooses_people({"all": [{"any": [{"condition": "city", "params": {}}]}]})


def test_whoever_wants_nothing_decided_automatically_loses_automatic_tags_and_gets_none(member):
    tag = make_tag("上海")
    services.save_tag_rule(name="上海的人", tag_id=tag.pk, rule={"all": []}, at=AT)
    rules = list(TagRule.objects.order_by("pk"))
    services.apply_rules(rules=rules, member_ids=[member.pk], at=AT)
    assert MemberTag.objects.filter(member=member, tag=tag).count() == 1

    set_preferences(member=member, personal=False, **SAID)
    services.apply_rules(rules=rules, member_ids=[member.pk], at=AT)

    assert MemberTag.objects.filter(member=member, tag=tag).count() == 0
    assert services.dry_run(rule={"all": []}, tag_id=tag.pk, at=AT, rule_id=rules[0].pk).tagged == 0


def test_under_14_holds_beside_what_they_say_and_only_its_end_ends_it(member):
    set_minor(member=member, under_14=True, at=AT)
    services.give_consent(member=member, purpose="MARKETING", text_version="1", source="t", at=AT)
    assert refused(member) == ["MARKETING"]
    services.withdraw_consent(member=member, purpose="MARKETING", source="t", at=AT)
    set_minor(member=member, under_14=False, at=AT)
    assert refused(member) == ["MARKETING"]
    services.give_consent(member=member, purpose="MARKETING", text_version="1", source="t", at=AT)
    assert refused(member) == []


def test_merged_record_brings_its_choices_along(member):
    other = make_member(make_account(name="第二个号"))
    set_preferences(member=other, topics={"events": False}, quiet=Quiet(time(22), time(8)), **SAID)
    set_minor(member=other, under_14=True, at=AT)

    kept = merge_members(kept=member, merged=other, evidence="t", at=AT)

    wants = selectors.preferences_of(kept.pk)
    assert (wants.quiet, wants.minor) == ((time(22), time(8)), True)
    assert {code: wanted for code, _name, _meaning, wanted in wants.topics} == {"events": False, "news": True}


def test_text_is_written_once_and_shown_from_its_day_on(in_brand):
    services.add_purpose(code="RESEARCH", name="调研", meaning="新品调研", at=AT)
    first = {"purpose": "RESEARCH", "by": "x", "effective_at": AT, "at": AT}
    services.write_text(version="1", body="旧文本", **first)
    services.write_text(version="2", body="新文本", **{**first, "effective_at": AT.replace(day=20)})

    assert selectors.texts_in_force(at=AT)["RESEARCH"].body == "旧文本"
    assert selectors.texts_in_force(at=AT.replace(day=21))["RESEARCH"].version == "2"
    assert ("RESEARCH", "调研") in selectors.purposes()
    for wrong in ({"version": "1", "body": "改过"}, {"version": "3", "body": " "}, {"version": "a b", "body": "x"}):
        with pytest.raises(ConsentTextInvalid):
            services.write_text(**wrong, **first)
    with pytest.raises(ConsentTextInvalid):
        services.check_statement(purpose="RESEARCH", text_version="9")
    services.check_statement(purpose="RESEARCH", text_version="1")
    services.check_statement(purpose="MARKETING", text_version="anything")  # no texts are kept here
    for code in ("MARKETING", "PERSONAL", "x y", ""):
        with pytest.raises(ConsentTextInvalid):
            services.add_purpose(code=code, name="x", meaning="x", at=AT)
