"""How rows are to be read is said for a question and taken back after it."""

import pytest
from django.db import DatabaseError, connection, transaction

from common.postgres.planning import in_order

pytestmark = pytest.mark.django_db


def planning():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('enable_sort'), current_setting('enable_bitmapscan')")
        return cursor.fetchone()


def test_in_order_holds_for_what_is_asked_inside():
    with transaction.atomic():
        before = planning()
        with in_order():
            inside = planning()
        after = planning()

    assert (before, inside, after) == (("on", "on"), ("off", "off"), ("on", "on"))


@pytest.mark.parametrize("error", [ValueError, DatabaseError])
def test_in_order_ends_with_an_error(error):
    def refused():
        if error is DatabaseError:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        planning()
        raise error

    with transaction.atomic():
        with pytest.raises(error), transaction.atomic(), in_order():
            refused()
        after = planning()

    assert after == ("on", "on")
