"""Three brands for the matrix: A, its twin B full of canaries, and C, which shares a person with A.

Every brand has two sides with one row of every brand table each. The near side of B repeats A's codes, numbers, OpenIDs,
scenes and names; the far side has keys of its own (in A it is "own brand, other store").
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import time, timedelta
from typing import Any

from django.apps import apps
from django.db import connection, models
from django.utils import timezone

from accounts.models import ApiKey, AuditBlock, AuditChange, AuditEntry, AuditState, Brand, RoleGrant, StaffUser
from accounts.rest.authentication import issue_member_token, token_lifetime
from accounts.rest.scopes import SCOPES
from accounts.roles import DataScope, Role
from accounts.services import create_brand, grant_role, issue_api_key, revoke_role
from accounts.tenancy import BrandOwned, brand_scope
from campaigns.models import (
    Campaign,
    Delivery,
    DeliveryAttempt,
    FinishEvent,
    Lane,
    MessageTemplate,
    NewsPlan,
    Pace,
    SubscriptionStock,
    Tally,
    TestSend,
)
from campaigns.template_content import parse_fields
from common.secret import Secret
from conversations.models import (
    ButtonTap,
    ButtonUse,
    Dialogue,
    DialogueRun,
    DialogueVersion,
    KnownDue,
    LastTag,
    Menu,
    MenuVersion,
    ReplyRecord,
    ReplyRule,
    Suggestion,
    TagMenu,
    Trigger,
    UnmatchedPhrase,
)
from coupons.codes import derive
from coupons.models import (
    Code,
    CodeBatch,
    CounterCode,
    Coupon,
    PurchaseGift,
    PurchaseGrant,
    Push,
    PushPerson,
    ScanGrant,
    Template,
    TemplateVersion,
    TierGift,
    TierGrant,
)
from coupons.models import Move as CouponMove
from guides.models import Assignment, Guide, GuidePolicy, Joining
from imports.models import Export, ExportChunk, Import, ImportChunk, ImportRow
from inbox.models import (
    Agent,
    AgentTask,
    Answer,
    Attachment,
    CannedReply,
    Conversation,
    Hop,
    InboxPolicy,
    Message,
    ReplyLedger,
    ServiceHours,
)
from library.models import MediaCopy, MediaCount, MediaItem
from loyalty.models import (
    Account,
    Adjustment,
    Benefit,
    BenefitUse,
    BirthdayGrant,
    BirthdayProgramme,
    EarnRule,
    EarnRuleVersion,
    Entry,
    ExpiryWarning,
    Fact,
    Hold,
    Journal,
    Lot,
    MergedAssets,
    NewsText,
    Notice,
    PointsPolicy,
    Standing,
    Tier,
    TierChange,
)
from members import services as member_services
from members.models import (
    AccessEntry,
    CodeUse,
    Consent,
    ConsentPurpose,
    ConsentText,
    ControlGroup,
    Doubt,
    ErasureClock,
    FactChange,
    FactDue,
    Flag,
    Follower,
    Grouping,
    GroupingVersion,
    Identity,
    LegalHold,
    ListAccess,
    Member,
    MemberTag,
    MergeRecord,
    MergeUndo,
    MiniProgramSession,
    OptOut,
    PreTag,
    PrivacyPolicy,
    ProfileField,
    ProfileValue,
    RemoteTag,
    RemoteTagging,
    RequestFile,
    RetentionRule,
    RetentionRun,
    RightsRequest,
    Segment,
    SegmentDue,
    SegmentMember,
    SmsCode,
    SmsSettings,
    Snapshot,
    SnapshotMember,
    StageMember,
    StageMove,
    Suppression,
    Tag,
    TagGroup,
    TagRoll,
    TagRule,
    Topic,
)
from referrals.models import Invitation as InvitationCode
from referrals.models import Programme, Referral, Sign
from stores.models import DayException, OpeningHours, Region, RegionGrant, Store, StoreGrant
from touchpoints.models import (
    ChannelSum,
    CodeAllowance,
    CodeIssue,
    CodeOrder,
    Cost,
    CountedTouch,
    FigureState,
    MiniCode,
    Move,
    Recount,
    StaffPerson,
    Touch,
    Touchpoint,
    TouchpointTag,
    Unfollow,
)
from wechat_gateway.models import (
    AccessToken,
    AccountCheck,
    HandledEffect,
    InboundPush,
    Incident,
    Invitation,
    JsTicket,
    MiniProgram,
    OfficialAccount,
    QuotaUse,
)
from welcomes.models import Enrolment, Sequence, StepRecord

CANARY = "ZQXCANARY"
CANARY_C = "YWKCANARY"
MEMBERS_A_SIDE = 18  # besides the one everything hangs on
CONTENT = "事项：{{thing1.DATA}}"
TREE_KEYS = {"near": ("SH001", "0001"), "far": ("BJ001", "0002")}

# Columns of free text that hold something with a meaning to the product, and what that is.
MEANT: dict[str, str] = {
    "accounts.apikey.fingerprint": "a hash",
    "accounts.auditchange.kind": "which lawful change",
    "accounts.auditentry.object_type": "names a model",
    "accounts.auditentry.object_id": "an id",
    "accounts.auditentry.role": "a role",
    "accounts.auditentry.via": "console, api or system",
    "accounts.auditentry.action": "a verb of the product",
    "accounts.auditentry.ip": "an address",
    "accounts.auditentry.request_id": "an id",
    "campaigns.campaign.carrier": "the key of a carrier",
    "campaigns.campaign.mini_appid": "the AppID of a mini program",
    "campaigns.campaign.parked_code": "the key of a reason",
    "campaigns.campaign.content": "fields of the template",
    "campaigns.delivery.openid": "who gets it",
    "welcomes.enrolment.ended": "the key of a reason",
    "welcomes.steprecord.reason": "the key of a reason",
    "welcomes.steprecord.step": "the key of a step",
    "wechat_gateway.officialaccount.platform_appid": "the AppID of the platform",
    "campaigns.delivery.reason": "the key of a reason",
    "campaigns.deliveryattempt.outcome": "a class of answers",
    "campaigns.deliveryattempt.code": "an error code",
    "campaigns.finishevent.openid": "who got it",
    "campaigns.messagetemplate.content": "what the fields are parsed from",
    "campaigns.tally.reason": "the key of a reason",
    "campaigns.testsend.openid": "who got it",
    "campaigns.testsend.outcome": "a class of answers",
    "campaigns.testsend.code": "an error code",
    "conversations.replyrecord.why": "the key of a reason",
    "conversations.replyrule.audience_kind": "the key of a kind of audience",
    "conversations.replyrule.media_id": "the id of a picture",
    "conversations.replyrule.mini_appid": "an AppID",
    "conversations.replyrule.mini_page": "a page of a mini program",
    "coupons.coupon.order": "a number of another system",
    "coupons.move.order": "a number of another system",
    "coupons.push.actor": "who asked, by key",
    "coupons.push.problem": "nothing went wrong",
    "imports.export.role": "a role",
    "imports.import.kind": "the key of a kind",
    "inbox.attachment.content_type": "a type of file",
    "inbox.attachment.media_id": "WeChat's id of a file",
    "inbox.attachment.path": "a name in private storage",
    "inbox.attachment.reason": "the key of a reason",
    "inbox.attachment.sha256": "a hash",
    "inbox.hop.reason": "the key of a reason",
    "library.mediacopy.cause": "the key of a reason",
    "library.mediacopy.media_id": "WeChat's id of a file",
    "library.mediaitem.content_type": "a type of file",
    "library.mediaitem.path": "a name in private storage",
    "inbox.message.cause": "the key of a reason",
    "inbox.message.kind": "WeChat's kind of message",
    "loyalty.birthdaygrant.benefit": "the key of a benefit",
    "loyalty.birthdayprogramme.benefit": "the key of a benefit",
    "loyalty.benefit.kind": "the key of a benefit",
    "loyalty.earnrule.kind": "the key of a kind of rule",
    "loyalty.fact.number": "a number of another system",
    "loyalty.fact.system": "a system",
    "loyalty.journal.number": "a number of another system",
    "loyalty.journal.source": "the key of a source",
    "members.follower.openid": "a key within the account",
    "members.follower.unionid": "the same person in both brands",
    "members.follower.follow_scene": "WeChat's word for how somebody came",
    "members.identity.namespace": "an AppID",
    "members.identity.source": "the key of a source",
    "members.member.phone_masked": "the twins have the same phone",
    "members.membertag.source": "the key of a source",
    "members.controlgroup.salt": "by what chance chooses",
    "members.factchange.after": "yes or nothing",
    "members.factchange.before": "yes or nothing",
    "members.factchange.source": "the key of a source",
    "members.factchange.what": "the key of a fact",
    "members.factdue.kind": "the key of a fact",
    "members.pretag.source": "the key of a source",
    "members.pretag.value": "a fingerprint or an id of WeChat",
    "members.mergerecord.evidence": "the key of an evidence",
    "members.profilefield.key": "a key of the brand's own",
    "members.profilevalue.key": "the key of a field",
    "members.profilevalue.source": "the key of a source",
    "members.codeuse.actor": "the key of a caller",
    "members.codeuse.key": "a caller's own key",
    "members.doubt.evidence": "the key of an evidence",
    "members.miniprogramsession.appid": "the AppID of a mini program",
    "members.miniprogramsession.openid": "who signed in",
    "members.smscode.asker": "names a session, a person of the staff or a key",
    "members.smssettings.way": "the key of a way",
    "members.consent.text_version": "a version",
    "members.consent.source": "the key of a source",
    "touchpoints.touch.scene": "the scene of a code",
    "touchpoints.codeissue.url": "what a code carries",
    "touchpoints.minicode.page": "a page of a mini program",
    "wechat_gateway.inboundpush.kind": "WeChat's kind of push",
    "wechat_gateway.inboundpush.openid": "who sent it",
    "wechat_gateway.officialaccount.open_platform_subject": "the same owner in both brands",
    "wechat_gateway.miniprogram.open_platform_subject": "the same owner in both brands",
}


def brand_models() -> list[type[models.Model]]:
    """Every brand table, discovered."""
    return [model for model in apps.get_models() if issubclass(model, BrandOwned) and not model._meta.proxy]


@dataclass
class Side:
    """One row of every brand table."""

    rows: dict[type[models.Model], Any] = field(default_factory=dict)

    def __getitem__(self, model: type[models.Model]) -> Any:
        return self.rows[model]


@dataclass
class Furnished:
    """A brand with its two sides."""

    brand: Brand
    near: Side
    far: Side
    token: str = ""  # a mini-program session of the near member
    keys: dict[str, str] = field(default_factory=dict)  # name -> clear key
    people: dict[str, StaffUser] = field(default_factory=dict)


@dataclass
class World:
    """What the matrix asks about: `a` asks, `b` and `c` must not show."""

    a: Furnished
    b: Furnished | None = None
    c: Furnished | None = None


def furnish(slug: str, name: str, mark: str, tail: str) -> Furnished:
    """Make a brand. `mark` stands in every free text; `tail` makes the keys of the far side its own."""
    brand = create_brand(slug=slug, name=name)
    with brand_scope(brand.pk):
        near = _side(mark, "near", "")
        far = _side(mark, "far", tail)
        made = Furnished(brand, near, far)
        for name_, scopes in {"full": list(SCOPES), **{scope: [scope] for scope in SCOPES}}.items():
            key, made.keys[name_] = issue_api_key(label=f"{mark}{name_}"[:60], scopes=scopes, at=timezone.now())
            # Its use is noted once in five minutes: a query that two equal requests would differ by.
            key.last_used_at = timezone.now() + timedelta(days=1)
            key.save(update_fields=["last_used_at"])
        made.token = _token(brand, near)
        for side in (near, far):
            for model in list(side.rows):
                side.rows[model] = model.objects.get(pk=side.rows[model].pk)
    return made


def _token(brand: Brand, side: Side) -> str:
    session = member_services.open_session(
        member=side[Member],
        appid=side[MiniProgram].appid,
        openid="oMini0000000000000000000001",
        session_key=Secret("AAECAwQFBgcICQoLDA0ODw=="),
        lifetime=token_lifetime(),
        at=timezone.now(),
    )
    side.rows[MiniProgramSession] = session
    return issue_member_token(brand_id=brand.pk, session_id=session.public_id)[0]


def free_texts(model: type[models.Model]) -> list[models.Field]:
    """Columns in which people or WeChat write what they like: no key, no choice, no secret."""
    keys = {
        name
        for constraint in model._meta.constraints
        if isinstance(constraint, models.UniqueConstraint)
        for name in constraint.fields
    }
    return [
        each
        for each in model._meta.local_fields
        if isinstance(each, models.CharField | models.TextField)
        and not each.choices
        and not each.unique
        and each.name not in keys
        and (each.max_length or 99) >= 20
        and f"{model._meta.label_lower}.{each.name}" not in MEANT
    ]


def _stained(model: type[models.Model], mark: str) -> dict[str, str]:
    """The canary for every free text of a table."""
    if not mark:
        return {}
    return {
        each.name: f"https://{mark.lower()}.example/x" if isinstance(each, models.URLField) else mark
        for each in free_texts(model)
    }


def _came(add, side, touchpoint, account, member, follower, at, *, far):
    """What is kept of somebody who came by a code, and what is counted of it."""
    add(CodeOrder, touchpoint=touchpoint, account=account, state="MADE", asked_at=at, answered_at=at)
    add(CodeAllowance, account=account, permanent_codes=100_000, changed_at=at)
    add(Unfollow, follower=follower, at=at)
    add(StaffPerson, member=member, since=at)
    touch = add(
        Touch, touchpoint=touchpoint, follower=follower, member=member, kind="FOLLOW", scene=touchpoint.scene, at=at
    )
    place = {"touchpoint_id": touchpoint.pk, "placed_at": at}
    add(CountedTouch, touch_id=touch.pk, member_id=member.pk, at=at, day=at.date(), seq=1, total=1, case="NEW", **place)
    add(ChannelSum, model="first", month=at.date().replace(day=1), parts=[1_000_000], **place)
    add(Recount, member_id=member.pk)
    add(FigureState, is_complete=True) if not far else side.rows.setdefault(FigureState, FigureState.objects.get())


def _side(mark: str, which: str, tail: str) -> Side:
    """Make one row of everything. Rows of a side refer to each other."""
    side = Side()
    at = timezone.now() - timedelta(days=3)
    code, number = TREE_KEYS[which]
    code, number = f"{code}{tail}", f"{number}{tail}"
    far = which == "far"

    def add(model: type[models.Model], /, **fields: Any) -> Any:
        row = model.objects.create(**fields | _stained(model, mark))
        side.rows.setdefault(model, row)
        return row

    hexes = uuid.uuid5(uuid.NAMESPACE_DNS, f"{which}{tail}").hex
    account = add(
        OfficialAccount,
        name=f"服务号 {number}",
        appid=f"wx{hexes[:16]}",
        original_id=f"gh_{hexes[:12]}",
        app_secret=f"secret{hexes[:26]}",
        callback_token=f"token{hexes[:10]}",
        encoding_aes_key=(hexes + hexes)[:43],
        open_platform_subject="subject",
        connected_at=at,
    )
    program = add(
        MiniProgram,
        name=f"会员 {number}",
        appid=f"wx{hexes[16:]}",
        app_secret=f"mini{hexes[:28]}",
        open_platform_subject="subject",
    )
    add(AccessToken, appid=account.appid, token=f"token-{mark}-{number}", generation=1, fetched_at=at, expires_at=at)
    add(JsTicket, appid=account.appid, ticket=f"ticket-{mark}-{number}", fetched_at=at, expires_at=at)
    _connection(add, account, number, at)
    region = add(Region, name=f"华东{number}")
    store = add(
        Store,
        code=code,
        name=f"静安店 {number}",
        region=region,
        city="上海",
        address="南京西路",
        lat=31.2239,
        lng=121.4471,
    )
    for day in range(7):
        add(OpeningHours, store=store, weekday=day, opens=time(10), closes=time(22))
    add(DayException, store=store, day=(at + timedelta(days=30)).date(), reason="盘点")
    tag = add(Tag, name=f"新客{number}", group="来源", meaning="第一次来", sync=True, created_at=at)
    touchpoint = add(
        Touchpoint,
        name=f"门口 {number}",
        account=account,
        scene=f"s-{number}",
        store=store,
        welcome="欢迎",
        ticket=f"gQ{hexes}",
        code_url=f"http://weixin.qq.com/q/{hexes[:20]}",
        created_at=at,
    )
    add(TouchpointTag, touchpoint=touchpoint, tag=tag)
    add(
        CodeIssue,
        touchpoint=touchpoint,
        account=account,
        ticket=f"gQ{hexes}",
        url="http://weixin.qq.com/q/x",
        issued_at=at,
    )
    add(Move, touchpoint=touchpoint, restates=True, at=at)
    add(Cost, touchpoint=touchpoint, amount=1200, starts_on=at.date(), ends_on=at.date(), note="海报", created_at=at)
    add(
        MiniCode,
        touchpoint=touchpoint,
        program=program,
        code=f"{hexes[:8]}",
        page="pages/index",
        picture=b"PNG",
        created_at=at,
    )
    guide = add(Guide, staff_no=f"LY{number}", name=f"王敏 {number}", store=store, touchpoint=touchpoint, created_at=at)
    member, follower = _people(add, side, account, program, store, tag, number, at, mark, far=far)
    _looked_after(add, side, member, guide, number, at)
    _came(add, side, touchpoint, account, member, follower, at, far=far)
    push = add(
        InboundPush,
        account=account,
        dedupe_key=uuid.uuid5(uuid.NAMESPACE_DNS, f"push{number}"),
        digest=uuid.uuid5(uuid.NAMESPACE_DNS, f"push{number}"),
        kind="text",
        openid=follower.openid,
        lane=0,
        event_at=at,
        received_at=at,
        body="<xml><broken",
        state="QUARANTINED",
        reason="XML",
    )
    add(HandledEffect, push=push, handler="members.contact")
    add(QuotaUse, appid=account.appid, api="/cgi-bin/message/template/send", window_start=at, used=12)
    add(
        ReplyRule,
        account=account,
        name=f"几点开门 {number}",
        trigger=Trigger.KEYWORD,
        keywords=["几点"],
        text="十点开门",
        updated_at=at,
    )
    _answers(add, side, push, tag, number, at, mark)
    add(Menu, account=account, draft=[{"name": f"店{number[:4]}", "type": "view", "url": "https://example.com/"}])
    _inbox(add, account, follower, store, push, number, at)
    sequence = add(
        Sequence, account=account, name=f"新粉 {number}", updated_at=at,
        steps=[{"key": "a", "after": 10, "text": f"欢迎 {number}"}],
    )  # fmt: skip
    enrolment = add(
        Enrolment, sequence=sequence, follower=follower, in_control=False, followed_at=at,
        until=at + timedelta(hours=48), due_at=at + timedelta(seconds=10),
    )  # fmt: skip
    add(StepRecord, enrolment=enrolment, step="a", outcome="SKIPPED", reason="CLOSED", at=at)
    _points(add, side, member, store, number, at)
    _coupons(add, member, store, number, at)
    segment = add(
        Segment,
        name=f"新客人群 {number}",
        rule={"all": [{"condition": "tag", "params": {"how": "any", "tags": [tag.pk]}}]},
        counted=1,
        counted_at=at,
        created_at=at,
        updated_at=at,
    )
    _campaign(add, account, program, segment, member, follower, number, at)
    # A staff member of the brand; the grant is replaced by the people who ask (see `staff_of`).
    user, _new = StaffUser.objects.get_or_create(
        username=f"clerk-{mark}{number}".lower(), defaults={"name": f"{mark}店员 {number}"}
    )
    grant = add(RoleGrant, staff_user=user, role=Role.STORE_MANAGER, scope=DataScope.STORES)
    add(StoreGrant, grant=grant, store=store)
    add(RegionGrant, grant=grant, region=region)
    side.rows[ApiKey] = issue_api_key(label=f"{mark}收银 {number}", scopes=["stores.read"], at=at)[0]
    _log(add, side, user, tag, number, at, mark, far=far)
    return side


def _log(add, side, user, tag, number, at, mark, *, far):
    """An entry of the audit log, and its seals."""
    add(
        AuditEntry,
        at=at,
        actor=user,
        actor_label=f"{mark}店员 {number}",
        via="console",
        action="change",
        object_type="members.tag",
        object_id=str(tag.pk),
        object_label=f"{mark}新客{number}",
        changes={"meaning": ["", mark or "x"]},
    )
    add(AuditBlock, number=2 if far else 1, upto=0, records=b"", previous=b"", hash=b"", sealed_at=at)
    add(AuditChange, kind="TRIMMED", upto=at, at=at)
    add(AuditState, sealed_at=at) if not far else side.rows.setdefault(AuditState, AuditState.objects.get())


def _connection(add, account, number, at):
    """What is known of an account's connection."""
    add(AccountCheck, appid=account.appid, key="credentials", result="FAILED", code=40125, seconds=0.4, at=at)
    add(
        Invitation,
        pre_auth_code=f"preauthcode-{number}",
        code_print=f"print-{number}",
        account=account,
        asked_at=at,
        expires_at=at,
    )
    add(Incident, kind="wechat.token", appid=account.appid, code=40125, opened_at=at, seen_at=at)


