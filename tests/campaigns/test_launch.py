"""Launching: once, with an audience that is frozen and adds up."""

import importlib
import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import AuditEntry
from campaigns import reasons, selectors, services
from campaigns.errors import AlreadyLaunched, NotInThisState, NotReady
from campaigns.models import CampaignState, Delivery, Lane, UnknownPolicy
from common import clock
from members.models import Follower, Member, OptOut, Purpose
from members.services import save_segment, tag_members, untag_members
from tests.factories import AT, make_account, make_follower, make_tag

launching = importlib.import_module("campaigns.services.launch")  # the package's name for it is the function


def launch(stage, campaign):
    with stage.scope:
        return services.launch(campaign=campaign, at=clock.now())


def test_a_rule_that_broke_before_the_freeze_stops_the_campaign_with_the_reason(stage):
    stage.people(2)
    with stage.scope:
        tag = make_tag("静安店")
        rule = {"all": [{"condition": "tag", "params": {"how": "any", "tags": [tag.pk]}}]}
        segment = save_segment(name="静安店", rule=rule, at=clock.now())
    campaign = stage.campaign(segment=segment)
    broken = stage.campaign(segment=segment)
    launch(stage, campaign)
    with stage.scope:
        tag.delete()
        assert services.freeze_audience(campaign_id=campaign.pk, at=clock.now()) is None
    stopped = stage.reload(campaign)
    assert (stopped.state, stopped.parked_code, stopped.audience_count) == ("STOPPED", reasons.RULE_INVALID, 0)
    with stage.scope:
        assert selectors.progress(stopped, at=clock.now()).parked.cause
    with stage.scope, pytest.raises(NotReady) as refused:
        services.launch(campaign=broken, at=clock.now())
    assert [problem.code for problem in refused.value.problems] == ["rule_invalid"]


