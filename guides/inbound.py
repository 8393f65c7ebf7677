"""What scans of codes mean for guides: whose code it is, asked once for many of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guides.selectors import look_up_guides
from wechat_gateway.registries import prepares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wechat_gateway.events import Push


@prepares(key="guides.codes", rank=31)
def look_up(pushes: Sequence[Push]) -> None:
    """Look up the guides of many scanned codes at once; the codes themselves are known by now."""
    if scans := [push for push in pushes if push.scene]:
        look_up_guides(scans)
