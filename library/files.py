"""What a file really is: by its first bytes, never by its name or what the sender says. Pure but for the storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from django.core.files.base import ContentFile
from django.core.files.storage import storages

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE: Final = "IMAGE"
VOICE: Final = "VOICE"
VIDEO: Final = "VIDEO"
THUMB: Final = "THUMB"

EMPTY: Final = "EMPTY"
TOO_LARGE: Final = "TOO_LARGE"
TOO_LONG: Final = "TOO_LONG"
WRONG_KIND: Final = "WRONG_KIND"


@dataclass(frozen=True, slots=True)
class Limit:
    """What WeChat takes of a kind (reference: service account 5.12): bytes, and permanent files an account may have."""

    bytes: int
    permanent: int
    shown: str  # the formats and sizes, as people read them


LIMITS: Final[dict[str, Limit]] = {
    IMAGE: Limit(10_000_000, 100_000, "PNG, JPEG, GIF · 10 MB"),
    VOICE: Limit(2_000_000, 1_000, "AMR, MP3 · 2 MB · 60 s"),
    VIDEO: Limit(10_000_000, 1_000, "MP4 · 10 MB"),
    THUMB: Limit(64_000, 1_000, "JPEG · 64 KB"),
}
LARGEST: Final = max(limit.bytes for limit in LIMITS.values())
LONGEST_VOICE: Final = 60.0
_AMR: Final = b"#!AMR\n"
# Bytes of an AMR frame after its head, by mode; a frame is 20 ms.
_AMR_FRAMES: Final = (12, 13, 15, 17, 19, 20, 26, 31, 5, 0, 0, 0, 0, 0, 0, 0)


def _is_mp3(body: bytes) -> bool:
    if body.startswith(b"ID3"):
        return True
    if len(body) < 4 or body[0] != 0xFF or body[1] & 0xE0 != 0xE0:
        return False
    layer, bitrate, rate = body[1] & 0x06, body[2] >> 4, body[2] >> 2 & 0x03
    return layer == 0x02 and bitrate not in (0, 15) and rate != 3  # layer III


_FORMATS: Final[tuple[tuple[str, str, frozenset[str], Callable[[bytes], bool]], ...]] = (
    ("image/png", "png", frozenset({IMAGE}), lambda body: body.startswith(b"\x89PNG\r\n\x1a\n")),
    ("image/jpeg", "jpg", frozenset({IMAGE, THUMB}), lambda body: body.startswith(b"\xff\xd8\xff")),
    ("image/gif", "gif", frozenset({IMAGE}), lambda body: body.startswith((b"GIF87a", b"GIF89a"))),
    ("audio/amr", "amr", frozenset({VOICE}), lambda body: body.startswith(_AMR)),
    ("audio/mpeg", "mp3", frozenset({VOICE}), _is_mp3),
    ("video/mp4", "mp4", frozenset({VIDEO}), lambda body: body[4:8] == b"ftyp"),
)


def kind_of(body: bytes, kind: str = IMAGE) -> tuple[str, str] | None:
    """Give (content type, ending) of a file that is of a kind; None for anything else."""
    return next((known[:2] for known in _FORMATS if kind in known[2] and known[3](body)), None)


def fault_of(body: bytes, kind: str = IMAGE) -> str:
    """Say what keeps a file from being stored: EMPTY, TOO_LARGE, WRONG_KIND, TOO_LONG; nothing when it may be."""
    if not body:
        return EMPTY
    if len(body) > LIMITS[kind].bytes:
        return TOO_LARGE
    if kind_of(body, kind) is None:
        return WRONG_KIND
    return TOO_LONG if amr_seconds(body) > LONGEST_VOICE else ""


def amr_seconds(body: bytes) -> float:
    """Give how long an AMR recording is, in seconds; 0 for anything else."""
    if not body.startswith(_AMR):
        return 0.0
    at, frames = len(_AMR), 0
    while at < len(body):
        at += 1 + _AMR_FRAMES[body[at] >> 3 & 0x0F]
        frames += 1
    return frames * 0.02


def store(body: bytes, *, brand_id: int, kind: str = IMAGE) -> str:
    """Keep a file in private storage, under a name nobody can guess; gives the name."""
    known = kind_of(body, kind)
    ending = known[1] if known else "bin"
    return storages["private"].save(f"b{brand_id}/{uuid4().hex}.{ending}", ContentFile(body))


def read(path: str) -> bytes:
    """Give what is stored under a name; raises FileNotFoundError."""
    with storages["private"].open(path) as file:
        body: bytes = file.read()
    return body


def drop(path: str) -> None:
    """Take a file away; one that is not there is fine."""
    storages["private"].delete(path)
