"""Killed at any row, run by two at once, tried out anew: each row counts once."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from accounts.tenancy import brand_scope
from common import failpoints
from common.clock import now
from imports import services, tasks
from imports.models import Import, ImportRow
from imports.services import running, trying
from loyalty.invariants import breaches
from loyalty.models import Journal
from members.models import Member
from tests.imports.conftest import again, csv_of, undone, uploaded


class Killed(BaseException):
    """The process is gone."""


def table(count):
    return csv_of(
        ("手机", "姓名", "期初积分"), *((f"1390000{number:04d}", f"人{number}", "10") for number in range(count))
    )


def dying(monkeypatch, after):
    """Die at every failpoint once, at the n-th call of each."""
    seen = {}

    def at(name):
        def action():
            seen[name] = seen.get(name, 0) + 1
            if seen[name] == after:
                raise Killed(name)

        return action

    for name in (
        "imports: looked at some, not committed",
        "imports: judged, nothing written",
        "loyalty: many posted, not committed",
        "imports: rows done, not committed",
    ):
        monkeypatch.setitem(failpoints.armed, name, at(name))
    return seen


def until_done(work):
    deaths = 0
    while True:
        try:
            work()
        except Killed:
            deaths += 1
        else:
            return deaths


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("after", [1, 2])
def test_killed_anywhere_every_row_counts_once(brand, monkeypatch, after):
    monkeypatch.setattr(trying, "AT_ONCE", 7)
    monkeypatch.setattr(running, "AT_ONCE", 5)
    dying(monkeypatch, after)
    with brand_scope(brand.pk):
        job = services.take_file(name="x.csv", body=table(20), kind="members", at=now())
        services.begin_dry_run(job_id=job.pk, columns=job.columns, options={}, at=now())
    assert until_done(lambda: services.try_out(brand_id=brand.pk, job_id=job.pk)) == 1
    assert again(brand, job).found == {"NEW": 20}
    with brand_scope(brand.pk):
        services.start_import(job_id=job.pk, at=now())
    assert until_done(lambda: services.importing(brand_id=brand.pk, job_id=job.pk)) == 3
    done = again(brand, job)
    assert (done.state, done.became, done.done) == ("DONE", {"NEW": 20}, 20)
    with brand_scope(brand.pk):
        assert Member.objects.count() == 20
        assert Journal.objects.count() == 20
        assert breaches() == []
    assert undone(brand, done).became["UNDONE"] == 20
    with brand_scope(brand.pk):
        assert Member.objects.filter(erased_at=None).count() == 0
        assert breaches() == []


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_import_each_row_once(brand, monkeypatch):
    monkeypatch.setattr(running, "AT_ONCE", 5)
    job = uploaded(brand, table(40))
    with brand_scope(brand.pk):
        services.start_import(job_id=job.pk, at=now())
    gate = threading.Barrier(2)

    def work():
        try:
            gate.wait(30)
            services.importing(brand_id=brand.pk, job_id=job.pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    services.importing(brand_id=brand.pk, job_id=job.pk)
    done = again(brand, job)
    assert (done.state, done.done, done.became) == ("DONE", 40, {"NEW": 40})
    with brand_scope(brand.pk):
        assert Member.objects.count() == 40
        assert breaches() == []


@pytest.mark.django_db
def test_what_lies_about_is_picked_up_and_old_files_go(brand, monkeypatch):
    rung = []
    monkeypatch.setattr(tasks, "ring", lambda task, *args: rung.append((task.name, args)))
    job = uploaded(brand, table(3))
    with brand_scope(brand.pk):
        services.start_import(job_id=job.pk, at=now())
        Import.objects.filter(pk=job.pk).update(touched_at=now() - 2 * tasks.QUIET)
    tasks.sweep.run()
    assert rung == [("imports.tasks.run_import", (brand.pk, job.pk))]
    services.importing(brand_id=brand.pk, job_id=job.pk)
    assert services.delete_old_files(brand.pk, at=now()) == 0
    with brand_scope(brand.pk):
        Import.objects.filter(pk=job.pk).update(delete_at=now())
    assert services.delete_old_files(brand.pk, at=now()) == 1
    gone = again(brand, job)
    assert gone.deleted_at is not None
    assert gone.became == {"NEW": 3}
    with brand_scope(brand.pk):
        assert not ImportRow.objects.exists()
        assert Member.objects.count() == 3
