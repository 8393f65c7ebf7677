"""A random week in which everybody writes to the same people: WeChat never refuses, and everybody's figure is WeChat's."""

import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from accounts.tenancy import brand_scope
from campaigns import services as campaign_services
from campaigns.models import Delivery
from common import clock
from conversations import services as conversation_services
from conversations.models import Dialogue, ReplyRecord, ReplyRule
from inbox import selectors
from inbox import services as inbox_services
from inbox.models import Conversation, Message, SendState
from members.models import Purpose
from members.services import save_segment
from tests.factories import AT, make_account, make_follower, make_staff
from tests.inbox.conftest import stored
from wechat_gateway import calls, client, tokens
from wechat_gateway.registries import handlers_of
from welcomes import services
from welcomes.models import Sequence, StepRecord
from welcomes.plan import Step, written

PEOPLE = 4
STEPS = 70
JUMPS = (2, 20, 61, 600, 3_600, 9_000, 20_000, 40_000)


@pytest.fixture
def still(simulator, settings):
    """The simulated clock stands still at a whole second, and the product follows it."""
    tokens.forget_cached()
    now = simulator.get("/_sim/clock")["now"]
    simulator.post("/_sim/clock", set=float(int(now) + 1), pause=True)
    settings.CLOCK_URL = f"{simulator.url}/_sim/clock"
    clock.resync()
    yield simulator
    simulator.put_back()
    clock.resync()
    tokens.forget_cached()


