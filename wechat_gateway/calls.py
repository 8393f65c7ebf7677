"""WeChat's APIs by name: each builds one request and gives the classified answer (reference: service account 5).

Every function takes the app first; `at` defaults to now. None raises for an answer: look at `Answer.ok`, or say
`.require()`. `Answer.data` is WeChat's JSON.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from django.conf import settings

from wechat_gateway import transport
from wechat_gateway.answers import Answer, classify
from wechat_gateway.client import CUSTOM_SEND, MINI_CODE, TEMPLATE_SEND, App, call
from wechat_gateway.models import MiniProgram, OfficialAccount

USERS_PER_CALL: Final = 100
OPENIDS_PER_TAGGING: Final = 50
MAX_CODE_SECONDS: Final = 2_592_000


# -- people -----------------------------------------------------------------------------------------------------------


def get_user(account: OfficialAccount, openid: str, *, at: datetime | None = None) -> Answer:
    """One follower (5.2); `subscribe` 0 means that every other field is absent."""
    return call(account, "/cgi-bin/user/info", at=at, query={"openid": openid, "lang": "zh_CN"})


def get_users(account: OfficialAccount, openids: Sequence[str], *, at: datetime | None = None) -> Answer:
    """Up to 100 followers: `user_info_list` (5.2). Raises ValueError for more."""
    if len(openids) > USERS_PER_CALL:
        raise ValueError("at most 100 openids a call")
    users = [{"openid": openid, "lang": "zh_CN"} for openid in openids]
    return call(account, "/cgi-bin/user/info/batchget", {"user_list": users}, at=at)


def list_followers(account: OfficialAccount, *, after: str = "", at: datetime | None = None) -> Answer:
    """A page of up to 10,000 openids: `data.openid`, `next_openid` (5.2). `data` is absent on an empty page."""
    return call(account, "/cgi-bin/user/get", at=at, query={"next_openid": after} if after else None)


def set_remark(account: OfficialAccount, openid: str, remark: str, *, at: datetime | None = None) -> Answer:
    """The account's own note on a follower, under 30 characters (5.2)."""
    return call(account, "/cgi-bin/user/info/updateremark", {"openid": openid, "remark": remark}, at=at)


# -- tags -------------------------------------------------------------------------------------------------------------


def list_tags(account: OfficialAccount, *, at: datetime | None = None) -> Answer:
    """`tags`: [{id, name, count}] (5.3)."""
    return call(account, "/cgi-bin/tags/get", at=at)


def create_tag(account: OfficialAccount, name: str, *, at: datetime | None = None) -> Answer:
    """`tag`: {id, name}; at most 100 per account, 30 bytes a name (5.3)."""
    return call(account, "/cgi-bin/tags/create", {"tag": {"name": name}}, at=at)


def rename_tag(account: OfficialAccount, tag_id: int, name: str, *, at: datetime | None = None) -> Answer:
    """Give a tag another name (5.3)."""
    return call(account, "/cgi-bin/tags/update", {"tag": {"id": tag_id, "name": name}}, at=at)


def delete_tag(account: OfficialAccount, tag_id: int, *, at: datetime | None = None) -> Answer:
    """Delete a tag with at most 100,000 followers (5.3)."""
    return call(account, "/cgi-bin/tags/delete", {"tag": {"id": tag_id}}, at=at)


def tag_followers(
    account: OfficialAccount, tag_id: int, openids: Sequence[str], *, at: datetime | None = None
) -> Answer:
    """Put a tag on up to 50 followers; one wrong openid may fail all (5.3). Raises ValueError for more."""
    return _tagging(account, "batchtagging", tag_id, openids, at)


def untag_followers(
    account: OfficialAccount, tag_id: int, openids: Sequence[str], *, at: datetime | None = None
) -> Answer:
    """Take a tag off up to 50 followers (5.3). Raises ValueError for more."""
    return _tagging(account, "batchuntagging", tag_id, openids, at)


def followers_of_tag(account: OfficialAccount, tag_id: int, *, after: str = "", at: datetime | None = None) -> Answer:
    """A page of openids that carry a tag: `data.openid`, `next_openid` (5.3)."""
    return call(account, "/cgi-bin/user/tag/get", {"tagid": tag_id, "next_openid": after}, at=at)


def _tagging(
    account: OfficialAccount, what: str, tag_id: int, openids: Sequence[str], at: datetime | None = None
) -> Answer:
    if len(openids) > OPENIDS_PER_TAGGING:
        raise ValueError("at most 50 openids a call")
    return call(account, f"/cgi-bin/tags/members/{what}", {"openid_list": list(openids), "tagid": tag_id}, at=at)


# -- menus ------------------------------------------------------------------------------------------------------------


