"""Cells that many lists share: moments, people, states, excerpts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.template.loader import render_to_string
from django.utils.html import format_html

from console import formats

if TYPE_CHECKING:
    from datetime import datetime

    from django.utils.safestring import SafeString
    from django_stubs_ext import StrOrPromise


def moment(name: str, label: StrOrPromise) -> Callable[[Any], Any]:
    """Make a column that shows a moment of the row in the brand's zone, with seconds on hovering."""

    def cell(row: Any) -> Any:
        value: datetime | None = getattr(row, name)
        if value is None:
            return formats.NOTHING
        return format_html('<span title="{}">{}</span>', formats.full_time(value), formats.local_time(value))

    cell.__name__ = name
    cell.short_description = label  # type: ignore[attr-defined]
    return cell


def recently(name: str, label: StrOrPromise) -> Callable[[Any], Any]:
    """Make a column that shows how long ago something was."""

    def cell(row: Any) -> Any:
        value: datetime | None = getattr(row, name)
        if value is None:
            return formats.NOTHING
        return format_html('<span title="{}">{}</span>', formats.full_time(value), formats.ago(value))

    cell.__name__ = name
    cell.short_description = label  # type: ignore[attr-defined]
    return cell


def two_lines(first: object, second: object = "") -> SafeString:
    """Give a cell with a name and what tells it apart below."""
    if not second:
        return format_html("{}", first)
    return format_html('<span>{}<span class="zy-second">{}</span></span>', first, second)


def state(label: object, tone: str = "") -> SafeString:
    """Give a state as icon and word; `tone` is info, success, warning, danger or empty."""
    icons = {"info": "schedule", "success": "check_circle", "warning": "error", "danger": "cancel"}
    context = {"label": label, "tone": tone, "icon": icons.get(tone, "circle")}
    return render_to_string("console/_status.html", context)


def excerpt(text: str, length: int = 30) -> str:
    """Give the beginning of a text."""
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"
