"""What can be disturbed: workflows, each with what must hold after it was cut off anywhere and repeated."""

import itertools
import sys
import uuid
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from zoneinfo import ZoneInfo

import orjson
import psycopg2
import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import F

from accounts import tasks_base
from accounts.tenancy import brand_scope
from campaigns import services as campaign_services
from campaigns.models import Campaign, Delivery, FinishEvent, MessageTemplate
from campaigns.template_content import parse_fields
from common import clock
from conversations import services as conversations
from conversations.models import LastTag, Menu, ReplyRecord, TagMenu
from conversations.services import save_menu
from coupons import services as coupons
from coupons.invariants import breaches as coupon_breaches
from coupons.models import Coupon, PurchaseGift, PurchaseGrant, Push, ScanGrant, Template, TierGift, TierGrant
from coupons.selectors.scans import KIND
from inbox.services import record_act
from launcher.pytest_databases import end_sessions
from loyalty.models import Standing, Tier
from loyalty.services import Operation
from loyalty.services.facts import Report, record_fact
from members import services as members
from members.facts import ACT
from members.models import (
    ErasureClock,
    ErasureReason,
    ErasureState,
    FactChange,
    FactDue,
    Follower,
    Identity,
    Member,
    MemberTag,
    MergeRecord,
    RemoteTag,
    RemoteTagging,
    Segment,
    SegmentMember,
    Tag,
    TagRule,
)
from members.services import followers, retention, tag_sync
from members.services.facts import log_facts
from tests.factories import AT, make_account, make_brand, make_follower, make_mini_program, make_touchpoint
from touchpoints import services as touchpoints
from touchpoints.errors import CodeBeingMade
from touchpoints.models import ChannelSum, Recount, Touchpoint
from touchpoints.services import codes
from wechat_gateway import js_tickets, tokens, transport
from wechat_gateway.errors import CallsParked
from wechat_gateway.models import AccessToken, InboundPush, JsTicket
from wechat_gateway.services import inbox
from wechat_gateway.windows import Act

_numbers = itertools.count(1)


class Killed(BaseException):
    """The process is gone."""


class Trap:
    """Counts the calls of a workflow; the `nth` fails in the given way."""

    def __init__(self, nth=0, way=""):
        self.nth, self.way, self.count, self.dead, self.where = nth, way, 0, False, ""
        self.lasting = 0  # what has been done until now that no death takes back
        self.lasting_before = 0  # the same when the nth call came
        self.calls = []  # of each call what it was and how much had been done before it
        self.calls = []  # of each call what it was and what had been done before it

    def sprung(self, what):
        """Whether this call is the one; raises for whatever a dead process would still do."""
        if self.dead:
            raise Killed
        self.count += 1
        self.calls.append((what, self.lasting))
        if self.count != self.nth:
            return False
        self.where, self.lasting_before = what, self.lasting
        if self.way == "kill":
            self.die()
        return True

    def die(self):
        self.dead = True
        connection.close()  # what was not committed is gone
        raise Killed

    def query(self, execute, sql, params, many, context):
        if not self.sprung(sql[:60]):
            found = execute(sql, params, many, context)
            self.lasting += not connection.in_atomic_block
            return found
        if self.way == "time-out":
            return execute(_CANCELLED, (), many, context)
        cut()
        return execute(sql, params, many, context)

    def commit(self, commit):
        if not self.sprung("COMMIT"):
            self.lasting += 1
            return commit()
        if self.way == "time-out":
            commit()  # only its answer is lost
        cut()
        raise OperationalError("the connection was cut")

    def http(self, request, answer):
        if not self.sprung(request.url.partition("?")[0]):
            self.lasting += 1
            return transport.Exchange(request, status=200, body=orjson.dumps(answer(request)), request_written=True)
        if self.way == "time-out":
            answer(request)  # it was done, but nobody hears of it
            return transport.Exchange(request, error="TIMEOUT", request_written=True)
        return transport.Exchange(request, error="CONNECT")

    def publish(self):
        self.lasting += 1
        if self.sprung("broker"):
            raise tasks_base.OperationalError("no broker")


