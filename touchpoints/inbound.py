"""What pushes mean for channels: a code was scanned, somebody followed without one, or somebody left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from members import services as member_services
from touchpoints import services
from wechat_gateway.events import Push
from wechat_gateway.registries import on_event, prepares

if TYPE_CHECKING:
    from collections.abc import Sequence


@prepares(key="touchpoints.codes", rank=30)
def look_up_scanned(pushes: Sequence[Push]) -> None:
    """Look up once what many scans ask for."""
    if any(push.scene for push in pushes):
        services.look_up_scans(pushes)


@on_event("subscribe", "SCAN", key="touchpoints.record_touch", rank=30)
def record_touch(push: Push) -> None:
    """Keep the touch and do what the code promises."""
    follower = member_services.follower_of(push)
    services.record_touch(
        follower=follower,
        scene=push.scene,
        is_follow=push.kind == "subscribe",
        at=push.event_at,
        push_id=push.push_id or None,
        ticket=push.ticket,
        push=push,
    )


@on_event("unsubscribe", key="touchpoints.record_unfollow", rank=30)
def record_unfollow(push: Push) -> None:
    """Keep the moment somebody left: how long people stay is counted from it."""
    follower = member_services.follower_of(push)
    services.record_unfollow(follower=follower, at=push.event_at, push_id=push.push_id or None)
