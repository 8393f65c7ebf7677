"""Pictures of codes, drawn here: nothing is fetched from anywhere."""

from __future__ import annotations

import io

import segno
from django.utils.safestring import SafeString, mark_safe


def code_svg(text: str) -> SafeString:
    """Draw a QR code as an SVG element; nothing for an empty text."""
    if not text:
        return mark_safe("")
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(out, kind="svg", xmldecl=False, svgns=True, border=2, omitsize=True)
    return mark_safe(out.getvalue().decode())


def code_png(text: str, *, scale: int = 10) -> bytes:
    """Draw a QR code for printing."""
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(out, kind="png", scale=scale, border=4)
    return out.getvalue()
