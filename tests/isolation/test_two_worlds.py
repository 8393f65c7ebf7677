"""A's answers do not depend on whether a twin exists: the same requests in a world with A alone and in one with B and C.

Catches counts, orderings, suggestions, uniqueness errors and "next free numbers" as well as rows. B's ids lie below
A's and C's above, so whatever looks at "the first" or "the last" row of a table meets another brand's.
"""

import logging
import re
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction

from common import clock
from tests.isolation import layers, surfaces
from tests.isolation import world as worlds
from tests.isolation.cells import Cells
from tests.isolation.conftest import askers_of
from tests.isolation.matrix import rest, working
from tests.isolation.matrix.console import BASE, MARKS, THOROUGH, rows_behind, words_of

AT = datetime(2026, 11, 20, 4, 0, tzinfo=UTC).timestamp()
ROLES = ("owner", "manager", "guide", "analyst") if THOROUGH else ("owner",)
NEW_IDS = re.compile(r"(?<![0-9A-Za-z])[1-9]\d{6}(?![0-9A-Za-z])")
pytestmark = pytest.mark.timeout(500)
MOMENTS = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+\d\d:?\d\d)?|\b\d\d:\d\d(:\d\d)?\b|\d+(\.\d)? s\b")
TOKENS = re.compile(r'[A-Za-z0-9_-]{40,}(\.[A-Za-z0-9_-]+){0,2}|(?<=_key" value=")[0-9a-f]{8}(?=")')


@pytest.fixture
def frozen(db, monkeypatch, settings):
    monkeypatch.setattr(clock, "timestamp", lambda: AT)
    logging.disable(logging.CRITICAL)  # hundreds of refusals would only cost time
    settings.API_RATES = dict.fromkeys(settings.API_RATES, (10_000_000, 10_000_000.0))
    yield
    logging.disable(logging.NOTSET)


def told(heard):
    """An answer without ids of rows it has made, random tokens and measured seconds."""
    text = MOMENTS.sub("<moment>", heard.text)
    return TOKENS.sub("<token>", NEW_IDS.sub("<id>", text))


def requests_of(world):
    """The console's pages by GET and its forms by POST, and the REST API: as A, with A's ids."""
    a = world.a
    for address, _view in surfaces.console():
        if "<content_type_id>" in address.pieces:
            continue
        for side in (a.near, a.far) if THOROUGH else (a.near,):
            values = rows_behind(address, side) or {}
            path = BASE + address.path(**values, **words_of(address))
            yield from ((role, "GET", path, None) for role in ROLES)
            if side is a.near or values:
                yield "owner", "POST", path, {"name": "新的名字", "act": "pause", "text": "x", "rule": '{"all": []}'}
    for path in (
        "members/member/?q=6721",
        "members/member/?q=陈子涵",
        f"members/member/?q={a.near[worlds.Member].member_no}",
        f"members/member/?tag={a.near[worlds.Tag].pk}",
        f"members/member/?store={a.near[worlds.Store].pk}",
        "members/follower/?following=yes",
        "search/?s=6721",
        "search/?s=新客",
        "search/?s=SH001",
        "segments/choices/tags/?q=新客",
        "segments/choices/stores/?q=SH",
        "conversations/replyrule/?try=几点",
    ):
        yield from ((role, "GET", BASE + path, None) for role in ROLES)
    yield from creations(a)
    for address, _view in surfaces.outside():
        if address.name.startswith("api/v1/"):
            for caller in ("key full", "member"):
                yield caller, "GET", "/" + address.path(**rest.keys_of(address, a.near)), None
    for path, query in (
        ("members/", {"tag": a.near[worlds.Tag].name}),
        ("members/", {"phone": "13800138000"}),
        ("members/", {"page_size": "5"}),
        ("stores/nearby/", {"lat": "31.22", "lng": "121.44"}),
        ("stores/", {"city": "上海"}),
    ):
        yield "key full", "GET", f"/api/v1/{path}", query
    person = f"/api/v1/members/{a.near[worlds.Member].member_no}/tags/"
    yield "key full", "POST", person, {"add": [a.near[worlds.Tag].name, "从未有过"]}
    yield "key full", "POST", "/api/v1/segments/preview/", {"rule": {"all": []}}
    yield "member", "PATCH", "/api/v1/me/", {"name": "新名字", "city": "上海"}
    yield "member", "POST", "/api/v1/me/consents/", {"purpose": "MARKETING", "granted": False}


