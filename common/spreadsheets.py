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
from decimal import Decimal
from typing import Final
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
# What a spreadsheet program would take for a formula; a leading apostrophe makes it a text (OWASP: CSV injection).
_FORMULA: Final = re.compile(r"^[=+\-@\t\r]")
_MARKED: Final = re.compile(r"^'+[=+\-@\t\r]")
_ESCAPED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
# What neither XML nor the database carries.
_NOT_TEXT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class TableUnreadable(Invalid):
    """A file is no table that can be read."""

    code = "table_unreadable"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint or _("Save it as XLSX or CSV (UTF-8) and try again."), field="file")


def read_table(body: bytes) -> list[list[str]]:
    """Give the rows of the first sheet, each cell as text without blanks around it. Raises TableUnreadable.

    What the file is, its bytes say, not its name.
    """
    if not body:
        raise TableUnreadable(_("The file is empty."))
    if len(body) > LARGEST:
        raise TableUnreadable(_("The file is larger than 2 MB."), _("Split it into several files."))
    rows = _read_xlsx(body) if body.startswith(b"PK\x03\x04") else _read_csv(body)
    found: list[list[str]] = []
    for number, row in enumerate(rows, 1):
        if number > MOST_ROWS:
            raise TableUnreadable(_("The file has more than 20,000 rows."), _("Split it into several files."))
        if len(row) > MOST_COLUMNS:
            raise TableUnreadable(_("Row %(row)s has more than 200 columns.") % {"row": number})
        found.append([_plain(cell) for cell in row])
    while found and not any(found[-1]):
        found.pop()
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


def _read_xlsx(body: bytes) -> list[list[str]]:
    try:
        if _unpacked(body) <= _UNPACKED:
            return _first_sheet(body)
    except _UNREADABLE as error:
        logger.info("a workbook could not be read: %r", error)
        raise TableUnreadable(_("The file is no workbook that can be read.")) from None
    raise TableUnreadable(_("The file unpacks to too much."), _("Split it into several files."))


def _first_sheet(body: bytes) -> list[list[str]]:
    """Give its rows, at most one more than may be; what a formula last gave counts as its text."""
    import openpyxl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and extensions that reading leaves out
        book = openpyxl.load_workbook(io.BytesIO(body), read_only=True, data_only=True, keep_links=False)
        page = book.worksheets[0]
        page.reset_dimensions()  # what a file says of its size need not be true
        rows = page.iter_rows(max_row=MOST_ROWS + 1, values_only=True)
        return [[_text_of(value) for value in row] for row in rows]


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
