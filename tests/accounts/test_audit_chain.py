"""The audit log under seal: whoever bends it, with the rights of its owner or even with the keys, is found out."""

import itertools
import json
import os
import random
import threading
import time
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, ProgrammingError, connection, connections, transaction

from accounts import audit_chain, audit_proof
from accounts.audit_chain import anchor_log, kept_anchors, seal_log
from accounts.audit_proof import verify_log
from accounts.models import AuditBlock, AuditChange, AuditEntry, AuditState
from accounts.services import forget_in_audit, record_audit, trim_audit
from accounts.tenancy import brand_scope
from members.services import brands_to_seal, verify_audit, watch_audit
from tests.factories import AT, make_brand, make_staff, make_tag
from wechat_gateway.models import Incident

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

ENTRIES = 60
ATTACKS = int(os.environ.get("AUDIT_ATTACKS", "36"))
MANY = int(os.environ.get("AUDIT_ENTRIES", "3000"))
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    private = {**settings.STORAGES["private"], "OPTIONS": {"location": str(tmp_path), "base_url": None}}
    settings.STORAGES = {**settings.STORAGES, "private": private}
    return tmp_path


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(audit_chain, "BLOCK", 8)


@pytest.fixture
def owner():
    """Whoever has the database itself: the owner of the tables, with row security switched off."""
    tables = ("accounts_auditentry", "accounts_auditblock", "accounts_auditchange")
    with connections["owner"].cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        yield lambda statement, *params: _all(cursor, statement, params)
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def _all(cursor, statement, params):
    cursor.execute(statement, params)
    return cursor.fetchall() if cursor.description else []


def write(brand, count, at=AT):
    """Entries with a gap in their numbers behind every third, as a transaction that was given up leaves one."""
    with brand_scope(brand.pk):
        for number in range(count):
            AuditEntry.objects.create(
                at=at + timedelta(seconds=number),
                actor_label=f"员工{number}",
                via="console",
                action="change",
                object_type="members.tag",
                object_id=str(number),
                object_label=f"标签{number}",
                changes={"name": [f"旧{number}", f"新{number}"]},
            )
            if number % 3 == 2:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT nextval('accounts_auditentry_id_seq')")


@pytest.fixture
def log(brand, other_brand, small_blocks):
    """Two brands with sealed and anchored logs."""
    for each in (brand, other_brand):
        write(each, ENTRIES)
        assert seal_log(each.pk, at=AT) == ENTRIES
        assert anchor_log(each.pk, at=AT)["block"] == 8
    return brand


def kinds(report):
    return {what for what, _where in report.findings}


def test_log_that_nobody_bent_verifies_whole(log, other_brand):
    report = verify_log(log.pk, at=AT)

    assert (report.entries, report.blocks, report.anchors, report.waiting, report.findings) == (ENTRIES, 8, 1, 0, [])
    assert verify_log(other_brand.pk, at=AT).findings == []


