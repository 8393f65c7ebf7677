"""aiohttp with 100 requests at a time over connections that are kept, as its documentation has it."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from typing import Any

import aiohttp

from benchmarks.sending.child import cpu, serve

TRIES = 3
CONCURRENCY = 100


async def _worker(session: aiohttp.ClientSession, numbers: Any, prefix: str, ids: set[int]) -> None:
    url = f"{os.environ['BENCH_URL']}/cgi-bin/message/template/send?access_token=bench-token"
    for number in numbers:
        message = {
            "touser": f"o{number:027d}",
            "template_id": "bench-template",
            "data": {"thing1": {"value": f"顾客{number}的预约"}, "time2": {"value": "2025-06-02 15:30"}},
            "client_msg_id": f"{prefix}-{number}",
        }
        for _ in range(TRIES):
            try:
                async with session.post(url, json=message) as response:
                    answer = await response.json()
            except aiohttp.ClientError:
                continue
            if answer["errcode"] == 0:
                ids.add(answer["msgid"])
                break
            if answer["errcode"] != -1:
                break


async def _send(count: int, prefix: str) -> dict[str, Any]:
    trusted = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    ids: set[int] = set()
    connector = aiohttp.TCPConnector(limit=CONCURRENCY, ssl=trusted)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=8)) as session:
        began, used = time.monotonic(), cpu()
        numbers = iter(range(count))
        await asyncio.gather(*(_worker(session, numbers, prefix, ids) for _ in range(CONCURRENCY)))
        return {"cpu": cpu() - used, "seconds": time.monotonic() - began, "accepted": len(ids), "ids": len(ids)}


if __name__ == "__main__":
    serve({"send": lambda count, prefix: asyncio.run(_send(count, prefix))})
