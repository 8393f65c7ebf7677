"""How a record stands, as a fingerprint: whether somebody changed it since is seen without keeping what it said."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from accounts.sealing import blind_indexes
from accounts.tenancy import current_brand_id
from members.models import Member

if TYPE_CHECKING:
    from collections.abc import Iterable

_SAID: Final = ("name", "birth_mmdd", "gender", "city", "phone_index", "store_id", "merged_into_id")


def marks_of(member_ids: Iterable[int]) -> dict[int, str]:
    """Give the fingerprints of what records say of their people, by key of the record."""
    rows = list(Member.objects.filter(pk__in=list(member_ids)).order_by().values_list("pk", *_SAID))
    made = blind_indexes(current_brand_id(), "import mark", ("\x1f".join(map(str, said)) for _pk, *said in rows))
    return {row[0]: str(uuid.UUID(bytes=each)) for row, each in zip(rows, made, strict=True)}
