"""Console pages by address: own rows, rows of another store, rows of another brand, rows that do not exist."""

import os
import re
from urllib.parse import unquote

from console.site import site
from tests.isolation import surfaces
from tests.isolation.asking import NO_ADDRESS
from tests.isolation.cells import FAULTS
from tests.isolation.world import CANARY, CANARY_C, OF_NO_BRAND, ROLES

# What an answer of 500 may be about while the guard is opened; the API tells nobody what it is about.
REFUSALS = ("NoBrandInScope", "BrandMismatch", "of the API")
MARKS = (CANARY, CANARY_C, "zaoshan", "yunqi")
BASE = "/b/lanyu/"
THOROUGH = "ZHIYIN_ISOLATION_PASS" in os.environ  # the runner; within the tests fewer people ask, by GET and POST
STAFF = [*ROLES, *OF_NO_BRAND] if THOROUGH else ["owner"]


def missing_like(key):
    """A key of the same length that no row has."""
    text = str(key)
    return int("9" + text[1:]) if len(text) > 1 and not text.startswith("9") else int("8" * len(text))


def alive(heard):
    """No fault of ours; with the Python guard opened PostgreSQL and the reader of reports refuse what names no brand."""
    if heard.status < 500:
        return True
    fault = heard.fault or "of the API"
    FAULTS[fault.partition(":")[0]] += 1
    return os.environ.get("ZHIYIN_ISOLATION_PASS") == "guard-open" and fault.startswith(REFUSALS)


def same(foreign, missing):
    """Whether two answers cannot be told apart: status, headers, body, number of queries."""
    return foreign == missing


def difference(foreign, missing):
    """What tells two answers apart."""
    if foreign.status != missing.status:
        return f"{foreign.status} instead of {missing.status}"
    if foreign.queries != missing.queries:
        return f"{foreign.queries} queries instead of {missing.queries}"
    if foreign.headers != missing.headers:
        return f"headers {foreign.headers} instead of {missing.headers}"
    for number, (one, other) in enumerate(zip(foreign.text, missing.text, strict=False)):
        if one != other:
            return f"…{foreign.text[max(0, number - 60) : number + 60]!r}"
    return f"{len(foreign.text)} characters instead of {len(missing.text)}"


def rows_behind(address, side):
    """The row each parameter of an address names on one side; None when a parameter is undeclared."""
    values = {}
    for parameter in address.parameters:
        if parameter in surfaces.WORDS:
            continue
        model = surfaces.model_named(address, parameter)
        if model is None:
            return None
        values[parameter] = side[model].pk
    return values


def words_of(address):
    return {name: surfaces.WORDS[name][0] for name in address.parameters if surfaces.WORDS.get(name)}


def addresses(matrix, cells, role, only=""):
    """Every address of a brand's console, each method, for one role."""
    world, asker = matrix.world, matrix.askers[role]
    for address, _view in surfaces.console():
        if "<content_type_id>" in address.pieces or only not in address.name:
            continue  # the shortcut: probes
        own = rows_behind(address, world.a.near)
        if own is None:
            cells.undeclare(address.name)
            continue
        if role in OF_NO_BRAND:
            ask_from_outside(cells, asker, role, address, own)
            continue
        if not own:
            for method in ("GET", "POST"):
                heard = asker.ask(method, BASE + address.path(**words_of(address)))
                shown = heard.names(*MARKS)
                cells.expect(not shown and alive(heard), role, method, address.name, saw=f"{heard.status} {shown}")
            continue
        ask_about_rows(cells, world, asker, role, address, own)


def ask_from_outside(cells, asker, role, address, own):
    """To whoever is of no brand the brand's addresses are like those of a brand that does not exist."""
    path = address.path(**own | words_of(address))
    for method in ("GET", "POST"):
        got, wanted = (asker.ask(method, f"/b/{slug}/{path}").without(slug) for slug in ("lanyu", "nobody"))
        fine = got == wanted and got.status == 404
        cells.expect(fine, role, method, address.name, "from outside", saw=f"{got.status} {difference(got, wanted)}")