WAYS = ("error", "time-out", "kill")
# What a statement that takes too long ends with; the transaction can do nothing any more.
_CANCELLED = "DO $$ BEGIN RAISE EXCEPTION 'took too long' USING ERRCODE = 'query_canceled'; END $$"


def cut():
    """End the session behind the client's back; the next statement finds out."""
    if connection.connection is not None:
        backend = connection.connection.info.backend_pid
        other = psycopg2.connect(connection.connection.dsn, password=connection.settings_dict["PASSWORD"])
        other.autocommit = True
        try:
            with other.cursor() as cursor:
                end_sessions(cursor, "pid = %s", backend)
        finally:
            other.close()


class Wechat:
    """Answers every call as WeChat would, from a small memory."""

    def __init__(self):
        self.tags = {}
        self.tagged = {}
        self.sent = {}
        self.numbers = itertools.count(1000)
        self.menu = None
        self.tag_menus = {}
        self.customs = []
        self.secret_is_wrong = False

    def answer(self, request):  # noqa: C901, PLR0911, PLR0912
        path = request.url.partition("?")[0].partition("/cgi-bin")[2] or request.url.partition("?")[0]
        body = orjson.loads(request.body) if request.body else {}
        if path.endswith("/stable_token") and self.secret_is_wrong:
            return {"errcode": 40125, "errmsg": "invalid appsecret"}
        if path.endswith("/stable_token"):
            return {"access_token": "token", "expires_in": 7200}
        if path.endswith("/ticket/getticket"):
            return {"errcode": 0, "errmsg": "ok", "ticket": "ticket", "expires_in": 7200}
        if path.endswith("/tags/get"):
            return {"tags": [{"id": key, "name": name, "count": 0} for key, name in self.tags.items()]}
        if path.endswith("/tags/create"):
            key = next(self.numbers)
            self.tags[key] = body["tag"]["name"]
            return {"tag": {"id": key, "name": body["tag"]["name"]}}
        if path.endswith("/tags/update"):
            self.tags[body["tag"]["id"]] = body["tag"]["name"]
            return {"errcode": 0}
        if path.endswith("/tags/delete"):
            return {"errcode": 0} if self.tags.pop(body["tag"]["id"], None) else {"errcode": 45159}
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
        return self.message_or_menu(path, body)

    def message_or_menu(self, path, body):
        if path.endswith("/custom/send"):
            self.customs.append(body)
            return {"errcode": 0, "errmsg": "ok"}
        if path.endswith("/menu/get"):
            personalised = [{"menuid": key, **menu} for key, menu in self.tag_menus.items()]
            return {"menu": self.menu or {"button": []}, "conditionalmenu": personalised}
        if path.endswith("/addconditional"):
            key = str(next(self.numbers))
            self.tag_menus[key] = body
            return {"menuid": key}
        if path.endswith("/delconditional"):
            self.tag_menus.pop(body["menuid"], None)
            return {"errcode": 0}
        self.menu = body
        return {"errcode": 0, "errmsg": "ok"}


@contextmanager
def trapped(trap, wechat):
    """Every call out of the product goes through the trap."""

    def perform_many(requests, *, concurrency, deadline=None):
        for request in requests:
            yield trap.http(request, wechat.answer)

    def ring(task, *args, **kwargs):
        def publish():
            try:
                trap.publish()
            except tasks_base.OperationalError:
                return  # what the real one does: the sweepers find it

        transaction.on_commit(publish)

    commit = connection._commit
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport, "perform_many", perform_many)
        patch.setattr(transport, "perform", lambda request: trap.http(request, wechat.answer))
        for module in (
            "campaigns.services.steering",
            "campaigns.services.launch",
            "campaigns.services.results",
            "conversations.services.menus",
            "conversations.services.records",
        ):
            patch.setattr(sys.modules[module], "ring", ring)
        patch.setattr(inbox, "ring", ring)
        patch.setattr(connection, "_commit", lambda: trap.commit(commit))
        stack.enter_context(connection.execute_wrapper(trap.query))
        yield


