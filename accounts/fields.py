"""Model fields for values that are encrypted at rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from django.db import models
from django.db.models.query_utils import DeferredAttribute

from accounts.errors import Unsealable
from accounts.sealing import open_sealed, seal
from common.registry import Registry
from common.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Refused:
    """A sealed value that does not open, and where it stands."""

    brand_id: int
    model: str
    table: str
    column: str
    row: int

    def __str__(self) -> str:
        return f"{self.table}.{self.column} #{self.row}"


refused_values: Final[Registry[Callable[[Refused], object]]] = Registry(
    "refused values", purpose="who is told that a sealed value does not open; the transaction is about to fail"
)


class Ciphertext(bytes):
    """A value as it came from the database: still sealed."""

    __slots__ = ()


class _Sealed(DeferredAttribute):
    """Attribute access opens the value; assignment takes a text or a `Secret`."""

    def __get__(self, instance: models.Model | None, cls: Any = None) -> Any:
        if instance is None:
            return self
        raw = super().__get__(instance, cls)
        if isinstance(raw, Ciphertext):
            field = cast("SealedTextField", self.field)
            brand_id: int = instance.brand_id  # type: ignore[attr-defined]
            try:
                return Secret(open_sealed(brand_id, raw, field.context(instance)))
            except Unsealable:
                _tell(instance, field, brand_id)
                raise
        return raw

    def __set__(self, instance: models.Model, value: object) -> None:
        if isinstance(value, str):
            value = Secret(value) if value else None
        elif value is not None and not isinstance(value, Secret | Ciphertext):
            message = f"{self.field.name} takes a text or a Secret"
            raise TypeError(message)
        instance.__dict__[self.field.attname] = value


def _tell(instance: models.Model, field: SealedTextField, brand_id: int) -> None:
    if instance.pk is None:
        return
    meta = instance._meta
    value = Refused(brand_id, meta.label_lower, meta.db_table, str(field.column), instance.pk)
    for _key, tell in refused_values.items():
        tell(value)


class SealedTextField(models.BinaryField):  # type: ignore[type-arg]
    """A text encrypted with the brand's key and bound to table, column, brand and the fields named in `bind`.

    Reading gives `Secret | None`. A value copied to another row or column does not open.
    """

    descriptor_class = _Sealed

    def __init__(self, *args: Any, bind: tuple[str, ...] = (), **kwargs: Any) -> None:
        self.bind = bind
        kwargs.setdefault("null", True)
        kwargs.setdefault("blank", True)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        """Describe the field for migrations."""
        name, path, args, kwargs = super().deconstruct()
        if self.bind:
            kwargs["bind"] = self.bind
        return name, path, args, kwargs

    def context(self, instance: models.Model) -> bytes:
        """Name the place of the value: what the cipher text is bound to."""
        return self.place(instance.brand_id, [getattr(instance, name) for name in self.bind])  # type: ignore[attr-defined]

    def place(self, brand_id: int, bound: Iterable[object]) -> bytes:
        """Name the place by the values of the fields in `bind`, in their order."""
        parts = [self.model._meta.db_table, self.column or self.name, str(brand_id), *map(str, bound)]
        return "\x1f".join(parts).encode()

    def from_db_value(self, value: Any, *_: Any) -> Ciphertext | None:
        """Keep the value sealed until somebody reads it."""
        return None if value is None else Ciphertext(value)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Seal a newly assigned value."""
        raw = model_instance.__dict__.get(self.attname)
        if isinstance(raw, Secret):
            brand_id: int = model_instance.brand_id  # type: ignore[attr-defined]
            raw = Ciphertext(seal(brand_id, raw.reveal(), self.context(model_instance)))
            model_instance.__dict__[self.attname] = raw
        return raw

    def value_to_string(self, obj: models.Model) -> str:
        """Never serialise the value."""
        return "***"
