"""Who needs the token that somebody else is fetching goes on beside all others when it is there, not one by one."""

import threading

import pytest
from django.db import connection

from accounts.tenancy import brand_scope
from tests.factories import make_account
from wechat_gateway import stores


@pytest.fixture
def account(transactional_db, brand):
    with brand_scope(brand.pk):
        account = make_account()
        stores.TokenStore().lock(account)  # there is a row
    return account


def test_waiters_do_not_wait_for_each_other(account):
    store = stores.TokenStore()
    # Each keeps its transaction open until all have the token: in line for the lock only the first would get it.
    together = threading.Barrier(3)
    found = []

    def wait():
        try:
            with store.scope(account.brand_id):
                row = store.lock(account, enough=lambda row: row.generation == 1)
                found.append(row.token.reveal())
                together.wait(30)
        except threading.BrokenBarrierError:
            found.append("alone")
        finally:
            connection.close()

    waiters = [threading.Thread(target=wait) for _ in range(3)]
    with store.scope(account.brand_id):
        row = store.lock(account)
        for waiter in waiters:
            waiter.start()
        while _blocked() < len(waiters):
            pass
        row.token, row.generation = "fresh", 1
        store.save(row, ["token", "generation"])
    for waiter in waiters:
        waiter.join(60)

    assert found == ["fresh"] * 3


def test_who_finds_nothing_takes_the_row(account):
    store = stores.TokenStore()
    with store.scope(account.brand_id):
        row = store.lock(account, enough=lambda row: row.generation == 1)
        assert row.generation == 0
        row.token, row.generation = "fresh", 1
        store.save(row, ["token", "generation"])


def _blocked():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_clear_snapshot(); SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone()[0]
