"""R18: a commit implies its effect: processes die around the publish, low ids commit late; nothing is skipped."""

from __future__ import annotations

import os
import threading
import time

import psycopg2

from campaigns import services
from campaigns.models import Campaign
from common import clock
from tests.chaos.world import Shop

WAYS = ("before the publish", "during the publish", "after the publish")


def run(stage, outcome):
    trials = stage.pick(ci=15, default=300, full=1_000)
    shop = Shop(stage, "r18", people=1)
    drafts = [shop.draft(name=f"第{number}次") for number in range(trials)]
    _late_low_id(stage, outcome)
    for number, draft in enumerate(drafts):
        _launch_and_die(stage, shop, draft, WAYS[number % len(WAYS)])
        stage.rig.pause(0)
    pks = [draft.pk for draft in drafts]

    def unfinished():
        return stage.rig.sql(
            "SELECT id, state FROM campaigns_campaign WHERE brand_id = %s AND id = ANY(%s) AND state <> 'FINISHED'",
            shop.brand.pk,
            pks,
        )

    began = time.monotonic()
    stage.rig.until("all campaigns are finished", lambda: not unfinished(), 60 + trials / 3, each=0.3)
    outcome.none("committed without an effect", unfinished())
    outcome.note(trials=trials, finished_after=f"{time.monotonic() - began:.1f} s")
    rows = stage.wechat.ask(f"/truth?appid={shop.appid}&kind=template&limit=100000")["rows"]
    ids = [row["client_msg_id"] for row in rows]
    outcome.equal("messages", len(set(ids)), trials)
    outcome.equal("messages twice", len(ids) - len(set(ids)), 0)
    with shop.scope:
        outcome.equal("launched", Campaign.objects.filter(pk__in=pks, launched_at__isnull=False).count(), trials)


def _launch_and_die(stage, shop, draft, way):
    """In a process of its own: launch (COMMIT), then die around the wake-up call."""
    from django.db import connections

    connections.close_all()
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    try:
        from campaigns.tasks import freeze_audience

        publish = freeze_audience.apply_async

        def die(args, kwargs, **options):
            if way == "during the publish":
                threading.Thread(target=publish, args=(args, kwargs), kwargs=options, daemon=True).start()
                time.sleep(stage.random.random() * 0.004)
            elif way == "after the publish":
                publish(args, kwargs, **options)
            os._exit(9)

        freeze_audience.apply_async = die
        with shop.scope:
            services.launch(campaign=draft, at=clock.now())
    finally:
        os._exit(1)


def _late_low_id(stage, outcome):
    """A push that took its id early and commits late is handled, although later ids have long been."""
    shop = Shop(stage, "r18-late", people=20)
    crowd = {"act": "text", "appid": shop.appid, "prefix": shop.prefix, "count": 20}
    stage.wechat.ask("/crowd", {**crowd, "fields": {"content": "先"}})
    late = psycopg2.connect(stage.rig.admin_dsn)
    with late.cursor() as cursor:
        cursor.execute(
            "INSERT INTO wechat_gateway_inboundpush (brand_id, account_id, dedupe_key, digest, kind, openid, lane, "
            "event_at, received_at, body, is_binary, reply, state, reason, attempts) "
            "SELECT brand_id, account_id, gen_random_uuid(), gen_random_uuid(), kind, openid, lane, event_at, "
            "received_at, replace(body, '<MsgId>', '<MsgId>9'), is_binary, '', 'NEW', '', 0 "
            "FROM wechat_gateway_inboundpush WHERE brand_id = %s ORDER BY id LIMIT 1 RETURNING id",
            [shop.brand.pk],
        )
        (low,) = cursor.fetchone()
    stage.wechat.ask("/crowd", {**crowd, "fields": {"content": "后"}})

    def handled(where):
        return stage.rig.sql(
            f"SELECT count(*) FROM wechat_gateway_inboundpush WHERE brand_id = %s AND state = 'HANDLED' AND {where}",
            shop.brand.pk,
        )[0][0]

    if not stage.rig.until("later ids are handled", lambda: handled(f"id > {low}") == 20, 60):
        stage.say(f"waiting: {_waiting(stage, shop)}")
    outcome.equal("higher ids handled first", handled(f"id > {low}"), 20)
    late.commit()
    late.close()
    began = time.monotonic()
    stage.rig.until("the late low id is handled", lambda: handled(f"id = {low}") == 1, 20)
    outcome.equal("late low ids handled", handled(f"id = {low}"), 1)
    outcome.note(late_one_handled_after=f"{time.monotonic() - began:.1f} s")


def _waiting(stage, shop):
    """What a person would look at: states of the pushes, and who waits for whom in PostgreSQL."""
    states = stage.rig.sql(
        "SELECT id, state, attempts, lane, retry_at FROM wechat_gateway_inboundpush WHERE brand_id = %s AND state = 'NEW'",
        shop.brand.pk,
    )
    blocked = stage.rig.sql(
        "SELECT pid, pg_blocking_pids(pid), state, left(query, 200) FROM pg_stat_activity "
        "WHERE cardinality(pg_blocking_pids(pid)) > 0"
    )
    return states[:3], blocked
