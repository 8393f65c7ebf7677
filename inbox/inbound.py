"""Every message of a follower, and what they do besides, stands in their conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from inbox import services
from inbox.selectors import look_up_desk
from wechat_gateway.events import MESSAGE_KINDS, Push
from wechat_gateway.registries import on_event, prepares

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN: Final = (
    *sorted(MESSAGE_KINDS),
    "subscribe",
    "unsubscribe",
    "SCAN",
    "CLICK",
    "VIEW",
    "view_miniprogram",
    "scancode_push",
    "scancode_waitmsg",
    "pic_sysphoto",
    "pic_photo_or_album",
    "pic_weixin",
    "location_select",
)


@prepares(key="inbox.desk", rank=60)
def look_up(pushes: Sequence[Push]) -> None:
    """Look up once who answers, for many messages, and keep their conversations in hand."""
    services.look_up_people(pushes)
    if messages := [push for push in pushes if push.kind in MESSAGE_KINDS]:
        look_up_desk(messages)


@on_event(*SHOWN, key="inbox.record", rank=60)
def record(push: Push) -> None:
    """Write it down, count what it allows, and find who answers."""
    services.record_push(push=push)
