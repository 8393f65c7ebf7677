"""A's answers do not depend on whether a twin exists: the same requests, tasks and exports in a world with A alone and in
one with B and C. Of tasks what they leave behind is compared, row by row; of exports what is in the file.

Catches counts, orderings, suggestions, uniqueness errors and "next free numbers" as well as rows. B's ids lie below
A's and C's above, so whatever looks at "the first" or "the last" row of a table meets another brand's.
"""

import logging
import re
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import zip_longest
from urllib.parse import urlsplit

import pytest
from django.db import connection, transaction

from accounts.models import StaffUser
from accounts.tenancy import brand_scope
from common import clock
from common.spreadsheets import read_table
from imports.models import Export
from imports.services.exports import write_export
from tests.isolation import layers, surfaces
from tests.isolation import world as worlds
from tests.isolation.cells import Cells
from tests.isolation.conftest import askers_of, keep_files_in
from tests.isolation.matrix import forms, rest, working
from tests.isolation.matrix.console import BASE, MARKS, THOROUGH, rows_behind, words_of

AT = datetime(2026, 11, 20, 4, 0, tzinfo=UTC).timestamp()
ROLES = ("owner", "manager", "guide", "analyst") if THOROUGH else ("owner",)
LEAST = {"requests": 400, "console pages": 60, "tasks": 40, "exports": 20, "exports that name somebody": 20}
IDS = re.compile(r"((?<![0-9A-Za-z])|(?<=\bEX))[1-9]\d{6,7}(?![0-9A-Za-z])")
OLD: set[str] = set()  # ids of A's rows: the same in both worlds, so they stay in what is compared
pytestmark = pytest.mark.timeout(500)
MOMENTS = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+\d\d:?\d\d)?|\b\d\d:\d\d(:\d\d)?\b|\d+(\.\d)? s\b")
MARKS_LOW = [mark.lower() for mark in MARKS]
# What is sealed anew, what is drawn, how long something took.
SEALED = re.compile(r"\\+x[0-9a-f]{20,}|[0-9a-f]{32,}|[0-9a-f]{8}-[0-9a-f-]{27}|\d+\.\d{5,}(e-\d+)?|\d(\.\d+)?e-\d+")
TOKENS = re.compile(r'[A-Za-z0-9_-]{40,}(\.[A-Za-z0-9_-]+){0,2}|(?<=_key" value=")[0-9a-f]{8}(?=")')


@pytest.fixture
def frozen(db, monkeypatch, settings):
    monkeypatch.setattr(clock, "timestamp", lambda: AT)
    logging.disable(logging.CRITICAL)  # hundreds of refusals would only cost time
    settings.API_RATES = dict.fromkeys(settings.API_RATES, (10_000_000, 10_000_000.0))
    yield
    logging.disable(logging.NOTSET)


def told(text):
    """What was said without ids of rows it has made, random tokens and measured seconds."""
    text = MOMENTS.sub("<moment>", text)
    return TOKENS.sub("<token>", IDS.sub(lambda found: found[0] if found[0] in OLD else "<id>", text))


def know_ids_of(brand):
    """Whatever A has before anything is asked keeps its id in both worlds."""
    OLD.clear()
    with brand_scope(brand.pk):
        for model in worlds.brand_models():
            OLD.update(str(key) for key in model.objects.values_list("pk", flat=True))
    OLD.update(str(key) for key in StaffUser.objects.values_list("pk", flat=True))
    OLD.add(str(brand.pk))


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


def posts_of(world, askers):
    """Every form that the owner's pages hold, as it stands there: what a browser would send."""
    asked = set()
    for _address, path, heard in forms.pages_of(world, askers["owner"]):
        reader = forms.Reader()
        reader.feed(heard.text)
        for form in reader.forms:
            target = urlsplit(form["action"])._replace(query="").geturl() or path
            data = {name: each if len(each) > 1 else each[0] for name, each in form["fields"].items() if each}
            if target.startswith(BASE) and form["method"] == "POST" and (target, str(data)) not in asked:
                asked.add((target, str(data)))
                yield "owner", "POST", target, data


