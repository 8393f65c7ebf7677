"""Fail at the Nth: make the first, the second, … call to PostgreSQL, WeChat or the broker fail until a workflow passes.

Each way of failing: an error, an error after the effect (the answer was lost), and a kill that runs nothing further.
Afterwards nothing may be half done, and doing it again must come to the same end as an undisturbed run.
"""

import itertools
import sys
import uuid
from contextlib import ExitStack, contextmanager

import orjson
import pytest
from django.db import OperationalError, connection, transaction

from accounts import tasks_base
from accounts.tenancy import brand_scope
from campaigns import invariants
from campaigns import services as campaign_services
from campaigns.models import Campaign, Delivery, FinishEvent, MessageTemplate
from campaigns.template_content import parse_fields
from common import clock
from members import services as members
from members.models import Follower, Identity, Member, MemberTag, MergeRecord, RemoteTag, Segment, Tag
from members.services import followers, tag_sync
from tests.factories import AT, make_account, make_brand, make_follower, make_mini_program, make_touchpoint
from wechat_gateway import client, quotas, tokens, transport
from wechat_gateway.models import InboundPush
from wechat_gateway.services import inbox

_numbers = itertools.count(1)


class Killed(BaseException):
    """The process is gone."""


class Trap:
    """Counts the calls of a workflow; the `nth` fails in the given way."""

    def __init__(self, nth, way):
        self.nth, self.way, self.count, self.dead, self.where = nth, way, 0, False, ""

    def call(self, what, error, do):
        if self.dead:
            raise Killed
        self.count += 1
        if self.count != self.nth:
            return do()
        self.where = what
        if self.way == "kill":
            self.dead = True
            connection.close()  # what was not committed is gone
            raise Killed
        if self.way == "lost":
            do()
        raise error

    def query(self, execute, sql, params, many, context):
        error = OperationalError("the connection was cut")
        return self.call(sql[:60], error, lambda: execute(sql, params, many, context))


class Wechat:
    """Answers every call as WeChat would, from a small memory."""

    def __init__(self):
        self.tags = {}
        self.tagged = {}
        self.sent = {}
        self.numbers = itertools.count(1000)
        self.menu = None

    def answer(self, request):  # noqa: C901, PLR0911
        path = request.url.partition("?")[0].partition("/cgi-bin")[2] or request.url.partition("?")[0]
        body = orjson.loads(request.body) if request.body else {}
        if path.endswith("/stable_token"):
            return {"access_token": "token", "expires_in": 7200}
        if path.endswith("/tags/get"):
            return {"tags": [{"id": key, "name": name, "count": 0} for key, name in self.tags.items()]}
        if path.endswith("/tags/create"):
            key = next(self.numbers)
            self.tags[key] = body["tag"]["name"]
            return {"tag": {"id": key, "name": body["tag"]["name"]}}
        if path.endswith("/user/tag/get"):
            openids = sorted(self.tagged.get(body["tagid"], ()))
            return {"count": len(openids), "data": {"openid": openids}, "next_openid": ""}
        if path.endswith("/batchtagging"):
            self.tagged.setdefault(body["tagid"], set()).update(body["openid_list"])
            return {"errcode": 0}
        if path.endswith("/batchuntagging"):
            self.tagged.setdefault(body["tagid"], set()).difference_update(body["openid_list"])
            return {"errcode": 0}
        if path.endswith("/user/get"):
            return {"total": 3, "count": 3, "data": {"openid": ["oF1", "oF2", "oF3"]}, "next_openid": ""}
        if path.endswith("/batchget"):
            return {
                "user_info_list": [
                    {
                        "openid": user["openid"],
                        "subscribe": 1,
                        "subscribe_time": 1700000000,
                        "unionid": "u" + user["openid"],
                    }
                    for user in body["user_list"]
                ]
            }
        if path.endswith("/qrcode/create"):
            return {"ticket": "ticket", "url": "http://weixin.qq.com/q/x", "expire_seconds": 2592000}
        if path.endswith("/template/send"):
            key = body["client_msg_id"]
            self.sent.setdefault(key, next(self.numbers))
            return {"errcode": 0, "errmsg": "ok", "msgid": self.sent[key]}
        if path.endswith("/jscode2session"):
            return {"openid": "oMini", "unionid": "uMini", "session_key": "c2Vzc2lvbg=="}
        self.menu = body
        return {"errcode": 0, "errmsg": "ok"}


