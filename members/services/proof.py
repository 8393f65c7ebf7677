"""Deleting by the registry, with proof: table by table what went, what stays without a name, and under which law."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from django.apps import apps
from django.db import connection
from django.db.models import Case, Exists, Value, When
from django.utils.translation import override

from accounts.models import Brand
from accounts.sealing import blind_index
from accounts.tenancy import current_brand_id
from members.personal import GONE, Fate, PersonalTable, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from members.personal import Person

_LANGUAGES = ("zh-hans", "en")


@dataclass(frozen=True)
class Held:
    """What a table held of a person before: which rows, and a keyed fingerprint of all they said."""

    key: str
    table: PersonalTable
    ids: tuple[int, ...]
    digest: str


def look(person: Person) -> list[Held]:
    """Note what every table holds of a person now; most hold nothing, which one question tells of all of them."""
    every = list(tables.items())
    found = []
    for (key, table), holds in zip(every, _which_hold([table.rows(person) for _key, table in every]), strict=True):
        if holds:
            rows = list(table.rows(person).values_list())
            ids = tuple(row[_place(table.model)] for row in rows)
            found.append(Held(key, table, ids, _digest(rows)))
    return found


def _which_hold(questions: Sequence[QuerySet[Any]]) -> tuple[bool, ...]:
    """Say of each question whether any row answers it."""
    asked = [Exists(rows) for rows in questions]
    answers: tuple[bool, ...] = Brand.objects.filter(pk=current_brand_id()).values_list(*asked).get()
    return answers


def settle(before: Iterable[Held], *, at: datetime) -> dict[str, Any]:
    """Do what the registry says with every row that was there; gives the proof in plain values.

    What apps have deleted in their own way is only counted. `digest` of a line is the keyed fingerprint of the rows as
    they were, `digest` of the proof that of all its lines: nobody can change a line afterwards without its showing.
    """
    lines = [_line(held) for held in _referring_first(before) if held.ids]
    body = {"at": at.isoformat(), "lines": lines}
    return {**body, "digest": hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()}


def _referring_first(before: Iterable[Held]) -> list[Held]:
    """Order tables so that what refers to a row goes before the row."""
    left = {apps.get_model(held.table.model): held for held in before}
    found: list[Held] = []
    while left:
        aims = {target for model in left for target in _targets(model) if target is not model}
        free = [model for model in left if model not in aims] or list(left)
        found += [left.pop(model) for model in free]
    return found


def _targets(model: Any) -> list[Any]:
    return [field.remote_field.model for field in model._meta.concrete_fields if field.remote_field]


def is_intact(proof: dict[str, Any]) -> bool:
    """Say whether nobody has changed a proof."""
    body = {"at": proof.get("at"), "lines": proof.get("lines")}
    return proof.get("digest") == hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _line(held: Held) -> dict[str, Any]:
    model: Any = apps.get_model(held.table.model)
    rows = model.objects.filter(pk__in=held.ids)
    if held.table.fate is Fate.DELETED:
        rows.delete()
    elif held.table.through:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {held.table.through}(%s)", [list(held.ids)])  # a name of ours
    elif held.table.fate is Fate.ANONYMOUS:
        rows.update(**{name: _blank(name, value) for name, value in held.table.blank.items()})
    return {
        "table": model._meta.label,
        "label": _in_all(lambda: str(model._meta.verbose_name_plural)),
        "fate": held.table.fate.value,
        "law": _in_all(lambda: str(held.table.law)),
        "before": len(held.ids),
        "after": model.objects.filter(pk__in=held.ids).count(),
        "digest": held.digest,
    }


def _blank(name: str, value: Any) -> Any:
    if value != GONE:
        return value
    return Case(When(**{name: ""}, then=Value("")), default=Value(GONE))


def _in_all(say: Any) -> dict[str, str]:
    """Say something in every language: a proof outlives the screen it was asked for on."""
    said = {}
    for language in _LANGUAGES:
        with override(language):
            said[language] = say()
    return said


def _digest(rows: list[tuple[Any, ...]]) -> str:
    """Give a fingerprint that only the brand's key can make again: by guessing nobody finds out what was there."""
    text = "\x1e".join("\x1f".join(str(value) for value in row) for row in rows)
    return blind_index(current_brand_id(), "erasure", text).hex


def _place(model: str) -> int:
    fields = [field.attname for field in apps.get_model(model)._meta.concrete_fields]
    return fields.index("id")
