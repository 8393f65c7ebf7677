"""A deliberate bug as a patch: its header says what it breaks and which tests must see it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from launcher import template_dump

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "patches"
_HEADER = re.compile(r"\ABug: (?P<bug>.+)\nTests: (?P<tests>.+)\n\ndiff --git ")


class PatchError(Exception):
    """A patch that does not apply any more, or has no proper header: it proves nothing until it is mended."""


@dataclass(frozen=True)
class Patch:
    """One bug; `tests` are arguments of pytest, of which at least one test must turn red."""

    path: Path
    bug: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.stem

    def apply(self, folder: Path) -> None:
        """Change the copy of the project in `folder`. Raises PatchError when the place is not there any more."""
        result = subprocess.run(
            ["git", "apply", "--whitespace=nowarn", str(self.path)],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_CEILING_DIRECTORIES": str(folder.parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise PatchError(f"{self.name} does not apply: {result.stderr.strip()}")


def all_patches() -> list[Patch]:
    """Every patch of the folder, in the order of their names. Raises PatchError for a file without its header."""
    return [_read(path) for path in sorted(FOLDER.glob("*.patch"))]


def _read(path: Path) -> Patch:
    header = _HEADER.match(path.read_text())
    if header is None:
        raise PatchError(f"{path.name} must begin with 'Bug: …', 'Tests: …', an empty line and a diff of git")
    return Patch(path, header["bug"], tuple(header["tests"].split()))


def copy_project(folder: Path) -> None:
    """Copy what git knows or would know of the working tree, as it is now, committed or not, and the kept databases.

    A bug in a migration or a field has a database of its own, as its digest is another one.
    """
    if template_dump.place().exists():
        target = folder / template_dump.place().relative_to(ROOT)
        target.parent.mkdir(parents=True)
        shutil.copy(template_dump.place(), target)
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    for name in filter(None, names):
        source = ROOT / name.decode()
        if source.is_file():
            target = folder / name.decode()
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
