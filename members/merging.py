"""What a person has, what a merge does with it, and how undo gives it back: each app registers its part."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from common.registry import Registry

if TYPE_CHECKING:
    from django.db.models import Model
    from django_stubs_ext import StrOrPromise

    from members.models import Member


def _nothing(member_id: int) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Asset:
    """Something people have.

    `move(*, kept, merged, at)` brings it along and gives, as JSON without personal data, what `give_back(*, kept,
    merged, moved, at)` needs to restore both sides; nothing (an empty value) when nothing moved. `show(member_id)` says
    in words what somebody has, for the preview. Lower `order` moves first and comes back last.
    """

    label: StrOrPromise
    move: Callable[..., Any]
    give_back: Callable[..., None]
    show: Callable[[int], Sequence[str]] = _nothing
    order: int = 100


assets: Registry[Asset] = Registry(
    "assets of people", purpose="what people have: what a merge moves, how undo gives it back, what a preview shows"
)


def in_order() -> list[tuple[str, Asset]]:
    """Give the assets in the order in which they move."""
    return sorted(assets.items(), key=lambda pair: (pair[1].order, pair[0]))


class Rows:
    """Rows that change hands as they are: `owner` names the column with the member."""

    def __init__(self, model: type[Model], owner: str = "member") -> None:
        self._model = model
        self._owner = owner

    def move(self, *, kept: Member, merged: Member, at: datetime) -> list[int]:
        """Bring them along."""
        rows: Any = self._model._default_manager
        moved = list(rows.filter(**{self._owner: merged}).order_by("pk").values_list("pk", flat=True))
        if moved:
            rows.filter(pk__in=moved).update(**{self._owner: kept})
        return moved

    def give_back(self, *, kept: Member, merged: Member, moved: list[int], at: datetime) -> None:
        """Give back those that are still there."""
        rows: Any = self._model._default_manager
        rows.filter(pk__in=moved, **{self._owner: kept}).update(**{self._owner: merged})


class Joined:
    """Rows of which a step moves, changes and drops some.

    They are written down before and after the step; undo restores each row that nobody has changed since.
    """

    def __init__(self, models: tuple[type[Model], ...], step: Callable[..., object]) -> None:
        """`step(*, kept, merged, at)` does the work; each of the models has a `member`."""
        self._models = {model._meta.label_lower: model for model in models}
        self._step = step

    def move(self, *, kept: Member, merged: Member, at: datetime) -> dict[str, Any]:
        """Let the step do its work and say what it changed."""
        people = [kept.pk, merged.pk]
        before = {label: written(model, people) for label, model in self._models.items()}
        self._step(kept=kept, merged=merged, at=at)
        moved: dict[str, Any] = {}
        for label, model in self._models.items():
            was, now = before[label], written(model, people)
            changed = {key for key in {*was, *now} if was.get(key) != now.get(key)}
            if changed:
                moved[label] = {
                    "before": {key: was[key] for key in sorted(changed & set(was))},
                    "after": {key: now[key] for key in sorted(changed & set(now))},
                }
        return moved

    def give_back(self, *, kept: Member, merged: Member, moved: dict[str, Any], at: datetime) -> None:
        """Restore what is still as the merge left it."""
        for label, model in self._models.items():
            if label in moved:
                _restore(model, [kept.pk, merged.pk], moved[label]["before"], moved[label]["after"])


def _restore(model: type[Model], people: list[int], before: dict[str, Any], after: dict[str, Any]) -> None:
    rows: Any = model._default_manager
    now = written(model, people)
    untouched = {key for key in {*before, *after} if now.get(key) == after.get(key)}
    rows.filter(pk__in=[int(key) for key in untouched if key not in before]).delete()
    for key in sorted(untouched & set(before), key=int):
        fields: Any = model._meta
        values = {name: fields.get_field(name).to_python(value) for name, value in before[key].items()}
        if key in now:
            rows.filter(pk=int(key)).update(**values)
        else:
            rows.bulk_create([model(pk=int(key), **values)])


def written(model: type[Model], people: list[int]) -> dict[str, dict[str, Any]]:
    """Give the rows of people as JSON holds them, by number."""
    names = [field.attname for field in model._meta.concrete_fields if field.name not in ("brand", "id")]
    rows: Any = model._default_manager
    found = rows.filter(member_id__in=people).order_by("pk").values("id", *names)
    return {str(row["id"]): {name: plain(row[name]) for name in names} for row in found}


def plain(value: Any) -> Any:
    """Give a value as JSON holds it, without losing anything."""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return str(value) if isinstance(value, uuid.UUID) else value
