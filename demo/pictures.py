"""Pictures of the demo brands' material library: drawn here, so that none of them is anybody's."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from accounts.tenancy import current_brand_id
from library.services import add_media

if TYPE_CHECKING:
    from datetime import datetime

WIDTH, HEIGHT = 360, 240
PICTURES = (
    ("门店外景", (28, 78, 128), (214, 228, 240)),
    ("当季新品", (122, 62, 44), (244, 226, 208)),
    ("会员权益", (44, 92, 72), (222, 238, 226)),
)


def make_pictures(at: datetime) -> None:
    """Put a few pictures into the library of the brand in scope."""
    for name, top, bottom in PICTURES:
        add_media(name=name, body=gradient(top, bottom), at=at, brand_id=current_brand_id())


def gradient(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> bytes:
    """Draw a PNG that goes from one colour to another."""
    rows = bytearray()
    for y in range(HEIGHT):
        share = y / (HEIGHT - 1)
        colour = bytes(round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True))
        rows += b"\x00" + colour * WIDTH
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
