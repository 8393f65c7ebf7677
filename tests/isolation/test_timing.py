"""Nor does the time tell: another brand's id takes as long as one that no row has (T9, measured like S6).

Run by `python -m tests.isolation` alone: times of a machine that runs other tests prove nothing. Foreign and missing ids
take turns by chance, so that whatever slows the machine slows both.
"""

import gc
import random
import statistics
import time

import pytest

from accounts.tenancy import every_brand
from members.models import Member
from tests.hostile.measured import MOST_MICROSECONDS, MOST_T, tells_apart, trimmed, welch
from tests.isolation import surfaces
from tests.isolation.cells import Cells
from tests.isolation.matrix.console import BASE, missing_like, rows_behind, words_of
from tests.isolation.matrix.rest import filled, keys_of, like, rows

PAIRS = 60
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def draw():
    """Chance, and no collection of garbage in the middle of somebody's time."""
    gc.collect()
    gc.disable()
    yield random.Random(9)
    gc.enable()


def questions(matrix):
    """Name, who asks, and two requests: one about a row of B, one about none."""
    world = matrix.world
    for address, _view in surfaces.console():
        own = rows_behind(address, world.a.near)
        if not own or "<content_type_id>" in address.pieces:
            continue
        theirs = rows_behind(address, world.b.near)
        nowhere = {name: missing_like(key) for name, key in theirs.items()}
        pair = [(BASE + address.path(**each | words_of(address)), None) for each in (theirs, nowhere)]
        yield address.name, matrix.askers["owner"], pair
    for address, _view in surfaces.outside():
        theirs = keys_of(address, world.b.far) if address.name.startswith("api/") else None
        if theirs:
            nobody = {name: like(key) for name, key in theirs.items()}
            yield (
                address.name,
                matrix.askers["key full"],
                [(f"/{address.path(**each)}", None) for each in (theirs, nobody)],
            )
    for name, (caller, method, path, template, theirs, nobody) in rows(world).items():
        if method == "GET":
            pair = [(f"/api/v1/{path}", filled(template, each)) for each in (theirs, nobody)]
            yield name, matrix.askers[caller], pair


def times_of(asker, pair, draw, pairs=PAIRS, more=lambda: None):
    """Microseconds of the foreign and of the missing one; `more` is done with each foreign one."""
    found = ([], [])
    for _ in range(pairs):
        for which in draw.sample((0, 1), 2):
            path, query = pair[which]
            began = time.perf_counter_ns()
            asker.ask("GET", path, query)
            if which == 0:
                more()
            found[which].append((time.perf_counter_ns() - began) / 1000)
    return found


def judge(times):
    """As S6 judges two classes: (|t|, microseconds)."""
    t, difference = welch(*(trimmed(each) for each in times))
    return abs(t), abs(difference), ""


def test_another_brands_id_takes_as_long_as_none(matrix, draw):
    cells, together, worst = Cells("time of foreign and missing ids"), ([], []), []
    for name, asker, pair in questions(matrix):
        for path, query in pair:
            asker.ask("GET", path, query)  # what is only ever done first
        times = times_of(asker, pair, draw)
        found = judge(times)
        worst.append((*found[:2], name))
        cells.expect(not tells_apart(found), name, saw=found)
        middle = statistics.fmean(trimmed(times[0] + times[1]))
        for kept, values in zip(together, times, strict=True):
            kept.extend(value - middle for value in values)
    found = judge(together)
    cells.expect(not tells_apart(found), "all of them together", saw=found)
    t, difference, name = max(worst, key=lambda each: min(each[0] / MOST_T, each[1] / MOST_MICROSECONDS))
    cells.facts |= {
        "surfaces": len(worst),
        "timings of a class": len(together[0]),
        "together": f"t {found[0]:.1f}, {found[1]:.0f} µs",
        "nearest to the bar": f"{name}: t {t:.1f}, {difference:.0f} µs",
    }
    cells.close()


def test_a_look_before_the_check_would_be_seen(matrix, draw):
    """Whoever looks the row up in every brand and refuses afterwards is seen: the harness can fail."""
    cells, together = Cells("time · the harness sees one more look"), ([], [])

    def look():
        with every_brand(reason="what a careless view would do"):
            list(Member.objects.filter(member_no="1")[:1])

    for _name, asker, pair in [each for each in questions(matrix) if each[0].startswith("api/")][:3]:
        times = times_of(asker, pair, draw, pairs=200, more=look)
        middle = statistics.fmean(times[1])
        for kept, values in zip(together, times, strict=True):
            kept.extend(value - middle for value in values)
    found = judge(together)
    cells.expect(tells_apart(found), "a further look", saw=found)
    cells.facts["one more look"] = f"t {found[0]:.1f}, {found[1]:.0f} µs"
    cells.close()