class Stage:
    """A brand with an account; every trial works on people, tags and campaigns of its own."""

    def __init__(self):
        self.brand = make_brand(f"brand{next(_numbers)}")
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

    def pass_time_of_pushes(self):
        with self.scope:
            InboundPush.objects.filter(state="NEW").update(retry_at=None, attempts=0)

    def pass_time(self):
        """Let everything come due that waits for a moment."""
        self.pass_time_of_messages()
        with self.scope, connection.cursor() as cursor:
            cursor.execute("UPDATE wechat_gateway_officialaccount SET parked_until = NULL, parked_code = NULL")
            cursor.execute(
                "UPDATE campaigns_campaign SET state = 'SENDING', parked_code = '', parked_until = NULL WHERE state = 'PARKED'"
            )

    def pass_time_of_messages(self):
        with self.scope, connection.cursor() as cursor:
            for statement in _MINUTE_LATER:
                cursor.execute(statement)

    def pass_time_elsewhere(self):
        """The same while a transaction stands still: what it holds does not come due for others."""
        other = psycopg2.connect(connection.connection.dsn, password=connection.settings_dict["PASSWORD"])
        try:
            with other, other.cursor() as cursor:
                cursor.execute("SELECT set_config('app.brand_id', %s, true)", [str(self.brand.pk)])
                for statement in _MINUTE_LATER:
                    table = statement.split()[1]
                    cursor.execute(f"{statement} WHERE id IN (SELECT id FROM {table} FOR UPDATE SKIP LOCKED)")
        finally:
            other.close()


