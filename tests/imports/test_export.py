"""Lists that go out: in scope, bounded, masked, marked, safe in a spreadsheet, and the same when they come back."""

from __future__ import annotations

import csv
import io

import pytest

from accounts.models import AuditEntry, RoleGrant
from accounts.roles import Role
from accounts.tenancy import brand_scope
from common import failpoints
from common.clock import now
from common.spreadsheets import read_table
from imports import services
from imports.models import Export, ExportChunk
from imports.services import exports
from members import services as member_services
from members.models import Member, ProfileField
from members.services import intake
from tests.factories import make_tag
from tests.imports.conftest import uploaded, verdicts

pytestmark = pytest.mark.django_db
PAGE = "/b/lanyu/exports/"


def written(client, of, **asked):
    """The table behind an export that a person asked for in the console."""
    answer = client.post(PAGE, {"file_format": "CSV", "search": "", **asked})
    assert answer.status_code == 302, answer.content.decode()
    with brand_scope(of.brand.pk):
        row = Export.objects.order_by("-pk").first()
    services.write_export(brand_id=of.brand.pk, export_id=row.pk)
    with brand_scope(of.brand.pk):
        row.refresh_from_db()
    if row.state != "READY":
        return row, []
    body = client.get(f"{PAGE}{row.pk}/file/").content
    return row, read_table(body) if asked.get("file_format") == "XLSX" else list(
        csv.reader(io.StringIO(body.decode("utf-8-sig")))
    )


@pytest.fixture
def people(ours, theirs):
    with brand_scope(theirs.brand.pk):
        Member.objects.filter(pk=theirs.member.pk).update(name="别家的人")
    with brand_scope(ours.brand.pk):
        member = member_services.bind_phone(member=ours.member, number="13800006721", source="test", at=now())
        member_services.change_profile(
            member_id=member.pk, name="=HYPERLINK(1)", city="上海", birth_mmdd=817, gender="F"
        )
        member_services.tag_members(member_ids=[member.pk], tag_ids=[make_tag("+老客").pk], source="t", at=now())
        intake.tie_card(member_id=member.pk, card="C0001", source="t", at=now())
        return Member.objects.get(pk=member.pk)


@pytest.mark.parametrize("file_format", ["CSV", "XLSX"])
def test_a_list_is_masked_marked_safe_and_comes_back_without_a_change(as_owner, ours, people, file_format):
    row, table = written(as_owner, ours, file_format=file_format)
    lines = {line[0]: line for line in table[1:]}
    mine = lines[people.member_no]
    marks = {"CSV": "'", "XLSX": ""}[file_format]
    assert mine[1:7] == ["138****6721", "C0001", f"{marks}=HYPERLINK(1)", "08-17", "女", "上海"]
    assert "+老客" in mine[7]
    assert row.asked_label in mine[12]
    assert not any("别家的人" in cell for line in table for cell in line)
    body = as_owner.get(f"{PAGE}{row.pk}/file/").content
    if file_format == "CSV":
        assert not any(cell[:1] in "=+-@\t" for line in table for cell in line if cell)
    job = uploaded(ours.brand, body)
    assert list(verdicts(ours.brand, job).values()) == [("UNCHANGED", [])] * (len(table) - 1)


class Killed(BaseException):
    """The process is gone."""


def test_a_worker_killed_before_it_commits_leaves_one_whole_list(as_owner, ours, people, monkeypatch):
    def die():
        raise Killed

    monkeypatch.setitem(failpoints.armed, "exports: kept, not committed", die)
    with pytest.raises(Killed):
        written(as_owner, ours)
    monkeypatch.delitem(failpoints.armed, "exports: kept, not committed")
    with brand_scope(ours.brand.pk):
        row = Export.objects.latest("pk")
        assert (row.state, ExportChunk.objects.filter(job=row).count()) == ("WAITING", 0)
    for _time in range(2):
        services.write_export(brand_id=ours.brand.pk, export_id=row.pk)
    with brand_scope(ours.brand.pk):
        row.refresh_from_db()
        assert (row.state, list(ExportChunk.objects.filter(job=row).values_list("number", flat=True))) == ("READY", [0])


