"""The register of the bad-input list: which rows are run, and where."""

import ast
from functools import cache
from pathlib import Path

from tests.sources import load_yaml

ROOT = Path(__file__).parent.parent.parent
CORPUS = Path(__file__).parent / "corpus"
DATA = [ROOT / "tests/wechat_gateway/corpus/callbacks.yaml", ROOT / "tests/wechat_gateway/corpus/answers.yaml", CORPUS / "callbacks.yaml", CORPUS / "answers.yaml"]  # fmt: skip
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
    if where == "corpus":
        return name in in_data()
    path, _, test = where.partition("::")
    return (ROOT / path).is_file() and test.startswith("test_") and test in tests_of(path)
