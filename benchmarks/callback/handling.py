"""What a worker does with pushes that are stored already: scans, words, taps, links, results of sends, new followers.

Runs in the product's environment as the stand's child: fills one brand, says what it holds, then stores and handles
pushes of the kind that a line names.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection  # noqa: E402 - Django must be set up first

from accounts.services import create_brand  # noqa: E402
from accounts.tenancy import brand_scope  # noqa: E402
from benchmarks.callback.processes import cpu_seconds  # noqa: E402
from common import clock  # noqa: E402
from members.services import create_tag  # noqa: E402
from members.services.people import record_contact, record_follow  # noqa: E402
from touchpoints.services import create_touchpoint  # noqa: E402
from wechat_gateway.events import LANES, lane_of  # noqa: E402
from wechat_gateway.models import InboundPush, OfficialAccount, PushState  # noqa: E402
from wechat_gateway.services.inbox import handle_inbound  # noqa: E402

PEOPLE: Final = 500
PUSHES: Final = 500
KINDS: Final = {
    "scans": ("event.SCAN", {"MsgType": "event", "Event": "SCAN"}),
    "words": ("text", {"MsgType": "text", "Content": "门店有货吗"}),
    "taps": ("event.CLICK", {"MsgType": "event", "Event": "CLICK", "EventKey": "stores"}),
    "links": ("event.VIEW", {"MsgType": "event", "Event": "VIEW", "EventKey": "https://a.example/"}),
    "results": ("event.TEMPLATESENDJOBFINISH", {"MsgType": "event", "Event": "TEMPLATESENDJOBFINISH"}),
    "follows": ("event.subscribe", {"MsgType": "event", "Event": "subscribe"}),
}


class Bench:
    """A brand with followers and a code that gives a tag."""

    def __init__(self) -> None:
        """Make the people and the code."""
        self.brand = create_brand(slug="bench", name="Bench")
        at = clock.now()
        self.openids = [f"oBench{number:022d}" for number in range(PEOPLE)]
        with brand_scope(self.brand.pk):
            self.account = OfficialAccount.objects.create(
                name="Bench", appid="wxbench0000000000", original_id="gh_bench", app_secret="s", connected_at=at
            )
            code = create_touchpoint(
                name="Bench", at=at, account=self.account, tags=[create_tag(name="Bench", at=at)], welcome="你好"
            )
            for openid in self.openids:
                follower = record_contact(account_id=self.account.pk, appid=self.account.appid, openid=openid, at=at)
                record_follow(follower=follower, at=at)
        self.scene = code.scene
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            self.backend: int = cursor.fetchone()[0]

    def store(self, side: str) -> None:
        """Store one push of each person, as the gateway would have."""
        at = clock.now()
        kind, says = KINDS[side]
        if side == "scans":
            says = says | {"EventKey": self.scene, "Ticket": "t"}
        rows = []
        people = self.openids if side != "follows" else [f"oNew{time.monotonic_ns():024d}" for _ in range(PUSHES)]
        for number, openid in enumerate(people[:PUSHES]):
            happened = at + timedelta(microseconds=number)
            body = {"ToUserName": "gh_bench", "FromUserName": openid, "CreateTime": int(happened.timestamp()), **says}
            body |= {"MsgId" if kind == "text" else "MsgID": str(time.monotonic_ns())}
            rows.append(
                InboundPush(
                    account=self.account,
                    dedupe_key=uuid4(),
                    digest=uuid4(),
                    kind=kind,
                    openid=openid,
                    lane=lane_of(openid),
                    event_at=happened,
                    received_at=happened,
                    body=json.dumps(body),
                )
            )
        with brand_scope(self.brand.pk):
            InboundPush.objects.bulk_create(rows)

    def measure(self, side: str) -> dict[str, Any]:
        """Handle what was stored; gives pushes a second, and milliseconds of processor time of each process."""
        self.store(side)
        worker, database, began = time.process_time(), cpu_seconds([self.backend]), time.perf_counter()
        settled = sum(handle_inbound(brand_id=self.brand.pk, lane=lane, at=clock.now()) for lane in range(LANES))
        took = time.perf_counter() - began
        with brand_scope(self.brand.pk):
            left = InboundPush.objects.exclude(state=PushState.HANDLED).count()
        return {
            "rate": settled / took,
            "worker ms": 1000 * (time.process_time() - worker) / PUSHES,
            "PostgreSQL ms": 1000 * (cpu_seconds([self.backend]) - database) / PUSHES,
            "not handled": left + PUSHES - settled,
        }


def main() -> None:
    """Answer what is asked for, a line each."""
    bench = Bench()
    print(json.dumps({"people": PEOPLE, "pushes a round": PUSHES}), flush=True)
    for line in sys.stdin:
        print(json.dumps(bench.measure(line.strip())), flush=True)


if __name__ == "__main__":
    main()