class Week:
    """One account, some people, and everything that writes to them."""

    def __init__(self, brand, simulator, seed):
        self.brand, self.simulator = brand, simulator
        self.rng = random.Random(seed)
        self.sent = Counter()
        with brand_scope(brand.pk):
            self.account = make_account()
            self.desk = make_staff("desk", "MARKETER")
            simulator.know(self.account)
            self.names = {}
            openids = simulator.crowd(self.account, PEOPLE)
            for person in simulator.get(f"/_sim/people?appid={self.account.appid}&limit=1000")["people"]:
                self.names[person["accounts"][self.account.appid]["openid"]] = person["id"]
            calls.create_menu(self.account, [{"type": "click", "name": "问", "key": "K"}], at=self.now()).require()
            self.code = calls.create_code(self.account, "7", at=self.now()).require().data["ticket"]
            self._write_what_answers()
            self.segment = save_segment(name="全部", rule={"all": []}, at=self.now())
        self.people = [self._follow(openid) for openid in openids]

    def _write_what_answers(self):
        more = [{"kind": "TEXT", "text": text} for text in ("二", "三", "四")]
        rule = {"account": self.account, "updated_at": AT, "more": more}
        ReplyRule.objects.create(name="词", trigger="KEYWORD", match="CONTAINS", keywords=["几点"], text="一", **rule)
        ReplyRule.objects.create(name="键", trigger="CLICK", keywords=["K"], text="一", **rule)
        ReplyRule.objects.create(name="关注", trigger="FOLLOW", text="一", account=self.account, updated_at=AT)
        steps = [{"key": "1", "kind": "ASK", "text": "生日是哪天？", "answer": "BIRTHDAY", "why": "送礼"}]
        conversation_services.save_dialogue(
            dialogue=Dialogue(account=self.account, name="生日", keywords=["生日"], draft=steps), at=AT, publish=True
        )
        services.save_sequence(
            sequence=Sequence(
                account=self.account, name="新粉", is_enabled=True, control_percent=0,
                steps=[
                    written(Step(str(number), timedelta(seconds=seconds), f"第 {number} 步"))
                    for number, seconds in enumerate((3, 20, 3_600, 7_200, 40_000))
                ],
            ),
            at=AT,
        )  # fmt: skip

    def now(self):
        return datetime.fromtimestamp(self.simulator.get("/_sim/clock")["now"], UTC)

    def jump(self):
        self.tick(self.rng.choice(JUMPS))

    def tick(self, seconds=1):
        self.simulator.post("/_sim/clock", advance=seconds)
        clock.resync()

    # -- people -------------------------------------------------------------------------------------------------------

    def _follow(self, openid):
        self._at_wechat(openid, "unfollow")
        self._at_wechat(openid, "follow")
        with brand_scope(self.brand.pk):
            follower = make_follower(self.account, openid=openid, at=self.now())
        self._push(follower, kind="subscribe")
        return follower

    def _at_wechat(self, openid, act, **more):
        self.simulator.act(self.names[openid], act, self.account.appid, **more)

    def _push(self, follower, **fields):
        """What the worker does with a push to which WeChat heard no answer in time."""
        with brand_scope(self.brand.pk):
            push = stored(follower, at=self.now(), **fields)
            for handler in handlers_of(push.kind):
                handler.run(push)

    def act(self):
        person = self.rng.choice(self.people)
        what = self.rng.choice(["ask", "ask", "chat", "dialogue", "menu", "scan", "leave"])
        if what == "menu":
            self._at_wechat(person.openid, "tap", key="K")
            self._push(person, kind="CLICK", key="K")
        elif what == "scan":
            self._at_wechat(person.openid, "scan", ticket=self.code)
            self._push(person, kind="SCAN", scene="7")
        elif what == "leave":
            self._at_wechat(person.openid, "unfollow")
            self._push(person, kind="unsubscribe")
            self.tick()
            self._at_wechat(person.openid, "follow")
            self._push(person, kind="subscribe")
        else:
            words = {"ask": "几点开门", "chat": "你好呀", "dialogue": "生日"}[what]
            self._at_wechat(person.openid, "text", content=words)
            self._push(person, content=words)

    # -- whoever writes -----------------------------------------------------------------------------------------------

    def campaign(self):
        at = clock.now()
        with brand_scope(self.brand.pk):
            row = campaign_services.create_campaign(
                name="周末", account=self.account, at=at, purpose=Purpose.MARKETING, carrier="custom",
                content={"text": "周末见"}, segment=self.segment,
            )  # fmt: skip
            campaign_services.launch(campaign=row, at=at)
        with brand_scope(self.brand.pk):
            campaign_services.freeze_audience(campaign_id=row.pk, at=at)
        if self.rng.random() < 0.5:
            self.staff()  # somebody answers between the freeze and the send
        campaign_services.send_slice(brand_id=self.brand.pk, campaign_id=row.pk, lane=0, until=time.monotonic() + 20)
        with brand_scope(self.brand.pk):
            states = Delivery.objects.filter(campaign=row).values_list("state", flat=True)
            assert set(states) <= {"SENT", "SUPPRESSED"}
            self.sent["campaigns"] += list(states).count("SENT")

    def staff(self):
        with brand_scope(self.brand.pk):
            person = self.rng.choice(self.people)
            conversation = Conversation.objects.filter(follower=person).first()
            if conversation is None or not selectors.allowance_of(person.pk, at=clock.now()).open:
                return
            inbox_services.send_text(
                conversation_id=conversation.pk, staff_id=self.desk.pk, text="好的", client_key=uuid4(), at=clock.now()
            )
            self.sent["people"] += 1
        self.deliver()

    def robot(self):
        conversation_services.send_replies(self.brand.pk, at=clock.now())

    def sequence(self):
        with brand_scope(self.brand.pk):
            services.run_due(at=clock.now())
        self.deliver()

    def deliver(self):
        with brand_scope(self.brand.pk):
            queued = list(Message.objects.filter(state=SendState.QUEUED).order_by("pk").values_list("pk", flat=True))
        for pk in queued:
            inbox_services.deliver(brand_id=self.brand.pk, message_id=pk, at=clock.now())

    # -- what must hold -----------------------------------------------------------------------------------------------

    def compare(self):
        """Nothing is under way: our figure is WeChat's for everybody."""
        for person in self.people:
            found = self.simulator.get(f"/_sim/people/{self.names[person.openid]}")
            known = found["accounts"][self.account.appid]
            truth = max((each["left"] for each in known["windows"]), default=0)
            with brand_scope(self.brand.pk):
                assert selectors.allowance_of(person.pk, at=clock.now()).left == truth

    def answers(self):
        path = f"/_sim/calls?appid={self.account.appid}&path={client.CUSTOM_SEND}&limit=10000"
        return Counter(int(call["result"]) for call in self.simulator.get(path)["calls"])


@pytest.mark.long(20)
def test_a_random_week_with_everybody_writing_has_no_refusal(transactional_db, brand, still):
    week = Week(brand, still, seed=1)
    begun = week.now()
    for seconds in (4, 20):  # the first minute, in which following alone allows something
        week.tick(seconds)
        week.robot()
        week.sequence()
        week.compare()
    for _ in range(STEPS):
        week.jump()
        for what in week.rng.sample([week.act, week.act, week.staff, week.robot, week.sequence, week.campaign], 4):
            what()
            week.tick()  # WeChat's moments are whole seconds: who acts in the second of a send may count it or not
        week.robot()
        week.deliver()
        week.compare()

    assert week.now() - begun > timedelta(days=4)
    assert set(week.answers()) == {0}
    with brand_scope(brand.pk):
        robot = sum(ReplyRecord.objects.values_list("sent", flat=True))
        steps = StepRecord.objects.filter(outcome="SENT").count()
        refused = Message.objects.filter(state=SendState.REFUSED).exclude(cause="LATE").count()
    assert refused == 0
    assert min(week.sent["campaigns"], week.sent["people"], robot) >= 20
    assert steps >= 3
    promises = week.answers()[0] - week.sent["campaigns"] - week.sent["people"] - robot - steps
    assert promises >= 0  # what the inbox promises out of hours
