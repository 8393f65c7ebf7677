"""What WeChat reports later: matched whatever the order, counted once, the first final state stays."""

import random
from datetime import timedelta

import pytest
from django.db import connection

from campaigns import reasons, selectors, services
from campaigns.models import FinishEvent, UnknownPolicy
from campaigns.services import sending
from campaigns.services.results import verdict
from common import clock
from tests.campaigns.test_sending import claim


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("success", ("DELIVERED", "")),
        ("failed:user block", ("REFUSED", reasons.USER_BLOCK)),
        ("failed: user block", ("REFUSED", reasons.USER_BLOCK)),
        ("failed: system failed", ("FAILED", reasons.SYSTEM_FAILED)),
        ("failed:system failed", ("FAILED", reasons.SYSTEM_FAILED)),
        ("failed: freq limit", ("FAILED", reasons.FREQ_LIMIT)),
        ("whatever comes next", ("FAILED", reasons.RESULT_OTHER)),
        ("", ("FAILED", reasons.RESULT_OTHER)),
    ],
)
def test_every_status_has_a_state(status, state):
    assert verdict(status) == state


def test_shuffled_doubled_and_missing_results_settle_every_message_once(stage):
    stage.people(120)
    campaign = stage.launched()
    stage.send(campaign)
    rows = stage.truth()
    statuses = ["success"] * 100 + ["failed:user block"] * 10 + ["failed: system failed"] * 8
    events = [row | {"result": status} for row, status in zip(rows, statuses, strict=False)]
    events += random.Random(7).sample(events, 24)
    random.Random(8).shuffle(events)

    stage.report(events)

    assert stage.states(campaign) == {
        "DELIVERED": 100,
        ("REFUSED", reasons.USER_BLOCK): 10,
        ("FAILED", reasons.SYSTEM_FAILED): 8,
        "SENT": 2,
    }
    with stage.scope:
        assert FinishEvent.objects.count() == 0


def test_a_result_that_comes_before_the_answer_is_recorded_waits_for_it(stage, monkeypatch):
    stage.people(5)
    campaign = stage.launched()
    job, batch = claim(stage, campaign)
    recorded = []
    monkeypatch.setattr(sending, "_record", lambda *args: recorded.append(args))
    sending._deliver(job, batch)
    monkeypatch.undo()

    stage.report(stage.truth())
    assert stage.states(campaign) == {"LEASED": 5}
    with stage.scope:
        assert FinishEvent.objects.filter(tries=1).count() == 5

    sending._record(*recorded[0])
    stage.settle()
    assert stage.states(campaign) == {"DELIVERED": 5}


def test_conflicting_results_keep_the_first(stage):
    stage.people(1)
    campaign = stage.launched()
    stage.send(campaign)
    (row,) = stage.truth()
    stage.report([row])
    stage.report([row | {"result": "failed:user block"}])
    assert stage.states(campaign) == {"DELIVERED": 1}


def test_a_result_settles_the_persons_unconfirmed_message(stage):
    stage.people(3)
    campaign = stage.launched(unknown_policy=UnknownPolicy.LEAVE)
    stage.wechat.fault("reset_after", count=3)
    stage.send(campaign)
    assert stage.states(campaign) == {("UNKNOWN", reasons.NO_ANSWER): 3}

    stage.report(stage.truth()[:2])

    assert stage.states(campaign) == {"DELIVERED": 2, ("UNKNOWN", reasons.NO_ANSWER): 1}


def test_a_result_to_a_person_with_two_unconfirmed_messages_settles_neither(stage):
    stage.people(1)
    campaigns = [stage.launched(unknown_policy=UnknownPolicy.LEAVE) for _ in range(2)]
    for campaign in campaigns:
        stage.wechat.fault("reset_after", count=1)
        stage.send(campaign)
    stage.report(stage.truth()[:1])
    for campaign in campaigns:
        assert stage.states(campaign) == {("UNKNOWN", reasons.NO_ANSWER): 1}


def test_a_result_of_a_worker_that_was_too_late_still_counts(stage):
    stage.people(1)
    campaign = stage.launched(unknown_policy=UnknownPolicy.LEAVE)
    job, batch = claim(stage, campaign)
    stage.pass_time(campaign, 100_000)
    stage.send(campaign)
    assert stage.states(campaign) == {("UNKNOWN", reasons.LEASE_LOST): 1}
    sending._deliver(job, batch)
    assert stage.states(campaign) == {("UNKNOWN", reasons.LEASE_LOST): 1}
    assert stage.attempts()[-1] == ("LATE", "")

    stage.report(stage.truth())

    assert stage.states(campaign) == {"DELIVERED": 1}


