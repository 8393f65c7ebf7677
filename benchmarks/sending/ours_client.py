"""Our client as the engine uses it: batches of a claim's size through `send_many`, quota and token included."""

from __future__ import annotations

import time
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402 - needs Django

from benchmarks.sending import child, world  # noqa: E402 - needs Django
from common import clock  # noqa: E402 - needs Django
from wechat_gateway import client  # noqa: E402 - needs Django


class Driver:
    """One brand whose messages go to the endpoint."""

    def __init__(self) -> None:
        self._world = world.make("client")
        world.give_token(self._world)

    def send(self, count: int, prefix: str) -> dict[str, Any]:
        """Send `count` messages; gives how many were accepted, how many ids came, and what it took."""
        size = settings.SEND_CLAIM_SIZE
        accepted, ids = 0, set()
        began, used = time.monotonic(), child.cpu()
        for start in range(0, count, size):
            calls = [
                client.template_message(
                    openid=f"o{number:027d}",
                    template_id=world.TEMPLATE,
                    data={"thing1": f"顾客{number}的预约", "time2": "2025-06-02 15:30"},
                    client_msg_id=f"{prefix}-{number}",
                )
                for number in range(start, min(start + size, count))
            ]
            for _, answer in client.send_many(
                self._world.account, calls, concurrency=settings.SEND_CONCURRENCY, at=clock.now()
            ):
                accepted += answer.ok
                ids.add(answer.msgid)
        return {"cpu": child.cpu() - used, "seconds": time.monotonic() - began, "accepted": accepted, "ids": len(ids)}


if __name__ == "__main__":
    child.serve({"send": Driver().send})
