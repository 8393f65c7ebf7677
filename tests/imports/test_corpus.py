"""Tables as they come: every cell that cannot be taken is named with its reason, and nothing is guessed."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zipfile
from datetime import date, datetime

import pytest
from django.utils import translation

from accounts.tenancy import brand_scope
from common.clock import now
from common.spreadsheets import TableUnreadable
from imports import services, values
from imports.columns import MEMBER_COLUMNS, ORDER_COLUMNS, doubles, guess
from imports.errors import ColumnsInvalid, FileRefused
from members.models import Member
from tests.factories import make_guide, make_store
from tests.imports.conftest import csv_of, ran, uploaded, verdicts, xlsx_of

READ = {
    ("phone", "13800001234"): "+8613800001234",
    ("phone", "１３８ 0000-1234"): "+8613800001234",
    ("phone", "13800001234.0"): "+8613800001234",
    ("phone", "+852 5123 4567"): "+85251234567",
    ("phone", "138****1234"): "138****1234",
    ("birthday", "1990-08-17"): 817,
    ("birthday", "1990/8/17"): 817,
    ("birthday", "1990年8月17日"): 817,
    ("birthday", "19900817"): 817,
    ("birthday", "33102"): 817,
    ("birthday", "02-29"): 229,
    ("birthday", "1990-08-17 00:00:00"): 817,
    ("gender", "Female"): "F",
    ("gender", "男"): "M",
    ("gender", "其他"): "X",
    ("gender", "未知"): None,
    ("tags", "老客；高活,老客"): ["老客", "高活"],
    ("points", "1,200"): 1200,
    ("points", "300.0"): 300,
    ("amount", "199.9"): 19990,
    ("amount", "¥1,299.00"): 129900,
    ("amount", "0.30000000000000004"): 30,
    ("at", "2025/6/1 13:45"): "2025-06-01T13:45:00",
    ("at", "45809.5"): "2025-06-01T12:00:00",
    ("items", "LY-1=199.90；LY-2"): [["LY-1", 19990], ["LY-2", 0]],
    ("items", "LY-1【衬衫】=199.90；LY-2【 外套 】；LY-3(L)=1"): [
        ["LY-1", 19990, "衬衫"],
        ["LY-2", 0, "外套"],
        ["LY-3(L)", 100],
    ],
    ("card", "4820175936.0"): "4820175936",
}
REFUSED = {
    ("phone", "1.38E+10"): "scientific",
    ("phone", "12345"): "phone_invalid",
    ("birthday", "1990-02-30"): "day_missing",
    ("birthday", "02-30"): "day_missing",
    ("birthday", "03/04/1990"): "day_ambiguous",
    ("birthday", "2999-01-01"): "day_invalid",
    ("birthday", "2150-01-01"): "day_future",
    ("gender", "x"): "gender_unknown",
    ("points", "-5"): "points_invalid",
    ("points", "1.5"): "points_invalid",
    ("points", "99999999999"): "points_invalid",
    ("amount", "-1"): "amount_not_positive",
    ("amount", "0"): "amount_not_positive",
    ("amount", "1.005"): "amount_parts",
    ("amount", "1e3"): "scientific",
    ("amount", "十元"): "amount_invalid",
    ("at", "昨天"): "day_invalid",
    ("at", "2025-06-01 25:00"): "day_invalid",
    ("items", "A=x"): "items_invalid",
    ("items", "A【】=1"): "items_invalid",
    ("card", "卡一"): "code_invalid",
    ("name", "陈\u202e子"): "characters",
    ("name", "长" * 61): "too_long",
    ("phone", "#N/A"): "cell_error",
    ("phone", "\uf8ff=A1"): "formula",
}
KNOWN = {column.key: column.read for column in (*MEMBER_COLUMNS, *ORDER_COLUMNS)}


@pytest.mark.parametrize(("field", "text"), READ)
def test_cells_are_read_as_they_are_meant(field, text):
    assert values.read(text, KNOWN[field]) == READ[field, text]


@pytest.mark.parametrize(("field", "text"), REFUSED)
def test_cells_that_cannot_be_read_say_why(field, text):
    with pytest.raises(values.Unreadable) as refused:
        values.read(text, KNOWN[field])
    assert refused.value.code == REFUSED[field, text]


def test_titles_are_known_by_many_names_and_doubles_are_seen():
    assert guess(["手机号码", "Date of Birth", "金额(元)", "导购 工号*", "我的列"], MEMBER_COLUMNS) == [
        "phone",
        "birthday",
        "",
        "staff_no",
        "",
    ]
    assert guess(["实付金额（元）"], ORDER_COLUMNS) == ["amount"]
    assert doubles(["phone", "", "phone"]) == {"phone": [1, 3]}
    titles = [title for column in MEMBER_COLUMNS for title in column.titles[:2]]
    assert "" not in guess(titles, MEMBER_COLUMNS)  # what the templates say


def bomb(size, says):
    """A workbook whose sheet unpacks to some `size` bytes of nothing, and says of itself that it is `says`."""
    packed = io.BytesIO(xlsx_of(["手机"], ["13800001234"]))
    sheet = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    sheet += b" " * size + b"</sheetData></worksheet>"
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # the sheet is there twice; the later one counts
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
    return packed.getvalue().replace(struct.pack("<I", len(sheet)), struct.pack("<I", says))


@pytest.mark.django_db
@pytest.mark.parametrize(("says", "why"), [(700_000_000, "unpacks to too much"), (400, "no workbook")])
def test_a_workbook_that_unpacks_to_too_much_is_refused_in_little_memory(in_brand, says, why):
    body = bomb(24_000_000, says)
    assert len(body) < 200_000
    tracemalloc.start()
    with translation.override("en"), pytest.raises(TableUnreadable) as refused:
        services.take_file(name="x.xlsx", body=body, kind="members", at=now())
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert why in refused.value.message
    assert peak < 20_000_000


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", TableUnreadable),
        (b"\r\n\r\n", FileRefused),
        (b"PK\x03\x04 no workbook", TableUnreadable),
        ("手机,".encode() + b'"never closed\n1,2', TableUnreadable),
        (b"\xff\xfe\x00", TableUnreadable),
        ((",".join(["手机"] * 1_000_000)).encode(), TableUnreadable),
        ((",".join(["手机"] * 100)).encode(), FileRefused),
    ],
)
def test_files_that_are_no_tables_are_refused(in_brand, body, error):
    with pytest.raises(error) as refused:
        services.take_file(name="x", body=body, kind="members", at=now())
    assert refused.value.hint


@pytest.mark.django_db
def test_columns_that_say_the_same_or_nobody_are_refused_before_anything_is_read(in_brand):
    for titles, said in ((("手机", "电话"), "手机"), (("姓名", "城市"), "手机")):
        job = services.take_file(name="x", body=csv_of(titles, ("1", "2")), kind="members", at=now())
        with pytest.raises(ColumnsInvalid) as refused, translation.override("zh-hans"):
            services.begin_dry_run(job_id=job.pk, columns=job.columns, options={}, at=now())
        assert said[:1] in refused.value.message


@pytest.mark.django_db
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_encodings_of_spreadsheet_programs_are_recognised(brand, encoding):
    job = ran(brand, uploaded(brand, csv_of(("手机", "姓名"), ("13800001234", "陈子涵"), encoding=encoding)))
    assert job.became == {"NEW": 1}
    with brand_scope(brand.pk):
        assert Member.objects.get().name == "陈子涵"


@pytest.mark.django_db
def test_workbooks_with_numbers_days_formulas_and_merged_cells(brand):
    with brand_scope(brand.pk):
        make_guide(make_store(), "LY0007")
    body = xlsx_of(
        ["会员资料", None, None, None],
        ["手机", "姓名", "生日", "工号"],
        [13800001234, "陈子涵", date(1990, 8, 17), "LY0007"],
        [13800001235.0, "吴晓明", datetime(1985, 2, 28), None],  # noqa: DTZ001 - workbooks know no zones
        ["=A3", "公式", None, None],
        [None, "刘洋", None, None],
        [13800001236, "无导购", None, "LY9999"],
        [13800001234, "又是", None, None],
        merge="A6:A7",
    )
    job = uploaded(brand, body)
    assert verdicts(brand, job) == {
        3: ("NEW", []),
        4: ("NEW", []),
        5: ("ERROR", [("phone", "formula")]),
        6: ("ERROR", [("phone", "nobody")]),
        7: ("ERROR", [("phone", "nobody"), ("staff_no", "guide_unknown")]),
        8: ("ERROR", [("phone", "twice")]),
    }
    assert job.notes == [{"code": "merged", "about": "A6:A7"}]
    with brand_scope(brand.pk):
        from imports.selectors import findings

        found = findings(job)
        assert [(each.row, each.what) for each in found][:1] == [(5, "\uf8ff=A3")]
    assert ran(brand, job).became == {"NEW": 2}
    with brand_scope(brand.pk):
        assert sorted(Member.objects.values_list("birth_mmdd", flat=True)) == [228, 817]


@pytest.mark.django_db
def test_macros_and_links_of_a_workbook_are_not_even_looked_at(brand):
    """IM09: values only, whatever else the archive holds and whatever the file is called."""
    packed = io.BytesIO(xlsx_of(["手机", "姓名"], ["13800001234", "陈子涵"]))
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"\xd0\xcf\x11\xe0 Sub AutoOpen()")
        archive.writestr(
            "xl/externalLinks/externalLink1.xml", b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>"
        )
        archive.writestr("xl/pivotCache/pivotCacheDefinition1.xml", b"<broken")
        archive.writestr("xl/comments1.xml", b"<comments>&undeclared;</comments>")
        archive.writestr("../../../outside.xml", b"x")
    job = ran(brand, uploaded(brand, packed.getvalue()))
    assert job.became == {"NEW": 1}
    with brand_scope(brand.pk):
        assert Member.objects.get().name == "陈子涵"
