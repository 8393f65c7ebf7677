"""Tables of people: CSV and XLSX become rows of text and back. Nothing in a cell is ever a formula."""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final
from xml.parsers import expat
from xml.sax.saxutils import escape

from django.utils.translation import gettext as _

from common.errors import Invalid

if TYPE_CHECKING:
    from xml.parsers.expat import XMLParserType

LARGEST: Final = 2_000_000
MOST_ROWS: Final = 20_000
MOST_COLUMNS: Final = 200
LONGEST_CELL: Final = 20_000
_UNPACKED: Final = 40_000_000
_MOST_PARTS: Final = 500
# What a spreadsheet program would take for a formula; a leading apostrophe makes it a text (OWASP: CSV injection).
_FORMULA: Final = re.compile(r"^[=+\-@\t\r]")
_MARKED: Final = re.compile(r"^'+[=+\-@\t\r]")
_CELL: Final = re.compile(r"([A-Z]{1,3})[0-9]{1,7}")
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

    What the file is, its bytes say, not its name. Dates and times of a spreadsheet come as the number it keeps.
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
    lines = "".join(
        f'<row r="{number}">{"".join(_cell(number, place, cell) for place, cell in enumerate(row) if cell)}</row>'
        for number, row in enumerate(rows, 1)
    )
    name = escape(re.sub(r"[\[\]:*?/\\]", " ", sheet)[:31] or "1", {'"': "&quot;"})
    parts = {
        "[Content_Types].xml": _CONTENT_TYPES,
        "_rels/.rels": _RELATIONS.format(id="rId1", kind="officeDocument", target="xl/workbook.xml"),
        "xl/_rels/workbook.xml.rels": _RELATIONS.format(id="rId1", kind="worksheet", target="worksheets/sheet1.xml"),
        "xl/workbook.xml": _WORKBOOK.format(name=name),
        "xl/worksheets/sheet1.xml": _SHEET.format(lines=lines),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in parts.items():
            # A fixed moment: the same rows give the same bytes.
            archive.writestr(zipfile.ZipInfo(path, (2025, 1, 1, 0, 0, 0)), f"{_HEAD}{text}", zipfile.ZIP_DEFLATED)
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
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_PARTS or sum(entry.file_size for entry in entries) > _UNPACKED:
                raise TableUnreadable(_("The file unpacks to too much."), _("Split it into several files."))
            names = {entry.filename for entry in entries}
            shared = _Strings.read(_part(archive, "xl/sharedStrings.xml")) if "xl/sharedStrings.xml" in names else []
            return _Sheet.read(_part(archive, _first_sheet(archive, names)), shared)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, TableUnreadable):
            raise
        raise TableUnreadable(_("The file is no workbook that can be read.")) from None
    except expat.ExpatError:
        raise TableUnreadable(_("The file is no workbook that can be read.")) from None


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    """Give a part, never more of it than the archive's own table has promised."""
    with archive.open(name) as file:
        body = file.read(_UNPACKED + 1)
    if len(body) > _UNPACKED:
        raise TableUnreadable(_("The file unpacks to too much."), _("Split it into several files."))
    return body


def _first_sheet(archive: zipfile.ZipFile, names: set[str]) -> str:
    """Find the sheet that stands first, by the workbook's own order."""
    order = _Attributes.read(_part(archive, "xl/workbook.xml"), "sheet")
    targets = {
        row.get("Id", ""): row.get("Target", "")
        for row in _Attributes.read(_part(archive, "xl/_rels/workbook.xml.rels"), "Relationship")
    }
    wanted = next((value for row in order for key, value in row.items() if key.endswith(":id")), "")
    target = targets.get(wanted, "worksheets/sheet1.xml")
    path = target.removeprefix("/") if target.startswith("/") else f"xl/{target}"
    if path not in names:
        raise TableUnreadable(_("The file has no sheet."))
    return path


class _Reading:
    """One pass over a part. A document type is refused: entities come with one."""

    def __init__(self) -> None:
        self.parser: XMLParserType = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._started
        self.parser.EndElementHandler = self._ended
        self.parser.CharacterDataHandler = self.said

    def _refuse(self, *_arguments: object) -> None:
        raise TableUnreadable(_("The file is no workbook that can be read."))

    def _started(self, name: str, attributes: dict[str, str]) -> None:
        self.started(name.rpartition(":")[2], attributes)

    def _ended(self, name: str) -> None:
        self.ended(name.rpartition(":")[2])

    def started(self, name: str, attributes: dict[str, str]) -> None:
        """Look at the beginning of an element."""

    def ended(self, name: str) -> None:
        """Look at the end of an element."""

    def said(self, text: str) -> None:
        """Look at characters."""


