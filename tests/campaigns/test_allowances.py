"""Customer-service messages of campaigns: taken from the same ledger as everybody's, never refused by WeChat's windows."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns import plan, services
from campaigns.errors import PreviewImpossible
from campaigns.models import TestSend
from campaigns.services import sending
from common import clock
from inbox import selectors as inbox_selectors
from inbox.models import ReplyLedger
from inbox.services import record_act, reserve_sends
from members.models import Follower, Purpose
from wechat_gateway import client, windows

TEXT = {"purpose": Purpose.MARKETING, "carrier": "custom", "content": {"text": "周末见"}}


@pytest.fixture
def crowd(stage):
    """So many people who follow; gives followers in the order in which they followed."""

    def make(count):
        openids = stage.people(count)
        with stage.scope:
            found = {row.openid: row for row in Follower.objects.select_related("member")}
        return [found[openid] for openid in openids]

    return make


def wrote(stage, followers, at=None):
    """They write: WeChat hears it, and our ledger does."""
    people = {
        person["accounts"][stage.account.appid]["openid"]: person["id"]
        for person in stage.wechat.look("/people", appid=stage.account.appid, limit=1000)["people"]
    }
    with stage.scope:
        for follower in followers:
            body = {"act": "text", "appid": stage.account.appid, "content": "你好"}
            stage.wechat.control(f"/people/{people[follower.openid]}/act", body)
            record_act(follower=follower, act=windows.Act.MESSAGE, at=at or clock.now())


def left(stage, follower):
    """What our ledger allows, and what WeChat does."""
    with stage.scope:
        ours = inbox_selectors.allowance_of(follower.pk, at=clock.now()).left
    for person in stage.wechat.look("/people", appid=stage.account.appid, limit=1000)["people"]:
        account = person["accounts"][stage.account.appid]
        if account["openid"] == follower.openid:
            found = stage.wechat.look(f"/people/{person['id']}")["accounts"][stage.account.appid]["windows"]
            return ours, max((each["left"] for each in found), default=0)
    raise AssertionError(follower.openid)


def codes(stage):
    """How WeChat's answers to customer-service messages ended."""
    calls = stage.wechat.look("/calls", appid=stage.account.appid, path=client.CUSTOM_SEND, limit=1000)["calls"]
    return [int(call["result"]) for call in calls]


def test_who_has_no_allowance_is_left_out_with_the_reason(stage, crowd):
    may, silent, late, used = crowd(4)
    wrote(stage, [may, used])
    with stage.scope:
        record_act(follower=late, act=windows.Act.MESSAGE, at=clock.now() - timedelta(hours=48))
        reserve_sends(wanted={used.pk: 5}, at=clock.now())
        found = plan.plan_of(stage.campaign(**TEXT), at=clock.now())
    assert (found.hit, found.will_send, found.no_allowance, found.not_following) == (4, 1, 3, 0)

    campaign = stage.launched(**TEXT)

    reasons = {row.follower_id: (row.state, row.reason) for row in stage.rows(campaign)}
    assert reasons == {
        may.pk: ("PENDING", ""),
        silent.pk: ("SUPPRESSED", "WINDOW_CLOSED"),
        late.pk: ("SUPPRESSED", "WINDOW_CLOSED"),
        used.pk: ("SUPPRESSED", "WINDOW_USED_UP"),
    }


def test_every_message_uses_up_the_allowance_and_the_sixth_campaign_leaves_them_out(stage, crowd):
    people = crowd(3)
    wrote(stage, people)
    for number in range(1, 6):
        campaign = stage.launched(**TEXT)
        stage.send(campaign)
        assert stage.states(campaign) == {"SENT": 3}
        assert left(stage, people[0]) == (5 - number, 5 - number)

    campaign = stage.launched(**TEXT)
    stage.send(campaign)

    assert stage.states(campaign) == {("SUPPRESSED", "WINDOW_USED_UP"): 3}
    assert codes(stage) == [0] * 15


def test_what_somebody_else_takes_after_the_freeze_is_not_sent_by_the_campaign(stage, crowd):
    first, second = crowd(2)
    wrote(stage, [first, second])
    campaign = stage.launched(**TEXT)
    with stage.scope:
        reserve_sends(wanted={first.pk: 5}, at=clock.now())

    stage.send(campaign)

    states = {row.follower_id: (row.state, row.reason) for row in stage.rows(campaign)}
    assert states == {first.pk: ("SUPPRESSED", "WINDOW_USED_UP"), second.pk: ("SENT", "")}
    assert codes(stage) == [0]