def _answers(add, side, push, tag, number, at, mark):
    """What hangs on automatic answers, dialogues and menus."""
    account, follower = side[OfficialAccount], side[Follower]
    rule = side[ReplyRule]
    add(
        ReplyRecord,
        account=account,
        follower=follower,
        rule=rule,
        push_id=push.pk,
        trigger=rule.trigger,
        way="PASSIVE",
        why="IN_TIME",
        at=at,
    )
    week = (at - timedelta(days=at.weekday())).date()
    add(UnmatchedPhrase, account=account, week=week, text=f"停车{mark or number}", count=3, last_at=at)
    add(
        Suggestion, account=account, week=week, keyword=f"停车{mark or number}"[:20], count=3, examples=[mark or "停车"]
    )
    add(
        TagMenu,
        account=account,
        tag=tag,
        draft=[{"name": f"签{number[:4]}", "type": "view", "url": "https://example.com/"}],
    )
    add(MenuVersion, account=account, number=1, buttons=[{"name": mark[:5] or "旧"}], published_at=at)
    add(LastTag, follower=follower, remote_tag_id=101, remote_tag_ids=[101, 102], at=at)
    add(ButtonTap, account=account, key=f"{mark}键", day=at.date())
    add(ButtonUse, account=account, follower=follower, key=f"{mark}键", day=at.date(), taps=1)
    steps = [{"key": "a", "kind": "SAY", "text": mark or "你好"}]
    dialogue = add(
        Dialogue, account=account, name=f"生日 {number}", keywords=[f"生日{number}"], draft=steps, updated_at=at
    )
    version = add(DialogueVersion, dialogue=dialogue, number=1, steps=steps, published_at=at)
    add(DialogueRun, version=version, follower=follower, step="a", answers={"a": mark}, started_at=at, updated_at=at)


