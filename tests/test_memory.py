"""No test may meet what an earlier one made the process remember: every module's own memory can be forgotten."""

import ast
import importlib
from operator import attrgetter

from tests.memory import FORGET
from tests.sources import ROOT, python_files

EMPTY = {"dict", "list", "set", "OrderedDict", "Counter", "defaultdict", "deque"}
PRODUCT = [
    path
    for path in python_files(but=("tests", "benchmarks", "scripts", "launcher", "wechat_simulator", "demo"))
    if "migrations" not in path.parts
]
PLANTED = "of an earlier test"
# Filled while the process starts, or with what cannot differ between two tests.
STAYS = {
    **{("config.patience", name): "connections of the process that serves" for name in ("_waiting", "_looks")},
    ("config.health", "_known"): "which migrations the database has had: only ever more",
    **{
        (
            "wechat_gateway.asgi",
            f"application.{name}",
        ): "of the process that serves; every test has a gateway of its own"
        for name in ("counters", "_failures", "_known_hosts")
    },
    ("wechat_gateway.checks", "_checks"): "registered when the apps are ready",
    ("wechat_gateway.errcodes", "_TABLE"): "read from a file of the project",
    ("wechat_gateway.registries", "_handlers"): "registered when the apps are ready",
    ("wechat_gateway.registries", "_preparations"): "registered when the apps are ready",
    ("wechat_gateway.registries", "_repliers"): "registered when the apps are ready",
    ("wechat_gateway.registries", "_ordered"): "an order of what was registered",
    ("wechat_gateway.tokens", "_flights"): "of threads that wait for a token: gone when the one that asks has it",
}


def assigned(statements):
    """What is assigned there, as (target, value)."""
    for node in statements:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            yield node.target if isinstance(node, ast.AnnAssign) else node.targets[0], node.value


def called(value):
    function = value.func if isinstance(value, ast.Call) else None
    return getattr(function, "id", getattr(function, "attr", None))


def is_empty(value):
    if isinstance(value, ast.Dict | ast.List):
        return not (value.keys if isinstance(value, ast.Dict) else value.elts)
    return called(value) in EMPTY and not value.args


def memories():
    """Every empty container that is filled later, of a module or of an object that a module holds: (module, name)."""
    found = []
    for path in PRODUCT:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        body = ast.parse(path.read_text()).body
        holds = {}
        for each in body:
            if isinstance(each, ast.ClassDef):
                inits = [part.body for part in each.body if getattr(part, "name", "") == "__init__"]
                pairs = [pair for init in inits for pair in assigned(init)]
                holds[each.name] = [
                    target.attr for target, value in pairs if hasattr(target, "attr") and is_empty(value)
                ]
        for target, value in assigned(body):
            if isinstance(target, ast.Name):
                if is_empty(value) and target.id.startswith("_"):
                    found.append((module, target.id))
                found += [(module, f"{target.id}.{name}") for name in holds.get(called(value), ())]
    return found


def test_all_that_a_module_remembers_is_forgotten_before_a_test():
    found = memories()
    assert ("wechat_gateway.quotas", "_limits") in found
    assert ("conversations.inbound", "just_said._said") in found
    kept = []
    for module, name in found:
        if (module, name) in STAYS:
            continue
        attrgetter(name)(importlib.import_module(module))[PLANTED] = object()
        kept.append((module, name))
    for forget in FORGET:
        forget()
    still = [
        (module, name) for module, name in kept if attrgetter(name)(importlib.import_module(module)).pop(PLANTED, None)
    ]
    assert still == []


def test_how_time_followed_an_earlier_tests_simulator_is_forgotten(settings, monkeypatch):
    from common import clock

    monkeypatch.setattr(clock._follower, "_mapping", clock.Mapping(0.0, 0.0, 0.0))
    monkeypatch.setattr(clock._follower, "_checked", float("inf"))
    settings.CLOCK_URL = "http://127.0.0.1:9/_sim/clock"
    assert clock.now().year == 1970
    for forget in FORGET:
        forget()
    assert clock.now().year > 2024


def test_what_an_earlier_test_turned_at_the_simulator_is_put_back(simulator):
    before = simulator.get("/_sim/switches")
    began = simulator.get("/_sim/clock")["now"]
    simulator.post("/_sim/clock", advance=4 * 86_400, pause=True)
    simulator.post("/_sim/switches", permanent_media=0)
    simulator.fault(kind="latency", ms=1)
    assert simulator.get("/_sim/switches") != before
    simulator.put_back()
    clock = simulator.get("/_sim/clock")
    assert (clock["rate"], clock["now"] <= began + 60) == (1, True)
    assert simulator.get("/_sim/switches") == before
    assert simulator.get("/_sim/faults")["faults"] == []


def test_limits_of_an_earlier_test_are_read_again(db):
    """A limit stored for one test held for the next minute, and campaigns of other tests ran into it."""
    from datetime import UTC, datetime

    from wechat_gateway import quotas
    from wechat_gateway.models import QuotaLimit

    at = datetime(2025, 6, 2, 9, 0, tzinfo=UTC)
    path = "/cgi-bin/message/template/send"
    before = quotas.limit_of(path, at)
    QuotaLimit.objects.create(api=path, window="DAY", limit=12, valid_from=at.date())
    assert quotas.limit_of(path, at) == before
    for forget in FORGET:
        forget()
    assert quotas.limit_of(path, at) == 12
