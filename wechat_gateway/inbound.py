"""What WeChat tells about an account itself (reference: service account 3.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wechat_gateway import incidents
from wechat_gateway.registries import on_event

if TYPE_CHECKING:
    from wechat_gateway.events import Push

_TOLD: Final = {"annual_renew": incidents.RENEWAL, "verify_expired": incidents.UNVERIFIED}


@on_event(*_TOLD, key="wechat_gateway.verification_ends")
def verification_ends(push: Push) -> None:
    """The yearly verification ends, or has ended: somebody has to renew it."""
    incidents.open_incident(kind=_TOLD[push.kind], appid=push.appid, at=push.event_at)


@on_event("qualification_verify_success", "naming_verify_success", key="wechat_gateway.verified")
def verified(push: Push) -> None:
    """The account is verified, for a year again."""
    for kind in _TOLD.values():
        incidents.close_incident(kind=kind, appid=push.appid, at=push.event_at)
