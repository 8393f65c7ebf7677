"""wechatpy as published: one message after the other."""

from __future__ import annotations

import os
import time
from typing import Any

from wechatpy import WeChatClient
from wechatpy.exceptions import WeChatClientException

from benchmarks.sending.child import cpu, serve

for _name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[_name]  # loopback, whatever proxy the machine has; all else is as wechatpy does it


class _Client(WeChatClient):  # type: ignore[misc]
    API_BASE_URL = os.environ["BENCH_URL"] + "/cgi-bin/"


_client = _Client("wxbench", "secret", access_token="bench-token", timeout=8)
os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"]
_client.session.set("wxbench_access_token", "bench-token", 7000)
_client.expires_at = int(time.time()) + 7000


def send(count: int, prefix: str) -> dict[str, Any]:
    """Send `count` messages."""
    ids = set()
    began, used = time.monotonic(), cpu()
    for number in range(count):
        data = {"thing1": {"value": f"顾客{number}的预约"}, "time2": {"value": "2025-06-02 15:30"}}
        try:
            answer = _client.post(
                "message/template/send",
                data={
                    "touser": f"o{number:027d}",
                    "template_id": "bench-template",
                    "data": data,
                    "client_msg_id": f"{prefix}-{number}",
                },
            )
        except WeChatClientException:
            continue
        ids.add(answer["msgid"])
    return {"cpu": cpu() - used, "seconds": time.monotonic() - began, "accepted": len(ids), "ids": len(ids)}


if __name__ == "__main__":
    serve({"send": send})
