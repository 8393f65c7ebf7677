"""A campaign under fire: claim, send, record, sweep, results, pause, stop, resume, with everything that can go wrong."""

import uuid
from datetime import timedelta
from types import SimpleNamespace

from django.conf import settings

from campaigns import tasks as campaign_tasks
from campaigns.errors import NotInThisState
from campaigns.selectors import Work
from campaigns.services import results, sending, steering
from common import clock
from common.secret import Secret
from tests.simulation.memory import Database
from tests.simulation.ports import Ports
from tests.simulation.wechat import Transport, Wechat
from tests.simulation.world import World

BRAND = ACCOUNT = CAMPAIGN = 1
OPEN = ("PENDING", "LEASED")
# A settled message stays settled, a sent one stays sent, but for an operator's "send again".
ALLOWED = {
    "PENDING": {"PENDING", "LEASED", "SUPPRESSED"},
    "LEASED": {"LEASED", "PENDING", "SENT", "REFUSED", "FAILED", "UNKNOWN", "SUPPRESSED"},
    "UNKNOWN": {"UNKNOWN", "LEASED", "DELIVERED", "REFUSED", "FAILED"},
    "SENT": {"SENT", "DELIVERED", "REFUSED", "FAILED"},
    "DELIVERED": {"DELIVERED"},
    "REFUSED": {"REFUSED"},
    "SUPPRESSED": {"SUPPRESSED"},
    "FAILED": {"FAILED", "PENDING"},
}
_APP = SimpleNamespace(pk=ACCOUNT, brand_id=BRAND, appid="wx1", original_id="gh_1", app_secret=Secret("secret"))
_TEMPLATE = SimpleNamespace(template_id="t", fields=[{"key": "thing1", "label": "事项"}])
_HORIZON = 75 * 3_600.0  # over the midnights in Shanghai at which quotas are renewed, whatever a clock says


