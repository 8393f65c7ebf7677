"""What most scenarios share: work on a campaign while things break, then compare people with WeChat's truth."""

from __future__ import annotations

import time
from collections import Counter

from tests.chaos import world

FINAL = ("DELIVERED", "REFUSED", "FAILED", "SUPPRESSED", "UNKNOWN", "SENT")


def watch(stage, sent, each=lambda tried: None, *, seconds, done=None, every=0.1):
    """Call `each(tried)` until everybody has been tried (or `done()`); False when it takes too long."""
    rig = stage.rig
    deadline = time.monotonic() + seconds
    frozen = None
    while time.monotonic() < deadline:
        counts = sent.counts()
        frozen = sum(counts.values())
        tried = frozen - counts["PENDING"]
        if frozen:
            if done() if done else tried == frozen:
                return True
            each(tried)
        rig.pause(every)
    stage.say(f"gave up waiting: {sent.state} {dict(sent.counts())}")
    return False


def settle(stage, sent, *, seconds, want=("SENT", "UNKNOWN", "PENDING")):
    """Wait until WeChat's results have settled everybody; gives the seconds it took, None when they have not."""
    began = time.monotonic()
    if watch(stage, sent, seconds=seconds, done=lambda: not any(sent.counts()[state] for state in want), every=0.25):
        return time.monotonic() - began
    return None


def compare(stage, outcome, sent, *, bound, cuts=0, kills=0, expected=None):
    """Compare by sets, not by counts: nobody lost, nobody visibly twice, duplicates within their bound."""
    truth = sent.truth()
    calls = sent.calls()
    audience = set(sent.shop.openids) if expected is None else expected
    ours = sent.openids()
    accepted = {row["openid"] for row in truth}
    doubles = world.duplicate_calls(calls)
    counts = dict(sent.counts())
    outcome.note(recipients=len(audience), kills=kills, cuts=cuts)
    outcome.none("without a row", audience - ours)
    outcome.none("lost", audience - accepted)
    outcome.none("sent to strangers", accepted - audience)
    claimed = sent.openids("state IN ('SENT', 'DELIVERED')")
    outcome.none("sent by our record only", claimed - accepted)
    outcome.equal("sum of states", sum(counts.values()), len(audience))
    outcome.at_most("duplicate calls", doubles, bound)
    outcome.equal("visible duplicates", sent.visible, 0)
    outcome.none("people with calls that are not on record", _unrecorded(sent, truth, calls))
    outcome.note(longest_stall=f"{world.longest_stall(calls):.1f} s", states=_words(counts))
    outcome.none("broken invariants", sent.breaches())
    return truth, calls


def _unrecorded(sent, truth, calls):
    """Whoever was called more often than their row counts attempts, or than earlier attempts stand in the table."""
    person = {row["digest"]: row["openid"] for row in truth}
    made = Counter(person[call["digest"]] for call in calls if world.handled(call) and call["digest"] in person)
    noted = Counter(
        dict(
            sent.rig.sql(
                "SELECT d.openid, count(DISTINCT a.attempt) FILTER (WHERE a.attempt < d.attempt) FROM campaigns_deliveryattempt a"
                " JOIN campaigns_delivery d ON d.brand_id = a.brand_id AND d.id = a.delivery_id"
                " WHERE d.brand_id = %s AND d.campaign_id = %s GROUP BY 1",
                sent.shop.brand.pk,
                sent.pk,
            )
        )
    )
    attempts = dict(sent.rows("openid, attempt"))
    return [openid for openid, times in made.items() if times > min(attempts.get(openid, 0), noted[openid] + 1)]


def _words(counts):
    return " ".join(f"{state.lower()} {count:,}" for state, count in sorted(counts.items()))
