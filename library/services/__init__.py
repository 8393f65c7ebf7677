"""Changes to the material library and to what WeChat has of it."""

from __future__ import annotations

from library.services.copies import (
    compare_media,
    count_media,
    keep_for_good,
    lose_media,
    media_afresh,
    media_id_for,
    settle_copy,
    take_away,
)
from library.services.items import add_media, describe_media, note_sent, put_away
from library.services.retention import tidy_library, unused_files

__all__ = [
    "add_media",
    "compare_media",
    "count_media",
    "describe_media",
    "keep_for_good",
    "lose_media",
    "media_afresh",
    "media_id_for",
    "note_sent",
    "put_away",
    "settle_copy",
    "take_away",
    "tidy_library",
    "unused_files",
]
