"""The library over the API: what there is and what each account has, adding a file; each brand its own."""

import base64

import pytest

from accounts.tenancy import brand_scope
from library.api import MAX_BYTES
from library.models import MediaCopy, MediaItem
from library.services import add_media
from tests.factories import AT
from tests.library.conftest import GIF, MP3, PNG

pytestmark = pytest.mark.usefixtures("_own_storage")


@pytest.fixture
def _own_storage(settings, tmp_path):
    folder = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(tmp_path), "base_url": None},
    }
    settings.STORAGES = {**settings.STORAGES, "private": folder}


def furnish(side):
    with brand_scope(side.brand.pk):
        side.poster = add_media(name=f"{side.brand.name}海报", body=PNG, at=AT, brand_id=side.brand.pk)
        add_media(name=f"{side.brand.name}歌", body=MP3, at=AT, brand_id=side.brand.pk, kind="VOICE")
        MediaCopy.objects.create(
            item=side.poster, account=side.account, permanent=True, media_id=f"m-{side.brand.slug}"
        )
    return side


@pytest.fixture
def ours(a):
    return furnish(a)


@pytest.fixture
def theirs(b):
    return furnish(b)


def sent(body, **more):
    return {"kind": "IMAGE", "name": "新品", "content": base64.b64encode(body).decode()} | more


def test_files_come_newest_first_with_what_each_account_has(ours, theirs):
    first = ours.system.get("/media/", page_size=1).json()
    rest = ours.system.get("/media/", page_size=1, cursor=first["next"]).json()
    assert [row["name"] for row in first["results"] + rest["results"]] == ["澜屿歌", "澜屿海报"]
    copy = {"account": ours.account.appid, "permanent": True, "state": "THERE", "media_id": "m-lanyu"}
    assert rest["results"][0]["copies"] == [copy | {"expires_at": None, "code": None}]
    assert [row["name"] for row in ours.system.get("/media/", kind="VOICE").json()["results"]] == ["澜屿歌"]

    with brand_scope(ours.brand.pk):
        MediaItem.objects.filter(pk=ours.poster.pk).update(archived_at=AT)
    names = [row["name"] for row in ours.system.get("/media/").json()["results"]]
    assert names == ["澜屿歌"]
    assert len(ours.system.get("/media/", archived="true").json()["results"]) == 2


def test_one_file_by_its_number_and_never_another_brands(ours, theirs):
    assert ours.system.get(f"/media/{ours.poster.pk}/").json()["name"] == "澜屿海报"
    for wrong in (theirs.poster.pk, 0, "x", "9" * 30, "%00"):
        assert ours.system.get(f"/media/{wrong}/").status_code == 404


def test_a_file_is_added_once(ours):
    answer = ours.system.post("/media/", sent(GIF, description="橱窗"))
    again = ours.system.post("/media/", sent(GIF, name="又一次"))
    assert (answer.status_code, again.status_code) == (201, 201)
    assert answer.json()["id"] == again.json()["id"]
    assert (answer.json()["content_type"], answer.json()["copies"]) == ("image/gif", [])
    with brand_scope(ours.brand.pk):
        assert MediaItem.objects.count() == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (sent(b"<html>"), "file"),
        (sent(b""), "content"),
        (sent(MP3), "file"),
        (sent(GIF) | {"content": "not base64!"}, "file"),
        (sent(GIF, kind="PAPER"), "kind"),
        (sent(GIF, more=1), "more"),
        ({"kind": "IMAGE", "name": "x"}, "content"),
    ],
)
def test_what_wechat_would_not_take_is_refused_with_the_field(ours, body, field):
    answer = ours.system.post("/media/", body)
    assert answer.status_code == 422
    assert field in {row["field"] for row in answer.json()["error"]["fields"]}
    with brand_scope(ours.brand.pk):
        assert MediaItem.objects.count() == 2


def test_a_body_beyond_the_largest_file_is_413(ours):
    assert ours.system.post("/media/", {"content": "A" * MAX_BYTES}).status_code == 413


def test_rights(ours):
    reads, writes = ours.key("library.read"), ours.key("library.write")
    assert [caller.get("/media/").status_code for caller in (reads, writes, ours.me)] == [200, 403, 403]
    assert [caller.post("/media/", sent(GIF)).status_code for caller in (reads, writes, ours.me)] == [403, 201, 403]
    assert writes.get(f"/media/{ours.poster.pk}/").status_code == 403
