"""A model field for secrets of the installation, which belong to no brand."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.query_utils import DeferredAttribute

from accounts.errors import Unsealable
from accounts.sealing import unwrap, wrap
from common.secret import Secret


class _Sealed(DeferredAttribute):
    """Attribute access opens the value; assignment takes a text or a `Secret`."""

    def __get__(self, instance: models.Model | None, cls: Any = None) -> Any:
        if instance is None:
            return self
        raw = super().__get__(instance, cls)
        if raw is None or isinstance(raw, Secret):
            return raw
        place, _separator, text = unwrap(bytes(raw)).partition(b"\x1f")
        if place != _place(instance, self.field):
            raise Unsealable
        return Secret(text.decode())

    def __set__(self, instance: models.Model, value: object) -> None:
        if isinstance(value, str):
            value = Secret(value) if value else None
        instance.__dict__[self.field.attname] = value


class InstallationSecretField(models.BinaryField):  # type: ignore[type-arg]
    """A text sealed with the master key and bound to its table and column. Reading gives `Secret | None`."""

    descriptor_class = _Sealed

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("null", True)
        kwargs.setdefault("blank", True)
        super().__init__(*args, **kwargs)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Seal a newly assigned value."""
        raw = model_instance.__dict__.get(self.attname)
        if isinstance(raw, Secret):
            return wrap(_place(model_instance, self) + b"\x1f" + raw.reveal().encode())
        return raw


def _place(instance: models.Model, field: Any) -> bytes:
    return f"{instance._meta.db_table}.{field.column}".encode()
