"""Changes to brands, staff, keys and the audit log."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction

from accounts.errors import LastOwner
from accounts.models import ApiKey, AuditEntry, Brand, RoleGrant, StaffUser
from accounts.roles import DataScope, Role
from accounts.viewer import current_viewer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import Model

from common import clock

_USE_NOTED_EVERY: Final = timedelta(minutes=5)


def create_brand(*, slug: str, name: str, name_en: str = "", timezone: str = "Asia/Shanghai") -> Brand:
    """Open a workspace for a brand (or give the one that has this address)."""
    brand, _ = Brand.objects.get_or_create(slug=slug, defaults={"name": name, "name_en": name_en, "timezone": timezone})
    return brand


@transaction.atomic
def grant_role(*, staff_user: StaffUser, role: str, scope: str = DataScope.BRAND) -> RoleGrant:
    """Give a person a role in the brand in scope, replacing the one they had.

    Raises `LastOwner` when the only owner would stop being one.
    """
    grant = RoleGrant.objects.select_for_update().filter(staff_user=staff_user).first()
    if grant is None:
        grant = RoleGrant.objects.create(staff_user=staff_user, role=role, scope=scope)
        record_audit(action="grant role", obj=grant, changes={"role": [None, role], "scope": [None, scope]})
        return grant
    if grant.role == Role.OWNER and role != Role.OWNER:
        _require_other_owner(grant)
    before = {"role": [grant.role, role], "scope": [grant.scope, scope]}
    grant.role, grant.scope = role, scope
    grant.save(update_fields=["role", "scope"])
    record_audit(action="change role", obj=grant, changes=before)
    return grant


@transaction.atomic
def revoke_role(*, grant: RoleGrant) -> None:
    """Take a person's role away. Raises `LastOwner` for the only owner."""
    if grant.role == Role.OWNER:
        _require_other_owner(grant)
    record_audit(action="revoke role", obj=grant, changes={"role": [grant.role, None]})
    grant.delete()


def _require_other_owner(grant: RoleGrant) -> None:
    owners = RoleGrant.objects.select_for_update().filter(role=Role.OWNER).values_list("pk", flat=True)
    if not any(pk != grant.pk for pk in owners):
        raise LastOwner


@transaction.atomic
def issue_api_key(*, label: str, scopes: list[str], at: datetime) -> tuple[ApiKey, str]:
    """Make a key for another system of the brand. The clear key is given once and kept nowhere."""
    prefix = "zy" + secrets.token_hex(4)
    clear = f"{prefix}.{secrets.token_urlsafe(32)}"
    key = ApiKey.objects.create(
        label=label,
        prefix=prefix,
        fingerprint=hashlib.sha256(clear.encode()).hexdigest(),
        scopes=scopes,
        created_at=at,
    )
    record_audit(action="issue key", obj=key, changes={"scopes": [None, scopes]})
    return key, clear


@transaction.atomic
def revoke_api_key(*, key: ApiKey, at: datetime) -> None:
    """End a key; it stops working within seconds."""
    key.revoked_at = at
    key.save(update_fields=["revoked_at"])
    record_audit(action="revoke key", obj=key)


def note_key_use(*, key_id: int, last: datetime | None, at: datetime) -> None:
    """Write down that a key was used, once in five minutes; a call beside this one does not wait for it."""
    if last is not None and at - last < _USE_NOTED_EVERY:
        return
    free = ApiKey.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=key_id).order_by("pk")
    ApiKey.objects.filter(pk__in=free.values("pk")).update(last_used_at=at)


def record_audit(
    *,
    action: str,
    obj: Model,
    changes: dict[str, Any] | None = None,
    reason: str = "",
    label: str = "",
) -> AuditEntry:
    """Write one line of the audit log in the transaction of the act.

    `changes` maps a field to [before, after]; sealed values appear as `***`. The actor is the current viewer, or the
    system.
    """
    viewer = current_viewer()
    return AuditEntry.objects.create(
        at=clock.now(),
        actor_id=viewer.staff_id if viewer else None,
        actor_label=viewer.label if viewer else "system",
        role=viewer.role if viewer else "",
        via=viewer.via if viewer else "worker",
        action=action,
        object_type=obj._meta.label_lower,
        object_id=str(obj.pk),
        object_label=(label or str(obj))[:200],
        changes=changes or {},
        reason=reason[:200],
        ip=viewer.ip if viewer else "",
        request_id=viewer.request_id if viewer else "",
    )


def forget_in_audit(*, objects: Iterable[tuple[str, int]], words: Iterable[str]) -> int:
    """Take a person's name and words out of the entries on (kind, number) of theirs; gives how many entries.

    That something was done, by whom and when, stays. It is the only change the log ever knows, made by a function of
    the database: the application itself may not change an entry.
    """
    named = [(kind, str(number)) for kind, number in objects]
    if not named:
        return 0
    # Longer words first: a name may stand within another.
    unlike = sorted({word for word in words if word}, key=lambda word: (-len(word), word))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT zhiyin_forget_in_audit(%s::text[], %s::text[], %s::text[])",
            [[kind for kind, _number in named], [number for _kind, number in named], unlike],
        )
        return int(cursor.fetchone()[0])


def trim_audit(*, before: datetime, most: int) -> int:
    """Let entries older than a moment go, at most so many; those of the newest 180 days stay, whoever asks."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT zhiyin_trim_audit(%s, %s)", [before, most])
        return int(cursor.fetchone()[0])
