"""What operators' machines ask: alive, ready, figures. Nothing that tells strangers anything."""

import pytest
import redis
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from campaigns.models import Campaign, Tally
from common import clock
from config import health
from tests.factories import AT
from wechat_gateway.models import AccessToken, InboundPush

TOKEN = {"authorization": "Bearer figures-please"}


def test_alive_says_nothing_and_asks_nothing(db):
    with CaptureQueriesContext(connection) as queries:
        answer = Client().get("/healthz")

    assert (answer.status_code, answer.content, len(queries)) == (200, b"ok", 0)


def test_ready_when_everything_is_there(db):
    answer = Client().get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"database": "ok", "redis": "ok", "migrations": "ok"})


def test_not_ready_without_redis(db, settings):
    settings.REDIS_URL = "redis://127.0.0.1:9/0"

    answer = Client().get("/readyz")

    assert (answer.status_code, answer.json()) == (503, {"database": "ok", "redis": "not ready", "migrations": "ok"})


def test_not_ready_while_a_migration_is_missing(db, monkeypatch):
    wanted = health._wanted() | {("members", "9999_of_tomorrow")}
    monkeypatch.setattr(health, "_wanted", lambda: wanted)

    answer = Client().get("/readyz")

    assert (answer.status_code, answer.json()["migrations"]) == (503, "not ready")


def test_not_ready_without_the_database(monkeypatch):
    from django.db import OperationalError

    def away():
        raise OperationalError("connection to server at 10.1.2.3 failed")

    monkeypatch.setitem(health._PARTS, "database", away)
    monkeypatch.setitem(health._PARTS, "migrations", away)

    answer = Client().get("/readyz")

    assert (answer.status_code, answer.json()) == (
        503,
        {"database": "not ready", "redis": "ok", "migrations": "not ready"},
    )


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_operators_only_read(settings, path, method):
    settings.METRICS_TOKEN = "figures-please"

    assert Client().generic(method, path, headers=TOKEN).status_code == 405


@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer wrong", "figures-please", "Bearer é", "Basic figures-please"])
def test_figures_need_the_token(db, settings, given):
    settings.METRICS_TOKEN = "figures-please"

    assert Client().get("/metrics", headers={"authorization": given} if given else {}).status_code == 404


def test_without_a_token_in_the_settings_there_are_no_figures(db, settings):
    settings.METRICS_TOKEN = ""

    assert {Client().get("/metrics", headers={"authorization": each}).status_code for each in ("Bearer ", "")} == {404}


def figures():
    text = Client().get("/metrics", headers=TOKEN).content.decode()
    return {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line and line[0] != "#"
    }


def test_figures_count_requests_and_what_waits(a, b, settings):
    settings.METRICS_TOKEN = "figures-please"
    broker = redis.Redis.from_url(settings.REDIS_URL)
    broker.delete("inbound")
    broker.lpush("inbound", "1", "2")
    with brand_scope(a.brand.pk):
        campaign = Campaign.objects.create(name="x", account=a.account, created_at=AT, updated_at=AT)
        Tally.objects.create(campaign=campaign, shard=0, state="SENT", count=3)
        Tally.objects.create(campaign=campaign, shard=1, state="SENT", count=4)
        AccessToken.objects.create(appid=a.account.appid, fetched_at=clock.now(), expires_at=clock.now())
    with brand_scope(b.brand.pk):
        for state in ("NEW", "NEW", "HANDLED", "QUARANTINED"):
            push(b, state)
    route = 'route="api/v1/members/<str:member_no>/"'
    before = figures().get(f'zhiyin_requests_total{{method="GET",{route},status="200"}}', 0.0)

    a.system.get(f"/members/{a.member.member_no}/")
    found = figures()
    broker.delete("inbound")
    broker.close()

    assert found[f'zhiyin_requests_total{{method="GET",{route},status="200"}}'] == before + 1
    assert found[f"zhiyin_request_seconds_count{{{route}}}"] >= 1
    assert {state: found[f'zhiyin_inbox_pushes{{state="{state}"}}'] for state in ("NEW", "FAILED", "QUARANTINED")} == {
        "NEW": 2.0,
        "FAILED": 0.0,
        "QUARANTINED": 1.0,
    }
    assert found['zhiyin_deliveries{state="SENT"}'] == 7.0
    assert found['zhiyin_queue_calls{queue="inbound"}'] == 2.0
    assert (found["zhiyin_access_tokens"], found["zhiyin_access_tokens_over"]) == (1.0, 1.0)
    assert 0 <= found["zhiyin_access_token_age_seconds"] < 60
    text = "\n".join(found)
    assert [secret for secret in ("lanyu", "澜屿", a.account.appid, a.member.member_no) if secret in text] == []


def push(side, state):
    import uuid

    InboundPush.objects.create(
        account=side.account,
        dedupe_key=uuid.uuid4(),
        digest=uuid.uuid4(),
        kind="text",
        lane=0,
        event_at=AT,
        received_at=AT,
        body="",
        state=state,
    )


def test_figures_that_cannot_be_read_leave_the_others(db, settings):
    settings.METRICS_TOKEN = "figures-please"
    settings.REDIS_URL = "redis://127.0.0.1:9/0"

    found = figures()

    assert 'zhiyin_inbox_pushes{state="NEW"}' in found
    assert [name for name in found if name.startswith("zhiyin_queue")] == []