class Attacker:
    """Ways to bend a log as the owner of its tables. Each gives how it is to be found out."""

    def __init__(self, owner, brand, other, chance):
        self.owner, self.brand, self.other, self.chance = owner, brand, other, chance
        self.ids = [
            pk for (pk,) in owner("SELECT id FROM accounts_auditentry WHERE brand_id = %s ORDER BY id", brand.pk)
        ]
        self.one = chance.choice(self.ids)

    def edit_the_act(self):
        column = self.chance.choice(
            ["actor_label", "role", "via", "action", "object_type", "object_id", "ip", "request_id"]
        )
        self.owner(f"UPDATE accounts_auditentry SET {column} = 'x' WHERE id = %s", self.one)
        return {(audit_proof.ALTERED, self.one)}

    def edit_the_moment(self):
        self.owner("UPDATE accounts_auditentry SET at = at + interval '1 microsecond' WHERE id = %s", self.one)
        return {(audit_proof.ALTERED, self.one)}

    def edit_the_words(self):
        column, value = self.chance.choice(
            [("reason", "x"), ("object_label", "***"), ("changes", '{"name": ["旧", "x"]}')]
        )
        self.owner(f"UPDATE accounts_auditentry SET {column} = %s WHERE id = %s", value, self.one)
        return {(audit_proof.ALTERED, self.one)}

    def delete(self):
        self.owner("DELETE FROM accounts_auditentry WHERE id = %s", self.one)
        return {(audit_proof.REMOVED, self.one)}

    def delete_and_claim_its_age(self):
        self.delete()
        self.owner(
            "INSERT INTO accounts_auditchange (brand_id, kind, upto, rows, at) VALUES (%s, 'TRIMMED', now(), 1, now())",
            self.brand.pk,
        )
        return {(audit_proof.REMOVED, self.one)}

    def insert(self):
        free = self.chance.choice([-1, *set(range(self.ids[0], self.ids[-1])) - set(self.ids)])
        self.owner(
            "INSERT INTO accounts_auditentry (id, brand_id, at, actor_label, role, via, action, object_type, "
            "object_id, object_label, changes, reason, ip, request_id) SELECT %s, brand_id, at, actor_label, role, via, "
            "action, object_type, object_id, object_label, changes, reason, ip, request_id FROM accounts_auditentry "
            "WHERE id = %s",
            free,
            self.one,
        )
        return {(audit_proof.INSERTED, free)}

    def reorder(self):
        other = self.chance.choice([pk for pk in self.ids if pk != self.one])
        for old, new in ((self.one, -7), (other, self.one), (-7, other)):
            self.owner("UPDATE accounts_auditentry SET id = %s WHERE id = %s", new, old)
        return {(audit_proof.ALTERED, self.one), (audit_proof.ALTERED, other)}

    def swap_brands(self):
        self.owner("UPDATE accounts_auditentry SET brand_id = %s WHERE id = %s", self.other.pk, self.one)
        return {(audit_proof.REMOVED, self.one)}

    def swap_blocks_of_brands(self):
        number = self.chance.randint(1, 8)
        self.owner(
            "UPDATE accounts_auditblock b SET records = o.records, previous = o.previous, hash = o.hash, upto = o.upto "
            "FROM accounts_auditblock o WHERE b.brand_id = %s AND o.brand_id = %s AND b.number = %s AND o.number = %s",
            *(self.brand.pk, self.other.pk, number, number),
        )
        return {(audit_proof.BLOCK, number)}

    def edit_a_seal(self):
        number = self.chance.randint(1, 8)
        column = self.chance.choice(
            ["records = substr(records, 1, 48)", "previous = hash", "sealed_at = now()", "upto = upto - 1"]
        )
        self.owner(
            f"UPDATE accounts_auditblock SET {column} WHERE brand_id = %s AND number = %s", self.brand.pk, number
        )
        return {(audit_proof.BLOCK, number)}

    def remove_a_seal(self):
        number = self.chance.randint(1, 7)
        self.owner("DELETE FROM accounts_auditblock WHERE brand_id = %s AND number = %s", self.brand.pk, number)
        return {(audit_proof.MISSING, number)}

    def cut_the_tail(self):
        number = self.chance.randint(1, 8)
        (upto,) = self.owner(
            "SELECT coalesce(max(upto), -1) FROM accounts_auditblock WHERE brand_id = %s AND number < %s",
            *(self.brand.pk, number),
        )[0]
        self.owner("DELETE FROM accounts_auditblock WHERE brand_id = %s AND number >= %s", self.brand.pk, number)
        self.owner("DELETE FROM accounts_auditentry WHERE brand_id = %s AND id > %s", self.brand.pk, upto)
        return {(audit_proof.CUT, 8)}

    def rewrite_with_the_keys(self):
        """Everything from one entry on, sealed anew by whoever has the keys as well: only the anchors know better."""
        (number, _after) = self.owner(
            "SELECT min(number), min(upto) FROM accounts_auditblock WHERE brand_id = %s AND upto >= %s",
            *(self.brand.pk, self.one),
        )[0]
        self.owner("UPDATE accounts_auditentry SET actor_label = 'x' WHERE id = %s", self.one)
        self.owner("DELETE FROM accounts_auditblock WHERE brand_id = %s AND number >= %s", self.brand.pk, number)
        seal_log(self.brand.pk, at=AT + HOUR)
        return {(audit_proof.REWRITTEN, 8)}


WAYS = [name for name in vars(Attacker) if not name.startswith("_")]


def keep(owner):
    for table in ("auditentry", "auditblock", "auditchange"):
        owner(f"CREATE TABLE IF NOT EXISTS kept_{table} AS SELECT * FROM accounts_{table}")


def put_back(owner):
    for table in ("auditentry", "auditblock", "auditchange"):
        owner(f"DELETE FROM accounts_{table}")
        owner(f"INSERT INTO accounts_{table} SELECT * FROM kept_{table}")