class Delivery:
    """One seed."""

    def __init__(self, seed, *, trace=False, calm=False, zombies=False):
        world = self.world = World(seed, trace=trace)
        rng = world.random
        self.database = Database(world)
        mood = [30.0, *(0.0 if calm or rng.random() < 0.5 else rng.random() * 4 for _ in range(14))]
        self.wechat = Wechat(world, mood)
        self.ports = Ports(world, self.database, Transport(world, self.wechat))
        self.ports.install()
        sending.forget_streaks()
        self.broker = self.ports.broker
        self.breaches = []
        self.held_since = None
        if not calm:
            world.kill_chance, world.stop_chance, world.break_chance = 0.01, 0.004, 0.004
            world.most_kills, world.most_stops, world.most_breaks = (rng.randrange(n) for n in (5, 4, 4))
            self.broker.lose, self.broker.double = rng.choice(((0, 0), (0.3, 0.2), (0.9, 0.0)))
            self.database.commit_answer_lost = rng.choice((0.0, 0.0, 0.01))
            if zombies:
                world.kill_chance, world.stop_chance, world.most_stops = 0.003, 0.02, 6
                world.stop_lengths = (14.0, 30.0, 900.0, 900.0)
        settings.SEND_CLAIM_SIZE = rng.choice((2, 3, 5, 8))
        settings.SEND_LEASE_SECONDS = 12
        settings.SEND_CONCURRENCY = rng.choice((1, 3, 8))
        self._furnish(rng)
        self.database.watchers.append(self._watch)
        world.on_death.append(self._restart)
        self.results_lost = rng.choice((0.0, 0.0, 0.1))
        self.wechat.on_accept = self._report_later
        for number in range(rng.choice((1, 2, 3))):
            self._worker(f"worker{number}", rng.choice((0.0, 0.0, 600.0, -600.0, 3600.0)))
        self.web = world.process("web")
        self.beat = world.process("beat")
        world.after(0.0, self._sweep)
        if not calm:
            self._operate(rng)
            for _ in range(rng.randrange(3)):
                world.after(rng.random() * 40, self.wechat.revoke)
            for _ in range(rng.randrange(2)):
                world.after(rng.random() * 60, self._jump)

    # -- the stage ----------------------------------------------------------------------------------------------------

    def _furnish(self, rng):
        world, database = self.world, self.database
        people = rng.randrange(1, 31)
        self.policy = rng.choice(("LEAVE", "RESEND"))
        rate = rng.choice((None, None, 3, 5, 50))
        self.public_id = uuid.UUID(int=rng.getrandbits(128))
        database.put(
            "campaign", id=CAMPAIGN, brand_id=BRAND, state="SENDING", parked_code="", parked_until=None, purpose="service",
            carrier="template", public_id=self.public_id, content={"thing1": "到店"}, url="", mini_appid="", mini_path="",
            unknown_policy=self.policy, rate_per_second=rate, account_id=ACCOUNT, audience_count=people, finished_at=None,
            updated_at=None, scheduled_at=None,
        )  # fmt: skip
        self.ports.store.materials[CAMPAIGN] = (_APP, _TEMPLATE)
        database.put("account", id=ACCOUNT, parked_code=None, parked_reason="", parked_until=None)
        for seq in range(1, people + 1):
            database.put(
                "follower", id=seq, member_id=100 + seq, account_id=ACCOUNT, openid=f"o{seq}", subscribed=True,
                last_interaction_at=None,
            )  # fmt: skip
            database.put(
                "delivery", id=seq, campaign_id=CAMPAIGN, seq=seq, member_id=100 + seq, follower_id=seq,
                account_id=ACCOUNT, openid=f"o{seq}", variables="{}", state="PENDING", reason="", attempt=0, round=0,
                due_at=world.moment() + timedelta(microseconds=seq), leased_by="", tried_at=None, msgid=None,
                sent_at=None, final_at=None,
            )  # fmt: skip
        database.put("tally", campaign_id=CAMPAIGN, shard=1001, state="PENDING", reason="", count=people)
        for number in range(rng.choice((1, 2, 4))):
            database.put("lane", campaign_id=CAMPAIGN, number=number, taken_until=world.moment(), taken_by="")
        if rate:
            database.put("pace", campaign_id=CAMPAIGN, tokens=0.0, filled_at=world.moment())
        self.people = people

    def _worker(self, name, skew):
        process = self.world.process(name, skew)
        self.world.spawn(process, "main", self.broker.work)

    def _restart(self, process):
        if process.name.startswith("worker"):
            self.world.after(0.5 + self.world.random.random() * 3, self._worker, process.name, process.skew)

    def _jump(self):
        process = self.world.random.choice(self.world.processes)
        process.skew += self.world.random.choice((-3600.0, 600.0, 86_400.0))
        self.world.count("clock jumped")
        self.world.say("clock of", process.name, "is off by", process.skew)

    def _as(self, process, name, body):
        """A request or a task of a process that is not a worker; killed ones come back at once."""
        if not process.alive:
            process.alive = True

        def run():
            try:
                body()
            except NotInThisState:
                self.world.count("refused in this state")
            except Exception as error:
                self.world.say(name, "failed", repr(error))
                if type(error).__name__ != "OperationalError":
                    raise

        self.world.spawn(process, name, run)

    def _operate(self, rng):
        campaign = SimpleNamespace(pk=CAMPAIGN)
        for _ in range(rng.randrange(4)):
            what = rng.choice(("pause", "pause", "resume", "retry", "stop", "opt out", "unfollow"))
            self.world.after(rng.random() * rng.choice((8, 8, 50)), self._do, what, campaign)
        # Whatever an operator has begun, the last word lets the campaign end.
        self.world.after(82, self._resume_at_last, campaign)

    def _resume_at_last(self, campaign):
        # A "pause" may have been stopped with its process and come after every "resume".
        if self.database.committed("campaign")[0]["state"] == "PAUSED":
            self._do("resume", campaign)
        self.world.after(300, self._resume_at_last, campaign)

    def _do(self, what, campaign):
        self.world.count(f"operator: {what}")
        step = {
            "pause": lambda: steering.pause(campaign=campaign, at=clock.now()),
            "resume": lambda: steering.resume(campaign=campaign, at=clock.now()),
            "stop": lambda: steering.stop(campaign=campaign, at=clock.now()),
            "retry": lambda: steering.retry_failed(campaign=campaign, at=clock.now()),
            "opt out": self._opt_out,
            "unfollow": self._unfollow,
        }[what]

        def body():
            with self.ports.store.scope(BRAND):
                step()

        self._as(self.web, what, body)

    def _opt_out(self):
        member = 100 + self.world.random.randrange(1, self.people + 1)
        self.database.insert("optout", member_id=member, purpose="service")

    def _unfollow(self):
        key = self.world.random.randrange(1, self.people + 1)
        row, _ = self.database.get("follower", key)
        self.database.lock(row)
        self.database.write(row, subscribed=False)

    # -- what happens by itself ---------------------------------------------------------------------------------------

    def _sweep(self):
        self._as(self.beat, "sweep", self._sweep_body)
        self.world.after(self._sweep_every(), self._sweep)

    def _sweep_every(self):
        if self.world.faults:
            return 5.0
        return max(5.0 if self.world.now < 1_200 else 300.0, self._until_something())

    def _until_something(self):
        """Seconds until a sweep could find work: looking more often would only cost our time."""
        now = self.world.moment()
        (campaign,) = self.database.committed("campaign")
        moments = [event["due_at"] for event in self.database.committed("event")]
        if campaign["state"] == "PARKED":
            moments.append(campaign["parked_until"])
        elif campaign["state"] in ("SENDING", "STOPPED"):
            moments += [row["due_at"] for row in self.database.committed("delivery") if row["due_at"]]
        stopped = [process.stopped_until - self.world.now for process in self.world.processes if process.alive]
        return min((moment - now).total_seconds() for moment in moments) if moments else max([60.0, *stopped])

    def _sweep_body(self):
        """`tasks.sweep_deliveries` without its two queries."""
        database = self.database
        now = self.world.moment()
        for row in database.committed("campaign"):
            if row["state"] not in ("SENDING", "PARKED", "STOPPED") or row["finished_at"] is not None:
                continue
            sends = row["state"] == "SENDING"
            due = sends and any(d["due_at"] is not None and d["due_at"] <= now for d in database.committed("delivery"))
            free = tuple(lane["number"] for lane in database.committed("lane") if due and lane["taken_until"] <= now)
            work = Work(
                BRAND, CAMPAIGN, row["state"], "service", row["parked_until"], None, due, free_lanes=free if due else ()
            )
            campaign_tasks._ring_for(work, clock.now())
        if any(event["due_at"] <= now for event in database.committed("event")):
            self.broker.ring(campaign_tasks.settle_results, BRAND)

    def _report_later(self, openid, msgid):
        rng = self.world.random
        if rng.random() < self.results_lost:
            return
        status = rng.choice(("success", "success", "success", "failed:user block", "failed: system failed"))
        for _ in range(rng.choice((1, 1, 1, 2))):
            wait = rng.choice((0.0, 0.05, 2.0, 60.0)) * rng.random()
            self.world.after(wait, self._report, openid, msgid, status)

    def _report(self, openid, msgid, status):
        """The inbox handles a push until that has worked."""
        inbound = self.world.process("inbound")
        after = 3.0

        def body():
            try:
                with self.ports.store.scope(BRAND):
                    results.record_result(
                        account_id=ACCOUNT, openid=openid, msgid=str(msgid), status=status, event_at=clock.now()
                    )
                done.append(True)
            except Exception:
                self.world.say("a result was not kept")

        done = []
        self.world.spawn(inbound, "result", body)

        def again():
            if not done:
                if inbound.stopped_until > self.world.now:
                    self.world.after(after, again)
                    return
                self._report(openid, msgid, status)

        self.world.after(after, again)

    # -- what must hold -----------------------------------------------------------------------------------------------

    def _watch(self, task, changed):  # noqa: C901
        for table, before, after in changed:
            if table == "delivery" and before is not None and after is not None:
                was, new = before["state"], after["state"]
                if new not in ALLOWED[was]:
                    self._breach("no state goes backwards", f"{before['id']} {was} -> {new}")
                if after["attempt"] < before["attempt"]:
                    self._breach("attempts only grow", before["id"])
                if was != new or before["attempt"] != after["attempt"]:
                    self.world.say("message", after["id"], was, "->", new, after["reason"], "attempt", after["attempt"])
                if new == "LEASED" and before["attempt"] != after["attempt"]:
                    lease = (after["due_at"] - self.world.moment()).total_seconds() if after["due_at"] else 0.0
                    if lease > settings.SEND_LEASE_SECONDS + 1:
                        self._breach("a lease ends by the database's clock", lease)
                    if self.held_since is not None and task.transaction.started > self.held_since:
                        self._breach("nothing is claimed after pause or stop", before["id"])
            elif table == "campaign" and before is not None and before["state"] != after["state"]:
                held = after["state"] in ("PAUSED", "STOPPED")
                self.held_since = self.world.moment() if held else None
                self.world.say("campaign", before["state"], "->", after["state"], after["parked_code"])
                if before["state"] == "STOPPED" or (before["state"] == "FINISHED" and after["state"] != "SENDING"):
                    self._breach("no state goes backwards", f"campaign {before['state']} -> {after['state']}")
            elif table == "token" and before is not None and before["token"] is not None:
                old, new = str(before["token"].reveal()), str(after["token"].reveal())
                if self.wechat.issue_of[new] < self.wechat.issue_of[old] or after["generation"] < before["generation"]:
                    self._breach("a newer token is never overwritten", f"{old} -> {new}")

    def _breach(self, name, what):
        self.breaches.append((name, what))
        self.world.say("BREACH", name, what)

    def run(self):
        world = self.world
        world.run(80.0)
        world.faults = False
        world.say("--- quiet ---")
        world.run(_HORIZON, stop=self._at_rest)
        self._check()
        return self.breaches

    def _at_rest(self):
        if self.world.now < 85.0 or self.broker.waiting:
            return False
        (campaign,) = self.database.committed("campaign")
        if campaign["state"] in ("SENDING", "PARKED", "PAUSED", "FREEZING") or campaign["finished_at"] is None:
            return False
        if any(process.alive and process.stopped_until > self.world.now for process in self.world.processes):
            return False
        return all(event["tries"] > 1 for event in self.database.committed("event"))

    def _check(self):  # noqa: C901
        rows = self.database.committed("delivery")
        (campaign,) = self.database.committed("campaign")
        for name, holds in CHECKS.items():
            wrong = holds(self, campaign, rows)
            if wrong:
                self._breach(name, wrong)
        if campaign["state"] not in ("FINISHED", "STOPPED"):
            self._breach("a campaign comes to its end", campaign["state"])
        visible = {}
        for openid, client_id, _msgid, _at in self.wechat.messages:
            visible.setdefault(openid, []).append(client_id)
        retried = self.world.seen.get("operator: retry", 0)
        for openid, ids in visible.items():
            if len(ids) != len(set(ids)):
                self._breach("no visible duplicates", f"{openid} {ids}")
            if len(ids) > 1 and self.policy == "LEAVE" and not retried:
                self._breach("one message for each person", f"{openid} {ids}")
        for row in rows:
            got = len(visible.get(row["openid"], ()))
            if row["state"] in ("SENT", "DELIVERED") and not got:
                self._breach("sent means sent", row["id"])
            if row["state"] in OPEN:
                self._breach("nobody is lost", f"{row['id']} {row['state']}")
            if row["state"] == "SUPPRESSED" and got and not retried:
                self._breach("left out means nothing was sent", row["id"])
        self._check_duplicates(rows)

    def _check_duplicates(self, rows):
        """Every repeated call has a cause that can be counted."""
        world = self.world
        calls = {}
        for _, request in self.wechat.started:
            openid = request.body.partition(b'"touser":"')[2].partition(b'"')[0]
            calls[openid] = calls.get(openid, 0) + 1
        for row in rows:
            most = row["attempt"] + world.seen.get("40001", 0)
            if calls.get(row["openid"].encode(), 0) > most:
                self._breach("a call for each attempt", row["id"])
        again = sum(count - 1 for count in calls.values())
        causes = world.seen
        events = sum(
            causes.get(what, 0) for what in ("kill", "stop", "connection lost", "commit whose answer was lost")
        )
        moods = sum(count for what, count in causes.items() if what.startswith("fate: ") and what != "fate: accept")
        slow = causes.get("deadline of a batch", 0)
        bound = events * settings.SEND_CLAIM_SIZE + moods + slow + causes.get("40001", 0)
        bound += causes.get("operator: retry", 0) * self.people + causes.get("deadlock", 0) * settings.SEND_CLAIM_SIZE
        if again > bound:
            self._breach("repeated calls within their bound", f"{again} > {bound}")


