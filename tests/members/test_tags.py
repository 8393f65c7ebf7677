"""The dictionary of tags: what each means, who set it, when it ends, and groups of which nobody has two."""

import time
from datetime import timedelta
from random import Random
from threading import Barrier, Thread

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.tenancy import brand_scope
from members.errors import TagFieldInvalid, TagGroupHasDoubles, TagNameTaken
from members.models import FactChange, Member, MemberTag, Tag, TagGroup, TagRule
from members.selectors import tags_by_name, tags_of
from members.services import (
    change_tag,
    create_tag,
    expire_tags,
    merge_members,
    save_tag_group,
    tag_members,
    untag_members,
)
from tests.factories import AT, make_account, make_member, make_tag

DAY = timedelta(days=1)


def carried(member):
    return sorted(MemberTag.objects.filter(member=member).values_list("tag__name", flat=True))


def array_of(member):
    return sorted(Tag.objects.filter(pk__in=Member.objects.get(pk=member.pk).tag_ids).values_list("name", flat=True))


def put(member, *tags, at=AT, **more):
    return tag_members(member_ids=[member.pk], tag_ids=[tag.pk for tag in tags], source="staff: 王敏", at=at, **more)


@pytest.fixture
def bands(in_brand):
    """An exclusive group of three tags."""
    save_tag_group(name="消费能力", is_exclusive=True, at=AT)
    return [make_tag(name, group="消费能力") for name in ("低", "中", "高")]


def test_tag_of_an_exclusive_group_takes_the_place_of_the_other(bands):
    member, other = make_member(make_account()), make_member(make_account())
    free = make_tag("静安店")
    put(other, bands[0])
    put(member, bands[0], free)
    put(member, bands[2])

    assert carried(member) == array_of(member) == ["静安店", "高"]
    assert carried(other) == ["低"]
    assert put(member, bands[1], bands[0]) == 1  # of several in one call the first counts
    assert carried(member) == ["中", "静安店"]


def test_exclusive_group_never_holds_two_whatever_happens(bands):
    """Random tagging, untagging, merging and regrouping; after each step nobody has two of the group."""
    chance = Random(5)
    account = make_account()
    people = [make_member(account) for _ in range(6)]
    free = [make_tag("甲"), make_tag("乙", group="随意")]
    for step in range(40):
        at = AT + timedelta(minutes=step)
        act = chance.random()
        alive = [each for each in people if Member.objects.get(pk=each.pk).merged_into_id is None]
        some = chance.sample(alive, k=min(2, len(alive)))
        tags = chance.sample(bands + free, k=chance.randint(1, 3))
        if act < 0.7:
            tag_members(member_ids=[m.pk for m in some], tag_ids=[t.pk for t in tags], source="t", at=at)
        elif act < 0.85:
            untag_members(member_ids=[m.pk for m in some], tag_ids=[t.pk for t in tags], at=at)
        elif act < 0.95:
            moved, group = chance.choice(free), chance.choice(["消费能力", "随意", ""])
            try:
                with transaction.atomic():
                    change_tag(tag=moved, group=group, at=at)
            except TagGroupHasDoubles:
                pass
        elif len(alive) > 3:
            merge_members(kept=some[0], merged=some[1], evidence="t", at=at)
        exclusive = set(Tag.objects.filter(group="消费能力").values_list("pk", flat=True))
        for member in alive:
            rows = set(MemberTag.objects.filter(member=member).values_list("tag_id", flat=True))
            assert len(rows & exclusive) <= 1, (step, act)
            assert sorted(rows) == sorted(Member.objects.get(pk=member.pk).tag_ids), (step, act)


def test_database_refuses_a_second_tag_of_an_exclusive_group(bands):
    member, slot = make_member(make_account()), TagGroup.objects.get(name="消费能力").pk
    put(member, bands[0])

    with pytest.raises(IntegrityError), transaction.atomic():
        MemberTag.objects.create(member=member, tag=bands[1], source="t", at=AT, slot=slot)
    with pytest.raises(IntegrityError), transaction.atomic():
        MemberTag.objects.create(member=member, tag=bands[1], source="t", at=AT, given=False)


@pytest.mark.django_db(transaction=True)
def test_two_at_once_leave_one_tag_of_an_exclusive_group(brand):
    with brand_scope(brand.pk):
        save_tag_group(name="消费能力", is_exclusive=True, at=AT)
        tags = [make_tag(name, group="消费能力") for name in ("低", "中", "高", "顶")]
        member = make_member(make_account())
    start, failures = Barrier(len(tags)), []

    def give(tag):
        try:
            start.wait(30)
            with brand_scope(brand.pk):
                put(member, tag)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [Thread(target=give, args=[tag]) for tag in tags]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    with brand_scope(brand.pk):
        assert failures == []
        assert len(carried(member)) == 1
        assert carried(member) == array_of(member)


def test_group_with_doubles_becomes_exclusive_only_when_it_is_said_which_stays(in_brand):
    member, single = make_member(make_account()), make_member(make_account())
    one, two = make_tag("一", group="组"), make_tag("二", group="组")
    group = TagGroup.objects.get(name="组")
    put(member, one)
    put(member, two, at=AT + DAY)
    put(single, one)

    with pytest.raises(TagGroupHasDoubles) as refused, transaction.atomic():
        save_tag_group(group=group, name="组", is_exclusive=True, at=AT)
    assert (refused.value.people, carried(member)) == (1, ["一", "二"])

    save_tag_group(group=group, name="新组", is_exclusive=True, keep_newest=True, at=AT)
    assert (carried(member), array_of(member), carried(single)) == (["二"], ["二"], ["一"])
    assert set(Tag.objects.values_list("group", flat=True)) == {"新组"}

    save_tag_group(group=group, name="新组", is_exclusive=False, at=AT)
    put(member, one)
    assert carried(member) == ["一", "二"]


