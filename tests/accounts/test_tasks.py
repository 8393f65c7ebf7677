"""The one way to define and to ring a task."""

import pytest
import structlog
from django.db import transaction
from kombu.exceptions import OperationalError

from accounts.tasks_base import brand_task, global_task, ring


def test_a_task_without_a_brand_first_is_refused():
    with pytest.raises(TypeError, match="first argument"):

        @brand_task(name="tests.no_brand")
        def no_brand(campaign_id):
            """Never registered."""


def test_a_brand_that_is_none_is_refused_before_the_body():
    ran = []

    @brand_task(name="tests.needs_brand")
    def needs_brand(brand_id):
        ran.append(brand_id)

    with pytest.raises(TypeError, match="needs a brand"):
        needs_brand(None)
    assert ran == []


def test_unknown_keywords_are_dropped_and_logs_know_the_brand():
    seen = {}
    structlog.contextvars.clear_contextvars()

    @brand_task(name="tests.tolerant")
    def tolerant(brand_id, *, size=1):
        seen.update(structlog.contextvars.get_contextvars(), size=size)

    tolerant(7, size=2, invented_tomorrow=True)

    assert seen == {"brand": 7, "task": tolerant.__wrapped__.__qualname__, "size": 2}
    assert structlog.contextvars.get_contextvars() == {}


def test_ringing_waits_for_the_commit(db, django_capture_on_commit_callbacks):
    class Bell:
        name = "tests.bell"
        rung = []

        def apply_async(self, args, kwargs, **options):
            self.rung.append((args, kwargs))

    with django_capture_on_commit_callbacks(execute=True):
        ring(Bell(), 1, lane=2)
        assert Bell.rung == []

    assert Bell.rung == [((1,), {"lane": 2})]


def test_a_broker_that_is_away_is_no_error(db, django_capture_on_commit_callbacks, caplog):
    class Silent:
        name = "tests.silent"

        def apply_async(self, args, kwargs, **options):
            raise OperationalError("connection refused")

    with django_capture_on_commit_callbacks(execute=True):
        ring(Silent(), 1)

    assert "could not ring tests.silent" in caplog.text


def test_a_sweeper_takes_no_arguments():
    ran = []

    @global_task(name="tests.sweeper")
    def sweeper():
        ran.append(1)

    sweeper(invented_tomorrow=True)

    assert ran == [1]


def test_one_transaction_rings_once_for_the_same_even_when_a_part_of_it_is_undone(
    db, django_capture_on_commit_callbacks
):
    class Bell:
        name = "tests.bell"
        rung = []

        def apply_async(self, args, kwargs, **options):
            self.rung.append(args)

    bell = Bell()
    with django_capture_on_commit_callbacks(execute=True):
        with pytest.raises(ValueError, match="undone"), transaction.atomic():
            ring(bell, 1)
            raise ValueError("undone")
        for brand_id in (1, 2, 1, 1):
            ring(bell, brand_id)

    assert Bell.rung == [(1,), (2,)]