def test_fifty_launches_at_once_are_one(stage):
    stage.people(10)
    campaign = stage.campaign()
    start = threading.Barrier(50)
    results = []

    def press():
        start.wait(30)
        try:
            launch(stage, campaign)
            results.append("launched")
        except AlreadyLaunched as error:
            results.append(error.status)
        finally:
            connection.close()

    threads = [threading.Thread(target=press) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(results, key=str) == [409] * 49 + ["launched"]
    with stage.scope:
        assert AuditEntry.objects.filter(action="launch campaign").count() == 1


def test_freezing_twice_at_once_writes_everybody_once(stage):
    stage.people(30)
    campaign = stage.campaign()
    launch(stage, campaign)
    counts = []

    def freeze():
        try:
            with stage.scope:
                counts.append(services.freeze_audience(campaign_id=campaign.pk, at=clock.now()))
        finally:
            connection.close()

    threads = [threading.Thread(target=freeze) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(counts, key=str) == [30, None, None, None]
    assert len(stage.rows(campaign)) == 30
    with stage.scope:
        assert Lane.objects.filter(campaign=campaign).count() == 4


def test_the_audience_is_what_the_rule_selected_then(stage):
    stage.people(20)
    with stage.scope:
        tag = make_tag("静安店")
        chosen = sorted(Member.objects.values_list("pk", flat=True))
        tag_members(member_ids=chosen, tag_ids=[tag.pk], source="test", at=clock.now())
        rule = {"all": [{"condition": "tag", "params": {"how": "any", "tags": [tag.pk]}}]}
        segment = save_segment(name="静安店", rule=rule, at=clock.now())
    stage.people(15)
    campaign = stage.launched(segment=segment)

    with stage.scope:
        untag_members(member_ids=chosen[:5], tag_ids=[tag.pk])
        tag_members(
            member_ids=Member.objects.exclude(pk__in=chosen).values_list("pk", flat=True),
            tag_ids=[tag.pk],
            source="test",
            at=clock.now(),
        )
        save_segment(name="静安店", rule={"all": []}, at=clock.now(), segment=segment)
    stage.people(5)
    stage.send(campaign)

    assert [row.member_id for row in stage.rows(campaign)] == chosen
    assert [row.seq for row in stage.rows(campaign)] == list(range(1, 21))
    assert len(stage.truth()) == 20


def test_whoever_cannot_or_must_not_be_reached_has_a_row_with_the_reason(stage):
    stage.people(10)
    with stage.scope:
        people = list(Member.objects.order_by("pk"))
        OptOut.objects.create(member=people[0], purpose=Purpose.SERVICE, at=AT)
        OptOut.objects.create(member=people[1], purpose=Purpose.MARKETING, at=AT)
        Follower.objects.filter(member=people[2]).update(subscribed=False)
        make_follower(make_account("另一个号"))
    campaign = stage.launched()

    assert stage.states(campaign) == {
        "PENDING": 8,
        ("SUPPRESSED", reasons.OPTED_OUT): 1,
        ("SUPPRESSED", reasons.UNFOLLOWED): 1,
        ("SUPPRESSED", reasons.NOT_FOLLOWER): 1,
    }
    with stage.scope:
        report = selectors.report(stage.reload(campaign), at=clock.now())
    assert (report.total, report.adds_up, sum(each.count for each in report.slices)) == (11, True, 11)
    assert all(each.cause for each in report.slices if each.reason)


def test_a_person_with_two_openids_gets_one_message(stage):
    first, second = stage.people(2)
    with stage.scope:
        kept = Follower.objects.get(openid=first)
        Follower.objects.filter(openid=second).update(member_id=kept.member_id, subscribed=False)
        Member.objects.exclude(pk=kept.member_id).update(merged_into_id=kept.member_id)
    campaign = stage.launched()

    stage.send(campaign)

    assert [row.openid for row in stage.rows(campaign)] == [first]


def test_a_planned_campaign_starts_at_its_time_and_can_be_taken_back(stage):
    stage.people(3)
    at = clock.now()
    campaign = stage.campaign(scheduled_at=at + timedelta(hours=2))
    assert launch(stage, campaign).state == CampaignState.SCHEDULED

    with stage.scope:
        assert services.start_scheduled(campaign_id=campaign.pk, at=at + timedelta(hours=1)) is False
        services.unschedule(campaign=campaign, at=at)
    assert stage.reload(campaign).state == CampaignState.DRAFT
    launch(stage, campaign)
    with stage.scope:
        later = at + timedelta(hours=2)
        started = [services.start_scheduled(campaign_id=campaign.pk, at=later) for _ in range(2)]
    assert started == [True, False]
    with stage.scope, pytest.raises(NotInThisState):
        services.unschedule(campaign=campaign, at=at)


def test_a_launched_campaign_cannot_be_changed(stage):
    stage.people(1)
    campaign = stage.launched()
    with stage.scope, pytest.raises(AlreadyLaunched):
        services.update_campaign(campaign=campaign, at=clock.now(), content={})
    with stage.scope, pytest.raises(AlreadyLaunched):
        services.launch(campaign=campaign, at=clock.now())


def test_a_campaign_that_is_not_ready_says_everything_that_is_wrong(stage):
    campaign = stage.campaign(
        purpose=Purpose.MARKETING,
        segment=None,
        content={"thing1": "{称呼}，您好", "time2": "明天下午"},
        scheduled_at=clock.now() - timedelta(minutes=1),
    )
    with stage.scope, pytest.raises(NotReady) as refused:
        services.launch(campaign=campaign, at=clock.now())

    assert {problem.code for problem in refused.value.problems} == {
        "segment_missing",
        "schedule_past",
        "carrier_not_allowed",
        "variable_unknown",
        "field_invalid",
    }
    wrong_carrier = next(p for p in refused.value.problems if p.code == "carrier_not_allowed")
    assert wrong_carrier.hint
    assert stage.reload(campaign).state == CampaignState.DRAFT


def test_unknown_results_are_left_for_marketing_and_sent_again_for_service(stage):
    service = stage.campaign()
    marketing = stage.campaign(purpose=Purpose.MARKETING, carrier="custom", content={"text": "周末见"})
    assert launch(stage, service).unknown_policy == UnknownPolicy.RESEND
    assert launch(stage, marketing).unknown_policy == UnknownPolicy.LEAVE


def test_progress_takes_one_query_whatever_the_size(stage, django_assert_num_queries):
    stage.people(30)
    campaign = stage.launched()
    stage.send(campaign)
    campaign = stage.reload(campaign)
    with stage.scope, django_assert_num_queries(1):
        progress = selectors.progress(campaign, at=clock.now())
    assert (progress.total, progress.sent, progress.sum, progress.adds_up, progress.percent) == (30, 30, 30, True, 100)
    assert progress.rate > 0


def test_pages_of_messages_follow_the_number(stage):
    stage.people(25)
    campaign = stage.launched()
    with stage.scope:
        first = selectors.deliveries(campaign, size=10)
        second = selectors.deliveries(campaign, size=10, after=first.next_after)
        last = selectors.deliveries(campaign, size=10, after=second.next_after)
        waiting = selectors.deliveries(campaign, states=["PENDING"], size=100)
        failed = selectors.deliveries(campaign, states=["FAILED"], reason="43004")
    seqs = [row.seq for page in (first, second, last) for row in page.rows]
    assert seqs == list(range(1, 26))
    assert last.next_after is None
    assert (len(waiting.rows), len(failed.rows)) == (25, 0)


def test_a_freeze_of_thousands_asks_a_fixed_number_of_questions(stage, django_assert_max_num_queries):
    with stage.scope:
        from uuid import uuid4

        members = Member.objects.bulk_create(
            Member(public_id=uuid4(), member_no=f"M{number:09d}", created_at=AT, subscribed=True)
            for number in range(5000)
        )
        Follower.objects.bulk_create(
            Follower(account=stage.account, openid=f"oBulk{number:020d}", member=member, subscribed=True)
            for number, member in enumerate(members)
        )
    with django_assert_max_num_queries(100):
        campaign = stage.launched()
    assert stage.reload(campaign).audience_count == 5000


def test_the_database_keeps_a_campaign_as_long_as_it_has_messages(stage):
    stage.people(2)
    campaign = stage.launched()
    for statement in (
        "DELETE FROM campaigns_campaign WHERE id = %s",
        "UPDATE campaigns_delivery SET campaign_id = campaign_id + 1000 WHERE campaign_id = %s",
        "UPDATE campaigns_delivery SET brand_id = brand_id + 1 WHERE campaign_id = %s",
    ):
        with stage.scope, connection.cursor() as cursor:
            # What else refers to a campaign must not be what refuses.
            for table in ("tally", "lane", "pace", "testsend"):
                cursor.execute(f"DELETE FROM campaigns_{table} WHERE campaign_id = %s", [campaign.pk])
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            with pytest.raises(IntegrityError, match=r"belong to this row|never changes"), transaction.atomic():
                cursor.execute(statement, [campaign.pk])
            transaction.set_rollback(True)
    draft = stage.campaign()
    with stage.scope:
        draft.delete()
        stage.reload(campaign).deliveries.first().save()
    assert len(stage.rows(campaign)) == 2


def test_no_messages_are_made_for_a_campaign_that_is_not_there(stage):
    stage.people(2)
    campaign = stage.campaign()
    with stage.scope, connection.cursor() as cursor:
        ghost = stage.reload(campaign)
        ghost.pk, ghost.rule = ghost.pk + 1_000_000, {"all": []}
        cursor.execute(*launching._freeze_statement(ghost, clock.now()))
        assert cursor.fetchall() == []
    with stage.scope:
        assert not Delivery.objects.exists()