def test_results_of_other_brands_and_accounts_match_nothing(stage, other_stage):
    stage.people(1)
    campaign = stage.launched()
    stage.send(campaign)
    other_stage.report(stage.truth())
    assert stage.states(campaign) == {"SENT": 1}
    with stage.scope:
        services.record_result(
            account_id=stage.account.pk + 1,
            openid=stage.openids[0],
            msgid=stage.truth()[0]["msgid"],
            status="success",
            event_at=clock.now(),
        )
    stage.settle()
    assert stage.states(campaign) == {"SENT": 1}


def test_unmatched_results_are_given_up_after_two_days(stage):
    with stage.scope:
        services.record_result(
            account_id=stage.account.pk, openid="o1", msgid="77", status="success", event_at=clock.now()
        )
        services.record_result(
            account_id=stage.account.pk, openid="o1", msgid="x7", status="success", event_at=clock.now()
        )
    stage.settle()
    with stage.scope:
        assert list(FinishEvent.objects.values_list("msgid", "tries")) == [(77, 1)]
    with stage.scope, connection.cursor() as cursor:
        cursor.execute("UPDATE campaigns_finishevent SET created_at = now() - interval '49 hours'")
    stage.settle()
    with stage.scope:
        assert FinishEvent.objects.count() == 0


def test_accepted_without_a_result_for_a_day_is_not_confirmed(stage):
    stage.people(4)
    campaign = stage.launched()
    stage.send(campaign)
    stage.report(stage.truth()[:1])
    campaign = stage.reload(campaign)
    with stage.scope:
        assert selectors.report(campaign, at=clock.now()).not_confirmed == 0
        tomorrow = selectors.report(campaign, at=clock.now() + timedelta(hours=25))
    assert (tomorrow.not_confirmed, tomorrow.adds_up) == (3, True)


def test_a_test_message_shows_its_result(stage):
    (openid,) = stage.people(1, name="陈子涵")
    campaign = stage.campaign()
    with stage.scope:
        result = services.send_test(campaign=campaign, openid=openid, at=clock.now())
    assert (result.accepted, result.sent.outcome) == (True, "ACCEPTED")

    stage.report(stage.truth())

    with stage.scope:
        (sent,) = selectors.test_sends(campaign)
    assert (sent.status, sent.settled_at is not None) == ("success", True)


def test_a_refused_test_message_is_explained(stage):
    (openid,) = stage.people(1)
    campaign = stage.campaign(content={"thing1": "提醒", "time2": "2025-06-02 15:30"})
    stage.wechat.fault("errcode", errcode=47003)
    with stage.scope:
        result = services.send_test(campaign=campaign, openid=openid, at=clock.now())
    assert (result.accepted, result.sent.code) == (False, "47003")
    assert result.explanation.cause
    assert result.explanation.action


def test_of_two_results_for_one_message_in_one_batch_the_first_counts(stage):
    stage.people(1)
    campaign = stage.launched()
    stage.send(campaign)
    (row,) = stage.rows(campaign)
    late = row.msgid + 1
    with stage.scope:
        sending._note_attempts(
            stage.brand.pk, [(row.pk, 1, "LATE", "", "", late + 1), (row.pk, 1, "LATE", "", "", late)]
        )
        for msgid, status in ((late, "failed:user block"), (late + 1, "success")):
            services.record_result(
                account_id=stage.account.pk, openid=row.openid, msgid=str(msgid), status=status, event_at=clock.now()
            )
    with stage.scope, connection.cursor() as cursor:
        # The later one is looked at before the earlier: only then does the order of arrival have to be minded.
        cursor.execute("UPDATE campaigns_finishevent SET due_at = now() - id * interval '1 second'")
    with stage.scope:
        assert not services.settle_results(at=clock.now())
    (row,) = stage.rows(campaign)
    assert (row.state, row.reason) == ("REFUSED", reasons.USER_BLOCK)
    with stage.scope:
        assert not FinishEvent.objects.exists()
        progress = selectors.progress(stage.reload(campaign), at=clock.now())
    assert progress.adds_up
