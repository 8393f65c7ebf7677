"""What must hold before the application may start."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Advice
from django.db import OperationalError, connection


@register(Tags.database)
def application_role(databases: Any = None, **_kwargs: Any) -> list[CheckMessage]:
    """Refuse to run as a role that row security does not bind."""
    if not databases or "default" not in databases:
        return []
    problem = role_problem()
    return [problem] if problem else []


def role_problem() -> CheckMessage | None:
    """Give what is wrong with the role of the default connection, if anything."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
            name, is_super, bypasses = cursor.fetchone()
            cursor.execute("SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole AND relkind = 'r'")
            (owned,) = cursor.fetchone()
    except OperationalError as error:
        return Advice(f"the database could not be asked for its roles: {type(error).__name__}", id="accounts.W001")
    if is_super or bypasses:
        return Error(
            f"DATABASE_URL connects as {name}, which row-level security does not bind (superuser or BYPASSRLS).",
            hint="Use the application role made by `python -m launcher roles`; keep the owner for DATABASE_OWNER_URL.",
            id="accounts.E001",
        )
    if owned:
        return Error(
            f"DATABASE_URL connects as {name}, which owns tables.",
            hint="The application role must own nothing; migrations run through DATABASE_OWNER_URL.",
            id="accounts.E002",
        )
    return None


@register(Tags.security, deploy=True)
def production_settings(**_kwargs: Any) -> list[CheckMessage]:
    """Refuse settings that are only for development."""
    problems: list[CheckMessage] = []
    if settings.IS_PRODUCTION and settings.CLOCK_URL:
        problems.append(
            Error("ZHIYIN_CLOCK_URL is set: the simulator's clock must not drive production.", id="accounts.E003")
        )
    if settings.IS_PRODUCTION and not settings.WECHAT_BASE_URL.startswith("https://"):
        problems.append(Error("ZHIYIN_WECHAT_BASE_URL must be https in production.", id="accounts.E004"))
    if settings.IS_PRODUCTION and not settings.DATABASE_INTAKE_URL:
        problems.append(Error("DATABASE_INTAKE_URL is not set: callbacks need their own role.", id="accounts.E005"))
    return problems
