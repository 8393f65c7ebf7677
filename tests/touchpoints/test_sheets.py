"""Printed codes are read back by a reader of codes: whatever the sheet, each one carries its channel's address."""

from __future__ import annotations

import io
import zipfile
from xml.etree import ElementTree as ET

import pypdfium2
import pytest
import zxingcpp
from PIL import Image, ImageDraw

from touchpoints.sheets import archive, pdf, png, svg
from touchpoints.signs import LAYOUTS, Sign, file_name

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def sign(number, **more):
    fields = {"title": f"上海静安店 · 试衣间 {number}", "line": "扫码领 8 折券", "mark": f"t{number:010d}"}
    return Sign(f"http://weixin.qq.com/q/02{number:04d}aBcDeFgHiJkLmNoP", **(fields | more))


def pages(document, dpi=200):
    return [page.render(scale=dpi / 72).to_pil().convert("L") for page in pypdfium2.PdfDocument(document)]


def read(picture):
    """What the codes say; each stands upright (a reader of ours would forgive a mirrored one)."""
    found = zxingcpp.read_barcodes(picture)
    for code in found:
        corners = code.position
        assert corners.top_left.x < corners.top_right.x
        assert corners.top_left.y < corners.bottom_left.y
    return sorted(code.text for code in found)


def texts(document):
    return "".join(page.get_textpage().get_text_bounded() for page in pypdfium2.PdfDocument(document))


@pytest.mark.parametrize("key", sorted(LAYOUTS))
def test_every_code_of_a_sheet_decodes_to_its_own_address(key):
    layout = LAYOUTS[key]
    signs = [sign(number) for number in range(layout.per_page + 1)]
    document = pdf(signs, layout, title="码图")
    found = [read(page) for page in pages(document, dpi=300 if layout.code < 50 else 200)]

    assert [len(each) for each in found] == [layout.per_page, 1]
    assert sorted(text for each in found for text in each) == sorted(each.url for each in signs)


def test_captions_stand_on_the_sheet_in_chinese():
    said = texts(pdf([sign(7)], LAYOUTS["six"], title="码图"))

    for words in ("上海静安店", "试衣间 7", "扫码领 8 折券", "t0000000007"):
        assert words in said


def test_long_and_odd_captions_stay_inside_their_box():
    title = "非常长的渠道名称" * 8 + "🎉\u2028"
    document = pdf([sign(1, title=title), sign(2)], LAYOUTS["twelve"], title="码图")
    page = pages(document)[0]
    width = page.width

    assert read(page) == sorted([sign(1).url, sign(2).url])
    column = page.crop((width - 100, 0, width, page.height // 4))  # the third column is empty
    assert column.getextrema() == (255, 255)
    assert "…" in texts(document)


def test_png_and_svg_decode_too():
    one = sign(3)
    tree = ET.fromstring(svg(one))
    name = "{http://www.w3.org/2000/svg}"
    side, unit = int(tree.get("width")), 10
    picture = Image.new("L", (side, side), 255)
    draw = ImageDraw.Draw(picture)
    for run in tree.find(f"{name}path").get("d").split("z")[:-1]:
        start, rest = run[1:].split("h", 1)
        x, y = map(int, start.split())
        draw.rectangle((x, y, x + int(rest.split("v")[0]) - 1, y + unit - 1), fill=0)

    assert read(picture) == [one.url]
    assert read(Image.open(io.BytesIO(png(one)))) == [one.url]
    assert [each.text for each in tree.iter(f"{name}text")] == [one.title, one.line, one.mark]


def test_code_survives_a_scratch():
    picture = Image.open(io.BytesIO(png(sign(4)))).convert("L")
    middle = picture.width // 2
    ImageDraw.Draw(picture).rectangle((middle - 90, middle - 90, middle + 90, middle + 90), fill=255)

    assert read(picture) == [sign(4).url]


def test_svg_cannot_be_broken_by_a_name():
    hostile = sign(5, title='</text><script>alert("x")</script>\x00&', line="", mark="")
    tree = ET.fromstring(svg(hostile))

    assert [each.tag.rpartition("}")[2] for each in tree.iter()] == ["svg", "rect", "path", "g", "text"]


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_archive_has_one_picture_a_sign_under_a_safe_name(kind):
    signs = [sign(1), sign(2, title="../../etc/passwd"), sign(3, title="同名"), sign(4, title="同名")]
    names = zipfile.ZipFile(io.BytesIO(archive(signs, kind))).namelist()

    assert len(set(names)) == 4
    assert all("/" not in name and ".." not in name and name.endswith(f".{kind}") for name in names)


def test_name_of_nothing_is_still_a_name():
    assert file_name("///") == "code"
