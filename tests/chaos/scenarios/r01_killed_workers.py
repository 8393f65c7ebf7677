"""R1: a campaign survives killed workers: whole groups and children, slow and cut connections to WeChat."""

from __future__ import annotations

import time

from common import clock
from tests.chaos import campaigns
from tests.chaos.rig import CLAIM_SIZE, SENDERS
from tests.chaos.world import SEND, Shop
from wechat_gateway import quotas

INBOX = "worker-inbound"
EVERY_SECONDS = 2.0
KILLS = 20
CAMPAIGNS = 12  # more than this say that the machine is too fast for the number of people


def run(stage, outcome):
    # Celery gives up on a group whose children die while it starts; its supervisor starts it again.
    outcome.may_end = 3
    people = stage.people(ci=20_000, default=20_000, full=100_000)
    shop = Shop(stage, "r1", people=people)
    # Messages made again count, too: WeChat gives accounts of this size a larger quota than the usual 100,000.
    many = people * CAMPAIGNS * 2
    stage.wechat.ask("/quotas", {"appid": shop.appid, "path": SEND, "per_day": many})
    quotas.told(brand_id=shop.brand.pk, appid=shop.appid, api=SEND, limit=many, used=0, at=clock.now())
    stage.proxy.add("wechat", "latency", ms=20, jitter_ms=20)
    stage.proxy.add("wechat", "reset_after", "cut", probability=0.01)
    kills = Kills(stage)
    began = time.monotonic()
    campaign = []
    # The same people again, until so many kills have been survived.
    while not campaign or (kills.count < KILLS and len(campaign) < CAMPAIGNS):
        campaign.append(shop.launch())
        finished = campaigns.watch(stage, campaign[-1], kills.tick, seconds=60 + people / 100)
        outcome.holds(f"not everybody was tried: {dict(campaign[-1].counts())}", finished)
    outcome.note(campaigns=len(campaign), sending=f"{time.monotonic() - began:.1f} s")
    cuts = stage.proxy.hits("wechat", "cut")
    stage.proxy.heal()
    for sent in campaign:
        settled = campaigns.settle(stage, sent, seconds=90 + people / 100)
        outcome.holds(f"unconfirmed after the results: {dict(sent.counts())}", settled is not None)
    outcome.note(groups=kills.groups, of_the_inbox=kills.inbound, held_by_the_killed=kills.leases)
    for sent in campaign:
        campaigns.compare(
            stage, outcome, sent, bound=kills.claims * CLAIM_SIZE + cuts, cuts=cuts, kills=kills.count
        )  # fmt: skip
    outcome.at_least("kills of senders", kills.count, KILLS)
    outcome.at_least("kills that hit messages in hand", kills.hits, KILLS // 4)
    outcome.at_least("cuts", cuts, 1)


class Kills:
    """SIGKILLs a worker every two seconds: mostly one child, every fourth time the whole group.

    Only what works is killed: a group that is still starting has nothing to lose. Now and then the worker of the inbox,
    which settles results, dies besides: it calls nobody, so it widens no bound.
    """

    def __init__(self, stage):
        self.stage, self.rig = stage, stage.rig
        self.count = self.groups = self.claims = self.inbound = self.leases = self.hits = 0
        self.next = 0.0

    def tick(self, _tried):
        now = time.monotonic()
        if not self.next:
            self.next = now + 1.0  # some work first
        if now < self.next:
            return
        names = [name for name in SENDERS if self._works(name)]
        if not names:
            return
        self.next = now + EVERY_SECONDS
        name = self.stage.random.choice(names)
        if self.stage.random.random() < 0.25:
            killed = self.rig.children(name)
            self.rig.restart(name)
            self.groups += 1
        else:
            killed = [self.rig.kill_child(name)]
        self.count += 1
        self.claims += len(killed)
        held = self._held(killed)
        self.leases += held
        self.hits += held > 0
        self.stage.say(f"killed {killed} of {name}, which held {held} messages")
        if self.count % 5 == 0 and self._works(INBOX):
            self.rig.kill_child(INBOX)
            self.inbound += 1

    def _works(self, name):
        return self.rig.answers(name) and self.rig.children(name)

    def _held(self, pids):
        ((count,),) = self.rig.sql(
            "SELECT count(*) FROM campaigns_delivery WHERE state = 'LEASED' AND leased_by LIKE ANY(%s)",
            [f"%:{pid}" for pid in pids],
        )
        return count
