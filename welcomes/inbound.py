"""New followers enter their account's sequence; what they do afterwards counts and may allow the next message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wechat_gateway.events import MESSAGE_KINDS
from wechat_gateway.registries import on_event, prepares
from welcomes import services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wechat_gateway.events import Push

ACTS: Final = (
    *sorted(MESSAGE_KINDS),
    "CLICK",
    "VIEW",
    "view_miniprogram",
    "SCAN",
    "scancode_push",
    "scancode_waitmsg",
    "pic_sysphoto",
    "pic_photo_or_album",
    "pic_weixin",
    "location_select",
)


@prepares(key="welcomes.sequences", rank=58)
def look_up(pushes: Sequence[Push]) -> None:
    """Look up once who may be in a sequence, for many pushes."""
    services.look_up([push for push in pushes if push.kind == "subscribe" or push.kind in ACTS])


@on_event(*ACTS, key="welcomes.act", rank=58)
def note_act(push: Push) -> None:
    """Note what a new follower did within 48 hours."""
    services.note_act(push=push)


@on_event("subscribe", key="welcomes.enrol", rank=70)
def enrol(push: Push) -> None:
    """Let a new follower enter the sequence."""
    services.enrol(push=push)
