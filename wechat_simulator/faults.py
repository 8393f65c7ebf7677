"""Faults on demand: which call or push is hit, and what happens to it. Every fault has a seed and a count."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

from wechat_simulator.pay import kinds

HTML = (
    "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>"
    "<body><center><h1>502 Bad Gateway</h1></center><hr><center>stgw</center></body></html>"
)
API_KINDS = frozenset(
    (
        "latency", "errcode", "http_status", "body", "patch", "html", "empty", "truncate", "bom", "trailing_bytes",
        "invalid_utf8", "json_array", "duplicate_keys", "reset", "close", "hang", "slow", "flood", "stale_answer",
        "kill_token", "date_header", "redirect", *kinds.CALLS,
    )
)  # fmt: skip
PUSH_KINDS = frozenset(
    (
        "push_duplicate", "push_drop", "push_delay", "push_reorder", "push_bad_signature", "push_cut", "finish_drop",
        "finish_late", "finish_status", *kinds.NOTIFICATIONS,
    )
)  # fmt: skip
# Names as testers say them → kind and effect.
ALIASES: dict[str, tuple[str, str]] = {
    "busy": ("errcode", "before"),
    "reset_before": ("reset", "before"),
    "reset_after": ("reset", "after"),
    "close_before": ("close", "before"),
    "close_after": ("close", "after"),
    "accept_then_cut": ("reset", "after"),
    "timeout": ("hang", "after"),
    "accept_then_timeout": ("hang", "after"),
    "timeout_after_accepting": ("hang", "after"),
    "timeout_before": ("hang", "before"),
    "html_200": ("html", "after"),
    "empty_200": ("empty", "after"),
    "truncated_json": ("truncate", "after"),
    "slow_bytes": ("slow", "after"),
    "duplicate_push": ("push_duplicate", "after"),
    "drop_push": ("push_drop", "after"),
    "out_of_order_push": ("push_reorder", "after"),
    "drop_finish_event": ("finish_drop", "after"),
    "late_finish_event": ("finish_late", "after"),
    "token_invalid": ("kill_token", "before"),
}
BEFORE_BY_DEFAULT = frozenset(("latency", "errcode", "http_status", "kill_token", "redirect", "pay_error"))
COMMON = frozenset(
    ("kind", "name", "appid", "path", "event", "openid", "after_calls", "count", "probability", "seed", "effect")
)


class FaultError(ValueError):
    """The description of a fault is wrong."""


class Fault:
    """One active fault."""

    def __init__(self, number: int, spec: dict[str, Any]) -> None:
        asked = str(spec.get("kind", ""))
        self.kind, alias_effect = ALIASES.get(asked, (asked, ""))
        if self.kind not in API_KINDS | PUSH_KINDS:
            msg = f"unknown kind {asked!r}; known: {sorted(API_KINDS | PUSH_KINDS | set(ALIASES))}"
            raise FaultError(msg)
        self.id = str(spec.get("name") or f"fault-{number}")
        self.appid = str(spec.get("appid") or "")
        self.path = str(spec.get("path") or "")
        self.event = str(spec.get("event") or "")
        self.openid = str(spec.get("openid") or "")
        self.skip = int(spec.get("after_calls", 0))
        self.left: int | None = int(spec["count"]) if spec.get("count") is not None else None
        self.probability = float(spec.get("probability", 1.0))
        self.seed = spec.get("seed", number)
        self.effect = str(
            spec.get("effect") or alias_effect or ("before" if self.kind in BEFORE_BY_DEFAULT else "after")
        )
        if self.effect not in ("before", "after"):
            msg = "effect is before or after the call was handled"
            raise FaultError(msg)
        self.params = {key: value for key, value in spec.items() if key not in COMMON}
        if asked == "busy":
            self.params.setdefault("errcode", -1)
        if self.kind == "errcode" and not isinstance(self.params.get("errcode"), int):
            msg = "errcode needs an integer errcode"
            raise FaultError(msg)
        kinds.check(self.kind, self.params)
        self._random = random.Random(f"{self.seed}")
        self.seen = 0
        self.hits = 0

    @property
    def spent(self) -> bool:
        """No hits left."""
        return self.left is not None and self.left <= 0

    def take(self) -> bool:
        """Count one matching call; True when this one is hit."""
        self.seen += 1
        if self.seen <= self.skip or self.spent:
            return False
        if self.probability < 1.0 and self._random.random() >= self.probability:
            return False
        if self.left is not None:
            self.left -= 1
        self.hits += 1
        return True

    def number(self, name: str, default: float) -> float:
        """A numeric parameter."""
        return float(self.params.get(name, default))

    def delay(self) -> float:
        """Seconds of a latency fault: ``ms`` plus up to ``jitter_ms``."""
        return (self.number("ms", 1000.0) + self._random.random() * self.number("jitter_ms", 0.0)) / 1000.0

    def view(self) -> dict[str, Any]:
        """For the control API."""
        return {
            "id": self.id,
            "kind": self.kind,
            "effect": self.effect,
            "appid": self.appid,
            "path": self.path,
            "event": self.event,
            "openid": self.openid,
            "after_calls": self.skip,
            "count_left": self.left,
            "probability": self.probability,
            "seed": self.seed,
            "params": self.params,
            "seen": self.seen,
            "hits": self.hits,
        }


class Faults:
    """The active faults."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._number = 0
        self.api_active = False
        self.push_active = False

    def add(self, spec: dict[str, Any]) -> Fault:
        """A fault with the same ``name`` is replaced."""
        self._number += 1
        fault = Fault(self._number, spec)
        self._faults[fault.id] = fault
        self._refresh()
        return fault

    def remove(self, fault_id: str | None = None) -> int:
        """One, or all; returns how many went."""
        if fault_id is None:
            count = len(self._faults)
            self._faults.clear()
        else:
            count = int(self._faults.pop(fault_id, None) is not None)
        self._refresh()
        return count

    def _refresh(self) -> None:
        self.api_active = any(fault.kind in API_KINDS for fault in self._faults.values())
        self.push_active = any(fault.kind in PUSH_KINDS for fault in self._faults.values())

    def for_call(self, appid: str, path: str) -> list[Fault]:
        """The faults that hit this API call."""
        return [
            fault
            for fault in self._faults.values()
            if fault.kind in API_KINDS
            and (not fault.appid or fault.appid == appid)
            and (not fault.path or fault.path == path)
            and (fault.kind not in kinds.CALLS or path.startswith("/v3/"))
            and fault.take()
        ]

    def for_push(self, kinds: tuple[str, ...], appid: str, event: str, openid: str) -> list[Fault]:
        """The faults of some kinds that hit this push."""
        return [
            fault
            for fault in self._faults.values()
            if fault.kind in kinds
            and (not fault.appid or fault.appid == appid)
            and (not fault.event or fault.event.lower() == event.lower())
            and (not fault.openid or fault.openid == openid)
            and fault.take()
        ]

    def for_pay(self, wanted: tuple[str, ...], ids: set[str], event: str) -> list[Fault]:
        """The faults that hit a notification of WeChat Pay; ``appid`` may be a merchant number, ``event`` a start."""
        return [
            fault
            for fault in self._faults.values()
            if fault.kind in wanted
            and (not fault.appid or fault.appid in ids)
            and (not fault.event or event.startswith(fault.event))
            and fault.take()
        ]

    def view(self) -> list[dict[str, Any]]:
        """All, with what is left."""
        return [fault.view() for fault in self._faults.values()]


