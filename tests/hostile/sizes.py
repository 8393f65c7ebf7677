"""How much of each kind is tried: a little in every run of the tests, much by `python -m tests.hostile`."""

import json
import os
from pathlib import Path

# name: (in every run of the tests, by `make hostile`, what it counts)
SIZES = {
    "mutants": (1_000, 20_000, "mutants of right requests (S1)"),
    "inputs": (2_500, 50_000, "inputs to the callback path, half of them authentic (S5)"),
    "texts": (1_000, 10_000, "reply texts there and back (S7)"),
    "faults": (5, 15, "faults of WeChat, each with three calls that carry secrets (S8)"),
    "cases": (500, 3_000, "requests to the REST API, about (A6)"),
    "timings": (0, 20_000, "timings per kind of refusal (S6)"),
}
FIGURES = "ZHIYIN_HOSTILE_FIGURES"


def size(name):
    return int(os.environ.get(f"ZHIYIN_HOSTILE_{name.upper()}", SIZES[name][0]))


def is_full():
    """Whether `make hostile` runs us."""
    return FIGURES in os.environ


def figure(section, name, value, bar=""):
    """Tell the runner a figure; says nothing when nobody asked."""
    path = os.environ.get(FIGURES)
    if path:
        line = json.dumps({"section": section, "name": name, "value": value, "bar": bar}, ensure_ascii=False)
        with Path(path).open("a") as lines:
            lines.write(line + "\n")
