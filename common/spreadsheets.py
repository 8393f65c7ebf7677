"""Tables of people: CSV and XLSX become rows of text and back. Nothing in a cell is ever a formula."""

from __future__ import annotations

import csv
import io
import logging
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from django.utils.translation import gettext as _

from common.errors import Invalid

logger = logging.getLogger(__name__)

LARGEST: Final = 2_000_000
MOST_ROWS: Final = 20_000
MOST_COLUMNS: Final = 200
LONGEST_CELL: Final = 20_000
_UNPACKED: Final = 40_000_000
_MOST_PARTS: Final = 500
FORMULA: Final = "\uf8ff="  # how a cell begins that holds a formula, where the reader wants to know
# What a spreadsheet program would take for a formula; a leading apostrophe makes it a text (OWASP: CSV injection).
_FORMULA: Final = re.compile(r"^[=+\-@\t\r]")
_MARKED: Final = re.compile(r"^'+[=+\-@\t\r]")
_ESCAPED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
_SHEET: Final = re.compile(r"xl/worksheets/[^/]+\.xml")
_MERGED: Final = re.compile(rb'<mergeCell ref="([A-Z]{1,3}[0-9]{1,7}:[A-Z]{1,3}[0-9]{1,7})"')
_NAMED: Final = 5
# What neither XML nor the database carries.
_NOT_TEXT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class TableUnreadable(Invalid):
    """A file is no table that can be read."""

    code = "table_unreadable"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint or _("Save it as XLSX or CSV (UTF-8) and try again."), field="file")


@dataclass(frozen=True)
class Bounds:
    """How much of a file is read: bytes, what a workbook unpacks to, rows with something in them, blank rows."""

    largest: int = LARGEST
    unpacked: int = _UNPACKED
    rows: int = MOST_ROWS
    blank: int = 0


def read_table(body: bytes) -> list[list[str]]:
    """Give the rows of the first sheet, each cell as text without blanks around it. Raises TableUnreadable.

    What the file is, its bytes say, not its name.
    """
    found = list(iter_table(body))
    while found and not any(found[-1]):
        found.pop()
    return found


