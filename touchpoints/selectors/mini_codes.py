"""Short scenes: eight characters that say which number of this brand they are, and prove it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from accounts.sealing import blind_index
from accounts.tenancy import current_brand_id
from touchpoints.errors import NoSuchScene
from touchpoints.models import MiniCode, Touchpoint
from touchpoints.selectors.lookups import in_use

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: people read them off paper
LENGTH: Final = 8
NUMBERS: Final = 2**24
_SIGNATURE_BITS: Final = 16
MOST_OFFERED: Final = 500
_READ_AS: Final = str.maketrans("OIL", "011")


def short_scene(brand_id: int, number: int) -> str:
    """Write a number of a brand with its signature; another brand's key gives another one."""
    value = number << _SIGNATURE_BITS | _signature(brand_id, number)
    return "".join(ALPHABET[value >> 5 * place & 31] for place in reversed(range(LENGTH)))


def is_ours(brand_id: int, text: str) -> bool:
    """Say whether a scene was made by this brand, without asking the database."""
    if len(text) != LENGTH or any(letter not in ALPHABET for letter in text):
        return False
    value = 0
    for letter in text:
        value = value << 5 | ALPHABET.index(letter)
    number = value >> _SIGNATURE_BITS
    return value & (1 << _SIGNATURE_BITS) - 1 == _signature(brand_id, number)


def _signature(brand_id: int, number: int) -> int:
    return blind_index(brand_id, "mini code", str(number)).int >> 128 - _SIGNATURE_BITS


def resolve_scene(text: str, *, at: datetime) -> MiniCode:
    """Give the code in use behind a short scene. Raises `NoSuchScene` for all others, whatever the reason."""
    scene = text.strip().upper().translate(_READ_AS)
    if not is_ours(current_brand_id(), scene):
        raise NoSuchScene
    row = MiniCode.objects.select_related("touchpoint__store", "program").defer("picture").filter(code=scene).first()
    if row is None or row.revoked_at is not None or not row.touchpoint.is_active:
        raise NoSuchScene
    if (row.ends_at and row.ends_at <= at) or (row.touchpoint.ends_at and row.touchpoint.ends_at <= at):
        raise NoSuchScene
    return row


# --- scenes that travel with the page of a card or a button ---

_IN_PAGE: Final = re.compile(r"([?&])scene=([0-9A-Z]{8})(&|$)")


def scene_in(page: str) -> str:
    """Give the short scene of this brand that a page carries; '' when it carries none."""
    found = _IN_PAGE.search(page)
    return found[2] if found and is_ours(current_brand_id(), found[2]) else ""


def without_scene(page: str) -> str:
    """Give a page without this brand's short scene, as somebody would type it."""
    if not scene_in(page):
        return page
    return _IN_PAGE.sub(lambda found: found[1] if found[3] else "", page, count=1)


def with_scene(page: str, scene: str) -> str:
    """Give a page with a short scene, where a mini program finds that of a scanned code too: as `scene` of its query.

    Another one of this brand gives way.
    """
    bare = without_scene(page)
    return f"{bare}{'&' if '?' in bare else '?'}scene={scene}"


def channels_by_scene(pages: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Give the channels that pages count for, number and name, by the scene that each carries."""
    scenes = {scene for page in pages if (scene := scene_in(page))}
    if not scenes:
        return {}
    rows = MiniCode.objects.filter(code__in=scenes).order_by("pk")
    return {code: (pk, name) for code, pk, name in rows.values_list("code", "touchpoint_id", "touchpoint__name")}


def channels_to_count_for() -> list[tuple[int, str]]:
    """Give the channels that a card or a button can count for."""
    rows = Touchpoint.objects.filter(in_use(), origin="").order_by("name", "pk")
    return list(rows.values_list("pk", "name")[:MOST_OFFERED])
