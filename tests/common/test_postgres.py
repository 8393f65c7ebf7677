"""The database backend: what travels with the next statement arrives, in the right transaction, or not at all."""

import io

import psycopg2
import pytest
from django.db import DataError, connection, transaction
from django.db.utils import IntegrityError
from psycopg2.extensions import TRANSACTION_STATUS_INTRANS

from accounts.models import Brand
from accounts.services import create_brand
from accounts.tenancy import brand_scope
from stores.models import Store

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


def test_a_connection_the_server_has_ended_is_not_usable():
    assert ask("SELECT 1") == 1
    assert connection.is_usable()
    parameters = connection.get_connection_params()
    parameters = {key: parameters[key] for key in ("host", "port", "user", "password", "dbname")}
    pid = ask("SELECT pg_backend_pid()")
    other = psycopg2.connect(**parameters)
    other.autocommit = True
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()

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
