"""Wake-up calls of the gateway: pushes to handle, tokens to refresh, old rows to drop (queues: CELERY_TASK_ROUTES)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from accounts.tasks_base import brand_task, global_task, ring
from common import clock
from wechat_gateway.errors import NoPlatform


# One push that hangs must cost its lane seconds, not minutes.
@brand_task(name="wechat_gateway.tasks.handle_inbound", soft_time_limit=20, time_limit=30)
def handle_inbound(brand_id: int, lane: int, also: Sequence[tuple[int, int]] = ()) -> None:
    """Handle what waits in one lane; first ring for those (brand, lane) pairs that came with the same wake-up call."""
    from wechat_gateway import services

    for other_brand_id, other_lane in also:
        ring(handle_inbound, other_brand_id, other_lane)
    services.handle_inbound(brand_id=brand_id, lane=lane, at=clock.now())


@global_task(name="wechat_gateway.tasks.sweep_inbound")
def sweep_inbound() -> None:
    """Ring for every lane in which something waits (every 5 s)."""
    from wechat_gateway import services

    services.sweep_inbound()


@global_task(name="wechat_gateway.tasks.refresh_tokens")
def refresh_tokens() -> None:
    """Ring for every token that has less than a fifth of its life left (every minute)."""
    from wechat_gateway import services

    services.refresh_due_tokens(at=clock.now())


@brand_task(name="wechat_gateway.tasks.refresh_token", soft_time_limit=20, time_limit=30)
def refresh_token(brand_id: int, appid: str) -> None:
    """Fetch a new token for an app before the old one ends."""
    from wechat_gateway import services

    services.refresh_token(brand_id=brand_id, appid=appid, at=clock.now())


@global_task(name="wechat_gateway.tasks.purge_inbound")
def purge_inbound() -> None:
    """Drop old handled events of the platform, and ring for every brand to drop handled pushes that are old."""
    from wechat_gateway import services

    services.purge_platform_pushes(at=clock.now())
    services.purge_inbound(at=clock.now())


@brand_task(name="wechat_gateway.tasks.purge_brand_inbound")
def purge_brand_inbound(brand_id: int) -> None:
    """Drop a brand's handled pushes that are old."""
    from wechat_gateway import services

    services.purge_brand_inbound(brand_id=brand_id, at=clock.now())


@brand_task(name="wechat_gateway.tasks.check_app", soft_time_limit=50, time_limit=60)
def check_app(brand_id: int, appid: str) -> None:
    """Check the connection of an app because somebody looks at it."""
    from wechat_gateway import services

    services.run_checks(brand_id=brand_id, appid=appid, at=clock.now())


@global_task(name="wechat_gateway.tasks.watch_health")
def watch_health() -> None:
    """Ring for every brand to look after its connections (every minute)."""
    from wechat_gateway import services

    services.watch_health(at=clock.now())


@brand_task(name="wechat_gateway.tasks.watch_brand")
def watch_brand(brand_id: int) -> None:
    """Open and close incidents of a brand's connections."""
    from wechat_gateway import services

    services.watch_brand(brand_id=brand_id, at=clock.now())


@brand_task(name="wechat_gateway.tasks.prepare_invitation", soft_time_limit=25, time_limit=30)
def prepare_invitation(brand_id: int, invitation_id: int) -> None:
    """Get the code that a link to WeChat's authorisation page carries."""
    from wechat_gateway import services

    services.prepare_invitation(brand_id=brand_id, invitation_id=invitation_id, at=clock.now())


@brand_task(name="wechat_gateway.tasks.complete_invitation", soft_time_limit=25, time_limit=30)
def complete_invitation(brand_id: int, invitation_id: int) -> None:
    """Connect an account whose administrator came back from WeChat's page."""
    from wechat_gateway import services

    services.complete_invitation(brand_id=brand_id, invitation_id=invitation_id, at=clock.now())


@brand_task(name="wechat_gateway.tasks.release_account")
def release_account(brand_id: int, appid: str) -> None:
    """Let go of an account that was authorised for another brand since."""
    from wechat_gateway import services

    services.revoke_account(brand_id=brand_id, appid=appid, at=clock.now())


@global_task(name="wechat_gateway.tasks.handle_platform_pushes", soft_time_limit=50, time_limit=60)
def handle_platform_pushes() -> None:
    """Handle authorisation events, look for tickets that stay away and scans that hang (every minute; on events)."""
    from wechat_gateway import services

    services.handle_platform_pushes(at=clock.now())
    services.watch_platform(at=clock.now())
    services.give_up_invitations(at=clock.now())


@global_task(name="wechat_gateway.tasks.start_platform_tickets", soft_time_limit=25, time_limit=30)
def start_platform_tickets() -> None:
    """Ask WeChat to push the platform's ticket, because somebody who runs the installation asked."""
    from wechat_gateway import platforms

    with suppress(NoPlatform):  # it was taken away since
        platforms.start_tickets()
