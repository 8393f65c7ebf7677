"""What a crowd is planted on: a brand's stores, codes, tiers and colleagues, looked up once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.backends.utils import CursorWrapper

from demo.truth import Person

_SPACE: Final = uuid.UUID("8f1b3c52-6f0f-4a53-9a55-000020250601")


@dataclass(frozen=True)
class Ground:
    """Where and when a crowd is planted. Ids stand in the order in which the truth counts stores and codes."""

    brand_id: int
    account_id: int
    appid: str
    at: datetime
    tags: dict[str, int]
    stores: tuple[int, ...]
    guides: dict[int, list[int]]  # of a store
    codes: tuple[tuple[int, str], ...]  # id and scene
    tiers: tuple[tuple[int, str, int], ...]  # id, name, where it begins
    spend_rule: int | None
    coupons: tuple[tuple[int, int], ...]  # template and version
    staff_id: int | None
    subject: str = ""  # who issues unionids
    slug: str = ""

    @property
    def ladder(self) -> list[tuple[str, int]]:
        """Give the tiers as the truth reads them."""
        return [(name, yuan) for _pk, name, yuan in self.tiers]

    def ago(self, days: int, minutes: int = 0) -> datetime:
        """Give the moment so long ago."""
        return self.at - timedelta(days=days, minutes=minutes)

    def store_of(self, person: Person) -> int | None:
        """Give the store of somebody."""
        return self.stores[person.store(len(self.stores))] if self.stores else None

    def key(self, *parts: object) -> str:
        """Give a UUID that is the same whenever the same is planted."""
        return str(uuid.uuid5(_SPACE, ":".join(map(str, (self.brand_id, *parts)))))

    def given(self, **columns: Any) -> dict[str, Any]:
        """Give the parameters of a statement: what is the same for all, and columns as arrays."""
        return {"brand": self.brand_id, "account": self.account_id, "appid": self.appid, "at": self.at} | columns


# Plants one part of what some thousand people did, in a few statements.
Layer = Callable[[Sequence[Person], Ground, CursorWrapper], None]


def member_no(number: int) -> str:
    """Give the member number of somebody of the crowd: eleven digits, one more than real ones have."""
    return f"9{number:010d}"