def _people(add, side, account, program, store, tag, number, at, mark, *, far):
    """The member everything hangs on, one merged into them, and some more of the same store."""
    member = add(
        Member,
        public_id=uuid.uuid4(),
        member_no=f"6{number:0>9}"[:20],
        name=f"陈子涵 {number}",
        phone_masked="138****6721",
        phone_tail="6721" if not far else "0002",
        birth_mmdd=817,
        city="上海",
        store=store,
        joined_at=at,
        created_at=at,
        subscribed=True,
        last_interaction_at=at,
        tag_ids=[tag.pk],
    )
    follower = add(
        Follower,
        account=account,
        openid=f"oPerson{number:0>21}"[-28:],
        unionid=f"uPerson{number:0>21}"[-28:],
        member=member,
        subscribed=True,
        followed_at=at,
        last_interaction_at=at,
        follow_count=1,
        follow_scene="ADD_SCENE_QR_CODE",
    )
    add(Identity, member=member, kind="OPENID", namespace=account.appid, value=follower.openid, source="push", since=at)
    add(MemberTag, member=member, tag=tag, source="staff: x", at=at)
    add(TagGroup, name=f"组{number}", created_at=at)
    add(TagRule, name=f"自动{number}", tag=tag, rule={"all": []}, is_on=False, created_at=at, updated_at=at)
    add(FactChange, member=member, what="tag", ref=tag.pk, after="yes", at=at)
    add(FactDue, member=member, kind="members.tags", at=at)
    add(Suppression, member=member, reason="x", at=at)
    add(PreTag, kind="UNIONID", value=f"u{number}", tag=tag, source="list: x", at=at)
    grouping = add(Grouping, name=f"分组{number}", created_at=at, updated_at=at)
    snapshot = add(Snapshot, grouping=grouping, version=1, at=at)
    add(SnapshotMember, snapshot=snapshot, member=member, stage=0)
    if far:
        side.rows.setdefault(ControlGroup, ControlGroup.objects.get())
    else:
        add(ControlGroup, salt="x", changed_at=at)
    remote = add(RemoteTag, account=account, tag=tag, remote_id=101, synced_at=at)
    add(RemoteTagging, remote_tag=remote, follower=follower)
    roll = TagRoll.objects.filter(account=account).first()
    if roll is None:
        add(TagRoll, account=account, tags=[{"id": 101, "name": tag.name, "count": 1}], read_at=at)
    else:
        side.rows.setdefault(TagRoll, roll)
    add(Consent, member=member, purpose="SERVICE", granted=True, text_version="2026-11", source="mini program", at=at)
    add(OptOut, member=member, purpose="MARKETING", at=at)
    add(ConsentPurpose, code=f"P{number:0>4}"[:20], name="调研", meaning="新品调研", created_at=at)
    add(
        ConsentText, purpose="SERVICE", version=f"v{number}"[:20], body=f"{mark}用于服务通知", written_by="x",
        effective_at=at, created_at=at,
    )  # fmt: skip
    Sequence.objects.update(topic=add(Topic, code=f"t{number}"[:20], name="活动", created_at=at))
    add(LegalHold, member=member, reason="退款", at=at, ended_at=at)
    asked = add(
        RightsRequest, member=member, kind="COPY", channel="CONSOLE", asked_at=at, due_at=at, state="READY", answered_at=at,
    )  # fmt: skip
    add(RequestFile, request=asked, content='{"json": {}, "html": ""}', sha256="x", made_at=at, expires_at=at)
    add(RetentionRule, data_class=f"x{number}"[:40], days=400, updated_at=at)
    add(RetentionRun, data_class="fact_changes", at=at, before=at, rows=1)
    merged = add(
        Member,
        public_id=uuid.uuid4(),
        member_no=f"5{number:0>9}"[:20],
        name="旧档案",
        created_at=at,
        merged_into=member,
    )
    add(ErasureClock, follower=follower, reason="REVOKED", what="205", started_at=at, due_at=at + timedelta(days=40))
    add(PrivacyPolicy, updated_at=at) if not far else side.rows.setdefault(PrivacyPolicy, PrivacyPolicy.objects.get())
    add(InboxPolicy, updated_at=at) if not far else side.rows.setdefault(InboxPolicy, InboxPolicy.objects.get())
    add(ProfileField, key=f"skin{number}", label=f"肤质{number}", kind="TEXT", sources=["member"], created_at=at)
    add(ProfileValue, member=member, key=f"skin{number}", source="member", text="干性", at=at)
    add(AccessEntry, member=member, actor_label="顾问", via="api", page="card", at=at, hour=at)
    add(
        ListAccess, actor_label="顾问", via="console", page="search", fields=["name"], people=[member.pk], at=at, hour=at,
        digest=uuid.uuid4(),
    )  # fmt: skip
    add(CodeUse, member=member, step=1, actor="key:1", key=f"scan-{number}", code_index=uuid.uuid4(), at=at)
    record = add(MergeRecord, kept=member, merged=merged, evidence="phone", at=at)
    add(Flag, member=merged, kind="TEST", reason="x", at=at)
    add(MergeUndo, record=record, reason="x", at=at)
    add(Doubt, one=member, other=merged, reasons=["names"], evidence="phone (x)", found_at=at)
    Member.objects.bulk_create(
        Member(
            public_id=uuid.uuid4(),
            member_no=f"7{number:0>7}{each:02d}"[:20],
            name=mark or f"顾客{each:02d}",
            store=store,
            joined_at=at,
            created_at=at + timedelta(minutes=each),
            last_interaction_at=at + timedelta(minutes=each),
            subscribed=False,
        )
        for each in range(MEMBERS_A_SIDE)
    )
    add(
        MiniProgramSession,
        member=member,
        appid=program.appid,
        openid=f"oMini{number:0>23}"[-28:],
        session_key="AAECAwQFBgcICQoLDA0ODw==",
        created_at=at,
        expires_at=at + timedelta(days=9),
    )
    return member, follower


