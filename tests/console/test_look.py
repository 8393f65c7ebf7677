"""Templates use only classes that a stylesheet defines; formats follow docs and stay exact."""

import gzip
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy

from console import formats

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("console", "admin", "registration", "unfold")


def own_classes():
    found = set()
    for folder in FOLDERS:
        for page in (ROOT / "templates" / folder).rglob("*.html"):
            found |= set(
                re.findall(
                    r"(?<![\w-])zy-[a-z0-9-]*[a-z0-9]",
                    re.sub(r'(id|for|data-\w+|hx-target|aria-\w+)="[^"]*"', "", page.read_text()),
                )
            )
    return found


def test_every_class_of_our_templates_is_defined():
    styles = (ROOT / "static/console/console.css").read_text()
    defined = set(re.findall(r"\.(zy-[a-z0-9-]+)", styles))
    ids = {
        "zy-key",
        "zy-callback",
        "zy-menu-form",
        "zy-search-results",
        "zy-chart-home",
        "zy-revoke",
        "zy-off",
        "zy-path",
    }
    assert own_classes() - defined - ids == set()


def test_no_text_is_smaller_than_twelve_pixels_or_upper_case():
    styles = (ROOT / "static/console/console.css").read_text()
    assert min(int(size) for size in re.findall(r"font-size: (\d+)px", styles)) >= 12
    assert "uppercase;" not in styles
    assert "italic" not in styles


def test_own_weight_keeps_its_budget():
    def weight(pattern):
        return sum(len(gzip.compress(path.read_bytes())) for path in (ROOT / "static/console").glob(pattern))

    assert weight("*.css") <= 12_000
    assert weight("*.js") <= 25_000


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "--"),
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "1.0万"),
        (12_480, "1.2万"),
        (12_500, "1.3万"),
        (123_456_789, "1.23亿"),
    ],
)
def test_figures_are_short_in_chinese(value, shown):
    with translation.override("zh-hans"):
        assert formats.wan(value) == shown


def test_figures_are_full_in_english():
    with translation.override("en"):
        assert formats.wan(12_480) == "12,480"


def test_almost_a_hundred_million_does_not_read_ten_thousand_wan():
    with translation.override("zh-hans"):
        assert formats.wan(99_999_999) == "1.00亿"


def test_money_comes_from_fen():
    assert [formats.fen(value) for value in (123_450, -1_200, 5, None)] == ["¥1,234.50", "-¥12.00", "¥0.05", "--"]


def test_rates_have_one_decimal_and_say_when_there_is_little():
    shown = [formats.rate(value) for value in (0.987, 0.0004, 0, 0.0005, None)]
    assert shown == ["98.7%", "<0.1%", "0.0%", "0.1%", "--"]
    assert formats.share(3, 0) is None


def test_moments_are_told_in_the_zone_of_the_page(monkeypatch):
    now = datetime(2025, 6, 1, 0, 30, tzinfo=UTC)
    monkeypatch.setattr("common.clock.timestamp", now.timestamp)
    with timezone.override("Asia/Shanghai"), translation.override("zh-hans"):
        assert formats.local_time(datetime(2025, 6, 1, 0, 0, tzinfo=UTC)) == "06-01 08:00"
        assert formats.local_time(datetime(2024, 12, 31, 16, 0, tzinfo=UTC)) == "01-01 00:00"
        assert formats.local_time(datetime(2024, 12, 31, 15, 59, tzinfo=UTC)) == "2024-12-31 23:59"
        assert formats.ago(datetime(2025, 6, 1, 0, 29, 30, tzinfo=UTC)) == "刚刚"
        assert formats.ago(datetime(2025, 6, 1, 0, 27, tzinfo=UTC)) == "3 分钟前"
        assert formats.ago(datetime(2025, 5, 31, 22, 30, tzinfo=UTC)) == "2 小时前"
        assert formats.ago(datetime(2025, 5, 30, 0, 0, tzinfo=UTC)) == "05-30 08:00"


def test_personal_data_is_masked():
    assert formats.mask("13812346721") == "138****6721"
    assert formats.mask("张三丰") == "张**"
    assert formats.tail("oABCDEF123456") == "…123456"


def test_numbered_headings_are_in_the_language_of_the_reader():
    heading = formats.numbered(gettext_lazy("Step %(number)s"), 2)
    for language, shown in (("zh-hans", "第 2 步"), ("en", "Step 2")):
        with translation.override(language):
            assert str(heading) == shown
