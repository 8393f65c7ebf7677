"""No test may meet what an earlier one made the process remember: every module's own memory can be forgotten."""

import ast
import importlib
from pathlib import Path

from tests.memory import FORGET

ROOT = Path(__file__).resolve().parent.parent
EMPTY = {"dict", "list", "set", "OrderedDict", "Counter", "defaultdict", "deque"}
PRODUCT = [
    path
    for path in sorted(ROOT.glob("*/**/*.py"))
    if path.relative_to(ROOT).parts[0]
    not in {".venv", ".venv-peers", "var", "tests", "benchmarks", "scripts", "launcher", "wechat_simulator", "demo"}
    and "migrations" not in path.parts
]
PLANTED = "of an earlier test"
# Filled while the process starts, or with what cannot differ between two tests.
STAYS = {
    ("config.health", "_known"): "which migrations the database has had: only ever more",
    ("wechat_gateway.checks", "_checks"): "registered when the apps are ready",
    ("wechat_gateway.errcodes", "_TABLE"): "read from a file of the project",
    ("wechat_gateway.registries", "_handlers"): "registered when the apps are ready",
    ("wechat_gateway.registries", "_repliers"): "registered when the apps are ready",
    ("wechat_gateway.registries", "_ordered"): "an order of what was registered",
}


def memories():
    """Every module's empty container that is filled later: (module, name)."""
    found = []
    for path in PRODUCT:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            value, target = node.value, node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            name = value.func if isinstance(value, ast.Call) else None
            called = getattr(name, "id", getattr(name, "attr", None))
            is_empty = (
                isinstance(value, ast.Dict | ast.List)
                and not (value.keys if isinstance(value, ast.Dict) else value.elts)
            ) or (called in EMPTY and not value.args)
            if is_empty and isinstance(target, ast.Name) and target.id.startswith("_"):
                found.append((module, target.id))
    return found


def test_all_that_a_module_remembers_is_forgotten_before_a_test():
    found = memories()
    assert ("wechat_gateway.quotas", "_limits") in found
    kept = []
    for module, name in found:
        if (module, name) in STAYS:
            continue
        memory = getattr(importlib.import_module(module), name)
        memory[PLANTED] = object()
        kept.append((module, name, memory))
    for forget in FORGET:
        forget()
    still = [(module, name) for module, name, memory in kept if memory.pop(PLANTED, None)]
    assert still == []


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
