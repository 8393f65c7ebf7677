"""Another data key for a brand, while everybody reads and writes: however often it is killed, nothing is lost."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts import key_rotation, sealing
from accounts.errors import Unsealable
from accounts.key_rotation import held, rotate_brand_key
from accounts.models import AuditEntry, BrandKey, StaffUser
from accounts.sealing import blind_index, forget_keys, key_of
from accounts.tenancy import brand_scope
from common import failpoints
from launcher.state import ROOT
from members.models import Member
from members.services import bind_phone, join_by_phone
from tests.console.conftest import PASSWORD, signed_in
from tests.factories import AT, make_account, make_brand, make_follower
from wechat_gateway.models import OfficialAccount
from wechat_gateway.services import rotate_master

pytestmark = pytest.mark.django_db(transaction=True)

VALUES = int(os.environ.get("ROTATION_VALUES", "3000"))
KILLS = 10
AGE = 0.5
COLUMN = "members_member.phone"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(sealing, "KEY_AGE", AGE)
    forget_keys()
    yield
    forget_keys()


@pytest.fixture
def brand():
    return make_brand()


def people(brand, count):
    """Records with a sealed value each, which says whose it is."""
    rows = []
    with brand_scope(brand.pk):
        for number in range(count):
            row = Member(public_id=uuid.uuid4(), member_no=f"M{number}", created_at=AT)
            row.phone = f"{number}:0"
            rows.append(row)
        Member.objects.bulk_create(rows, batch_size=1000)
        return list(Member.objects.order_by("pk").values_list("pk", flat=True))


def raw(pk, column="phone", table="members_member"):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} WHERE id = %s", [pk])
        return bytes(cursor.fetchone()[0])


@contextmanager
def beside(work):
    """Something that goes on meanwhile, on connections of its own; what it raises is raised here."""
    going, wrong = threading.Event(), []
    going.set()

    def run(number):
        try:
            while going.is_set():
                work(number)
        except Exception as error:  # whatever it is, it is told below
            wrong.append(repr(error))
        finally:
            connection.close()

    lines = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for line in lines:
        line.start()
    try:
        yield
    finally:
        going.clear()
        for line in lines:
            line.join(60)
    assert wrong == []


@pytest.fixture
def nursery():
    """Where the command runs, to be killed."""
    known = connection.settings_dict
    place = f"{known['USER']}:{known['PASSWORD']}@{known['HOST']}:{known['PORT']}/{known['NAME']}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.accounts.key_nursery", str(AGE), str(max(10, VALUES // 60))],
        cwd=ROOT, env={**os.environ, "DATABASE_URL": f"postgres://{place}"}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip

    def begin(*words):
        process.stdin.write(" ".join(words) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    def end():
        return int(process.stdout.readline())

    yield begin, end
    process.communicate(timeout=60)


def turned(brand):
    return BrandKey.objects.filter(owner=brand).values_list("turned", flat=True).first() or 0


@pytest.mark.long(40)
@pytest.mark.timeout(3600)
def test_killed_ten_times_nobody_reads_less_and_nothing_written_is_lost(brand, nursery):
    begin, end = nursery
    ids = people(brand, VALUES)
    version = dict.fromkeys(ids, 0)
    counted, draws = [0, 0], [random.Random(1), random.Random(2)]

    def read_and_write(line):
        """What one request does: half of them read anybody's value, half change one that only this line changes."""
        number = draws[line].randrange(VALUES)
        with brand_scope(brand.pk):
            row = Member.objects.get(pk=ids[number])
            assert row.phone.reveal().partition(":")[0] == str(number)
            if number % 2 == line:
                row.phone = f"{number}:{version[row.pk] + 1}"
                row.save(update_fields=["phone"])
        version[ids[number]] += number % 2 == line
        counted[line] += 1
        time.sleep(0.01)

    kills = 0
    with beside(read_and_write):
        while kills < KILLS:
            before = turned(brand)
            pid = begin("rotate_brand_keys", "--brand", brand.slug, "--new")
            while turned(brand) == before:
                time.sleep(0.002)
            os.kill(pid, signal.SIGKILL)
            assert end() == signal.SIGKILL
            kills += 1
        assert BrandKey.objects.get(owner=brand).settled_at is None
        begin("rotate_brand_keys", "--brand", brand.slug)
        assert end() == 0

    assert held(brand.pk) == {1: VALUES}
    forget_keys()
    with brand_scope(brand.pk):
        said = {row.pk: row.phone.reveal() for row in Member.objects.all()}
        acts = list(AuditEntry.objects.filter(object_type="accounts.brandkey").values_list("action", flat=True))
    assert said == {pk: f"{number}:{version[pk]}" for number, pk in enumerate(ids)}
    assert sorted(acts) == ["retire data key", "rotate data key"]
    assert BrandKey.objects.get(owner=brand).settled_at is not None
    assert min(counted) > 0
    assert sum(version.values()) > 0


