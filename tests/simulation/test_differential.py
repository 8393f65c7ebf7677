"""The memory of the simulation against PostgreSQL: random operations must give the same answers and leave the same rows.

PostgreSQL runs in virtual time here: functions of ours stand before its own `now()` on the search path.
"""

import os
import random
import uuid
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection

from accounts.tenancy import brand_scope
from campaigns.models import Campaign, Delivery, DeliveryAttempt, FinishEvent, Lane, Pace, Tally
from campaigns.services import statements
from campaigns.services.store import Store
from inbox.models import ReplyLedger
from launcher import roles
from members.models import Follower, OptOut
from tests.factories import AT, make_account, make_brand, make_follower
from tests.simulation.memory import Database, Transaction
from tests.simulation.stores import MemoryStore
from wechat_gateway import windows

SEQUENCES = 300 if os.environ.get("SIMULATION_FULL") else 24
PARTS = 6
STEPS = 24
WINDOW = 540
STATES = ("PENDING", "PENDING", "LEASED", "SENT", "UNKNOWN", "FAILED")

_FUNCTIONS = """
CREATE SCHEMA IF NOT EXISTS virtual;
CREATE OR REPLACE FUNCTION virtual.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT current_setting('virtual.now')::timestamptz $$;
CREATE OR REPLACE FUNCTION virtual.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT current_setting('virtual.now')::timestamptz $$;
CREATE OR REPLACE FUNCTION virtual.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT current_setting('virtual.now')::timestamptz $$;
GRANT USAGE ON SCHEMA virtual TO PUBLIC;
"""


class Still:
    """A world in which nothing happens by itself."""

    faults = False

    def __init__(self):
        self.time = AT
        self.current = SimpleNamespace(transaction=None, process=SimpleNamespace(alive=True), waits_for=None)
        self.now = 0.0

    def step(self, what, seconds=None):
        pass

    def count(self, what, by=1):
        pass

    def moment(self, skew=0.0):
        return self.time