def test_phones_in_full_need_a_right_and_a_reason_and_are_written_down(as_owner, as_marketer, ours, people):
    refused = as_owner.post(PAGE, {"file_format": "CSV", "unmasked": "on"})
    assert refused.status_code == 422
    row, table = written(as_owner, ours, unmasked="on", reason="寄送礼品")
    assert "13800006721" in {line[1] for line in table}
    with brand_scope(ours.brand.pk):
        entries = AuditEntry.objects.filter(object_type="imports.export", object_id=str(row.pk))
        assert set(entries.values_list("action", flat=True)) == {"ask for export", "download export"}
        assert entries.get(action="ask for export").reason == "寄送礼品"
    assert as_marketer.get(f"{PAGE}{row.pk}/file/").status_code in {403, 404}
    _row, masked = written(as_marketer, ours, unmasked="on", reason="寄送礼品")
    assert "138****6721" in {line[1] for line in masked}


def test_a_list_holds_whom_the_role_sees_and_no_more_than_it_may_take(
    as_owner, as_manager, as_guide, ours, people, monkeypatch
):
    _row, everybody = written(as_owner, ours)
    _row, own = written(as_manager, ours)
    with brand_scope(ours.brand.pk):
        in_store = set(Member.objects.filter(store=ours.store).values_list("member_no", flat=True))
        assert len(everybody) - 1 == Member.objects.filter(merged_into=None).count()
    assert {line[0] for line in own[1:]} <= in_store
    assert len(own) < len(everybody) or in_store == {line[0] for line in everybody[1:]}
    assert as_guide.get(PAGE).status_code == 403
    monkeypatch.setitem(exports.MOST, Role.OWNER, 0)
    row, _none = written(as_owner, ours)
    assert row.state == "REFUSED"
    assert row.problem
    monkeypatch.undo()
    as_owner.post(PAGE, {"file_format": "CSV", "search": ""})
    with brand_scope(ours.brand.pk):
        waiting = Export.objects.order_by("-pk").first()
        RoleGrant.objects.filter(staff_user_id=waiting.asked_by_id).update(role=Role.ANALYST)
    services.write_export(brand_id=ours.brand.pk, export_id=waiting.pk)
    with brand_scope(ours.brand.pk):
        waiting.refresh_from_db()
        assert waiting.state == "REFUSED"


@pytest.mark.parametrize("search", ["../../x", 'a"; filename=x.exe', "a\r\nSet-Cookie: x=1", "长" * 60])
def test_a_file_is_named_by_us(as_owner, ours, people, search):
    """EX05: nothing that anybody typed is in a header."""
    row, _table = written(as_owner, ours, search=search)
    answer = as_owner.get(f"{PAGE}{row.pk}/file/")
    assert answer["Content-Disposition"] == f'attachment; filename="members-{row.pk}.csv"'
    assert "Set-Cookie" not in {name for name, _value in answer.items()}


def test_files_go_when_their_time_is_over(as_owner, ours, people):
    row, _table = written(as_owner, ours, search=people.name[:3])
    with brand_scope(ours.brand.pk):
        Export.objects.filter(pk=row.pk).update(delete_at=now())
    assert services.delete_old_exports(ours.brand.pk, at=now()) == 1
    assert as_owner.get(f"{PAGE}{row.pk}/file/").status_code == 404
    with brand_scope(ours.brand.pk):
        assert not ExportChunk.objects.exists()


