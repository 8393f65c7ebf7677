"""Makes `.venv` and installs the pinned packages; does nothing when they are those of the last time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from launcher import preflight
from launcher.errors import LauncherError
from launcher.screen import say, show
from launcher.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = {"runtime": "requirements.txt", "dev": "requirements-dev.txt"}
_SUPPORTED = ((3, 11), (3, 12), (3, 13))
_LINES_KEPT = 30


def python_of(root: Path = ROOT) -> Path:
    """Return the interpreter of the project's virtual environment."""
    return root / ".venv" / "bin" / "python"


def ensure(*, dev: bool, root: Path = ROOT) -> Path:
    """Bring `.venv` up to date with the requirement files and return its interpreter.

    `dev` adds tests and tools, which contain the product's own packages. Raises LauncherError with pip's own words.
    """
    wanted = _wanted(root, dev=dev)
    if _is_current(root, wanted):
        return python_of(root)
    preflight.check_writable(root)
    with _one_at_a_time(root):
        if _is_current(root, wanted):  # another make has just done it
            return python_of(root)
        if not _runs(python_of(root)):
            preflight.check_venv_module()
            _make_venv(root)
        _install(root, FILES["dev" if dev else "runtime"])
        _stamp(root).write_text(json.dumps(_installed(root) | wanted))
    return python_of(root)


def _wanted(root: Path, *, dev: bool) -> dict[str, str]:
    kinds = ("runtime", "dev") if dev else ("runtime",)
    return {kind: hashlib.sha256((root / FILES[kind]).read_bytes()).hexdigest() for kind in kinds}


def _stamp(root: Path) -> Path:
    return root / ".venv" / "installed.json"


def _installed(root: Path) -> dict[str, str]:
    try:
        found = json.loads(_stamp(root).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_current(root: Path, wanted: dict[str, str]) -> bool:
    return wanted.items() <= _installed(root).items() and _runs(python_of(root))


def _runs(python: Path) -> bool:
    """A copied or moved project has a `.venv` whose interpreter may be gone or of an unsupported version."""
    try:
        result = subprocess.run(
            [str(python), "-c", "import sys, pip; print(sys.version_info[:2], sys.prefix)"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return False
    versions = [f"{version} {python.parent.parent}" for version in _SUPPORTED]
    return result.returncode == 0 and result.stdout.strip() in versions


@contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    # The folder itself carries the lock: .venv may be removed and made anew under it.
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another command is installing packages: waiting for it")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _make_venv(root: Path) -> None:
    say(f"making .venv with Python {sys.version.split()[0]}")
    result = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(root / ".venv")], capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise LauncherError(
            f"the virtual environment could not be made:\n{(result.stdout + result.stderr).rstrip()}",
            "as root: apt install python3-venv; then run the same command again.",
        )


def _install(root: Path, name: str) -> None:
    total = len(re.findall(r"^[a-z0-9].*==", (root / name).read_text(), re.MULTILINE))
    say(f"installing up to {total} packages of {name} (only when that file has changed; about a minute)")
    process = subprocess.Popen(
        [
            *(str(python_of(root)), "-m", "pip", "install", "--require-hashes", "--no-deps", "--progress-bar", "off"),
            *("--disable-pip-version-check", "--no-input", "--root-user-action", "ignore", "-r", str(root / name)),
        ],
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    lines: list[str] = []
    seen = 0
    if process.stdout is not None:
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith("Collecting "):
                seen += 1
                if seen % 10 == 0:
                    say(f"  {seen} of {total}: {line.split()[1]}")
            elif line.startswith("Installing collected"):
                say("  unpacking")
    if process.wait() != 0:
        show("\n".join(f"  | {line}" for line in lines[-_LINES_KEPT:]))
        raise LauncherError(
            f"pip could not install {name} (its last lines are above).",
            "check that this machine reaches a Python package index (pip config list), then run the same again.",
        )
    say("packages are installed")
