"""Subscribe notifications: one for each time a person agreed, never a second call for one, in campaigns and alone."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.roles import Role
from campaigns import plan, services
from campaigns.errors import NoticeRefused, PreviewImpossible
from campaigns.models import MessageTemplate, SubscriptionStock
from campaigns.services import sending
from common import clock
from inbox import services as inbox_services
from inbox.errors import NotFollowing
from inbox.fallbacks import offers
from inbox.models import Conversation, Message
from members.models import Follower, Purpose
from tests.campaigns.conftest import CONTENT
from tests.campaigns.test_pages import html_of, signed_in
from tests.factories import make_staff
from tests.inbox.conftest import say
from wechat_gateway import client

KEYS = [{"key": "thing1", "label": "事项"}, {"key": "time2", "label": "时间"}]
FIELDS = {"thing1": "亚麻衬衫可以取了", "time2": "2025-06-02 15:30"}


class Notices:
    """A stage whose account has a notification to send once, and a long-term one."""

    def __init__(self, stage):
        self.stage = stage
        self.once, self.long = f"once-{stage.prefix}", f"long-{stage.prefix}"
        spec = stage.spec | {
            "notices": [
                {"template_id": self.once, "title": "取货提醒", "keys": KEYS},
                {"template_id": self.long, "title": "办理进度通知", "kind": 3, "keys": KEYS},
            ]
        }
        stage.wechat.control("/world", {"accounts": [spec]})
        with stage.scope:
            services.sync_templates(account=stage.account, at=clock.now())
            rows = {row.template_id: row for row in MessageTemplate.objects.exclude(family="TEMPLATE")}
        self.template, self.long_template = rows[self.once], rows[self.long]

    def crowd(self, count):
        openids = self.stage.people(count)
        with self.stage.scope:
            found = {row.openid: row for row in Follower.objects.select_related("member")}
        return [found[openid] for openid in openids]

    def agree(self, followers, times=1, template_id=None, told=True):
        """They agree on their phones; our ledger hears of it unless told otherwise."""
        appid, template_id = self.stage.account.appid, template_id or self.once
        people = {
            person["accounts"][appid]["openid"]: person["id"]
            for person in self.stage.wechat.look("/people", appid=appid, limit=1000)["people"]
        }
        for follower in followers:
            for _ in range(times):
                body = {"act": "allow_notices", "appid": appid, "template_ids": [template_id]}
                self.stage.wechat.control(f"/people/{people[follower.openid]}/act", body)
        if told:
            self.believe(followers, times, template_id)

    def believe(self, followers, times=1, template_id=None):
        with self.stage.scope:
            for follower in followers:
                SubscriptionStock.objects.update_or_create(
                    follower=follower,
                    template_id=template_id or self.once,
                    defaults={"remaining": times, "updated_at": clock.now()},
                )

    def campaign(self, **more):
        return {"carrier": "subscribe", "template": self.template, "purpose": Purpose.MARKETING, **more}

    def left(self, follower, template_id=None):
        """What our ledger says, and what WeChat does."""
        template_id = template_id or self.once
        with self.stage.scope:
            row = SubscriptionStock.objects.filter(follower=follower, template_id=template_id).first()
        appid = self.stage.account.appid
        for person in self.stage.wechat.look("/people", appid=appid, limit=1000)["people"]:
            if person["accounts"][appid]["openid"] == follower.openid:
                return row.remaining if row else 0, person["accounts"][appid]["consents"].get(template_id, 0)
        raise AssertionError(follower.openid)

    def codes(self):
        """How WeChat answered the calls."""
        calls = self.stage.wechat.look(
            "/calls", appid=self.stage.account.appid, path=client.SUBSCRIBE_SEND, limit=1000
        )["calls"]
        return [call["result"] for call in calls]

    def fault(self, kind, **more):
        self.stage.wechat.fault(kind, path=client.SUBSCRIBE_SEND, appid=self.stage.account.appid, count=1, **more)


@pytest.fixture
def notices(stage):
    return Notices(stage)


# --- templates -------------------------------------------------------------------------------------------------------


def test_notices_come_with_the_templates_and_leave_alone(stage, notices):
    with stage.scope:
        rows = dict(MessageTemplate.objects.values_list("template_id", "family"))
        fields = [field["key"] for field in notices.template.fields]
    assert rows == {stage.template_id: "TEMPLATE", notices.once: "NOTICE_ONCE", notices.long: "NOTICE_LONG"}
    assert fields == ["thing1", "time2"]

    stage.wechat.fault("errcode", errcode=48001, path="/wxaapi/newtmpl/gettemplate", appid=stage.account.appid, count=1)
    with stage.scope:  # an account without the permission keeps its template messages in step
        assert services.sync_templates(account=stage.account, at=clock.now()) == 1
        assert MessageTemplate.objects.filter(is_active=True).count() == 3


def test_the_list_of_templates_says_who_has_agreed(stage, notices, other_stage):
    one, two = notices.crowd(2)
    notices.believe([one], 2)
    notices.believe([two], 1)
    foreign = Notices(other_stage)
    foreign.believe(foreign.crowd(1), 7)
    html = html_of(signed_in(stage.brand).get(f"/b/{stage.brand.slug}/campaigns/templates/"))
    assert "2 人允许，还可发 3 条" in html
    assert "还没有人允许" in html
    assert "7" not in html.split('data-testid="agreed"')[1].split("<")[0]


# --- campaigns -------------------------------------------------------------------------------------------------------


def test_who_has_not_agreed_is_left_out_with_the_reason(stage, notices, other_stage):
    agreed, silent, other = notices.crowd(3)
    notices.agree([agreed])
    notices.believe([other], 5, notices.long)  # to another notification
    foreign = Notices(other_stage)
    foreign.believe(foreign.crowd(1), 5)
    with stage.scope:
        found = plan.plan_of(stage.campaign(**notices.campaign()), at=clock.now())
    assert (found.hit, found.will_send, found.no_consent, found.not_following) == (3, 1, 2, 0)

    campaign = stage.launched(**notices.campaign())
    stage.send(campaign)

    assert {row.follower_id: (row.state, row.reason) for row in stage.rows(campaign)} == {
        agreed.pk: ("SENT", ""),
        silent.pk: ("SUPPRESSED", "NO_CONSENT"),
        other.pk: ("SUPPRESSED", "NO_CONSENT"),
    }
    assert notices.left(agreed) == (0, 0)


def test_every_notification_uses_one_up_and_a_long_term_one_none(stage, notices):
    people = notices.crowd(2)
    notices.agree(people, times=2)
    notices.agree(people, template_id=notices.long)
    for left in (1, 0):
        campaign = stage.launched(**notices.campaign())
        stage.send(campaign)
        assert stage.states(campaign) == {"SENT": 2}
        assert [notices.left(person) for person in people] == [(left, left)] * 2
    third = stage.launched(**notices.campaign())
    stage.send(third)
    assert stage.states(third) == {("SUPPRESSED", "NO_CONSENT"): 2}
    for _ in range(2):
        campaign = stage.launched(**notices.campaign(template=notices.long_template))
        stage.send(campaign)
        assert stage.states(campaign) == {"SENT": 2}
    assert [notices.left(person, notices.long) for person in people] == [(1, 1)] * 2
    assert notices.codes() == ["0"] * 8


def test_the_last_one_goes_to_one_of_two_campaigns(stage, notices):
    (person,) = notices.crowd(1)
    notices.agree([person])
    campaigns = [stage.launched(**notices.campaign()), stage.launched(**notices.campaign())]
    taken = []
    for campaign in campaigns:
        with stage.scope:
            job = sending.Job.load(stage.brand.pk, campaign.pk, 0)
            taken.append((job, sending._claim_rows(job, 10, ["SENDING"])[0]))
    assert [len(batch) for _job, batch in taken] == [1, 0]
    assert stage.states(campaigns[1]) == {("SUPPRESSED", "NO_CONSENT"): 1}
    sending._deliver(*taken[0])
    assert stage.states(campaigns[0]) == {"SENT": 1}
    assert notices.codes() == ["0"]


def test_wechats_refusal_empties_the_ledger(stage, notices):
    (person,) = notices.crowd(1)
    notices.believe([person], 3)  # WeChat knows of none
    campaign = stage.launched(**notices.campaign())
    stage.send(campaign)
    assert stage.states(campaign) == {("REFUSED", "43101"): 1}
    assert notices.left(person) == (0, 0)


def test_what_did_not_leave_is_given_back_and_sent_later(stage, notices):
    people = notices.crowd(2)
    notices.agree(people)
    campaign = stage.launched(**notices.campaign())
    notices.fault("errcode", errcode=-1)
    stage.send(campaign)
    states = {row.follower_id: row.state for row in stage.rows(campaign)}
    assert sorted(states.values()) == ["PENDING", "SENT"]
    for person in people:
        assert notices.left(person) == ((1, 1) if states[person.pk] == "PENDING" else (0, 0))
    stage.pass_time(campaign, 400)
    stage.send(campaign)
    assert stage.states(campaign) == {"SENT": 2}
    assert [notices.left(person) for person in people] == [(0, 0)] * 2


@pytest.mark.parametrize("policy", ["", "RESEND"])
def test_a_lost_answer_is_never_followed_by_a_second_call(stage, notices, policy):
    (person,) = notices.crowd(1)
    notices.agree([person], times=2)
    campaign = stage.launched(**notices.campaign(purpose=Purpose.SERVICE, unknown_policy=policy))
    notices.fault("accept_then_cut")
    stage.send(campaign)
    assert notices.left(person) == (1, 1)
    for seconds in (400, 3600, 90_000):
        stage.pass_time(campaign, seconds)
        stage.send(campaign)
    assert stage.rows(campaign)[0].state == "UNKNOWN"
    assert len(notices.codes()) == 1
    assert notices.left(person) == (1, 1)


def test_what_wechat_reports_settles_a_lost_answer(stage, notices):
    (person,) = notices.crowd(1)
    notices.agree([person])
    campaign = stage.launched(**notices.campaign())
    notices.fault("accept_then_cut")
    stage.send(campaign)
    assert stage.rows(campaign)[0].state == "UNKNOWN"
    stage.report(stage.truth())
    assert stage.states(campaign) == {"DELIVERED": 1}


def test_a_worker_that_dies_after_the_claim_sends_nothing_twice(stage, notices):
    (person,) = notices.crowd(1)
    notices.agree([person], times=2)
    campaign = stage.launched(**notices.campaign())
    with stage.scope:
        job = sending.Job.load(stage.brand.pk, campaign.pk, 0)
        batch = sending._claim_rows(job, 10, ["SENDING"])[0]
    assert [claimed.follower_id for claimed in batch] == [person.pk]  # … and here it dies
    stage.pass_time(campaign, 3600)
    stage.send(campaign)
    assert stage.states(campaign) == {("UNKNOWN", "LEASE_LOST"): 1}
    assert notices.codes() == []
    assert notices.left(person)[0] == 1


def test_the_reported_fate_settles_the_message(stage, notices):
    good, bad = notices.crowd(2)
    notices.agree([good, bad])
    campaign = stage.launched(**notices.campaign())
    stage.send(campaign)
    rows = {row["openid"]: row for row in stage.truth()}
    stage.report([rows[good.openid], rows[bad.openid] | {"result": "failed: system failed"}])
    assert {row.follower_id: row.state for row in stage.rows(campaign)} == {good.pk: "DELIVERED", bad.pk: "FAILED"}


def test_a_test_message_costs_one_and_says_when_there_is_none(stage, notices):
    (person,) = notices.crowd(1)
    notices.agree([person])
    campaign = stage.campaign(**notices.campaign())
    with stage.scope:
        assert services.send_test(campaign=campaign, openid=person.openid, at=clock.now()).accepted
    assert notices.left(person) == (0, 0)
    with stage.scope, pytest.raises(PreviewImpossible) as refused:
        services.send_test(campaign=campaign, openid=person.openid, at=clock.now())
    assert refused.value.hint
    notices.believe([person])
    with stage.scope:
        result = services.send_test(campaign=campaign, openid=person.openid, at=clock.now())
    assert (result.accepted, result.sent.code) == (False, "43101")
    assert notices.left(person) == (0, 0)


@pytest.mark.parametrize("count", [3, 30])
def test_a_batch_costs_one_statement_more(stage, notices, count):
    notices.agree(notices.crowd(count))
    with CaptureQueriesContext(connection) as asked:
        stage.send(stage.launched(**notices.campaign()))
    touched = [row["sql"] for row in asked if "campaigns_subscriptionstock" in row["sql"]]
    assert sum(sql.lstrip().startswith("WITH held") for sql in touched) == 1


def test_the_composer_offers_notices_for_offers(stage, notices):
    campaign = stage.campaign(**notices.campaign(template=None, content={}))
    page = f"/b/{stage.brand.slug}/campaigns/{campaign.pk}/"
    client_ = signed_in(stage.brand)
    html = html_of(client_.get(page))
    assert f'<option value="{notices.template.pk}"' in html
    assert f'<option value="{stage.template.pk}">{stage.template.title}' not in html
    posted = {"carrier": "subscribe", "template": stage.template.pk, "cause": "input"}
    client_.post(f"{page}draft/", posted)
    assert stage.reload(campaign).template is None


# --- one person, from their conversation ------------------------------------------------------------------------------


def talking(notices, agrees=1):
    """Somebody whose window is closed, with a conversation, and a person of the brand."""
    (follower,) = notices.crowd(1)
    if agrees:
        notices.agree([follower], times=agrees)
    with notices.stage.scope:
        say(follower, at=clock.now() - timedelta(days=3))
        conversation = Conversation.objects.select_related("follower__member", "account").get(follower=follower)
        return conversation, make_staff("desk", Role.MARKETER)


def write(notices, conversation, staff, **more):
    fields = {
        "conversation": conversation, "staff_id": staff.pk, "template": notices.template, "content": FIELDS,
        "about": "", "client_key": uuid4(), "at": clock.now(),
    } | more  # fmt: skip
    with notices.stage.scope:
        return services.send_notice(**fields)


def deliver(notices, line):
    inbox_services.deliver(brand_id=notices.stage.brand.pk, message_id=line.pk, at=clock.now())
    with notices.stage.scope:
        return Message.objects.get(pk=line.pk)


@pytest.mark.urls("config.urls_console")
def test_the_notification_is_the_first_way_that_is_left(notices):
    conversation, _staff = talking(notices, agrees=2)
    with notices.stage.scope:
        first = offers(conversation, at=clock.now())[0]
    assert (first.order, first.possible) == (10, True)
    assert "取货提醒" in first.detail
    assert "2" in first.detail
    assert first.link.endswith(f"/inbox/{conversation.pk}/notice/?template={notices.template.pk}")


def test_it_arrives_once_whoever_presses_twice_or_delivers_twice(notices):
    conversation, staff = talking(notices, agrees=2)
    key = uuid4()
    line = write(notices, conversation, staff, client_key=key)
    again = write(notices, conversation, staff, client_key=key)
    assert (line.pk, line.state) == (again.pk, "QUEUED")
    assert notices.left(conversation.follower) == (1, 2)

    assert deliver(notices, line).state == "SENT"
    assert deliver(notices, line).state == "SENT"

    assert notices.codes() == ["0"]
    assert notices.left(conversation.follower) == (1, 1)
    with notices.stage.scope:
        assert Conversation.objects.get(pk=conversation.pk).state == "OPEN"
        assert Message.objects.get(pk=line.pk).text == "取货提醒\n事项：亚麻衬衫可以取了\n时间：2025-06-02 15:30"


def test_an_answer_that_is_lost_leaves_it_unconfirmed_for_good(notices):
    conversation, staff = talking(notices, agrees=2)
    line = write(notices, conversation, staff)
    notices.fault("accept_then_cut")
    assert deliver(notices, line).state == "UNKNOWN"
    with notices.stage.scope:
        inbox_services.sweep_messages(at=clock.now() + timedelta(hours=1))
    assert deliver(notices, line).state == "UNKNOWN"
    assert len(notices.codes()) == 1
    assert notices.left(conversation.follower) == (1, 1)


def test_a_worker_that_dies_before_the_answer_does_not_call_again(notices):
    conversation, staff = talking(notices, agrees=2)
    line = write(notices, conversation, staff)
    with notices.stage.scope:
        Message.objects.filter(pk=line.pk).update(state="SENDING", started_at=clock.now() - timedelta(minutes=5))
        inbox_services.sweep_messages(at=clock.now())
    assert deliver(notices, line).state == "UNKNOWN"
    assert notices.codes() == []


@pytest.mark.parametrize(("believed", "code", "left"), [(1, 43101, 0), (3, -1, 3)])
def test_a_refusal_gives_back_or_empties_and_lets_them_wait_again(notices, believed, code, left):
    conversation, staff = talking(notices, agrees=0)
    notices.believe([conversation.follower], believed)
    notices.fault("errcode", errcode=code)
    line = deliver(notices, write(notices, conversation, staff))
    assert (line.state, line.code) == ("REFUSED", code)
    assert notices.left(conversation.follower)[0] == left
    with notices.stage.scope:
        assert Conversation.objects.get(pk=conversation.pk).state == "WAITING"


def test_nothing_is_sent_that_nobody_agreed_to(notices):
    conversation, staff = talking(notices, agrees=0)
    with pytest.raises(NoticeRefused) as refused:
        write(notices, conversation, staff)
    assert refused.value.field == "template"
    with notices.stage.scope:
        assert not Message.objects.filter(direction="OUT").exists()
    with pytest.raises(NoticeRefused) as empty:
        write(notices, conversation, staff, content={**FIELDS, "time2": "明天下午"})
    assert empty.value.field == "content.time2"


@pytest.mark.urls("config.urls_console")
def test_who_left_can_still_be_sent_it_and_no_template_message(notices):
    conversation, staff = talking(notices)
    with notices.stage.scope:
        Follower.objects.filter(pk=conversation.follower_id).update(subscribed=False)
        conversation = Conversation.objects.select_related("follower", "account").get(pk=conversation.pk)
        assert offers(conversation, at=clock.now())[0].order == 10
    with pytest.raises(NotFollowing):
        write(notices, conversation, staff, template=notices.stage.template, content=CONTENT, about="order")
    assert deliver(notices, write(notices, conversation, staff)).state == "SENT"


def test_the_page_shows_what_they_agreed_to_and_sends(notices, other_stage):
    conversation, _staff = talking(notices)
    client_ = signed_in(notices.stage.brand)
    address = f"/b/{notices.stage.brand.slug}/inbox/{conversation.pk}/notice/"
    html = html_of(client_.get(address))
    assert 'data-testid="agreed-to"' in html
    assert 'id="f-about"' not in html
    key = html.split('name="client_key" value="')[1].split('"')[0]
    posted = {"template": notices.template.pk, "client_key": key}
    posted |= {f"content.{name}": text for name, text in FIELDS.items()}
    assert client_.post(address, posted | {"content.thing1": ""}).status_code == 200
    assert client_.post(address, posted).status_code == 302
    assert client_.post(address, posted).status_code == 302
    with notices.stage.scope:
        assert Message.objects.filter(facts__way="subscribe").count() == 1
    other = {"template": notices.long_template.pk, "client_key": str(uuid4())}
    assert client_.post(address, posted | other).status_code == 404
    assert client_.get(f"{address}?template={Notices(other_stage).template.pk}").status_code == 404
