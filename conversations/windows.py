"""How long and how often a push lets us write back by customer-service message (reference: service account 5.9)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from wechat_gateway.events import MESSAGE_KINDS

_AFTER_MESSAGE: Final = (5, timedelta(hours=48))
_AFTER_ACT: Final = (3, timedelta(minutes=1))
_ACTS: Final = frozenset({"subscribe", "SCAN", "CLICK", "scancode_push", "scancode_waitmsg"})


def allowance(kind: str) -> tuple[int, timedelta]:
    """Give how many messages a push of a kind allows and for how long; (0, nothing) for kinds that open no window."""
    if kind in MESSAGE_KINDS:
        return _AFTER_MESSAGE
    return _AFTER_ACT if kind in _ACTS else (0, timedelta())
