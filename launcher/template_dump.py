"""The migrated template database, kept on disk between runs: migrating takes three times as long as restoring."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

from launcher import postgres

ROOT = Path(__file__).resolve().parent.parent
_IMPORTS = re.compile(r"^\s*(?:from|import) ([\w.]+)(?: import (\(.*?\)|[^\n]*))?", re.MULTILINE | re.DOTALL)
_KEPT = 3


def place() -> Path:
    """Return where the dump of today's migrations is or will be; another migration or field makes it another file."""
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return ROOT / "var" / "test-template" / f"{digest.hexdigest()[:32]}.dump"


def save(url: str, path: Path) -> None:
    """Dump the database of `url`, which holds no brand's rows yet, and forget dumps of earlier migrations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{url.rpartition('/')[2]}")
    # Tables under row security are empty, and may neither be read past their policies nor filled by COPY.
    _run("pg_dump", "--format=custom", "--enable-row-security", "--inserts", f"--file={beside}", url)
    beside.rename(path)
    newest_first = sorted(path.parent.glob("*.dump"), key=lambda each: each.stat().st_mtime, reverse=True)
    for old in newest_first[_KEPT:]:
        old.unlink(missing_ok=True)


def restore(url: str, path: Path) -> None:
    """Fill the prepared, empty database of `url`."""
    path.touch()
    # Comments are those of the extensions, which another role may have added.
    _run("pg_restore", "--single-transaction", "--exit-on-error", "--no-comments", f"--dbname={url}", str(path))


def _run(program: str, *arguments: str) -> None:
    binaries = postgres.find_installation(ROOT / "var" / "none").binaries
    subprocess.run([str(binaries / program), *arguments], check=True, capture_output=True, text=True)


def _sources() -> list[Path]:
    """Return the migrations, what of the project they import, what that imports, and who calls them."""
    waiting = [
        *ROOT.glob("*/migrations/*.py"),
        ROOT / "launcher" / "roles.py",
        ROOT / "accounts" / "management" / "commands" / "migrate.py",
    ]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for module, names in _IMPORTS.findall(path.read_text(encoding="utf-8")):
            folder = ROOT.joinpath(*module.split("."))
            for name in ("", *re.findall(r"\w+", names)):
                base = folder / name if name else folder
                waiting += [each for each in (base.with_suffix(".py"), base / "__init__.py") if each.is_file()]
    return sorted([*found, ROOT / "requirements.txt"])
