"""The state folder (`var/`): who may use it, one launcher at a time, and secrets that are made once."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from launcher.errors import LauncherError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent

# Made in the first run and kept. Changing one by hand locks people or sealed columns out, so nothing rotates them.
_MAKERS: dict[str, Callable[[], str]] = {
    "postgres_password": lambda: secrets.token_hex(16),
    "owner_password": lambda: secrets.token_hex(16),
    "app_password": lambda: secrets.token_hex(16),
    "intake_password": lambda: secrets.token_hex(16),
    "secret_key": lambda: secrets.token_urlsafe(50),
    "master_keys": lambda: "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
}


class State:
    """A folder that belongs to one launcher at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.logs = self.folder / "log"
        self._lock: IO[str] | None = None

    def prepare(self) -> None:
        """Create the folders, private to their owner; raise LauncherError when they cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.logs.mkdir(exist_ok=True, mode=0o700)
            probe = self.folder / ".writable"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise LauncherError(
                f"the folder {self.folder} cannot be written ({error.strerror or error}).",
                "run as the user it belongs to, or choose another: ZHIYIN_STATE_DIR=/path/to/folder make up",
            ) from error

    def lock(self) -> None:
        """Take the folder for this process; raise LauncherError when another launcher has it."""
        handle = (self.folder / "launcher.lock").open("a+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            pid = handle.read().strip() or "unknown"
            handle.close()
            raise LauncherError(
                f"Zhiyin is already running from {self.folder} (process {pid}).",
                f"use the running one, or stop it first: press Ctrl-C there or `kill {pid}`.",
            ) from None
        handle.seek(0)
        handle.truncate()
        handle.write(str(os.getpid()))
        handle.flush()
        self._lock = handle

    def unlock(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def secrets(self) -> dict[str, str]:
        """Return the secrets of this installation, making what is missing (file mode 0600)."""
        path = self.folder / "secrets.json"
        known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        missing = {name: make() for name, make in _MAKERS.items() if name not in known}
        if missing:
            known |= missing
            _write_private(path, known)
        return {name: str(value) for name, value in known.items()}

    def publish(self, report: Mapping[str, object]) -> None:
        """Tell other commands on this machine what runs and how to reach it (file mode 0600)."""
        _write_private(self.folder / "running.json", report)

    def withdraw(self) -> None:
        """Tell them that nothing runs any more."""
        (self.folder / "running.json").unlink(missing_ok=True)

    def running(self) -> dict[str, Any]:
        """Return what `publish` was told; raises LauncherError when nothing runs from this folder."""
        path = self.folder / "running.json"
        if not path.exists() or not self._is_locked():
            raise LauncherError(
                f"nothing is running from {self.folder}.", "start it first in another terminal: make up"
            )
        report: dict[str, Any] = json.loads(path.read_text())
        return report

    def _is_locked(self) -> bool:
        with (self.folder / "launcher.lock").open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


def _write_private(path: Path, content: Mapping[str, object]) -> None:
    # Written beside and renamed: a crash in between must never leave half a file of keys.
    beside = path.with_suffix(".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        json.dump(content, handle, indent=1)
        handle.flush()
        os.fsync(handle.fileno())
    beside.rename(path)