def _inbox(add, account, follower, store, push, number, at):
    """A conversation that waits, with a picture, and what stands around conversations."""
    # Somebody else's client signs in as the guide; the agent here only has to be there.
    user, _new = StaffUser.objects.get_or_create(username=f"desk-{account.brand_id}-{number}")
    conversation = add(
        Conversation, account=account, follower=follower, store=store, state="WAITING", waiting_since=at,
        opened_at=at, last_at=at, last_text="几点关门",
    )  # fmt: skip
    add(ReplyLedger, follower=follower, message_at=at, open_until=at + timedelta(hours=48))
    attachment = add(
        Attachment, account=account, media_id=f"media{number}", state="STORED", content_type="image/png", path="x/y.png",
        created_at=at,
    )  # fmt: skip
    line = add(
        Message, conversation=conversation, direction="IN", kind="image", text="几点关门", at=at,
        attachment=attachment, push_id=push.pk,
    )  # fmt: skip
    add(Hop, conversation=conversation, at=at, level="DESK", reason="QUEUED")
    add(Answer, conversation=conversation, message=line, store=store, since=at, at=at, seconds=60, is_first=True)
    add(Agent, staff_user=user, level="DESK", seen_at=at)
    add(ServiceHours, weekday=int(number[-1]) % 7 if number[-1].isdigit() else 6, opens=time(9), closes=time(21))
    add(CannedReply, shortcut=f"hours{number}"[:20], title="营业时间", text="十点到二十二点", updated_at=at)
    add(AgentTask, conversation=conversation, kind="FOLLOW_UP", note="打电话", due_at=at, created_at=at)
    item = add(
        MediaItem, kind="IMAGE", name="门口", content_type="image/png", size=1, sha256=f"{number}{account.pk}", path="x/z.png",
        created_at=at,
    )  # fmt: skip
    add(MediaCopy, item=item, account=account, media_id=f"copy{number}", expires_at=at)
    add(MediaCount, account=account, images=1, at=at)