def test_every_attack_is_found_and_where(log, other_brand, owner):
    keep(owner)
    try:
        for number, way in zip(range(ATTACKS), itertools.cycle(WAYS), strict=False):
            expected = getattr(Attacker(owner, log, other_brand, random.Random(number)), way)()
            found = set(verify_log(log.pk, at=AT + HOUR).findings)
            assert expected <= found, f"{way}, chance {number}: {sorted(found)}"
            put_back(owner)
            assert verify_log(log.pk, at=AT + HOUR).findings == [], way
    finally:
        for table in ("auditentry", "auditblock", "auditchange"):
            owner(f"DROP TABLE kept_{table}")


def test_no_fork_can_be_written(log):
    with brand_scope(log.pk):
        block = AuditBlock.objects.get(number=4)
        block.pk = None
        with pytest.raises(IntegrityError), transaction.atomic():
            block.save(force_insert=True)


@pytest.mark.parametrize("act", ["UPDATE {} SET brand_id = brand_id", "DELETE FROM {}"])
@pytest.mark.parametrize("table", ["accounts_auditblock", "accounts_auditchange", "accounts_auditentry"])
def test_application_itself_can_change_no_seal(log, table, act):
    with pytest.raises(ProgrammingError, match="permission denied"), brand_scope(log.pk), connection.cursor() as cursor:
        cursor.execute(act.format(table))


def test_late_writer_is_waited_for_and_sealed_in_order(brand, small_blocks):
    begun, go_on = threading.Event(), threading.Event()

    def late():
        try:
            with brand_scope(brand.pk):
                record_audit(action="late", obj=brand)
                begun.set()
                go_on.wait(30)
        finally:
            connection.close()

    writer = threading.Thread(target=late)
    writer.start()
    assert begun.wait(30)
    with brand_scope(brand.pk):
        record_audit(action="quick", obj=brand)  # a higher number, committed first

    assert seal_log(brand.pk, at=AT, patience=0.1) == 0
    go_on.set()
    writer.join(30)
    assert seal_log(brand.pk, at=AT) >= 2
    with brand_scope(brand.pk):
        assert list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))[-2:] == ["late", "quick"]
    report = verify_log(brand.pk, at=AT)
    assert (report.waiting, report.findings) == (0, [])


@pytest.mark.long(15)
def test_32_writers_and_two_sealers_make_one_chain(brand, small_blocks):
    writing, sealed, wrong = threading.Event(), [], []
    writing.set()

    def run(work):
        try:
            work()
        except Exception as error:  # whatever it is, it is told below
            wrong.append(repr(error))
        finally:
            connection.close()

    def writer():
        for _round in range(6):
            with brand_scope(brand.pk):
                record_audit(action="change", obj=brand)
                record_audit(action="change", obj=brand)

    def sealer():
        while writing.is_set():
            sealed.append(seal_log(brand.pk, at=AT, patience=1))
            time.sleep(0.01)

    sealers = [threading.Thread(target=run, args=(sealer,)) for _ in range(2)]
    writers = [threading.Thread(target=run, args=(writer,)) for _ in range(32)]
    for each in (*sealers, *writers):
        each.start()
    for each in writers:
        each.join(120)
    writing.clear()
    for each in sealers:
        each.join(60)
    sealed.append(seal_log(brand.pk, at=AT))

    report = verify_log(brand.pk, at=AT)
    with brand_scope(brand.pk):
        written = AuditEntry.objects.count()
        numbers = list(AuditBlock.objects.order_by("number").values_list("number", flat=True))
    assert (wrong, report.findings, report.waiting) == ([], [], 0)
    assert (report.entries, sum(sealed)) == (written, written)
    assert written >= 32 * 12
    assert numbers == list(range(1, len(numbers) + 1))


def test_entry_goes_with_the_act_that_was_undone(brand):
    with brand_scope(brand.pk):
        before = AuditEntry.objects.count()
    with pytest.raises(ZeroDivisionError), brand_scope(brand.pk):
        record_audit(action="change", obj=make_tag("x"))
        1 / 0  # noqa: B018

    with brand_scope(brand.pk):
        assert AuditEntry.objects.count() == before


def test_erasure_and_age_leave_the_log_verifiable(brand, small_blocks):
    write(brand, 20, at=AT - timedelta(days=400))
    write(brand, 20)
    seal_log(brand.pk, at=AT)

    with brand_scope(brand.pk):
        assert forget_in_audit(objects=[("members.tag", 3)], words=["旧3"]) == 2
        assert trim_audit(before=AT - timedelta(days=300), most=5) == 5
    report = verify_log(brand.pk, at=AT)  # before what was done has a seal of its own
    assert (report.findings, report.entries, report.trimmed, report.nameless) == ([], 35, 5, 1)
    write(brand, 1)
    seal_log(brand.pk, at=AT)
    report = verify_log(brand.pk, at=AT)
    assert (report.findings, report.trimmed, report.nameless) == ([], 5, 1)


