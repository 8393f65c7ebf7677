"""The copy of everything the brand knows of a person: by the registry of tables, as JSON and as a page to read."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.template.loader import render_to_string

from accounts.fields import SealedTextField
from accounts.models import Brand
from accounts.tenancy import current_brand_id
from common.secret import Secret
from members.personal import PersonalTable, tables
from members.selectors import person_of, purpose_words

if TYPE_CHECKING:
    from members.models import Member
    from members.personal import Person


def copy_of(member: Member, *, at: datetime) -> dict[str, Any]:
    """Give everything registered about a person in plain values, table by table; empty tables are left out."""
    person = person_of(member.pk)
    shown = [_table(table, person) for _key, table in tables.items() if table.fields]
    brand = Brand.objects.get(pk=current_brand_id())
    return {
        "brand": brand.name,
        "made_at": at.isoformat(),
        "member_no": member.member_no,
        "tables": [each for each in shown if each["rows"]],
    }


def page_of(document: dict[str, Any]) -> str:
    """Give the same as a page that can be read without a program."""
    return render_to_string("members/privacy/copy.html", {"document": document})


def _table(table: PersonalTable, person: Person) -> dict[str, Any]:
    model: Any = apps.get_model(table.model)
    sealed = [name for name in table.fields if _is_sealed(model, name)]
    plain = [name for name in table.fields if name not in sealed]
    rows = table.rows(person)
    values = list(rows.values("pk", *plain))
    opened = {row.pk: {name: _open(getattr(row, name)) for name in sealed} for row in rows} if sealed else {}
    words = purpose_words({row["purpose"] for row in values}) if "purpose" in plain else {}
    lines = []
    for row in values:
        known = {**row, **opened.get(row["pk"], {})}
        lines.append([_plain(model, name, known[name], words) for name in table.fields])
    return {
        "table": model._meta.label,
        "label": str(model._meta.verbose_name_plural),
        "columns": [{"key": name, "label": _label(model, name)} for name in table.fields],
        "rows": lines,
    }


def _is_sealed(model: Any, name: str) -> bool:
    return "__" not in name and isinstance(_field(model, name), SealedTextField)


def _open(value: Secret | None) -> str:
    return value.reveal() if value is not None else ""


def _field(model: Any, path: str) -> Any:
    field: Any = None
    for name in path.split("__"):
        try:
            field = model._meta.get_field(name)
        except FieldDoesNotExist:
            return field
        model = field.remote_field.model if field.remote_field else None
        if model is None:
            return field
    return field


def _label(model: Any, path: str) -> str:
    head = _field(model, path.partition("__")[0])
    field = head if "__" in path else _field(model, path)
    return str(getattr(field, "verbose_name", path))


def _plain(model: Any, path: str, value: Any, words: dict[str, str]) -> Any:
    if value is None:
        return ""
    if path == "purpose" and value in words:
        return words[value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    field = _field(model, path)
    if getattr(field, "flatchoices", None):
        return str(dict(field.flatchoices).get(value, value))
    if path == "birth_mmdd":
        return f"{value // 100:02d}-{value % 100:02d}"
    return value if isinstance(value, str | int | bool | float | list | dict) else str(value)