class Answer:
    """An HTTP answer on its way out, and how it is sent."""

    __slots__ = ("body", "content_type", "date_offset", "headers", "result", "speed", "status", "transmission")

    def __init__(self, body: bytes, content_type: str = "application/json; encoding=utf-8") -> None:
        self.status = 200
        self.body = body
        self.content_type = content_type
        self.headers: list[tuple[bytes, bytes]] = []
        self.transmission = "normal"  # normal | reset | close | hang | slow | flood
        self.speed = 0.0
        self.date_offset = 0.0
        self.result = ""


def produce(fault: Fault, answer: Answer, previous: bytes) -> None:  # noqa: C901, PLR0912 - one branch per kind
    """Change the answer as the fault says (latency, kill_token and errcode are the server's business)."""
    kind, params = fault.kind, fault.params
    if kind in ("http_status", "redirect"):
        answer.status = int(params.get("status", 302 if kind == "redirect" else 500))
        answer.body = _given_body(params, b"")
        answer.content_type = str(params.get("content_type", "text/html"))
        if kind == "redirect":
            answer.headers.append((b"location", str(params.get("location", "http://127.0.0.1:1/")).encode()))
    elif kind == "body":
        answer.body = _given_body(params, b"")
        answer.status = int(params.get("status", 200))
        answer.content_type = str(params.get("content_type", answer.content_type))
    elif kind == "patch":
        value = json.loads(answer.body)
        value.update(params.get("set", {}))
        for name in params.get("remove", ()):
            value.pop(name, None)
        answer.body = json.dumps(value, ensure_ascii=False).encode()
        answer.status = int(params.get("status", answer.status))
    elif kind == "html":
        answer.body, answer.content_type = HTML.encode(), "text/html"
    elif kind == "empty":
        answer.body = b""
    elif kind == "truncate":
        answer.body = answer.body[: int(params.get("keep", max(len(answer.body) - 8, 1)))]
    elif kind == "bom":
        answer.body = b"\xef\xbb\xbf" + answer.body
    elif kind == "trailing_bytes":
        answer.body += b"\x00garbage"
    elif kind == "invalid_utf8":
        answer.body = answer.body.replace(b"ok", b"\xff\xfe", 1)
    elif kind == "json_array":
        answer.body = b"[" + answer.body + b"]"
    elif kind == "duplicate_keys":
        answer.body = answer.body.rstrip()[:-1] + b',"errcode":40003}'
    elif kind == "stale_answer":
        answer.body = previous or answer.body
    elif kind in ("reset", "close", "hang", "slow", "flood"):
        answer.transmission = kind
        answer.speed = fault.number(
            {"hang": "seconds", "flood": "megabytes"}.get(kind, "bytes_per_second"), _SPEED[kind]
        )
    elif kind == "date_header":
        answer.date_offset = fault.number("seconds", 3600.0)
    for name, value in params.get("headers", {}).items():
        answer.headers.append((str(name).lower().encode(), str(value).encode()))


_SPEED = {"reset": 0.0, "close": 0.0, "hang": 600.0, "slow": 1.0, "flood": 10.0}


def _given_body(params: dict[str, Any], default: bytes) -> bytes:
    if "body_base64" in params:
        return base64.b64decode(params["body_base64"])
    body = params.get("body", default)
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body, ensure_ascii=False).encode()