def _points(add, side, member, store, number, at):
    """What somebody earned, froze and asked for, and where they stand."""
    journal = add(
        Journal, kind="EARN", actor="system", key=f"fact:{number}", fingerprint=uuid.uuid4(), member=member, points=50,
        source="rule:1", number=number, available=20, held=30, owed=0, at=at,
    )  # fmt: skip
    lot = add(Lot, member=member, journal=journal, granted=50, remaining=20, held=30, earned_at=at)
    for pocket, points in (("AVAILABLE", 20), ("HELD", 30)):
        add(Entry, journal=journal, pocket=pocket, member=member, lot=lot, points=points, at=at)
    add(Entry, journal=journal, pocket="ISSUED", points=-50, at=at)
    add(Account, member=member, available=20, held=30)
    add(Hold, member=member, journal=journal, points=30, until=at + timedelta(days=300))
    far = PointsPolicy.objects.exists()
    add(PointsPolicy, updated_at=at) if not far else side.rows.setdefault(PointsPolicy, PointsPolicy.objects.get())
    add(Adjustment, member=member, points=5000, reason="补偿", asked_at=at)
    add(
        BenefitUse, member=member, actor="key:1", key=f"use-{number}", fingerprint=uuid.uuid4(), number=f"SO{number}",
        amount=100, at=at,
    )  # fmt: skip
    add(ExpiryWarning, member=member, day=at.date(), points=20, lots=[[lot.pk, 20]], at=at)
    add(MergedAssets, kept=member, merged=side[MergeRecord].merged, at=at)
    add(
        Fact, system="pos", kind="PURCHASE", number=number, fingerprint=uuid.uuid4(), member=member, store=store,
        amount=5000, happened_at=at, received_at=at,
    )  # fmt: skip
    rule = add(
        EarnRule,
        name=f"消费 {number}",
        kind="spend",
        state="ACTIVE",
        draft={"points": 1, "per_fen": 100},
        updated_at=at,
    )
    add(EarnRuleVersion, rule=rule, number=1, params={"points": 1, "per_fen": 100}, since=at)
    tier = add(Tier, name=f"知音{number}"[:20], threshold=1000 * Tier.objects.count())
    add(Benefit, tier=tier, kind="PRICE", value=10)
    add(Standing, member=member, tier=tier, since=at, evaluates_at=at + timedelta(days=300))
    change = add(TierChange, member=member, kind="ENTER", after=tier.name, value=50, window_from=at, at=at)
    about = "tier_kept" if NewsText.objects.filter(about="tier_up").exists() else "tier_up"
    add(NewsText, about=about, text="{tier}", is_on=True, updated_at=at)
    add(Notice, member=member, about=about, subject=change.pk, day=at.date(), at=at)
    _birthdays(add, side, member, at)


