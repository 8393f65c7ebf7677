"""For migrations: what makes a table a brand's table in the database itself, and what makes many tables quickly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from accounts.tenancy import BrandForeignKey

if TYPE_CHECKING:
    from django.db import models

BRAND = "nullif(current_setting('app.brand_id', true), '')::bigint"


class FirstMigration(Migration):
    """A migration that only makes new tables: Django's picture of each of them is drawn once.

    Otherwise Django draws a model and all its relatives again with each operation, and as every brand's table refers to
    the brand, all are relatives: a minute for two hundred tables. So the new ones are drawn beside those that are
    there, and each operation is given the picture after the last one. That is right for `CreateModel` with its indexes
    and constraints, for SQL and for `SecureBrandTables`; whatever changes a table that is there already belongs into an
    ordinary migration.
    """

    def apply(self, project_state: Any, schema_editor: Any, collect_sql: bool = False) -> Any:
        """Apply all operations over the final state."""
        if collect_sql:
            return super().apply(project_state, schema_editor, collect_sql)
        state = self.mutate_state(
            ProjectState(models=dict(project_state.models), real_apps=project_state.real_apps), preserve=False
        )
        state.apps = project_state.apps
        state.apps.render_multiple([model for key, model in state.models.items() if key not in project_state.models])
        for operation in self.operations:
            operation.database_forwards(self.app_label, schema_editor, state, state)
        return state


class ApplicationFunction(Operation):
    """Make a function of the database that only the application may call; `signature` is its name with its types."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, signature: str, definition: str) -> None:
        self.signature = signature
        self.definition = definition

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Describe the operation for migration files."""
        return (self.__class__.__qualname__, [self.signature, self.definition], {})

    def describe(self) -> str:
        """Say what the operation does."""
        return f"Make {self.signature} for the application alone"

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing in Django's own picture of the tables."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Make it, or replace what it did so far."""
        for statement in (
            self.definition,
            f"REVOKE ALL ON FUNCTION {self.signature} FROM PUBLIC",
            f'GRANT EXECUTE ON FUNCTION {self.signature} TO "{settings.DATABASE_APP_ROLE}"',
        ):
            schema_editor.execute(statement, params=None)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop it."""
        schema_editor.execute(f"DROP FUNCTION IF EXISTS {self.signature}", params=None)


class SecureBrandTables(Operation):
    """Bring every brand table of an app into its final shape. Put it last in each migration; running it again is fine.

    For each model with a `brand`: primary key (brand_id, id); forced row security with one policy on the brand and a
    read-all policy for the reports role; grants; for each `BrandForeignKey` a foreign key (brand_id, x_id), so that the
    database itself refuses a reference into another brand (triggers instead for a `guarded` one).

    `append_only` names models the application may never change or delete. `intake` maps a model to the columns the
    intake role may read; it may insert whole rows of that model for any brand and nothing else.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(
        self,
        app_label: str,
        *,
        append_only: tuple[str, ...] = (),
        intake: dict[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.app_label = app_label
        self.append_only = append_only
        self.intake = intake or {}

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Describe the operation for migration files."""
        kwargs: dict[str, Any] = {}
        if self.append_only:
            kwargs["append_only"] = self.append_only
        if self.intake:
            kwargs["intake"] = self.intake
        return (self.__class__.__qualname__, [self.app_label], kwargs)

    def describe(self) -> str:
        """Say what the operation does."""
        return f"Secure the brand tables of {self.app_label}"

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing in Django's own picture of the tables."""

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Leave everything as it is: dropping the tables takes policies and keys with it."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Apply keys, policies and grants."""
        models_ = [model for model in to_state.apps.all_models[self.app_label].values() if _is_brand_table(model)]
        for model in models_:
            for statement in self._table(schema_editor, model):
                schema_editor.execute(statement, params=None)
        for model in models_:
            for statement in _foreign_keys(schema_editor, model):
                schema_editor.execute(statement, params=None)
            for statement in _guards(model):
                schema_editor.execute(statement, params=None)

    def _table(self, editor: Any, model: type[models.Model]) -> list[str]:
        table = model._meta.db_table
        app, reports, intake = settings.DATABASE_APP_ROLE, settings.DATABASE_REPORTS_ROLE, settings.DATABASE_INTAKE_ROLE
        statements = []
        primary = _constraint(editor, table, "p")
        if primary and primary[1] == ["id"]:
            statements += [
                f'ALTER TABLE "{table}" DROP CONSTRAINT "{primary[0]}"',
                f'ALTER TABLE "{table}" ADD PRIMARY KEY (brand_id, id)',
            ]
        name = model._meta.object_name or ""
        rights = "SELECT, INSERT" if name in self.append_only else "SELECT, INSERT, UPDATE, DELETE"
        statements += [
            # By its statistics PostgreSQL would take a brand that is newer than they are for empty, and read all of it
            # where a key leads to the row. Without them it always expects a share of the table.
            f'ALTER TABLE "{table}" ALTER COLUMN brand_id SET STATISTICS 0',
            f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY',
            f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY',
            f'DROP POLICY IF EXISTS brand_rows ON "{table}"',
            f'CREATE POLICY brand_rows ON "{table}" USING (brand_id = {BRAND}) WITH CHECK (brand_id = {BRAND})',
            f'DROP POLICY IF EXISTS reports_read ON "{table}"',
            f'CREATE POLICY reports_read ON "{table}" FOR SELECT TO "{reports}" USING (true)',
            f'REVOKE ALL ON "{table}" FROM "{app}", "{reports}", "{intake}"',
            f'GRANT {rights} ON "{table}" TO "{app}"',
            f'GRANT SELECT ON "{table}" TO "{reports}"',
        ]
        if name in self.intake:
            columns = ", ".join(self.intake[name])
            statements += [
                f'DROP POLICY IF EXISTS intake_insert ON "{table}"',
                f'CREATE POLICY intake_insert ON "{table}" FOR INSERT TO "{intake}" WITH CHECK (true)',
                f'DROP POLICY IF EXISTS intake_read ON "{table}"',
                f'CREATE POLICY intake_read ON "{table}" FOR SELECT TO "{intake}" USING (true)',
                f'GRANT INSERT ON "{table}" TO "{intake}"',
                f'GRANT SELECT ({columns}) ON "{table}" TO "{intake}"',
                f'GRANT USAGE ON SEQUENCE "{table}_id_seq" TO "{intake}"',
            ]
        return statements


def _is_brand_table(model: Any) -> bool:
    if model._meta.proxy or not model._meta.managed:
        return False
    brand = next((field for field in model._meta.local_fields if field.name == "brand"), None)
    return (
        brand is not None
        and brand.remote_field is not None
        and brand.remote_field.model._meta.label == "accounts.Brand"
    )


def _constraint(editor: Any, table: str, kind: str) -> tuple[str, list[str]] | None:
    with editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.conname, array_agg(a.attname::text ORDER BY k.n) FROM pg_constraint c "
            "CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k(attnum, n) "
            "JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum "
            "WHERE c.conrelid = to_regclass(%s) AND c.contype = %s GROUP BY c.conname",
            [f'"{table}"', kind],
        )
        row = cursor.fetchone()
    return (row[0], list(row[1])) if row else None


def _foreign_keys(editor: Any, model: type[models.Model]) -> list[str]:
    table = model._meta.db_table
    statements = []
    for field in model._meta.local_fields:
        if not isinstance(field, BrandForeignKey) or field.guarded:
            continue
        target = field.remote_field.model._meta.db_table
        name = f"{table}_{field.column}_same_brand"[:63]
        with editor.connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM pg_constraint WHERE conrelid = to_regclass(%s) AND conname = %s",
                [f'"{table}"', name],
            )
            if cursor.fetchone():
                continue
        statements.append(
            f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" FOREIGN KEY (brand_id, "{field.column}") '
            f'REFERENCES "{target}" (brand_id, id) DEFERRABLE INITIALLY DEFERRED',
        )
    return statements


