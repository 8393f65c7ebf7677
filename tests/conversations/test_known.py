"""Facts in the gateway's memory: the same as a look-up finds, as old as stated, and not used where that cannot be said."""

import random
from datetime import timedelta

import psycopg2
import pytest
from django.db import connection

from accounts.tenancy import brand_scope
from conversations import known as module
from conversations.engine import Asked
from conversations.known import Known, Table
from conversations.models import KnownDue, ReplyRule, Trigger
from conversations.selectors import facts_of, rules_of
from conversations.services import purge_known_due
from loyalty.models import Standing, Tier
from members.models import Follower, Member
from members.services import save_segment, tag_members, untag_members
from tests.factories import AT, make_account, make_brand, make_follower, make_tag, make_touchpoint
from touchpoints.models import Touch
from touchpoints.services import record_touch
from wechat_gateway.models import OfficialAccount

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A busy machine may take seconds between a look and what is asked then."""
    monkeypatch.setattr(module, "LASTS", 60.0)


def rule(account, text, *words, trigger="KEYWORD", position=100, **more):
    return ReplyRule.objects.create(
        account=account,
        name=text,
        trigger=trigger,
        text=text,
        keywords=list(words),
        position=position,
        updated_at=AT,
        **more,
    )


class World:
    """A brand whose rules ask for a tag, a channel and returns, and its people."""

    def __init__(self, slug, people=6):
        self.brand = make_brand(slug=slug)
        with brand_scope(self.brand.pk):
            self.account = make_account()
            self.tags = [make_tag("老客"), make_tag("新客"), make_tag("谁也不问")]
            self.channel = make_touchpoint(None, name="包装", welcome="")
            self.leaf = make_touchpoint(self.account, name="礼盒", welcome="", parent=self.channel)
            rule(self.account, "old", "几点", position=1, audience_kind="tag", audience_id=self.tags[0].pk)
            rule(self.account, "new", "几点", position=2, audience_kind="tag", audience_id=self.tags[1].pk)
            rule(self.account, "box", "几点", position=3, audience_kind="channel", audience_id=self.channel.pk)
            self.tiers = [Tier.objects.create(name=name, threshold=value) for name, value in (("初见", 0), ("知音", 9))]
            rule(self.account, "first", "几点", position=4, audience_kind="tier", audience_id=self.tiers[0].pk)
            rule(self.account, "top", "几点", position=4, audience_kind="tier", audience_id=self.tiers[1].pk)
            rule(self.account, "back", trigger="REFOLLOW")
            rule(self.account, "all", "几点", position=9)
            self.people = [make_follower(self.account) for _ in range(people)]
            self.compile()

    def compile(self):
        self.rules = rules_of(self.account.pk)

    @property
    def book(self):
        return self.brand.pk, self.account.pk, self.rules

    def openids(self):
        with brand_scope(self.brand.pk):
            return [*Follower.objects.order_by("pk").values_list("openid", flat=True), "o-nobody"]

    def looked_up(self, openid):
        with brand_scope(self.brand.pk):
            return facts_of(self.rules, self.account.pk, openid, at=AT)

    def remembered(self, known, openid):
        return known.facts_of(self.account.pk, self.rules, openid)


def begun(known, *worlds):
    """Two turns: the first sees the rules, the second those that nobody can change without writing it down."""
    for _ in range(2):
        known.refresh([world.book for world in worlds])
    return known


def act(world, choose):
    """Change something about somebody, in one of the ways in which it happens."""
    person = choose.choice(world.people)
    member = [person.member_id]
    tag = [choose.choice(world.tags).pk]
    ways = (
        lambda: tag_members(member_ids=member, tag_ids=tag, source="test", at=AT),
        lambda: untag_members(member_ids=member, tag_ids=tag, source="test", at=AT),
        lambda: record_touch(follower=person, scene=world.leaf.scene, is_follow=False, at=AT),
        lambda: Follower.objects.filter(pk=person.pk).update(unfollowed_at=choose.choice([None, AT])),
        lambda: Follower.objects.filter(pk=person.pk).update(member=choose.choice(world.people).member_id),
        lambda: world.people.append(make_follower(world.account)),
        lambda: Touch.objects.filter(member_id=person.member_id).delete(),
        lambda: Touch.objects.update(member=choose.choice(world.people).member_id),
        lambda: Member.objects.filter(pk=person.member_id).update(tag_ids=tag),
        lambda: Member.objects.filter(pk=person.member_id).update(joined_at=choose.choice([None, AT])),
        lambda: Standing.objects.update_or_create(
            member_id=person.member_id, defaults={"tier": choose.choice(world.tiers), "since": AT}
        ),
        lambda: Standing.objects.filter(member_id=person.member_id).delete(),
    )
    choose.choice(ways)()


def test_memory_says_what_a_look_up_says_after_any_change():
    world, other = World("lanyu"), World("zaoshan")
    known = begun(Known(), world, other)
    choose = random.Random(4)

    for _ in range(60):
        for each in (world, other):
            with brand_scope(each.brand.pk):
                for _ in range(choose.randrange(1, 4)):
                    act(each, choose)
        known.refresh([world.book, other.book])
        for each in (world, other):
            for openid in each.openids():
                assert each.remembered(known, openid) == each.looked_up(openid)
    with brand_scope(world.brand.pk):
        assert KnownDue.objects.count() > 20


def test_somebody_who_is_gone_is_forgotten():
    world = World("lanyu")
    person = world.people[0]
    with brand_scope(world.brand.pk):
        tag_members(member_ids=[person.member_id], tag_ids=[world.tags[0].pk], source="test", at=AT)
    known = begun(Known(), world)
    assert world.remembered(known, person.openid).holds

    with brand_scope(world.brand.pk):
        Follower.objects.filter(pk=person.pk).update(openid="o-moved")
    known.refresh([world.book])

    assert not world.remembered(known, person.openid).holds
    assert world.remembered(known, "o-moved").holds


def test_who_began_before_the_rules_were_seen_is_waited_for(second_connection):
    world = World("lanyu")
    person = world.people[0]
    with second_connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT set_config('app.brand_id', %s, true), pg_current_xact_id()", [str(world.brand.pk)])
        known = begun(Known(), world)
        assert world.remembered(known, person.openid) is None

        cursor.execute(
            "UPDATE members_member SET tag_ids = %s WHERE brand_id = %s AND id = %s",
            [[world.tags[0].pk], world.brand.pk, person.member_id],
        )
        cursor.execute("COMMIT")
    known.refresh([world.book])

    assert world.remembered(known, person.openid) == world.looked_up(person.openid)
    assert world.remembered(known, person.openid).holds


def test_a_change_counts_from_the_turn_after_its_commit_however_long_it_took(second_connection):
    world = World("lanyu")
    person = world.people[0]
    known = begun(Known(), world)
    with second_connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT set_config('app.brand_id', %s, true)", [str(world.brand.pk)])
        cursor.execute(
            "UPDATE members_member SET tag_ids = %s WHERE brand_id = %s AND id = %s",
            [[world.tags[0].pk], world.brand.pk, person.member_id],
        )
        for other in world.people[1:]:  # many later transactions end first
            with brand_scope(world.brand.pk):
                tag_members(member_ids=[other.member_id], tag_ids=[world.tags[1].pk], source="test", at=AT)
            known.refresh([world.book])
        assert not world.remembered(known, person.openid).holds
        cursor.execute("COMMIT")
    known.refresh([world.book])

    assert world.remembered(known, person.openid).holds
    assert all(world.remembered(known, each.openid).holds for each in world.people)


def test_memory_that_has_not_looked_for_two_seconds_is_not_used(monkeypatch):
    world = World("lanyu")
    known = begun(Known(), world)
    person = world.people[0]
    assert world.remembered(known, person.openid) is not None

    later = module.time.monotonic() + module.LASTS + 0.1
    monkeypatch.setattr(module.time, "monotonic", lambda: later)

    assert world.remembered(known, person.openid) is None
    known.refresh([world.book])
    assert world.remembered(known, person.openid) is not None


def test_other_rules_of_the_account_are_not_answered_from_what_older_ones_asked():
    world = World("lanyu")
    person = world.people[0]
    with brand_scope(world.brand.pk):
        tag_members(member_ids=[person.member_id], tag_ids=[world.tags[2].pk], source="test", at=AT)
    known = begun(Known(), world)
    assert not world.remembered(known, person.openid).holds
    with brand_scope(world.brand.pk):
        rule(world.account, "third", "几点", audience_kind="tag", audience_id=world.tags[2].pk)
        world.compile()

    assert world.remembered(known, person.openid) is None
    begun(known, world)

    assert world.remembered(known, person.openid) == world.looked_up(person.openid)
    assert world.remembered(known, person.openid).holds


def test_too_many_people_and_too_many_changes(monkeypatch):
    world = World("lanyu", people=20)
    with brand_scope(world.brand.pk):
        tag_members(
            member_ids=[each.member_id for each in world.people], tag_ids=[world.tags[0].pk], source="test", at=AT
        )
    monkeypatch.setattr(module, "MOST_PEOPLE", 19)
    known = begun(Known(), world)
    assert world.remembered(known, world.people[0].openid) is None

    monkeypatch.setattr(module, "MOST_PEOPLE", 100)
    monkeypatch.setattr(module, "MOST_CHANGES", 5)
    known = begun(Known(), world)
    assert world.remembered(known, world.people[0].openid).holds
    with brand_scope(world.brand.pk):
        Member.objects.update(tag_ids=[])
    known.refresh([world.book])

    assert not world.remembered(known, world.people[0].openid).holds


def test_what_a_segment_decides_is_looked_up_all_the_same():
    world = World("lanyu")
    person = world.people[0]
    with brand_scope(world.brand.pk):
        segment = save_segment(
            name="老客",
            rule={"all": [{"condition": "tag", "params": {"how": "any", "tags": [world.tags[2].pk]}}]},
            at=AT,
        )
        rule(world.account, "seg", "几点", position=0, audience_kind="segment", audience_id=segment.pk)
        rule(world.account, "seg too", "别的", position=0, audience_kind="tag", audience_id=world.tags[0].pk)
        world.compile()
    known = begun(Known(), world)
    facts = world.remembered(known, person.openid)

    assert world.rules.decide(Asked(Trigger.KEYWORD, AT, text="几点"), facts).needs_facts
    assert not world.rules.decide(Asked(Trigger.KEYWORD, AT, text="别的"), facts).needs_facts


def test_a_tier_answers_from_memory_in_its_place_between_tag_and_segment_and_default():
    world = World("lanyu")
    newcomer, top, visitor = world.people[:3]
    with brand_scope(world.brand.pk):
        for kind, value in (("tier", world.tiers[1].pk), ("tag", world.tags[0].pk)):
            rule(world.account, kind, trigger="FOLLOW", position=99, audience_kind=kind, audience_id=value)
        rule(world.account, "low", trigger="FOLLOW", position=99, audience_kind="tier", audience_id=world.tiers[0].pk)
        rule(world.account, "everybody", trigger="FOLLOW", position=1)
        world.compile()
        Member.objects.filter(pk=newcomer.member_id).update(joined_at=AT)
        Standing.objects.create(member_id=top.member_id, tier=world.tiers[1], since=AT)
    known = begun(Known(), world)

    def welcome(person):
        decision = world.rules.decide(Asked(Trigger.FOLLOW, AT), world.remembered(known, person.openid))
        return decision.rule.name

    assert [welcome(each) for each in (newcomer, top, visitor)] == ["low", "tier", "everybody"]
    with brand_scope(world.brand.pk):
        tag_members(member_ids=[top.member_id], tag_ids=[world.tags[0].pk], source="test", at=AT)
    known.refresh([world.book])
    assert welcome(top) == "tag"


def test_tiers_in_another_order_compile_the_rules_anew_and_other_brands_are_left_alone():
    world, other = World("lanyu"), World("zaoshan")

    def version(each):
        with brand_scope(each.brand.pk):
            return OfficialAccount.objects.values_list("replies_version", flat=True).get(pk=each.account.pk)

    before = version(world), version(other)
    with brand_scope(world.brand.pk):
        Tier.objects.filter(pk=world.tiers[1].pk).update(name="知己")
        assert version(world) == before[0]
        Tier.objects.filter(pk=world.tiers[1].pk).update(threshold=5)
        Tier.objects.create(name="新级", threshold=2)
    assert (version(world), version(other)) == (before[0] + 2, before[1])


def test_nothing_is_written_down_where_nothing_depends_on_people():
    world = World("lanyu")
    with brand_scope(world.brand.pk):
        ReplyRule.objects.exclude(audience_kind="").delete()
        ReplyRule.objects.filter(trigger="REFOLLOW").update(is_enabled=False)
        KnownDue.objects.all().delete()
        tag_members(member_ids=[world.people[0].member_id], tag_ids=[world.tags[0].pk], source="test", at=AT)
        Follower.objects.update(unfollowed_at=AT)
        assert not KnownDue.objects.exists()
        ReplyRule.objects.filter(trigger="REFOLLOW").update(is_enabled=True)
        Follower.objects.update(last_interaction_at=AT)
        assert not KnownDue.objects.exists()
        Follower.objects.update(unfollowed_at=None)
        assert KnownDue.objects.count() == len(world.people)


def test_changes_are_cleared_away_after_an_hour():
    world = World("lanyu")
    with brand_scope(world.brand.pk):
        Follower.objects.update(unfollowed_at=AT)
        first = KnownDue.objects.order_by("pk").first()
        KnownDue.objects.filter(pk=first.pk).update(at=first.at - timedelta(minutes=61))
        kept = KnownDue.objects.count() - 1

        assert purge_known_due() == 1
        assert KnownDue.objects.count() == kept


def test_a_table_is_a_dictionary():
    choose = random.Random(2)
    table, twin = Table(), {}
    for _ in range(5_000):
        openid, number = f"o{choose.randrange(2_000)}", choose.randrange(5)
        table.put(openid, number)
        twin[openid] = number

    assert {openid: table.get(openid) for openid in twin} == twin
    assert table.get("o-nobody") == 0


@pytest.fixture
def second_connection():
    facts = connection.settings_dict
    other = psycopg2.connect(
        dbname=facts["NAME"], user=facts["USER"], password=facts["PASSWORD"], host=facts["HOST"], port=facts["PORT"]
    )
    other.autocommit = True
    yield other
    other.close()
