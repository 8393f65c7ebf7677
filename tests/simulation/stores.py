"""The product's stores on the memory of `memory.py`: each method means what its SQL means, row by row."""

from datetime import timedelta
from math import floor
from types import SimpleNamespace

from django.db import OperationalError

from campaigns import reasons
from campaigns.services import statements
from common.secret import Secret
from tests.simulation.memory import Busy
from wechat_gateway import stores as gateway_stores
from wechat_gateway import windows

OPEN = ("PENDING", "LEASED")


class Record:
    """A row as the product sees it: attributes, and `pk`."""

    def __init__(self, content):
        self.__dict__.update(content)

    @property
    def pk(self):
        return self.id

    def get_state_display(self):
        return self.state


class _Base:
    def __init__(self, world, database):
        self.world = world
        self.db = database

    def scope(self, brand_id):
        return self.db.scope(brand_id)

    def atomic(self):
        return self.db.atomic()

    def _begin(self, what):
        self.world.step(what)
        self.db.transaction.touch()

    @property
    def now(self):
        return self.db.transaction.started

    @property
    def clock(self):
        return self.world.moment()


class MemoryStore(_Base):
    """`campaigns.services.store.Store`."""

    def __init__(self, world, database):
        super().__init__(world, database)
        self.materials = {}  # campaign id -> (account, template), which do not change
        make = database.table
        make("campaign")
        make("delivery")
        make("attempt")
        make("tally", ("campaign_id", "shard", "state", "reason"))
        make("lane", ("campaign_id", "number"))
        make("pace", ("campaign_id",))
        make("event", ("account_id", "msgid"))
        make("follower")
        make("optout")
        make("account")

    # -- campaigns ----------------------------------------------------------------------------------------------------

    def campaign(self, campaign_id):
        self._begin("read campaign")
        content = self.db.get("campaign", campaign_id)[1]
        account, template = self.materials[campaign_id]
        return Record({**content, "account": account, "template": template})

    def lock_campaign(self, campaign_id):
        self._begin("lock campaign")
        row, _ = self.db.get("campaign", campaign_id)
        self.db.lock(row)
        return Record(row.seen_by(self.db.transaction))

    def save_campaign(self, row, fields):
        self._begin("save campaign")
        self._update("campaign", row.pk, lambda _: True, **{name: getattr(row, name) for name in fields})

    def audit(self, action, row, changes):
        self._begin("audit")

    def _update(self, table, key, still, **changes):
        """UPDATE … WHERE id = key AND still: a row that changed while we waited is judged anew."""
        row, content = self.db.get(table, key)
        if content is None or not still(content):
            return False
        self.db.lock(row)
        content = row.seen_by(self.db.transaction)
        if content is None or not still(content):
            return False
        self.db.write(row, **changes)
        return True

    def park(self, campaign_id, code, until):
        self._begin("park")
        return self._update(
            "campaign",
            campaign_id,
            lambda c: c["state"] in ("SENDING", "PARKED"),
            state="PARKED",
            parked_code=code,
            parked_until=until,
        )

    def take_probe(self, campaign_id, at, until):
        self._begin("take probe")
        return self._update(
            "campaign",
            campaign_id,
            lambda c: c["state"] == "PARKED" and c["parked_until"] is not None and c["parked_until"] <= at,
            parked_until=until,
        )

    def unpark(self, campaign_id):
        self._begin("unpark")
        return self._update(
            "campaign",
            campaign_id,
            lambda c: c["state"] == "PARKED",
            state="SENDING",
            parked_code="",
            parked_until=None,
        )

    def finish(self, campaign_id, at):
        self._begin("look for open messages")
        if self._open(campaign_id):
            return False
        self._begin("look whether it sends")
        if self.db.get("campaign", campaign_id)[1]["state"] != "SENDING":
            return False
        self._begin("finish")
        if self._open(campaign_id):
            return False
        return self._update(
            "campaign", campaign_id, lambda c: c["state"] == "SENDING", state="FINISHED", finished_at=at
        )

    def _open(self, campaign_id):
        return any(
            content["campaign_id"] == campaign_id and content["due_at"] is not None
            for _, content in self.db.scan("delivery")
        )

    def has_open(self, campaign_id):
        self._begin("look for open messages")
        return self._open(campaign_id)

    def account_parked_until(self, account_id):
        self._begin("read account")
        content = self.db.get("account", account_id)[1]
        return content["parked_until"] if content else None

    # -- lanes and pace -----------------------------------------------------------------------------------------------

    def _lane(self, campaign_id, number):
        return self.db.by_unique("lane", (campaign_id, number))

    def lane_holder(self, campaign_id, lane):
        self._begin("read lane")
        row = self._lane(campaign_id, lane)
        return row.seen_by(self.db.transaction)["taken_by"] if row else ""

    def take_lane(self, seconds, worker, brand_id, campaign_id, lane, gone):
        self._begin("take lane")
        clock = self.clock
        return self._change_lane(
            campaign_id,
            lane,
            lambda c: (
                c["taken_until"] <= clock
                or c["taken_by"] == "queued"
                or (c["taken_by"] != "" and c["taken_by"] == gone)
            ),
            taken_until=clock + timedelta(seconds=seconds),
            taken_by=worker,
        )

    def _change_lane(self, campaign_id, lane, still, **changes):
        row = self._lane(campaign_id, lane)
        return row is not None and self._update("lane", row.key, still, **changes)

    def keep_lane(self, seconds, brand_id, campaign_id, lane, worker):
        self._begin("keep lane")
        until = self.clock + timedelta(seconds=seconds)
        self._change_lane(campaign_id, lane, lambda c: c["taken_by"] == worker, taken_until=until)

    def queue_lane(self, seconds, brand_id, campaign_id, lane, worker):
        self._begin("queue lane")
        until = self.clock + timedelta(seconds=seconds)
        self._change_lane(campaign_id, lane, lambda c: c["taken_by"] == worker, taken_until=until, taken_by="queued")

    def queue_lanes(self, seconds, brand_id, campaign_id):
        self._begin("queue lanes")
        clock = self.clock
        numbers = []
        for row, content in list(self.db.scan("lane")):
            if content["campaign_id"] == campaign_id and self._update(
                "lane",
                row.key,
                lambda c: c["taken_until"] <= clock,
                taken_until=clock + timedelta(seconds=seconds),
                taken_by="queued",
            ):
                numbers.append(content["number"])
        return sorted(numbers)

    def take_tokens(self, params):
        self._begin("take tokens")
        row = self.db.by_unique("pace", (params["campaign"],))
        if row is None:
            return 0
        self.db.lock(row)
        content = row.seen_by(self.db.transaction)
        passed = max(0.0, (self.clock - content["filled_at"]).total_seconds())
        have = min(params["capacity"], content["tokens"] + params["refill"] * passed)
        taken = min(params["size"], floor(have))
        self.db.write(row, tokens=have - taken, filled_at=self.clock)
        return taken

    # -- messages -----------------------------------------------------------------------------------------------------

    def claim(self, params):
        self._begin("claim")
        now = self.clock
        campaign_id = params["campaign"]
        if self.db.get("campaign", campaign_id)[1]["state"] not in params["states"]:
            return []
        due = [
            (content["due_at"], row.key, row)
            for row, content in self.db.scan("delivery")
            if content["campaign_id"] == campaign_id and content["due_at"] is not None and content["due_at"] <= now
        ]
        due.sort(key=lambda item: item[:2])
        found = []
        for _, _, row in due:
            if len(found) == params["size"]:
                break
            if not self.db.lock(row, skip=True):
                continue
            was = row.seen_by(self.db.transaction)
            if was is None or was["due_at"] is None or was["due_at"] > now:
                continue
            found.append(self._claim_one(row, was, params))
        return found

    def _claim_one(self, row, was, params):
        now = self.clock
        rule = self._rule(was, params)
        tried = was["tried_at"]
        forgotten = tried + timedelta(seconds=params["window"]) if tried else None
        if tried is None:
            act = "SUPPRESS" if rule else "SEND"
        elif rule:
            act = "LEAVE"
        elif now < forgotten:
            act = "SEND"
        elif params["resend"] and was["round"] == 0:
            act = "WAIT" if now < forgotten + timedelta(seconds=params["settle"]) else "AGAIN"
        else:
            act = "LEAVE"
        sends = act in ("SEND", "AGAIN")
        if sends:
            state, reason = "LEASED", ""
        elif act == "SUPPRESS":
            state, reason = "SUPPRESSED", rule
        else:
            state, reason = "UNKNOWN", reasons.LEASE_LOST if was["state"] == "LEASED" else was["reason"]
        due = None
        if sends:
            due = self.lease_end(params)
        elif act == "WAIT":
            due = forgotten + timedelta(seconds=params["settle"])
        self.db.write(
            row,
            state=state,
            reason=reason,
            attempt=was["attempt"] + 1,
            round=was["round"] + (act == "AGAIN"),
            tried_at=now if act == "AGAIN" or (act == "SEND" and tried is None) else tried,
            due_at=due,
            leased_by=params["worker"],
            final_at=params["at"] if act == "SUPPRESS" else None,
        )
        new = row.pending
        return (
            row.key, was["seq"], was["openid"], was["variables"], new["attempt"], new["round"], state, reason,
            was["state"], was["reason"], act == "SEND" and tried is not None, was["follower_id"],
        )  # fmt: skip

    def lease_end(self, params):
        return self.clock + timedelta(seconds=params["lease"])

    def _rule(self, was, params):
        follower = self.db.get("follower", was["follower_id"])[1] if was["follower_id"] is not None else None
        people = {was["member_id"], follower["member_id"] if follower else None}
        if any(
            content["purpose"] in params["keys"] and content["member_id"] in people
            for _, content in self.db.scan("optout")
        ):
            return reasons.OPTED_OUT
        if follower is None:
            return reasons.NOT_FOLLOWER
        if not follower["subscribed"]:
            return reasons.UNFOLLOWED
        if params["windowed"]:
            ledger = follower.get("ledger", windows.Ledger())
            until = windows.open_until(ledger, params["at"])
            if until is None or until <= params["at"]:
                living = windows.allowance(ledger, params["at"]).windows
                return reasons.WINDOW_USED_UP if living else reasons.WINDOW_CLOSED
        return ""

    def record(self, params):
        self._begin("record")
        now = self.now
        written = set()
        columns = (params[name] for name in ("ids", "attempts", "states", "reasons", "msgids", "waits", "untried"))
        for key, attempt, state, reason, msgid, wait, untried in zip(*columns, strict=True):
            row, was = self.db.get("delivery", key)
            if was is None or not self.still_mine(was, attempt):
                continue
            self.db.lock(row)
            was = row.seen_by(self.db.transaction)
            if was is None or not self.still_mine(was, attempt):
                continue
            self.db.write(
                row,
                state=state,
                reason=reason,
                msgid=msgid,
                due_at=None if wait is None else now + timedelta(seconds=wait),
                tried_at=None if untried else was["tried_at"],
                sent_at=params["at"] if state == "SENT" else was["sent_at"],
                final_at=params["at"] if state in ("REFUSED", "FAILED", "SUPPRESSED") else None,
            )
            written.add((key, attempt))
        return written

    def still_mine(self, was, attempt):
        return was["attempt"] == attempt and was["state"] == "LEASED"

    def note_attempts(self, params):
        self._begin("note attempts")
        for delivery_id, attempt, outcome, code, message, msgid in zip(*params[1:], strict=True):
            self.db.insert(
                "attempt",
                delivery_id=delivery_id,
                attempt=attempt,
                outcome=outcome,
                code=code,
                message=message,
                msgid=msgid,
                at=self.now,
            )

    def add_tallies(self, params):
        self._begin("add tallies")
        _, shard, campaigns, states, why, counts = params
        for campaign_id, state, reason, count in sorted(zip(campaigns, states, why, counts, strict=True)):
            key = (campaign_id, shard, state, reason)
            while True:
                row = self.db.by_unique("tally", key)
                if row is not None:
                    self.db.lock(row)
                    content = row.seen_by(self.db.transaction)
                    if content is None:
                        continue
                    self.db.write(row, count=content["count"] + count)
                    break
                if self.db.insert(
                    "tally", campaign_id=campaign_id, shard=shard, state=state, reason=reason, count=count
                ):
                    break

    def reserve_replies(self, follower_ids, at):
        self._begin("reserve")
        granted = {}
        for key in sorted(follower_ids):
            row, was = self.db.get("follower", key)
            if was is None or not self.db.lock(row, skip=True):
                continue
            ledger = row.seen_by(self.db.transaction).get("ledger", windows.Ledger())
            granted[key] = int(windows.allowance(ledger, at).open)
            if granted[key]:
                self.db.write(row, ledger=ledger.sent(at))
        return granted

    def settle_replies(self, unsent, refused, at):
        self._begin("settle")
        back = {key: lambda ledger, moment=moment: ledger.taken_back(moment) for key, moment in unsent}
        worse = {key: lambda ledger, code=code: ledger.refused(code, at) for key, code in refused}
        for key in sorted({*back, *worse}):
            row, _ = self.db.get("follower", key)
            self.db.lock(row)
            ledger = row.seen_by(self.db.transaction).get("ledger", windows.Ledger())
            for change in (back.get(key), worse.get(key)):
                ledger = change(ledger) if change else ledger
            self.db.write(row, ledger=ledger)

    def mark_unfollowed(self, account_id, openids, at):
        self._begin("mark unfollowed")
        for row, content in list(self.db.scan("follower")):
            if content["account_id"] == account_id and content["openid"] in openids:
                self._update("follower", row.key, lambda c: c["subscribed"], subscribed=False)

    def close(self, brand_id, campaign_id, most, at):
        self._begin("close")
        now = self.now
        closed = []
        for row, content in list(self.db.scan("delivery")):
            if len(closed) == most:
                break
            if content["campaign_id"] != campaign_id or not _closable(content, now):
                continue
            if not self.db.lock(row, skip=True):
                continue
            was = row.seen_by(self.db.transaction)
            if not _closable(was, now):
                continue
            pending = was["state"] == "PENDING"
            reason = reasons.STOPPED if pending else was["reason"]
            if was["state"] == "LEASED":
                reason = reasons.LEASE_LOST
            state = "SUPPRESSED" if pending else "UNKNOWN"
            self.db.write(row, state=state, reason=reason, attempt=was["attempt"] + 1, due_at=None, final_at=at)
            closed.append((state, reason, was["state"], was["reason"]))
        return closed

    def lock_failed(self, campaign_id, codes):
        self._begin("lock failed")
        found = []
        for row, content in sorted(self.db.scan("delivery"), key=lambda item: item[0].key):
            if content["campaign_id"] != campaign_id or not _failed(content, codes):
                continue
            self.db.lock(row)
            content = row.seen_by(self.db.transaction)  # noqa: PLW2901
            if _failed(content, codes):
                found.append((row.key, content["reason"]))
        return found

    def begin_again(self, ids):
        self._begin("begin again")
        for key in ids:
            row, was = self.db.get("delivery", key)
            self.db.lock(row)
            self.db.write(
                row,
                state="PENDING",
                reason="",
                round=was["round"] + 1,
                due_at=self.now,
                tried_at=None,
                msgid=None,
                sent_at=None,
                final_at=None,
            )

    # -- results ------------------------------------------------------------------------------------------------------

    def keep_result(self, params):
        self._begin("keep result")
        _, account_id, msgid, openid, status, event_at = params
        self.db.insert(
            "event",
            account_id=account_id,
            msgid=msgid,
            openid=openid,
            status=status,
            event_at=event_at,
            created_at=self.now,
            due_at=self.now,
            tries=0,
        )

    def lock_results(self, brand_id):
        self._begin("lock results")
        return self.db.advise(("results", brand_id), wait=False)

    def due_results(self, most):
        self._begin("read results")
        now = self.now
        found = [content for _, content in self.db.scan("event") if content["due_at"] <= now]
        found.sort(key=lambda content: (content["due_at"], content["id"]))
        return [Record(content) for content in found[:most]]

    def match(self, statement, params):
        if statement is statements.BY_MSGID:
            self._begin("match by msgid")
            how = self._by_msgid
        elif statement is statements.BY_ATTEMPT:
            self._begin("match by attempt")
            how = self._by_attempt
        else:
            self._begin("match by person")
            how = self._by_person
        names = ("ids", "accounts", "msgids", "openids", "received", "states", "reasons", "moments")
        events = list(zip(*(params[name] for name in names), strict=True))
        rows = []
        old = []
        for event in events:
            for row in how(event, events):
                self.db.lock(row)
                old.append((event, row, row.seen_by(self.db.transaction)))
        done = {}
        for event, row, was in old:
            _, _, msgid, _, _, state, reason, moment = event
            if was["state"] in ("SENT", "UNKNOWN") and row.key not in done:
                kept = was["msgid"] if was["msgid"] is not None else msgid
                self.db.write(row, state=state, reason=reason, final_at=moment, due_at=None, msgid=kept)
                done[row.key] = (state, reason)
        for event, row, was in old:
            new = done.get(row.key, (None, None))
            rows.append((event[0], row.key, was["campaign_id"], was["state"], was["reason"], *new))
        return rows

    def _by_msgid(self, event, _):
        _, account_id, msgid, *_ = event
        return [
            row
            for row, content in list(self.db.scan("delivery"))
            if content["msgid"] == msgid and content["account_id"] == account_id
        ]

    def _by_attempt(self, event, _):
        _, account_id, msgid, *_ = event
        found = []
        for _, attempt in list(self.db.scan("attempt")):
            if attempt["msgid"] == msgid:
                row, content = self.db.get("delivery", attempt["delivery_id"])
                if content is not None and content["account_id"] == account_id:
                    found.append(row)
        return found

    def _by_person(self, event, events):
        _, account_id, _, openid, received, *_ = event
        if sum(other[1] == account_id and other[3] == openid for other in events) != 1:
            return []
        tallies = {}
        for _, tally in self.db.scan("tally"):
            if tally["state"] == "UNKNOWN":
                tallies[tally["campaign_id"]] = tallies.get(tally["campaign_id"], 0) + tally["count"]
        mine = [
            (row, content)
            for row, content in list(self.db.scan("delivery"))
            if content["account_id"] == account_id and content["openid"] == openid and content["state"] == "UNKNOWN"
        ]
        found = []
        for row, content in mine:
            tried = content["tried_at"]
            if content["msgid"] is not None or tried is None or tallies.get(content["campaign_id"], 0) <= 0:
                continue
            if not tried <= received <= tried + timedelta(seconds=self.person_window):
                continue
            if any(other is not row and c["campaign_id"] in tallies for other, c in mine):
                continue
            found.append(row)
        return found

    person_window = 540 + 3_600

    def tests_of(self, msgids):
        self._begin("read tests")
        return []

    def settle_lines(self, fates, at):
        self._begin("settle lines")
        return set()

    def give_up_results(self, ids, hours):
        self._begin("give up results")
        limit = self.now - timedelta(hours=hours)
        return self._delete_events(
            key for key in ids if (self.db.get("event", key)[1] or {}).get("created_at", limit) < limit
        )

    def postpone_results(self, ids):
        self._begin("postpone results")
        for key in ids:
            content = self.db.get("event", key)[1]
            if content is not None:
                tries = content["tries"]
                wait = 3.0 if tries == 0 else 20.0 if tries < 5 else 3600.0
                due = self.now + timedelta(seconds=wait)
                self._update("event", key, lambda _: True, tries=tries + 1, due_at=due)

    def delete_results(self, ids):
        self._begin("delete results")
        self._delete_events(ids)

    def _delete_events(self, ids):
        gone = 0
        for key in list(ids):
            row, content = self.db.get("event", key)
            if content is not None:
                self.db.lock(row)
                self.db.delete(row)
                gone += 1
        return gone


