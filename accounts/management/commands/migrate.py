"""Migrate as the owner of the tables, then let the application's roles use what is there."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import CommandError
from django.core.management.commands.migrate import Command as DjangoMigrate
from django.db import connections
from django.db.migrations.loader import MigrationLoader

GLOBAL_FOR_REPORTS = ("accounts_brand", "accounts_brandkey")


class Command(DjangoMigrate):
    """Django's `migrate`, always through the `owner` connection."""

    def add_arguments(self, parser: Any) -> None:
        """Make `owner` the default connection."""
        super().add_arguments(parser)
        parser.set_defaults(database="owner")

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate and grant."""
        if options["database"] == "default":
            options["database"] = "owner"
        connection = connections[options["database"]]
        refuse_halves(connection)
        app = settings.DATABASE_APP_ROLE
        with connection.cursor() as cursor:
            cursor.execute(
                f'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "{app}"',
            )
            cursor.execute(f'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO "{app}"')
        super().handle(*args, **options)
        with connection.cursor() as cursor:
            for table in GLOBAL_FOR_REPORTS:
                cursor.execute("SELECT to_regclass(%s)", [table])
                if cursor.fetchone()[0]:
                    cursor.execute(f'GRANT SELECT ON "{table}" TO "{settings.DATABASE_REPORTS_ROLE}"')


def refuse_halves(connection: Any) -> None:
    """Refuse a database that has had a part only of what has become one migration since: it would fail midway."""
    loader = MigrationLoader(connection)
    for (app, name), migration in loader.replacements.items():
        missing = [each for each in migration.replaces if each not in loader.applied_migrations]
        if missing and len(missing) < len(migration.replaces):
            names = ", ".join(f"{label}.{number}" for label, number in missing)
            raise CommandError(
                f"The database has had only a part of what is {app}.{name} today; {names} is missing. "
                "Migrate it with the last version that has these files, then with this one.",
            )
