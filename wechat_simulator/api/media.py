"""Temporary media, kept three days, and permanent ones with their quota (reference: service account 5.12, 3.2)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from wechat_simulator.api.base import Call, Picture, api, ok
from wechat_simulator.errors import WeChatError
from wechat_simulator.world import token_urlsafe

LIFE = 3 * 86400.0
LIMITS: dict[str, int] = {"image": 10_000_000, "voice": 2_000_000, "video": 10_000_000, "thumb": 64_000}
TYPES: dict[str, frozenset[str]] = {
    "image": frozenset(("png", "jpeg", "jpg", "gif")),
    "voice": frozenset(("amr", "mp3")),
    "video": frozenset(("mp4",)),
    "thumb": frozenset(("jpg", "jpeg")),
}
KEEP = 5_000
MOST_LISTED = 20
# Permanent files an account may have (5.12); a switch of the control API makes it smaller for a trial.
PERMANENT: dict[str, int] = {"image": 100_000, "voice": 1_000, "video": 1_000, "thumb": 1_000}


@dataclass(slots=True)
class Media:
    """One upload."""

    appid: str
    kind: str
    content_type: str
    body: bytes
    created_at: float
    permanent: bool = False
    name: str = ""


class MediaStore:
    """Uploads by media_id; the newest are kept."""

    def __init__(self) -> None:
        self._media: dict[str, Media] = {}

    def add(self, media_id: str, media: Media) -> None:
        """Keep one."""
        self._media[media_id] = media
        if len(self._media) > KEEP:
            del self._media[next(key for key, each in self._media.items() if not each.permanent)]

    def find(self, media_id: str, now: float, appid: str = "") -> Media | None:
        """A living one, of this account when an appid is given."""
        media = self._media.get(media_id)
        if media is None or (appid and media.appid != appid):
            return None
        return media if media.permanent or media.created_at + LIFE > now else None

    def count(self, appid: str, kind: str) -> int:
        """How many permanent files of a kind an account has."""
        return sum(each.permanent and each.appid == appid and each.kind == kind for each in self._media.values())

    def permanent(self, appid: str, kind: str) -> list[tuple[str, Media]]:
        """The permanent files of a kind, newest first."""
        mine = [pair for pair in self._media.items() if pair[1].permanent and pair[1].appid == appid]
        return [pair for pair in reversed(mine) if pair[1].kind == kind]

    def remove(self, media_id: str) -> None:
        """Forget a permanent one."""
        del self._media[media_id]


def form_file(body: bytes, name: str) -> tuple[str, str, bytes]:
    """File name, content type and bytes of a field in a multipart body; 41005 when there is none with a file name."""
    boundary = body.split(b"\r\n", 1)[0]
    if not boundary.startswith(b"--"):
        raise WeChatError(41005)
    for part in body.split(boundary)[1:]:
        head, found, data = part.partition(b"\r\n\r\n")
        if not found or f'name="{name}"'.encode() not in head or b'filename="' not in head:
            continue
        file_name = head.split(b'filename="', 1)[1].split(b'"', 1)[0].decode(errors="replace")
        content_type = "application/octet-stream"
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-type:"):
                content_type = line.split(b":", 1)[1].strip().decode("latin-1")
        return file_name, content_type, data.removesuffix(b"\r\n")
    raise WeChatError(41005)


def form_text(body: bytes, name: str) -> str:
    """The text of a field in a multipart body; empty when there is none."""
    boundary = body.split(b"\r\n", 1)[0]
    for part in body.split(boundary)[1:]:
        head, found, data = part.partition(b"\r\n\r\n")
        if found and f'name="{name}"'.encode() in head and b'filename="' not in head:
            return data.removesuffix(b"\r\n").decode(errors="replace")
    return ""


def _file(call: Call) -> tuple[str, str, bytes, str]:
    """Kind, content type, bytes and name of an upload, checked as WeChat checks them."""
    kind = call.query.get("type", "")
    if kind not in LIMITS:
        raise WeChatError(40004)
    file_name, content_type, body = form_file(call.body, "media")
    if not body:
        raise WeChatError(44001)
    subtypes = {file_name.rsplit(".", 1)[-1].lower(), content_type.rsplit("/", 1)[-1].lower()}
    if not subtypes & TYPES[kind]:
        raise WeChatError(40005)
    if len(body) > LIMITS[kind]:
        raise WeChatError(40006)
    return kind, content_type, body, file_name


@api("POST", "/cgi-bin/media/upload")
def upload(call: Call) -> dict[str, Any]:
    """A file in the field ``media``; type by its name, size by its kind."""
    kind, content_type, body, _name = _file(call)
    media_id = token_urlsafe(64, call.sim.world.seed, "media", str(call.sim.world.number()))
    call.sim.media.add(media_id, Media(call.account.appid, kind, content_type, body, call.now))
    name = "thumb_media_id" if kind == "thumb" else "media_id"
    return {"type": kind, name: media_id, "created_at": int(call.now)}


@api("GET", "/cgi-bin/media/get")
def download(call: Call) -> dict[str, Any] | Picture:
    """The bytes; JSON with 40007 when unknown, expired or another account's; a link for video."""
    media = call.sim.media.find(call.query.get("media_id", ""), call.now, call.account.appid)
    if media is None:
        raise WeChatError(40007)
    if media.kind == "video":
        return {"video_url": f"http://127.0.0.1/_sim/media/{call.query['media_id']}"}
    return Picture(media.body, media.content_type)


