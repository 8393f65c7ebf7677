"""The register of the bad-input list: which rows are run, and where."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.isolation import surfaces
from tests.sources import load_yaml

ROOT = Path(__file__).parent.parent.parent
CORPUS = Path(__file__).parent / "corpus"
DATA = [ROOT / "tests/wechat_gateway/corpus/callbacks.yaml", ROOT / "tests/wechat_gateway/corpus/answers.yaml", CORPUS / "callbacks.yaml", CORPUS / "answers.yaml", CORPUS / "rest.yaml"]  # fmt: skip
COUNTS = {"CB": 84, "OB": 45, "RA": 58, "IM": 20, "EX": 6, "FU": 8, "SS": 15}


def register():
    return load_yaml((CORPUS / "rows.yaml").read_text())


def expected():
    return [f"{section}{number:02d}" for section, count in COUNTS.items() for number in range(1, count + 1)]


@cache
def in_data():
    return {row["id"] for path in DATA for row in load_yaml(path.read_text()) or []}


@cache
def tests_of(path):
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def is_run(name, where):
    """Whether a row is run where the register says, in one place or several."""
    if isinstance(where, list):
        return bool(where) and all(is_run(name, each) for each in where)
    if where == "corpus":
        return name in in_data()
    path, _, test = where.partition("::")
    return (ROOT / path).is_file() and test.startswith("test_") and test in tests_of(path)


def present(absent):
    """What of a surface is there although a row says that it is not: "url PATTERN", or "word FOLDER PATTERN"."""
    kind, _, what = absent.partition(" ")
    if kind == "url":
        return [address for address in addresses() if re.search(what, address)]
    assert kind == "word", absent
    folder, _, pattern = what.partition(" ")
    texts = sources() if folder == "." else {name: text for name, text in sources().items() if name.startswith(folder)}
    assert texts, f"nothing is called {folder}"
    return [name for name, text in texts.items() if re.search(pattern, text)]


@cache
def addresses():
    """Every address of the product."""
    outside = ["/" + "".join(address.pieces) for address, _view in surfaces.outside()]
    return outside + ["/b/<brand>/" + "".join(address.pieces) for address, _view in surfaces.console()]


@cache
def sources():
    """The product's own Python."""
    apps = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {
        "tests",
        "benchmarks",
        "wechat_simulator",
        "launcher",
    }
    return {
        str(path.relative_to(ROOT)): path.read_text()
        for app in sorted(apps)
        for path in sorted((ROOT / app).rglob("*.py"))
        if "migrations" not in path.parts
    }
