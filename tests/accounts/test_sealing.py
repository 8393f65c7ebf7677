"""Values at rest: sealed, bound to their place, found by fingerprint."""

import json
import pickle

import pytest
from django.db import connection

from accounts.errors import Unsealable
from accounts.sealing import blind_index, forget_keys
from accounts.tenancy import brand_scope
from common.secret import Secret
from members.services import bind_phone
from tests.factories import AT, make_account, make_follower
from wechat_gateway.models import OfficialAccount


def raw(table, column, pk):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} WHERE id = %s", [pk])
        return bytes(cursor.fetchone()[0])


def test_sealed_value_reads_back_and_is_not_in_the_row(in_brand):
    account = make_account(app_secret="canary-secret")

    assert OfficialAccount.objects.get(pk=account.pk).app_secret == Secret("canary-secret")
    assert b"canary" not in raw("wechat_gateway_officialaccount", "app_secret", account.pk)


def test_sealed_value_does_not_open_in_another_row_or_column(in_brand):
    one, other = make_account(), make_account()
    sealed = raw("wechat_gateway_officialaccount", "app_secret", one.pk)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE wechat_gateway_officialaccount SET app_secret = %s, callback_token = %s WHERE id = %s",
            [sealed, raw("wechat_gateway_officialaccount", "app_secret", other.pk), other.pk],
        )
    moved = OfficialAccount.objects.get(pk=other.pk)

    for name in ("app_secret", "callback_token"):
        with pytest.raises(Unsealable):
            getattr(moved, name)


def test_changed_or_cut_value_does_not_open(in_brand):
    account = make_account()
    sealed = raw("wechat_gateway_officialaccount", "app_secret", account.pk)
    for broken in (sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1]), b"\x02" + sealed[1:], b""):
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE wechat_gateway_officialaccount SET app_secret = %s WHERE id = %s", [broken, account.pk]
            )
        with pytest.raises(Unsealable):
            OfficialAccount.objects.get(pk=account.pk).app_secret  # noqa: B018


def test_key_of_an_unknown_master_does_not_open(in_brand, settings):
    account = make_account()
    settings.MASTER_KEYS = "other:" + "A" * 43 + "="
    forget_keys()
    try:
        with pytest.raises(Unsealable):
            OfficialAccount.objects.get(pk=account.pk).app_secret  # noqa: B018
    finally:
        forget_keys()


def test_same_phone_has_another_fingerprint_in_another_brand(brand, other_brand):
    prints = {
        blind_index(each.pk, purpose, "+8613800001111") for each in (brand, other_brand) for purpose in ("a", "b")
    }

    assert len(prints) == 4


def test_phone_is_stored_sealed_masked_and_findable(brand):
    with brand_scope(brand.pk):
        member = bind_phone(member=make_follower(make_account()).member, number="138 0000 6721", source="test", at=AT)
        member.refresh_from_db()

        assert member.phone == Secret("+8613800006721")
        assert (member.phone_masked, member.phone_tail) == ("138****6721", "6721")
        assert member.phone_index == blind_index(brand.pk, "phone", "+8613800006721")
        assert b"6721" not in raw("members_member", "phone", member.pk)


def test_a_secret_cannot_be_printed_serialised_or_pickled():
    secret = Secret("canary")

    assert f"{secret} {secret!r} {secret:>10} {[secret]}" == "*** *** *** [***]"
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