def test_every_sealed_column_turns_and_stays_bound_to_its_place(brand):
    with brand_scope(brand.pk):
        one, other = make_account(app_secret="secret-one"), make_account(app_secret="secret-two")
    turn = rotate_brand_key(brand, at=AT, new=True)
    assert (turn.number, turn.left, turn.lost) == (1, 0, [])
    assert turn.held.total() == turn.turned >= 4

    table = "wechat_gateway_officialaccount"
    with brand_scope(brand.pk):
        sealed = raw(one.pk, "app_secret", table)
        assert key_of(sealed) == 1
        assert OfficialAccount.objects.get(pk=one.pk).app_secret.reveal() == "secret-one"
        other_key = sealing.head_of(2) + sealed[sealing.HEAD :]
        first_key = sealing.head_of(0) + sealed[sealing.HEAD :]
        for pk, value in ((other.pk, sealed), (one.pk, other_key), (one.pk, first_key), (one.pk, sealed[:2])):
            with connection.cursor() as cursor:
                cursor.execute(f"UPDATE {table} SET app_secret = %s WHERE id = %s", [value, pk])
            with pytest.raises(Unsealable):
                OfficialAccount.objects.get(pk=pk).app_secret  # noqa: B018


def test_process_that_knows_the_earlier_key_only_opens_what_is_under_the_new_one(brand):
    (pk,) = people(brand, 1)
    earlier = sealing._rings[brand.pk]
    rotate_brand_key(brand, at=AT, new=True)
    sealing._rings[brand.pk] = earlier

    with brand_scope(brand.pk):
        assert Member.objects.get(pk=pk).phone.reveal() == "0:0"
        assert key_of(raw(pk)) == 1


def test_running_process_seals_with_the_new_key_after_a_while(brand):
    people(brand, 1)
    earlier = sealing._rings[brand.pk]
    rotate_brand_key(brand, at=AT, new=True)
    sealing._rings[brand.pk] = earlier
    assert time.monotonic() - earlier.asked > AGE  # the command waits for that long

    assert key_of(sealing.seal(brand.pk, "x", b"y")) == 1
    assert key_of(sealing.seal(brand.pk, "x", b"y", lasting=False)) == 1


def test_what_somebody_writes_while_their_row_is_sealed_anew_stays(brand, monkeypatch):
    (pk,) = people(brand, 1)
    seal, done = sealing.seal, []

    def change():
        with brand_scope(brand.pk):
            row = Member.objects.get(pk=pk)
            row.phone = "0:theirs"
            row.save(update_fields=["phone"])
        connection.close()

    def and_somebody_changes_it(*args, **kwargs):
        if not done:
            done.append(True)
            other = threading.Thread(target=change)
            other.start()
            other.join()
        return seal(*args, **kwargs)

    monkeypatch.setattr(sealing, "seal", and_somebody_changes_it)
    turn = rotate_brand_key(brand, at=AT, new=True)
    monkeypatch.undo()

    assert turn.left == 0
    with brand_scope(brand.pk):
        assert Member.objects.get(pk=pk).phone.reveal() == "0:theirs"


