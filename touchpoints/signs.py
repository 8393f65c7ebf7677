"""What is printed beside a code, and how codes stand on a page; drawing them (`sheets`) needs large libraries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

MOST_SIGNS: Final = 500


@dataclass(frozen=True)
class Sign:
    """What a printed code says: its URL, a title, what it brings, and a small mark by which staff find it again."""

    url: str
    title: str
    line: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Layout:
    """How signs stand on a page of A4; `code` is the side of the code in millimetres."""

    label: StrOrPromise
    columns: int
    rows: int
    code: int
    title_size: int
    line_size: int

    @property
    def per_page(self) -> int:
        """How many signs a page holds."""
        return self.columns * self.rows


LAYOUTS: Final[dict[str, Layout]] = {
    "one": Layout(_("One per page"), 1, 1, 130, 30, 18),
    "two": Layout(_("2 per page"), 1, 2, 85, 22, 14),
    "six": Layout(_("6 per page"), 2, 3, 58, 14, 10),
    "twelve": Layout(_("12 per page"), 3, 4, 42, 11, 8),
    "thirty": Layout(_("30 per page, for labels"), 5, 6, 27, 7, 6),
}


def file_name(text: str) -> str:
    """Make a text safe as a part of a file's name."""
    return re.sub(r"[^\w·-]+", "_", text).strip("_.")[:60] or "code"
