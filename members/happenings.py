"""What people did, as rows that segments can count: apps above register theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import pgettext_lazy

from common.registry import Registry
from members.models import Consent, FactChange, StageMove

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True)
class Happening:
    """One kind of event. `rows()` gives those of the brand in scope, each with a member and a moment.

    `label` completes “has …”, such as “scanned a code”. `is_act`: people did it themselves, so it is an interaction.
    """

    label: StrOrPromise
    rows: Callable[[], QuerySet[Any]]
    member: str = "member_id"
    at: str = "at"
    is_act: bool = False


happenings: Registry[Happening] = Registry(
    "countable events", purpose="what a segment can count: did, did not, how often"
)

happenings.register(
    "members.followed",
    Happening(pgettext_lazy("has …", "followed"), lambda: FactChange.objects.filter(what="subscribed", after="yes")),
)
happenings.register(
    "members.unfollowed",
    Happening(pgettext_lazy("has …", "unfollowed"), lambda: FactChange.objects.filter(what="subscribed", after="")),
)
happenings.register(
    "members.consented",
    Happening(pgettext_lazy("has …", "agreed to a use of their data"), lambda: Consent.objects.filter(granted=True)),
)
happenings.register(
    "members.stage_moved",
    Happening(
        pgettext_lazy("has …", "moved to another stage"), lambda: StageMove.objects.filter(before_id__isnull=False)
    ),
)
