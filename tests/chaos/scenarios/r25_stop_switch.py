"""R25: stop means stop within two seconds, also while a worker dies; going on sends only the rest."""

from __future__ import annotations

import time

from campaigns import services
from campaigns.errors import AlreadyLaunched, NotInThisState
from common import clock
from members.services import save_segment
from tests.chaos import campaigns
from tests.chaos.rig import CHILDREN, CLAIM_SIZE, SENDERS
from tests.chaos.world import Shop

AT_MOST_SECONDS = 2.0


def run(stage, outcome):
    people = stage.people(ci=3_000, default=20_000, full=20_000)
    shop = Shop(stage, "r25", people=people)
    stage.proxy.add("wechat", "latency", ms=250, jitter_ms=100)
    sent = shop.launch()
    in_flight = CLAIM_SIZE * CHILDREN * len(SENDERS)

    outcome.holds("the campaign does not start", _reach(stage, sent, people * 0.3))
    stopped = _stop(stage, sent)
    _quiet(stage, outcome, sent, stopped, "calls after the stop", in_flight)
    _audience_is_fixed(outcome, shop, sent)
    _go_on(sent)

    outcome.holds("it does not go on", _reach(stage, sent, people * 0.6))
    claims = len(stage.rig.children(SENDERS[0]))
    stage.rig.kill(SENDERS[0])
    stopped = _stop(stage, sent)
    stage.rig.revive(SENDERS[0])
    _quiet(stage, outcome, sent, stopped, "calls after the stop during a kill", in_flight)
    _go_on(sent)

    stage.proxy.heal()
    outcome.holds("the rest is not sent", campaigns.watch(stage, sent, seconds=60 + people / 50))
    outcome.holds("results do not settle", campaigns.settle(stage, sent, seconds=60 + people / 50) is not None)
    campaigns.compare(stage, outcome, sent, bound=claims * CLAIM_SIZE, kills=1)
    _stopped_for_good(stage, outcome, shop)


def _reach(stage, sent, tried):
    return stage.rig.until(f"{tried:.0f} people", lambda: sent.tried() >= tried, 60, each=0.03)


def _stop(stage, sent):
    sent.change(services.pause)
    stage.say(f"stopped with {sent.tried()} tried")
    return time.time()


def _go_on(sent):
    sent.change(services.resume)


def _quiet(stage, outcome, sent, stopped, what, in_flight):
    stage.rig.pause(4.0)
    after = [call for call in sent.calls() if call["real"] - call["milliseconds"] / 1000 > stopped]
    outcome.none(f"{what} + {AT_MOST_SECONDS:.0f} s", [c for c in after if c["real"] > stopped + AT_MOST_SECONDS])
    outcome.at_most(f"{what} in flight", len(after), in_flight)
    outcome.equal(f"state, {what}", str(sent.state), "PAUSED")


def _audience_is_fixed(outcome, shop, sent):
    with shop.scope:
        other = save_segment(name="别人", rule={"all": []}, at=clock.now())
    for what, change in (
        (
            "the audience of a parked campaign can be changed",
            lambda: sent.change(services.update_campaign, segment=other),
        ),
        ("a parked campaign can be launched again", lambda: sent.change(services.launch)),
        ("a parked campaign can be frozen again", lambda: _freeze(shop, sent)),
    ):
        try:
            changed = change()
        except (AlreadyLaunched, NotInThisState):
            continue
        outcome.holds(what, changed is None)


def _freeze(shop, sent):
    with shop.scope:
        return services.freeze_audience(campaign_id=sent.pk, at=clock.now())


def _stopped_for_good(stage, outcome, shop):
    """A stop for good leaves everybody who still waited out, with that reason, and calls nobody."""
    stage.proxy.add("wechat", "latency", ms=250, jitter_ms=100)
    before = len(stage.wechat.calls(shop.appid, "/cgi-bin/message/template/send"))
    sent = shop.launch(name="到此为止")
    outcome.holds("the second campaign does not start", _reach(stage, sent, len(shop.openids) * 0.1))
    sent.change(services.stop)
    closed = stage.rig.until("the rest is closed", lambda: not sent.counts()["PENDING"], 30)
    stage.proxy.heal()
    outcome.holds(f"people still wait in a stopped campaign: {dict(sent.counts())}", closed)
    calls = len(sent.calls()) - before
    stage.rig.pause(3.0)
    outcome.equal("calls of a stopped campaign", len(sent.calls()) - before, calls)
    outcome.at_most("tried of the stopped one", sent.counts()["DELIVERED"] + sent.counts()["SENT"], calls)
    outcome.none("broken invariants at the end", sent.breaches())