def _coupons(add, member, store, number, at):
    """A template with a version, a coupon of it with its first move, a batch with the code it came by."""
    rule = {"kind": "AMOUNT", "amount": 500, "days": 300}
    until = at + timedelta(days=300)
    template = add(
        Template, name=f"满减 {number}", state="ACTIVE", draft=rule, total=9, taken=1, claimable=True, by_guides=True,
        points_price=10, updated_at=at,
    )  # fmt: skip
    version = add(TemplateVersion, template=template, number=1, name=template.name, rule=rule, since=at)
    batch = add(
        CodeBatch, template=template, version=version, label=f"包装码 {number}", count=1, made=1, redeemed=1,
        next_serial=1, secret="ab" * 32, created_at=at,
    )  # fmt: skip
    coupon = add(
        Coupon, template=template, version=version, member=member, nth=1, way="CODE", valid_from=at, valid_until=until,
        issued_at=at,
    )  # fmt: skip
    add(
        CouponMove, coupon=coupon, kind="ISSUE", after="UNUSED", actor="system", key=f"code:{number}",
        fingerprint=uuid.uuid4(), member=member, store=store, valid_until=until, at=at, detail={"way": "CODE"},
    )  # fmt: skip
    add(Code, batch=batch, serial=0, fingerprint=uuid.uuid4(), coupon=coupon, redeemed_at=at)
    add(CounterCode, coupon=coupon, fingerprint=uuid.uuid4(), since=at, until=until)


