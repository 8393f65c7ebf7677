"""What one batch of the engine reads, counted by PostgreSQL: its own rows, whatever is known of a brand's size."""

import itertools

import pytest
from django.db import connection, connections, transaction

from campaigns import services
from campaigns.models import FinishEvent
from campaigns.services import sending
from common import clock
from tests.campaigns.conftest import Stage
from tests.factories import AT, make_brand

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])
PEOPLE = 3_000
BATCH = 64
TABLES = (
    "campaigns_delivery",
    "campaigns_deliveryattempt",
    "campaigns_finishevent",
    "members_follower",
    "members_member",
    "members_optout",
)
MANY = 22  # times as many messages of others: only then may sorting a campaign seem the cheapest
MORE = """
    INSERT INTO campaigns_delivery (
        brand_id, campaign_id, account_id, seq, member_id, openid, variables, state, reason, due_at, attempt, round,
        leased_by
    )
    SELECT brand_id, campaign_id, account_id, seq, member_id + n * 1000000, openid, variables, state, reason, due_at,
        attempt, round, leased_by
    FROM campaigns_delivery, generate_series(1, %s) n
"""
_msgids = itertools.count(9_000_000_000)


def owner(statement, params=()):
    with connections["owner"].cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


def forget():
    """Let the planner know nothing, as after an installation."""
    for table in TABLES:
        owner("SELECT pg_clear_relation_stats('public', %s)", [table])
        for (column,) in owner("SELECT attname::text FROM pg_stats WHERE tablename = %s", [table]):
            owner("SELECT pg_clear_attribute_stats('public', %s, %s, false)", [table, column])


def analyse():
    owner(f"ANALYZE {', '.join(TABLES)}")


def fill(stage):
    """People by the thousand, a third of whom want no advertising."""
    with stage.scope, connection.cursor() as cursor:
        cursor.execute(
            """
            WITH new AS (
                INSERT INTO members_member (
                    brand_id, public_id, member_no, name, phone, phone_tail, phone_masked, city, created_at, joined_at,
                    subscribed, last_interaction_at, tag_ids
                )
                SELECT %(brand)s, gen_random_uuid(), n::text, '顾客', NULL, '', '', '', %(at)s, %(at)s, true, %(at)s, '{}'
                FROM generate_series(1, %(count)s) n
                RETURNING id, member_no
            ), quiet AS (
                INSERT INTO members_optout (brand_id, member_id, purpose, at)
                SELECT %(brand)s, id, 'MARKETING', %(at)s FROM new WHERE member_no::int %% 3 = 0
            )
            INSERT INTO members_follower (
                brand_id, account_id, openid, unionid, member_id, subscribed, followed_at, last_interaction_at,
                follow_count, follow_scene
            )
            SELECT %(brand)s, %(account)s, 'o' || member_no, '', id, true, %(at)s, %(at)s, 1, '' FROM new
            """,
            {"brand": stage.brand.pk, "account": stage.account.pk, "count": PEOPLE, "at": AT},
        )


def frozen(stage):
    campaign = stage.campaign(purpose="SERVICE")
    with stage.scope:
        services.launch(campaign=campaign, at=clock.now())
    read = reads(stage, lambda: services.freeze_audience(campaign_id=campaign.pk, at=clock.now()))
    with stage.scope:
        job = sending.Job.load(stage.brand.pk, campaign.pk, 0)
    job.campaign.purpose = "MARKETING"  # the opt-outs come after the freeze: each claim looks them up
    return job, read


def reads(stage, step):
    """How many rows of these tables a step reads."""
    with stage.scope:
        before = _reads()
        step()
        after = _reads()
    return {table: after[table] - before[table] for table in TABLES if after[table] != before[table]}


def _reads():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname::text, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) "
            "FROM pg_stat_xact_user_tables WHERE relname = ANY(%s)",
            [list(TABLES)],
        )
        return dict(cursor.fetchall())


@pytest.fixture(params=["nothing", "old statistics", "fresh statistics"])
def known(request, stage, wechat):
    """What the planner knows of the brand: nothing of any, only of others, everything."""
    for table in TABLES:
        owner(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    forget()
    if request.param != "nothing":
        other = Stage(wechat, make_brand("zaoshan", "灶山小馆"))
        fill(other)
        frozen(other)
        with other.scope, connection.cursor() as cursor:
            cursor.execute(MORE, [MANY])
        analyse()
    fill(stage)
    job, read = frozen(stage)
    if request.param == "fresh statistics":
        analyse()
    yield stage, job, read
    forget()
    for table in TABLES:
        owner(f"ALTER TABLE {table} RESET (autovacuum_enabled)")


def batch_reads_its_own_rows(stage, job):
    batch = []
    read = reads(stage, lambda: batch.extend(sending._claim_rows(job, BATCH, ("SENDING",))[0]))
    assert 30 < len(batch) < BATCH
    # Each message is picked and changed; each person looked up, and once more among those who opted out.
    assert read.pop("campaigns_delivery") == 2 * BATCH
    assert read.pop("members_follower") == BATCH
    assert read.pop("members_optout") <= BATCH
    assert read == {}

    sent = [sending.Entry(each, sending.DeliveryState.SENT, msgid=next(_msgids), outcome="ACCEPTED") for each in batch]
    assert reads(stage, lambda: sending._record(job, sent, None)) == {"campaigns_delivery": len(batch)}
    with stage.scope:
        late = {entry.claimed.id: next(_msgids) for entry in sent[16:]}
        notes = [(pk, 1, "LATE", "", "", msgid) for pk, msgid in late.items()]
        sending._note_attempts(stage.brand.pk, notes)
        FinishEvent.objects.bulk_create(
            FinishEvent(
                account_id=stage.account.pk,
                msgid=late.get(entry.claimed.id, entry.msgid),
                openid=entry.claimed.openid,
                status="success",
                event_at=clock.now(),
            )
            for entry in sent
        )
    read = reads(stage, lambda: services.settle_results(at=clock.now()))
    assert set(read) == {"campaigns_delivery", "campaigns_deliveryattempt", "campaigns_finishevent"}
    assert all(count <= 3 * BATCH for count in read.values()), read


def test_a_batch_reads_its_own_rows_only(known):
    stage, job, _ = known
    for _ in range(2):
        batch_reads_its_own_rows(stage, job)

    def close():
        with transaction.atomic():
            assert len(sending.store.close(stage.brand.pk, job.campaign.pk, BATCH, clock.now())) == BATCH
            transaction.set_rollback(True)

    read = reads(stage, close)
    assert set(read) == {"campaigns_delivery"}
    assert read["campaigns_delivery"] <= 6 * BATCH


def test_a_freeze_reads_everybody_a_few_times(known):
    # Once or twice each, the other brand's too where no index is worth using.
    _, _, read = known
    assert all(count <= 6 * PEOPLE for count in read.values()), read