@contextmanager
def trapped(trap, wechat, monkeypatch):
    """Every call out of the product goes through the trap."""

    def perform_many(requests, *, concurrency, deadline=None):
        for request in requests:
            got = []
            try:
                trap.call("HTTP", TimeoutError(), lambda request=request: got.append(wechat.answer(request)))  # noqa: B023
            except TimeoutError:
                yield transport.Exchange(request, error="RESET", request_written=True)
            else:
                yield transport.Exchange(request, status=200, body=orjson.dumps(got[0]), request_written=True)

    class Task:
        def apply_async(self, args, kwargs, **options):
            trap.call("broker", tasks_base.OperationalError("no broker"), lambda: None)

    def ring(task, *args, **kwargs):
        def publish():
            try:
                Task().apply_async(args, kwargs)
            except tasks_base.OperationalError:
                return

        transaction.on_commit(publish)

    with ExitStack() as stack, monkeypatch.context() as patch:
        patch.setattr(transport, "perform_many", perform_many)
        patch.setattr(transport, "perform", lambda request: next(perform_many([request], concurrency=1)))
        for module in ("campaigns.services.steering", "campaigns.services.launch", "campaigns.services.results"):
            patch.setattr(sys.modules[module], "ring", ring)
        patch.setattr(inbox, "ring", ring)
        stack.enter_context(connection.execute_wrapper(trap.query))
        yield


class Stage:
    """A brand with an account; every trial works on people, tags and campaigns of its own."""

    def __init__(self):
        self.brand = make_brand()
        with self.scope:
            self.account = make_account()
            self.program = make_mini_program()
            self.template = MessageTemplate.objects.create(
                account=self.account,
                template_id="t",
                title="提醒",
                content="{{thing1.DATA}}",
                fields=parse_fields("{{thing1.DATA}}"),
                synced_at=AT,
            )
            self.segment = Segment.objects.create(name="全部", rule={"all": []}, created_at=AT, updated_at=AT)
            self.place = make_touchpoint(self.account)
            self.people = [make_follower(self.account) for _ in range(3)]
        self.wechat = Wechat()

    @property
    def scope(self):
        return brand_scope(self.brand.pk)

    def fresh(self):
        with self.scope:
            follower = make_follower(self.account)
            return follower, Member.objects.get(pk=follower.member_id)

    def campaign(self):
        with self.scope:
            return campaign_services.create_campaign(
                name="提醒",
                account=self.account,
                at=clock.now(),
                template=self.template,
                content={"thing1": "到店"},
                segment=self.segment,
            )

    def launched(self):
        campaign = self.campaign()
        with self.scope:
            campaign_services.launch(campaign=campaign, at=clock.now())
        with self.scope:
            campaign_services.freeze_audience(campaign_id=campaign.pk, at=clock.now())
        return campaign

    def pass_time(self):
        with self.scope, connection.cursor() as cursor:
            cursor.execute("UPDATE campaigns_delivery SET due_at = due_at - interval '60 seconds'")
            cursor.execute("UPDATE campaigns_lane SET taken_until = taken_until - interval '60 seconds'")
            cursor.execute("UPDATE campaigns_finishevent SET due_at = now()")
            cursor.execute("UPDATE wechat_gateway_inboundpush SET retry_at = NULL")
            cursor.execute("UPDATE wechat_gateway_officialaccount SET parked_until = NULL, parked_code = NULL")
            cursor.execute(
                "UPDATE campaigns_campaign SET state = 'SENDING', parked_code = '', parked_until = NULL WHERE state = 'PARKED'"
            )


# Each workflow: begin(stage) makes what it needs and gives (do, holds). `do` is what is disturbed and may be repeated;
# `holds(finished)` raises unless nothing is half done, and everything done when `finished`.


