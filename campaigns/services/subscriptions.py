"""What people agree to in WeChat's subscribe dialogs: one more notification each time, none after a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from campaigns.models import SubscriptionStock
from campaigns.services.results import record_result
from members.services import follower_of

if TYPE_CHECKING:
    from wechat_gateway.events import Push, TemplateNotice

POPUP: Final = "subscribe_msg_popup_event"
CHANGE: Final = "subscribe_msg_change_event"
SENT: Final = "subscribe_msg_sent_event"
_MOST: Final = 20  # templates in one push; WeChat shows at most five


def record_subscriptions(*, push: Push) -> None:
    """Note what somebody chose: an accept adds one; a refusal, or WeChat's own count, leaves none.

    What WeChat reports of a notification that was sent settles its message.
    """
    chosen = [notice for notice in push.notices[:_MOST] if notice.template_id]
    if not chosen:
        return
    for notice in chosen:
        if push.kind == SENT and notice.msgid:
            record_result(
                account_id=push.account_id,
                openid=push.openid,
                msgid=notice.msgid,
                status=_status(notice),
                event_at=push.event_at,
            )
    follower = follower_of(push)
    for notice in chosen:
        more = push.kind == POPUP and notice.status == "accept"
        none_left = (push.kind == CHANGE and notice.status == "reject") or notice.error_code == "43101"
        if not (more or none_left):
            continue
        fresh = SubscriptionStock(follower=follower, template_id=notice.template_id[:64], updated_at=push.event_at)
        SubscriptionStock.objects.bulk_create([fresh], ignore_conflicts=True)
        row = SubscriptionStock.objects.select_for_update().get(follower=follower, template_id=fresh.template_id)
        row.remaining = row.remaining + 1 if more else 0
        row.updated_at = push.event_at
        row.save(update_fields=["remaining", "updated_at"])


def _status(notice: TemplateNotice) -> str:
    """The reported fate in the words of template messages; how failures are numbered is unconfirmed."""
    if notice.error_code in ("", "0"):
        return "success"
    return f"failed: {notice.error_status or notice.error_code}"
