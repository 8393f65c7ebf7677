"""Segments whose people are kept: what follows changes equals what is found anew, and nothing is sent to stale people."""

import os
import random
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.db.models import F
from django.test import Client

from accounts.tenancy import brand_scope
from campaigns.models import SubscriptionStock
from coupons.models import Coupon
from coupons.services import issue_coupon, redeem_coupon, void_coupon
from inbox.models import ReplyLedger
from inbox.services.ledger import record_act, reserve_send
from loyalty.services import Operation
from members import services
from members.errors import LimitInvalid, RuleInvalid
from members.freshness import age_of, people_of, refusal
from members.models import Follower, Member, Segment, SegmentDue, SegmentMember
from members.reach import Way
from members.segments import matching, turning
from members.services.membership import follow, rebuild
from members.watched import watched
from tests.coupons.conftest import cart, make_template
from tests.factories import AT, make_account, make_follower, make_member, make_staff, make_store, make_tag
from tests.members.kept import follows
from wechat_gateway.models import Incident
from wechat_gateway.windows import Act

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
EVENTS = int(os.environ.get("KEPT_SEGMENT_EVENTS", "45"))  # 10000 for the whole proof
WHOLE = EVENTS >= 1000
EVERY = 20 if WHOLE else 3  # events between two refreshes


def leaf(key, **params):
    return {"condition": key, "params": params}


FOLLOWING = {"all": [leaf("subscribed", value="yes")]}
HEARD_OF = {"all": [leaf("last_interaction", how="within", days=30)]}


def kept(name, rule, at=AT, freshness="MINUTES", **more):
    return services.save_segment(name=name, rule=rule, at=at, freshness=freshness, **more)


def ids(segment):
    rows = SegmentMember.objects.filter(segment=segment.pk).order_by("member_id")
    return list(rows.values_list("member_id", flat=True))


def open_incidents():
    return sorted(Incident.objects.filter(closed_at=None).values_list("kind", "subject"))


# --- what follows changes equals what is found anew ---


def rules_over(tags, store, segment, template):
    """One rule for each way of depending on facts and on time."""
    bought = {"how": "did", "event": "members.consented", "times": 1, "days": 20}
    return [
        FOLLOWING,
        HEARD_OF,
        {"all": [leaf("tag", how="any", tags=tags[:2]), {"none": [leaf("tag", how="all", tags=tags)]}]},
        {"any": [leaf("joined_when", how="within", days=10), leaf("followed_when", how="before", days=15)]},
        {"all": [leaf("birthday", days=14)]},
        {"none": [leaf("birthday_month", month="this")]},
        {"all": [leaf("consent", purpose="MARKETING", state="given"), leaf("store", stores=[store.pk])]},
        {"any": [leaf("event", **bought), leaf("event", how="not", event="members.unfollowed", times=2, days=9)]},
        {"all": [leaf("segment", value="no", segments=[segment.pk]), leaf("joined", value="yes")]},
        {"all": [leaf("city", cities=["上海"]), leaf("segment", value="yes", segments=[segment.pk])]},
        {"all": [leaf("reachable", way="custom", value="yes")]},
        {"all": [leaf("reachable", way="custom", value="no"), leaf("reachable", way="subscribe", value="yes")]},
        {"any": [leaf("reachable", way="subscribe", value="no"), leaf("reachable", way="template", value="no")]},
        {"all": [leaf("coupon", templates=[template.pk], state="unused", days=30)]},
        {"any": [leaf("coupon", templates=[template.pk], state="used", days=12), leaf("tag", how="any", tags=tags)]},
        {"all": [leaf("event", how="did", event="coupons.used", times=1, days=15)]},
        {"none": [leaf("event", how="did", event="coupons.given", times=2, days=8), FOLLOWING["all"][0]]},
    ]


