"""A campaign from launch to result: everybody once, in one final state, whatever happens in between."""

import itertools
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import every_brand
from campaigns import invariants, pacing, reasons, selectors, services
from campaigns.models import CampaignState, Delivery, UnknownPolicy
from campaigns.services import sending
from common import clock, failpoints
from members.models import Follower, Member, Purpose
from members.services import withdraw_consent
from wechat_gateway import calls, stores, tokens
from wechat_gateway.models import AccessToken
from wechat_gateway.quotas import next_reset
from wechat_gateway.services import resume_calls, set_active


def claim(stage, campaign, size=64):
    """What a worker does before it dies: lease some messages."""
    with stage.scope:
        job = sending.Job.load(stage.brand.pk, campaign.pk, 0)
    return job, sending._claim(job, size, (CampaignState.SENDING,))


def test_a_campaign_reaches_everybody_once(stage):
    stage.people(150)
    campaign = stage.launched()

    stage.send(campaign)

    assert stage.states(campaign) == {"SENT": 150}
    assert sorted(row["openid"] for row in stage.truth()) == sorted(stage.openids)
    assert stage.reload(campaign).state == CampaignState.FINISHED
    stage.report(stage.truth())
    assert stage.states(campaign) == {"DELIVERED": 150}


def test_facts_are_those_of_the_launch(stage):
    stage.people(1, name="陈子涵")
    campaign = stage.launched()
    with stage.scope:
        Member.objects.update(name="改名了")

    stage.send(campaign)

    body = stage.wechat.look("/people", appid=stage.account.appid)["people"][0]
    entries = stage.wechat.look(f"/people/{body['id']}/conversation", appid=stage.account.appid)["entries"]
    rows = {row["key"]: row["value"] for row in entries[-1]["rows"]}
    assert rows == {"thing1": "陈子涵的预约", "time2": "2025-06-02 15:30"}