def test_list_of_what_erasures_took_out_is_under_seal_too(brand, owner, small_blocks):
    write(brand, 20)
    with brand_scope(brand.pk):
        forget_in_audit(objects=[("members.tag", 3)], words=["旧3"])
        (change,) = AuditChange.objects.all()
    seal_log(brand.pk, at=AT)
    assert verify_log(brand.pk, at=AT).findings == []

    owner("DELETE FROM accounts_auditchange WHERE id = %s", change.pk)
    assert kinds(verify_log(brand.pk, at=AT)) == {audit_proof.BLOCK}


def test_anchor_is_made_once_an_hour_and_only_when_something_was_sealed(log):
    assert anchor_log(log.pk, at=AT + 2 * HOUR) is None
    write(log, 1)
    seal_log(log.pk, at=AT + HOUR / 2)
    assert anchor_log(log.pk, at=AT + HOUR / 2) is None
    assert anchor_log(log.pk, at=AT + HOUR)["block"] == 9
    assert [each["block"] for each in kept_anchors(log.pk)] == [8, 9]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"not json", audit_proof.FORGED),
        (b"[1]", audit_proof.FORGED),
        (b'{"block": 8, "brand": 1, "hash": "00", "key": "k1", "signature": "00"}', audit_proof.FORGED),
    ],
)
def test_anchor_that_is_not_ours_is_named(log, files, line, what):
    path = files / "audit-anchors" / str(log.pk)
    (file,) = path.iterdir()
    file.write_bytes(file.read_bytes() + line + b"\n")

    assert verify_log(log.pk, at=AT).findings == [(what, 2)]


def test_anchors_that_were_taken_away_are_missed_and_a_copy_kept_elsewhere_tells(log, files, owner, tmp_path, capsys):
    (file,) = (files / "audit-anchors" / str(log.pk)).iterdir()
    elsewhere = tmp_path / "elsewhere.jsonl"
    elsewhere.write_bytes(file.read_bytes())
    file.unlink()
    assert verify_log(log.pk, at=AT + 3 * HOUR).findings == [(audit_proof.UNANCHORED, 8)]

    owner("DELETE FROM accounts_auditblock WHERE number > 3")
    owner(
        "DELETE FROM accounts_auditentry WHERE id > (SELECT max(upto) FROM accounts_auditblock WHERE brand_id = %s)",
        log.pk,
    )
    with pytest.raises(CommandError, match=f"findings in the audit log of {log.name}"):
        call_command("verify_audit", brand=log.slug, anchors=str(elsewhere))
    assert "cut: 8\n" in capsys.readouterr().out


def test_anchor_of_a_master_key_that_went_away_is_counted_and_not_an_alarm(log, settings):
    settings.MASTER_KEYS = "k2:" + "B" * 43 + "=," + settings.MASTER_KEYS
    write(log, 1)
    seal_log(log.pk, at=AT)
    anchor_log(log.pk, at=AT + HOUR)
    (first, second) = kept_anchors(log.pk)
    assert first["key"] != second["key"] == "k2"
    settings.MASTER_KEYS = settings.MASTER_KEYS.replace(f"{first['key']}:", "other:")

    report = audit_proof.Report()
    with brand_scope(log.pk):
        audit_proof._verify_end(log.pk, report, AT, ())
    assert (report.unreadable_anchors, report.findings) == (1, [])


def test_brand_hears_of_a_bent_log_and_of_its_mending(log, owner):
    (pk,) = owner("SELECT min(id) FROM accounts_auditentry WHERE brand_id = %s", log.pk)[0]
    owner("UPDATE accounts_auditentry SET reason = 'x' WHERE id = %s", pk)
    assert watch_audit(log.pk, at=AT).findings == [(audit_proof.ALTERED, pk)]
    with brand_scope(log.pk):
        assert Incident.objects.get(closed_at=None).kind == "members.audit_broken"
    assert watch_audit(log.pk, at=AT + HOUR) is None  # once a day

    owner("UPDATE accounts_auditentry SET reason = '' WHERE id = %s", pk)
    assert watch_audit(log.pk, at=AT + 25 * HOUR).findings == []
    with brand_scope(log.pk):
        assert not Incident.objects.filter(closed_at=None).exists()