def iter_table(body: bytes, *, bounds: Bounds | None = None, mark_formulas: bool = False) -> Iterator[list[str]]:
    """Give the rows of the first sheet one by one, blank ones too. Raises TableUnreadable.

    With `mark_formulas` a cell of a workbook that holds a formula begins with `FORMULA`; else it is what the formula
    last gave.
    """
    limit = bounds or Bounds()
    if not body:
        raise TableUnreadable(_("The file is empty."))
    if len(body) > limit.largest:
        said = _("The file is larger than %(megabytes)s MB.") % {"megabytes": limit.largest // 1_000_000}
        raise TableUnreadable(said, _("Split it into several files."))
    rows = _read_xlsx(body, limit, mark_formulas) if body.startswith(b"PK\x03\x04") else _read_csv(body)
    filled = 0
    for number, row in enumerate(rows, 1):
        filled += any(row)
        if filled > limit.rows or number > limit.rows + limit.blank:
            said = _("The file has more than %(rows)s rows.") % {"rows": f"{limit.rows:,}"}
            raise TableUnreadable(said, _("Split it into several files."))
        if len(row) > MOST_COLUMNS:
            raise TableUnreadable(_("Row %(row)s has more than 200 columns.") % {"row": number})
        yield [_plain(cell) for cell in row]


def merged_cells(body: bytes) -> list[str]:
    """Give the first ranges of merged cells in a workbook: of each only the upper left cell has a value."""
    found: list[str] = []
    if not body.startswith(b"PK\x03\x04"):
        return found
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            for name in sorted(archive.namelist()):
                if _SHEET.fullmatch(name):
                    found += _merged_in(archive, name)
    except _UNREADABLE:
        return []
    return found[:_NAMED]


def _merged_in(archive: zipfile.ZipFile, name: str) -> list[str]:
    found: list[str] = []
    tail = b""
    with archive.open(name) as part:
        while chunk := part.read(1_000_000):
            text = tail + chunk
            found += [match[1].decode() for match in _MERGED.finditer(text)]
            if len(found) >= _NAMED:
                break
            tail = text[-40:] if not _MERGED.search(text[-80:]) else b""
    return found


def write_csv(rows: Iterable[Sequence[str]]) -> bytes:
    """Give rows as CSV that spreadsheet programs open as it is: UTF-8 with its mark, no formulas."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "replace")


def write_xlsx(rows: Iterable[Sequence[str]], *, sheet: str) -> bytes:
    """Give rows as a workbook of one sheet, every cell a text."""
    import openpyxl
    from openpyxl.cell import WriteOnlyCell

    book = openpyxl.Workbook(write_only=True)
    book.properties.creator = ""
    page = book.create_sheet(re.sub(r"[\[\]:*?/\\]", " ", sheet)[:31] or "1")
    for row in rows:
        cells = []
        for text in row:
            cell = WriteOnlyCell(page, value=_escaped(_NOT_TEXT.sub("", text)))
            cell.data_type = "s"  # never a formula, whatever it begins with
            cells.append(cell)
        page.append(cells)
    packed = io.BytesIO()
    book.save(packed)
    return packed.getvalue()


def _plain(cell: str) -> str:
    text = _NOT_TEXT.sub("", cell).strip()
    if len(text) > LONGEST_CELL:
        raise TableUnreadable(_("A cell has more than 20,000 characters."))
    return text


def _safe(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) or _MARKED.match(cell) else cell


# --- CSV -------------------------------------------------------------------------------------------------------------


def _read_csv(body: bytes) -> Iterator[list[str]]:
    text = _decoded(body)
    if "\x00" in text:
        raise TableUnreadable(_("The file is no table."))
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            yield [cell[1:] if _MARKED.match(cell) else cell for cell in row]
    except csv.Error:
        raise TableUnreadable(_("The file is no table: a quotation mark is not closed.")) from None


def _decoded(body: bytes) -> str:
    """Spreadsheet programs on Chinese computers write CSV in GBK unless they are asked for UTF-8."""
    marks = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
    known = next((name for mark, name in marks.items() if body.startswith(mark)), "")
    for encoding in (known,) if known else ("utf-8", "gb18030"):
        try:
            return body.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise TableUnreadable(_("The characters of the file cannot be read."))


# --- XLSX ------------------------------------------------------------------------------------------------------------


def _read_xlsx(body: bytes, limit: Bounds, mark_formulas: bool) -> Iterator[list[str]]:
    try:
        small = _unpacked(body) <= limit.unpacked
        if small:
            yield from _first_sheet(body, limit, mark_formulas)
    except _UNREADABLE as error:
        logger.info("a workbook could not be read: %r", error)
        raise TableUnreadable(_("The file is no workbook that can be read.")) from None
    if not small:
        raise TableUnreadable(_("The file unpacks to too much."), _("Split it into several files."))


def _first_sheet(body: bytes, limit: Bounds, mark_formulas: bool) -> Iterator[list[str]]:
    """Give its rows, at most one more than may be."""
    import openpyxl

    # About styles and extensions that reading leaves out. For good: between two rows others run.
    warnings.filterwarnings("ignore", module="openpyxl")
    book = openpyxl.load_workbook(io.BytesIO(body), read_only=True, data_only=not mark_formulas, keep_links=False)
    page = book.worksheets[0]
    page.reset_dimensions()  # what a file says of its size need not be true
    for row in page.iter_rows(max_row=limit.rows + limit.blank + 1):
        yield [_cell(each, mark_formulas) for each in row]


def _cell(cell: Any, mark_formulas: bool) -> str:
    text = _text_of(cell.value)
    if mark_formulas and cell.data_type == "f":
        return f"{FORMULA}{text.removeprefix('=')}"
    return text


def _unpacked(body: bytes) -> int:
    """Give what an archive unpacks to by its own table, beyond which zipfile reads nothing."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        entries = archive.infolist()
    return sum(entry.file_size for entry in entries) if len(entries) <= _MOST_PARTS else _UNPACKED + 1


# What openpyxl lets through from zipfile, from its XML parser (defusedxml, which refuses entities) and from its own
# reading of what others wrote.
_UNREADABLE: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError),
    *(ParseError, SyntaxError, KeyError, IndexError, ValueError, TypeError, AttributeError),
)


def _text_of(value: object) -> str:
    """Give a cell as people would type it: numbers without exponent, days as 2025-06-01, times as 10:30."""
    if isinstance(value, str):
        return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value) if "_x" in value else value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}".removesuffix(".0")
    return str(value).removesuffix(" 00:00:00")


def _escaped(text: str) -> str:
    # An underscore that looks like an escape is escaped itself (ECMA-376, ST_Xstring).
    return _ESCAPED.sub(r"_x005F_x\1_", text).replace("\r", "_x000D_")
