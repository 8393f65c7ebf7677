"""Another master key, while everybody goes on reading: nothing is lost however often it is killed."""

from __future__ import annotations

import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.audit_chain import kept_anchors, seal_log
from accounts.models import Brand
from accounts.sealing import forget_keys, master_of
from accounts.services import record_audit
from accounts.tenancy import brand_scope
from common import failpoints
from tests.factories import AT, make_account, make_brand
from wechat_gateway import services
from wechat_gateway.models import OfficialAccount, Platform
from wechat_gateway.services import rotation

pytestmark = pytest.mark.django_db(transaction=True)
NEW = "fresh:" + "B" * 43 + "="
BRANDS = 12


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    private = {**settings.STORAGES["private"], "OPTIONS": {"location": str(tmp_path), "base_url": None}}
    settings.STORAGES = {**settings.STORAGES, "private": private}


@pytest.fixture
def secrets():
    """Brands with a secret each, and a platform of the installation: what reads as what."""
    known = {}
    for number in range(BRANDS):
        brand = make_brand(f"pinpai{number}", f"品牌{number}")
        with brand_scope(brand.pk):
            known[brand.pk] = make_account(app_secret=f"secret-{number}").pk
    services.set_platform(
        name="平台", appid="wx" + "1" * 16, app_secret="a" * 32, callback_token="t" * 8,
        encoding_aes_key="k" * 43, at=AT,
    )  # fmt: skip
    return known


@pytest.fixture
def old(settings):
    """The keys as they were; the new one stands in front from now on."""
    before = settings.MASTER_KEYS
    yield before
    forget_keys()


def read(known):
    """Everything that is sealed, as it reads now."""
    forget_keys()
    said = []
    for number, (brand_id, pk) in enumerate(known.items()):
        with brand_scope(brand_id):
            said.append(OfficialAccount.objects.get(pk=pk).app_secret.reveal() == f"secret-{number}")
    said.append(Platform.objects.get().app_secret.reveal() == "a" * 32)
    return all(said)


def names():
    wrapped = [bytes(key) for key in Brand.objects.order_by("pk").values_list("data_key", flat=True)]
    return {master_of(each) for each in wrapped}


def test_everything_opens_with_the_new_key_alone_afterwards(secrets, old, settings):
    settings.MASTER_KEYS = f"{NEW},{old}"
    found = services.rotate_master(at=AT)
    assert set(found.after) == {"fresh"}
    assert found.before.total() == found.after.total() >= BRANDS + 3

    settings.MASTER_KEYS = NEW
    assert read(secrets)
    assert names() == {"fresh"}


def test_killed_ten_times_it_goes_on_and_nobody_reads_less(secrets, old, settings, monkeypatch):
    settings.MASTER_KEYS = f"{NEW},{old}"

    def die():
        raise Killed

    for _time in range(10):
        monkeypatch.setitem(failpoints.armed, "master key: wrapped one anew", die)
        with pytest.raises(Killed):
            services.rotate_master(at=AT)
        assert read(secrets)
    monkeypatch.delitem(failpoints.armed, "master key: wrapped one anew")

    services.rotate_master(at=AT)
    assert set(services.rotate_master(at=AT).before) == {"fresh"}
    settings.MASTER_KEYS = NEW
    assert read(secrets)


def test_readers_beside_it_never_fail(secrets, old, settings):
    settings.MASTER_KEYS = f"{NEW},{old}"
    going, wrong, reads = threading.Event(), [], []
    going.set()

    def reader():
        try:
            while going.is_set() or not reads:
                reads.append(read(secrets))
        except Exception as error:  # whatever it is, it is told below
            wrong.append(repr(error))
        finally:
            connection.close()

    lines = [threading.Thread(target=reader) for _ in range(4)]
    for line in lines:
        line.start()
    services.rotate_master(at=AT)
    going.clear()
    for line in lines:
        line.join(60)

    assert (wrong, all(reads)) == ([], True)


def test_value_that_somebody_changed_meanwhile_stays_theirs(secrets, old, settings, monkeypatch):
    settings.MASTER_KEYS = f"{NEW},{old}"
    wrap_anew = rotation.rewrapped
    theirs = bytes(Platform.objects.values_list("app_secret", flat=True).get())

    def and_somebody_changes_it(wrapped):
        if wrapped == theirs:
            services.set_platform(
                name="平台", appid="wx" + "1" * 16, app_secret="b" * 32, callback_token="t" * 8,
                encoding_aes_key="k" * 43, at=AT,
            )  # fmt: skip
        return wrap_anew(wrapped)

    monkeypatch.setattr(rotation, "rewrapped", and_somebody_changes_it)
    services.rotate_master(at=AT)

    assert Platform.objects.get().app_secret.reveal() == "b" * 32


def test_key_that_is_missing_is_named_and_nothing_is_touched(secrets, old, settings, capsys):
    settings.MASTER_KEYS = NEW
    before = names()
    with pytest.raises(CommandError, match="does not name"):
        call_command("rotate_master")
    assert "accounts.Brand.data_key" in capsys.readouterr().out
    assert names() == before


def test_dry_run_only_says_what_is_still_needed(secrets, old, settings, capsys):
    (name,) = names()
    settings.MASTER_KEYS = f"{NEW},{old}"
    call_command("rotate_master", dry_run=True)
    assert f"still needed: {name}" in capsys.readouterr().out
    assert names() == {name}

    call_command("rotate_master")
    assert "everything is wrapped with fresh" in capsys.readouterr().out


def test_audit_log_is_anchored_under_the_new_key(secrets, old, settings):
    brand_id = next(iter(secrets))
    with brand_scope(brand_id):
        record_audit(action="change", obj=Brand.objects.get(pk=brand_id))
    assert seal_log(brand_id, at=AT) == 1
    settings.MASTER_KEYS = f"{NEW},{old}"
    services.rotate_master(at=AT)

    assert [each["key"] for each in kept_anchors(brand_id)] == ["fresh"]