def test_several_workers_share_a_campaign_without_sending_twice(stage):
    stage.people(400)
    campaign = stage.launched()

    def work(lane):
        try:
            services.send_slice(
                brand_id=stage.brand.pk, campaign_id=campaign.pk, lane=lane, until=clock.timestamp() * 2
            )
        finally:
            connection.close()

    workers = [threading.Thread(target=work, args=(lane,)) for lane in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert stage.states(campaign) == {"SENT": 400}
    assert stage.calls() == 400


def test_a_lane_is_taken_once(stage):
    stage.people(1)
    campaign = stage.launched()
    with stage.scope:
        job = sending.Job.load(stage.brand.pk, campaign.pk, 0)
        assert sending._take_lane(job) is True
        assert sending._take_lane(job) is False
    assert stage.send(campaign) is False
    assert stage.calls() == 0

    stage.pass_time(campaign, sending.LANE_SECONDS + 1)
    stage.send(campaign)
    assert stage.calls() == 1


def test_the_lane_of_a_dead_process_is_free_at_once(stage):
    stage.people(1)
    campaign = stage.launched()
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with stage.scope:
        job = sending.Job.load(stage.brand.pk, campaign.pk, 0)
        host = job.worker.rpartition(":")[0]
        job.worker = f"{host}:{process.pid}"
        assert sending._take_lane(job) is True

    stage.send(campaign)

    assert stage.calls() == 1


def test_a_worker_that_dies_before_sending_loses_nobody(stage):
    stage.people(70)
    campaign = stage.launched()
    _job, batch = claim(stage, campaign)
    assert len(batch) == 64

    stage.send(campaign)
    assert stage.states(campaign) == {"LEASED": 64, "SENT": 6}
    assert stage.reload(campaign).state == CampaignState.SENDING

    stage.pass_time(campaign, 60)
    stage.send(campaign)
    assert stage.states(campaign) == {"SENT": 70}
    assert [outcome for outcome, _ in stage.attempts()].count("LOST") == 64


def test_a_worker_that_dies_between_send_and_record_doubles_nothing_visibly(stage, monkeypatch):
    stage.people(20)
    campaign = stage.launched()
    job, batch = claim(stage, campaign)

    class Killed(BaseException):
        pass

    def die(*_args):
        raise Killed

    monkeypatch.setattr(sending, "_record", die)
    with pytest.raises(Killed):
        sending._deliver(job, batch)
    monkeypatch.undo()
    assert stage.states(campaign) == {"LEASED": 20}

    stage.pass_time(campaign, 60)
    stage.send(campaign)

    assert stage.states(campaign) == {"SENT": 20}
    assert stage.calls() == 40
    truth = stage.truth()
    assert len(truth) == 20
    assert sum(row["visible_duplicate"] for row in truth) == 0
    assert {str(row.msgid) for row in stage.rows(campaign)} == {row["msgid"] for row in truth}
    assert [outcome for outcome, _ in stage.attempts()] == ["LOST"] * 20 + ["ACCEPTED"] * 20


def test_a_zombie_changes_nothing(stage):
    stage.people(5)
    campaign = stage.launched()
    job, batch = claim(stage, campaign)
    stage.pass_time(campaign, 60)
    stage.send(campaign)
    before = stage.rows(campaign)

    late = [sending.Entry(claimed, sending.DeliveryState.FAILED, "47003") for claimed in batch]
    sending._record(job, late, None)

    after = stage.rows(campaign)
    assert [(row.state, row.reason, row.msgid, row.attempt) for row in after] == [
        (row.state, row.reason, row.msgid, row.attempt) for row in before
    ]
    assert stage.attempts()[-5:] == [("LATE", "47003")] * 5


def test_two_attempts_of_a_message_in_one_hand_count_once(stage):
    stage.people(3)
    campaign = stage.launched()
    job, first = claim(stage, campaign)
    stage.pass_time(campaign, 60)
    _, second = claim(stage, campaign)
    both = [*first, *second]

    entries = [sending.Entry(claimed, sending.DeliveryState.SENT, msgid=n) for n, claimed in enumerate(both, 1)]
    sending._record(job, entries, None)

    assert stage.states(campaign) == {"SENT": 3}
    assert [row.msgid for row in stage.rows(campaign)] == [4, 5, 6]
    with stage.scope:
        assert invariants.breaches() == []


def test_a_claim_that_fails_loses_no_answer(stage, monkeypatch):
    """The first claim's messages are under way when the database refuses the second."""
    stage.people(200)
    campaign = stage.launched()
    claims = itertools.count(1)

    def fail():
        if next(claims) == 3:
            raise OperationalError("canceling statement due to lock timeout")

    monkeypatch.setitem(failpoints.armed, "sending: claimed, not committed", fail)
    with pytest.raises(OperationalError, match="lock timeout"):
        stage.send(campaign)
    claimed = settings.SEND_CLAIM_SIZE
    assert stage.states(campaign)["SENT"] > claimed // 2
    assert "LEASED" not in stage.states(campaign)

    monkeypatch.delitem(failpoints.armed, "sending: claimed, not committed")
    stage.pass_time(campaign, 60)
    stage.send(campaign)
    assert stage.states(campaign) == {"SENT": 200}
    assert stage.attempts() == []
    with stage.scope:
        assert invariants.breaches() == []


def test_answers_do_not_wait_for_the_slow_ones(stage, monkeypatch):
    """Or their leases would end before they are recorded."""
    stage.people(5)
    campaign = stage.launched()
    monkeypatch.setattr(sending, "UNWRITTEN_SECONDS", -1.0)

    with CaptureQueriesContext(connection) as seen:
        stage.send(campaign)

    assert sum("state = v.state" in query["sql"] for query in seen) == 5
    assert stage.states(campaign) == {"SENT": 5}


def test_a_slow_worker_whose_lease_ended_may_still_record_if_nobody_took_over(stage):
    stage.people(3)
    campaign = stage.launched()
    job, batch = claim(stage, campaign)
    stage.pass_time(campaign, 60)

    sending._deliver(job, batch)

    assert stage.states(campaign) == {"SENT": 3}


def test_an_answer_that_never_came_is_asked_for_again_with_the_same_id(stage):
    stage.people(10)
    campaign = stage.launched()
    stage.wechat.fault("reset_after", count=3)

    stage.send(campaign)
    assert stage.states(campaign) == {"SENT": 7, ("UNKNOWN", reasons.NO_ANSWER): 3}
    assert stage.reload(campaign).state == CampaignState.SENDING

    stage.pass_time(campaign, 60)
    stage.send(campaign)
    assert stage.states(campaign) == {"SENT": 10}
    assert len(stage.truth()) == 10
    assert stage.calls() == 13


def test_an_unknown_result_past_the_window_is_left_or_sent_again_by_policy(stage, settings):
    stage.people(2)
    left = stage.launched(unknown_policy=UnknownPolicy.LEAVE)
    again = stage.launched(unknown_policy=UnknownPolicy.RESEND)
    window = settings.CLIENT_MSG_ID_WINDOW_SECONDS
    for campaign in (left, again):
        stage.wechat.fault("reset_after", count=2)
        stage.send(campaign)
        assert stage.states(campaign) == {("UNKNOWN", reasons.NO_ANSWER): 2}
        stage.pass_time(campaign, window + 1)
        stage.send(campaign)
        assert stage.states(campaign) == {("UNKNOWN", reasons.NO_ANSWER): 2}

    assert stage.reload(left).state == CampaignState.FINISHED
    assert stage.reload(again).state == CampaignState.SENDING  # it first waits for WeChat's result
    calls = stage.calls()
    stage.pass_time(again, sending.SETTLE_SECONDS)
    stage.send(again)
    assert stage.states(again) == {"SENT": 2}
    assert stage.calls() == calls + 2
    assert {row["client_msg_id"].rsplit("-", 1)[1] for row in stage.truth()} == {"0", "1"}


def test_a_message_that_was_not_sent_waits_and_goes_out_later(stage):
    stage.people(30)
    campaign = stage.launched()
    stage.wechat.fault("busy", count=4)

    stage.send(campaign)
    assert stage.states(campaign) == {"SENT": 26, ("PENDING", "-1"): 4}

    stage.pass_time(campaign, 600)
    stage.send(campaign)
    assert stage.states(campaign) == {"SENT": 30}


def test_refusals_name_their_reason_and_mark_the_person(stage):
    gone, *_ = stage.people(5)
    campaign = stage.launched()
    people = stage.wechat.look("/people", appid=stage.account.appid)["people"]
    person = next(p for p in people if p["accounts"][stage.account.appid]["openid"] == gone)
    stage.wechat.control(f"/people/{person['id']}/act", {"act": "unfollow", "appid": stage.account.appid})

    stage.send(campaign)

    assert stage.states(campaign) == {"SENT": 4, ("REFUSED", "43004"): 1}
    with stage.scope:
        assert Follower.objects.get(openid=gone).subscribed is False
    with stage.scope:
        (problem,) = selectors.progress(campaign, at=clock.now()).problems
    assert (problem.reason, problem.count) == ("43004", 1)
    assert problem.cause


def is_tried(campaign, at):
    """Whether the sweeper rings for a parked campaign."""
    with every_brand(reason="the sweeper"):
        (work,) = [work for work in selectors.at_work() if work.campaign_id == campaign.pk]
    return work.probe_due(at)


def test_a_disconnected_account_sends_nothing_and_the_rest_arrives_once_after_reconnecting(stage, monkeypatch):
    stage.people(40)
    campaign = stage.launched()
    claimed = []

    def disconnect_meanwhile():
        """Somebody disconnects the account while it is being sent: this process has the token in its memory."""
        claimed.append(1)
        if len(claimed) == 3:
            with stage.scope:
                set_active(account=stage.account, is_active=False)

    monkeypatch.setitem(failpoints.armed, "sending: claimed", disconnect_meanwhile)
    monkeypatch.setattr(settings, "SEND_CLAIM_SIZE", 8)
    stage.send(campaign)

    parked = stage.reload(campaign)
    before = stage.calls()
    assert (parked.state, parked.parked_code) == (CampaignState.PARKED, "DISCONNECTED")
    assert 0 < before < 40
    assert len(stage.truth()) == before
    with stage.scope:
        shown = selectors.progress(parked, at=clock.now())
    assert shown.parked.cause == reasons.explain(reasons.DISCONNECTED).cause
    assert shown.parked_until is None

    # Nobody tries while it stays so, however much later it is; a person's test does not leave us either.
    later = clock.now() + timedelta(days=3)
    assert not services.probe(brand_id=stage.brand.pk, campaign_id=campaign.pk, at=later)
    assert calls.send_template(stage.account, {"touser": "o"}).cause == "DISCONNECTED"
    assert not is_tried(campaign, later)
    assert stage.calls() == before

    with stage.scope:
        set_active(account=stage.account, is_active=True)
    assert is_tried(campaign, clock.now())
    stage.pass_time(campaign, 60)
    assert services.probe(brand_id=stage.brand.pk, campaign_id=campaign.pk, at=clock.now())
    stage.pass_time(campaign, 60)
    stage.send(campaign)
    assert stage.states(campaign) == {"SENT": 40}
    assert len(stage.truth()) == 40
    assert len({row["openid"] for row in stage.truth()}) == 40


def test_quota_parks_and_resumes_after_midnight_in_beijing(stage, monkeypatch):
    stage.people(40)
    campaign = stage.launched()
    stage.wechat.fault("errcode", errcode=45009, after_calls=10)

    stage.send(campaign)

    parked = stage.reload(campaign)
    assert (parked.state, parked.parked_code) == (CampaignState.PARKED, "45009")
    at = clock.now()
    assert parked.parked_until == next_reset(parked.parked_until - timedelta(seconds=1))
    assert {row.state for row in stage.rows(campaign)} == {"SENT", "PENDING"}
    assert services.probe(brand_id=stage.brand.pk, campaign_id=campaign.pk, at=at) is False

    stage.wechat.heal()
    midnight = parked.parked_until
    monkeypatch.setattr(clock, "now", lambda: midnight + timedelta(seconds=1))
    stage.pass_time(campaign, 60)
    assert services.probe(brand_id=stage.brand.pk, campaign_id=campaign.pk, at=clock.now()) is True
    stage.pass_time(campaign, 60)
    stage.send(campaign)
    assert stage.states(campaign) == {"SENT": 40}


def test_a_parked_campaign_is_probed_with_one_message_once_per_interval(stage):
    stage.people(20)
    campaign = stage.launched()
    stage.wechat.fault("errcode", errcode=40037)
    stage.send(campaign)
    assert stage.reload(campaign).parked_code == "40037"
    calls = stage.calls()

    with stage.scope:
        services.park(campaign_id=campaign.pk, code="40037", until=clock.now())
    stage.pass_time(campaign, 60)
    probes = [services.probe(brand_id=stage.brand.pk, campaign_id=campaign.pk, at=clock.now()) for _ in range(5)]

    assert probes == [False] * 5
    assert stage.calls() == calls + 1
    assert stage.reload(campaign).parked_until > clock.now() + timedelta(minutes=4)


def test_a_refused_token_is_tried_again_soon_enough_to_go_on_within_a_minute_of_the_repair(stage):
    stage.people(20)
    campaign = stage.launched()
    stage.wechat.fault("errcode", errcode=40001)

    stage.send(campaign)

    parked = stage.reload(campaign)
    assert (parked.state, parked.parked_code) == (CampaignState.PARKED, "40001")
    # The sweeper comes within 5 seconds, the message may take as long as a call may.
    assert parked.parked_until <= clock.now() + timedelta(seconds=60 - 5 - 8)


@pytest.mark.parametrize(("code", "tries"), [("40001", True), ("ACCOUNT", True), ("45009", False), ("40037", False)])
def test_a_repaired_account_lets_what_waits_for_it_try_at_once(stage, code, tries):
    stage.people(20)
    campaign = stage.launched()
    later = clock.now() + timedelta(minutes=5)
    with stage.scope:
        services.park(campaign_id=campaign.pk, code=code, until=later)
    assert not is_tried(campaign, clock.now())

    with stage.scope:
        resume_calls(app=stage.account)

    assert is_tried(campaign, clock.now()) == tries


MANY = [(99_999, reasons.MANY_UNKNOWN, "UNKNOWN"), (40_003, reasons.WRONG_ACCOUNT, "REFUSED")]


def reached(stage, campaign, state):
    return stage.calls(), sum(row.state == state for row in stage.rows(campaign))


@pytest.mark.parametrize(("errcode", "why", "state"), MANY)
def test_the_same_odd_answer_twenty_times_in_a_row_parks(stage, monkeypatch, errcode, why, state):
    """Also where earlier ones arrived, and where no batch holds twenty of them: OB19, OB26."""
    monkeypatch.setattr(settings, "SEND_CLAIM_SIZE", 8)
    stage.people(60)
    campaign = stage.launched()
    stage.wechat.fault("errcode", errcode=errcode, after_calls=10)

    stage.send(campaign)

    parked = stage.reload(campaign)
    assert (parked.state, parked.parked_code) == (CampaignState.PARKED, why)
    calls, odd = reached(stage, campaign, state)
    assert pacing.MANY <= odd <= pacing.MANY + 8
    assert calls == 10 + odd
    with stage.scope:
        assert selectors.progress(parked, at=clock.now()).parked.cause == reasons.explain(why).cause


@pytest.mark.parametrize(("errcode", "why", "state"), MANY)
def test_slices_of_a_slow_campaign_count_on(stage, errcode, why, state):
    stage.people(40)
    campaign = stage.launched(rate_per_second=5)
    stage.wechat.fault("errcode", errcode=errcode)
    for _ in range(12):
        with stage.scope, connection.cursor() as cursor:
            cursor.execute("UPDATE campaigns_pace SET filled_at = filled_at - interval '1 minute'")
        stage.send(campaign, seconds=0.2)

    assert stage.reload(campaign).parked_code == why
    assert pacing.MANY <= reached(stage, campaign, state)[1] <= pacing.MANY + 5


@pytest.mark.parametrize(("errcode", "why", "state"), MANY)
def test_a_probe_that_gets_the_same_odd_answer_does_not_let_go_on(stage, errcode, why, state):
    stage.people(40)
    campaign = stage.launched()
    with stage.scope:
        services.park(campaign_id=campaign.pk, code=why, until=clock.now())
    fault = stage.wechat.fault("errcode", errcode=errcode)

    assert not services.probe(brand_id=stage.brand.pk, campaign_id=campaign.pk, at=clock.now())
    assert reached(stage, campaign, state) == (1, 1)
    parked = stage.reload(campaign)
    assert (parked.state, parked.parked_code) == (CampaignState.PARKED, why)

    assert fault
    stage.wechat.heal()
    assert services.probe(brand_id=stage.brand.pk, campaign_id=campaign.pk, at=parked.parked_until)
    assert stage.reload(campaign).state == CampaignState.SENDING


@pytest.mark.parametrize("errcode", [99_999, 40_003])
def test_odd_answers_between_good_ones_park_nothing(stage, errcode):
    stage.people(120)
    campaign = stage.launched()
    stage.wechat.fault("errcode", errcode=errcode, probability=0.5, seed=4)

    stage.send(campaign)

    assert stage.reload(campaign).state == CampaignState.SENDING if errcode == 99_999 else CampaignState.FINISHED
    assert stage.calls() == 120


def test_answers_that_were_mixed_up_on_the_way_confirm_nobody(stage, caplog):
    """OB36: two people with one msgid; which of them it belongs to is anybody's guess."""
    stage.people(12)
    campaign = stage.launched()
    stage.wechat.fault("stale_answer", after_calls=5, count=3)

    stage.send(campaign)

    ids = [row.msgid for row in stage.rows(campaign) if row.state == "SENT"]
    assert len(ids) == len(set(ids)) == 9
    assert stage.states(campaign)["UNKNOWN", reasons.NO_ANSWER] == 3
    told = [record for record in caplog.records if "msgid" in record.message]
    assert [record.levelname for record in told] == ["ERROR"] * 3


def test_a_token_that_somebody_is_fetching_holds_a_campaign_up_for_seconds(stage, monkeypatch):
    monkeypatch.setattr(stores, "_TOKEN_WAIT_MS", 100)
    stage.people(20)
    campaign = stage.launched()
    tokens.forget_cached()
    fetching, done = threading.Event(), threading.Event()

    def fetch():
        with stage.scope:
            AccessToken.objects.all().delete()
            stores.TokenStore().lock(stage.account)
            fetching.set()
            done.wait(60)
        connection.close()

    holder = threading.Thread(target=fetch)
    holder.start()
    assert fetching.wait(60)
    try:
        stage.send(campaign)
    finally:
        done.set()
        holder.join(60)

    parked = stage.reload(campaign)
    assert (parked.state, parked.parked_code) == (CampaignState.PARKED, reasons.ACCOUNT)
    assert parked.parked_until <= clock.now() + timedelta(seconds=10)
    stage.pass_time(campaign, 10)
    assert services.probe(brand_id=stage.brand.pk, campaign_id=campaign.pk, at=clock.now() + timedelta(seconds=10))


def test_a_token_that_is_refused_for_ever_costs_a_few_calls_and_fails_nobody(stage, other_stage):
    stage.people(100)
    other_stage.people(100)
    stage.wechat.fault("errcode", errcode=40001, appid=stage.account.appid)
    campaign, healthy = stage.launched(), other_stage.launched()

    stage.send(campaign)
    other_stage.send(healthy)

    assert stage.reload(campaign).state == CampaignState.PARKED
    assert stage.calls() <= 3
    assert {row.state for row in stage.rows(campaign)} == {"PENDING"}
    assert stage.reload(campaign).parked_until <= clock.now() + timedelta(seconds=62)
    assert other_stage.states(healthy) == {"SENT": 100}


def test_one_faulty_message_fails_alone_and_stops_nobody(stage):
    stage.people(10)
    campaign = stage.launched()
    stage.wechat.fault("errcode", errcode=47003, count=1, after_calls=3)

    stage.send(campaign)

    assert stage.states(campaign) == {"SENT": 9, ("FAILED", "47003"): 1}


def test_a_field_that_would_be_empty_leaves_only_that_person_out(stage):
    stage.people(3)
    stage.people(2, name="")
    campaign = stage.launched(content={"thing1": "{姓名}的预约", "time2": "2025-06-02 15:30"})

    stage.send(campaign)

    assert stage.states(campaign) == {"SENT": 3, ("SUPPRESSED", reasons.EMPTY_FIELD): 2}


def test_unreachable_servers_park_for_seconds_and_fail_nobody(stage, settings):
    stage.people(10)
    campaign = stage.launched()
    settings.WECHAT_BASE_URL = "http://127.0.0.1:9"

    stage.send(campaign)

    assert stage.reload(campaign).state == CampaignState.PARKED
    assert {row.state for row in stage.rows(campaign)} == {"PENDING"}
    settings.WECHAT_BASE_URL = stage.wechat.url
    stage.pass_time(campaign, 600)
    later = clock.now() + timedelta(seconds=90)
    assert services.probe(brand_id=stage.brand.pk, campaign_id=campaign.pk, at=later) in (True, False)


@pytest.mark.parametrize("step", [services.pause, services.stop])
def test_nothing_is_claimed_after_pause_or_stop(stage, step):
    stage.people(100)
    campaign = stage.launched()
    _job, batch = claim(stage, campaign, 10)
    with stage.scope:
        step(campaign=campaign, at=clock.now())

    stage.send(campaign)
    _job, more = claim(stage, campaign)

    assert more == []
    assert stage.calls() == 0
    assert len(batch) == 10


def test_resume_sends_only_the_rest(stage):
    stage.people(100)
    campaign = stage.launched()
    job, batch = claim(stage, campaign, 30)
    sending._deliver(job, batch)
    with stage.scope:
        services.pause(campaign=campaign, at=clock.now())
    stage.send(campaign)
    assert len(stage.truth()) == 30

    with stage.scope:
        services.resume(campaign=campaign, at=clock.now())
    stage.send(campaign)

    assert stage.states(campaign) == {"SENT": 100}
    assert stage.calls() == 100


def test_stop_leaves_out_whoever_still_waits_and_keeps_the_sum(stage):
    stage.people(50)
    campaign = stage.launched()
    job, batch = claim(stage, campaign, 20)
    with stage.scope:
        services.stop(campaign=campaign, at=clock.now())
    with stage.scope:
        assert services.close_stopped(campaign_id=campaign.pk, at=clock.now()) == 30
    sending._deliver(job, batch)
    with stage.scope:
        assert services.close_stopped(campaign_id=campaign.pk, at=clock.now()) == 0

    assert stage.states(campaign) == {"SENT": 20, ("SUPPRESSED", reasons.STOPPED): 30}
    stopped = stage.reload(campaign)
    assert (stopped.state, stopped.finished_at is None) == (CampaignState.STOPPED, False)
    with stage.scope:
        assert selectors.progress(stopped, at=clock.now()).adds_up


def test_whoever_opts_out_or_leaves_during_the_sending_gets_nothing(stage):
    openids = stage.people(20)
    campaign = stage.launched(purpose=Purpose.SERVICE)
    with stage.scope:
        followers = list(Follower.objects.filter(openid__in=openids).select_related("member").order_by("pk"))
        withdraw_consent(member=followers[0].member, purpose=Purpose.SERVICE, source="test", at=clock.now())
        withdraw_consent(member=followers[1].member, purpose=Purpose.MARKETING, source="test", at=clock.now())
        Follower.objects.filter(pk=followers[2].pk).update(subscribed=False)

    stage.send(campaign)

    assert stage.states(campaign) == {
        "SENT": 18,
        ("SUPPRESSED", reasons.OPTED_OUT): 1,
        ("SUPPRESSED", reasons.UNFOLLOWED): 1,
    }
    assert {row["openid"] for row in stage.truth()} == set(openids) - {followers[0].openid, followers[2].openid}


def test_an_opt_out_after_an_attempt_that_may_have_arrived_stays_unconfirmed(stage):
    stage.people(1)
    campaign = stage.launched()
    claim(stage, campaign)
    with stage.scope:
        withdraw_consent(member=Member.objects.get(), purpose=Purpose.SERVICE, source="test", at=clock.now())
    stage.pass_time(campaign, 60)

    stage.send(campaign)

    assert stage.states(campaign) == {("UNKNOWN", reasons.LEASE_LOST): 1}
    assert stage.calls() == 0


def test_another_brand_is_never_touched(stage, other_stage):
    stage.people(5)
    other_stage.people(7)
    mine, theirs = stage.launched(), other_stage.launched()

    stage.send(mine)
    with stage.scope:
        services.settle_results(at=clock.now())
        assert Delivery.objects.filter(campaign_id=theirs.pk).count() == 0
        assert selectors.deliveries(theirs).rows == ()
    assert services.probe(brand_id=stage.brand.pk, campaign_id=theirs.pk, at=clock.now()) is False

    assert stage.states(mine) == {"SENT": 5}
    assert other_stage.states(theirs) == {"PENDING": 7}
    assert other_stage.truth() == []


def test_the_rate_is_never_exceeded(stage):
    stage.people(30)
    campaign = stage.launched(rate_per_second=10)
    with stage.scope:
        job = sending.Job.load(stage.brand.pk, campaign.pk, 0)
        taken = [sending._take_tokens(job, 64) for _ in range(5)]
    assert sum(taken) <= 10
    with stage.scope, connection.cursor() as cursor:
        cursor.execute("UPDATE campaigns_pace SET filled_at = filled_at - interval '1 hour'")
    with stage.scope:
        assert sending._take_tokens(job, 64) == 10
        assert sending._take_tokens(job, 64) == 0


def test_failed_messages_are_sent_again_under_a_new_id(stage):
    stage.people(10)
    campaign = stage.launched()
    stage.send(campaign)
    first = stage.truth()
    stage.report([row | {"result": "failed: system failed"} for row in first[:4]])
    assert stage.states(campaign) == {"SENT": 6, ("FAILED", reasons.SYSTEM_FAILED): 4}

    with stage.scope:
        assert services.retry_failed(campaign=campaign, at=clock.now()) == 4
    stage.send(campaign)

    assert stage.states(campaign) == {"SENT": 10}
    ids = [row["client_msg_id"] for row in stage.truth()]
    assert len(ids) == len(set(ids)) == 14


@pytest.mark.parametrize("size", [1, 3])
def test_a_batch_costs_the_same_number_of_queries_whatever_its_size(stage, size, django_assert_num_queries):
    stage.people(size)
    campaign = stage.launched()
    job, batch = claim(stage, campaign)
    entries = [
        sending.Entry(claimed, sending.DeliveryState.SENT, msgid=number) for number, claimed in enumerate(batch, 1)
    ]

    with django_assert_num_queries(4):  # BEGIN (with the brand, in front of the next), record, tally, COMMIT
        sending._record(job, entries, None)
