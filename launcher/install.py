"""Makes virtual environments and installs the pinned packages; does nothing when they are those of the last time."""

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

FILES = {"runtime": "requirements.txt", "dev": "requirements-dev.txt", "peers": "requirements-peers.txt"}
VENV = ".venv"
PEERS = ".venv-peers"
_SUPPORTED = ((3, 11), (3, 12), (3, 13))
_LINES_KEPT = 30
_HARDLY_LOADED = r"/site-packages/(pip|setuptools|pkg_resources|mypy|mypyc|pygments)/"  # a third of all there is


def python_of(root: Path = ROOT, venv: str = VENV) -> Path:
    """Return the interpreter of one of the project's virtual environments."""
    return root / venv / "bin" / "python"


def ensure(*, dev: bool, root: Path = ROOT) -> Path:
    """Bring `.venv` up to date with the requirement files and return its interpreter.

    `dev` adds tests and tools, which contain the product's own packages. Raises LauncherError with pip's own words.
    """
    return _bring(root, VENV, ("runtime", "dev") if dev else ("runtime",))


def ensure_peers(root: Path = ROOT) -> Path:
    """Bring the environment of what the benchmarks compare us with up to date and return its interpreter.

    It is apart from `.venv`, so that no peer's dependency can reach the product. Raises LauncherError.
    """
    return _bring(root, PEERS, ("peers",))


def _bring(root: Path, venv: str, kinds: tuple[str, ...]) -> Path:
    """Install the file of the last of `kinds`, which contains those before it."""
    python = python_of(root, venv)
    wanted = {kind: hashlib.sha256((root / FILES[kind]).read_bytes()).hexdigest() for kind in kinds}
    if _is_current(python, wanted):
        return python
    preflight.check_writable(root)
    with _one_at_a_time(root):
        if _is_current(python, wanted):  # another make has just done it
            return python
        if not _runs(python):
            preflight.check_venv_module()
            _make_venv(root / venv)
        _install(python, root, FILES[kinds[-1]])
        _stamp(python).write_text(json.dumps(_installed(python) | wanted))
    return python


def _stamp(python: Path) -> Path:
    return python.parent.parent / "installed.json"


def _installed(python: Path) -> dict[str, str]:
    try:
        found = json.loads(_stamp(python).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_current(python: Path, wanted: dict[str, str]) -> bool:
    return wanted.items() <= _installed(python).items() and _runs(python)


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


def _make_venv(folder: Path) -> None:
    say(f"making {folder.name} with Python {sys.version.split()[0]}")
    result = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(folder)], capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise LauncherError(
            f"the virtual environment could not be made:\n{(result.stdout + result.stderr).rstrip()}",
            "as root: apt install python3-venv; then run the same command again.",
        )


def _install(python: Path, root: Path, name: str) -> None:
    total = len(re.findall(r"^[a-z0-9].*==", (root / name).read_text(), re.MULTILINE))
    say(f"installing up to {total} packages of {name} (only when that file has changed; about a minute)")
    process = subprocess.Popen(
        [
            *(str(python), "-m", "pip", "install", "--require-hashes", "--no-deps", "--progress-bar", "off"),
            *("--disable-pip-version-check", "--no-input", "--root-user-action", "ignore", "--no-compile"),
            *("-r", str(root / name)),
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
    _compile(python)
    say("packages are installed")


def _compile(python: Path) -> None:
    """Compile what was installed on all cores, which pip does on one; what cannot be compiled is no module of ours."""
    packages = sorted((python.parent.parent / "lib").glob("python*/site-packages"))
    command = [str(python), "-m", "compileall", "-qq", "-j", "0", "-x", _HARDLY_LOADED, *map(str, packages)]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