def _tallies(run, campaign, rows):
    counted = {}
    for tally in run.database.committed("tally"):
        key = (tally["state"], tally["reason"])
        counted[key] = counted.get(key, 0) + tally["count"]
    there = {}
    for row in rows:
        key = ("PENDING", "") if row["state"] in OPEN else (row["state"], row["reason"])
        there[key] = there.get(key, 0) + 1
    counted = {key: count for key, count in counted.items() if count}
    return "" if counted == there else f"{counted} <> {there}"


def _msgids(run, campaign, rows):
    ids = [row["msgid"] for row in rows if row["msgid"] is not None]
    return [each for each in ids if ids.count(each) > 1]


# The same promises as `campaigns.invariants`, by the same names.
CHECKS = {
    "everybody has one message": lambda run, c, rows: c["audience_count"] - len(rows),
    "every message has its campaign": lambda run, c, rows: [row["id"] for row in rows if row["campaign_id"] != c["id"]],
    "numbers follow members": lambda run, c, rows: (
        [row["seq"] for row in sorted(rows, key=lambda row: row["member_id"])] != sorted(row["seq"] for row in rows)
    ),
    "nobody twice": lambda run, c, rows: len(rows) - len({row["member_id"] for row in rows}),
    "numbers without gaps": lambda run, c, rows: sorted(row["seq"] for row in rows) != list(range(1, len(rows) + 1)),
    "open exactly when due": lambda run, c, rows: [
        row["id"]
        for row in rows
        if (row["state"] in OPEN and row["due_at"] is None)
        or (row["state"] not in (*OPEN, "UNKNOWN") and row["due_at"] is not None)
    ],
    "no lease without an attempt": lambda run, c, rows: [
        row["id"]
        for row in rows
        if (row["state"] in ("LEASED", "SENT", "REFUSED") and row["attempt"] == 0)
        or (row["state"] == "LEASED" and row["tried_at"] is None)
    ],
    "no lease a minute past its end": lambda run, c, rows: [
        row["id"]
        for row in rows
        if row["state"] == "LEASED"
        and row["due_at"] < run.world.moment() - timedelta(seconds=60)
        and c["state"] == "SENDING"
    ],
    "sent means WeChat gave an id": lambda run, c, rows: [
        row["id"] for row in rows if row["state"] == "SENT" and row["msgid"] is None
    ],
    "one message, one id": _msgids,
    "a reason for everything that is not fine": lambda run, c, rows: [
        row["id"]
        for row in rows
        if row["state"] in ("REFUSED", "FAILED", "UNKNOWN", "SUPPRESSED") and row["reason"] == ""
    ],
    "tallies equal rows": _tallies,
    "finished means nothing is due": lambda run, c, rows: (
        c["state"] == "FINISHED" and [row["id"] for row in rows if row["due_at"] is not None]
    ),
}