def replay(requests, askers):
    found = []
    for who, method, path, data in requests:
        heard = askers[who].ask(method, path, data)
        where = (who, method, path, str(data)[:200])
        found.append((where, heard.status, told(heard.text), heard.queries, heard.names(*MARKS)))
    return found


def rows_of(brand):
    """Every row of a brand as text, table by table."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.brand_id', %s, true)", [str(brand.pk)])
        for model in worlds.brand_models():
            cursor.execute(f'SELECT t::text FROM "{model._meta.db_table}" t WHERE brand_id = %s', [brand.pk])
            found[model._meta.label] = {row[0] for row in cursor.fetchall()}
        cursor.execute("SELECT set_config('app.brand_id', '', true)")
    return found


def changes(before, after):
    """What has come and what has gone, without what differs from run to run."""
    return [
        (label, sign, sorted(told(SEALED.sub("<sealed>", row)) for row in rows))
        for label in before
        for sign, rows in (("+", after[label] - before[label]), ("-", before[label] - after[label]))
        if rows
    ]


def run_tasks(world):
    """Every brand task for A, and what each would leave behind."""
    found, before, brand = [], rows_of(world.a.brand), world.a.brand
    for name, task in surfaces.tasks().items():
        parameters = working.parameters_of(task)
        if parameters[:1] != ["brand_id"]:
            continue
        for side in (world.a.near, world.a.far):
            args = [
                getattr(side[working.ARGUMENTS[each][0]], working.ARGUMENTS[each][1]) if working.ARGUMENTS[each] else 0
                for each in parameters[1:]
            ]
            left = []
            said = working.outcome(
                lambda args=args, task=task: task.run(brand.pk, *args),
                lambda left=left: left.append(changes(before, rows_of(brand))),
            )
            found.append(((name, str(args)), told(said), left))
    return found


def exports_of(world):
    """Who takes which list out."""
    near, far = world.a.near[worlds.Segment].pk, world.a.far[worlds.Segment].pk
    for file_format in ("CSV", "XLSX"):
        for segment in (None, near, far):
            for search in ("", "6721", "陈子涵"):
                yield "key full", {"file_format": file_format, "segment": segment, "search": search}
        for who in ("owner", "marketer", "manager"):
            yield who, {"file_format": file_format, "segment": "", "search": ""}


def run_exports(world, askers):
    """Each list that is taken out, as its rows."""
    found, brand = [], world.a.brand
    for who, wanted in exports_of(world):
        with transaction.atomic():
            asker, system = askers[who], who.startswith("key")
            given = {name: value for name, value in wanted.items() if value} if system else wanted
            if system:
                given["format"] = given.pop("file_format")
            heard = asker.ask("POST", "/api/v1/exports/" if system else f"{BASE}exports/", given, keep=True)
            with brand_scope(brand.pk):
                row = Export.objects.order_by("-pk").first()
            write_export(brand_id=brand.pk, export_id=row.pk)
            path = f"/api/v1/exports/{row.public_id}/file/" if system else f"{BASE}exports/{row.pk}/file/"
            file = asker.ask("GET", path, keep=True)
            body = asker.last.getvalue()
            rows = []
            if file.status == 200:
                rows = read_table(body) if wanted["file_format"] == "XLSX" else body.decode("utf-8-sig").splitlines()
            name = told(asker.last.headers.get("Content-Disposition", ""))
            found.append(((who, str(wanted)), (heard.status, file.status, name), [told(str(each)) for each in rows]))
            transaction.set_rollback(True)
    return found


def test_answers_of_a_do_not_change_when_a_twin_appears(frozen, settings, tmp_path):
    cells = Cells("two worlds")
    with ExitStack() as stack, connection.cursor() as cursor:
        layers.spread_sequences(5_000_000)
        world = worlds.World(worlds.make_a())
        worlds.draft_of(world.a)
        worlds.staff_of(world)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        askers = askers_of(world)
        know_ids_of(world.a.brand)
        keep_files_in(settings, tmp_path / "alone")  # what is kept in files is not undone
        requests = [*requests_of(world), *posts_of(world, askers)]
        alone, alone_tasks, alone_exports = replay(requests, askers), run_tasks(world), run_exports(world, askers)
        with transaction.atomic():
            layers.spread_sequences(2_000_000)
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")  # the legs of a journal are written one by one
            world.b = worlds.make_b()
            layers.spread_sequences(8_000_000)
            world.c = worlds.make_c()
            worlds.draft_of(world.b)
            keep_files_in(settings, tmp_path / "beside")
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            beside, beside_tasks, beside_exports = (
                replay(requests, askers),
                run_tasks(world),
                run_exports(world, askers),
            )
            transaction.set_rollback(True)
        # What a process looks up only once (content types, say) was looked up in the first world: ask those again.
        again = [number for number, pair in enumerate(zip(alone, beside, strict=True)) if pair[0] != pair[1]]
        for number, heard in zip(again, replay([requests[each] for each in again], askers), strict=True):
            alone[number] = heard
        stack.callback(transaction.set_rollback, True)
    for one, other in zip(alone, beside, strict=True):
        where, status, text, queries, _marks = one
        cells.expect(not other[4], *where, "canary", saw=other[4])
        cells.expect((other[1], other[2]) == (status, text), *where, "answer", saw=unlike(one, other))
        cells.expect(other[3] == queries, *where, "queries", saw=f"{other[3]} instead of {queries}")
    for one, other in zip(alone_tasks, beside_tasks, strict=True):
        cells.expect(one[:2] == other[:2], *one[0], "task", saw=(one[1], other[1]))
        cells.expect(one[2] == other[2], *one[0], "what a task leaves", saw=first_unlike(one[2], other[2]))
    for one, other in zip(alone_exports, beside_exports, strict=True):
        cells.expect(one[1] == other[1] and one[1][1] == 200, *one[0], "export", saw=(one[1], other[1]))
        cells.expect(one[2] == other[2], *one[0], "rows", saw=first_unlike(one[2], other[2]))
        cells.expect(not any(mark in str(other[2]).lower() for mark in MARKS_LOW), *one[0], "canary")
    played = {
        "requests": len(alone),
        "console pages": len({where[2] for where, *_ in alone if where[1] == "GET" and where[2].startswith(BASE)}),
        "forms that were taken": sum(where[1] == "POST" and status in {200, 201, 302} for where, status, *_ in alone),
        "tasks": len(alone_tasks),
        "tasks that left something": sum(any(each) for _name, _said, each in alone_tasks),
        "exports": len(alone_exports),
        "exports that name somebody": sum(len(rows) > 1 for *_, rows in alone_exports),
    }
    for what, least in LEAST.items():
        cells.expect(played[what] >= least or not THOROUGH, what, "as many as promised", saw=played[what])
    cells.facts |= played
    cells.close()


def first_unlike(one, other):
    """The first difference of two lists, each side in short."""
    for left, right in zip_longest(one, other):
        if left != right:
            at = next((n for n, pair in enumerate(zip_longest(str(left), str(right))) if pair[0] != pair[1]), 0)
            return [str(each)[max(0, at - 60) : at + 80] for each in (left, right)]
    return ""


def unlike(one, other):
    if one[1] != other[1]:
        return f"{other[1]} instead of {one[1]}"
    for number, (left, right) in enumerate(zip(one[2], other[2], strict=False)):
        if left != right:
            return (
                f"{one[2][max(0, number - 50) : number + 40]!r} became {other[2][max(0, number - 50) : number + 40]!r}"
            )
    return "length"
