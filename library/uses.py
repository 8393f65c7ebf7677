"""Where files of the library are used: other apps say it, so that nothing in use is taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from common.registry import Registry


@dataclass(frozen=True)
class Use:
    """One place that uses a file: what it is, its name, and its page."""

    label: str
    name: str
    link: str


# For many files at once, in the brand in scope: id of a file -> where it is used.
Users: TypeAlias = Callable[[Sequence[int]], dict[int, list[Use]]]

media_users: Registry[Users] = Registry("media users", purpose="what uses a file of the material library")


# Called once an account has a file for good, and once it has lost it, in the transaction that notes it.
media_listeners: Registry[Callable[..., None]] = Registry(
    "media listeners",
    purpose="what happens once an account has a file for good or has lost it: callable(*, account_id, item_id)",
)


def uses_of(item_ids: Sequence[int]) -> dict[int, list[Use]]:
    """Give where each of these files is used."""
    found: dict[int, list[Use]] = {pk: [] for pk in item_ids}
    for _key, look in media_users.items():
        for pk, uses in look(item_ids).items():
            if pk in found:
                found[pk] += uses
    return found