def test_tag_answers_what_it_means_who_set_it_and_when_it_ends(in_brand):
    member = make_member(make_account())
    tag = create_tag(name="孕期", group="生活", meaning="自述预产期内", owner="会员运营", lasts_days=280, at=AT)
    put(member, tag)
    (shown,) = tags_of(member.pk, at=AT)

    assert (shown.meaning, shown.owner, shown.source, shown.group) == (
        "自述预产期内",
        "会员运营",
        "staff: 王敏",
        "生活",
    )
    assert (shown.at, shown.expires_at) == (AT, AT + 280 * DAY)


def test_tag_that_may_no_longer_be_true_says_why(in_brand):
    member = make_member(make_account())
    ends, aged, ruled, forever = (make_tag(name) for name in ("到期", "老", "自动", "长期"))
    put(member, ends, expires_at=AT + 10 * DAY)
    put(member, aged, forever)
    Tag.objects.filter(pk=aged.pk).update(lasts_days=30)  # told after it was given
    rule = TagRule.objects.create(name="高消费", tag=ruled, ran_at=AT, created_at=AT, updated_at=AT)
    MemberTag.objects.create(member=member, tag=ruled, rule_ids=[rule.pk], given=False, at=AT)

    def stale(at):
        return {row.name: row.stale for row in tags_of(member.pk, at=at) if row.stale}

    assert stale(AT + timedelta(hours=23)) == {}
    assert stale(AT + 2 * DAY) == {"自动": "unruled"}
    TagRule.objects.update(ran_at=AT + 31 * DAY)
    assert stale(AT + 31 * DAY) == {"到期": "over", "老": "aged"}
    for broken in ({"is_on": False}, {"is_on": True, "problem": "x"}):
        TagRule.objects.update(**broken)
        assert stale(AT + 31 * DAY)["自动"] == "unruled"


def test_tag_ends_on_its_day_and_the_later_end_counts(in_brand):
    member, forever = make_member(make_account()), make_tag("长期")
    tag = make_tag("短期", lasts_days=10)
    put(member, tag, forever)
    put(member, tag, at=AT + 5 * DAY)

    assert expire_tags(at=AT + 10 * DAY) == 0
    assert carried(member) == ["短期", "长期"]
    assert expire_tags(at=AT + 15 * DAY) == 1
    assert carried(member) == array_of(member) == ["长期"]
    put(member, forever, expires_at=AT + DAY)  # what has no end gets none
    assert expire_tags(at=AT + 100 * DAY) == 0


def test_word_leads_to_one_tag(in_brand):
    tag = make_tag("高消费", synonyms=["大客", "土豪"])

    assert tags_by_name(["大客", "高消费", "没有"]) == {"大客": tag.pk, "高消费": tag.pk}
    for name, synonyms in (("大客", ()), ("别的", ("土豪",)), ("别的", ("高消费",))):
        with pytest.raises(TagNameTaken):
            make_tag(name, synonyms=synonyms)
    with pytest.raises(TagNameTaken):
        change_tag(tag=make_tag("第三"), synonyms=["高消费"], at=AT)
    for bad in (0, 3651):
        with pytest.raises(TagFieldInvalid) as refused:
            make_tag("期限", lasts_days=bad)
        assert refused.value.field == "lasts_days"


def test_words_of_two_brands_do_not_meet(brand, other_brand):
    with brand_scope(other_brand.pk):
        make_tag("大客", synonyms=["高消费"], group="组")
        save_tag_group(group=TagGroup.objects.get(name="组"), name="组", is_exclusive=True, at=AT)
    with brand_scope(brand.pk):
        tags = make_tag("高消费", synonyms=["大客"], group="组"), make_tag("二", group="组")
        member = make_member(make_account())
        put(member, *tags)
        assert carried(member) == ["二", "高消费"]
        assert tags_by_name(["大客"]) == {"大客": tags[0].pk}


def test_changes_of_tags_are_written_down(bands):
    member = make_member(make_account())
    put(member, bands[0])
    put(member, bands[1], at=AT + DAY)
    untag_members(member_ids=[member.pk], tag_ids=[bands[1].pk], source="staff: 王敏", at=AT + 2 * DAY)
    changes = FactChange.objects.filter(member=member, what="tag").order_by("at", "pk")

    assert list(changes.values_list("ref", "before", "after", "at")) == [
        (bands[0].pk, "", "yes", AT),
        (bands[0].pk, "yes", "", AT + DAY),
        (bands[1].pk, "", "yes", AT + DAY),
        (bands[1].pk, "yes", "", AT + 2 * DAY),
    ]


@pytest.mark.django_db(transaction=True)
def test_two_at_once_leave_the_tags_of_both_in_the_array(brand):
    with brand_scope(brand.pk):
        tags = [make_tag(name) for name in ("低", "中", "高", "顶")]
        member = make_member(make_account())
    start, failures = Barrier(len(tags)), []

    def give(tag):
        try:
            with brand_scope(brand.pk), transaction.atomic():
                start.wait(30)
                put(member, tag)
                time.sleep(0.1)  # the others wait for the person meanwhile
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [Thread(target=give, args=[tag]) for tag in tags]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    with brand_scope(brand.pk):
        assert failures == []
        assert carried(member) == array_of(member) == sorted(tag.name for tag in tags)
