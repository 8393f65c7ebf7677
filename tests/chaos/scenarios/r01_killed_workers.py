"""R1: a campaign survives killed workers: whole groups and children, slow and cut connections to WeChat."""

from __future__ import annotations

import time

from common import clock
from tests.chaos import campaigns
from tests.chaos.rig import CHILDREN, CLAIM_SIZE, SENDERS
from tests.chaos.world import SEND, Shop
from wechat_gateway import quotas

EVERY_SECONDS = 2.0


def run(stage, outcome):
    # Celery gives up on a group whose children die while it starts; its supervisor starts it again.
    outcome.may_end = 3
    people = stage.people(ci=5_000, default=20_000, full=100_000)
    shop = Shop(stage, "r1", people=people)
    # Messages made again count, too: WeChat gives accounts of this size a larger quota than the usual 100,000.
    stage.wechat.ask("/quotas", {"appid": shop.appid, "path": SEND, "per_day": people * 10})
    quotas.told(brand_id=shop.brand.pk, appid=shop.appid, api=SEND, limit=people * 10, used=0, at=clock.now())
    stage.proxy.add("wechat", "latency", ms=20, jitter_ms=20)
    stage.proxy.add("wechat", "reset_after", "cut", probability=0.01)
    kills = Kills(stage)
    began = time.monotonic()
    sent = shop.launch()
    finished = campaigns.watch(stage, sent, kills.tick, seconds=60 + people / 100)
    outcome.note(sending=f"{time.monotonic() - began:.1f} s")
    cuts = stage.proxy.hits("wechat", "cut")
    stage.proxy.heal()
    outcome.holds(f"not everybody was tried: {dict(sent.counts())}", finished)
    settled = campaigns.settle(stage, sent, seconds=90 + people / 100)
    outcome.holds(f"unconfirmed after the results: {dict(sent.counts())}", settled is not None)
    outcome.note(settled_after=f"{settled or 0:.1f} s", groups=kills.groups)
    campaigns.compare(
        stage, outcome, sent, bound=kills.claims * CLAIM_SIZE + cuts, cuts=cuts, kills=kills.count
    )  # fmt: skip
    outcome.at_least("kills", kills.count, 1)
    outcome.at_least("cuts", cuts, 1)


class Kills:
    """SIGKILLs a worker every two seconds: mostly one child, every fourth time the whole group.

    Only what works is killed: a group that is still starting has nothing to lose.
    """

    def __init__(self, stage):
        self.stage, self.rig = stage, stage.rig
        self.count = self.groups = self.claims = 0
        self.next = 0.0

    def tick(self, _tried):
        now = time.monotonic()
        if not self.next:
            self.next = now + 1.0  # some work first
        if now < self.next:
            return
        names = [name for name in (*SENDERS, *SENDERS, "worker-inbound") if self._works(name)]
        if not names:
            return
        self.next = now + EVERY_SECONDS
        name = self.stage.random.choice(names)
        if self.stage.random.random() < 0.25:
            self.claims += len(self.rig.children(name))
            self.rig.restart(name)
            self.groups += 1
            self.stage.say(f"killed {name} with all its processes")
        else:
            pid = self.rig.kill_child(name)
            self.claims += 1
            self.stage.say(f"killed process {pid} of {name}")
        self.count += 1

    def _works(self, name):
        return self.rig.answers(name) and len(self.rig.children(name)) >= CHILDREN