@api("POST", "/cgi-bin/material/add_material")
def add_material(call: Call) -> dict[str, Any]:
    """A permanent file; a video needs a description. refused when the account has as many as it may."""
    kind, content_type, body, name = _file(call)
    if kind == "video" and not _titled(form_text(call.body, "description")):
        raise WeChatError(40035)
    store, switches = call.sim.media, call.sim.switches
    if store.count(call.account.appid, kind) >= min(switches.permanent_media, PERMANENT[kind]):
        raise WeChatError(switches.permanent_media_full_code)
    media_id = token_urlsafe(43, call.sim.world.seed, "material", str(call.sim.world.number()))
    store.add(media_id, Media(call.account.appid, kind, content_type, body, call.now, permanent=True, name=name))
    address = {"url": f"http://mmbiz.qpic.cn/mmbiz/{media_id}/0"} if kind == "image" else {}
    return {"media_id": media_id, **address}


@api("POST", "/cgi-bin/material/del_material")
def delete_material(call: Call) -> dict[str, Any]:
    """Take a permanent file away; 40007 for what is not there, temporary, or another account's."""
    media_id = call.text(call.json(), "media_id", 40007)
    media = call.sim.media.find(media_id, call.now, call.account.appid)
    if media is None or not media.permanent:
        raise WeChatError(40007)
    call.sim.media.remove(media_id)
    return ok()


@api("POST", "/cgi-bin/material/batchget_material")
def list_material(call: Call) -> dict[str, Any]:
    """A page of the permanent files of a kind, newest first; ``name`` is that of the uploaded file."""
    data = call.json()
    kind, offset, count = data.get("type"), data.get("offset"), data.get("count")
    if kind not in LIMITS:
        raise WeChatError(40004)
    if not isinstance(offset, int) or not isinstance(count, int) or offset < 0 or not 1 <= count <= MOST_LISTED:
        raise WeChatError(40097)
    found = call.sim.media.permanent(call.account.appid, kind)
    page = found[offset : offset + count]
    return {
        "total_count": len(found),
        "item_count": len(page),
        "item": [
            {"media_id": media_id, "name": media.name, "update_time": int(media.created_at)} for media_id, media in page
        ],
    }


@api("GET", "/cgi-bin/material/get_materialcount")
def count_material(call: Call) -> dict[str, Any]:
    """How many permanent files of each kind there are."""
    store, appid = call.sim.media, call.account.appid
    return {f"{kind}_count": store.count(appid, kind) for kind in ("voice", "video", "image")} | {"news_count": 0}


def _titled(text: str) -> bool:
    try:
        about = json.loads(text)
    except ValueError:
        return False
    return isinstance(about, dict) and bool(about.get("title"))