def follow(stage):
    openid = f"oNew{next(_numbers)}"

    def do():
        with stage.scope:
            follower = members.record_contact(
                account_id=stage.account.pk, appid=stage.account.appid, openid=openid, at=AT
            )
            members.record_follow(follower=follower, at=AT)

    def holds(finished):
        found = list(Follower.objects.filter(openid=openid))
        assert len(found) == (1 if finished else len(found)) <= 1
        assert Identity.objects.filter(value=openid).count() == len(found)
        if finished:
            assert found[0].subscribed
            assert found[0].follow_count == 1

    return do, holds


def scan_pushed(stage):
    openid = f"oScan{next(_numbers)}"
    number = next(_numbers)
    scene = stage.place.scene if hasattr(stage.place, "scene") else ""
    body = (
        f"<xml><ToUserName>{stage.account.original_id}</ToUserName><FromUserName>{openid}</FromUserName>"
        f"<CreateTime>1748736000</CreateTime><MsgType>event</MsgType><Event>subscribe</Event>"
        f"<EventKey>qrscene_{scene}</EventKey></xml>"
    )
    with stage.scope:
        push = InboundPush.objects.create(
            account=stage.account,
            dedupe_key=uuid.UUID(int=number),
            digest=uuid.UUID(int=number),
            kind="subscribe",
            openid=openid,
            lane=0,
            event_at=AT,
            received_at=AT,
            body=body,
        )

    def do():
        stage.pass_time_of_pushes()
        inbox.handle_inbound(brand_id=stage.brand.pk, lane=0, at=AT)

    def holds(finished):
        row = InboundPush.objects.get(pk=push.pk)
        followers_now = list(Follower.objects.filter(openid=openid))
        assert len(followers_now) <= 1
        if row.state == "HANDLED":
            assert [each.follow_count for each in followers_now] == [1]
        if finished:
            assert row.state == "HANDLED", row.reason

    return do, holds


def bind_phone(stage):
    _, member = stage.fresh()
    number = f"139{next(_numbers):08d}"

    def do():
        with stage.scope:
            members.bind_phone(member=member, number=number, source="test", at=AT)

    def holds(finished):
        row = Member.objects.get(pk=member.pk)
        assert bool(row.phone_index) == bool(row.phone_tail) == bool(row.phone_masked)
        assert Identity.objects.filter(member=row, kind="PHONE").count() == bool(row.phone_index)
        assert not finished or (row.phone_index and row.joined_at)

    return do, holds


def merge(stage):
    (_first, kept), (second, merged) = stage.fresh(), stage.fresh()
    with stage.scope:
        tag = Tag.objects.create(name=f"标签{next(_numbers)}", created_at=AT)
        members.tag_members(member_ids=[merged.pk], tag_ids=[tag.pk], source="test", at=AT)

    def do():
        with stage.scope:
            if Member.objects.get(pk=merged.pk).merged_into_id is None:
                members.merge_members(kept=kept, merged=merged, evidence="test", at=AT)

    def holds(finished):
        done = Member.objects.get(pk=merged.pk).merged_into_id == kept.pk
        owner = kept.pk if done else merged.pk
        assert Follower.objects.get(pk=second.pk).member_id == owner
        assert list(MemberTag.objects.filter(tag=tag).values_list("member_id", flat=True)) == [owner]
        assert Member.objects.get(pk=owner).tag_ids == [tag.pk]
        assert MergeRecord.objects.filter(kept=kept).count() == done
        assert done or not finished

    return do, holds


def tag_member(stage):
    _, member = stage.fresh()
    with stage.scope:
        tag = Tag.objects.create(name=f"标签{next(_numbers)}", created_at=AT)

    def do():
        with stage.scope:
            members.tag_members(member_ids=[member.pk], tag_ids=[tag.pk], source="test", at=AT)

    def holds(finished):
        rows = list(MemberTag.objects.filter(member=member).values_list("tag_id", flat=True))
        assert Member.objects.get(pk=member.pk).tag_ids == rows
        assert rows == [tag.pk] or not finished

    return do, holds


