"""A process that freezes while it fetches a token keeps nobody else from fetching one, and changes nothing later."""

import threading

import pytest
from django.db import Error, connection

from accounts.tenancy import brand_scope
from tests.factories import make_account
from wechat_gateway import stores
from wechat_gateway.models import AccessToken


@pytest.fixture
def account(transactional_db, brand):
    with brand_scope(brand.pk):
        return make_account()


def test_a_frozen_holder_loses_the_token(account, monkeypatch):
    monkeypatch.setattr(stores, "_TOKEN_HOLD_MS", 200)
    store = stores.TokenStore()
    holds, wakes = threading.Event(), threading.Event()
    said = []

    def freeze():
        try:
            with store.scope(account.brand_id):
                row = store.lock(account)
                holds.set()
                wakes.wait(60)
                row.token, row.generation = "stale", 99
                store.save(row, ["token", "generation"])
        except Error as error:
            said.append(type(error).__name__)
        finally:
            holds.set()
            connection.close()

    holder = threading.Thread(target=freeze)
    holder.start()
    assert holds.wait(60)
    try:
        with store.scope(account.brand_id):
            row = store.lock(account)  # raises Busy when the other keeps it
            row.token, row.generation = "fresh", 1
            store.save(row, ["token", "generation"])
    finally:
        wakes.set()
        holder.join(60)

    assert said
    with brand_scope(account.brand_id):
        row = AccessToken.objects.get()
    assert (row.token.reveal(), row.generation) == ("fresh", 1)
