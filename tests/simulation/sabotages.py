"""Deliberate bugs: each must make some seed fail, or the simulation proves nothing."""

from contextlib import contextmanager
from datetime import timedelta

from campaigns.services import sending
from wechat_gateway import intake
from wechat_gateway.answers import Outcome


def no_fencing(run):
    """A late worker may write over whoever took its message over."""
    run.ports.store.still_mine = lambda was, attempt: was["state"] != "SUPPRESSED"


def lease_by_worker_clock(run):
    """The end of a lease is what the worker's own clock says."""
    store = run.ports.store
    store.lease_end = lambda params: run.ports.now() + timedelta(seconds=params["lease"])


def id_of_the_attempt(run):
    """Each attempt is a new message to WeChat."""
    sending._client_msg_id = lambda campaign, claimed: f"{claimed.seq}-{claimed.round}-{claimed.attempt}"


def unknown_is_sent(run):
    """No answer counts as a good answer."""
    real = sending._entry

    def entry(claimed, answer, **how):
        made = real(claimed, answer, **how)
        if answer.outcome is Outcome.UNKNOWN:
            made.state, made.reason, made.wait, made.msgid = sending.DeliveryState.SENT, "", None, 1
        return made

    sending._entry = entry


def unknown_is_not_sent(run):
    """No answer counts as not sent: it is sent again for ever, under a new id or after WeChat forgot the old one."""
    real = sending._entry

    def entry(claimed, answer, **how):
        made = real(claimed, answer, **how)
        if answer.outcome is Outcome.UNKNOWN:
            made.state, made.reason, made.untried, made.wait = sending.DeliveryState.PENDING, "", True, 700.0
        return made

    sending._entry = entry


def tallies_apart(run):
    """Counters are not changed in the transaction of what they count."""
    store = run.ports.store
    real = store.add_tallies

    def add(params):
        transaction = run.database.transaction
        transaction.on_commit.append(lambda: run.world.random.random() < 0.98 and later.append(params))

    later = []
    store.add_tallies = add
    begin = store.scope

    @contextmanager
    def scope(brand_id):
        with begin(brand_id):
            while later:
                real(later.pop())
            yield brand_id

    store.scope = scope


def no_sweeper(run):
    """Only wake-up calls keep a campaign going."""
    run._sweep_body = lambda: None


def stop_not_in_claim(run):
    """Whether the campaign may send is looked at when the work begins, not with each claim."""
    real = run.ports.store.claim
    run.ports.store.claim = lambda params: real(
        {**params, "states": ["SENDING", "PARKED", "PAUSED", "STOPPED", "FINISHED"]}
    )


def finish_without_looking(run):
    """A campaign is over when nothing is due right now."""
    run.ports.store._open = lambda campaign_id: any(
        content["due_at"] is not None and content["due_at"] <= run.world.moment()
        for _, content in run.database.scan("delivery")
    )


def lost_leases_forgotten(run):
    """A lease that ran out is not claimed again."""
    store = run.ports.store
    real = store._claim_one

    def claim_one(row, was, params):
        found = real(row, was, params)
        row.pending["due_at"] = None if was["state"] == "LEASED" else row.pending["due_at"]
        return found

    store._claim_one = claim_one


def first_result_loses(run):
    """A later report changes a message that has its final state."""
    store = run.ports.store
    real = store.match

    def match(statement, params):
        found = real(statement, params)
        for row in found:
            stored, was = run.database.get("delivery", row[1])
            if was["state"] in ("DELIVERED", "REFUSED", "FAILED") and row[5] is None:
                state = params["states"][params["ids"].index(row[0])]
                run.database.write(stored, state=state, reason="" if state == "DELIVERED" else "X")
        return found

    store.match = match


def patience_from_the_send(run):
    """The time a batch may take begins when it is sent, however long ago it was claimed."""
    sending._patience = lambda job: 10.0


DELIVERY = {
    "no fencing": no_fencing,
    "lease by worker clock": lease_by_worker_clock,
    "id of the attempt": id_of_the_attempt,
    "unknown is sent": unknown_is_sent,
    "unknown is not sent": unknown_is_not_sent,
    "tallies apart": tallies_apart,
    "no sweeper": no_sweeper,
    "finish without looking": finish_without_looking,
    "lost leases forgotten": lost_leases_forgotten,
    "stop not in claim": stop_not_in_claim,
    "first result loses": first_result_loses,
}


def no_token_lock(run):
    """Whoever needs a token fetches one, whoever else is at it."""
    store = run.ports.tokens
    store.lock = lambda app, **_: store.read(app) or type(store).lock(store, app)


def no_compare(run):
    """Whoever has waited for the lock does not look whether a newer token is there by now."""
    store = run.ports.tokens
    lock = store.lock

    def locked(app, **_):
        row = lock(app)
        row.expires_at = None
        return row

    store.lock = locked


def acknowledged_before_it_is_kept(run):
    """The answer leaves while the row still waits to be written."""

    async def keep(self, row):
        future = self._loop.create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody asks what became of it
        self._queue.append(intake._Waiting(row, future, self._loop.time()))
        self._flush_when_free()
        return intake.Kept(row.reply)

    intake.Intake.keep = keep


def attempts_not_counted(run):
    """Attempts are not counted before a handler runs."""
    run.ports.inbox.count_attempts = lambda ids, by: None


def effects_forgotten(run):
    """Nobody notes which handlers have done their part when another one failed."""
    run.ports.inbox.keep_effects = lambda push_id, handlers: None


def half_effects_stay(run):
    """What a handler did before it failed is not undone."""

    @contextmanager
    def savepoint():
        yield

    run.ports.inbox.savepoint = savepoint


def no_dedupe(run):
    """A repeated push is another push."""
    find = run.database.by_unique
    run.database.by_unique = lambda table, key: None if table == "push" else find(table, key)


def never_drained(run):
    """What was spilt stays in Redis."""

    async def drain(self):
        return 0

    intake.Intake.drain = drain


def no_end_of_idle_sessions(run):
    """A worker that is stopped keeps its locks."""
    run.database.idle_timeout = None


SABOTAGES = {
    **{name: ("delivery", sabotage) for name, sabotage in DELIVERY.items()},
    "patience from the send": ("zombies", patience_from_the_send),
    "no token lock": ("tokens", no_token_lock),
    "no compare": ("tokens", no_compare),
    "acknowledged before it is kept": ("inbox", acknowledged_before_it_is_kept),
    "attempts not counted": ("inbox", attempts_not_counted),
    "effects forgotten": ("inbox", effects_forgotten),
    "half effects stay": ("inbox", half_effects_stay),
    "no dedupe": ("inbox", no_dedupe),
    "never drained": ("inbox", never_drained),
    "no end of idle sessions": ("inbox", no_end_of_idle_sessions),
}
