"""P1: whoever withdraws marketing while it is being sent gets nothing more, and how long the last message takes."""

from __future__ import annotations

from campaigns import reasons
from common import clock
from inbox.models import ReplyLedger
from members.models import Follower, Purpose
from members.services import withdraw_consent
from tests.chaos import campaigns
from tests.chaos.world import Shop
from wechat_gateway import windows

PER_SECOND = 200
AT_MOST_SECONDS = 60.0
UNCLAIMED_SECONDS = 5.0


def run(stage, outcome):
    people = stage.people(ci=1_000, default=4_000, full=20_000)
    shop = Shop(stage, "p1", people=people, callbacks=False)
    all_write(stage, shop)
    stage.proxy.add("wechat", "latency", ms=250, jitter_ms=100)
    sent = shop.launch(
        name="周末见", purpose=Purpose.MARKETING, carrier="custom", template=None, content={"text": "周末见"},
        rate_per_second=PER_SECOND,
    )  # fmt: skip
    started = stage.rig.until("the first", lambda: sent.tried() >= people * 0.05, 60)
    outcome.holds("the campaign does not start", started)

    said = _leave(stage, shop, sent, people)

    stage.proxy.heal()
    outcome.holds("the rest is not sent", campaigns.watch(stage, sent, seconds=60 + people / 50))
    stage.rig.pause(UNCLAIMED_SECONDS)
    _judge(outcome, shop, sent, said)


def all_write(stage, shop):
    """Everybody has just written, here and at WeChat, so that marketing may reach them."""
    people = len(shop.openids)
    body = {"appid": shop.appid, "act": "text", "prefix": shop.prefix, "count": people, "fields": {"content": "你好"}}
    stage.wechat.ask("/crowd", body)
    with shop.scope:
        at = clock.now()
        until = at + windows.spans(at)[0]
        ReplyLedger.objects.bulk_create(
            (ReplyLedger(follower=row, message_at=at, open_until=until) for row in Follower.objects.order_by("pk")),
            batch_size=2_000,
        )


def _leave(stage, shop, sent, people):
    """One in twenty withdraws while the campaign runs: {openid: (when that was committed, whether unclaimed then)}."""
    leaving = stage.random.sample(shop.openids, people // 20)
    said = {}
    for openid in leaving:
        with shop.scope:
            member = Follower.objects.select_related("member").get(openid=openid).member
            withdraw_consent(member=member, purpose=Purpose.MARKETING, source="chaos", at=clock.now())
        at = stage.wechat.clock_now()
        ((state,),) = sent.rows("state", f"openid = '{openid}'")
        said[openid] = (at, state == "PENDING")
        stage.rig.pause(people / PER_SECOND / len(leaving) * 0.6)
    return said


def _judge(outcome, shop, sent, said):
    got = accepted(sent)
    late = [got[openid] - at for openid, (at, _unclaimed) in said.items() if got.get(openid, 0.0) > at]
    unclaimed = {openid for openid, (_at, waits) in said.items() if waits}
    outcome.note(recipients=len(shop.openids), withdrawn=len(said), of_them_not_yet_claimed=len(unclaimed))
    outcome.note(**{"sent before they withdrew": sum(openid in got for openid in said) - len(late)})
    outcome.note(**{"messages after the withdrawal": len(late)})
    outcome.at_most("seconds until the last of them", max(late, default=0.0), AT_MOST_SECONDS)
    slow = [openid for openid in unclaimed if got.get(openid, 0.0) > said[openid][0] + UNCLAIMED_SECONDS]
    outcome.none("sent 5 s later though nobody had claimed them", slow)
    refused = sent.openids(f"state = 'SUPPRESSED' AND reason = '{reasons.OPTED_OUT}'")
    outcome.none("withdrawn, not sent, and the reason not recorded", set(said) - set(got) - refused)
    outcome.none("sent by our record as left out", refused & set(got))
    outcome.none("lost", set(shop.openids) - set(said) - set(got))
    outcome.none("broken invariants", sent.breaches())


def accepted(sent):
    """When WeChat accepted the marketing message of each person."""
    found, since = {}, 0
    while since is not None:
        page = sent.wechat.ask(f"/truth?appid={sent.shop.appid}&kind=custom&since={since}&limit=100000")
        found.update({row["openid"]: row["at"] for row in page["rows"]})
        since = page["next"]
    return found
