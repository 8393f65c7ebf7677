"""What a file really is: by its first bytes, never by its name or what the sender says. Pure but for the storage."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

from django.core.files.base import ContentFile
from django.core.files.storage import storages

LARGEST: Final = 10_000_000  # a picture at WeChat (reference: service account 5.12)
_MAGIC: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "image/png", "png"),
    (b"\xff\xd8\xff", "image/jpeg", "jpg"),
    (b"GIF87a", "image/gif", "gif"),
    (b"GIF89a", "image/gif", "gif"),
)


def kind_of(body: bytes) -> tuple[str, str] | None:
    """Give (content type, ending) of a picture; None for anything else."""
    return next(((content_type, ending) for magic, content_type, ending in _MAGIC if body.startswith(magic)), None)


def fault_of(body: bytes) -> str:
    """Say what keeps a file from being stored: EMPTY, TOO_LARGE, NOT_A_PICTURE; nothing when it may be."""
    if not body:
        return "EMPTY"
    if len(body) > LARGEST:
        return "TOO_LARGE"
    return "" if kind_of(body) else "NOT_A_PICTURE"


def store(body: bytes, *, brand_id: int) -> str:
    """Keep a picture in private storage, under a name nobody can guess; gives the name."""
    known = kind_of(body)
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
