"""Every key that reaches Redis carries a brand or is on a short list of what belongs to the whole installation; every
file lies in the folder of its brand; a signed link opens for who made it, in the brand it was made in.

The whole matrix is watched for keys by `python -m tests.isolation` (conftest.py: `watched`); within the tests a part.
"""

import base64
import re
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
import redis
from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.core.files.storage import storages
from django.test import Client

from accounts import audit_chain
from accounts.errors import NoBrandInScope
from accounts.roles import Role
from accounts.services import grant_role
from accounts.tenancy import brand_scope
from common import clock
from inbox.models import Attachment
from inbox.services.media import fetch_attachment
from members.admin.rights import LINK_SECONDS
from members.models import RequestFile, RightsRequest
from tests.isolation import lint
from tests.isolation.asking import Asker
from tests.isolation.cells import Cells
from tests.isolation.conftest import askers_of, keep_files_in
from tests.isolation.keys import GLOBAL, OF_A_BRAND, Watch, strangers
from tests.isolation.matrix import console, rest, working
from tests.isolation.test_surfaces import APPS, BASE
from tests.isolation.world import build
from wechat_gateway import downloads
from wechat_gateway.models import OfficialAccount


@pytest.mark.django_db
@pytest.mark.timeout(300)
@pytest.mark.long(15)
def test_every_key_carries_its_brand_or_is_declared(client, monkeypatch):
    cells = Cells("keys in Redis")
    world = build()
    askers = askers_of(world)
    matrix = SimpleNamespace(world=world, askers=askers, layer="real")
    with Watch() as watch:
        rest.paths(matrix, Cells("x"), only="api/v1/m")
        console.addresses(matrix, Cells("x"), "owner", only="campaigns/")
        askers["nobody"].ask("POST", "/api/v1/session/", {"appid": "wxffffffffffffffff", "code": "x"})
        Client().post("/login/", {"username": "owner-a", "password": "wrong"})
        for path in ("/healthz", "/readyz", "/brands/"):
            askers["owner"].ask("GET", path)
        working.tasks(matrix, Cells("x"), only="sync_account_tags")
        with brand_scope(world.a.brand.pk):
            cache.set("probe", 1)
        task = working.surfaces.tasks()["campaigns.tasks.settle_results"]
        task.apply_async((world.a.brand.pk,))
    unknown = strangers(watch.keys)
    for key in sorted(watch.keys):
        cells.expect(key not in unknown, "key", key)
    assert any(OF_A_BRAND.search(key) for key in watch.keys), watch.keys
    assert any(key.startswith("zhiyin:global:bucket") for key in watch.keys), watch.keys
    assert "send" in watch.keys
    assert len(GLOBAL) <= 20
    cells.facts["keys"] = len(watch.keys)
    cells.close()


def test_every_key_of_a_command_is_seen():
    with redis.Redis.from_url(settings.REDIS_URL) as client, Watch() as watch:
        client.mget("b1:one", "astray:two")
        client.delete("b1:one", "astray:three")
        client.unlink("b1:one", "astray:four")
        client.mset({"b1:one": "astray value", "astray:five": "x"})
        client.eval("return redis.call('GET', KEYS[2])", 2, "b1:one", "astray:six", "astray value")
        client.sunion("b1:sets", "astray:seven")
        client.exists("b1:one", "astray:eight")
        client.delete("astray:five")
    two_to_eight = {f"astray:{each}" for each in ("two", "three", "four", "five", "six", "seven", "eight")}
    assert set(strangers(watch.keys)) == two_to_eight


@pytest.mark.django_db
def test_cache_without_a_brand_raises(brand):
    with pytest.raises(NoBrandInScope):
        cache.set("figures", 1)
    with pytest.raises(NoBrandInScope):
        cache.get("figures")


