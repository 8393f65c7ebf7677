"""The database backend: what travels with the next statement arrives, in the right transaction, or not at all."""

import io
import threading

import psycopg2
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import (
    DatabaseError,
    DataError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)
from django.db.utils import IntegrityError
from psycopg2.extensions import TRANSACTION_STATUS_INTRANS
from psycopg2.extras import RealDictCursor, execute_values

from accounts.errors import NoBrandInScope
from accounts.models import Brand
from accounts.services import create_brand
from accounts.tenancy import brand_scope, current_brand_id, every_brand
from stores.models import Store
from tests.factories import make_store

pytestmark = pytest.mark.django_db(transaction=True)


def ask(sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return cursor.fetchone()[0] if cursor.description else None


def setting():
    return ask("SELECT current_setting('app.brand_id', true)") or ""


def hold(value):
    connection.send_ahead("SELECT set_config('app.brand_id', %s, true)", [value])


def test_a_setting_arrives_before_the_statement_and_ends_with_the_transaction():
    with transaction.atomic():
        hold("7")
        assert setting() == "7"
    assert setting() == ""


def test_what_a_transaction_wrote_is_taken_back_with_it():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        create_brand(slug="lanyu", name="澜屿")
        raise ZeroDivisionError

    assert not Brand.objects.exists()


def test_statements_of_one_transaction_share_it_and_the_next_has_its_own():
    with transaction.atomic():
        first = ask("SELECT txid_current()")
        assert ask("SELECT txid_current()") == first
    with transaction.atomic():
        assert ask("SELECT txid_current()") != first
    assert ask("SELECT txid_current()") != ask("SELECT txid_current()")


def test_a_setting_nobody_needed_is_forgotten_with_its_transaction():
    with transaction.atomic():
        hold("7")
    assert setting() == ""
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        hold("8")
        raise ZeroDivisionError
    assert setting() == ""
    with transaction.atomic():
        assert setting() == ""


def test_a_setting_goes_with_the_savepoint_it_was_made_in():
    with transaction.atomic():
        hold("7")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            hold("8")
            raise ZeroDivisionError
        assert setting() == "7"
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            hold("9")
            assert setting() == "9"
            raise ZeroDivisionError
        assert setting() == "7"


def test_a_failing_statement_that_carried_the_setting_breaks_its_transaction_only():
    with transaction.atomic():
        hold("7")
        with pytest.raises(DataError), transaction.atomic():
            ask("SELECT 1 / 0")
        assert setting() == "7"
    with pytest.raises(DataError), transaction.atomic():
        hold("8")
        ask("SELECT 1 / 0")
    assert setting() == ""


def test_a_broken_transaction_takes_no_more_statements():
    with pytest.raises(transaction.TransactionManagementError), transaction.atomic():
        try:
            with transaction.atomic(savepoint=False):
                ask("SELECT 1 / 0")
        except DataError:
            pass
        ask("SELECT 1")
    assert ask("SELECT 1") == 1


def test_a_deferred_check_still_fails_the_commit():
    brand = create_brand(slug="lanyu", name="澜屿")
    with pytest.raises(IntegrityError), brand_scope(brand.pk):
        Store.objects.create(code="S1", name="店", region_id=999)
    with brand_scope(brand.pk):
        assert not Store.objects.exists()


@pytest.mark.parametrize(
    "send",
    [
        lambda cursor: cursor.execute("SELECT 1"),
        lambda cursor: cursor.executemany("SELECT %s", [(1,), (2,)]),
        lambda cursor: cursor.copy_expert("COPY (SELECT 1) TO STDOUT", io.StringIO()),
        lambda cursor: cursor.copy_from(io.StringIO(), "django_session"),
        lambda cursor: cursor.copy_to(io.StringIO(), "django_session"),
        lambda cursor: cursor.callproc("pg_backend_pid"),
    ],
)
def test_every_way_to_send_sends_what_waits_first(send):
    with transaction.atomic():
        hold("7")
        with connection.cursor() as cursor:
            send(cursor.cursor)
        assert connection.connection.waiting == b""
        assert connection.connection.get_transaction_status() == TRANSACTION_STATUS_INTRANS
        assert setting() == "7"


def test_what_is_told_of_a_statement_is_the_statement_alone():
    with transaction.atomic():
        hold("7")
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s", ["x"])
            assert cursor.cursor.query == b"SELECT 'x'"


def end_session():
    """Let the server end the connection, as its administrator or a crash would."""
    parameters = connection.get_connection_params()
    parameters = {key: parameters[key] for key in ("host", "port", "user", "password", "dbname")}
    pid = connection.connection.get_backend_pid()
    other = psycopg2.connect(**parameters)
    other.autocommit = True
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()


def test_a_connection_the_server_has_ended_is_not_usable():
    assert ask("SELECT 1") == 1
    assert connection.is_usable()
    end_session()

    assert not connection.is_usable()
    connection.close()
    assert ask("SELECT 1") == 1


def test_a_connection_in_the_middle_of_a_transaction_is_not_usable_for_another():
    with transaction.atomic():
        ask("SELECT 1")
        assert not connection.is_usable()


def test_commit_and_rollback_outside_a_transaction_do_nothing():
    connection.set_autocommit(False)
    try:
        connection.commit()
        connection.rollback()
        assert ask("SELECT 1") == 1
        with pytest.raises(Exception, match="transaction is open"):
            connection.set_autocommit(True)
        connection.rollback()
    finally:
        connection.set_autocommit(True)


@pytest.fixture
def two_brands():
    """Two brands with a shop each."""
    brands = [create_brand(slug="lanyu", name="澜屿"), create_brand(slug="zaoshan", name="灶山小馆")]
    for brand in brands:
        with brand_scope(brand.pk):
            make_store(code=brand.slug)
    return brands


def codes():
    """Every shop that PostgreSQL shows, whatever Python would ask for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT code FROM stores_store ORDER BY code")
        return [code for (code,) in cursor.fetchall()]


def test_a_setting_that_was_lost_shows_nobodys_rows_and_lets_nothing_be_written(two_brands):
    for brand in two_brands:
        with pytest.raises(ProgrammingError, match="row-level security"), brand_scope(brand.pk):
            connection.connection.waiting = b""
            assert codes() == []
            make_store(code="S2")
    assert codes() == []


def test_scopes_of_one_transaction_show_their_own_rows_only(two_brands):
    with transaction.atomic():
        assert codes() == []
        for brand in [*two_brands, *two_brands]:
            with brand_scope(brand.pk):
                assert codes() == [brand.slug]
            assert codes() == []
            with pytest.raises(ZeroDivisionError), brand_scope(brand.pk):
                assert codes() == [brand.slug]
                raise ZeroDivisionError
            assert codes() == []
            with pytest.raises(ZeroDivisionError), brand_scope(brand.pk):
                raise ZeroDivisionError
            assert codes() == []


def test_what_python_refuses_to_send_takes_no_setting_with_it(two_brands):
    lanyu, _zaoshan = two_brands
    with brand_scope(lanyu.pk):
        with pytest.raises(ValueError, match="NUL"):
            ask("SELECT %s", "\x00")
        with pytest.raises(TypeError):
            ask("SELECT %s", "a", "b")
        assert codes() == ["lanyu"]


def test_after_a_message_nobody_could_read_the_transaction_is_over(two_brands):
    lanyu, _zaoshan = two_brands
    with brand_scope(lanyu.pk):
        with pytest.raises(ProgrammingError):
            ask("SELEC 1")
        with pytest.raises(InternalError):
            codes()
        with pytest.raises(InternalError):
            ask("INSERT INTO django_session VALUES ('left', '', now())")
    assert ask("SELECT count(*) FROM django_session") == 0
    with brand_scope(lanyu.pk):
        assert codes() == ["lanyu"]


def test_a_savepoint_saves_the_transaction_from_a_message_nobody_could_read(two_brands):
    lanyu, _zaoshan = two_brands
    with brand_scope(lanyu.pk):
        with pytest.raises(ProgrammingError), transaction.atomic():
            ask("SELEC 1")
        assert codes() == ["lanyu"]


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_connection_lost_in_a_scope_is_an_error_and_the_next_scope_has_a_new_one(two_brands, asked_before):
    lanyu, zaoshan = two_brands
    with pytest.raises((OperationalError, InterfaceError)), brand_scope(lanyu.pk):
        if asked_before:
            assert codes() == ["lanyu"]
        end_session()
        codes()
    with brand_scope(zaoshan.pk):
        assert codes() == ["zaoshan"]
    assert setting() == ""


def test_a_statement_cut_off_takes_its_scope_with_it(two_brands):
    lanyu, _zaoshan = two_brands
    ask("SET statement_timeout = 50")
    try:
        with brand_scope(lanyu.pk):
            with pytest.raises(OperationalError, match="statement timeout"):
                ask("SELECT pg_sleep(30)")
            with pytest.raises(InternalError):
                codes()
    finally:
        ask("RESET statement_timeout")
    assert setting() == ""
    with brand_scope(lanyu.pk):
        assert codes() == ["lanyu"]


def test_a_role_goes_with_its_transaction_whatever_ends_it(two_brands):
    mine = ask("SELECT current_user")
    with every_brand(reason="test"):
        assert ask("SELECT current_user") != mine
        assert codes() == ["lanyu", "zaoshan"]
    assert (ask("SELECT current_user"), codes()) == (mine, [])
    for statement in ("SELECT 1 / 0", "SELEC 1", "DELETE FROM stores_store"):
        with pytest.raises(DatabaseError), every_brand(reason="test"):
            ask(statement)
        assert (ask("SELECT current_user"), codes()) == (mine, [])
    with transaction.atomic():
        with pytest.raises(DatabaseError), every_brand(reason="test"):
            ask("SELECT 1 / 0")
        assert (ask("SELECT current_user"), codes()) == (mine, [])
        with every_brand(reason="test"):
            assert codes() == ["lanyu", "zaoshan"]
        assert (ask("SELECT current_user"), codes()) == (mine, [])


def test_hooks_run_after_the_commit_in_no_brand(two_brands):
    lanyu, zaoshan = two_brands
    seen = []

    def hook():
        with pytest.raises(NoBrandInScope):
            current_brand_id()
        seen.append(codes())
        with brand_scope(zaoshan.pk):
            seen.append(codes())

    with brand_scope(lanyu.pk):
        transaction.on_commit(hook)
        make_store(code="S2")
        assert seen == []
    assert seen == [[], ["zaoshan"]]


def test_a_durable_block_commits_by_itself(two_brands):
    lanyu, _zaoshan = two_brands
    with transaction.atomic(durable=True), brand_scope(lanyu.pk):
        make_store(code="S2")
    with brand_scope(lanyu.pk):
        assert codes() == ["S2", "lanyu"]
        with pytest.raises(RuntimeError, match="durable"), transaction.atomic(durable=True):
            pass


def test_iterating_and_a_cursor_of_the_server_stay_in_the_brand(two_brands):
    for brand in two_brands:
        with brand_scope(brand.pk):
            assert [store.code for store in Store.objects.iterator(chunk_size=1)] == [brand.slug]
        with brand_scope(brand.pk), connection.chunked_cursor() as cursor:
            cursor.execute("SELECT code FROM stores_store")
            assert cursor.fetchall() == [(brand.slug,)]


def test_rows_sent_in_several_messages_arrive_in_one_transaction():
    with pytest.raises(ZeroDivisionError), transaction.atomic(), connection.cursor() as cursor:
        hold("7")
        rows = [(str(number), "", "2026-11-21") for number in range(5)]
        execute_values(cursor.cursor, "INSERT INTO django_session VALUES %s", rows, page_size=2)
        assert (setting(), ask("SELECT count(*) FROM django_session")) == ("7", 5)
        raise ZeroDivisionError
    assert ask("SELECT count(*) FROM django_session") == 0


def test_a_cursor_of_another_kind_is_refused():
    with transaction.atomic(), pytest.raises(NotSupportedError), connection.wrap_database_errors:
        connection.connection.cursor(cursor_factory=RealDictCursor)


def test_a_setting_needs_a_transaction():
    with pytest.raises(transaction.TransactionManagementError):
        hold("7")
    assert setting() == ""


def test_another_isolation_level_is_refused_instead_of_being_ignored(monkeypatch):
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "isolation_level", 3)
    with pytest.raises(ImproperlyConfigured):
        connection.get_connection_params()


def test_the_log_of_statements_holds_them_alone(settings):
    settings.DEBUG = True
    connection.queries_log.clear()
    with transaction.atomic():
        hold("7")
        ask("SELECT 'x'")
        with pytest.raises(DataError), transaction.atomic():
            ask("SELECT 1 / %s", 0)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 'y'")
            cursor.executemany("SELECT %s", [(1,)])
            assert cursor.cursor.query == b"SELECT 1"
    logged = [entry["sql"] for entry in connection.queries_log]
    assert [sql for sql in logged if sql.startswith("SELECT")] == ["SELECT 'x'", "SELECT 1 / 0", "SELECT 'y'"]
    assert not [sql for sql in logged if "set_config" in sql]


def test_notices_of_a_statement_are_kept():
    with transaction.atomic():
        hold("7")
        ask("DO $$ BEGIN RAISE NOTICE 'here'; END $$")
        assert "here" in connection.connection.notices[-1]


def test_threads_have_brands_of_their_own(two_brands):
    seen, barrier = {}, threading.Barrier(2, timeout=30)

    def work(brand):
        try:
            with brand_scope(brand.pk):
                barrier.wait()
                first = codes()
                barrier.wait()
                seen[brand.slug] = [*first, *codes()]
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(brand,)) for brand in two_brands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == {"lanyu": ["lanyu", "lanyu"], "zaoshan": ["zaoshan", "zaoshan"]}
