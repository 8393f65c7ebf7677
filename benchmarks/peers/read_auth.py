"""How the reading peers know their callers: the rows the product looks at, asked through the ORM."""
# The peers' models are no app of the product's settings, so the types of Django's plugin do not know them.
# mypy: ignore-errors

from __future__ import annotations

import hashlib
import hmac
import uuid
from typing import TYPE_CHECKING

from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from benchmarks.peers.read_models import ApiKey, Session

if TYPE_CHECKING:
    from rest_framework_simplejwt.tokens import Token


def session_of(bearer: str) -> Session | None:
    """Give the live session of a member's token, with the member and their store."""
    try:
        token: Token = AccessToken(bearer)  # type: ignore[arg-type]
        brand, public_id = int(token["brand"]), uuid.UUID(token["session"])
    except (TokenError, KeyError, ValueError):
        return None
    return (
        Session.objects.select_related("member__store")
        .filter(brand_id=brand, public_id=public_id, expires_at__gt=timezone.now(), brand__is_active=True)
        .first()
    )


def key_of(clear: str) -> ApiKey | None:
    """Give the live key behind a clear one."""
    key = ApiKey.objects.filter(prefix=clear.partition(".")[0], revoked_at__isnull=True, brand__is_active=True).first()
    given = hashlib.sha256(clear.encode()).hexdigest()
    return key if key is not None and hmac.compare_digest(key.fingerprint, given) else None
