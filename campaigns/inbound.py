"""What WeChat reports about messages that were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaigns import services
from wechat_gateway.registries import on_event

if TYPE_CHECKING:
    from wechat_gateway.events import Push


@on_event("TEMPLATESENDJOBFINISH", key="campaigns.record_result")
def record_template_result(push: Push) -> None:
    """Keep the result; a batch is matched with its messages within seconds (reference: service account 3.4)."""
    services.record_result(
        account_id=push.account_id,
        openid=push.openid,
        msgid=push.msgid,
        status=push.status,
        event_at=push.event_at,
    )


@on_event(
    "subscribe_msg_popup_event",
    "subscribe_msg_change_event",
    "subscribe_msg_sent_event",
    key="campaigns.record_subscriptions",
)
def record_subscriptions(push: Push) -> None:
    """Keep how many subscribe notifications somebody has agreed to (reference: service account 3.5)."""
    services.record_subscriptions(push=push)
