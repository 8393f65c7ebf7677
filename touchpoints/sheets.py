"""Codes for print: one sign as PNG or SVG, many as sheets of a PDF, with captions in Chinese. Nothing is fetched."""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

import segno
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from touchpoints.signs import file_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from touchpoints.signs import Layout, Sign

QUIET: Final = 4  # modules of white around a code, as the standard asks
MARGIN: Final = 12 * mm
# Every reader of PDF in China brings the glyphs of this one; a font of the brand's own is embedded instead.
COMMON_FONT: Final = "STSong-Light"
SVG_MODULE: Final = 10
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]|[\ud800-\udfff]")


def _matrix(url: str) -> list[bytearray]:
    # A quarter of a printed code may be scratched or covered and it still scans.
    return [bytearray(row) for row in segno.make(url, error="q", micro=False).matrix]


def png(sign: Sign, *, scale: int = 20) -> bytes:
    """Draw the bare code as PNG, about 800 pixels wide."""
    out = io.BytesIO()
    segno.make(sign.url, error="q", micro=False).save(out, kind="png", scale=scale, border=QUIET)
    return out.getvalue()


def svg(sign: Sign) -> bytes:
    """Draw the code with its captions as SVG."""
    matrix = _matrix(sign.url)
    side = (len(matrix) + 2 * QUIET) * SVG_MODULE
    rows = [(_clean(sign.title), 34, 600), (_clean(sign.line), 24, 400), (_clean(sign.mark), 16, 400)]
    texts, y = [], float(side)
    for text, size, weight in rows:
        if text:
            fitted = min(size, side * 0.92 / max(1.0, _ems(text)))
            y += fitted * 1.5
            texts.append(
                f'<text x="{side / 2:g}" y="{y:g}" font-size="{fitted:.1f}" font-weight="{weight}" '
                f'text-anchor="middle">{escape(text)}</text>'
            )
    height = y + (24 if texts else 0)
    unit, edge = SVG_MODULE, QUIET
    path = "".join(
        f"M{(x + edge) * unit} {(row + edge) * unit}h{width * unit}v{unit}h-{width * unit}z"
        for row, x, width in _runs(matrix)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {height:g}" width="{side}" height="{height:g}">'
        f'<rect width="100%" height="100%" fill="#fff"/><path d="{path}" fill="#000"/>'
        f'<g font-family="PingFang SC, Microsoft YaHei, Noto Sans CJK SC, sans-serif" fill="#000">{"".join(texts)}</g>'
        "</svg>"
    ).encode()


def _ems(text: str) -> float:
    return sum(0.55 if ord(letter) < 0x2E80 else 1.0 for letter in text)


def archive(signs: Sequence[Sign], kind: str) -> bytes:
    """Pack one picture per sign into a ZIP file, named by title and mark."""
    draw = {"png": png, "svg": svg}[kind]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for number, sign in enumerate(signs, 1):
            packed.writestr(f"{number:03d}-{file_name(sign.title)}-{file_name(sign.mark)}.{kind}", draw(sign))
    return out.getvalue()


def pdf(signs: Iterable[Sign], layout: Layout, *, title: str, font_path: str = "") -> bytes:
    """Draw sheets of A4: codes as vectors, sharp at any size, each with its captions and a thin line to cut along."""
    font = _font(font_path)
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, pageCompression=1, invariant=1)
    canvas.setTitle(_clean(title))
    width, height = (A4[0] - 2 * MARGIN) / layout.columns, (A4[1] - 2 * MARGIN) / layout.rows
    for number, sign in enumerate(signs):
        place = number % layout.per_page
        if number and not place:
            canvas.showPage()
        x = MARGIN + place % layout.columns * width
        y = A4[1] - MARGIN - (place // layout.columns + 1) * height
        _sign(canvas, sign, layout, font, (x, y, width, height))
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def _sign(canvas: Any, sign: Sign, layout: Layout, font: str, box: tuple[float, float, float, float]) -> None:
    x, y, width, height = box
    if layout.per_page > 1:
        canvas.setLineWidth(0.3)
        canvas.setDash(2, 3)
        canvas.setStrokeGray(0.7)
        canvas.rect(x, y, width, height)
        canvas.setDash()
    side = layout.code * mm
    sizes = [(_clean(sign.title), layout.title_size), (_clean(sign.line), layout.line_size)]
    lines = [(line, size) for text, size in sizes if text for line in _wrapped(text, font, size, width * 0.92)]
    mark_size = max(5, layout.line_size * 0.6)
    below = sum(size * 1.4 for _text, size in lines) + mark_size * 1.6
    top = y + (height + side + below) / 2
    _code(canvas, sign.url, x + (width - side) / 2, top - side, side)
    baseline = top - side
    canvas.setFillGray(0)
    for text, size in lines:
        baseline -= size * 1.4
        canvas.setFont(font, size)
        canvas.drawCentredString(x + width / 2, baseline + size * 0.3, text)
    if sign.mark:
        canvas.setFillGray(0.45)
        canvas.setFont(font, mark_size)
        canvas.drawCentredString(x + width / 2, baseline - mark_size * 1.3, _clean(sign.mark))
        canvas.setFillGray(0)


def _code(canvas: Any, url: str, x: float, y: float, side: float) -> None:
    matrix = _matrix(url)
    module = side / (len(matrix) + 2 * QUIET)
    canvas.setFillGray(0)
    path = canvas.beginPath()
    for row, column, width in _runs(matrix):
        path.rect(x + (column + QUIET) * module, y + side - (row + QUIET + 1) * module, width * module, module)
    canvas.drawPath(path, stroke=0, fill=1)


def _runs(matrix: list[bytearray]) -> Iterable[tuple[int, int, int]]:
    """Give dark modules as (row, column, how many side by side)."""
    for number, row in enumerate(matrix):
        start = None
        for column, dark in enumerate([*row, 0]):
            if dark and start is None:
                start = column
            elif not dark and start is not None:
                yield number, start, column - start
                start = None


def _wrapped(text: str, font: str, size: float, width: float) -> list[str]:
    """Break a text into at most two lines; what does not fit ends in dots."""
    lines = [""]
    for letter in text:
        if pdfmetrics.stringWidth(lines[-1] + letter, font, size) <= width:
            lines[-1] += letter
        elif len(lines) == 1:
            lines.append(letter)
        else:
            return [lines[0], lines[1][:-1] + "…"]
    return lines


def _clean(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()


def _font(path: str) -> str:
    name = "printed-" + file_name(path)[-40:] if path else COMMON_FONT
    if name not in pdfmetrics.getRegisteredFontNames():  # the library's own memory, of fonts only
        pdfmetrics.registerFont(TTFont(name, path) if path else UnicodeCIDFont(COMMON_FONT))
    return name