class _Attributes(_Reading):
    def __init__(self, wanted: str) -> None:
        super().__init__()
        self.wanted = wanted
        self.found: list[dict[str, str]] = []

    @classmethod
    def read(cls, body: bytes, wanted: str) -> list[dict[str, str]]:
        """Give the attributes of every such element."""
        reading = cls(wanted)
        reading.parser.Parse(body, True)
        return reading.found

    def started(self, name: str, attributes: dict[str, str]) -> None:
        if name == self.wanted:
            self.found.append(attributes)


class _Strings(_Reading):
    """The texts that cells refer to by number; pronunciations (`rPh`) are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = ""
        self._skips = 0
        self._parts: list[str] = []

    @classmethod
    def read(cls, body: bytes) -> list[str]:
        reading = cls()
        reading.parser.Parse(body, True)
        return reading.found

    def started(self, name: str, attributes: dict[str, str]) -> None:
        if name == "si":
            self._parts = []
        elif name == "rPh":
            self._skips += 1
        self._inside = name

    def ended(self, name: str) -> None:
        if name == "si":
            self.found.append(_unescaped("".join(self._parts)))
        elif name == "rPh":
            self._skips -= 1
        self._inside = ""

    def said(self, text: str) -> None:
        if self._inside == "t" and not self._skips:
            self._parts.append(text)


class _Sheet(_Reading):
    """The cells of a sheet; what a formula last gave counts as its text."""

    def __init__(self, shared: list[str]) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._shared = shared
        self._row: list[str] = []
        self._place = 0
        self._kind = ""
        self._inside = ""
        self._parts: list[str] = []

    @classmethod
    def read(cls, body: bytes, shared: list[str]) -> list[list[str]]:
        reading = cls(shared)
        reading.parser.Parse(body, True)
        return reading.rows

    def started(self, name: str, attributes: dict[str, str]) -> None:
        if name == "row":
            self._begin_row(attributes.get("r", ""))
        elif name == "c":
            known = _CELL.fullmatch(attributes.get("r", ""))
            self._place = _column(known[1]) if known else len(self._row)
            self._kind, self._parts = attributes.get("t", ""), []
        self._inside = name

    def _begin_row(self, number: str) -> None:
        row = int(number) if number.isascii() and number.isdigit() and len(number) < 8 else len(self.rows) + 1
        if row > MOST_ROWS:
            raise TableUnreadable(_("The file has more than 20,000 rows."), _("Split it into several files."))
        while len(self.rows) < row - 1:
            self.rows.append([])
        self._row = []

    def ended(self, name: str) -> None:
        if name == "c":
            if self._place >= MOST_COLUMNS:
                raise TableUnreadable(_("Row %(row)s has more than 200 columns.") % {"row": len(self.rows) + 1})
            self._row += [""] * (self._place + 1 - len(self._row))
            self._row[self._place] = self._value("".join(self._parts))
        elif name == "row":
            self.rows.append(self._row)
        self._inside = ""

    def _value(self, text: str) -> str:
        if self._kind == "s":
            number = int(text or 0)
            return self._shared[number] if 0 <= number < len(self._shared) else ""
        return _unescaped(text) if self._kind == "inlineStr" else text

    def said(self, text: str) -> None:
        if self._inside in {"v", "t"}:
            self._parts.append(text)


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _letters(place: int) -> str:
    text, number = "", place + 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(65 + rest) + text
    return text


def _cell(row: int, place: int, text: str) -> str:
    # An underscore that looks like an escape is escaped itself (ECMA-376, ST_Xstring).
    said = escape(_NOT_TEXT.sub("", _ESCAPED.sub(r"_x005F_x\1_", text))).replace("\r", "_x000D_")
    return f'<c r="{_letters(place)}{row}" t="inlineStr"><is><t xml:space="preserve">{said}</t></is></c>'


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_OFFICE: Final = "http://schemas.openxmlformats.org"
_MAIN: Final = f"{_OFFICE}/spreadsheetml/2006/main"
_CONTENT_TYPES: Final = (
    f'<Types xmlns="{_OFFICE}/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Override PartName="/xl/workbook.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    '<Override PartName="/xl/worksheets/sheet1.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>'
)
_RELATIONS: Final = (
    f'<Relationships xmlns="{_OFFICE}/package/2006/relationships"><Relationship Id="{{id}}" '
    f'Type="{_OFFICE}/officeDocument/2006/relationships/{{kind}}" Target="{{target}}"/></Relationships>'
)
_WORKBOOK: Final = (
    f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}/officeDocument/2006/relationships"><sheets>'
    '<sheet name="{name}" sheetId="1" r:id="rId1"/></sheets></workbook>'
)
_SHEET: Final = f'<worksheet xmlns="{_MAIN}"><sheetData>{{lines}}</sheetData></worksheet>'
