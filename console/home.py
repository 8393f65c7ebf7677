"""The home page: what apps register, sorted into incident, decisions, figures, chart and running work."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from common.clock import now
from common.errors import AppError
from console.registry import Chart, Figure, Incident, Running, Step, Todo, home_cards

if TYPE_CHECKING:
    from accounts.viewer import Viewer
    from console.registry import Card

logger = logging.getLogger(__name__)
FIGURES = 4


def contents(viewer: Viewer) -> dict[str, Any]:
    """Ask every registered card. One that fails shows as missing; the rest of the page works."""
    cards: list[Card] = []
    broken: list[str] = []
    for key, make in home_cards.items():
        try:
            made = make(viewer)
        except (AppError, ArithmeticError, LookupError, ValueError):
            logger.exception("home card %s failed", key)
            broken.append(key)
            continue
        if made is not None:
            cards.extend(made if isinstance(made, Iterable) else [made])
    cards.sort(key=lambda card: card.order)
    steps = _of(cards, Step)
    return {
        "incidents": _of(cards, Incident),
        "todos": [card for card in _of(cards, Todo) if card.count],
        "figures": _of(cards, Figure)[:FIGURES],
        "charts": _of(cards, Chart)[:1],
        "running": _of(cards, Running),
        "steps": steps if any(not step.done for step in steps) else [],
        "steps_done": sum(step.done for step in steps),
        "broken": broken,
        "as_of": now(),
    }


def _of(cards: list[Card], kind: type[Any]) -> list[Any]:
    return [card for card in cards if isinstance(card, kind)]