# Both run with the rights of whoever changes the row: its brand is in scope, or row security would hide the row itself.
_GUARD_FUNCTIONS = (
    """
    CREATE OR REPLACE FUNCTION zhiyin_still_referred_to() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE found boolean;
    BEGIN
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I WHERE brand_id = $1 AND %I = $2)', TG_ARGV[0], TG_ARGV[1])
            INTO found USING OLD.brand_id, OLD.id;
        IF found THEN
            RAISE foreign_key_violation USING MESSAGE = format('rows of %s belong to this row', TG_ARGV[0]);
        END IF;
        RETURN OLD;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION zhiyin_reference_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE foreign_key_violation USING MESSAGE = format('%s of %s never changes', TG_ARGV[0], TG_TABLE_NAME);
    END $$
    """,
)


def _guards(model: type[models.Model]) -> list[str]:
    table = model._meta.db_table
    statements: list[str] = []
    for field in model._meta.local_fields:
        if not isinstance(field, BrandForeignKey) or not field.guarded:
            continue
        target, column = field.remote_field.model._meta.db_table, field.column
        statements += [
            *_GUARD_FUNCTIONS,
            f'ALTER TABLE "{table}" DROP CONSTRAINT IF EXISTS "{table}_{column}_same_brand"',
            (
                f'CREATE OR REPLACE TRIGGER "{table}_{column}_kept" BEFORE DELETE ON "{target}" FOR EACH ROW '
                f"EXECUTE FUNCTION zhiyin_still_referred_to('{table}', '{column}')"
            ),
            (
                f'CREATE OR REPLACE TRIGGER "{table}_{column}_fixed" '
                f'BEFORE UPDATE OF brand_id, "{column}" ON "{table}" FOR EACH ROW '
                f'WHEN ((OLD.brand_id, OLD."{column}") IS DISTINCT FROM (NEW.brand_id, NEW."{column}")) '
                f"EXECUTE FUNCTION zhiyin_reference_is_fixed('{column}')"
            ),
        ]
    return statements