def _push(add, segment, member, number, at):
    """A coupon that was given to a segment, and somebody who was left out."""
    template = Template.objects.get(name=f"满减 {number}")
    push = add(
        Push, template=template, version=TemplateVersion.objects.get(template=template), segment=segment,
        reason=f"回馈 {number}", state="DONE", actor="key:1", key=f"push {number}", fingerprint=uuid.uuid4(), total=1,
        done=1, tally={"FLAGGED": 1}, created_at=at, touched_at=at, ended_at=at,
    )  # fmt: skip
    add(PushPerson, push=push, member=member, outcome="FLAGGED")
    gift = add(TierGift, tier=Tier.objects.get(name=f"知音{number}"[:20]), template=template, updated_at=at)
    add(TierGrant, gift=gift, member=member, period="2025-06", outcome="GONE", at=at)
    code = Touchpoint.objects.exclude(scene="").order_by("pk").first()
    add(ScanGrant, touchpoint=code, template=template, member=member, outcome="GONE", at=at)
    after = add(PurchaseGift, template=template, at_least=100, first_day=at.date(), is_on=False, updated_at=at)
    add(PurchaseGrant, gift=after, fact=Fact.objects.get(number=number), member=member, outcome="GONE", at=at)
    programme = add(
        Programme, name=f"邀请 {number}", first_day=at.date(), inviter_points=10, is_on=False, updated_at=at
    )
    add(InvitationCode, member=member, code=derive(f"code {number} {member.pk}".encode(), 1), created_at=at)
    add(Referral, programme=programme, inviter=member, invited=member, state="HELD", bound_at=at)
    add(Sign, member=member, kind="DEVICE", value=uuid.uuid4(), at=at)


def _looked_after(add, side, member, guide, number, at):
    """Somebody's guide, and for how long guides keep people."""
    add(Assignment, member=member, guide=guide, since=at, reason="第一次扫码")
    far = GuidePolicy.objects.exists()
    mine = side.rows.setdefault(GuidePolicy, GuidePolicy.objects.get()) if far else None
    mine or add(GuidePolicy, valid_days=300 + int(number), changed_at=at)
    _joined(add, side, member, guide, at)


def _joined(add, side, member, guide, at):
    """How a brand sends codes, a message that nobody has sent in time, and whom a guide has made a member."""
    far = SmsSettings.objects.exists()
    mine = side.rows.setdefault(SmsSettings, SmsSettings.objects.get()) if far else None
    mine or add(SmsSettings, way="http", url="https://sms.example/send", secret="s", signature="澜屿", changed_at=at)
    code = add(
        SmsCode, phone_index=uuid.uuid4(), asker=f"staff:{guide.pk}", digest=uuid.uuid4(), asked_at=at,
        expires_at=at + timedelta(minutes=5), message='{"phone": "+8613700137000", "code": "048213"}',
    )  # fmt: skip
    add(Joining, member=member, guide=guide, store=guide.store, way="SMS", operation=code.public_id, by="收银", at=at)


def _birthdays(add, side, member, at):
    """What is given for birthdays, and one that was given."""
    far = BirthdayProgramme.objects.exists()
    mine = side.rows.setdefault(BirthdayProgramme, BirthdayProgramme.objects.get()) if far else None
    mine or add(BirthdayProgramme, params={"points": 100}, updated_at=at)
    add(BirthdayGrant, member=member, year=2025, given_year=2025, day=at.date(), benefit="points", at=at, state="GIVEN")


def _tables(add, member, segment, number, at):
    """A table that came in with a row, and a list that went out."""
    job = add(
        Import, kind="members", name=f"{number}.csv", size=1, content=uuid.uuid4(), created_at=at, touched_at=at,
        delete_at=at + timedelta(days=30), state="DONE", key=f"key {number}", header=[], columns=[],
    )  # fmt: skip
    add(ImportChunk, job=job, number=0)
    add(ImportRow, job=job, number=2, content=uuid.uuid4(), state="UNCHANGED", member=member, applied_at=at)
    export = add(
        Export, segment=segment, file_format="CSV", asked_label="somebody", role="OWNER", scope="BRAND", asked_at=at,
        delete_at=at + timedelta(days=7), state="GONE",
    )  # fmt: skip
    add(ExportChunk, job=export, number=0)


