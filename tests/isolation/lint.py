"""Finds what looks brand rows up before a brand is known, or past the guard: an AST rule for our own code.

A finding can be allowed in its line by `# brand: <reason>`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ALLOWED = re.compile(r"#\s*brand: \S+")
MANAGERS = {"objects", "_base_manager", "_default_manager"}
CACHES = {"lru_cache", "cache", "cached_property"}
# Caches that hold nothing of a brand, or are keyed by it: what they keep.
HOLD_NO_ROWS = {
    "accounts/sealing.py:_master_keys": "the installation's master keys",
    "accounts/sealing.py:_derived": "keys, by the wrapped key of a brand they come from",
    "accounts/tenancy.py:_brand_tables": "names of tables",
    "accounts/rest/throttling.py:buckets": "a connection to Redis",
    "config/metrics.py:_broker": "a connection to Redis",
    "config/health.py:_client": "a connection to Redis",
    "config/health.py:_wanted": "names of migrations",
}


def findings(source: str, name: str) -> Iterator[tuple[int, str]]:
    """Line and what is wrong with it."""
    lines = source.splitlines()
    for line, what in _all(ast.parse(source), name):
        if not ALLOWED.search(lines[line - 1]):
            yield line, what


# Messages that start further messages: which brand those are of would hang on what carries them.
CANVAS = {"chain", "chord", "chunks", "group", "signature", "starmap", "subtask", "xmap"}


def _all(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    for node in _at_import(tree):
        if _is_query(node):
            yield node.lineno, "a query while the module is imported"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _function(node, name)
        elif isinstance(node, ast.Call):
            yield from _call(node)
        elif isinstance(node, ast.Attribute) and node.attr == "_base_manager":
            yield node.lineno, "_base_manager"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "celery":
            yield from ((node.lineno, f"celery's {each.name}") for each in node.names if each.name in CANVAS)


def _at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run on import: not the bodies of functions, but their defaults and decorators."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            outside = [*child.args.defaults, *(each for each in child.args.kw_defaults if each)]
            for each in [*outside, *getattr(child, "decorator_list", [])]:
                yield each
                yield from _at_import(each)
            continue
        yield child
        yield from _at_import(child)


def _is_query(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and any(
        isinstance(each, ast.Attribute) and each.attr in MANAGERS for each in ast.walk(node.func)
    )


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Iterator[tuple[int, str]]:
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        found = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if found in CACHES and f"{name}:{node.name}" not in HOLD_NO_ROWS:
            yield node.lineno, f"{found} on {node.name}: a cache outlives the brand"


def _call(node: ast.Call) -> Iterator[tuple[int, str]]:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called in {"ModelChoiceField", "ModelMultipleChoiceField"}:
        for keyword in node.keywords:
            if keyword.arg == "queryset" and not (
                isinstance(keyword.value, ast.Constant) and keyword.value.value is None
            ):
                yield node.lineno, f"{called}(queryset=…)"
    if called in {"s", "si", "subtask"} and isinstance(node.func, ast.Attribute):
        yield node.lineno, f"a call of a task put by: .{called}("
    if called in {"apply_async", "send_task"}:
        linked = [each.arg for each in node.keywords if each.arg in {"link", "link_error", "chain", "chord"}]
        yield from ((node.lineno, f"{called} with {each}=") for each in linked)
    if called == "using" and isinstance(node.func, ast.Attribute):
        yield node.lineno, ".using("
    if called in {"RawSQL", "raw", "extra", "_raw_delete"} and isinstance(node.func, ast.Attribute | ast.Name):
        yield node.lineno, called


def module_caches(source: str) -> Iterator[tuple[int, str]]:
    """Module-level dictionaries and lists that functions fill: memory that is shared by all brands of a process."""
    tree = ast.parse(source)
    empty = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and (
            (isinstance(value, ast.Dict) and not value.keys)
            or (isinstance(value, ast.List | ast.Set) and not value.elts)
            or (isinstance(value, ast.Call) and getattr(value.func, "id", "") in {"dict", "list", "set", "OrderedDict"})
        ):
            empty[target.id] = node.lineno
    filled = {
        each.value.id
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for each in ast.walk(function)
        if isinstance(each, ast.Subscript) and isinstance(each.ctx, ast.Store) and isinstance(each.value, ast.Name)
    }
    for name in sorted(filled & set(empty)):
        yield empty[name], f"the module-level {name} is filled at run time"


def files(base: Path, folders: list[Path]) -> Iterator[tuple[str, str]]:
    """Our own modules: name and source."""
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            if "migrations" not in path.parts:
                yield path.relative_to(base).as_posix(), path.read_text(encoding="utf-8")