def create_menu(
    account: OfficialAccount, buttons: Sequence[Mapping[str, Any]], *, at: datetime | None = None
) -> Answer:
    """Replace the whole default menu (5.4)."""
    return call(account, "/cgi-bin/menu/create", {"button": list(buttons)}, at=at)


def get_menu(account: OfficialAccount, *, at: datetime | None = None) -> Answer:
    """`menu` and `conditionalmenu` as made by API (5.4); 46003 (no menu) counts as accepted."""
    return call(account, "/cgi-bin/menu/get", at=at)


def delete_menus(account: OfficialAccount, *, at: datetime | None = None) -> Answer:
    """Delete the default menu and every personalised one (5.4)."""
    return call(account, "/cgi-bin/menu/delete", at=at)


def add_tag_menu(
    account: OfficialAccount,
    buttons: Sequence[Mapping[str, Any]],
    tag_id: int,
    *,
    at: datetime | None = None,
) -> Answer:
    """Add a personalised menu for a tag: `menuid` (5.4)."""
    payload = {"button": list(buttons), "matchrule": {"tag_id": str(tag_id)}}
    return call(account, "/cgi-bin/menu/addconditional", payload, at=at)


def delete_tag_menu(account: OfficialAccount, menu_id: str, *, at: datetime | None = None) -> Answer:
    """Delete a personalised menu (5.4)."""
    return call(account, "/cgi-bin/menu/delconditional", {"menuid": menu_id}, at=at)


def try_menu(account: OfficialAccount, openid: str, *, at: datetime | None = None) -> Answer:
    """The menu one person sees: `button` (5.4)."""
    return call(account, "/cgi-bin/menu/trymatch", {"user_id": openid}, at=at)


# -- codes ------------------------------------------------------------------------------------------------------------


def create_code(
    account: OfficialAccount,
    scene: str,
    *,
    at: datetime | None = None,
    expire_seconds: int = MAX_CODE_SECONDS,
) -> Answer:
    """A temporary code with a text scene (1 to 64 characters): `ticket`, `url`, `expire_seconds` (5.5)."""
    payload = {
        "expire_seconds": min(expire_seconds, MAX_CODE_SECONDS),
        "action_name": "QR_STR_SCENE",
        "action_info": {"scene": {"scene_str": scene}},
    }
    return call(account, "/cgi-bin/qrcode/create", payload, at=at)


def create_permanent_code(account: OfficialAccount, scene: str, *, at: datetime | None = None) -> Answer:
    """A permanent code; an account has 100,000 and none can be deleted (5.5)."""
    payload = {"action_name": "QR_LIMIT_STR_SCENE", "action_info": {"scene": {"scene_str": scene}}}
    return call(account, "/cgi-bin/qrcode/create", payload, at=at)


def code_picture_url(ticket: str) -> str:
    """Where the picture of a code is; needs no token (5.5)."""
    return f"{settings.WECHAT_MP_URL}/cgi-bin/showqrcode?ticket={quote(ticket, safe='')}"


def create_mini_code(
    program: MiniProgram, scene: str, *, page: str = "", width: int = 430, at: datetime | None = None
) -> Answer:
    """A mini-program code (1.6): `Answer.picture`. The scene has 1 to 32 visible characters; the page is published."""
    payload = {"scene": scene, "check_path": True, "env_version": "release", "width": width}
    return call(program, MINI_CODE, payload | ({"page": page} if page else {}), at=at)


# -- templates and messages -------------------------------------------------------------------------------------------


def list_templates(account: OfficialAccount, *, at: datetime | None = None) -> Answer:
    """`template_list`: [{template_id, title, content, example …}] (5.6)."""
    return call(account, "/cgi-bin/template/get_all_private_template", at=at)


def list_subscribe_templates(account: OfficialAccount, *, at: datetime | None = None) -> Answer:
    """`data`: [{priTmplId, title, content, example, type …}] (5.7)."""
    return call(account, "/wxaapi/newtmpl/gettemplate", at=at)


def send_custom(account: OfficialAccount, message: Mapping[str, Any], *, at: datetime | None = None) -> Answer:
    """One customer-service message {touser, msgtype, …} (5.9). Nothing de-duplicates it: UNKNOWN may have arrived."""
    return call(account, CUSTOM_SEND, message, at=at, sends=True)


def send_template(account: OfficialAccount, message: Mapping[str, Any], *, at: datetime | None = None) -> Answer:
    """One template message {touser, template_id, data, client_msg_id …} (5.6)."""
    return call(account, TEMPLATE_SEND, message, at=at, sends=True)


def show_typing(account: OfficialAccount, openid: str, *, at: datetime | None = None) -> Answer:
    """Show that somebody is typing (5.9)."""
    return call(account, "/cgi-bin/message/custom/typing", {"touser": openid, "command": "Typing"}, at=at)


