"""Columns for a brand's own profile fields: read by their type, sealed where they must be, ranked, and taken back."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from accounts.tenancy import brand_scope
from common.clock import now
from imports import services
from imports.models import ImportRow
from imports.selectors import every_finding, findings
from members import services as member_services
from members.models import Member, ProfileField, ProfileValue
from members.selectors import profile_of
from members.services.profile import shown_value
from tests.factories import make_account, make_follower
from tests.imports.conftest import csv_of, ran, undone, uploaded, verdicts, xlsx_of

pytestmark = pytest.mark.django_db
KEPT = {
    "skin": ("肤质", "CHOICE", {"choices": ["干性", "混合（偏油）"], "sources": ["member", "import", "api"]}),
    "shoe": ("鞋码", "NUMBER", {"sources": ["import"]}),
    "since": ("首购日", "DATE", {"sources": ["import"]}),
    "vip": ("是否股东", "YES_NO", {"sources": ["import"]}),
    "hobby": ("爱好", "TEXT", {"sources": ["import"], "sensitivity": "MASKED"}),
    "illness": ("病史", "TEXT", {"sources": ["member", "import"], "sensitivity": "SEALED"}),
}
TITLES = ("手机号", "肤质", "鞋码", "首购日", "是否股东", "爱好", "病史")


@pytest.fixture
def fields(brand):
    with brand_scope(brand.pk):
        return {
            key: member_services.save_profile_field(
                field=ProfileField(key=key, label=label, kind=kind, **more), at=now()
            )
            for key, (label, kind, more) in KEPT.items()
        }


def known(number="13800000001"):
    member = make_follower(make_account()).member
    return member_services.bind_phone(member=member, number=number, source="test", at=now())


def counting(member):
    rows = ProfileValue.objects.filter(member=member, counts=True).exclude(key__in=["name", "city"])
    return {row.key: (shown_value(row), row.source) for row in rows}


def test_every_type_is_read_as_it_is_meant_and_what_is_not_for_all_is_sealed(brand, fields):
    body = xlsx_of(
        TITLES,
        ["13800000001", "混合(偏油)", 38.0, date(2024, 2, 29), True, "钓鱼", "花生"],
        ["13800000002", "干性", "1,038", 45351, "否", None, None],
    )
    job = uploaded(brand, body)
    assert job.columns == ["phone", *(f"field:{key}" for key in KEPT)]
    assert job.found == {"NEW": 2}
    assert ran(brand, job).became == {"NEW": 2}
    with brand_scope(brand.pk):
        first, second = Member.objects.order_by("phone_tail")
        assert counting(first) == {
            "skin": ("混合（偏油）", "import"),
            "shoe": ("38", "import"),
            "since": ("2024-02-29", "import"),
            "vip": ("yes", "import"),
            "hobby": ("钓鱼", "import"),
            "illness": ("花生", "import"),
        }
        assert counting(second)["since"] == ("2024-02-29", "import")
        assert counting(second)["shoe"] == ("1038", "import")
        hidden = ProfileValue.objects.filter(member=first, key__in=["hobby", "illness"])
        assert set(hidden.values_list("text", flat=True)) == {""}
    assert uploaded(brand, body).found == {"UNCHANGED": 2}
    assert undone(brand, job).became["UNDONE"] == 2
    with brand_scope(brand.pk):
        assert ProfileValue.objects.count() == 0


def test_cells_that_do_not_fit_say_why_and_sensitive_ones_are_not_repeated(brand, fields):
    rows = [
        ("13800000001", "油性", "", "", "", "", ""),
        ("13800000002", "", "38.5", "", "", "", ""),
        ("13800000003", "", "1.5E+3", "", "", "", ""),
        ("13800000004", "", "", "03/04/2024", "", "", ""),
        ("13800000005", "", "", "", "也许", "", ""),
        ("13800000006", "", "", "", "", "", "病" * 201),
        ("13800000007", "", "99999999999999", "2023-02-29", "", "", ""),
    ]
    job = uploaded(brand, csv_of(TITLES, *rows))
    assert {number: why for number, (_state, why) in verdicts(brand, job).items()} == {
        2: [("field:skin", "choice_unknown")],
        3: [("field:shoe", "number_invalid")],
        4: [("field:shoe", "scientific")],
        5: [("field:since", "day_ambiguous")],
        6: [("field:vip", "yes_no_unknown")],
        7: [("field:illness", "too_long")],
        8: [("field:shoe", "number_invalid"), ("field:since", "day_missing")],
    }
    with brand_scope(brand.pk):
        told = {each.row: each for each in findings(job)}
        assert (told[2].column, told[2].what) == ("肤质", "油性")
        assert "干性、混合（偏油）" in told[2].why
        assert told[7].what == "***"
        assert all("病病" not in "".join(line) for line in every_finding(job))


def test_a_table_speaks_as_the_import_and_undoing_brings_the_earlier_word_back(brand, fields):
    with brand_scope(brand.pk):
        member = known()
        member_services.say(member_id=member.pk, source="member", values={"skin": "干性"}, at=now())
    first = csv_of(TITLES[:3] + TITLES[6:], ("13800000001", "干性", "38", "花生"))
    earlier = ran(brand, uploaded(brand, first))
    assert earlier.became == {"MATCHED": 1}
    second = csv_of(TITLES[:3] + TITLES[6:], ("13800000001", "混合（偏油）", "39", "牛奶"))
    kept = uploaded(brand, second)
    assert verdicts(brand, kept) == {
        2: ("UNCHANGED", [("field:skin", "kept"), ("field:shoe", "kept"), ("field:illness", "kept")])
    }
    with brand_scope(brand.pk):
        before = list(ProfileValue.objects.order_by("key", "source").values_list("key", "source", "by", "at", "counts"))
    job = ran(brand, uploaded(brand, second, overwrite=True))
    assert job.became == {"MATCHED": 1}
    with brand_scope(brand.pk):
        assert counting(member) == {
            "skin": ("干性", "member"),  # the member's own word comes first
            "shoe": ("39", "import"),
            "illness": ("牛奶", "import"),
        }
        fact = next(fact for fact in profile_of(member.pk, at=now()) if fact.key == "skin")
        assert [word.source for word in fact.words] == ["member", "import"]
    assert uploaded(brand, second, overwrite=True).found == {"UNCHANGED": 1}
    assert undone(brand, job).became["UNDONE"] == 1
    with brand_scope(brand.pk):
        after = ProfileValue.objects.order_by("key", "source").values_list("key", "source", "by", "at", "counts")
        assert list(after) == before
        assert counting(member)["illness"] == ("花生", "import")
    assert undone(brand, earlier).became["UNDONE"] == 1
    with brand_scope(brand.pk):
        assert counting(member) == {"skin": ("干性", "member")}


def test_what_was_said_since_is_named_when_an_import_is_undone(brand, fields):
    with brand_scope(brand.pk):
        member = known()
    job = ran(brand, uploaded(brand, csv_of(TITLES[:2], ("13800000001", "干性"))))
    with brand_scope(brand.pk):
        later = now() + timedelta(seconds=1)
        member_services.say(member_id=member.pk, source="member", values={"skin": "混合（偏油）"}, at=later)
    assert undone(brand, job).became["LEFT"] == 1
    assert verdicts(brand, job) == {2: ("LEFT", [("field:skin", "left_changed")])}
    with brand_scope(brand.pk):
        assert counting(member) == {"skin": ("混合（偏油）", "member")}


def test_a_field_that_was_changed_after_the_dry_run_refuses_its_rows(brand, fields):
    job = uploaded(brand, csv_of(TITLES[:3], ("13800000001", "干性", ""), ("13800000002", "", "38")))
    assert job.found == {"NEW": 2}
    with brand_scope(brand.pk):
        fields["skin"].choices = ["油性"]
        member_services.save_profile_field(field=fields["skin"], at=now())
    assert ran(brand, job).became == {"ERROR": 1, "NEW": 1}
    assert verdicts(brand, job)[2] == ("ERROR", [("field:skin", "field_changed")])


def test_only_fields_that_listen_to_imports_are_offered_and_no_title_is_taken_twice(brand, other_brand, fields):
    with brand_scope(brand.pk):
        deaf = ProfileField(key="mood", label="心情", kind="TEXT", sources=["member"])
        member_services.save_profile_field(field=deaf, at=now())
        twin = ProfileField(key="birthplace", label="来源", kind="TEXT", sources=["import"])
        member_services.save_profile_field(field=twin, at=now())
        blank = ProfileField(key="dots", label="……", kind="TEXT", sources=["import"])
        member_services.save_profile_field(field=blank, at=now())
    with brand_scope(other_brand.pk):
        other = services.take_file(name="x", body=csv_of(("手机", "肤质"), ("1", "2")), kind="members", at=now())
        assert other.columns == ["phone", ""]
        assert services.deaf_fields() == []
    table = csv_of(
        ("手机", "心情", "来源", "birthplace", "", "肤质"), ("13800000001", "好", "老店", "新店", "x", "干性")
    )
    job = uploaded(brand, table)
    assert job.columns == ["phone", "", "source", "field:birthplace", "", "field:skin"]
    assert ran(brand, job).became == {"NEW": 1}
    with brand_scope(brand.pk):
        assert services.deaf_fields() == ["心情"]
        assert counting(Member.objects.get())["birthplace"] == ("新店", "import")
        row = ImportRow.objects.get(job=job)
        assert "干性" in row.cells.reveal()