def test_earlier_key_is_not_retired_while_somebody_may_still_write_under_it(brand, monkeypatch):
    """A row that is not committed yet is counted by nobody."""
    people(brand, 1)
    written, may_end = threading.Event(), threading.Event()

    def write_slowly():
        with brand_scope(brand.pk):
            row = Member(public_id=uuid.uuid4(), member_no="late", created_at=AT)
            row.phone = "late"
            row.save()
            written.set()
            may_end.wait(60)
        connection.close()

    slow = threading.Thread(target=write_slowly)
    slow.start()
    assert written.wait(60)
    monkeypatch.setattr(key_rotation, "PATIENCE", 0.3)
    turn = rotate_brand_key(brand, at=AT, new=True)
    may_end.set()
    slow.join(60)
    assert turn.settled_at is None

    turn = rotate_brand_key(brand, at=AT)
    assert turn.settled_at is not None
    assert held(brand.pk) == {1: 2}


def test_row_that_somebody_holds_is_waited_for_without_holding_others(brand):
    first, second = people(brand, 2)
    holding, seen = threading.Event(), []

    def hold():
        with brand_scope(brand.pk):
            row = Member.objects.select_for_update().get(pk=first)
            holding.set()
            while turned(brand) == 0:
                time.sleep(0.01)
            seen.append(Member.objects.select_for_update(nowait=True).get(pk=second).phone.reveal())
            row.phone = "0:held"
            row.save(update_fields=["phone"])
        connection.close()

    line = threading.Thread(target=hold)
    line.start()
    assert holding.wait(60)
    turn = rotate_brand_key(brand, at=AT, new=True)
    line.join(60)

    assert seen == ["1:0"]
    assert (turn.left, turn.settled_at is not None) == (0, True)
    with brand_scope(brand.pk):
        assert Member.objects.get(pk=first).phone.reveal() == "0:held"


def test_phone_leads_to_the_same_person_before_while_and_after(brand):
    number, index = "+8613800006721", blind_index(brand.pk, "phone", "+8613800006721")
    with brand_scope(brand.pk):
        account = make_account()
        holder = bind_phone(member=make_follower(account).member, number=number, source="test", at=AT)
        card = bind_phone(member=make_follower(account).member, number="+8613800006722", source="test", at=AT)
        BrandKey.objects.create(owner=brand, number=1, created_at=AT)  # begun, and nothing turned yet
        forget_keys()
        found, _joined = join_by_phone(number=number, source="test", at=AT)
        moved = bind_phone(member=card, number="+8613800006723", source="test", at=AT)
        assert (found.pk, moved.pk) == (holder.pk, card.pk)
        assert (key_of(raw(holder.pk)), key_of(raw(card.pk))) == (0, 1)

    assert rotate_brand_key(brand, at=AT).left == 0
    with brand_scope(brand.pk):
        found, joined = join_by_phone(number=number, source="test", at=AT)
        assert (found.pk, joined, found.phone_index, found.phone.reveal()) == (holder.pk, False, index, number)
        assert key_of(raw(holder.pk)) == 1


def test_value_that_no_key_opens_is_named_and_the_earlier_key_stays(brand, capsys):
    first, second = people(brand, 2)
    with brand_scope(brand.pk), connection.cursor() as cursor:
        cursor.execute("UPDATE members_member SET phone = %s WHERE id = %s", [raw(second), first])
    with pytest.raises(CommandError, match="left under an earlier key"):
        call_command("rotate_brand_keys", brand=brand.slug, new=True)

    assert f"no key opens {COLUMN} {first}" in capsys.readouterr().out
    assert BrandKey.objects.get(owner=brand).settled_at is None
    assert held(brand.pk) == {0: 1, 1: 1}