def test_the_last_message_goes_to_one_of_two_who_want_it_at_once(stage, crowd):
    (person,) = crowd(1)
    wrote(stage, [person])
    with stage.scope:
        reserve_sends(wanted={person.pk: 4}, at=clock.now())
    campaigns = [stage.launched(**TEXT), stage.launched(**TEXT)]
    with stage.scope:  # both claims see one message left; the ledger gives it once
        jobs = [sending.Job.load(stage.brand.pk, campaign.pk, 0) for campaign in campaigns]
        open_until = ReplyLedger.objects.get(follower=person).open_until
        taken = [sending._claim_rows(jobs[0], 10, ["SENDING"])[0]]
        ReplyLedger.objects.update(open_until=open_until)
        taken.append(sending._claim_rows(jobs[1], 10, ["SENDING"])[0])

    assert [len(batch) for batch in taken] == [1, 0]
    assert stage.states(campaigns[1]) == {("SUPPRESSED", "WINDOW_USED_UP"): 1}
    assert stage.reload(campaigns[1]).audience_count == 1
    sending._deliver(jobs[0], taken[0])
    assert stage.states(campaigns[0]) == {"SENT": 1}


def test_wechats_refusal_closes_the_ledger_for_everybody(stage, crowd):
    (person,) = crowd(1)
    with stage.scope:  # we believe in an act that WeChat did not hear of
        record_act(follower=person, act=windows.Act.MESSAGE, at=clock.now())
    first = stage.launched(**TEXT)
    stage.send(first)

    assert stage.states(first) == {("REFUSED", "45015"): 1}
    assert left(stage, person) == (0, 0)
    assert stage.states(stage.launched(**TEXT)) == {("SUPPRESSED", "WINDOW_CLOSED"): 1}
    wrote(stage, [person], at=clock.now() + timedelta(seconds=1))
    with stage.scope:
        assert inbox_selectors.allowance_of(person.pk, at=clock.now() + timedelta(seconds=2)).left == 5


def test_what_did_not_leave_is_given_back_and_taken_again_when_it_does(stage, crowd):
    people = crowd(2)
    wrote(stage, people)
    campaign = stage.launched(**TEXT)
    stage.wechat.fault("errcode", errcode=-1, path=client.CUSTOM_SEND, appid=stage.account.appid, count=1)
    stage.send(campaign)
    states = {row.follower_id: row.state for row in stage.rows(campaign)}
    assert sorted(states.values()) == ["PENDING", "SENT"]
    for person in people:
        assert left(stage, person) == ((5, 5) if states[person.pk] == "PENDING" else (4, 4))

    stage.pass_time(campaign, 400)
    stage.send(campaign)

    assert stage.states(campaign) == {"SENT": 2}
    assert [left(stage, person) for person in people] == [(4, 4), (4, 4)]


def test_an_unconfirmed_message_counts_as_sent(stage, crowd):
    (person,) = crowd(1)
    wrote(stage, [person])
    campaign = stage.launched(**TEXT)
    stage.wechat.fault("accept_then_cut", path=client.CUSTOM_SEND, appid=stage.account.appid, count=1)
    stage.send(campaign)

    assert stage.rows(campaign)[0].state == "UNKNOWN"
    assert left(stage, person) == (4, 4)


def test_a_test_message_counts_too_and_is_refused_here_before_wechat_refuses_it(stage, crowd):
    (person,) = crowd(1)
    wrote(stage, [person])
    campaign = stage.campaign(**TEXT)
    for _ in range(5):
        with stage.scope:
            assert services.send_test(campaign=campaign, openid=person.openid, at=clock.now()).accepted
    with stage.scope, pytest.raises(PreviewImpossible) as refused:
        services.send_test(campaign=campaign, openid=person.openid, at=clock.now())
    assert refused.value.hint
    with stage.scope:
        assert TestSend.objects.filter(outcome="ACCEPTED").count() == 5
    assert codes(stage) == [0] * 5


def test_another_brands_ledger_says_nothing_about_ours(stage, other_stage, crowd):
    (person,) = crowd(1)
    other_stage.people(1)
    with other_stage.scope:
        stranger = Follower.objects.get()
        record_act(follower=stranger, act=windows.Act.MESSAGE, at=clock.now())
    with stage.scope:
        assert reserve_sends(wanted={stranger.pk: 1, person.pk: 1}, at=clock.now()) == {stranger.pk: 0, person.pk: 0}
    assert stage.states(stage.launched(**TEXT)) == {("SUPPRESSED", "WINDOW_CLOSED"): 1}
    with other_stage.scope:
        assert inbox_selectors.allowance_of(stranger.pk, at=clock.now()).left == 5


def statements(stage, campaign):
    with CaptureQueriesContext(
        connection,
    ) as asked:
        stage.send(campaign)
    return [row["sql"] for row in asked if "inbox_replyledger" in row["sql"] and "campaigns_delivery" not in row["sql"]]


@pytest.mark.parametrize("count", [3, 30])
def test_a_batch_costs_two_statements_more_and_template_messages_none(stage, crowd, count):
    wrote(stage, crowd(count))
    texts = statements(stage, stage.launched(**TEXT))
    templates = statements(stage, stage.launched())

    assert [sql.split()[0] for sql in texts] == ["SELECT", "UPDATE"]
    assert templates == []
