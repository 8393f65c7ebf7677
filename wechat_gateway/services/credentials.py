"""Keeping access tokens fresh and parked apps going again."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, every_brand
from wechat_gateway import tasks, tokens
from wechat_gateway.errors import CallsParked
from wechat_gateway.models import AccessToken, MiniProgram, OfficialAccount

logger = logging.getLogger(__name__)

_MARGIN: Final = timedelta(minutes=25)  # more than a fifth of the longest life, less than the rest of it


def refresh_due_tokens(*, at: datetime) -> int:
    """Ring for each token that ends soon; gives how many. Tokens nobody uses are fetched on their next use instead."""
    with every_brand(reason="tokens that end soon"):
        due = list(
            AccessToken.objects.filter(expires_at__gt=at, expires_at__lt=at + _MARGIN)
            .order_by("expires_at", "pk")
            .values_list("brand_id", "appid"),
        )
    for brand_id, appid in due:
        ring(tasks.refresh_token, brand_id, appid)
    return len(due)


def refresh_token(*, brand_id: int, appid: str, at: datetime) -> bool:
    """Fetch the app's next token if the present one has less than a fifth of its life left; says whether it is well."""
    app = _app(brand_id, appid)
    if app is None or not app.is_active:
        return False
    try:
        tokens.refresh_early(app, at=at)
    except CallsParked as parked:
        logger.warning("app %s has no token: code %s", appid, parked.wechat_code)
        return False
    return True


def resume_calls(*, app: OfficialAccount | MiniProgram) -> None:
    """Let a parked app's calls go on now (the button "check again")."""
    tokens.repaired(app)
    record_audit(action="resume calls", obj=app)


def _app(brand_id: int, appid: str) -> OfficialAccount | MiniProgram | None:
    with brand_scope(brand_id):
        return OfficialAccount.objects.filter(appid=appid).first() or MiniProgram.objects.filter(appid=appid).first()
