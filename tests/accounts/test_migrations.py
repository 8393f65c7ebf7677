"""First migrations stand for many earlier ones, of which databases that have had them must notice nothing."""

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError
from django.db import connection, migrations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from accounts.management.commands.migrate import refuse_halves
from accounts.operations import ApplicationFunction, FirstMigration, SecureBrandTables
from config import health

Recorded = MigrationRecorder.Migration


def first_ones():
    return {
        key: each for key, each in MigrationLoader(None).disk_migrations.items() if isinstance(each, FirstMigration)
    }


@pytest.fixture
def before_the_change(db, monkeypatch):
    """A database that has had every earlier migration, and nothing yet of those that stand for them."""
    monkeypatch.setattr(health, "_known", set())
    new_names = Recorded.objects.filter(name__startswith="0001_squashed_")
    found = set(new_names.values_list("app", "name"))
    assert found
    new_names.delete()
    return found


def test_every_app_of_ours_begins_with_one():
    ours = {each.label for each in apps.get_app_configs() if (settings.BASE_DIR / each.label / "migrations").is_dir()}

    assert {app for app, _name in first_ones()} == ours


def test_an_earlier_database_has_nothing_to_do(before_the_change):
    executor = MigrationExecutor(connection)
    newest = executor.loader.graph.leaf_nodes()

    assert executor.migration_plan(newest) == []
    assert not health._migrations()

    executor.migrate(newest)

    assert before_the_change <= set(MigrationRecorder(connection).applied_migrations())
    assert health._migrations()


def test_a_new_database_is_let_through(before_the_change):
    Recorded.objects.all().delete()

    refuse_halves(connection)


def test_a_database_in_between_is_told_what_is_missing(before_the_change):
    refuse_halves(connection)
    Recorded.objects.get(app="members", name="0026_sampled_people").delete()

    with pytest.raises(CommandError, match=r"members\.0001_squashed.*; members\.0026_sampled_people is missing"):
        refuse_halves(connection)


def test_names_of_earlier_migrations_are_not_used_again():
    taken = {each for migration in first_ones().values() for each in migration.replaces}

    assert taken & set(MigrationLoader(None).disk_migrations) == set()


def test_first_migrations_only_make_what_is_new():
    allowed = (
        migrations.CreateModel,
        migrations.RunPython,
        migrations.RunSQL,
        ApplicationFunction,
        SecureBrandTables,
    )
    wrong = {
        (app, type(operation).__name__)
        for (app, _name), migration in first_ones().items()
        for operation in migration.operations
        if not isinstance(operation, allowed)
    }

    assert wrong == set()
