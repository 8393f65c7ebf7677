"""Launches whole campaigns for the real workers and waits until every row is final (see `child.serve`)."""

from __future__ import annotations

import time
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402 - needs Django
from kombu import pools  # noqa: E402

from accounts.tenancy import brand_scope  # noqa: E402
from benchmarks.sending import child, world  # noqa: E402
from campaigns import invariants, services, tasks  # noqa: E402
from campaigns.models import Campaign, Delivery  # noqa: E402
from common import clock  # noqa: E402
from config.celery import app  # noqa: E402
from wechat_gateway.models import QuotaUse  # noqa: E402

SWEEP_SECONDS = 5.0  # as often as beat rings


class Driver:
    """Two brands that share nothing but the database: one with the people only, one with ten times as many."""

    def __init__(self) -> None:
        self._small = world.make("small")
        self._large = world.make("large")

    def people(self, count: int, times: int) -> None:
        """Fill both. In the large one only every n-th was there lately; it has old campaigns of the same size, too."""
        world.people(self._small, [f"o{number:027d}" for number in range(count)])
        world.people(self._large, [f"o{number:027d}" for number in range(count * times)])
        with brand_scope(self._large.brand_id):
            world.only_lately(self._large, count)
        campaign = self._large.campaign(segment=self._large.everybody)
        with brand_scope(self._large.brand_id):
            services.freeze_audience(campaign_id=campaign.pk, at=clock.now())
            Campaign.objects.filter(pk=campaign.pk).update(state="PAUSED")

    def _ring_in(self, database: int) -> None:
        address = settings.CELERY_BROKER_URL.rpartition("/")[0]
        celery: Any = app
        celery.conf.broker_write_url = f"{address}/{database}"
        celery.pool.force_close_all()
        celery._pool = None  # noqa: SLF001 - the next message opens a connection to the other database
        celery.amqp._producer_pool = None  # noqa: SLF001
        pools.reset()

    def run(self, which: str, count: int, seconds: float, broker: int) -> dict[str, Any]:
        """One campaign from launch to the last final row, by the workers that listen to a database of the broker."""
        self._ring_in(broker)
        chosen = {"small": self._small, "large": self._large}[which]
        segment = chosen.everybody if which == "small" else chosen.lately
        with brand_scope(chosen.brand_id):
            QuotaUse.objects.all().delete()  # a day's messages of an account are fewer than those of all rounds
        used, began = child.cpu(), time.monotonic()
        campaign = chosen.campaign(segment=segment)
        swept = began
        sweep: Any = tasks.sweep_deliveries
        while True:
            with brand_scope(chosen.brand_id):
                state = Campaign.objects.values_list("state", flat=True).get(pk=campaign.pk)
            now = time.monotonic()
            if state == "FINISHED":
                break
            if now - began > seconds:
                message = f"{state} after {seconds} s"
                raise TimeoutError(message)
            if now - swept > SWEEP_SECONDS:
                swept = now
                sweep()
            time.sleep(0.05)
        took, spent = time.monotonic() - began, child.cpu() - used
        with brand_scope(chosen.brand_id):
            rows = list(Delivery.objects.filter(campaign=campaign).values_list("seq", "state", "msgid"))
            breaches = [str(each) for each in invariants.breaches()][:3]
        bad = sum(row[1] != "SENT" for row in rows)
        if len(rows) != count or bad or breaches:
            message = f"{len(rows)} rows of {count}, {bad} not sent, breaches {breaches}"
            raise ValueError(message)
        prefix = campaign.public_id.hex[:16]
        return {"cpu": spent, "seconds": took, "sent": {f"{prefix}-{seq}-0": str(msgid) for seq, _, msgid in rows}}


if __name__ == "__main__":
    driver = Driver()
    child.serve({"people": driver.people, "run": driver.run})