def sync_tags(stage):
    follower, member = stage.fresh()
    wechat = stage.wechat
    with stage.scope:
        Tag.objects.filter(sync=True).update(sync=False)
        RemoteTag.objects.all().delete()
        tag = Tag.objects.create(name=f"同步{next(_numbers)}", sync=True, created_at=AT)
        members.tag_members(member_ids=[member.pk], tag_ids=[tag.pk], source="test", at=AT)
    wechat.tags, wechat.tagged = {}, {}

    def do():
        tag_sync.sync_tags(stage.brand.pk, stage.account.pk, at=AT)

    def holds(finished):
        names = [name for name in wechat.tags.values() if name == tag.name]
        assert list(MemberTag.objects.filter(member=member).values_list("tag_id", flat=True)) == [tag.pk]
        if finished:
            (remote,) = RemoteTag.objects.filter(tag=tag)
            assert wechat.tagged[remote.remote_id] == {follower.openid}
            assert len(names) == 1, "made twice at WeChat"

    return do, holds


def fetch_followers(stage):
    with stage.scope:
        Identity.objects.filter(value__in=["oF1", "oF2", "oF3", "uoF1", "uoF2", "uoF3"]).delete()
        Follower.objects.filter(openid__in=["oF1", "oF2", "oF3"]).delete()

    def do():
        followers.fetch_followers(stage.brand.pk, stage.account.pk, at=AT)

    def holds(finished):
        found = list(Follower.objects.filter(openid__in=["oF1", "oF2", "oF3"]).values_list("openid", "member_id"))
        assert len({openid for openid, _ in found}) == len(found) == (3 if finished else len(found))
        for openid, member_id in found:
            assert Identity.objects.filter(value=openid, member_id=member_id).count() == 1

    return do, holds


def launch(stage):
    campaign = stage.campaign()

    def do():
        with stage.scope:
            if Campaign.objects.get(pk=campaign.pk).state == "DRAFT":
                campaign_services.launch(campaign=campaign, at=clock.now())
        with stage.scope:
            campaign_services.freeze_audience(campaign_id=campaign.pk, at=clock.now())

    def holds(finished):
        row = Campaign.objects.get(pk=campaign.pk)
        count = Delivery.objects.filter(campaign=row).count()
        assert (row.audience_count or 0) == count
        assert row.state == "SENDING" if finished else row.state in ("DRAFT", "FREEZING", "SENDING")

    return do, holds


def send_step(stage):
    campaign = stage.launched()

    def do():
        stage.pass_time()
        campaign_services.send_slice(brand_id=stage.brand.pk, campaign_id=campaign.pk, lane=0, until=float("inf"))

    def holds(finished):
        states = set(Delivery.objects.filter(campaign=campaign).values_list("state", flat=True))
        assert "FAILED" not in states
        assert "SUPPRESSED" not in states
        if finished:
            assert states == {"SENT"}
            prefix = campaign.public_id.hex[:16]
            mine = {key for key in stage.wechat.sent if key.startswith(prefix)}
            assert len(mine) == Delivery.objects.filter(campaign=campaign).count()

    return do, holds


def finish_event(stage):
    campaign = stage.launched()
    with trapped(Trap(0, ""), stage.wechat, pytest.MonkeyPatch()):
        campaign_services.send_slice(brand_id=stage.brand.pk, campaign_id=campaign.pk, lane=0, until=float("inf"))
    with stage.scope:
        row = Delivery.objects.filter(campaign=campaign).first()

    def do():
        with stage.scope:
            campaign_services.record_result(
                account_id=stage.account.pk, openid=row.openid, msgid=str(row.msgid), status="success", event_at=AT
            )
        stage.pass_time()
        with stage.scope:
            campaign_services.settle_results(at=AT)

    def holds(finished):
        state = Delivery.objects.get(pk=row.pk).state
        waiting = FinishEvent.objects.filter(msgid=row.msgid).count()
        assert state in ("SENT", "DELIVERED")
        if finished:
            assert (state, waiting) == ("DELIVERED", 0)

    return do, holds