class Twins:
    """The same rows in both, and operations on both."""

    def __init__(self, brand, rng):
        self.rng = rng
        self.brand = brand
        self.world = Still()
        self.database = Database(self.world)
        self.memory = MemoryStore(self.world, self.database)
        self.real = Store()
        self.tick(0)
        with brand_scope(brand.pk):
            self._furnish()
        self.claimed = []
        self.reserved = []

    def tick(self, seconds):
        self.world.time += timedelta(seconds=seconds)
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('virtual.now', %s, false)", [self.world.time.isoformat()])

    def _furnish(self):
        rng, put = self.rng, self.database.put
        account = make_account()
        self.account = account.pk
        campaign = Campaign.objects.create(
            name="x", account=account, state="SENDING", created_at=AT, updated_at=AT, audience_count=6,
            public_id=uuid.uuid4(), rate_per_second=5,
        )  # fmt: skip
        self.campaign = campaign.pk
        put("campaign", **_values(campaign))
        put("account", id=account.pk, parked_until=None)
        for seq in range(1, 7):
            follower = make_follower(account)
            ledger = self._ledger(follower)
            put(
                "follower", id=follower.pk, member_id=follower.member_id, account_id=account.pk, openid=follower.openid,
                subscribed=True, ledger=ledger,
            )  # fmt: skip
            state = rng.choice(STATES)
            tried = AT - timedelta(seconds=rng.choice((1, 500, 700, 2000)))
            row = Delivery.objects.create(
                campaign=campaign, seq=seq, member_id=follower.member_id, follower_id=follower.pk, account_id=account.pk,
                openid=follower.openid, state=state, reason="" if state in ("PENDING", "LEASED", "SENT") else "47003",
                attempt=0 if state == "PENDING" else rng.randrange(1, 4), round=rng.choice((0, 0, 1)),
                due_at=AT + timedelta(seconds=rng.randrange(-5, 20)) if state in ("PENDING", "LEASED", "UNKNOWN") else None,
                tried_at=None if state == "PENDING" else tried, msgid=100 + seq if state == "SENT" else None,
            )  # fmt: skip
            put("delivery", **{**_values(row), "variables": "{}"})
        tally = Tally.objects.create(campaign=campaign, shard=0, state="UNKNOWN", reason="47003", count=3)
        put("tally", **_values(tally))
        for number in range(2):
            lane = Lane.objects.create(campaign=campaign, number=number, taken_until=AT, taken_by="")
            put("lane", **_values(lane))
        put("pace", **_values(Pace.objects.create(campaign=campaign, tokens=3.0, filled_at=AT)))

    def _ledger(self, follower):
        """Acts and sends of somebody, such that some may be written to, some no more, and some for a moment."""
        rng = self.rng
        ledger = windows.Ledger()
        for act in windows.OPENING:
            if rng.random() < 0.4:
                ledger = ledger.acted(act, AT - timedelta(seconds=rng.choice((1, 30, 59, 172_700))))
        if rng.random() < 0.2:
            ledger = ledger.acted(windows.Act.LEFT, AT - timedelta(seconds=40))
        for _ in range(rng.choice((0, 0, 2, 3, 5))):
            ledger = ledger.sent(AT)
        ReplyLedger.objects.create(
            follower=follower, message_at=ledger.message_at, menu_at=ledger.menu_at, follow_at=ledger.follow_at,
            scan_at=ledger.scan_at, left_at=ledger.left_at, sends=list(ledger.sends),
            open_until=windows.open_until(ledger, AT),
        )  # fmt: skip
        return ledger

    def do_reserve(self):
        people = [row["id"] for row in self.database.committed("follower")]
        chosen = self.rng.sample(people, self.rng.randrange(1, 4))
        granted = self.both("reserve_replies", chosen, self.world.time)
        self.reserved += [(pk, self.world.time) for pk, count in granted.items() if count]

    def do_give_back(self):
        if not self.reserved:
            return
        unsent = self.reserved.pop(self.rng.randrange(len(self.reserved)))
        refused = [(unsent[0], self.rng.choice((45015, 45047)))] if self.rng.random() < 0.3 else []
        self.both("settle_replies", [unsent], refused, self.world.time)

    # -- both ---------------------------------------------------------------------------------------------------------

    def both(self, method, *args):
        """The same call on both; the same answer from both."""
        with brand_scope(self.brand.pk):
            found = _plain(getattr(self.real, method)(*args))
        transaction = self.world.current.transaction = Transaction(self.database, self.world.current)
        transaction.touch()
        got = _plain(getattr(self.memory, method)(*args))
        transaction.commit()
        self.world.current.transaction = None
        if method in ("claim", "match", "close"):
            assert sorted(map(repr, got)) == sorted(map(repr, found)), method
        else:
            assert got == found, method
        return found

    def compare(self):
        tables = {
            "campaign": Campaign,
            "delivery": Delivery,
            "tally": Tally,
            "lane": Lane,
            "pace": Pace,
            "event": FinishEvent,
        }
        with brand_scope(self.brand.pk):
            for name, model in tables.items():
                there = {row.pk: _values(row) for row in model.objects.all()}
                here = {row["id"]: row for row in self.database.committed(name)}
                if name in ("event", "tally"):  # their keys come from sequences
                    there, here = _by_content(there), _by_content(here)
                    assert here == there, name
                    continue
                assert here.keys() == there.keys(), name
                for key, row in there.items():
                    mine = here[key]
                    for column, value in row.items():
                        if column in mine and column != "variables":
                            assert (
                                mine[column] == pytest.approx(value)
                                if isinstance(value, float)
                                else mine[column] == value
                            ), (name, column)
            notes = DeliveryAttempt.objects.order_by("id").values_list(
                "delivery_id", "attempt", "outcome", "msgid", "at"
            )
            mine = [
                (n["delivery_id"], n["attempt"], n["outcome"], n["msgid"], n["at"])
                for n in self.database.committed("attempt")
            ]
            assert mine == list(notes)

    # -- operations ---------------------------------------------------------------------------------------------------

    def step(self):
        rng = self.rng
        self.tick(rng.choice((0, 0.5, 1, 5, 13, 100, 600)))
        name = rng.choice([each for each in dir(self) if each.startswith("do_")])
        getattr(self, name)()

    def do_claim(self):
        windowed = self.rng.random() < 0.2
        rows = self.both(
            "claim",
            {
                "brand": self.brand.pk, "campaign": self.campaign, "keys": ["service"], "quiet": False,
                "states": self.rng.choice((["SENDING"], ["PARKED"], ["SENDING", "PARKED"])), "size": self._size(),
                "lease": 12, "window": self.rng.choice((0, WINDOW)), "settle": self.rng.choice((0, 600)),
                "resend": self.rng.random() < 0.5, "windowed": windowed, "lasts": windows.spans(AT), "worker": "w",
                "at": self.world.time,
            },
        )  # fmt: skip
        self.claimed += [(row[0], row[4]) for row in rows]

    do_claim_again = do_claim

    def _size(self):
        """Of messages that are due at the very same moment PostgreSQL takes any: never end a claim among them."""
        due = sorted(row["due_at"] for row in self.database.committed("delivery") if row["due_at"] is not None)
        size = self.rng.randrange(1, 5)
        while size < len(due) and due[size - 1] == due[size]:
            size += 1
        return size

    def do_record(self):
        rng = self.rng
        chosen = rng.sample(self.claimed, min(len(self.claimed), 3))
        chosen = list(dict(chosen).items())
        states = [rng.choice(("SENT", "PENDING", "UNKNOWN", "FAILED", "REFUSED")) for _ in chosen]
        self.both(
            "record",
            {
                "brand": self.brand.pk, "ids": [pk for pk, _ in chosen], "attempts": [a for _, a in chosen],
                "states": states, "reasons": ["" if s in ("SENT", "PENDING") else "X" for s in states],
                "msgids": [rng.randrange(1000, 1020) if s == "SENT" else None for s in states],
                "waits": [5.5 if s in ("PENDING", "UNKNOWN") else None for s in states],
                "untried": [s == "PENDING" for s in states], "at": self.world.time,
            },
        )  # fmt: skip

    do_record_again = do_record

    def do_note(self):
        if self.claimed:
            pk, attempt = self.rng.choice(self.claimed)
            self.both(
                "note_attempts",
                [self.brand.pk, [pk], [attempt], ["LATE"], [""], [""], [self.rng.randrange(1000, 1020)]],
            )

    def do_tallies(self):
        state = self.rng.choice(("UNKNOWN", "SENT"))
        self.both(
            "add_tallies",
            [self.brand.pk, self.rng.randrange(2), [self.campaign], [state], ["X"], [self.rng.choice((-2, 1, 3))]],
        )

    def do_lane(self):
        worker = self.rng.choice(("w", "v"))
        number = self.rng.randrange(3)
        self.both("lane_holder", self.campaign, number)
        where = (self.brand.pk, self.campaign, number)
        what = self.rng.randrange(4)
        if what == 0:
            self.both("take_lane", 3.0, worker, *where, self.rng.choice(("", "w")))
        elif what == 1:
            self.both("keep_lane", self.rng.choice((0, 3.0)), *where, worker)
        elif what == 2:
            self.both("queue_lane", 10.0, *where, worker)
        else:
            self.both("queue_lanes", 10.0, self.brand.pk, self.campaign)

    def do_tokens(self):
        self.both(
            "take_tokens",
            {"capacity": 5.0, "refill": 1.5, "brand": self.brand.pk, "campaign": self.campaign, "size": 4},
        )

    def do_steer(self):
        at = self.world.time
        what = self.rng.randrange(5)
        if what == 0:
            self.both("park", self.campaign, "45011", at + timedelta(seconds=60))
        elif what == 1:
            self.both("take_probe", self.campaign, at, at + timedelta(seconds=300))
        elif what == 2:
            self.both("unpark", self.campaign)
        elif what == 3:
            self.both("finish", self.campaign, at)
        else:
            self.both("has_open", self.campaign)

    def do_close(self):
        if self.rng.random() < 0.3:
            self.both("close", self.brand.pk, self.campaign, 10, self.world.time)

    def do_again(self):
        failed = self.both("lock_failed", self.campaign, self.rng.choice(((), ("X",))))
        if failed:
            self.both("begin_again", [pk for pk, _ in failed])

    def do_result(self):
        with brand_scope(self.brand.pk):
            openid = self.rng.choice(list(Delivery.objects.values_list("openid", flat=True)))
        msgid = self.rng.choice((101, 102, 103, self.rng.randrange(1000, 1020)))
        self.both("keep_result", [self.brand.pk, self.account, msgid, openid, "success", self.world.time])
        with brand_scope(self.brand.pk):  # defaults of columns know PostgreSQL's own clock only
            fresh = FinishEvent.objects.filter(created_at__gt=AT + timedelta(days=30))
            fresh.update(created_at=self.world.time, due_at=self.world.time)

    def do_settle(self):
        with brand_scope(self.brand.pk):
            events = list(FinishEvent.objects.order_by("id"))
        if not events:
            return
        params = {
            "brand": self.brand.pk, "ids": [event.pk for event in events], "accounts": [event.account_id for event in events],
            "msgids": [event.msgid for event in events], "openids": [event.openid for event in events],
            "received": [event.created_at for event in events], "states": ["DELIVERED" for _ in events],
            "reasons": ["" for _ in events], "moments": [event.event_at for event in events],
        }  # fmt: skip
        window = WINDOW + 3600
        for statement in (statements.BY_MSGID, statements.BY_ATTEMPT, statements.BY_PERSON.format(window=window)):
            self.both("match", statement, params)

    def do_follower(self):
        with brand_scope(self.brand.pk):
            pk = self.rng.choice(list(Follower.objects.values_list("pk", flat=True)))
            follower = Follower.objects.get(pk=pk)
            if self.rng.random() < 0.5:
                Follower.objects.filter(pk=pk).update(subscribed=False)
                self.database.tables["follower"].rows[pk].value["subscribed"] = False
            elif not OptOut.objects.filter(member_id=follower.member_id).exists():
                OptOut.objects.create(member_id=follower.member_id, purpose="service", at=AT)
                self.database.put("optout", member_id=follower.member_id, purpose="service")


def _values(row):
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def _by_content(rows):
    return sorted(repr(sorted((k, v) for k, v in row.items() if k not in ("id", "brand_id"))) for row in rows.values())


def _plain(found):
    if isinstance(found, list):
        return [tuple(row) if isinstance(row, tuple | list) else row for row in found]
    return found


@pytest.mark.long(SEQUENCES // 30)
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_memory_and_postgresql_behave_alike(part, transactional_db, test_run):
    with roles.cursor_on(test_run.urls(connection.settings_dict["NAME"]).owner) as cursor:
        cursor.execute(_FUNCTIONS)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = virtual, public, pg_catalog")
        for number in range(SEQUENCES // PARTS):
            seed = part * 1000 + number
            twins = Twins(make_brand(f"brand{seed}", "澜屿"), random.Random(seed))
            try:
                for _ in range(STEPS):
                    twins.step()
                twins.compare()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}") from error
    finally:
        connection.close()
        with roles.cursor_on(test_run.urls(connection.settings_dict["NAME"]).owner) as cursor:
            cursor.execute("DROP SCHEMA virtual CASCADE")