def _closable(content, now):
    if content is None or content["due_at"] is None:
        return False
    return content["state"] != "LEASED" or content["due_at"] <= now


def _failed(content, codes):
    return content["state"] == "FAILED" and (not codes or content["reason"] in codes)


class MemoryTokenStore(_Base):
    """`wechat_gateway.stores.TokenStore`."""

    def __init__(self, world, database):
        super().__init__(world, database)
        database.table("token", ("appid",))
        if "account" not in database.tables:
            database.table("account")

    def parked(self, app):
        self._begin("read pause")
        content = self.db.get("account", app.pk)[1]
        return content["parked_code"], content["parked_reason"], content["parked_until"], True

    def park(self, app, code, reason, until, at):
        self._begin("park app")
        row, _ = self.db.get("account", app.pk)
        self._lock_account(row)
        self.db.write(row, parked_code=code, parked_reason=reason, parked_until=until)

    def unpark(self, app, at):
        self._begin("unpark app")
        row, content = self.db.get("account", app.pk)
        if content["parked_until"] is not None:
            self._lock_account(row)
            self.db.write(row, parked_code=None, parked_reason="", parked_until=None)

    def _lock_account(self, row):
        """Whoever locks a token waits no longer for the account than for the token."""
        try:
            self.db.lock(row)
        except Busy:
            self.world.count("account row busy")
            raise OperationalError("canceling statement due to lock timeout") from None

    def read(self, app):
        self._begin("read token")
        row = self.db.by_unique("token", (app.appid,))
        content = row.seen_by(self.db.transaction) if row is not None else None
        return Record(content) if content is not None else None

    def lock(self, app, *, enough=None):
        self._begin("set limits")
        transaction = self.db.transaction
        transaction.lock_timeout = 8.0
        turn = ("token", app.appid)
        try:
            left = self._left_by_others(app, turn, enough) if enough is not None else None
            if left is not None:
                self.world.count("token left by another process")
                return left
            self._begin("take the turn")
            self.db.advise(turn, wait=True)
            self._begin("lock token")
            while True:
                row = self.db.by_unique("token", (app.appid,))
                if row is None:
                    self.db.insert(
                        "token",
                        appid=app.appid,
                        token=None,
                        generation=0,
                        fetched_at=None,
                        expires_at=None,
                        forced_at=None,
                        forced_count=0,
                        healed_at=None,
                    )
                    continue
                self.db.lock(row)
                content = row.seen_by(transaction)
                if content is not None:
                    return Record(content)
        except Busy:
            self.world.count("token row busy")
            raise gateway_stores.Busy from None

    def _left_by_others(self, app, turn, enough):
        until = self.world.now + 8.0
        while self.world.now < until:
            self._begin("try the turn")
            if self.db.advise(turn, wait=False):
                return None
            self._begin("wait beside others")
            self.db.wait_beside(turn)
            row = self.read(app)
            if row is not None and enough(row):
                return row
            self.world.count("nothing left by another process")
            self.world.step("sleep", self.world.random.uniform(0.005, 0.02))
        return None

    def save(self, row, fields):
        self._begin("save token")
        stored, _ = self.db.get("token", row.pk)
        self.db.lock(stored)
        changes = {name: getattr(row, name) for name in fields}
        if isinstance(changes.get("token"), str):
            changes["token"] = Secret(changes["token"])  # as a sealed field gives it back
        self.db.write(stored, **changes)


