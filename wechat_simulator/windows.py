"""Customer-service windows: the rule since 2023-06-12 (reference: service account 5.9)."""

from __future__ import annotations

from typing import Any

from wechat_simulator.errors import WeChatError
from wechat_simulator.world import Fan, Window

ALLOWANCES: dict[str, tuple[int, float]] = {
    "message": (5, 48 * 3600.0),
    "menu": (3, 60.0),
    "follow": (3, 60.0),
    "scan": (3, 60.0),
    "pay": (1_000_000, 48 * 3600.0),  # unconfirmed: only with the switch pay_opens_window
}


def open_window(fan: Fan, trigger: str, at: float) -> None:
    """A person's act renews the allowance of its kind."""
    count, span = ALLOWANCES[trigger]
    if fan.windows is None:
        fan.windows = {}
    fan.windows[trigger] = Window(trigger, at, at + span, count)


def spend(fan: Fan, now: float, *, add_up: bool) -> None:
    """Take one message from the open windows: 45015 when none is open, 45047 when they are used up.

    When allowances do not add up, one message counts in every open window, so the largest allowance decides.
    """
    living = [window for window in (fan.windows or {}).values() if now < window.until]
    if not living:
        raise WeChatError(45015)
    usable = [window for window in living if window.left > 0]
    if not usable:
        raise WeChatError(45047)
    if add_up:
        min(usable, key=lambda window: window.until).left -= 1
    else:
        for window in usable:
            window.left -= 1


def view(fan: Fan, now: float) -> list[dict[str, Any]]:
    """Open windows for the control API."""
    return [
        {"trigger": window.trigger, "until": window.until, "left": window.left}
        for window in (fan.windows or {}).values()
        if now < window.until
    ]
