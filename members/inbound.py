"""What pushes mean for people: they follow, leave, do something, withdraw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.tasks_base import ring
from members import services
from members.models import ErasureReason, Purpose
from members.tasks import refresh_profiles
from wechat_gateway.events import MESSAGE_KINDS, Push
from wechat_gateway.registries import on_event, prepares

if TYPE_CHECKING:
    from collections.abc import Sequence

# What people do themselves; LOCATION is reported by the client without them (reference: service account 3.3).
ACTS = (
    *sorted(MESSAGE_KINDS),
    "subscribe",
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

# Whose handlers need to know the person; reports of what was sent do not.
OF_PEOPLE = frozenset({*ACTS, "unsubscribe"})


@prepares(key="members.followers", rank=10)
def look_up_followers(pushes: Sequence[Push]) -> None:
    """Look up the people behind many pushes at once."""
    if wanted := [push for push in pushes if push.kind in OF_PEOPLE]:
        services.look_up_followers(wanted)


@on_event("subscribe", key="members.record_follow", rank=10)
def record_follow(push: Push) -> None:
    """Somebody follows."""
    follower = services.follower_of(push)
    services.record_follow(follower=follower, at=push.event_at)
    ring(refresh_profiles, push.brand_id)  # the unionid ties them to a mini-program user who may sign in any moment


@on_event("unsubscribe", key="members.record_unfollow", rank=10)
def record_unfollow(push: Push) -> None:
    """Somebody leaves; one we never met is recorded as gone."""
    follower = services.follower_of(push)
    services.record_unfollow(follower=follower, at=push.event_at)


@on_event(*ACTS, key="members.record_interaction", rank=20)
def record_interaction(push: Push) -> None:
    """Somebody did something: they can be met again."""
    follower = services.follower_of(push)
    services.record_interaction(follower=follower, at=push.event_at)


# What WeChat reports of a person's rights, and which clock it starts (reference: service account 3.7).
WITHDRAWALS = {
    "user_authorization_revoke": ErasureReason.REVOKED,
    "user_authorization_cancellation": ErasureReason.CANCELLED,
    "user_info_modified": ErasureReason.MODIFIED,
}


@on_event(*WITHDRAWALS, key="members.start_erasure", rank=15)
def start_erasure(push: Push) -> None:
    """Somebody withdrew, closed the account or changed the profile: what that concerns has a last day from now on."""
    follower = services.follower_of(push)
    revoked = push.fields.get("RevokeInfo", "")
    services.start_clocks(
        followers=[follower],
        reason=WITHDRAWALS[push.kind],
        at=push.event_at,
        what=revoked if isinstance(revoked, str) else "",
    )


@on_event("user_authorization_revoke", "user_authorization_cancellation", key="members.record_withdrawal", rank=20)
def record_withdrawal(push: Push) -> None:
    """Somebody took back what they allowed (reference: service account 3.7): no marketing from now on."""
    follower = services.follower_of(push)
    services.withdraw_consent(member=follower.member, purpose=Purpose.MARKETING, source=push.kind, at=push.event_at)