def _campaign(add, account, program, segment, member, follower, number, at):
    add(SegmentMember, segment=segment, member_id=member.pk, since=at)
    add(SegmentDue, member_id=member.pk)
    add(KnownDue, account_id=account.pk, openid=follower.openid)
    for model, more in (
        (GroupingVersion, {"number": 1, "since": at}),
        (StageMember, {"member_id": member.pk, "stage_id": segment.pk, "since": at}),
        (StageMove, {"member_id": member.pk, "before_id": 0, "after_id": segment.pk, "at": at}),
    ):
        add(model, grouping=Grouping.objects.get(name=f"分组{number}"), **more)
    _tables(add, member, segment, number, at)
    _push(add, segment, member, number, at)
    """A finished campaign with what hangs on it, and a template."""
    template = add(
        MessageTemplate,
        account=account,
        template_id=f"tpl-{number}",
        title="预约提醒",
        content=CONTENT,
        fields=parse_fields(CONTENT),
        synced_at=at,
    )
    add(SubscriptionStock, follower=follower, template_id=f"sub-{number}", remaining=2, updated_at=at)
    mine = "template" if NewsPlan.objects.filter(account=account).exists() else "subscribe"
    add(NewsPlan, about="points", way=mine, account=account, template=template, is_on=False, updated_at=at)
    campaign = add(
        Campaign,
        name=f"到店提醒 {number}",
        goal="带人到店",
        account=account,
        template=template,
        content={"thing1": "{姓名}的预约"},
        segment=segment,
        rule=segment.rule,
        state="FINISHED",
        audience_count=1,
        launched_at=at,
        finished_at=at,
        created_at=at,
        updated_at=at,
    )
    delivery = add(
        Delivery,
        campaign=campaign,
        seq=1,
        member_id=member.pk,
        follower_id=follower.pk,
        account_id=account.pk,
        openid=follower.openid,
        state="DELIVERED",
        msgid=4_000_000_001,
        sent_at=at,
        final_at=at,
    )
    add(DeliveryAttempt, delivery_id=delivery.pk, attempt=1, outcome="REFUSED", code="43004", at=at)
    add(FinishEvent, account_id=account.pk, msgid=4_000_000_009, openid=follower.openid, status="success", event_at=at)
    add(Tally, campaign=campaign, shard=0, state="DELIVERED", count=1)
    add(Lane, campaign=campaign, number=0)
    add(Pace, campaign=campaign, tokens=1.0)
    add(
        TestSend,
        campaign=campaign,
        account_id=account.pk,
        openid=follower.openid,
        outcome="ACCEPTED",
        msgid=4_000_000_002,
        status="success",
        sent_at=at,
        settled_at=at,
    )


def draft_of(furnished: Furnished) -> Campaign:
    """A campaign of the brand that can still be changed."""
    near = furnished.near
    with brand_scope(furnished.brand.pk):
        found = Campaign.objects.filter(state="DRAFT").first()
        return found or Campaign.objects.create(
            name="草稿",
            account=near[OfficialAccount],
            template=near[MessageTemplate],
            content={"thing1": "{姓名}的预约"},
            segment=near[Segment],
            created_at=timezone.now(),
            updated_at=timezone.now(),
        )


# Who asks: name -> (role, data scope). The agency works for A and C. Of the platform's people one has no brand, and one
# was let in by A: the product has no other way in for support, no break-glass; being of the platform must not widen it.
ROLES: dict[str, tuple[str, str]] = {
    "owner": (Role.OWNER, DataScope.BRAND),
    "marketer": (Role.MARKETER, DataScope.BRAND),
    "manager": (Role.STORE_MANAGER, DataScope.STORES),
    "guide": (Role.GUIDE, DataScope.OWN),
    "region": (Role.REGION_MANAGER, DataScope.STORES),
    "desk": (Role.SERVICE_DESK, DataScope.BRAND),
    "analyst": (Role.ANALYST, DataScope.BRAND),
    "auditor": (Role.AUDITOR, DataScope.BRAND),
    "agency": (Role.MARKETER, DataScope.BRAND),
    "support": (Role.AUDITOR, DataScope.BRAND),
}
# Who is of no brand: the platform's administrator, and somebody whose role of A was taken away. To them A is not there.
OF_NO_BRAND = ("platform", "leaver")


def staff_of(world: World) -> None:
    """Give A the people of every role; the agency works for C too, the platform's administrator for no brand."""
    a = world.a
    with brand_scope(a.brand.pk):
        for name, (role, scope) in ROLES.items():
            of_platform = {"is_superuser": True, "is_staff": True} if name == "support" else {}
            user = StaffUser.objects.create(username=f"{name}-a", name=f"{name} a", password="!", **of_platform)
            grant_role(staff_user=user, role=role, scope=scope)
            a.people[name] = user
        grant = RoleGrant.objects.get(staff_user=a.people["manager"])
        StoreGrant.objects.create(grant=grant, store=a.near[Store])
        grant = RoleGrant.objects.get(staff_user=a.people["region"])
        RegionGrant.objects.create(grant=grant, region=a.near[Region])
        Guide.objects.filter(pk=a.near[Guide].pk).update(staff_user=a.people["guide"])
        leaver = StaffUser.objects.create(username="leaver-a", name="leaver a", password="!")
        revoke_role(grant=grant_role(staff_user=leaver, role=Role.OWNER))
        a.people["leaver"] = leaver
    a.people["platform"] = StaffUser.objects.create(username="platform", is_superuser=True, is_staff=True, password="!")
    if world.c is not None:
        with brand_scope(world.c.brand.pk):
            grant_role(staff_user=a.people["agency"], role=Role.OWNER)
    if world.b is not None:
        with brand_scope(world.b.brand.pk):
            neighbour = StaffUser.objects.create(username="neighbour", name=f"{CANARY}邻居", password="!")
            grant_role(staff_user=neighbour, role=Role.OWNER)
            world.b.people["owner"] = neighbour


def make_a() -> Furnished:
    """The brand that asks."""
    return furnish("lanyu", "澜屿", "", "")


def make_b() -> Furnished:
    """Its twin: the same keys on the near side, canaries in every text."""
    return furnish("zaoshan", f"{CANARY}灶山", CANARY, "B")


def make_c() -> Furnished:
    """A brand that shares a person with A."""
    return furnish("yunqi", f"{CANARY_C}云栖", CANARY_C, "C")


def build() -> World:
    """All three, with people."""
    world = World(make_a(), make_b(), make_c())
    draft_of(world.a)
    staff_of(world)
    return world


def everything_of(brand: Brand) -> dict[str, list[Any]]:
    """All rows of a brand, to compare before and after."""
    found = {}
    with connection.cursor() as cursor:
        for model in brand_models():
            cursor.execute("SELECT set_config('app.brand_id', %s, true)", [str(brand.pk)])
            cursor.execute(
                f"SELECT count(*), md5(coalesce(string_agg(t::text, E'\\n' ORDER BY id), '')) "
                f'FROM "{model._meta.db_table}" t WHERE brand_id = %s',
                [brand.pk],
            )
            found[model._meta.label] = cursor.fetchone()
        cursor.execute("SELECT set_config('app.brand_id', '', true)")
    return found
