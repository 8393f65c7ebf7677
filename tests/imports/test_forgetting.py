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