class World:
    """Random things that happen to a few people, as the product does them."""

    def __init__(self, number):
        self.random = random.Random(number)
        self.at = AT
        self.account, self.other = make_account("甲"), make_account("乙")
        self.store = make_store()
        self.tags = [make_tag(f"标签{each}").pk for each in range(3)]
        self.people = [make_follower(self.account).member_id for _ in range(12)]
        self.template = make_template(per_member=None)
        self.acts = 0

    def follower(self):
        known = list(Follower.objects.filter(member__erased_at=None).order_by("pk").values_list("pk", flat=True))
        return Follower.objects.select_related("member").get(pk=self.random.choice(known))

    def member(self):
        known = Member.objects.filter(merged_into=None, erased_at=None).order_by("pk").values_list("pk", flat=True)
        return Member.objects.get(pk=self.random.choice(list(known)))

    def operation(self):
        self.acts += 1
        return Operation("world", str(self.acts))

    def happen(self):
        often = [self.time, self.write, self.follow, self.unfollow, self.tag, self.untag, self.give, self.use]
        seldom = [self.join, self.profile, self.settle, self.consent, self.arrive, self.merge, self.backdate]
        seldom += [self.answer, self.agree, self.notify, self.take_back, self.erase]
        act = self.random.choice([*often, *often, *seldom])
        act()
        while Follower.objects.filter(member__erased_at=None, member__merged_into=None).count() < 8:
            self.arrive()  # whoever was erased is replaced, or nobody would be left

    def time(self):
        self.at += self.random.choice([MINUTE, 3 * timedelta(hours=1), DAY, 6 * DAY, 13 * DAY])
        services.erase_due(self.account.brand_id, at=self.at)

    def write(self):
        follower, at = self.follower(), self.at - self.random.choice([0, 1, 29]) * DAY
        services.record_interaction(follower=follower, at=at)
        record_act(follower=follower, act=self.random.choice([Act.MESSAGE, Act.MENU]), at=at)

    def answer(self):
        row = self.random.choice(list(ReplyLedger.objects.order_by("pk")) or [None])
        for _time in range(5 if row else 0):
            reserve_send(follower_id=row.follower_id, at=self.at)

    def agree(self):
        row, _new = SubscriptionStock.objects.get_or_create(
            follower=self.follower(), template_id="t", defaults={"updated_at": self.at}
        )
        SubscriptionStock.objects.filter(pk=row.pk).update(remaining=row.remaining + 1)

    def notify(self):
        SubscriptionStock.objects.filter(remaining__gt=0).update(remaining=F("remaining") - 1)

    def give(self):
        issue_coupon(operation=self.operation(), template=self.template, member_id=self.member().pk, at=self.at)

    def coupon(self):
        usable = Coupon.objects.filter(state="UNUSED", valid_from__lte=self.at, valid_until__gt=self.at)
        return self.random.choice(list(usable.order_by("pk")) or [None])

    def use(self):
        coupon = self.coupon()
        if coupon is not None:
            redeem_coupon(
                operation=self.operation(), coupon_id=coupon.pk, order=f"SO{self.acts}", at=self.at, cart=cart(30_000)
            )

    def take_back(self):
        coupon = self.coupon()
        if coupon is not None:
            void_coupon(operation=self.operation(), coupon_id=coupon.pk, reason="发错", at=self.at)

    def erase(self):
        services.erase_member(member=self.member(), reason="t", at=self.at)

    def backdate(self):
        Member.objects.filter(pk=self.member().pk).update(joined_at=self.at - self.random.choice([9, 10, 11]) * DAY)

    def follow(self):
        services.record_follow(follower=self.follower(), at=self.at)

    def unfollow(self):
        follower = self.follower()
        services.record_unfollow(follower=follower, at=self.at)
        record_act(follower=follower, act=Act.LEFT, at=self.at)
        services.start_clocks(followers=[follower], reason="UNFOLLOWED", at=self.at)

    def tag(self):
        tag = self.random.choice(self.tags)
        services.tag_members(member_ids=[self.member().pk], tag_ids=[tag], source="t", at=self.at)

    def untag(self):
        tag = self.random.choice(self.tags)
        services.untag_members(member_ids=[self.member().pk], tag_ids=[tag], source="t", at=self.at)

    def join(self):
        services.join(member=self.member(), at=self.at)

    def profile(self):
        born = self.random.choice([None, 228, 229, 601, 615, 701])
        services.change_profile(
            member_id=self.member().pk, city=self.random.choice(["", "上海", "上海市"]), birth_mmdd=born
        )

    def settle(self):
        services.set_store(member_id=self.member().pk, store=self.store, at=AT)

    def consent(self):
        if self.random.random() < 0.5:
            services.give_consent(member=self.member(), purpose="MARKETING", text_version="1", source="t", at=self.at)
        else:
            services.withdraw_consent(member=self.member(), purpose="MARKETING", source="t", at=self.at)

    def arrive(self):
        make_follower(self.random.choice([self.account, self.other]), at=self.at)

    def merge(self):
        one, two = self.member(), self.member()
        if one.pk != two.pk:
            services.merge_members(kept=one, merged=two, evidence="t", at=self.at)