@pytest.fixture
def own(ours, people):
    """Fields of the brand's own, one of each sensitivity and a few kinds, and what is said of somebody."""
    made = {
        "skin": ("肤质", "CHOICE", {"choices": ["干性", "=1+1"], "sources": ["member", "import", "api"]}),
        "vip": ("=股东", "YES_NO", {"sources": ["import"]}),
        "points": ("积分", "NUMBER", {"sources": ["import"]}),
        "hobby": ("爱好", "TEXT", {"sources": ["import"], "sensitivity": "MASKED"}),
        "illness": ("病史", "TEXT", {"sources": ["import"], "sensitivity": "SEALED"}),
    }
    with brand_scope(ours.brand.pk):
        for key, (label, kind, more) in made.items():
            member_services.save_profile_field(field=ProfileField(key=key, label=label, kind=kind, **more), at=now())
        said = {"skin": "=1+1", "vip": "yes", "points": "-5", "hobby": "@钓鱼", "illness": "花生过敏"}
        member_services.say(member_id=people.pk, source="import", values=said, at=now())
        member_services.say(member_id=people.pk, source="api", values={"skin": "干性"}, at=now())
    return made


@pytest.mark.parametrize("file_format", ["CSV", "XLSX"])
def test_own_fields_are_columns_of_their_own_masked_safe_and_unchanged_when_they_come_back(
    as_owner, ours, people, own, file_format
):
    row, table = written(as_owner, ours, file_format=file_format, own=list(own))
    mark = {"CSV": "'", "XLSX": ""}[file_format]
    # “积分” and “points” would come back as the opening balance.
    assert table[0][12:] == [f"{mark}=股东", "爱好", "病史", "field:points", "肤质", "水印"]
    lines = {line[0]: dict(zip(table[0], line, strict=True)) for line in table[1:]}
    mine = lines[people.member_no]
    assert mine["肤质"] == f"{mark}=1+1"
    assert mine[f"{mark}=股东"] == "是"
    assert (mine["爱好"], mine["病史"]) == (f"{mark}@***", "***")
    assert row.asked_label in mine["水印"]
    body = as_owner.get(f"{PAGE}{row.pk}/file/").content
    if file_format == "CSV":
        assert not any(cell[:1] in "=+-@\t" for line in table for cell in line if cell)
    job = uploaded(ours.brand, body)
    assert list(verdicts(ours.brand, job).values()) == [("UNCHANGED", [])] * (len(table) - 1)
    with brand_scope(ours.brand.pk):
        row.refresh_from_db()
        assert row.fields == list(own)
        entry = AuditEntry.objects.get(action="ask for export", object_id=str(row.pk))
        assert entry.changes["profile fields"] == [None, ", ".join(own)]


def test_sensitive_fields_are_in_full_only_for_the_right_and_a_reason(as_owner, as_marketer, ours, people, own):
    _row, full = written(as_owner, ours, unmasked="on", reason="寄送礼品", own=["hobby", "illness"])
    _row, masked = written(as_marketer, ours, unmasked="on", reason="寄送礼品", own=["hobby", "illness"])
    lines = {line[0]: line for line in full[1:]}
    assert lines[people.member_no][12:14] == ["'@钓鱼", "花生过敏"]
    assert not any("花生" in cell or "钓鱼" in cell for line in masked for cell in line)
    assert [line[12:14] for line in masked[1:] if line[0] == people.member_no] == [["'@***", "***"]]


def test_only_fields_of_the_brand_can_be_asked_for(as_owner, ours, theirs, people, own):
    with brand_scope(theirs.brand.pk):
        field = ProfileField(key="secret", label="别家的", kind="TEXT", sources=["import"])
        member_services.save_profile_field(field=field, at=now())
    page = as_owner.get(PAGE).content.decode()
    assert "别家的" not in page
    assert "病史" in page
    for wrong in (["secret"], ["skin", "nonsense"]):
        assert as_owner.post(PAGE, {"file_format": "CSV", "search": "", "own": wrong}).status_code == 422
    with brand_scope(ours.brand.pk):
        assert not Export.objects.exists()
