"""A brand newer than PostgreSQL's statistics: its pushes are found by their keys, not by reading all of them."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connections

from accounts.tenancy import brand_scope
from tests.factories import AT, make_account, make_brand
from wechat_gateway.models import InboundPush, PushState
from wechat_gateway.stores import InboxStore

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])
WAITING = 20_000  # in a small table all plans cost about the same


def push(account, number, state):
    return InboundPush(
        account=account,
        dedupe_key=uuid4(),
        digest=uuid4(),
        kind="text",
        openid=f"o{number % 50}",
        lane=number % 64,
        event_at=AT + timedelta(seconds=number),
        received_at=AT,
        body="<xml/>",
        state=state,
    )


def fill(account, state):
    """Give the account WAITING pushes: a tenth is made here, the database copies the rest from it."""
    InboundPush.objects.bulk_create([push(account, number, state) for number in range(WAITING // 10)])
    fresh = {
        "id": "nextval(pg_get_serial_sequence('wechat_gateway_inboundpush', 'id'))",
        "dedupe_key": "gen_random_uuid()",
    }
    columns = [field.column for field in InboundPush._meta.concrete_fields]
    with connections["default"].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO wechat_gateway_inboundpush ({', '.join(columns)}) "
            f"SELECT {', '.join(fresh.get(name, name) for name in columns)} "
            "FROM wechat_gateway_inboundpush, generate_series(1, 9) WHERE account_id = %s",
            [account.pk],
        )


@pytest.fixture
def waiting():
    """A brand whose first pushes came after the last ANALYZE."""
    settled = make_brand("lanyu", "澜屿")
    with brand_scope(settled.pk):
        account = make_account()
        fill(account, PushState.HANDLED)
    with connections["owner"].cursor() as cursor:
        cursor.execute("ANALYZE wechat_gateway_inboundpush")
    new = make_brand("zaoshan", "灶山小馆")
    with brand_scope(new.pk):
        account = make_account()
        fill(account, PushState.NEW)
    return new


def rows_read(statement):
    """How many rows of the inbox a statement read, wherever in its plan."""
    read = []

    def explain(execute, sql, params, many, context):
        cursor = context["cursor"].cursor
        if "wechat_gateway_inboundpush" in sql:
            cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql, params)
            read.extend(_read(cursor.fetchone()[0][0]["Plan"]))
        return execute(sql, params, many, context)

    with connections["default"].execute_wrapper(explain):
        statement()
    return sum(read)


def _read(node):
    if "Relation Name" in node and node["Node Type"] != "ModifyTable":
        yield (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    for part in node.get("Plans", []):
        yield from _read(part)


@pytest.mark.parametrize(
    "statement",
    [
        lambda store, ids: store.count_attempts(ids, 1),
        lambda store, ids: store.lock_new(ids),
        lambda store, ids: store.mark_handled(ids, AT),
        lambda store, ids: store.fail(ids[0], "cause"),
        lambda store, ids: store.try_later(ids[0], "cause", seconds=1),
    ],
)
def test_pushes_are_found_by_their_ids(waiting, statement):
    store = InboxStore()
    with brand_scope(waiting.pk):
        ids = [row[0] for row in store.waiting(waiting.pk, 3, 16)]
        assert rows_read(lambda: statement(store, ids)) <= len(ids)


def test_what_waits_in_a_lane_is_read_no_further_than_asked(waiting):
    store = InboxStore()
    with brand_scope(waiting.pk):
        # one more row at most for each that is wanted: the order within a moment is sorted
        assert 16 <= rows_read(lambda: store.waiting(waiting.pk, 3, 16)) <= 32
