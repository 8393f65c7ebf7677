"""What pushes mean for channels: a code was scanned, somebody followed without one, or somebody left."""

from __future__ import annotations

from members import services as member_services
from touchpoints import services
from wechat_gateway.events import Push
from wechat_gateway.registries import on_event


@on_event("subscribe", "SCAN", key="touchpoints.record_touch", rank=30)
def record_touch(push: Push) -> None:
    """Keep the touch and do what the code promises."""
    follower = member_services.record_contact(
        account_id=push.account_id,
        appid=push.appid,
        openid=push.openid,
        at=push.event_at,
    )
    services.record_touch(
        follower=follower,
        scene=push.scene,
        is_follow=push.kind == "subscribe",
        at=push.event_at,
        push_id=push.push_id or None,
        ticket=push.ticket,
    )


@on_event("unsubscribe", key="touchpoints.record_unfollow", rank=30)
def record_unfollow(push: Push) -> None:
    """Keep the moment somebody left: how long people stay is counted from it."""
    follower = member_services.record_contact(
        account_id=push.account_id,
        appid=push.appid,
        openid=push.openid,
        at=push.event_at,
    )
    services.record_unfollow(follower=follower, at=push.event_at, push_id=push.push_id or None)