# -- media ------------------------------------------------------------------------------------------------------------


def upload_media(
    account: OfficialAccount, kind: str, body: bytes, *, file_name: str, content_type: str, at: datetime | None = None
) -> Answer:
    """Upload a file for three days (5.12): `media_id`, of a thumb `thumb_media_id`. `kind` is WeChat's word for it."""
    raw = _form(body, file_name, content_type)
    return call(account, "/cgi-bin/media/upload", at=at, query={"type": kind}, raw=raw)


def add_material(
    account: OfficialAccount,
    kind: str,
    body: bytes,
    *,
    file_name: str,
    content_type: str,
    title: str = "",
    introduction: str = "",
    at: datetime | None = None,
) -> Answer:
    """Upload a file for good (5.12): `media_id`. Title and introduction are a video's.

    Twice makes two: the transport never repeats it, and who has no answer looks at `list_material` first.
    """
    about = json.dumps({"title": title, "introduction": introduction}, ensure_ascii=False) if kind == "video" else ""
    raw = _form(body, file_name, content_type, {"description": about} if about else {})
    return call(account, "/cgi-bin/material/add_material", at=at, query={"type": kind}, raw=raw, once=True)


def list_material(
    account: OfficialAccount, kind: str, *, offset: int = 0, count: int = 20, at: datetime | None = None
) -> Answer:
    """A page of an account's permanent files, newest first: `item` [{media_id, name, update_time}] (5.12)."""
    payload = {"type": kind, "offset": offset, "count": count}
    return call(account, "/cgi-bin/material/batchget_material", payload, at=at)


def delete_material(account: OfficialAccount, media_id: str, *, at: datetime | None = None) -> Answer:
    """Take a permanent file away (5.12); one that a menu or reply of WeChat's own uses is refused."""
    return call(account, "/cgi-bin/material/del_material", {"media_id": media_id}, at=at)


def count_material(account: OfficialAccount, *, at: datetime | None = None) -> Answer:
    """How many permanent files there are: `voice_count`, `video_count`, `image_count`, `news_count` (5.12)."""
    return call(account, "/cgi-bin/material/get_materialcount", at=at)


def _form(body: bytes, file_name: str, content_type: str, fields: Mapping[str, str] | None = None) -> tuple[bytes, str]:
    boundary = secrets.token_hex(16)
    safe_name = "".join(c for c in file_name if c.isalnum() or c in "._-")[:60] or "file"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="media"; filename="{safe_name}"\r\n'.encode(),
        f"Content-Type: {content_type}\r\n\r\n".encode(),
        body,
        b"\r\n",
    ]
    for name, value in (fields or {}).items():
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


# -- mini program -----------------------------------------------------------------------------------------------------


def exchange_login_code(program: MiniProgram, js_code: str) -> Answer:
    """Sign-in of a mini program: `openid`, `unionid`, `session_key` (never let the last one out). Needs no token."""
    secret = program.app_secret
    query = {
        "appid": program.appid,
        "secret": secret.reveal() if secret else "",
        "js_code": js_code,
        "grant_type": "authorization_code",
    }
    url = f"{settings.WECHAT_BASE_URL}/sns/jscode2session?{urlencode(query)}"
    return classify(transport.perform(transport.HttpRequest(url)))


def exchange_phone_code(program: MiniProgram, code: str, *, openid: str = "", at: datetime | None = None) -> Answer:
    """The phone number a person agreed to share: `phone_info` (works once). `openid` binds it to the session."""
    payload = {"code": code, **({"openid": openid} if openid else {})}
    return call(program, "/wxa/business/getuserphonenumber", payload, at=at)


# -- diagnostics ------------------------------------------------------------------------------------------------------


def get_quota(app: App, api: str, *, at: datetime | None = None) -> Answer:
    """WeChat's own count for a path: `quota` {daily_limit, used, remain} (5.16)."""
    return call(app, "/cgi-bin/openapi/quota/get", {"cgi_path": api}, at=at)


def clear_quota(app: App, *, at: datetime | None = None) -> Answer:
    """Reset every daily counter; ten a month (5.16)."""
    return call(app, "/cgi-bin/clear_quota", {"appid": app.appid}, at=at)


def check_callback(account: OfficialAccount, *, at: datetime | None = None) -> Answer:
    """WeChat's own check of DNS and reachability (5.1)."""
    return call(account, "/cgi-bin/callback/check", {"action": "all", "check_operator": "DEFAULT"}, at=at)


def get_callback_addresses(account: OfficialAccount, *, at: datetime | None = None) -> Answer:
    """The addresses pushes come from: `ip_list` (5.1)."""
    return call(account, "/cgi-bin/getcallbackip", at=at)