def test_daily_verification_goes_on_where_it_stopped(log, monkeypatch):
    monkeypatch.setattr(audit_proof, "_AT_ONCE", 3)
    assert audit_proof.verify_on(log.pk, at=AT, most=3) is None
    with brand_scope(log.pk):
        assert AuditState.objects.get().looking_block == 3

    report = audit_proof.verify_on(log.pk, at=AT, most=30)
    assert (report.entries, report.blocks, report.findings) == (ENTRIES, 8, [])


def test_only_brands_with_something_to_do_are_rung(log, other_brand):
    quiet = make_brand("jing", "静")
    for each in (log, other_brand, quiet):
        watch_audit(each.pk, at=AT)
    assert brands_to_seal(at=AT + HOUR) == []

    write(other_brand, 1)
    assert brands_to_seal(at=AT + HOUR) == [other_brand.pk]
    assert set(brands_to_seal(at=AT + 25 * HOUR)) == {log.pk, other_brand.pk, quiet.pk}


def test_command_says_what_is_wrong_with_what_it_was_given(log, tmp_path, capsys):
    (tmp_path / "empty").write_text("\n")
    for options, said in (
        ({"brand": "nobody"}, "no brand"),
        ({"brand": log.slug, "anchors": str(tmp_path / "none")}, "cannot read"),
        ({"brand": log.slug, "anchors": str(tmp_path / "empty")}, "no anchor"),
    ):
        with pytest.raises(CommandError, match=said):
            call_command("verify_audit", **options)
    call_command("verify_audit", brand=log.slug)
    assert f"{ENTRIES} entries in 8 blocks, 1 anchors" in capsys.readouterr().out


@pytest.fixture
def auditor(log, client):
    with brand_scope(log.pk):
        staff = make_staff("shen", "AUDITOR")
    client.force_login(staff)
    return client


def test_page_of_the_log_says_how_far_it_is_sealed_and_what_was_found(log, owner, auditor):
    here = f"/b/{log.slug}/accounts/auditentry/"
    verify_audit(log.pk, at=AT)
    page = auditor.get(here).content.decode()
    assert 'data-testid="seal"' in page
    assert 'data-testid="bent"' not in page

    (pk,) = owner("SELECT min(id) FROM accounts_auditentry WHERE brand_id = %s", log.pk)[0]
    owner("DELETE FROM accounts_auditentry WHERE id = %s", pk)
    verify_audit(log.pk, at=AT)
    page = auditor.get(here).content.decode()
    assert 'data-testid="bent"' in page
    assert f"第 {pk} 条记录被删除" in page


def test_anchor_is_handed_out_to_who_may_see_the_log(log, client, auditor):
    verify_audit(log.pk, at=AT)
    given = auditor.get(f"/b/{log.slug}/audit/anchor/")
    anchor = json.loads(given.content)
    with brand_scope(log.pk):
        last = AuditBlock.objects.order_by("-number").first()
        client.force_login(make_staff("yun", "MARKETER"))

    assert (anchor["block"], anchor["hash"]) == (last.number, bytes(last.hash).hex())
    assert client.get(f"/b/{log.slug}/audit/anchor/").status_code == 403


@pytest.mark.long(10)
def test_long_log_is_sealed_and_verified_in_little_time(brand, capsys):
    """AUDIT_ENTRIES=1000000 measures it: at most 60 seconds for verifying."""
    with brand_scope(brand.pk), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_auditentry (brand_id, at, actor_label, role, via, action, object_type, object_id, "
            "object_label, changes, reason, ip, request_id) SELECT %s, %s + n * interval '1 second', '员工' || n %% 50, "
            "'MARKETER', 'console', 'change', 'members.tag', n::text, '标签 ' || n, "
            "jsonb_build_object('name', jsonb_build_array('旧 ' || n, '新 ' || n), 'meaning', jsonb_build_array('', n)), "
            "'', '10.0.0.1', gen_random_uuid()::text FROM generate_series(1, %s) n",
            [brand.pk, AT, MANY],
        )
    begun = time.process_time(), time.monotonic()
    sealed = 0
    while more := seal_log(brand.pk, at=AT):
        sealed += more
    between = time.process_time(), time.monotonic()
    report = verify_log(brand.pk, at=AT)
    ended = time.process_time(), time.monotonic()

    assert (report.findings, report.entries >= MANY, sealed) == ([], True, report.entries)
    with capsys.disabled():
        if MANY >= 100_000:
            took = [f"{end - start:.1f}" for start, end in zip(begun + between, between + ended, strict=True)]
            print(f"\n{sealed} entries, seconds of processor and clock: sealed {took[:2]}, verified {took[2:]}")
    assert ended[0] - between[0] <= 60 * max(1, MANY / 1_000_000)