def ask_about_rows(cells, world, asker, role, address, own):
    # the agency has the role of the marketer here, and a role of its own in C
    which, others = ("C", world.c) if role == "agency" else ("B", world.b)
    foreign = {which: rows_behind(address, others.near)}
    for method in surfaces.METHODS if THOROUGH and role == "owner" else ("GET", "POST"):
        for which, theirs in foreign.items():
            nowhere = {name: missing_like(key) for name, key in theirs.items()}
            wanted = asker.ask(method, BASE + address.path(**nowhere)).without(*nowhere.values())
            got = asker.ask(method, BASE + address.path(**theirs))
            shown, got = got.names(*MARKS), got.without(*theirs.values())
            cells.expect(
                same(got, wanted) and not shown and alive(got),
                role,
                method,
                address.name,
                f"row of {which}",
                saw=shown or difference(got, wanted),
            )
            if len(own) > 1:
                ask_about_mixed(cells, asker, role, method, address, own, theirs)
    heard = asker.ask("GET", BASE + address.path(**own))
    shown = heard.names(*MARKS)
    cells.expect(alive(heard) and not shown, role, "GET", address.name, "own", saw=f"{heard.status} {shown}")
    if role in {"manager", "guide"}:
        ask_about_other_store(cells, world, asker, role, address)


def ask_about_mixed(cells, asker, role, method, address, own, theirs):
    """An own parent with another brand's child, and the other way round."""
    for parameter in own:
        mixed = own | {parameter: theirs[parameter]}
        nowhere = own | {parameter: missing_like(theirs[parameter])}
        wanted = asker.ask(method, BASE + address.path(**nowhere)).without(nowhere[parameter])
        got = asker.ask(method, BASE + address.path(**mixed)).without(mixed[parameter])
        cells.expect(same(got, wanted), role, method, address.name, f"mixed {parameter}", saw=difference(got, wanted))


def ask_about_other_store(cells, world, asker, role, address):
    models = [surfaces.model_named(address, parameter) for parameter in address.parameters]
    everywhere = surfaces.BRAND_WIDE | (surfaces.SEEN_BY_GUIDES if role == "guide" else {})
    wide = [model._meta.label for model in models if model._meta.label in everywhere]
    if wide or any(model not in site._registry for model in models):
        cells.skip("rows of the whole brand: no store to be outside of")
        return
    other = rows_behind(address, world.a.far)
    nowhere = {name: missing_like(key) for name, key in other.items()}
    for method in ("GET", "POST"):
        wanted = asker.ask(method, BASE + address.path(**nowhere)).without(*nowhere.values())
        got = asker.ask(method, BASE + address.path(**other)).without(*other.values())
        cells.expect(same(got, wanted), role, method, address.name, "other store", saw=difference(got, wanted))


# What cannot be an id at all, as it stands in an address.
MALFORMED = ("xqzj", "-1", "0", "1.5", "%C2%B2", "%00", "9" * 40) if THOROUGH else ("xqzj", "9" * 40)


def compare_malformed(cells, ask, elsewhere, address, method, parameter, nowhere):
    """An id that cannot be one is answered like one that no row has, without more work.

    Where the pattern takes numbers alone, such an address is none: it is answered like any that nobody has thought of,
    and to everybody alike, though who may not see the page would hear so where there could be one.
    """
    name, wanted, nothing = f"{method} {address.name}", ask(nowhere), elsewhere()
    for value in MALFORMED:
        got = ask(value)
        shown = got.names(*MARKS)
        got_, wanted_, nothing_ = (each.without(unquote(value), value, nowhere) for each in (got, wanted, nothing))
        is_none = got.status == 404 and re.search(rf"<(int|uuid):{parameter}>", address.name)
        fine = alike(got_, wanted_) or (is_none and (got.text == NO_ADDRESS or alike(got_, nothing_)))
        cells.expect(
            alive(got) and not shown and fine, name, f"{parameter} {value[:12]}", saw=shown or difference(got_, wanted_)
        )
        cells.expect(got.queries <= wanted.queries, name, f"{parameter} {value[:12]}", "queries", saw=(got, wanted))


def alike(one, other):
    """Whether two answers are the same in all but the work they took."""
    return (one.status, one.headers, one.text) == (other.status, other.headers, other.text)


def malformed(matrix, cells, role):
    """Every parameter of every address of a brand's console, with ids that cannot be any."""
    world, asker = matrix.world, matrix.askers[role]
    for address, _view in surfaces.console():
        if "<content_type_id>" in address.pieces:
            continue
        own = rows_behind(address, world.a.near)
        for parameter in own or ():
            nowhere = missing_like(own[parameter])
            for method in ("GET", "POST"):

                def ask(value, address=address, own=own, parameter=parameter, method=method):
                    return asker.ask(method, BASE + address.path(**own | words_of(address) | {parameter: value}))

                def elsewhere(method=method):
                    return asker.ask(method, f"{BASE}nothing/like/this/")

                compare_malformed(cells, ask, elsewhere, address, method, parameter, nowhere)
