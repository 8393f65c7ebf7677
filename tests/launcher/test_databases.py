"""A worker's database after a test that has committed: as the template, whatever was done to it."""

import os

import pytest
from django.test import TransactionTestCase
from redis import Redis

from launcher import roles
from launcher.pytest_databases import WorkerDatabase, _written_tables, end_sessions

FORCED = "SELECT count(*) FROM pg_class WHERE relforcerowsecurity"


@pytest.fixture
def database(database_template, test_run):
    name = test_run.database(f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_restored")
    yield WorkerDatabase(test_run, name)
    roles.statements(test_run.owner_url, f"DROP DATABASE IF EXISTS {roles.quoted(name)} WITH (FORCE)")


@pytest.fixture
def urls(database, test_run):
    return test_run.urls(database._name)


def scalar(url, sql):
    with roles.cursor_on(url) as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def write(urls):
    """Rows of two tables, one of them a brand's, as the application writes them."""
    roles.statements(
        urls.app,
        "INSERT INTO accounts_brand (id, slug, name, name_en, timezone, is_active, data_key, created_at) "
        "VALUES (7, 'lanyu', '澜屿', '', 'Asia/Shanghai', true, '\\x00', now())",
        "SET app.brand_id = 7",
        "INSERT INTO stores_region (brand_id, name) VALUES (7, '华东')",
    )


def count_of_regions(urls):
    with roles.cursor_on(urls.app) as cursor:
        cursor.execute("SET app.brand_id = 7")
        cursor.execute("SELECT count(*) FROM stores_region")
        return cursor.fetchone()[0]


def test_restore_deletes_rows_without_a_copy_and_leaves_row_security(database, urls):
    forced = scalar(urls.owner, FORCED)
    write(urls)
    assert count_of_regions(urls) == 1

    database.restore()

    assert (scalar(urls.app, "SELECT count(*) FROM accounts_brand"), count_of_regions(urls)) == (0, 0)
    assert (scalar(urls.owner, FORCED), database.copies) == (forced, 1)
    assert forced > 0


def test_restore_takes_away_rows_that_a_trigger_keeps_and_leaves_the_trigger(database, urls):
    write(urls)
    roles.statements(
        urls.owner,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'it stays'; END $$",
        "CREATE TRIGGER region_stays BEFORE DELETE ON stores_region FOR EACH ROW EXECUTE FUNCTION refuse()",
    )

    database.restore()

    assert (count_of_regions(urls), database.copies) == (0, 1)
    assert scalar(urls.owner, "SELECT tgenabled FROM pg_trigger WHERE tgname = 'region_stays'") == "O"


def test_restore_brings_back_what_migrations_have_written(database, urls):
    kinds = scalar(urls.owner, "SELECT count(*) FROM django_content_type")
    roles.statements(urls.owner, "UPDATE django_content_type SET model = 'changed' WHERE model = 'brand'")

    database.restore()

    assert scalar(urls.owner, "SELECT count(*) FROM django_content_type WHERE model = 'brand'") == 1
    assert (scalar(urls.owner, "SELECT count(*) FROM django_content_type"), database.copies) == (kinds, 2)


def test_new_copy_never_gives_a_key_again(database, urls):
    def region():
        return scalar(urls.owner, "SELECT nextval(pg_get_serial_sequence('stores_region', 'id')) AS id")

    before = [region() for _ in range(3)]
    database.copy_afresh()
    between = region()
    database.copy_afresh()

    assert max(before) < between < region()


def test_restore_throws_out_whoever_still_holds_a_row(database, urls):
    write(urls)
    left = roles.connect(urls.app)
    left.autocommit = False
    left.cursor().execute("UPDATE accounts_brand SET name = 'held'")

    database.restore()

    assert scalar(urls.app, "SELECT count(*) FROM accounts_brand") == 0
    left.close()


@pytest.mark.usefixtures("django_db_setup")
def test_redis_forgets_with_the_database(settings, test_run):
    if not test_run.own_redis:
        pytest.skip("somebody else's Redis is never emptied")
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.set("zhiyin:pulse:b1:1", "of a brand whose number comes again")

        TransactionTestCase._fixture_teardown(None)

        assert redis.dbsize() == 0


def test_no_table_is_analysed_behind_a_tests_back(database, urls):
    assert (
        scalar(
            urls.owner,
            "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND NOT coalesce(reloptions @> '{autovacuum_enabled=false}', false)",
        )
        == 0
    )


def test_restore_finds_rows_again_and_after_statistics_were_made_new(database, urls):
    write(urls)
    database.restore()
    write(urls)
    roles.statements(urls.owner, "ANALYZE")

    database.restore()

    assert (scalar(urls.app, "SELECT count(*) FROM accounts_brand"), count_of_regions(urls)) == (0, 0)
    assert database.copies == 1


def filled(urls):
    with roles.cursor_on(urls.owner) as cursor:
        end_sessions(cursor, "datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL")
        return {each.name for each in _written_tables(cursor) if each.may_have_rows}


def test_only_tables_that_have_rows_are_emptied(database, urls):
    before = filled(urls)
    write(urls)
    assert filled(urls) - before == {"accounts_brand", "stores_region"}

    database.restore()
    with roles.cursor_on(urls.app) as cursor:
        cursor.execute("BEGIN; SET LOCAL app.brand_id = 7; INSERT INTO stores_region (brand_id, name) VALUES (7, 'x')")
        cursor.execute("ROLLBACK")

    assert filled(urls) == before