def tidy():
    """Do what autovacuum does elsewhere; for tests it is switched off, and plans would stay those of empty tables."""
    with connections["owner"].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


# In one transaction no page sheds what thousands of events leave behind, and every statement reads all of it.
@pytest.mark.django_db(transaction=WHOLE, databases=["default", "owner"] if WHOLE else None)
@pytest.mark.timeout(0 if WHOLE else 180)
def test_what_follows_changes_equals_what_is_found_anew(brand):
    with brand_scope(brand.pk):
        world = World(5)
        base = services.save_segment(name="底", rule=HEARD_OF, at=AT)
        rules = rules_over(world.tags, world.store, base, world.template)
        segments = [kept(f"第{number}", rule) for number, rule in enumerate(rules)]
    services.refresh_segments(brand.pk, at=AT)
    moved = 0
    for step in range(EVENTS):
        with brand_scope(brand.pk):
            world.happen()
        if step % EVERY:
            continue
        if WHOLE and step % 200 == 0:
            tidy()
        world.at += 5 * MINUTE
        before = {each.pk: each.refreshed_at for each in segments}
        services.refresh_segments(brand.pk, at=world.at)
        with brand_scope(brand.pk):
            for number, segment in enumerate(segments):
                segment.refresh_from_db()
                wanted = sorted(matching(segment.rule, at=world.at).values_list("pk", flat=True))
                assert ids(segment) == wanted, (step, number, rules[number])
                assert (segment.counted, segment.refreshed_at) == (len(wanted), world.at)
                moved += segment.refreshed_at != before[segment.pk]
            assert SegmentDue.objects.count() == 0
    assert moved == len(segments) * len(range(0, EVENTS, EVERY))
    with brand_scope(brand.pk):
        people = Member.objects.filter(merged_into=None).count()
    print(f"{EVENTS:,} events, {people} people at the end, {moved:,} segments brought up to date, all equal")


def test_who_is_reached_by_following_is_followed_not_found_anew(in_brand):
    account = make_account()
    people = [make_follower(account) for _ in range(3)]
    follows(
        [
            {"all": [leaf("reachable", way="template", value="yes")]},
            {"all": [leaf("reachable", way="template", value="no"), leaf("joined", value="no")]},
        ],
        lambda at: services.record_unfollow(follower=people[0], at=at),
        lambda at: make_follower(account, at=at),
        lambda at: services.record_follow(follower=people[0], at=at),
        at=AT,
    )
    with pytest.MonkeyPatch.context() as patch:  # an app's way that cannot say whom time moves
        patch.setattr(
            "members.segment_conditions.asked.carriers", {"mail": Way("mail", "邮件", lambda some, _at: some)}
        )
        unknown = {"all": [leaf("reachable", way="mail", value="yes")]}
        assert turning(unknown, since=AT, until=AT + DAY) is None


