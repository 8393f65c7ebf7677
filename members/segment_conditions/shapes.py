"""What several conditions share: their fields and how they say a moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy

from console import formats
from members.segments import Field

if TYPE_CHECKING:
    from datetime import datetime

YES_NO = (("yes", gettext_lazy("yes")), ("no", gettext_lazy("no")))
HOW_LONG = (("within", gettext_lazy("within the last")), ("before", gettext_lazy("longer ago than")))
DAYS = Field("days", gettext_lazy("days"), "number", default=30, minimum=1, maximum=3650)


@dataclass(frozen=True)
class Days:
    """`how`: within or before; `days`: 1 to 3650."""

    how: str
    days: int


def moment(at: datetime) -> str:
    """Say a moment in the brand's zone."""
    return formats.local_time(at)