_MINUTE_LATER = (
    "UPDATE campaigns_delivery SET due_at = due_at - interval '60 seconds'",
    "UPDATE campaigns_lane SET taken_until = taken_until - interval '60 seconds'",
    "UPDATE campaigns_finishevent SET due_at = due_at - interval '60 seconds'",
    "UPDATE wechat_gateway_inboundpush SET retry_at = NULL",
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


def erase_person(stage):
    follower, member = stage.fresh()
    with stage.scope:
        Follower.objects.filter(pk=follower.pk).update(subscribed=False)
        members.start_clocks(followers=[follower], reason=ErasureReason.UNFOLLOWED, at=AT)

    def do():
        members.erase_due(stage.brand.pk, at=AT + timedelta(days=60))

    def holds(finished):
        clock = ErasureClock.objects.get(follower=follower)
        kept = Identity.objects.filter(member=member, value=follower.openid).count()
        assert kept == (clock.state != ErasureState.DONE)
        assert clock.state == ErasureState.DONE or not finished

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


def automatic_tags(stage):
    _, member = stage.fresh()
    following = {"all": [{"condition": "subscribed", "params": {"value": "yes"}}]}
    with stage.scope:
        TagRule.objects.update(is_on=False, run_due_at=None)
        FactDue.objects.all().delete()
        tag = Tag.objects.create(name=f"自动{next(_numbers)}", created_at=AT)
        members.save_tag_rule(name=tag.name, tag_id=tag.pk, rule=following, at=AT)
        TagRule.objects.filter(tag=tag).update(run_due_at=AT)

    def do():
        with stage.scope:
            members.note_fact(kind=ACT, member_ids=[member.pk])
        while members.apply_due_facts(stage.brand.pk, at=AT):
            pass
        while members.run_rules(stage.brand.pk, at=AT):
            pass

    def holds(finished):
        carriers = set(MemberTag.objects.filter(tag=tag).values_list("member_id", flat=True))
        shown = set(Member.objects.filter(tag_ids__contains=[tag.pk]).values_list("pk", flat=True))
        assert carriers == shown
        if finished:
            assert carriers == set(Member.objects.filter(subscribed=True).values_list("pk", flat=True))
            assert not FactDue.objects.exists()

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


def delete_tag(stage):
    """A tag that is not kept in step any more leaves WeChat; people here keep it."""
    number = next(_numbers)
    _follower, member = stage.fresh()
    with stage.scope:
        tag = Tag.objects.create(name=f"离开{number}", created_at=AT)
        members.tag_members(member_ids=[member.pk], tag_ids=[tag.pk], source="test", at=AT)
        RemoteTag.objects.create(account=stage.account, tag=tag, remote_id=7000 + number, state="LEAVING")
    stage.wechat.tags = {7000 + number: tag.name}

    def do():
        members.delete_leaving_tags(stage.brand.pk, at=AT)

    def holds(finished):
        here = RemoteTag.objects.filter(tag=tag).exists()
        assert here or not stage.wechat.tags, "forgotten while WeChat has it"
        assert not here or not finished
        assert MemberTag.objects.filter(member=member, tag=tag).exists()

    return do, holds


def rename_tag(stage):
    """A tag has a new name here; the one that both sides knew stands at WeChat."""
    wechat, number = stage.wechat, next(_numbers)
    with stage.scope:
        Tag.objects.filter(sync=True).update(sync=False)
        RemoteTag.objects.all().delete()
        tag = Tag.objects.create(name=f"新{number}", sync=True, created_at=AT)
        RemoteTag.objects.create(account=stage.account, tag=tag, remote_id=500 + number, agreed_name=f"旧{number}")
    wechat.tags, wechat.tagged = {500 + number: f"旧{number}"}, {}

    def do():
        tag_sync.sync_tags(stage.brand.pk, stage.account.pk, at=AT)

    def holds(finished):
        (remote,) = RemoteTag.objects.filter(tag=tag)
        assert Tag.objects.get(pk=tag.pk).name == f"新{number}", "the old name came back"
        assert remote.agreed_name != tag.name or wechat.tags == {remote.remote_id: tag.name}
        assert not finished or remote.agreed_name == tag.name

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
    with trapped(Trap(), stage.wechat):
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


def keep_segment(stage):
    """Somebody leaves; who is in the segment that follows them is brought up to date, or found anew."""
    gone, _member = stage.fresh()
    stage.fresh()
    following = {"all": [{"condition": "subscribed", "params": {"value": "yes"}}]}
    with stage.scope:
        Segment.objects.exclude(freshness="LIVE").delete()
        row = members.save_segment(name=f"续{next(_numbers)}", rule=following, at=AT, freshness="MINUTES")
        members.refresh_segment(segment=row, at=AT)
        members.record_unfollow(follower=gone, at=AT)
    rounds = itertools.count(1)

    def do():
        members.refresh_segments(stage.brand.pk, at=AT + next(rounds) * timedelta(minutes=10))

    def holds(finished):
        kept = set(SegmentMember.objects.filter(segment_id=row.pk).values_list("member_id", flat=True))
        subscribed = set(Member.objects.filter(subscribed=True).values_list("pk", flat=True))
        assert kept in (subscribed, subscribed | {gone.member_id})
        assert kept == subscribed or not finished

    return do, holds


def retain(stage):
    """What is older than it may be goes piece by piece; what is younger stays."""
    _, member = stage.fresh()
    with stage.scope:
        for days in (2_000, 1_500, 10):
            log_facts(what="tag", pairs=[(member.pk, 0)], before="", after="", source="t", at=AT - timedelta(days=days))

    def do():
        retention.drop_old(stage.brand.pk, "fact_changes", before=AT - timedelta(days=1_095))

    def holds(finished):
        mine = FactChange.objects.filter(member_id=member.pk, source="t")
        assert mine.filter(at__gte=AT - timedelta(days=1_095)).count() == 1
        assert mine.count() in ({1} if finished else {1, 3})

    return do, holds


def token(stage):
    def do():
        tokens.forget_cached()
        stage.pass_time()
        assert tokens.current(stage.account, at=clock.now()).secret.reveal() == "token"

    def holds(finished):
        row = AccessToken.objects.filter(appid=stage.account.appid).first()
        assert row is None or bool(row.token) == bool(row.expires_at) == bool(row.generation)

    return do, holds


def page_ticket(stage):
    def do():
        tokens.forget_cached()
        stage.pass_time()
        with stage.scope:
            JsTicket.objects.filter(expires_at__isnull=False).update(expires_at=AT)
            JsTicket.objects.filter(parked_until__isnull=False).update(parked_until=AT)  # the pause is over
        assert js_tickets.current(stage.account, at=clock.now()).secret.reveal() == "ticket"

    def holds(finished):
        row = JsTicket.objects.filter(appid=stage.account.appid).first()
        assert row is None or (row.ticket is not None) == (row.expires_at is not None)
        assert not finished or row.ticket is not None

    return do, holds


def probe(stage):
    campaign = stage.launched()
    with stage.scope:
        Campaign.objects.filter(pk=campaign.pk).update(state="PARKED", parked_code="45011", parked_until=AT)

    def do():
        with stage.scope:
            Campaign.objects.filter(pk=campaign.pk, state="PARKED").update(parked_until=AT)
            mine = Delivery.objects.filter(campaign=campaign, due_at__isnull=False)
            mine.update(due_at=F("due_at") - timedelta(seconds=20))
        campaign_services.probe(brand_id=stage.brand.pk, campaign_id=campaign.pk, at=clock.now())

    def holds(finished):
        row = Campaign.objects.get(pk=campaign.pk)
        assert row.state in ("PARKED", "SENDING")
        assert bool(row.parked_until) == bool(row.parked_code) == (row.state == "PARKED")
        assert row.state == "SENDING" or not finished
        prefix = campaign.public_id.hex[:16]
        seqs = {int(key.split("-")[1]) for key in stage.wechat.sent if key.startswith(prefix)}
        sent = Delivery.objects.filter(campaign=campaign, state="SENT").values_list("seq", flat=True)
        assert set(sent) <= seqs, "sent without WeChat"
        open_rows = Delivery.objects.filter(campaign=campaign, due_at__isnull=False).values_list("seq", flat=True)
        assert seqs - set(sent) <= set(open_rows), "sent and forgotten"
        if finished:  # nobody goes on with what the probe has let go
            Campaign.objects.filter(pk=campaign.pk).update(state="PAUSED")

    return do, holds


def sweep_and_replay(stage):
    _, holds = scan_pushed(stage)
    with stage.scope:
        push = InboundPush.objects.order_by("-pk").first()
        InboundPush.objects.filter(pk=push.pk).update(state="FAILED", reason="x", attempts=3)

    def do():
        with stage.scope:
            if InboundPush.objects.get(pk=push.pk).state == "FAILED":
                inbox.replay_push(push_id=push.pk, at=AT)
        with stage.scope:
            # The openid decides the lane when it is read anew.
            lane = InboundPush.objects.get(pk=push.pk).lane
        stage.pass_time_of_pushes()
        inbox.sweep_inbound()
        inbox.handle_inbound(brand_id=stage.brand.pk, lane=lane, at=AT)

    return do, holds


def refused_secret(stage):
    with stage.scope:
        AccessToken.objects.filter(appid=stage.account.appid).delete()
        type(stage.account).objects.filter(pk=stage.account.pk).update(parked_until=None, parked_code=None)
    stage.wechat.secret_is_wrong = True

    def do():
        tokens.forget_cached()
        with stage.scope:  # a pause for want of an answer is short
            type(stage.account).objects.filter(pk=stage.account.pk, parked_code=None).update(parked_until=None)
        try:
            tokens.current(stage.account, at=clock.now())
        except CallsParked:
            return
        finally:
            stage.wechat.secret_is_wrong = True
        pytest.fail("a token without a secret")

    def holds(finished):
        account = type(stage.account).objects.get(pk=stage.account.pk)
        assert account.parked_code in ((40125,) if finished else (None, 40125))
        assert account.parked_until or not account.parked_code
        assert not AccessToken.objects.filter(appid=stage.account.appid, token__isnull=False).exists()
        stage.wechat.secret_is_wrong = not finished
        if finished:
            type(account).objects.filter(pk=account.pk).update(parked_until=None, parked_code=None)

    return do, holds


def publish_menu(stage):
    draft = {"type": "click", "name": f"菜单{next(_numbers)}", "key": "k"}
    with stage.scope:
        save_menu(account=stage.account, buttons=[draft])
    stage.wechat.menu = None

    def do():
        conversations.publish_menu(stage.brand.pk, stage.account.pk, at=AT)

    def holds(finished):
        menu = Menu.objects.get(account=stage.account)
        shown = stage.wechat.menu == {"button": [draft]}
        assert menu.draft == [draft]
        assert shown or menu.published != [draft], "published without WeChat"
        assert (shown and menu.published == [draft]) or not finished

    return do, holds


def _remote_tag(stage):
    number = next(_numbers)
    tag = Tag.objects.create(name=f"菜单标签{number}", sync=True, created_at=AT)
    return RemoteTag.objects.create(account=stage.account, tag=tag, remote_id=5000 + number)


def publish_due_menus(stage):
    draft = {"type": "click", "name": f"定时{next(_numbers)}", "key": "k"}
    own = {**draft, "key": "own"}
    with stage.scope:
        save_menu(account=stage.account, buttons=[draft])
        TagMenu.objects.filter(account=stage.account).delete()
        remote = _remote_tag(stage)
        conversations.save_tag_menu(account=stage.account, match={"tag_id": remote.tag_id}, buttons=[own])
        conversations.ask_to_publish(account=stage.account, at=AT)

    def do():
        with stage.scope:
            Menu.objects.filter(account=stage.account, state="PUBLISHING").update(claimed_at=AT - timedelta(hours=1))
        conversations.publish_due_menus(stage.brand.pk, at=AT)
        with stage.scope:  # what was refused for want of an answer is asked for again by a person
            again = Menu.objects.filter(account=stage.account, state="FAILED").exists()
            if again:
                conversations.ask_to_publish(account=stage.account, at=AT)
        if again:
            conversations.publish_due_menus(stage.brand.pk, at=AT)

    def holds(finished):
        menu = Menu.objects.get(account=stage.account)
        shown = stage.wechat.menu == {"button": [draft]}
        assert shown or menu.published != [draft], "published without WeChat"
        assert (menu.state == "IDLE" and shown) or not finished
        if finished:
            there = [row["button"] for row in stage.wechat.tag_menus.values()]
            assert there == [[own]], "what an attempt left behind is taken away by the next"
            TagMenu.objects.filter(account=stage.account).delete()

    return do, holds


def compare_menu(stage):
    draft = {"type": "click", "name": f"再看{next(_numbers)}", "key": "k"}
    stage.wechat.menu = {"button": [draft]}
    with stage.scope:  # what WeChat gave back then is not what it has now
        Menu.objects.update_or_create(
            account=stage.account,
            defaults={"published": [draft], "published_at": AT, "fetched": [], "remote": [], "compare_asked_at": None},
        )

    def do():
        with stage.scope:
            conversations.ask_to_compare(account=stage.account, at=AT)
        conversations.compare_menu(stage.brand.pk, stage.account.pk, at=AT)

    def holds(finished):
        menu = Menu.objects.get(account=stage.account)
        assert menu.fetched in ([], [draft])
        assert menu.compare_asked_at is None or menu.fetched == []
        assert menu.fetched == [draft] or not finished

    return do, holds


def settle_menus(stage):
    follower, _member = stage.fresh()
    with stage.scope:
        first, second = _remote_tag(stage), _remote_tag(stage)
        for remote in (first, second):
            RemoteTagging.objects.create(remote_tag=remote, follower=follower)
        menu, _created = Menu.objects.get_or_create(account=stage.account)
        menu.remote = [{"menuid": "1", "remote_tag_id": first.remote_id, "tag_menu_id": 1, "buttons": []}]
        menu.save()

    def do():
        conversations.settle_menus(stage.brand.pk, stage.account.pk, at=AT)

    def holds(finished):
        applied = follower.openid in stage.wechat.tagged.get(first.remote_id, ())
        known = LastTag.objects.filter(follower=follower, remote_tag_id=first.remote_id).exists()
        assert applied or not known, "known without WeChat"
        assert known or not finished

    return do, holds


def send_replies(stage):
    follower, _member = stage.fresh()
    with stage.scope:
        record_act(follower=follower, act=Act.MESSAGE, at=AT)
        record = ReplyRecord.objects.create(
            account=stage.account,
            follower=follower,
            push_id=next(_numbers),
            trigger="KEYWORD",
            way="SERVICE",
            why="LATE",
            state="WAITING",
            waiting=[{"msgtype": "text", "text": {"content": "x"}}],
            until=AT + timedelta(days=2),
            at=AT,
        )

    later = itertools.count()  # what was not sent is tried again some time later

    def do():
        with stage.scope:
            ReplyRecord.objects.filter(state="SENDING").update(claimed_at=AT - timedelta(hours=1))
        conversations.send_replies(stage.brand.pk, at=AT + next(later) * timedelta(minutes=2))

    def holds(finished):
        sent = sum(message["touser"] == follower.openid for message in stage.wechat.customs)
        state = ReplyRecord.objects.get(pk=record.pk).state
        assert sent <= 1, "sent twice"
        assert state != "DONE" or sent == 1
        assert state in {"DONE", "UNKNOWN"} or not finished

    return do, holds


def issue_code(stage):
    with stage.scope:
        place = make_touchpoint(stage.account)

    def do():
        try:
            touchpoints.issue_code(stage.brand.pk, place.pk, at=AT)
        except CodeBeingMade:  # whoever asked was killed: after a while its order counts as lost
            touchpoints.issue_code(stage.brand.pk, place.pk, at=AT + codes.PATIENCE)

    def holds(finished):
        row = Touchpoint.objects.get(pk=place.pk)
        assert bool(row.ticket) == bool(row.code_url)
        assert (row.ticket and not row.problem) or not finished

    return do, holds


def count_figures(stage):
    with stage.scope:
        code = make_touchpoint(stage.account)
        follower = make_follower(stage.account)
        touchpoints.record_touch(follower=follower, scene=code.scene, is_follow=True, at=AT)

    def do():
        touchpoints.count_all(stage.brand.pk, clock=lambda: AT, zone=ZoneInfo("Asia/Shanghai"))

    def holds(finished):
        sums = ChannelSum.objects.filter(model="", touchpoint_id=code.pk).values_list("parts", flat=True)
        counted = sum(map(sum, sums))
        waiting = Recount.objects.filter(member_id=follower.member_id).exists()
        assert counted in {0, 1}
        assert (counted == 1) != waiting
        assert not waiting or not finished

    return do, holds


def _coupon(total=None):
    rule = {"kind": "AMOUNT", "amount": 100, "days": 9}
    row = coupons.save_template(template=Template(name=f"券{next(_numbers)}", draft=rule, total=total), at=AT)
    coupons.activate_template(template_id=row.pk, at=AT)
    return Template.objects.get(pk=row.pk)


def _sound_coupons(template):
    """Nobody has two, and the budget says what was given."""
    given = list(Coupon.objects.filter(template=template).values_list("member_id", flat=True))
    assert len(given) == len(set(given)) == Template.objects.get(pk=template.pk).taken
    assert coupon_breaches() == []
    return len(given)


def push_coupon(stage):
    """Three people, two at a time, and a coupon of which there are two."""
    with stage.scope:
        template = _coupon(total=2)
    operation = Operation("test", f"push{next(_numbers)}")

    def do():
        with stage.scope:
            push = coupons.create_push(
                operation=operation, template=template, segment=stage.segment, reason="回馈", at=AT
            )
        with stage.scope:
            coupons.start_push(push_id=push.pk, at=AT)
        more = True
        while more:
            with stage.scope:
                more = coupons.push_portion(push_id=push.pk, at=AT, size=2)

    def holds(finished):
        given = _sound_coupons(template)
        push = Push.objects.filter(key=operation.key).first()
        assert given == (push.tally.get("GIVEN", 0) if push else 0)
        assert not finished or (push.state, push.tally) == ("DONE", {"GIVEN": 2, "NONE_LEFT": 1})

    return do, holds


def coupon_after_purchase(stage):
    """Two people buy what brings a coupon."""
    with stage.scope:
        PurchaseGift.objects.update(is_on=False)
        template, number = _coupon(), next(_numbers)
        gift = PurchaseGift(template=template, at_least=100, first_day=AT.date() - timedelta(days=9), is_on=True)
        coupons.save_purchase_gift(gift=gift, at=AT)
        for each, follower in enumerate(stage.people[:2]):
            report = Report(
                system="pos", kind="PURCHASE", number=f"G{number}-{each}", happened_at=AT,
                member_id=follower.member_id, amount=500,
            )  # fmt: skip
            record_fact(report=report, at=AT)

    def do():
        more = 1
        while more:
            with stage.scope:
                more = coupons.give_after_purchases(at=AT)

    def holds(finished):
        given = _sound_coupons(template)
        assert given == PurchaseGrant.objects.filter(gift=gift, outcome="GIVEN").count()
        assert not finished or given == 2

    return do, holds


def scan_coupon(stage):
    """Two people scan a code that gives a coupon."""
    with stage.scope:
        template = _coupon()
        code = touchpoints.create_touchpoint(
            name=f"礼{next(_numbers)}", account=stage.account, at=AT, gives=(KIND, template.pk)
        )
        for follower in stage.people[:2]:
            touchpoints.record_touch(follower=follower, scene=code.scene, is_follow=False, at=AT)

    def do():
        more = 1
        while more:
            with stage.scope:
                more = coupons.give_scan(at=AT)

    def holds(finished):
        given = _sound_coupons(template)
        assert given == ScanGrant.objects.filter(touchpoint=code, outcome="GIVEN").count()
        assert not finished or given == 2

    return do, holds


def tier_coupon(stage):
    """A tier owes its coupon to two people."""
    with stage.scope:
        TierGift.objects.update(is_on=False)
        template, number = _coupon(), next(_numbers)
        tier = Tier.objects.create(name=f"级{number}", threshold=number)
        for follower in stage.people[:2]:
            Standing.objects.update_or_create(member_id=follower.member_id, defaults={"tier": tier, "since": AT})
        coupons.set_gift(tier=tier, template=template, period="MONTH", is_on=True, at=AT)

    def do():
        with stage.scope:
            coupons.find_gifts(at=AT)
        more = 1
        while more:
            with stage.scope:
                more = coupons.give_gifts(at=AT, limit=1)

    def holds(finished):
        given = _sound_coupons(template)
        noted = TierGrant.objects.filter(gift__template=template, outcome="GIVEN", coupon__isnull=False).count()
        assert given == noted
        assert not finished or given == 2

    return do, holds


WORKFLOWS = (
    follow, scan_pushed, bind_phone, merge, erase_person, tag_member, automatic_tags, sync_tags, rename_tag, delete_tag, fetch_followers, launch, send_step, finish_event,
    steer, mini_program_login, save_segment, keep_segment, retain, token, publish_menu, publish_due_menus, compare_menu, settle_menus, send_replies, issue_code,
    count_figures, page_ticket, push_coupon, coupon_after_purchase, scan_coupon, tier_coupon,
    probe, sweep_and_replay, refused_secret,
)  # fmt: skip
