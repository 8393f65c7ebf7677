"""Cache keys carry the brand; what is global says so by its prefix."""

from __future__ import annotations

from accounts.tenancy import current_scope

GLOBAL_PREFIX = "global:"


def brand_key(key: str, key_prefix: str, version: int) -> str:
    """Build the stored key: `global:…` keys stay global, all others need a brand in scope."""
    from accounts.errors import NoBrandInScope

    if key.startswith((GLOBAL_PREFIX, "axes-")):
        return f"{key_prefix}{key}:{version}"
    scope = current_scope()
    if scope is None or scope.brand_id is None:
        raise NoBrandInScope
    return f"{key_prefix}b{scope.brand_id}:{key}:{version}"
