"""Each push of WeChat in one sentence that an operator understands without WeChat's documents."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console import formats
from wechat_gateway.events import UNKNOWN, Push
from wechat_gateway.wire import Fields, text_of

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

_LONGEST: Final = 60

# What stands between %( and )s is found by `_values`; what a push does not carry reads "--".
SENTENCES: Final[dict[str, StrOrPromise]] = {
    # messages
    "text": _("Wrote “%(content)s”"),
    "image": _("Sent a picture"),
    "voice": _("Sent a voice message %(recognition)s"),
    "video": _("Sent a video"),
    "shortvideo": _("Sent a short video"),
    "location": _("Sent the place “%(label)s”"),
    "link": _("Sent the link “%(title)s”"),
    "miniprogrampage": _("Sent a card of a mini program: “%(title)s”"),
    "file": _("Sent the file “%(title)s”"),
    "device_text": _("A device sent a message"),
    "device_event": _("A device reported an event"),
    "device_status": _("A device reported its state"),
    "hardware": _("A device reported figures"),
    # followers and menus
    "subscribe": _("Followed the account, by the code “%(scene)s”"),
    "unsubscribe": _("Unfollowed the account"),
    "SCAN": _("Scanned the code “%(scene)s”"),
    "LOCATION": _("Shared the place when opening the chat"),
    "CLICK": _("Tapped the menu button “%(key)s”"),
    "VIEW": _("Opened a link of the menu: %(key)s"),
    "view_miniprogram": _("Opened a mini program from the menu: %(key)s"),
    "scancode_push": _("Scanned something from the menu: %(scan)s"),
    "scancode_waitmsg": _("Scanned something from the menu and waits for an answer: %(scan)s"),
    "pic_sysphoto": _("Took %(pictures)s pictures from the menu"),
    "pic_photo_or_album": _("Took or chose %(pictures)s pictures from the menu"),
    "pic_weixin": _("Chose %(pictures)s pictures from the menu"),
    "location_select": _("Chose the place “%(label)s” from the menu"),
    "ENTER": _("Opened the chat"),
    "user_enter_tempsession": _("Opened the chat from a mini program"),
    # sending
    "TEMPLATESENDJOBFINISH": _("Template message %(msgid)s: %(status)s"),
    "MASSSENDJOBFINISH": _("Mass send %(msgid)s: %(status)s, %(sent)s of %(total)s delivered"),
    "PUBLISHJOBFINISH": _("Article published: state %(publish)s"),
    "subscribe_msg_popup_event": _("Was asked for subscribe notifications: %(answers)s"),
    "subscribe_msg_change_event": _("Turned subscribe notifications off: %(answers)s"),
    "subscribe_msg_sent_event": _("Subscribe notification: %(sendings)s"),
    # WeChat's own customer service
    "kf_create_session": _("%(kf)s began a conversation"),
    "kf_close_session": _("%(kf)s ended the conversation"),
    "kf_switch_session": _("The conversation went from %(kf_from)s to %(kf_to)s"),
    # a person's rights
    "user_info_modified": _("Changed the profile at WeChat: what is stored has to be read anew"),
    "user_authorization_revoke": _("Took an authorisation back (%(revoked)s): what it concerns will be deleted"),
    "user_authorization_cancellation": _("Closed the WeChat account: what is stored will be deleted"),
    # the account's verification
    "qualification_verify_success": _("The account's qualification was verified, until %(expires)s"),
    "qualification_verify_fail": _("The account's qualification was not verified: %(why)s"),
    "naming_verify_success": _("The account's name was verified, until %(expires)s"),
    "naming_verify_fail": _("The account's name was not verified: %(why)s"),
    "annual_renew": _("The account's verification has to be renewed by %(expires)s"),
    "verify_expired": _("The account's verification ended on %(expires)s: most functions stop working"),
    "wx_verify_pay_succ": _("The fee for the verification was paid"),
    "wx_verify_dispatch": _("The verification was handed to an examiner"),
    "wx_verify_refill": _("The verification needs other papers: %(why)s"),
    "wx_verify_fail": _("The verification failed: %(why)s"),
    # cards
    "card_pass_check": _("Card %(card)s was approved"),
    "card_not_pass_check": _("Card %(card)s was not approved: %(why)s"),
    "user_get_card": _("Took card %(card)s"),
    "user_gifting_card": _("Gave card %(card)s away"),
    "user_del_card": _("Deleted card %(card)s"),
    "user_consume_card": _("Card %(card)s was redeemed"),
    "user_pay_from_pay_cell": _("Paid with card %(card)s"),
    "user_view_card": _("Looked at member card %(card)s"),
    "user_enter_session_from_card": _("Opened the chat from card %(card)s"),
    "update_member_card": _("Points or balance of card %(card)s changed"),
    "submit_membercard_user_info": _("Activated member card %(card)s"),
    "card_sku_remind": _("Card %(card)s is nearly used up"),
    "card_pay_order": _("Order %(order)s for card stock: %(status)s"),
    "card_merchant_check_result": _("The examination of a card issuer ended"),
    "giftcard_pay_done": _("Paid for a gift card, order %(order)s"),
    "giftcard_send_to_friend": _("Sent a gift card to a friend, order %(order)s"),
    "giftcard_user_accept": _("Accepted a gift card, order %(order)s"),
    # retired and others
    "guide_qrcode_scan_event": _("Scanned the code of a guide (retired by WeChat)"),
    "guide_invite_result_event": _("A guide answered an invitation (retired by WeChat)"),
    "poi_check_notify": _("The examination of a shop at WeChat ended: %(result)s"),
    "apply_merchant_audit_info": _("The examination of a seller ended: %(status)s"),
    "add_store_audit_info": _("The examination of a new shop ended: %(status)s"),
    "modify_store_audit_info": _("The examination of a changed shop ended: %(status)s"),
    "create_map_poi_audit_info": _("The examination of a place on the map ended: %(status)s"),
    "WifiConnected": _("Connected to the Wi-Fi of a shop"),
    "ShakearoundUserShake": _("Shook the phone near a beacon"),
    "merchant_order": _("Order %(order)s in the old WeChat shop"),
    "user_authorize_invoice": _("Allowed an invoice for order %(order)s"),
    "submit_invoice_title": _("Sent an invoice title: “%(title)s”"),
    "update_invoice_status": _("State of an invoice: %(status)s"),
}
_PLAIN_FOLLOW: Final = _("Followed the account")


def sentence_of(push: Push) -> str:
    """What happened, without a full stop."""
    if push.kind == "subscribe" and not push.scene:
        return str(_PLAIN_FOLLOW)
    known = SENTENCES.get(push.kind)
    if known is None:
        name = push.kind.removeprefix(UNKNOWN)
        return gettext("Something WeChat calls “%(name)s”; it was kept") % {"name": name}
    return (str(known) % _values(push)).strip()


def _values(push: Push) -> dict[str, str]:
    fields = push.fields
    scan, pictures, publish = (_group(fields, name) for name in ("ScanCodeInfo", "SendPicsInfo", "PublishEventInfo"))
    return {
        name: _short(value) or formats.NOTHING
        for name, value in {
            "content": push.content,
            "recognition": text_of(fields, "Recognition"),
            "label": push.label,
            "title": text_of(fields, "Title") or text_of(fields, "title"),
            "scene": push.scene,
            "key": push.key,
            "scan": text_of(scan, "ScanResult"),
            "pictures": text_of(pictures, "Count"),
            "msgid": push.msgid,
            "status": push.status or text_of(fields, "status"),
            "sent": text_of(fields, "SentCount"),
            "total": text_of(fields, "TotalCount"),
            "publish": text_of(publish, "publish_status"),
            "answers": ", ".join(f"{notice.template_id[:6]} {notice.status}" for notice in push.notices),
            "sendings": ", ".join(notice.error_status or notice.error_code for notice in push.notices),
            "kf": text_of(fields, "KfAccount"),
            "kf_from": text_of(fields, "FromKfAccount"),
            "kf_to": text_of(fields, "ToKfAccount"),
            "revoked": text_of(fields, "RevokeInfo"),
            "expires": _day(text_of(fields, "ExpiredTime")),
            "why": text_of(fields, "FailReason") or text_of(fields, "RefillReason") or text_of(fields, "RefuseReason"),
            "card": text_of(fields, "CardId"),
            "order": text_of(fields, "OrderId") or text_of(fields, "SuccOrderId"),
            "result": text_of(fields, "Result"),
        }.items()
    }


def _group(fields: Fields, name: str) -> Fields:
    inner = fields.get(name)
    return inner if isinstance(inner, dict) else {}


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _day(seconds: str) -> str:
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 11):
        return ""
    return formats.local_time(datetime.fromtimestamp(int(seconds), UTC))
