"""Lists that other systems take out: asked for once, masked, seen by the key that asked and nobody else."""

from __future__ import annotations

import csv
import io

import pytest
from django.test import Client

from accounts.models import ApiKey, AuditEntry
from accounts.services import issue_api_key, revoke_api_key
from accounts.tenancy import brand_scope
from common.clock import now
from common.spreadsheets import read_table
from imports import services
from imports.models import Export
from imports.services import exports
from members import services as member_services
from members.models import Member
from tests.api import contract
from tests.imports.test_export import people

__all__ = ["people"]
pytestmark = pytest.mark.django_db
LIST = "/api/v1/exports/"


class System:
    """One of a brand's other systems, whose every answer is held against the description."""

    def __init__(self, brand, scopes=("exports.write",), label="ERP"):
        with brand_scope(brand.pk):
            self.row, text = issue_api_key(label=label, scopes=list(scopes), at=now())
        self._headers = {"HTTP_AUTHORIZATION": f"Key {text}"}
        self._http = Client()

    def ask(self, key="", **body):
        more = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
        answer = self._http.post(LIST, body, content_type="application/json", **self._headers, **more)
        contract.check(LIST, "POST", answer)
        return answer

    def get(self, path):
        answer = self._http.get(path, **self._headers)
        contract.check(path, "GET", answer)
        return answer


def wrong(answer):
    return answer.status_code, answer.json()["error"]["code"]


def write(of, asked):
    with brand_scope(of.brand.pk):
        row = Export.objects.get(public_id=asked.json()["id"])
    services.write_export(brand_id=of.brand.pk, export_id=row.pk)
    return f"{LIST}{row.public_id}/"


@pytest.mark.parametrize("file_format", ["CSV", "XLSX"])
def test_a_system_asks_waits_and_fetches_a_masked_list(ours, people, file_format):
    erp = System(ours.brand)

    asked = erp.ask(format=file_format)
    assert (asked.status_code, asked.json()["state"]) == (201, "WAITING")
    early = erp.get(f"{LIST}{asked.json()['id']}/file/")
    assert wrong(early) == (409, "export_not_ready")
    address = write(ours, asked)
    assert erp.get(address).json()["state"] == "READY"
    body = erp.get(f"{address}file/")

    table = (
        read_table(body.content)
        if file_format == "XLSX"
        else list(csv.reader(io.StringIO(body.content.decode("utf-8-sig"))))
    )
    assert table[0] == list(exports.TITLES)
    lines = {line[0]: line for line in table[1:]}
    assert lines[people.member_no][1] == "138****6721"
    assert "13800006721" not in str(table)
    assert "别家的人" not in str(table)
    assert all(line[-1].startswith("ERP ") for line in table[1:])
    assert len(table) - 1 == erp.get(address).json()["rows"]
    with brand_scope(ours.brand.pk):
        acts = AuditEntry.objects.filter(object_type="imports.export").order_by("pk")
        assert [(each.action, each.actor_label, each.via) for each in acts] == [
            ("ask for export", "ERP", "api"),
            ("download export", "ERP", "api"),
        ]


def test_only_the_key_that_asked_sees_its_export(ours, theirs, people, as_owner):
    erp, crm, foreign = System(ours.brand), System(ours.brand, label="CRM"), System(theirs.brand)
    address = write(ours, erp.ask())

    for path in (address, f"{address}file/"):
        assert erp.get(path).status_code == 200
        assert wrong(crm.get(path)) == wrong(foreign.get(path)) == (404, "not_found")
    assert System(ours.brand, ("imports.write", "members.read")).ask().status_code == 403
    with brand_scope(ours.brand.pk):
        row = Export.objects.get()
    page = as_owner.get("/b/lanyu/exports/").content.decode()  # who reads the audit log sees that it went
    for words in ("ERP · API", "所有人", "系统已取走 1 次。"):
        assert words in page
    assert as_owner.get(f"/b/lanyu/exports/{row.pk}/file/").status_code == 404


def test_the_same_idempotency_key_is_the_same_export(ours):
    erp, crm = System(ours.brand), System(ours.brand, label="CRM")

    first, again = erp.ask("k1", search="陈"), erp.ask("k1", search="陈")
    assert first.json()["id"] == again.json()["id"]
    assert wrong(erp.ask("k1", search="王")) == (422, "key_reused")
    assert crm.ask("k1", search="王").status_code == 201
    assert erp.ask(search="陈").json()["id"] != first.json()["id"]
    assert wrong(erp.ask("k" * 81)) == (422, "invalid")
    with brand_scope(ours.brand.pk):
        assert Export.objects.count() == 3


def test_a_list_is_narrowed_by_segment_and_search(ours, theirs, people):
    erp = System(ours.brand)
    with brand_scope(ours.brand.pk):
        Member.objects.filter(pk=people.pk).update(name="独一无二")
        segment = member_services.save_segment(
            name="上海", rule={"all": [{"condition": "city", "params": {"cities": ["上海"]}}]}, at=now()
        )
    with brand_scope(theirs.brand.pk):
        other = member_services.save_segment(name="全部", rule={"all": []}, at=now())

    for asked in (erp.ask(search="独一无"), erp.ask(segment=segment.pk)):
        address = write(ours, asked)
        assert people.member_no in erp.get(f"{address}file/").content.decode()
        assert erp.get(address).json()["rows"] == 1
    assert wrong(erp.ask(segment=other.pk)) == (422, "invalid")
    assert wrong(erp.ask(profile=["nothing"])) == (422, "export_refused")
    assert wrong(erp.ask(unmasked=True)) == (422, "invalid")


@pytest.mark.parametrize("lost", ["revoked", "scope", "too many"])
def test_nothing_is_written_for_a_key_that_may_no_longer(ours, people, lost, monkeypatch):
    erp = System(ours.brand)
    asked = erp.ask()
    with brand_scope(ours.brand.pk):
        if lost == "revoked":
            revoke_api_key(key=erp.row, at=now())
        elif lost == "scope":
            ApiKey.objects.filter(pk=erp.row.pk).update(scopes=["members.read"])
        else:
            monkeypatch.setattr(exports, "MOST_OF_A_SYSTEM", 0)
    write(ours, asked)

    with brand_scope(ours.brand.pk):
        row = Export.objects.get()
    assert (row.state, row.rows) == ("REFUSED", 0)
    assert row.problem
    if lost == "too many":
        assert wrong(erp.get(f"{LIST}{row.public_id}/file/")) == (409, "export_not_ready")


def test_a_file_is_gone_when_its_time_is_over(ours, people):
    erp = System(ours.brand)
    address = write(ours, erp.ask())
    with brand_scope(ours.brand.pk):
        Export.objects.update(delete_at=now())
    services.delete_old_exports(ours.brand.pk, at=now())

    assert erp.get(address).json()["state"] == "GONE"
    assert wrong(erp.get(f"{address}file/")) == (404, "file_gone")
