"""Before and after of a form, as the audit log keeps it: by field, never a secret, never a whole phone number."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from django.db.models import Model, QuerySet

from accounts.fields import SealedTextField

if TYPE_CHECKING:
    from django.forms import BaseForm

HIDDEN = "***"
LONGEST = 500


def form_changes(form: BaseForm, *, masked: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    """Give {field: [before, after]} for what the form changed; sealed and masked fields show as `***`."""
    return {name: _pair(form, name, masked) for name in form.changed_data if name in form.fields}


def _pair(form: BaseForm, name: str, masked: tuple[str, ...]) -> list[Any]:
    before, after = form.initial.get(name), form.cleaned_data.get(name)
    if name in masked or is_sealed(form, name):
        return [HIDDEN if before else None, HIDDEN if after else None]
    return [readable(_object(form, name, before)), readable(after)]


def is_sealed(form: BaseForm, name: str) -> bool:
    """Say whether the form field stands for a sealed column (or is a write-only secret)."""
    meta = getattr(form, "_meta", None)
    if meta is not None and any(isinstance(f, SealedTextField) and f.name == name for f in meta.model._meta.fields):
        return True
    return bool(getattr(form.fields[name], "write_only", False))


def _object(form: BaseForm, name: str, value: Any) -> Any:
    queryset = getattr(form.fields[name], "queryset", None)
    if queryset is None or value in (None, "") or isinstance(value, Model | list | tuple | QuerySet):
        return value
    return queryset.filter(pk=value).first() or value


def readable(value: Any) -> Any:
    """Give a value as JSON can keep it and a person can read it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="seconds")
    if isinstance(value, dict):
        return {str(key): readable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | QuerySet):
        return [readable(item) for item in value]
    return str(value)[:LONGEST]