class MemoryInboxStore(_Base):
    """`wechat_gateway.stores.InboxStore`, and the two statements of the intake."""

    def __init__(self, world, database):
        super().__init__(world, database)
        database.table("push", ("account_id", "dedupe_key"))
        database.table("effect", ("push_id", "handler"))
        database.table("done")  # what handlers of the simulation have done
        self.account = None

    def savepoint(self):
        return self.db.atomic()

    def waiting_lanes(self):
        with self.db.scope(1):
            self._begin("read waiting lanes")
            now = self.now
            return sorted(
                {
                    (content["brand_id"], content["lane"])
                    for _, content in self.db.scan("push")
                    if content["state"] == "NEW" and (content["retry_at"] is None or content["retry_at"] <= now)
                }
            )

    def try_lane(self, brand_id, lane):
        self._begin("try lane")
        return self.db.advise(("lane", brand_id, lane), wait=False)

    def wait_for_lane(self, brand_id, lane):
        self._begin("wait for lane")
        transaction = self.db.transaction
        transaction.lock_timeout = 5.0
        try:
            self.db.advise(("lane", brand_id, lane), wait=True)
        finally:
            transaction.lock_timeout = None

    def waiting(self, brand_id, lane, most):
        self._begin("read waiting")
        now = self.now
        found = [
            content
            for _, content in self.db.scan("push")
            if content["brand_id"] == brand_id and content["lane"] == lane and content["state"] == "NEW"
        ]
        found.sort(key=lambda content: (content["event_at"], content["id"]))
        return [
            (c["id"], c["openid"], c["attempts"], c["retry_at"] is not None and c["retry_at"] > now)
            for c in found[:most]
        ]

    def count_attempts(self, ids, by):
        self._begin("count attempts")
        for key in ids:
            row, _ = self.db.get("push", key)
            self.db.lock(row)
            self.db.write(row, attempts=row.seen_by(self.db.transaction)["attempts"] + by)

    def hold(self, ids, seconds):
        self._begin("hold pushes")
        self._each(ids, lambda c: c["state"] == "NEW", retry_at=self.now + timedelta(seconds=seconds))

    def lock_new(self, ids):
        self._begin("lock pushes")
        found = []
        for key in ids:
            row, content = self.db.get("push", key)
            if content is None or content["state"] != "NEW" or not self.db.lock(row, skip=True):
                continue
            content = row.seen_by(self.db.transaction)
            if content["state"] == "NEW":
                found.append(Record(content))
        found.sort(key=lambda push: (push.event_at, push.id))
        return found

    def lock_push(self, push_id):
        self._begin("lock push")
        row, content = self.db.get("push", push_id)
        if content is None:
            return None
        self.db.lock(row)
        return Record(row.seen_by(self.db.transaction))

    def save_push(self, push, fields):
        self._begin("save push")
        row, _ = self.db.get("push", push.pk)
        self.db.lock(row)
        self.db.write(
            row,
            **{name: str(value) if (value := getattr(push, name)) and name == "state" else value for name in fields},
        )

    def accounts(self, ids):
        self._begin("read accounts")
        return dict.fromkeys(ids, self.account)

    def effects(self, push_ids):
        self._begin("read effects")
        return [(c["push_id"], c["handler"]) for _, c in self.db.scan("effect") if c["push_id"] in push_ids]

    def keep_effects(self, push_id, handlers):
        self._begin("keep effects")
        for handler in handlers:
            self.db.insert("effect", push_id=push_id, handler=handler)

    def _each(self, ids, still, **changes):
        for key in ids:
            row, content = self.db.get("push", key)
            if content is None or not still(content):
                continue
            self.db.lock(row)
            if still(row.seen_by(self.db.transaction)):
                self.db.write(row, **changes)

    def mark_handled(self, ids, at):
        self._begin("mark handled")
        self._each(ids, lambda _: True, state="HANDLED", handled_at=at, retry_at=None)

    def set_aside(self, ids, reason):
        self._begin("set aside")
        self._each(ids, lambda _: True, state="FAILED", reason=reason)

    def fail(self, push_id, reason):
        self._begin("fail")
        self._each([push_id], lambda c: c["state"] == "NEW", state="FAILED", reason=reason, retry_at=None)

    def try_later(self, push_id, reason, *, seconds):
        self._begin("try later")
        retry_at = self.now + timedelta(seconds=seconds)
        self._each([push_id], lambda c: c["state"] == "NEW", reason=reason, retry_at=retry_at)

    def audit(self, action, push, changes, reason):
        self._begin("audit")


