"""Our own Python files, for tests that read the source: found without a walk through `.venv`, which has a hundred times as many.

And data files, read ten times as fast as yaml's own default does it: every worker reads all of them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
NOT_OURS = {"node_modules", "staticfiles", "var"}


def python_files(*, but: tuple[str, ...] = ()) -> Iterator[Path]:
    """Every Python file below the folders of the project, in order, except those below the folders named."""
    for folder in sorted(ROOT.iterdir()):
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in {*NOT_OURS, *but}:
            yield from sorted(folder.rglob("*.py"))


def load_yaml(text: str) -> Any:
    """What `yaml.safe_load` gives."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
