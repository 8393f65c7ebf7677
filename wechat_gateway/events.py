"""What WeChat pushed, as one small frozen object; handlers see nothing else of WeChat (reference: 3)."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import orjson

from wechat_gateway.wire import Fields, Unreadable, Value, read_fields, text_of

LANES: Final = 8
UNKNOWN: Final = "unknown:"

MESSAGE_KINDS: Final = frozenset(
    {
        "text", "image", "voice", "video", "shortvideo", "location", "link", "miniprogrampage", "file",
        "device_text", "device_event", "device_status", "hardware",
    },
)  # fmt: skip

# Spelled as WeChat pushes them; pushes and documents differ in case, so look-ups ignore it.
EVENT_KINDS: Final = (
    "subscribe", "unsubscribe", "SCAN", "LOCATION", "CLICK", "VIEW", "view_miniprogram",
    "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select",
    "ENTER", "user_enter_tempsession",
    "TEMPLATESENDJOBFINISH", "MASSSENDJOBFINISH", "PUBLISHJOBFINISH",
    "subscribe_msg_popup_event", "subscribe_msg_change_event", "subscribe_msg_sent_event",
    "kf_create_session", "kf_close_session", "kf_switch_session",
    "user_info_modified", "user_authorization_revoke", "user_authorization_cancellation",
    "qualification_verify_success", "qualification_verify_fail", "naming_verify_success", "naming_verify_fail",
    "annual_renew", "verify_expired", "wx_verify_pay_succ", "wx_verify_dispatch", "wx_verify_refill", "wx_verify_fail",
    "card_pass_check", "card_not_pass_check", "user_get_card", "user_gifting_card", "user_del_card",
    "user_consume_card", "user_pay_from_pay_cell", "user_view_card", "user_enter_session_from_card",
    "update_member_card", "submit_membercard_user_info", "card_sku_remind", "card_pay_order",
    "card_merchant_check_result", "giftcard_pay_done", "giftcard_send_to_friend", "giftcard_user_accept",
    "guide_qrcode_scan_event", "guide_invite_result_event",
    "poi_check_notify", "apply_merchant_audit_info", "add_store_audit_info", "modify_store_audit_info",
    "create_map_poi_audit_info", "WifiConnected", "ShakearoundUserShake", "merchant_order",
    "user_authorize_invoice", "submit_invoice_title", "update_invoice_status",
)  # fmt: skip
_EVENT_BY_NAME: Final = {name.lower(): name for name in EVENT_KINDS} | {"freepublishjobfinish": "PUBLISHJOBFINISH"}
# The person concerned is OpenID, not the sender (reference: service account 3.7).
_ABOUT_ANOTHER: Final = frozenset(
    {"user_info_modified", "user_authorization_revoke", "user_authorization_cancellation"},
)
_OF_TEXTS: Final = frozenset(
    {"ToUserName", "FromUserName", "CreateTime", "MsgType", "Content", "MsgId", "bizmsgmenuid", "MsgDataId", "Idx"},
)
_WITH_MEDIA: Final = frozenset({"image", "voice", "video", "shortvideo"})

_OPENID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_MEDIA_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,256}")
_NAME: Final = re.compile(r"[0-9A-Za-z_.-]{1,64}")
_MSGID: Final = re.compile(r"[0-9]{1,20}")
_EARLIEST: Final = 1_293_840_000  # 2011: there were no service accounts before
_LATEST_AHEAD: Final = 86_400
_TIME_DIGITS: Final = 11

MARK_EVENT_TIME: Final = "EVENT_TIME"


class Head(NamedTuple):  # made for every push, at a third of what a frozen data class takes
    """What intake has to know of a message before it is stored.

    `dedupe_key` is equal for WeChat's retries of one push and for nothing else; `digest` covers every field, so that
    a repeated message id with other content can be told from a retry. `event_at` is in seconds since the epoch.
    """

    kind: str
    openid: str
    event_at: float
    dedupe_key: str
    digest: str
    mark: str

    @property
    def lane(self) -> int:
        """The queue of this follower: pushes of one lane are handled in order."""
        return lane_of(self.openid)


@dataclass(frozen=True, slots=True)
class TemplateNotice:
    """One template of a subscribe-notification event (reference: service account 3.5)."""

    template_id: str
    status: str = ""
    popup_scene: str = ""
    msgid: str = ""
    error_code: str = ""
    error_status: str = ""


@dataclass(frozen=True, slots=True)
class Push:
    """One message or event from WeChat.

    `kind` is a message type ("text") or an event as WeChat writes it ("subscribe", "SCAN", "CLICK"), or
    "unknown:<name>". `event_at` is WeChat's time, which decides what is newer; `received_at` is ours.
    `scene` is the parameter of the scanned code without WeChat's prefix. `msgid` is the id of a message, or of the
    sending that a result event belongs to; `status` its result. Anything else is in `fields`.

    Of a stored push `reply` is what WeChat heard. `found` is what handlers know of it already, for those after them:
    put there for many pushes at once (`registries.prepares`) or by whoever asked first. It may hold only what belongs
    to the transaction in which the push is handled.
    """

    brand_id: int
    account_id: int
    appid: str
    original_id: str
    openid: str
    kind: str
    event_at: datetime
    received_at: datetime
    push_id: int = 0
    key: str = ""
    scene: str = ""
    ticket: str = ""
    content: str = ""
    latitude: float | None = None
    longitude: float | None = None
    msgid: str = ""
    status: str = ""
    media_id: str = ""
    pic_url: str = ""
    label: str = ""
    menu_item_id: str = ""
    notices: tuple[TemplateNotice, ...] = ()
    fields: Fields = field(default_factory=dict)
    reply: str = ""
    found: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_event(self) -> bool:
        """False for what a person wrote or sent."""
        return self.kind not in MESSAGE_KINDS


def canonical_kind(name: str) -> str:
    """The kind that a handler means, whatever its case; `location` is the message, `LOCATION` the event."""
    if name in MESSAGE_KINDS:
        return name
    return _EVENT_BY_NAME.get(name.lower(), name)


def lane_of(openid: str) -> int:
    """0 … LANES-1, stable over processes and versions (rows carry it)."""
    return zlib.crc32(openid.encode()) % LANES


def read_head(fields: Fields, *, now: float) -> Head:
    """Identify a message; raises Unreadable when it is no form of a push."""
    kind = _kind(fields)
    openid = _person(fields, kind)
    if kind in _WITH_MEDIA and not _MEDIA_ID.fullmatch(text_of(fields, "MediaId")):
        raise Unreadable("MEDIA_ID")
    moment, mark = _event_time(fields, now)
    try:
        everything = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        raise Unreadable("SURROGATE") from None
    digest = blake2b(everything, digest_size=16).hexdigest()
    msgid = text_of(fields, "MsgId")
    if kind in MESSAGE_KINDS and _MSGID.fullmatch(msgid) and msgid.strip("0"):
        # Ids are unique per account and sender; leading zeros do not make another message.
        identity = f"message\x00{openid}\x00{msgid.lstrip('0')}".encode()
        return Head(kind, openid, moment, blake2b(identity, digest_size=16).hexdigest(), digest, mark)
    # Events have no id and their time is in whole seconds: only every field together tells two of them apart.
    return Head(kind, openid, moment, digest, digest, mark)


def _kind(fields: Fields) -> str:
    message_type = text_of(fields, "MsgType")
    if not _NAME.fullmatch(message_type):
        raise Unreadable("MSG_TYPE")
    message_type = message_type.lower()
    if message_type == "event":
        name = text_of(fields, "Event")
        if not _NAME.fullmatch(name):
            raise Unreadable("EVENT")
        return _EVENT_BY_NAME.get(name.lower()) or f"{UNKNOWN}{name.lower()}"[:64]
    return message_type if message_type in MESSAGE_KINDS else f"{UNKNOWN}{message_type}"[:64]


def _person(fields: Fields, kind: str) -> str:
    openid = text_of(fields, "FromUserName")
    if kind in _ABOUT_ANOTHER:
        openid = text_of(fields, "OpenID") or text_of(fields, "openid") or openid
    if not _OPENID.fullmatch(openid):
        raise Unreadable("FROM_USER")
    return openid


def _event_time(fields: Fields, now: float) -> tuple[float, str]:
    created = text_of(fields, "CreateTime")
    if (
        created.isascii()
        and created.isdigit()
        and len(created) <= 11
        and _EARLIEST < int(created) < now + _LATEST_AHEAD
    ):
        return float(created), ""
    return now, MARK_EVENT_TIME


def make_push(
    fields: Fields,
    head: Head,
    *,
    brand_id: int,
    account_id: int,
    appid: str,
    original_id: str,
    received_at: datetime,
    push_id: int = 0,
    reply: str = "",
) -> Push:
    """The object for handlers and repliers; every field is optional, odd values become empty."""
    kind = head.kind
    if kind == "text" and fields.keys() <= _OF_TEXTS:
        # Nearly all messages are texts, and they have none of the fields looked for below.
        return Push(
            brand_id=brand_id,
            account_id=account_id,
            appid=appid,
            original_id=original_id,
            openid=head.openid,
            kind=kind,
            event_at=datetime.fromtimestamp(head.event_at, UTC),
            received_at=received_at,
            push_id=push_id,
            content=text_of(fields, "Content"),
            msgid=text_of(fields, "MsgId"),
            menu_item_id=text_of(fields, "bizmsgmenuid"),
            fields=fields,
            reply=reply,
        )
    key = text_of(fields, "EventKey")
    latitude, longitude = _position(fields)
    return Push(
        brand_id=brand_id,
        account_id=account_id,
        appid=appid,
        original_id=original_id,
        openid=head.openid,
        kind=kind,
        event_at=datetime.fromtimestamp(head.event_at, UTC),
        received_at=received_at,
        push_id=push_id,
        key=key,
        scene=_scene(kind, key),
        ticket=text_of(fields, "Ticket"),
        content=text_of(fields, "Content"),
        latitude=latitude,
        longitude=longitude,
        msgid=text_of(fields, "MsgId") if kind in MESSAGE_KINDS else text_of(fields, "MsgID"),
        status=" ".join(text_of(fields, "Status").replace(":", ": ").split()),
        media_id=text_of(fields, "MediaId"),
        pic_url=text_of(fields, "PicUrl"),
        label=text_of(fields, "Label") or _nested(fields, "SendLocationInfo", "Label"),
        menu_item_id=text_of(fields, "bizmsgmenuid") or text_of(fields, "MenuId"),
        notices=_notices(fields),
        fields=fields,
        reply=reply,
    )


def read_push(
    body: bytes,
    *,
    brand_id: int,
    account_id: int,
    appid: str,
    original_id: str,
    received_at: datetime,
    push_id: int = 0,
    reply: str = "",
) -> Push:
    """Read a stored body again. Raises Unreadable."""
    fields = read_fields(body)
    return make_push(
        fields,
        read_head(fields, now=received_at.timestamp()),
        brand_id=brand_id,
        account_id=account_id,
        appid=appid,
        original_id=original_id,
        received_at=received_at,
        push_id=push_id,
        reply=reply,
    )


def _scene(kind: str, key: str) -> str:
    if kind == "subscribe":
        # Only once: a scene may itself contain the prefix. Other prefixes (scanbarcode|…) are not scenes.
        return key.removeprefix("qrscene_") if key.startswith("qrscene_") else ""
    return key if kind == "SCAN" else ""


def _position(fields: Fields) -> tuple[float | None, float | None]:
    """Location_X is the latitude (reference: service account 3.2)."""
    latitude = (
        text_of(fields, "Latitude")
        or text_of(fields, "Location_X")
        or _nested(fields, "SendLocationInfo", "Location_X")
    )
    if not latitude:
        return None, None
    longitude = (
        text_of(fields, "Longitude")
        or text_of(fields, "Location_Y")
        or _nested(fields, "SendLocationInfo", "Location_Y")
    )
    found = _degrees(latitude, 90), _degrees(longitude, 180)
    return found if None not in found else (None, None)


def _degrees(text: str, limit: int) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if -limit <= value <= limit else None  # NaN compares false


def _nested(fields: Fields, group: str, name: str) -> str:
    inner = fields.get(group)
    return text_of(inner, name) if isinstance(inner, dict) else ""


def _notices(fields: Fields) -> tuple[TemplateNotice, ...]:
    """`List` is one item repeated, an object or an array, inside a wrapper in XML and bare in JSON."""
    holder: Fields = fields
    for wrapper in ("SubscribeMsgPopupEvent", "SubscribeMsgChangeEvent", "SubscribeMsgSentEvent"):
        inner = fields.get(wrapper)
        if isinstance(inner, dict):
            holder = inner
    found: Value = holder.get("List", "")
    items = found if isinstance(found, list) else [found]
    return tuple(
        TemplateNotice(
            template_id=text_of(item, "TemplateId"),
            status=text_of(item, "SubscribeStatusString").lower(),
            popup_scene=text_of(item, "PopupScene"),
            msgid=text_of(item, "MsgID"),
            error_code=text_of(item, "ErrorCode"),
            error_status=text_of(item, "ErrorStatus"),
        )
        for item in items
        if isinstance(item, dict)
    )