def test_windows_consents_and_coupon_moves_are_followed_not_found_anew(in_brand):
    account, template = make_account(), make_template()
    people = [make_follower(account) for _ in range(3)]

    def agrees(at):
        SubscriptionStock.objects.create(follower=people[2], template_id="t", remaining=2, updated_at=at)

    moved = follows(
        [
            {"all": [leaf("reachable", way="custom", value="yes")]},
            {"all": [leaf("reachable", way="subscribe", value="yes")]},
            {"all": [leaf("event", how="did", event="coupons.given", times=1, days=3)]},
        ],
        lambda at: record_act(follower=people[0], act=Act.MESSAGE, at=at),  # comes, and its 48 hours end by time alone
        lambda at: issue_coupon(operation=Operation("t", "k"), template=template, member_id=people[1].member_id, at=at),
        agrees,
        lambda _at: SubscriptionStock.objects.update(remaining=1),
        lambda _at: SubscriptionStock.objects.update(remaining=0),
        lambda _at: None,
        at=AT,
    )
    assert moved == [2, 2, 2]


def test_only_what_opens_or_closes_a_way_is_noted(in_brand):
    follower = make_follower(make_account())
    kept("关注", FOLLOWING)
    stock = SubscriptionStock.objects.create(follower=follower, template_id="t", remaining=2, updated_at=AT)
    record_act(follower=follower, act=Act.MESSAGE, at=AT)
    SegmentDue.objects.all().delete()

    for _time in range(4):
        reserve_send(follower_id=follower.pk, at=AT + MINUTE)
    SubscriptionStock.objects.filter(pk=stock.pk).update(remaining=1)
    assert not SegmentDue.objects.exists()
    reserve_send(follower_id=follower.pk, at=AT + MINUTE)  # the last of five
    assert set(SegmentDue.objects.values_list("member_id", flat=True)) == {follower.member_id}
    SegmentDue.objects.all().delete()
    SubscriptionStock.objects.filter(pk=stock.pk).update(remaining=0)
    assert set(SegmentDue.objects.values_list("member_id", flat=True)) == {follower.member_id}


def test_only_those_who_changed_or_whom_time_moves_are_looked_at(in_brand):
    account = make_account()
    people = [make_member(account, last_interaction_at=AT - days * DAY) for days in (0, 10, 29, 60)]
    segment = kept("活跃", HEARD_OF)
    assert rebuild(segment, at=AT).came == 3
    SegmentDue.objects.all().delete()
    Member.objects.filter(pk=people[1].pk).update(last_interaction_at=AT - 50 * DAY)
    Member.objects.filter(pk=people[3].pk).update(last_interaction_at=AT)  # changed, and nobody is told
    noted = set(SegmentDue.objects.values_list("member_id", flat=True))
    assert noted == {people[1].pk, people[3].pk}

    moved = follow(segment, [people[1].pk], at=AT + 2 * DAY)  # time moves the third

    assert (ids(segment), moved.came, moved.gone, segment.counted) == ([people[0].pk], 0, 2, 1)