class Killed(BaseException):
    """What no handler of errors takes for one."""


@pytest.mark.parametrize("name", ["data key: made", "data key: sealed a batch anew"])
def test_killed_at_a_point_it_goes_on_for_every_brand_and_none_gets_two_keys(brand, monkeypatch, name):
    brands = [brand, make_brand("zaoshan", "灶山小馆")]
    for each in brands:
        people(each, 3)

    def die():
        raise Killed

    with monkeypatch.context() as patch:
        patch.setitem(failpoints.armed, name, die)
        with pytest.raises(Killed):
            call_command("rotate_brand_keys", every_brand=True, new=True)
    if name == "data key: sealed a batch anew":  # by then each of them has its key, so nobody asks for new ones again
        call_command("rotate_brand_keys", every_brand=True)
    else:
        call_command("rotate_brand_keys", every_brand=True, new=True)
    assert [held(each.pk) for each in brands] == [{1: 3}, {1: 3}]


def test_pieces_of_files_go_a_few_at_a_time(brand, monkeypatch):
    sizes, write = [], key_rotation._WRITE
    ids = people(brand, 5)
    with brand_scope(brand.pk):
        for pk in ids:
            row = Member.objects.get(pk=pk)
            row.phone = "1" * 3_000
            row.save(update_fields=["phone"])
    monkeypatch.setattr(key_rotation, "MOST_BYTES", 5_000)  # two of them: the second begins below it

    def asked(execute, sql, params, many, context):
        if "unnest" in sql and sql.strip().startswith(write.strip()[:9]):
            sizes.append(len(params[0]))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(asked):
        rotate_brand_key(brand, at=AT, new=True)
    assert sizes == [2, 2, 1]
    assert held(brand.pk) == {1: 5}


def test_command_begins_only_when_it_is_asked_to(brand, capsys):
    people(brand, 1)
    call_command("rotate_brand_keys", brand=brand.slug)
    assert "has its first key only" in capsys.readouterr().out
    BrandKey.objects.create(owner=brand, number=1, created_at=AT)
    call_command("rotate_brand_keys", every_brand=True, dry_run=True)
    assert "1 values are left under an earlier key" in capsys.readouterr().out
    assert held(brand.pk) == {0: 1}

    call_command("rotate_brand_keys", brand=brand.slug, new=True)  # one is under way: no second
    call_command("rotate_brand_keys", brand=brand.slug)
    assert "everything is under key 1 since" in capsys.readouterr().out
    call_command("rotate_brand_keys", brand=brand.slug, new=True)
    assert held(brand.pk) == {2: 1}


def test_another_master_key_wraps_later_keys_too(brand, settings, tmp_path):
    private = {**settings.STORAGES["private"], "OPTIONS": {"location": str(tmp_path), "base_url": None}}
    settings.STORAGES = {**settings.STORAGES, "private": private}
    (pk,) = people(brand, 1)
    rotate_brand_key(brand, at=AT, new=True)
    fresh = "fresh:" + "B" * 43 + "="
    settings.MASTER_KEYS = f"{fresh},{settings.MASTER_KEYS}"
    rotate_master(at=AT)

    settings.MASTER_KEYS = fresh
    forget_keys()
    with brand_scope(brand.pk):
        assert Member.objects.get(pk=pk).phone.reveal() == "0:0"


def test_platform_shows_which_brand_is_under_which_key(brand):
    root = signed_in(StaffUser.objects.create_superuser("root", password=PASSWORD, language="en"))
    page = "/platform/accounts/brand/"
    assert "first key" in root.get(page).content.decode()
    key = BrandKey.objects.create(owner=brand, number=1, created_at=AT, turned=1234)
    assert "1,234 values sealed anew" in root.get(page).content.decode()

    key.settled_at = AT
    key.save()
    text = root.get(page).content.decode()
    assert "everything under it since" in text
    assert "sealed anew" not in text
