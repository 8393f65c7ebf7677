"""QR codes with parameters, and short keys (reference: service account 5.5)."""

from __future__ import annotations

import io
import re
from typing import Any

import segno
import zxingcpp
from PIL import Image

from wechat_simulator.api.base import Call, Picture, api
from wechat_simulator.errors import WeChatError
from wechat_simulator.world import token_urlsafe

MAX_LIFE = 2_592_000
MAX_SCENE_TEXT = 64
MAX_PERMANENT_NUMBER = 100_000
MAX_LONG_DATA = 4096
MAX_PIXELS = 40_000_000
MINI_SCENE = re.compile(r"[0-9A-Za-z!#$&'()*+,/:;=?@._~-]{1,32}")


def _scene(action: Any, info: Any) -> tuple[str, bool]:
    scene = info.get("scene") if isinstance(info, dict) else None
    if not isinstance(scene, dict):
        raise WeChatError(40053)
    if action in ("QR_STR_SCENE", "QR_LIMIT_STR_SCENE"):
        text = scene.get("scene_str")
        if not isinstance(text, str) or not 1 <= len(text) <= MAX_SCENE_TEXT:
            raise WeChatError(40053)
        return text, False
    number = scene.get("scene_id")
    limit = MAX_PERMANENT_NUMBER if action == "QR_LIMIT_SCENE" else 2**32 - 1
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= limit:
        raise WeChatError(40053)
    return str(number), True


@api("POST", "/cgi-bin/qrcode/create")
def create(call: Call) -> dict[str, Any]:
    """Temporary codes get a new ticket each time; a permanent one with the same scene is the same code (switch)."""
    data = call.json()
    account, world = call.account, call.sim.world
    action = data.get("action_name")
    if action not in ("QR_SCENE", "QR_STR_SCENE", "QR_LIMIT_SCENE", "QR_LIMIT_STR_SCENE"):
        raise WeChatError(40053)
    scene, numeric = _scene(action, data.get("action_info"))
    if action.startswith("QR_LIMIT"):
        key = f"{'i' if numeric else 's'}:{scene}"
        if call.sim.switches.permanent_code_same_scene and key in account.permanent:
            code = world.tickets[account.permanent[key]]
        else:
            if sum(item.expires_at is None for item in account.codes.values()) >= account.permanent_code_limit:
                raise WeChatError(45029)
            code = world.add_code(account, action, scene, numeric=numeric, now=call.now, expires_at=None)
            call.sim.bus.bump("codes", appid=account.appid)
        return {"ticket": code.ticket, "url": code.url}
    life = data.get("expire_seconds", call.sim.switches.temporary_code_default_seconds)
    if not isinstance(life, int) or isinstance(life, bool) or not 1 <= life <= MAX_LIFE:
        raise WeChatError(40035)
    code = world.add_code(account, action, scene, numeric=numeric, now=call.now, expires_at=call.now + life)
    call.sim.bus.bump("codes", appid=account.appid)
    return {"ticket": code.ticket, "expire_seconds": life, "url": code.url}


def picture(url: str) -> bytes:
    """PNG of a QR code. WeChat serves JPEG; no JPEG writer is among our few libraries."""
    out = io.BytesIO()
    segno.make(url, error="m").save(out, kind="png", scale=8, border=2)
    return out.getvalue()


def read_picture(body: bytes) -> list[str]:
    """What the codes of a picture say, from top to bottom; raises ValueError for what is no picture."""
    try:
        with Image.open(io.BytesIO(body)) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise ValueError("the picture is too large")
            found = zxingcpp.read_barcodes(opened.convert("L"))
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError("no picture") from error
    return [code.text for code in sorted(found, key=lambda code: (code.position.top_left.y, code.position.top_left.x))]


@api("GET", "/cgi-bin/showqrcode", token=False, counted=False)
def show(call: Call) -> Picture:
    """The picture of a ticket; 404 when the ticket is bad."""
    code = call.sim.world.tickets.get(call.query.get("ticket", ""))
    if code is None:
        return Picture(b"", "text/html", 404)
    return Picture(picture(code.url), "image/png")


@api("POST", "/wxa/getwxacodeunlimit")
def mini_code(call: Call) -> Picture:
    """A picture that opens the mini program with a scene (mini-program reference 1.6); JSON when refused."""
    data = call.json()
    scene, page = data.get("scene"), data.get("page", "")
    if call.account.kind != "mini":
        raise WeChatError(48001)
    if not isinstance(scene, str) or not MINI_SCENE.fullmatch(scene):
        raise WeChatError(40169)
    if not isinstance(page, str) or page.startswith("/") or "?" in page:
        raise WeChatError(40097)
    if data.get("env_version", "release") not in ("release", "trial", "develop"):
        raise WeChatError(40097)
    return Picture(picture(f"https://mp.weixin.qq.com/a/~{call.account.appid}~{scene}~{page}"), "image/png")


@api("POST", "/cgi-bin/shorten/gen")
def shorten(call: Call) -> dict[str, Any]:
    """A short key for up to 4 KB."""
    data = call.json()
    text = call.text(data, "long_data")
    life = data.get("expire_seconds", MAX_LIFE)
    if len(text.encode()) > MAX_LONG_DATA or not isinstance(life, int) or not 1 <= life <= MAX_LIFE:
        raise WeChatError(40035)
    key = token_urlsafe(15, call.sim.world.seed, "short", str(call.sim.world.number()))
    call.sim.short_keys[key] = (call.account.appid, text, call.now, call.now + life)
    return {"errcode": 0, "errmsg": "ok", "short_key": key}


@api("POST", "/cgi-bin/shorten/fetch")
def fetch(call: Call) -> dict[str, Any]:
    """The text behind a key of this account."""
    row = call.sim.short_keys.get(call.text(call.json(), "short_key"))
    if row is None or row[0] != call.account.appid or row[3] <= call.now:
        raise WeChatError(40035)
    left = int(row[3] - call.now)
    return {"errcode": 0, "errmsg": "ok", "long_data": row[1], "create_time": int(row[2]), "expire_seconds": left}
