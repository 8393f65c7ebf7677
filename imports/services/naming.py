"""By what a row names people, as fingerprints: when somebody is erased, rows that are about nobody known are found."""

from __future__ import annotations

import re
import unicodedata
import uuid
from typing import TYPE_CHECKING, Final

from accounts.sealing import blind_indexes
from accounts.tenancy import current_brand_id
from imports.services.people.looking import ties_of
from members.models import Identity, IdentityKind, Member
from members.services import intake

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imports.kinds import Row

_NUMBER: Final = "NO"
# In whatever stands around it: a cell that is refused may hold two numbers, or a word beside one.
_PHONES: Final = re.compile(r"(?<!\d)(?:\+?86)?(1[3-9]\d{9})(?!\d)")
_BETWEEN: Final = re.compile(r"(?<=\d)[\s-]+(?=\d)|(?<=\d)\.0+(?!\d)")


def names_in(row: Row, texts: Iterable[str]) -> list[str]:
    """Name everybody of whom a row says a number: what was read, and in what could not be read any mobile number."""
    names = [f"{kind}\x1f{value}" for kind, value in ties_of(row)]
    if row.cells.get("member_no"):
        names.append(f"{_NUMBER}\x1f{row.cells['member_no']}")
    for text in texts:
        plain = _BETWEEN.sub("", unicodedata.normalize("NFKC", text))
        names += [
            f"{IdentityKind.PHONE.value}\x1f{intake.phone_key(f'+86{phone}')}" for phone in _PHONES.findall(plain)
        ]
    return names


def names_of_people(member_ids: Sequence[int]) -> list[str]:
    """Name people by everything that ever identified them."""
    ties = Identity.objects.filter(member_id__in=member_ids).order_by("pk").values_list("kind", "value")
    members = Member.objects.filter(pk__in=member_ids).order_by("pk").values_list("member_no", "phone_index")
    names = [f"{kind}\x1f{value}" for kind, value in ties]
    for number, phone in members:
        names.append(f"{_NUMBER}\x1f{number}")
        if phone is not None:
            names.append(_by_phone(str(phone)))
    return names


def prints_of(named: Iterable[Sequence[str]]) -> list[list[uuid.UUID]]:
    """Give the keyed fingerprints of names, row by row."""
    rows = [list(dict.fromkeys(names)) for names in named]
    every = list({name for names in rows for name in names})
    keys = dict(zip(every, blind_indexes(current_brand_id(), "import person", every), strict=True))
    return [[uuid.UUID(bytes=keys[name]) for name in names] for names in rows]


def _by_phone(index: str) -> str:
    return f"{IdentityKind.PHONE.value}\x1f{index}"