def creations(a):
    """New rows with keys that only the twin has, or that its far side has: free in A."""
    tree = f"{BASE}{{}}/add/"
    yield "owner", "POST", tree.format("members/tag"), {"name": "新客0002ZQXCANARY", "group": "", "meaning": ""}
    yield "owner", "POST", tree.format("members/tag"), {"name": a.near[worlds.Tag].name, "group": "", "meaning": ""}
    yield "owner", "POST", tree.format("stores/region"), {"name": "华东0002ZQX"}
    yield "owner", "POST", f"{BASE}campaigns/new/", {"name": "新活动", "purpose": "SERVICE"}
    yield (
        "owner",
        "POST",
        f"{BASE}segments/new/",
        {"name": "新人群", "r.kind": "all", "rule": '{"all": []}'},
    )


def replay(world, askers, only=None):
    found = []
    for number, (who, method, path, data) in enumerate(requests_of(world)):
        if only is not None and number not in only:
            continue
        heard = askers[who].ask(method, path, data)
        found.append(((who, method, path, str(data)), heard.status, told(heard), heard.queries, heard.names(*MARKS)))
    return found


def run_tasks(world):
    """Every brand task for A, and what each would leave behind."""
    found = []
    for name, task in surfaces.tasks().items():
        parameters = working.parameters_of(task)
        if parameters[:1] == ["brand_id"]:
            for side in (world.a.near, world.a.far):
                args = [
                    getattr(side[working.ARGUMENTS[each][0]], working.ARGUMENTS[each][1])
                    if working.ARGUMENTS[each]
                    else 0
                    for each in parameters[1:]
                ]

                def work(args=args, task=task):
                    task.run(world.a.brand.pk, *args)
                    return {
                        label: count for label, (count, _digest) in worlds.everything_of(world.a.brand).items()
                    }  # times of the rows differ

                found.append(((name, str(args)), working.outcome(work)))
    return found


def test_answers_of_a_do_not_change_when_a_twin_appears(frozen):
    cells = Cells("two worlds")
    with ExitStack() as stack, connection.cursor() as cursor:
        layers.spread_sequences(5_000_000)
        world = worlds.World(worlds.make_a())
        worlds.draft_of(world.a)
        worlds.staff_of(world)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        askers = askers_of(world)
        alone, alone_tasks = replay(world, askers), run_tasks(world)
        with transaction.atomic():
            layers.spread_sequences(2_000_000)
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")  # the legs of a journal are written one by one
            world.b = worlds.make_b()
            layers.spread_sequences(8_000_000)
            world.c = worlds.make_c()
            worlds.draft_of(world.b)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            beside, beside_tasks = replay(world, askers), run_tasks(world)
            transaction.set_rollback(True)
        # What a process looks up only once (content types, say) was looked up in the first world: ask those again.
        again = [number for number, pair in enumerate(zip(alone, beside, strict=True)) if pair[0] != pair[1]]
        for number, heard in zip(again, replay(world, askers, set(again)), strict=True):
            alone[number] = heard
        stack.callback(transaction.set_rollback, True)
    for one, other in zip(alone, beside, strict=True):
        where, status, text, queries, _marks = one
        cells.expect(not other[4], *where, "canary", saw=other[4])
        cells.expect((other[1], other[2]) == (status, text), *where, "answer", saw=unlike(one, other))
        cells.expect(other[3] == queries, *where, "queries", saw=f"{other[3]} instead of {queries}")
    for one, other in zip(alone_tasks, beside_tasks, strict=True):
        cells.expect(one == other, *one[0], "task", saw=(one[1], other[1]))
    cells.facts |= {"requests": len(alone), "tasks": len(alone_tasks)}
    cells.close()


def unlike(one, other):
    if one[1] != other[1]:
        return f"{other[1]} instead of {one[1]}"
    for number, (left, right) in enumerate(zip(one[2], other[2], strict=False)):
        if left != right:
            return (
                f"{one[2][max(0, number - 50) : number + 40]!r} became {other[2][max(0, number - 50) : number + 40]!r}"
            )
    return "length"