def steer(stage):
    campaign = stage.launched()

    def do():
        for step, states in (
            (campaign_services.pause, ("SENDING",)),
            (campaign_services.resume, ("PAUSED",)),
            (campaign_services.stop, ("SENDING",)),
        ):
            with stage.scope:
                if Campaign.objects.get(pk=campaign.pk).state in states:
                    step(campaign=campaign, at=clock.now())
        closed = 1
        while closed:
            with stage.scope:
                closed = campaign_services.close_stopped(campaign_id=campaign.pk, at=clock.now())

    def holds(finished):
        row = Campaign.objects.get(pk=campaign.pk)
        if finished:
            assert row.state == "STOPPED"
            assert row.finished_at is not None
            assert set(Delivery.objects.filter(campaign=row).values_list("state", flat=True)) == {"SUPPRESSED"}

    return do, holds


def mini_program_login(stage):
    openid = f"oMini{next(_numbers)}"

    def do():
        with stage.scope:
            member = members.record_mini_program_user(
                appid=stage.program.appid, openid=openid, unionid=f"u{openid}", subject="subject", at=AT
            )
            assert member.pk

    def holds(finished):
        ties = list(Identity.objects.filter(value__in=[openid, f"u{openid}"]).values_list("member_id", flat=True))
        assert len(set(ties)) <= 1
        assert len(ties) in ((2,) if finished else (0, 2))

    return do, holds


def save_segment(stage):
    name = f"人群{next(_numbers)}"

    def do():
        with stage.scope:
            if not Segment.objects.filter(name=name).exists():
                members.save_segment(name=name, rule={"all": []}, at=AT)

    def holds(finished):
        assert (
            Segment.objects.filter(name=name).count()
            == (1 if finished else Segment.objects.filter(name=name).count())
            <= 1
        )

    return do, holds


def token(stage):
    def do():
        tokens.forget_cached()
        stage.pass_time()
        assert tokens.current(stage.account, at=clock.now()).secret.reveal() == "token"

    def holds(finished):
        from wechat_gateway.models import AccessToken

        row = AccessToken.objects.filter(appid=stage.account.appid).first()
        assert row is None or bool(row.token) == bool(row.expires_at) == bool(row.generation)

    return do, holds


WORKFLOWS = (
    follow, scan_pushed, bind_phone, merge, tag_member, sync_tags, fetch_followers, launch, send_step, finish_event,
    steer, mini_program_login, save_segment, token,
)  # fmt: skip


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.__name__)
def test_every_call_of_a_workflow_may_fail(workflow, transactional_db, monkeypatch):
    stage = Stage()
    stage.pass_time_of_pushes = lambda: _pass_time_of_pushes(stage)
    monkeypatch.setattr(client, "_proven", {})
    monkeypatch.setattr(client, "_rung", {})
    monkeypatch.setattr(quotas, "_limits_of", lambda api, at: {})
    tried = 0
    for way in ("error", "lost", "kill"):
        for nth in range(1, 200):
            tokens.forget_cached()
            do, holds = workflow(stage)
            trap = Trap(nth, way)
            with trapped(trap, stage.wechat, monkeypatch):
                try:
                    do()
                except (Killed, Exception) as error:
                    if not trap.where:
                        raise
                    assert isinstance(error, Killed) or way != "kill"  # noqa: PT017
            connection.close_if_unusable_or_obsolete()
            if way == "kill":
                connection.close()
            with stage.scope:
                holds(False)
                assert invariants.breaches() == []
            for _ in range(2):
                with trapped(Trap(0, ""), stage.wechat, monkeypatch):
                    do()
            with stage.scope:
                holds(True)
                assert invariants.breaches() == [], (way, nth, trap.where)
            if not trap.where:
                break
            tried += 1
        else:
            pytest.fail("the workflow never passes")
    assert tried >= 3


def _pass_time_of_pushes(stage):
    with stage.scope:
        InboundPush.objects.filter(state="NEW").update(retry_at=None, attempts=0)
