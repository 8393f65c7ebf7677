"""Temporary media: kept three days (reference: service account 5.12, 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wechat_simulator.api.base import Call, Picture, api
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


@dataclass(slots=True)
class Media:
    """One upload."""

    appid: str
    kind: str
    content_type: str
    body: bytes
    created_at: float


class MediaStore:
    """Uploads by media_id; the newest are kept."""

    def __init__(self) -> None:
        self._media: dict[str, Media] = {}

    def add(self, media_id: str, media: Media) -> None:
        """Keep one."""
        self._media[media_id] = media
        if len(self._media) > KEEP:
            del self._media[next(iter(self._media))]

    def find(self, media_id: str, now: float, appid: str = "") -> Media | None:
        """A living one, of this account when an appid is given."""
        media = self._media.get(media_id)
        if media is None or media.created_at + LIFE <= now or (appid and media.appid != appid):
            return None
        return media


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


@api("POST", "/cgi-bin/media/upload")
def upload(call: Call) -> dict[str, Any]:
    """A file in the field ``media``; type by its name, size by its kind."""
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