def test_every_watched_table_has_its_triggers(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE '%\\_segments\\_%'")
        found = [table for (table,) in cursor.fetchall()]
    assert sorted(found) == sorted(3 * [key for key, column in watched.items() if column])


def test_brand_without_kept_segments_notes_nobody(brand, other_brand):
    with brand_scope(other_brand.pk):
        kept("灶", FOLLOWING)
    for each, noted in ((brand, False), (other_brand, True)):
        with brand_scope(each.pk):
            make_follower(make_account())
            assert SegmentDue.objects.exists() is noted


# --- how old they are, and what that keeps from happening ---


def test_age_is_what_the_segment_promises(in_brand):
    live, minutes = services.save_segment(name="即时", rule=FOLLOWING, at=AT), kept("五分钟", FOLLOWING)
    daily = kept("每天", FOLLOWING, freshness="DAILY", limit_minutes=60)
    for segment in (minutes, daily):
        assert (age_of(segment, at=AT).as_of, age_of(segment, at=AT).is_late) == (None, True)
        rebuild(segment, at=AT)
    late = [
        [age_of(segment, at=AT + after).is_late for segment in (live, minutes, daily)]
        for after in (30 * MINUTE, 31 * MINUTE, 60 * MINUTE, 61 * MINUTE)
    ]
    assert late == [[False, False, False], [False, True, False], [False, True, False], [False, True, True]]
    assert refusal(live, at=AT + 90 * DAY) is None
    said, hint = refusal(daily, at=AT + 61 * MINUTE)
    assert ("每天" in said, bool(hint)) == (True, True)
    for wrong in ({"limit_minutes": 10**6}, {"limit_minutes": -1}, {"freshness": "NEVER"}):
        with pytest.raises(LimitInvalid):
            services.save_segment(name="x", rule=FOLLOWING, at=AT, **wrong)


def test_people_of_a_kept_segment_are_those_kept_until_it_is_refreshed(brand):
    with brand_scope(brand.pk):
        first = make_member(make_account("一"))
        segment = kept("关注", FOLLOWING, freshness="DAILY")
    services.refresh_segments(brand.pk, at=AT)
    with brand_scope(brand.pk):
        second = make_member(make_account("二"))
        segment.refresh_from_db()
        assert list(people_of(segment, at=AT)) == [first]
    services.refresh_segments(brand.pk, at=AT + 22 * 60 * MINUTE)
    with brand_scope(brand.pk):
        assert ids(segment) == [first.pk]
    services.refresh_segments(brand.pk, at=AT + DAY)
    with brand_scope(brand.pk):
        assert ids(segment) == [first.pk, second.pk]
        services.save_segment(name="关注", rule=FOLLOWING, at=AT, segment=segment, freshness="LIVE")
        assert ids(segment) == []


def test_failed_refresh_opens_an_incident_keeps_the_others_going_and_heals(brand):
    with brand_scope(brand.pk):
        make_member(make_account())
        tag = make_tag("会消失")
        kept("坏", {"all": [leaf("tag", how="any", tags=[tag.pk])]})
        kept("好", FOLLOWING)
    assert services.refresh_segments(brand.pk, at=AT) == 2
    with brand_scope(brand.pk):
        tag.delete()
    assert services.refresh_segments(brand.pk, at=AT + 5 * MINUTE) == 1
    with brand_scope(brand.pk):
        broken = Segment.objects.get(name="坏")
        assert (bool(broken.problem), broken.refreshed_at) == (True, AT)
        assert open_incidents() == [("members.segment_late", "坏")]
        assert refusal(broken, at=AT + 5 * MINUTE) is None  # not too old yet
        assert "坏" in refusal(broken, at=AT + 31 * MINUTE)[0]
        services.save_segment(name="修好", rule=FOLLOWING, at=AT, segment=broken)
        assert open_incidents() == []
    services.refresh_segments(brand.pk, at=AT + 32 * MINUTE)
    with brand_scope(brand.pk):
        broken.refresh_from_db()
        assert (len(ids(broken)), broken.problem, refusal(broken, at=AT + 33 * MINUTE)) == (1, "", None)


def test_segment_that_failed_is_found_anew_not_followed(brand):
    with brand_scope(brand.pk):
        tag = make_tag("t")
        account = make_account()
        segment = kept("坏", {"any": [leaf("tag", how="any", tags=[tag.pk]), leaf("subscribed", value="yes")]})
    services.refresh_segments(brand.pk, at=AT)
    with brand_scope(brand.pk):
        rule, broken = segment.rule, {"all": [{"condition": "gone"}]}
        Segment.objects.filter(pk=segment.pk).update(rule=broken)
        missed = make_member(account)
    services.refresh_segments(brand.pk, at=AT + 5 * MINUTE)  # takes the note of the person, and fails
    with brand_scope(brand.pk):
        Segment.objects.filter(pk=segment.pk).update(rule=rule)
    services.refresh_segments(brand.pk, at=AT + 15 * MINUTE)
    with brand_scope(brand.pk):
        assert ids(segment) == [missed.pk]


def test_late_segment_opens_an_incident_that_ends_with_the_refresh(brand):
    with brand_scope(brand.pk):
        segment = kept("迟", FOLLOWING, freshness="DAILY", limit_minutes=60)
    services.refresh_segments(brand.pk, at=AT)
    services.refresh_segments(brand.pk, at=AT + 2 * 60 * MINUTE)
    with brand_scope(brand.pk):
        assert open_incidents() == [("members.segment_late", "迟")]
        services.refresh_segment(segment=segment, at=AT + 3 * 60 * MINUTE)
        assert open_incidents() == []


# --- segments that ask for segments ---


def test_segment_asks_for_others_but_never_for_itself(in_brand):
    account = make_account()
    new, old = make_member(account, joined_at=AT), make_member(account, last_interaction_at=AT)
    one = services.save_segment(name="一", rule=HEARD_OF, at=AT)
    asks = {"all": [leaf("segment", value="no", segments=[one.pk])]}
    two = services.save_segment(name="二", rule=asks, at=AT)
    assert set(matching(asks, at=AT)) == {new}
    assert set(matching({"all": [leaf("segment", value="yes", segments=[one.pk, two.pk])]}, at=AT)) == {new, old}
    everybody = services.save_segment(name="所有人", rule={"all": []}, at=AT)
    assert matching({"all": [leaf("segment", value="yes", segments=[everybody.pk])]}, at=AT).count() == 2
    for rule in (
        {"all": [leaf("segment", value="yes", segments=[two.pk])]},
        {"any": [HEARD_OF["all"][0], leaf("segment", value="no", segments=[one.pk])]},
    ):
        with pytest.raises(RuleInvalid) as refused:
            services.save_segment(name="一", rule=rule, at=AT, segment=one)
        assert "二" in refused.value.message or "一" in refused.value.message
    assert refused.value.path == "any[1].params"
    deep = two
    for number in range(3):
        asks = {"all": [leaf("segment", value="yes", segments=[deep.pk])]}
        deep = services.save_segment(name=f"深{number}", rule=asks, at=AT)
    with pytest.raises(RuleInvalid):
        matching({"all": [leaf("segment", value="yes", segments=[deep.pk])]}, at=AT)


def test_changed_rule_has_those_that_ask_for_it_found_anew(brand):
    with brand_scope(brand.pk):
        account = make_account()
        make_member(account, last_interaction_at=AT)
        other = make_member(account, last_interaction_at=None)
        inner = services.save_segment(name="内", rule=HEARD_OF, at=AT)
        outer = kept("外", {"all": [leaf("segment", value="no", segments=[inner.pk])]})
    services.refresh_segments(brand.pk, at=AT)
    with brand_scope(brand.pk):
        assert ids(outer) == [other.pk]
        services.save_segment(name="内", rule={"none": []}, at=AT, segment=inner)
    services.refresh_segments(brand.pk, at=AT + MINUTE)
    with brand_scope(brand.pk):
        assert ids(outer) == []


# --- the page ---


def test_page_keeps_refreshes_and_shows_the_age(brand, other_brand):
    with brand_scope(other_brand.pk):
        foreign = kept("灶", FOLLOWING)
    with brand_scope(brand.pk):
        make_member(make_account())
        segment = services.save_segment(name="关注", rule=FOLLOWING, at=AT)
        staff, reader = make_staff("marketer", "MARKETER"), make_staff("analyst", "ANALYST")
    client, eyes = Client(), Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    eyes.force_login(reader, backend="django.contrib.auth.backends.ModelBackend")
    page = f"/b/{brand.slug}/segments/{segment.pk}/"
    posted = {
        "name": "关注", "seen": segment.updated_at.isoformat(), "node": ["r", "r.0"], "r.kind": "all",
        "r.0.condition": "subscribed", "r.0.params.value": "yes",
    }  # fmt: skip

    refused = client.post(page, {**posted, "freshness": "MINUTES", "limit_minutes": "1e3"})
    assert (refused.status_code, 'id="segment-limit-error"' in refused.content.decode()) == (422, True)
    assert client.post(page, {**posted, "freshness": "MINUTES", "limit_minutes": "45"}).status_code == 302
    assert 'data-testid="age"' in client.get(page).content.decode()
    assert client.post(f"{page}refresh/").status_code == 302
    with brand_scope(brand.pk):
        segment.refresh_from_db()
        assert (segment.freshness, segment.limit_minutes, len(ids(segment))) == ("MINUTES", 45, 1)
    assert eyes.post(f"{page}refresh/").status_code == 403
    assert client.post(f"/b/{brand.slug}/segments/{foreign.pk}/refresh/").status_code == 404
