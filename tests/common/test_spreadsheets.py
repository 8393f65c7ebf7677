"""Tables as people's programs write them: what is read, what is refused, and that nothing becomes a formula."""

import io
import warnings
import zipfile

import pytest

from common.spreadsheets import MOST_ROWS, TableUnreadable, iter_table, read_table, write_csv, write_xlsx

ROWS = [["名称", "关键词"], ["打烊", "几点关门\n几点下班"], ["公式", "=1+1"], ["撇号", "'=1"], ["", "只有第二格"]]


@pytest.mark.parametrize("write", [write_csv, lambda rows: write_xlsx(rows, sheet="规则")])
def test_what_is_written_is_read_back(write):
    assert read_table(write(ROWS)) == [["名称", "关键词"], *ROWS[1:]]


def test_no_cell_of_a_csv_is_a_formula():
    for sign in "=+-@":
        assert f"'{sign}x".encode() in write_csv([[f"{sign}x"]])
    assert b"'" not in write_csv([["1-2", "a=b"]])


def test_every_cell_of_a_workbook_is_a_text():
    with zipfile.ZipFile(io.BytesIO(write_xlsx([["=1+1", "a&<b>", "_x000D_", "\x01坏"]], sheet="a/b"))) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
        assert 'sheet name="a b"' in archive.read("xl/workbook.xml").decode()
    assert "<f>" not in sheet
    assert sheet.count('t="inlineStr"') == 4
    assert read_table(write_xlsx([["_x000D_", "a&<b>", "\x01坏"]], sheet="1")) == [["_x000D_", "a&<b>", "坏"]]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("名称,词\n甲,乙\n".encode("gb18030"), [["名称", "词"], ["甲", "乙"]]),
        ("名称;词\n甲;乙\n".encode(), [["名称", "词"], ["甲", "乙"]]),
        ("名称\t词\r\n甲\t乙\r\n".encode("utf-16"), [["名称", "词"], ["甲", "乙"]]),
        (b'\xef\xbb\xbf"a ","b\nc"\n\n', [["a", "b\nc"]]),
    ],
)
def test_csv_comes_as_spreadsheets_write_it(body, found):
    assert read_table(body) == found


def sheet_of(rows):
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>'


def workbook(**parts):
    """A workbook as other programs write it: shared texts, numbers, a formula with its value, a gap, two sheets."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    types = "http://schemas.openxmlformats.org/package/2006/content-types"
    links = "http://schemas.openxmlformats.org/package/2006/relationships"
    sheet = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{types}"><Default Extension="rels" ContentType="x/rels"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{sheet}.sheet.main+xml"/>'
        f'<Override PartName="/xl/sharedStrings.xml" ContentType="{sheet}.sharedStrings+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{sheet}.styles+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{links}"><Relationship Id="r0" Type="{office}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{main}"><fonts><font/></fonts><fills><fill><patternFill/></fill></fills><borders><border/></borders>'
        '<cellStyleXfs><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs><cellXfs>'
        + "".join(f'<xf numFmtId="{form}" fontId="0" fillId="0" borderId="0"/>' for form in (0, 14, 20, 22))
        + "</cellXfs></styleSheet>",
        "xl/workbook.xml": f'<x:workbook xmlns:x="{main}" xmlns:q="{office}"><x:sheets><x:sheet name="b" sheetId="2" q:id="r2"/>'
        f'<x:sheet name="a" sheetId="1" q:id="r1"/></x:sheets></x:workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{links}">'
        f'<Relationship Id="r1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="r2" Type="{office}/worksheet" Target="/xl/worksheets/other.xml"/>'
        f'<Relationship Id="r3" Type="{office}/styles" Target="styles.xml"/></Relationships>',
        "xl/sharedStrings.xml": f'<sst xmlns="{main}"><si><t>名</t><rPh sb="0" eb="1"><t>ming</t></rPh></si>'
        "<si><r><t>富</t></r><r><t>文本</t></r></si></sst>",
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData/></worksheet>',
        "xl/worksheets/other.xml": f'<worksheet xmlns="{main}"><sheetData><row r="1"><c r="A1" t="s"><v>0</v></c>'
        '<c r="C1" t="s"><v>1</v></c></row><row r="3"><c r="A3"><v>0.4375</v></c>'
        '<c r="B3" t="str"><f>A1&amp;"x"</f><v>名x</v></c><c r="C3" t="b"><v>1</v></c></row></sheetData></worksheet>',
    } | parts
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            if text is not None:
                archive.writestr(path, text)
    return packed.getvalue()


def test_numbers_days_and_times_come_as_people_type_them():
    cells = "".join(
        f'<c r="{"ABCDEFG"[place]}1" s="{style}"><v>{value}</v></c>'
        for place, (style, value) in enumerate(
            [(0, "1.38E10"), (0, "13800138000"), (0, "0.1"), (1, "45809"), (2, "0.4375"), (3, "45809.5"), (0, "1E-7")]
        )
    )

    found = read_table(workbook(**{"xl/worksheets/other.xml": sheet_of(f'<row r="1">{cells}</row>')}))

    assert found == [
        ["13800000000", "13800138000", "0.1", "2025-06-01", "10:30:00", "2025-06-01 12:00:00", "0.0000001"]
    ]


def test_the_first_sheet_of_another_programs_workbook_is_read():
    assert read_table(workbook()) == [["名", "", "富文本"], [], ["0.4375", "名x", "1"]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"PK\x03\x04 no archive",
        b"x" * 2_000_001,
        b'"open',
        b"a\x00b",
        b"\xff\xff\xff\xfe",
        workbook(**{"xl/worksheets/other.xml": sheet_of('<row r="1"><c r="A1">').partition("<c")[0]}),
        workbook(**{"xl/workbook.xml": None}),
        workbook(**{"xl/sharedStrings.xml": '<!DOCTYPE a [<!ENTITY b "c">]><sst><si><t>&b;</t></si></sst>'}),
        workbook(**{"xl/worksheets/other.xml": sheet_of('<row r="9999999"><c><v>1</v></c></row>')}),
        workbook(**{"xl/worksheets/other.xml": sheet_of('<row><c r="ZZZ1"><v>1</v></c></row>')}),
        workbook(**{"xl/worksheets/other.xml": sheet_of('<row><c t="s"><v>x</v></c></row>')}),
        workbook(bomb="0" * 41_000_000),
        write_csv([["长" * 20_001]]),
        write_csv([["a"] * 201]),
        write_csv([["a"]] * (MOST_ROWS + 1)),
    ],
    ids=lambda body: f"{len(body)} {body[:4]!r}",
)
def test_what_is_no_table_is_refused_with_a_reason(body):
    with pytest.raises(TableUnreadable) as refused:
        read_table(body)
    assert refused.value.message
    assert refused.value.hint


def test_a_workbook_read_half_silences_nobody():
    """Rows are handed out one by one, and others run in between."""
    half = iter_table(workbook())
    next(half)

    with pytest.raises(UserWarning, match="of another"):
        warnings.warn("of another", stacklevel=1)