class MemoryQuotas:
    """What `quotas` asks of its rows: counted, never limited unless the seed says so."""

    def __init__(self, world, database):
        self.world, self.db = world, database
        database.table("quota", ("appid", "api", "window", "start"))

    def take(self, brand_id, appid, api, windows, count, at, share):
        rows = [self.locked(appid, api, window, start) for window, start, _ in windows]
        granted = count
        for row, (_, _, known) in zip(rows, windows, strict=True):
            if row.blocked_until is not None and row.blocked_until > at:
                return 0
            limit = row.limit if row.limit is not None else known
            if limit is not None:
                granted = min(granted, max(0, int(limit * share) - row.used))
        for row in rows:
            row.used += granted
            row.save(["used"])
        return granted

    def locked(self, appid, api, window, start):
        self.world.step("lock quota")
        transaction = self.db.transaction
        transaction.touch()
        key = (appid, api, str(window), start)
        while True:
            row = self.db.by_unique("quota", key)
            if row is None:
                self.db.insert(
                    "quota",
                    appid=appid,
                    api=api,
                    window=str(window),
                    start=start,
                    used=0,
                    blocked_until=None,
                    limit=None,
                )
                continue
            self.db.lock(row)
            content = row.seen_by(transaction)
            if content is not None:
                break
        found = SimpleNamespace(**content)

        def save(update_fields):
            self.world.step("save quota")
            self.db.write(row, **{name: getattr(found, name) for name in update_fields})

        found.save = save
        return found
