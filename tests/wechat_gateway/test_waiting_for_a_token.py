"""Who needs the token that somebody else is fetching goes on beside all others when it is there, not one by one."""

import threading
from concurrent.futures import Future

import pytest
from django.db import connection

from accounts.tenancy import brand_scope
from common.secret import Secret
from tests.factories import make_account
from tests.wechat_gateway.conftest import NOW
from wechat_gateway import stores, tokens
from wechat_gateway.errors import CallsParked


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


def test_where_nothing_was_left_one_fetches_and_the_others_wait_for_it(account):
    store = stores.TokenStore()
    found = []

    def wait():
        try:
            with store.scope(account.brand_id):
                row = store.lock(account, enough=lambda row: row.generation == 1)
                if row.generation == 0:
                    found.append("fetches")
                    row.token, row.generation = "fresh", 1
                    store.save(row, ["token", "generation"])
                found.append(row.generation)
        finally:
            connection.close()

    waiters = [threading.Thread(target=wait) for _ in range(3)]
    with store.scope(account.brand_id):
        store.lock(account)
        for waiter in waiters:
            waiter.start()
        while _blocked() < len(waiters):
            pass
    for waiter in waiters:
        waiter.join(60)

    assert sorted(found, key=str) == [1, 1, 1, "fetches"]


class Noticed(Future):
    """Says when a thread begins to wait for it."""

    joined = threading.Semaphore(0)

    def result(self, timeout=None):
        if not self.done():
            self.joined.release()
        return super().result(timeout)


@pytest.fixture
def together(account, monkeypatch):
    """Let four threads of a process need a token at once: gives what became of each, and how often one was asked for."""
    found, asked = [], []

    def need():
        try:
            found.append(tokens.refused(account, 1, at=NOW).generation)
        except Exception as error:
            found.append(type(error))

    def ask(become):
        def refresh(app, at, *, stale_generation):
            asked.append(stale_generation)
            if len(asked) == 1:
                assert all(Noticed.joined.acquire(timeout=30) for _ in range(3))
            return become(len(asked))

        monkeypatch.setattr(tokens, "Future", Noticed)
        monkeypatch.setattr(tokens, "_refresh", refresh)
        monkeypatch.setattr(tokens, "_FLIGHT_SECONDS", None)  # nobody is let go by the mere passing of time
        threads = [threading.Thread(target=need, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert tokens._flights == {}
        return found, len(asked)

    yield ask
    tokens.forget_cached()


def _token(generation):
    return tokens.Token(Secret("fresh"), generation, NOW, refresh_due=False)


def test_threads_of_one_process_ask_once(together):
    assert together(lambda _nth: _token(2)) == ([2] * 4, 1)


def test_threads_of_one_process_are_parked_together(together):
    def park(_nth):
        raise CallsParked(wechat_code=40001, reason="", until=NOW)

    assert together(park) == ([CallsParked] * 4, 1)


def test_a_thread_that_dies_over_a_token_leaves_the_others_to_ask_for_themselves(together):
    def lose_the_first(nth):
        if nth == 1:
            raise ConnectionResetError
        return _token(2)

    found, asked = together(lose_the_first)
    assert sorted(found, key=str) == [2, 2, 2, ConnectionResetError]
    assert asked == 4


def _blocked():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_clear_snapshot(); SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone()[0]
