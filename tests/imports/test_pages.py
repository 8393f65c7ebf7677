"""The pages and the REST endpoints of imports, as people and other systems use them."""

from __future__ import annotations

import json
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.services import issue_api_key
from accounts.tenancy import brand_scope
from common.clock import now
from common.spreadsheets import read_table
from imports import services
from imports.columns import MEMBER_COLUMNS, guess
from imports.models import Import
from loyalty.models import Lot
from members.models import Member, ProfileField, ProfileValue
from members.services import save_profile_field
from tests.imports.conftest import csv_of, ran, uploaded

pytestmark = pytest.mark.django_db
PAGE = "/b/lanyu/imports/"
TABLE = csv_of(("手机", "姓名", "备注"), ("13800001234", "陈子涵", "a"), ("1.38E+10", "吴晓明", "b"))


@pytest.fixture
def as_owner(as_owner, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    return as_owner


def shown(answer, status=200):
    assert answer.status_code == status, answer.status_code
    return re.sub(r"\s+", " ", answer.content.decode())


def test_a_table_goes_from_upload_over_a_dry_run_to_members_and_back(as_owner, ours, theirs):
    first = as_owner.post(PAGE, {"kind": "members", "file": SimpleUploadedFile("m.csv", TABLE)})
    address = first["Location"]
    page = shown(as_owner.get(address))
    assert 'value="phone" selected' in page
    assert "Try out" in page
    assert "138****1234" in page  # long numbers of the samples only by their ends
    assert "13800001234" not in page
    doubled = as_owner.post(address, {"act": "try", "column": ["phone", "phone", ""]})
    assert "Leave all but one of them out" in shown(doubled, 422)
    as_owner.post(address, {"act": "try", "column": ["phone", "name", ""]})
    key = int(address.rstrip("/").rsplit("/", 1)[1])
    services.try_out(brand_id=ours.brand.pk, job_id=key)
    page = shown(as_owner.get(address))
    assert "Import 1 row" in page
    assert "1.38E+10" in page
    assert "scientific notation" in page
    errors = as_owner.get(f"{address}errors/")
    assert read_table(errors.content)[1][:3] == ["3", "Phone", "1.38E+10"]
    as_owner.post(address, {"act": "start"})
    assert as_owner.get(f"{address}progress/").status_code == 200
    assert 'name="act" value="stop"' in shown(as_owner.get(address))
    with brand_scope(ours.brand.pk):
        version = Import.objects.get(pk=key)
    assert as_owner.get(f"{address}progress/?v=RUNNING-{version.done}-{version.read}").status_code == 204
    services.importing(brand_id=ours.brand.pk, job_id=key)
    over = as_owner.get(f"{address}progress/")
    assert (over.status_code, over["HX-Refresh"]) == (204, "true")
    with brand_scope(ours.brand.pk):
        assert Member.objects.filter(name="陈子涵", joined_at__isnull=False).exists()
    as_owner.post(address, {"act": "undo"})
    services.undoing(brand_id=ours.brand.pk, job_id=key)
    assert "Undone" in shown(as_owner.get(address))
    with brand_scope(ours.brand.pk):
        assert not Member.objects.filter(name="陈子涵").exists()
    listed = shown(as_owner.get(PAGE))
    assert "m.csv" in listed


def test_templates_hold_titles_the_import_knows(as_owner, ours):
    answer = as_owner.get(f"{PAGE}template/members/")
    assert "" not in guess(read_table(answer.content)[0], MEMBER_COLUMNS)
    assert as_owner.get(f"{PAGE}template/nothing/").status_code == 404


def test_roles_that_may_not_import_do_not(as_manager, as_guide, ours):
    for client in (as_manager, as_guide):
        assert client.get(PAGE).status_code == 403
        assert client.post(PAGE, {"kind": "members", "file": SimpleUploadedFile("m.csv", TABLE)}).status_code == 403
    with brand_scope(ours.brand.pk):
        assert not Import.objects.exists()


def api(brand, scopes=("imports.write",)):
    with brand_scope(brand.pk):
        _row, text = issue_api_key(label="POS", scopes=list(scopes), at=now())
    return {"HTTP_AUTHORIZATION": f"Key {text}"}


def test_other_systems_upload_ask_start_and_undo(ours, theirs):
    client, key, foreign = Client(), api(ours.brand), api(theirs.brand)

    def send(table=TABLE, **more):
        body = {"kind": "members", "file": SimpleUploadedFile("m.csv", table), **more}
        return client.post("/api/v1/imports/", body, HTTP_IDEMPOTENCY_KEY="k1", **key)

    first = send()
    assert first.status_code == 201, first.content
    again = send()
    assert again.json()["id"] == first.json()["id"]
    other = send(csv_of(("手机",), ("13800001239",)))
    assert (other.status_code, other.json()["error"]["code"]) == (422, "key_reused")
    address = f"/api/v1/imports/{first.json()['id']}/"
    assert client.get(address, **foreign).status_code == 404
    early = client.post(f"{address}start/", content_type="application/json", **key)
    assert (early.status_code, early.json()["error"]["code"]) == (409, "import_not_now")
    with brand_scope(ours.brand.pk):
        job = Import.objects.get(public_id=first.json()["id"])
    services.try_out(brand_id=ours.brand.pk, job_id=job.pk)
    assert client.get(address, **key).json()["found"] == {"NEW": 1, "ERROR": 1}
    wrong = client.get(f"{address}errors/", **key).json()
    assert [(each["row"], each["what"]) for each in wrong["results"]] == [(3, "1.38E+10")]
    for _twice in range(2):
        assert client.post(f"{address}start/", content_type="application/json", **key).status_code == 200
    services.importing(brand_id=ours.brand.pk, job_id=job.pk)
    assert client.get(address, **key).json()["became"] == {"NEW": 1}
    for _twice in range(2):
        assert client.post(f"{address}undo/", content_type="application/json", **key).status_code == 200
    services.undoing(brand_id=ours.brand.pk, job_id=job.pk)
    assert client.get(address, **key).json()["state"] == "UNDONE"
    without = client.post("/api/v1/imports/", {"kind": "members"}, **api(ours.brand, ("members.read",)))
    assert without.status_code == 403
    empty = client.post("/api/v1/imports/", {"kind": "members"}, **key)
    assert empty.status_code == 422


def test_an_import_is_stopped_on_its_page_and_by_other_systems(as_owner, ours, theirs):
    table = SimpleUploadedFile("m.csv", csv_of(("手机", "姓名"), ("13800001234", "陈子涵"), ("13800001235", "吴晓明")))
    address = as_owner.post(PAGE, {"kind": "members", "file": table})["Location"]
    key = int(address.rstrip("/").rsplit("/", 1)[1])
    as_owner.post(address, {"act": "try", "column": ["phone", "name"]})
    as_owner.post(address, {"act": "stop"})
    assert 'value="try"' in shown(as_owner.get(address))
    as_owner.post(address, {"act": "try", "column": ["phone", "name"]})
    services.try_out(brand_id=ours.brand.pk, job_id=key)
    as_owner.post(address, {"act": "start"})
    as_owner.post(address, {"act": "stop"})
    page = shown(as_owner.get(address))
    assert "2 rows were not imported" in page
    assert 'value="undo"' in page

    with brand_scope(ours.brand.pk):
        stop = f"/api/v1/imports/{Import.objects.get(pk=key).public_id}/stop/"
    for caller, status in ((api(ours.brand), 200), (api(theirs.brand), 404)):
        assert Client().post(stop, content_type="application/json", **caller).status_code == status
    with brand_scope(ours.brand.pk):
        assert not Member.objects.filter(name="陈子涵").exists()


def test_other_systems_say_what_the_columns_are(ours, theirs):
    client, key = Client(), api(ours.brand)
    with brand_scope(ours.brand.pk):
        for name, label, sources in (("skin", "肤质", ["import"]), ("mood", "心情", ["member"])):
            save_profile_field(field=ProfileField(key=name, label=label, kind="TEXT", sources=sources), at=now())
    table = csv_of(("客户电话一", "皮肤", "积分", "备注", "备注", ""), ("13800001234", "干性", "500", "甲", "乙", "丙"))

    def send(columns, **more):
        form = {"kind": "members", "file": SimpleUploadedFile("m.csv", table), "columns": columns}
        return client.post("/api/v1/imports/", form, **key, **more)

    first = send(json.dumps({"客户电话一": "phone", " 皮肤": "field:skin", "积分": ""}), HTTP_IDEMPOTENCY_KEY="c1")
    assert (first.status_code, first.json()["columns"]) == (201, ["phone", "field:skin", "", "", ""]), first.content
    with brand_scope(ours.brand.pk):
        job = Import.objects.get(public_id=first.json()["id"])
    services.try_out(brand_id=ours.brand.pk, job_id=job.pk)
    assert ran(ours.brand, job).became == {"NEW": 1}
    with brand_scope(ours.brand.pk):
        assert ProfileValue.objects.get(key="skin").text == "干性"
        assert not Lot.objects.exists()
    again = send(json.dumps({"客户电话一": "phone", "皮肤": "field:skin"}), HTTP_IDEMPOTENCY_KEY="c1")
    assert again.json()["id"] == first.json()["id"]
    other = send(json.dumps({"客户电话一": "phone"}), HTTP_IDEMPOTENCY_KEY="c1")
    assert (other.status_code, other.json()["error"]["code"]) == (422, "key_reused")


@pytest.mark.parametrize(
    ("columns", "wrong"),
    [
        ("[]", ["columns"]),
        ('"phone"', ["columns"]),
        ("{", ["columns"]),
        ("[" * 5000, ["columns"]),
        ('{"手机": "phone", "手机": "card"}', ["columns"]),
        ('{"手机": NaN}', ["columns"]),
        ('{"手机": 1, "姓名": null}', ["columns.手机", "columns.姓名"]),
        ('{"手机": {"手机": "phone"}}', ["columns.手机"]),
        ('{"电话": "phone"}', ["columns.电话"]),
        ('{"手机": "phone", "备注": "name"}', ["columns.备注"]),
        ('{"手机": "phone", " 手机": "phone"}', ["columns.手机", "columns. 手机"]),
        ('{"手机": "phone", "姓名": "nickname"}', ["columns.姓名"]),
        ('{"手机": "phone", "姓名": "field:mood"}', ["columns.姓名"]),
        ('{"手机": "phone", "姓名": "amount"}', ["columns.姓名"]),
        ('{"手机": "phone", "姓名": "phone"}', ["columns.手机", "columns.姓名"]),
        ('{"姓名": "name"}', ["columns"]),
        ("{}", ["columns"]),
        (["{}", "{}"], ["columns"]),
    ],
)
def test_columns_that_do_not_fit_are_refused_by_title_and_nothing_is_taken(ours, theirs, columns, wrong):
    with brand_scope(ours.brand.pk):
        save_profile_field(field=ProfileField(key="mood", label="心情", kind="TEXT", sources=["member"]), at=now())
    table = csv_of(("手机", "姓名", "备注", "备注"), ("13800001234", "陈", "甲", "乙"))
    form = {"kind": "members", "file": SimpleUploadedFile("m.csv", table), "columns": columns}

    answer = Client().post("/api/v1/imports/", form, **api(ours.brand))

    assert answer.status_code == 422, answer.content
    assert [each["field"] for each in answer.json()["error"]["fields"]] == wrong
    with brand_scope(ours.brand.pk):
        assert not Import.objects.exists()


def test_what_was_refused_is_counted_when_the_import_is_done(as_owner, ours, theirs):
    job = ran(ours.brand, uploaded(ours.brand, TABLE))
    cells = re.findall(r'<td class="zy-number">([\d.%]+)</td>', as_owner.get(f"{PAGE}{job.pk}/").content.decode())
    assert [cells[number] for number in (0, 8)] == ["1", "1"]  # new, cannot be read


def test_the_brands_own_fields_are_offered_and_sealed_ones_are_not_shown(as_owner, ours, theirs):
    with brand_scope(ours.brand.pk):
        for key, label, more in (
            ("skin", "肤质", {"sources": ["import"]}),
            ("illness", "病史", {"sources": ["import"], "sensitivity": "SEALED"}),
            ("mood", "心情", {"sources": ["member"]}),
        ):
            save_profile_field(field=ProfileField(key=key, label=label, kind="TEXT", **more), at=now())
    table = csv_of(("手机", "肤质", "病史"), ("13800001234", "干性", "花生过敏"))
    address = as_owner.post(PAGE, {"kind": "members", "file": SimpleUploadedFile("m.csv", table)})["Location"]
    page = shown(as_owner.get(address))
    assert '<optgroup label="Profile fields">' in page
    assert 'value="field:skin" selected' in page
    assert "干性" in page
    assert "花生过敏" not in page
    assert "take nothing from a table" in page
    assert "心情" in page
    assert {"肤质", "病史"} <= set(read_table(as_owner.get(f"{PAGE}template/members/").content)[0])
