"""How often WeCom may be called, and how long it is deaf afterwards (reference: WeCom 2.2, 2.5)."""

from __future__ import annotations

from typing import Any, NamedTuple

from wechat_simulator.wecom.errors import WeComError

MINUTE, HOUR, DAY, MONTH = 60, 3600, 86_400, 30 * 86_400


class Span(NamedTuple):
    """So many calls in a span of seconds; one more, and nothing is answered for just as long."""

    seconds: int
    most: int


class Frequency:
    """Counts per key, in spans that begin at whole multiples of their length."""

    def __init__(self) -> None:
        self._used: dict[str, dict[int, tuple[int, int]]] = {}
        self.closed: dict[str, float] = {}

    def spend(self, key: str, spans: tuple[Span, ...], now: float, times: int = 1) -> None:
        """Count a call; 45009 past a limit, and until the block is over."""
        if self.closed.get(key, 0.0) > now:
            raise WeComError(45009)
        used = self._used.setdefault(key, {})
        for seconds, most in spans:
            index, count = used.get(seconds, (-1, 0))
            current = int(now // seconds)
            if index != current:
                count = 0
            if count + times > most:
                self.closed[key] = now + seconds
                raise WeComError(45009)
            used[seconds] = (current, count + times)

    def view(self, now: float) -> dict[str, Any]:
        """What is blocked, and until when."""
        return {key: until for key, until in self.closed.items() if until > now}

    def dump(self) -> dict[str, Any]:
        """For the state file."""
        return {
            "used": {key: [[span, *pair] for span, pair in spans.items()] for key, spans in self._used.items()},
            "closed": self.closed,
        }

    def load(self, data: dict[str, Any]) -> None:
        """From the state file."""
        self._used = {key: {row[0]: (row[1], row[2]) for row in rows} for key, rows in data.get("used", {}).items()}
        self.closed = data.get("closed", {})
