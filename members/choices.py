"""Under which keys a person's own choices stand among the opt-outs, and which of them a message must ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from members.models import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from members.models import OptOut

PERSONAL: Final = "PERSONAL"  # no automated choice of what they get (PIPL 24)
QUIET: Final = "QUIET"  # carries hours, refuses nothing
_TOPIC: Final = "TOPIC:"
_CARRIER: Final = "CARRIER:"
#: Conditions that only say whether somebody may be written to at all; every other one chooses by what they are or did.
NEUTRAL: Final = frozenset({"subscribed", "joined", "consent", "reachable"})


def topic_key(topic_id: int) -> str:
    """Give the key of a topic."""
    return f"{_TOPIC}{topic_id}"


def carrier_key(carrier: str) -> str:
    """Give the key of a way of sending."""
    return f"{_CARRIER}{carrier}"[:40]


def keys_for(*, purpose: str, topic_id: int | None = None, carrier: str = "", personal: bool = False) -> list[str]:
    """Give what a message must ask before it goes out. Service messages ask for nothing but their own purpose."""
    keys = [purpose]
    if purpose == Purpose.MARKETING:
        keys += [topic_key(topic_id)] if topic_id is not None else []
        keys += [carrier_key(carrier)] if carrier else []
        keys += [PERSONAL] if personal else []
    return keys


def refusal_of(key: str, row: OptOut) -> str:
    """Give the reason that a choice is when a message is withheld for it: the topic, the choosing, or marketing itself.

    The same words as a welcome and a campaign have for whom they leave out.
    """
    if row.is_control_alone:
        return "IN_CONTROL"
    if key.startswith(_TOPIC):
        return "OFF_TOPIC"
    return "NOT_CHOSEN" if key == PERSONAL else "OPTED_OUT"


def chooses_people(rule: object) -> bool:
    """Say whether a rule chooses by what people are or did; one for everybody who may be written to does not."""
    return any(key not in NEUTRAL for key in _keys_of(rule))


def _keys_of(rule: object) -> Iterator[Any]:
    if not isinstance(rule, dict):
        return
    if "condition" in rule:
        yield rule["condition"]
        return
    for children in rule.values():
        for child in children if isinstance(children, list) else ():
            yield from _keys_of(child)
