"""A new master key for everything that one wraps: while everybody goes on reading, and as often as it takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.apps import apps

from accounts.audit_chain import anchor_log
from accounts.errors import Unsealable
from accounts.models import Brand, BrandKey
from accounts.sealing import current_master, master_of, rewrapped
from common.failpoints import point
from wechat_gateway.fields import InstallationSecretField

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.db.models import Model


@dataclass
class Rotated:
    """What was found under which master key, how much was wrapped anew, and what no configured key opens."""

    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


def rotate_master(*, at: datetime, only_look: bool = False) -> Rotated:
    """Wrap everything with the first of the configured master keys; safe to kill, and to run again or twice at once.

    One statement a value, and only if nobody has changed it meanwhile. Nothing that is sealed under a brand's key is
    touched: the brand's key itself stays the same. Every brand's audit log is anchored anew, under the new key.
    """
    found, current = Rotated(), current_master()
    for model, column in _places():
        for pk, value in _wrapped(model, column):
            name = master_of(value)
            found.before[name] += 1
            if name != current and not only_look:
                name = _wrap_anew(model, column, pk, value, found) or name
                point("master key: wrapped one anew")
            found.after[name] += 1
    if not only_look:
        for brand_id in Brand.objects.order_by("pk").values_list("pk", flat=True):
            anchor_log(brand_id, at=at, again=True)
    return found


def _places() -> Iterator[tuple[type[Model], str]]:
    """Everything that a master key wraps: the brands' keys, and secrets that belong to no brand."""
    yield Brand, "data_key"
    yield BrandKey, "wrapped"
    for model in apps.get_models():
        for each in model._meta.local_fields:
            if isinstance(each, InstallationSecretField):
                yield model, each.attname


def _wrapped(model: type[Model], column: str) -> Iterator[tuple[int, bytes]]:
    rows: Any = model._default_manager.exclude(**{column: None}).order_by("pk")
    for pk, value in rows.values_list("pk", column).iterator(chunk_size=500):
        yield pk, bytes(value)


def _wrap_anew(model: type[Model], column: str, pk: int, value: bytes, found: Rotated) -> str:
    try:
        fresh = rewrapped(value)
    except Unsealable:
        found.lost.append(f"{model._meta.label}.{column} {pk}")
        return ""
    model._default_manager.filter(pk=pk, **{column: value}).update(**{column: fresh})
    return master_of(fresh)