@pytest.mark.django_db
def test_same_key_of_two_brands_is_two_entries(brand, other_brand):
    with brand_scope(brand.pk):
        cache.set("figures", "ours")
    with brand_scope(other_brand.pk):
        assert cache.get("figures") is None
        cache.set("figures", "theirs")
    with brand_scope(brand.pk):
        assert cache.get("figures") == "ours"
        cache.delete("figures")


# Where files are kept, and why nowhere else: no column of a model holds one, no cache, no folder of a web server.
KEEPERS = {"accounts/audit_chain.py", "library/files.py"}
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 40


def folder_of(brand):
    return re.compile(rf"^(b{brand.pk}|{audit_chain.FOLDER}/{brand.pk})/[^/]+$")


def walk(folder=""):
    """Every file of private storage."""
    folders, names = storages["private"].listdir(folder)
    found = {f"{folder}/{each}".lstrip("/") for each in names}
    return found.union(*(walk(f"{folder}/{each}".lstrip("/")) for each in folders))


@pytest.fixture
def own_storage(settings, tmp_path):
    keep_files_in(settings, tmp_path)


def test_files_are_kept_in_two_places():
    storing = re.compile(r"storages\[|default_storage|FileField\(|ImageField\(|FileSystemStorage")
    forms = re.compile(r"forms\.FileField\(|serializers\.FileField\(")
    found = {
        name for name, source in lint.files(BASE, APPS) if any(
            storing.search(line) and not forms.search(line) for line in source.splitlines()
        )
    }  # fmt: skip
    assert found - {"config/settings.py"} == KEEPERS


@pytest.mark.django_db
def test_files_lie_in_the_folder_of_their_brand(own_storage, monkeypatch):
    world, askers = build(), {}
    monkeypatch.setattr(downloads, "download_media", lambda *_, **__: PNG)
    for side in (world.a, world.b):
        brand, before = side.brand, walk()
        key = Asker("key", authorization=f"Key {side.keys['full']}")
        body = {"kind": "IMAGE", "name": "门口", "content": base64.b64encode(PNG).decode()}
        assert key.ask("POST", "/api/v1/media/", body, keep=True).status == 201
        with brand_scope(brand.pk):
            waiting = Attachment.objects.create(
                account=side.near[OfficialAccount], media_id="m", created_at=clock.now()
            )
        fetch_attachment(brand_id=brand.pk, attachment_id=waiting.pk, at=clock.now())
        audit_chain.seal_log(brand.pk, at=clock.now(), patience=0)
        audit_chain.anchor_log(brand.pk, at=clock.now())
        new = walk() - before
        assert len(new) == 3, new
        assert [name for name in new if not folder_of(brand).match(name)] == []
        askers[brand.pk] = new
    assert not set.intersection(*askers.values())


@pytest.mark.django_db
def test_signed_link_opens_for_who_made_it_in_its_brand_for_ten_minutes(monkeypatch):
    world = build()
    both = world.b.people["owner"]
    with brand_scope(world.a.brand.pk):
        grant_role(staff_user=both, role=Role.OWNER)
        RequestFile.objects.update(expires_at=clock.now() + timedelta(days=1))
    asker, row = Asker("owner of both", user=both), world.a.near[RightsRequest]
    made = asker.ask("POST", f"/b/lanyu/members/rightsrequest/{row.pk}/change/", {"act": "link"}, follow=True)
    link = re.search(r"/b/lanyu/members/copies/[^\"/]+/", made.text)[0]

    assert askers_of(world)["owner"].ask("GET", link).status == 404
    there, made_up = (
        asker.ask("GET", each.replace("/b/lanyu/", "/b/zaoshan/")) for each in (link, f"{link[:-5]}AAAA/")
    )
    assert (there.status, there.text, there.headers) == (404, made_up.text, made_up.headers)
    assert LINK_SECONDS <= 600
    later = time.time() + LINK_SECONDS + 1
    with monkeypatch.context() as patch:
        patch.setattr(signing, "time", SimpleNamespace(time=lambda: later))
        assert asker.ask("GET", link).status == 404
    assert asker.ask("GET", link).status == 200
