"""Who is erased stands in no file any more: neither in what was imported nor, a day later, in what was exported."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope
from common.clock import now
from imports import services
from imports.models import Export, ExportChunk, Import, ImportChunk, ImportRow
from members.models import ErasureReason, Member
from members.services import erase_due, start_clocks
from tests.factories import make_account, make_follower
from tests.imports.conftest import csv_of, ran, undone, uploaded
from tests.imports.test_export import written

pytestmark = pytest.mark.django_db
TABLE = ("手机号", "姓名"), ("13800000001", "李雷"), ("13800000002", "韩梅梅")


def erase(brand):
    """Delete the first of those who were imported."""
    with brand_scope(brand.pk):
        row = ImportRow.objects.exclude(member=None).order_by("number").first()
        follower = make_follower(make_account("另一个号"))
        type(follower).objects.filter(pk=follower.pk).update(member_id=row.member_id)
        follower.refresh_from_db()
        start_clocks(followers=[follower], reason=ErasureReason.CANCELLED, at=now())
    assert erase_due(brand.pk, at=now() + timedelta(days=30)) == 1
    return row.member_id


def test_file_and_examples_go_with_a_person_and_everybody_elses_rows_stay(brand, other_brand):
    jobs = [ran(each, uploaded(each, csv_of(*TABLE))) for each in (brand, other_brand)]
    gone = erase(brand)
    with brand_scope(brand.pk):
        assert not ImportChunk.objects.exists()
        assert services.samples_of(Import.objects.get()) == []
        rows = list(ImportRow.objects.order_by("number"))
        assert [row.member_id is None for row in rows] == [True, False]
        kept = rows[1].member_id
    with brand_scope(other_brand.pk):
        assert ImportChunk.objects.exists()
        assert services.samples_of(Import.objects.get(pk=jobs[1].pk))
    undone(brand, jobs[0])  # needs no file
    with brand_scope(brand.pk):
        assert Member.objects.filter(pk=gone).exists()
        assert not Member.objects.filter(pk=kept, phone_masked="138****0002").exists()


REFUSED = (
    ("手机号", "姓名", "会员卡号", "生日"),
    ("13800000001", "李雷", "", "某天"),  # the birthday cannot be read
    ("138 0000 0001 或 13900000009", "李雷", "", ""),  # two numbers in a cell
    ("13900000009", "李雷", "C-1", ""),  # a stranger's phone on a known card
    ("13900000008", "别人", "", "某天"),
    ("13900000007", "新人", "", ""),
)


def said(job):
    return [row.cells.reveal() if row.cells else "" for row in ImportRow.objects.filter(job=job).order_by("number")]


def test_refused_rows_and_tables_that_only_were_tried_out_forget_a_person_too(brand, other_brand):
    ran(brand, uploaded(brand, csv_of(("手机号", "姓名", "会员卡号"), ("13800000001", "李雷", "C-1"))))
    over, waits = (ran(brand, uploaded(brand, csv_of(*REFUSED))), uploaded(brand, csv_of(*REFUSED, ("x", "1", "", ""))))
    elsewhere = uploaded(other_brand, csv_of(*REFUSED))
    with brand_scope(brand.pk):
        Import.objects.update(delete_at=now() + timedelta(days=40))
        assert set(ImportRow.objects.filter(job=over, member=None).values_list("state", flat=True)) == {
            *("ERROR", "CONFLICT"),
        }
        assert sum("李雷" in text for text in said(over)) == 3
    erase(brand)
    with brand_scope(brand.pk):
        for job in (over, waits):
            assert [bool(text) for text in said(job)[:5]] == [False, False, False, True, True]
            assert not any("李雷" in text or "138" in text for text in said(job))
        assert not ImportChunk.objects.filter(job=over).exists()
        assert ImportChunk.objects.filter(job=waits).exists()  # it may still be imported today
        assert services.delete_old_files(brand.pk, at=now() + timedelta(days=30, hours=19)) == 0
    services.delete_old_files(brand.pk, at=now() + timedelta(days=30, hours=21))
    with brand_scope(brand.pk):
        assert not ImportChunk.objects.filter(job=waits).exists()
    with brand_scope(other_brand.pk):
        assert sum("李雷" in text for text in said(elsewhere)) == 3


def test_written_lists_are_gone_a_day_after_somebody_was_erased(as_owner, ours):
    ran(ours.brand, uploaded(ours.brand, csv_of(*TABLE)))
    export, lines = written(as_owner, ours)
    assert any("李雷" in line for line in lines)
    erased_at = now() + timedelta(days=30)
    with brand_scope(ours.brand.pk):
        Export.objects.filter(pk=export.pk).update(delete_at=erased_at + timedelta(days=3))
    erase(ours.brand)
    with brand_scope(ours.brand.pk):
        assert Export.objects.get().delete_at == pytest.approx(
            erased_at + timedelta(hours=20), abs=timedelta(minutes=5)
        )
    services.delete_old_exports(ours.brand.pk, at=erased_at + timedelta(hours=21))
    with brand_scope(ours.brand.pk):
        assert (Export.objects.get().state, ExportChunk.objects.count()) == ("GONE", 0)
