"""The sweeper is enough: whatever the broker lost, everything due is found again in PostgreSQL."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import OperationalError, connection

from campaigns import services, tasks
from campaigns.models import CampaignState
from common import clock
from config.celery import app


@contextmanager
def running():
    """Workers are up: every task runs in this process as soon as it is rung for."""
    app.conf.task_always_eager = True
    try:
        yield
    finally:
        app.conf.task_always_eager = False


def test_a_launch_runs_to_the_end(stage):
    stage.people(30)
    campaign = stage.campaign()
    with running(), stage.scope:
        services.launch(campaign=campaign, at=clock.now())
    assert stage.states(campaign) == {"SENT": 30}
    assert stage.reload(campaign).state == CampaignState.FINISHED


def test_lost_wake_up_calls_are_made_up_by_the_sweeper(stage):
    stage.people(10)
    campaign = stage.campaign()
    with stage.scope:
        services.launch(campaign=campaign, at=clock.now())
    assert stage.reload(campaign).state == CampaignState.FREEZING

    with running():
        tasks.sweep_deliveries()
    assert stage.reload(campaign).state == CampaignState.FINISHED
    assert stage.calls() == 10


def test_the_sweeper_starts_resumes_settles_and_closes(stage):
    stage.people(10)
    planned = stage.campaign(scheduled_at=clock.now() + timedelta(hours=1))
    parked, stopped, retried = stage.launched(), stage.launched(), stage.launched()
    stage.wechat.fault("reset_after", count=2)
    stage.send(retried)
    with stage.scope:
        services.launch(campaign=planned, at=clock.now())
        services.park(campaign_id=parked.pk, code="45011", until=clock.now())
    with stage.scope, connection.cursor() as cursor:
        cursor.execute("UPDATE campaigns_campaign SET state = 'STOPPED' WHERE id = %s", [stopped.pk])
        cursor.execute("UPDATE campaigns_campaign SET scheduled_at = now() WHERE id = %s", [planned.pk])
    stage.pass_time(retried, 60)
    stage.pass_time(parked, 11)  # the calls of its launch were lost
    with stage.scope:
        for row in stage.truth():
            services.record_result(
                account_id=stage.account.pk,
                openid=row["openid"],
                msgid=row["msgid"],
                status="success",
                event_at=clock.now(),
            )

    with running():
        tasks.sweep_deliveries()
        tasks.sweep_deliveries()

    assert stage.states(planned) == {"SENT": 10}
    assert stage.states(parked) == {"SENT": 10}
    assert stage.states(stopped) == {("SUPPRESSED", "STOPPED"): 10}
    assert stage.states(retried)["DELIVERED"] >= 8
    assert {stage.reload(each).state for each in (planned, parked, retried)} == {CampaignState.FINISHED}
    assert stage.reload(stopped).finished_at is not None


def test_a_lane_is_rung_for_once_until_the_call_counts_as_lost(stage):
    stage.people(1)
    campaign = stage.launched()
    with stage.scope:
        assert services.ring_lanes(campaign_id=campaign.pk) == 0  # the freeze has just rung for all of them
    stage.pass_time(campaign, 11)
    with stage.scope:
        assert services.ring_lanes(campaign_id=campaign.pk) == 4
        assert services.ring_lanes(campaign_id=campaign.pk) == 0


def test_a_wake_up_call_that_met_no_database_is_made_again(stage):
    stage.people(3)
    campaign = stage.launched()
    away = [OperationalError("the database is away")]

    def execute_or_fail(execute, *arguments):
        if away:
            raise away.pop()
        return execute(*arguments)

    with running(), connection.execute_wrapper(execute_or_fail), pytest.raises(OperationalError):
        tasks.send_due(stage.brand.pk, campaign.pk, 0)
    assert stage.states(campaign) == {"SENT": 3}


def test_a_resumed_campaign_goes_on_at_once(stage):
    stage.people(1)
    campaign = stage.launched()
    with stage.scope:
        services.pause(campaign=campaign, at=clock.now())
    for lane in range(4):
        tasks.send_due(stage.brand.pk, campaign.pk, lane)
    with running(), stage.scope:
        services.resume(campaign=campaign, at=clock.now())
    assert stage.states(campaign) == {"SENT": 1}


def test_sweeping_twice_sends_nothing_twice(stage):
    stage.people(5)
    campaign = stage.launched()
    with running():
        tasks.sweep_deliveries()
        for _ in range(3):
            tasks.sweep_deliveries()
            tasks.send_due(stage.brand.pk, campaign.pk, 0)
            tasks.freeze_audience(stage.brand.pk, campaign.pk)
            tasks.probe(stage.brand.pk, campaign.pk)
            tasks.start_scheduled(stage.brand.pk, campaign.pk)
            tasks.finish_if_done(stage.brand.pk, campaign.pk)
            tasks.close_stopped(stage.brand.pk, campaign.pk)
            tasks.settle_results(stage.brand.pk)
    assert stage.calls() == 5
    assert stage.states(campaign) == {"SENT": 5}


def test_yesterdays_worker_survives_todays_caller(stage):
    stage.people(1)
    campaign = stage.launched()
    with running():
        tasks.send_due.apply_async((stage.brand.pk, campaign.pk, 0), {"unheard_of": 1})
    assert stage.states(campaign) == {"SENT": 1}
