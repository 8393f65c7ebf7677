"""Looks before anything starts: each check passes silently or raises a LauncherError with the remedy."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import TYPE_CHECKING

from launcher import ports as port_numbers
from launcher.errors import LauncherError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from launcher.ports import Ports

MINIMUM_FREE_BYTES = 2 * 1024**3


def check_venv_module() -> None:
    """Debian ships the part of `venv` that installs pip as a package of its own."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise LauncherError(
            "this Python cannot make a virtual environment: its venv module is not complete.",
            "as root: apt install python3-venv; then run the same command again.",
        )


def check_writable(folder: Path) -> None:
    """The folder of the project receives `.venv` and, by default, `var/`."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise LauncherError(
            f"you may not write in {folder}, where .venv and var/ are made.",
            "copy the project to a folder of your own, or run as the user this one belongs to.",
        )


def check_disk(folder: Path, minimum: int = MINIMUM_FREE_BYTES) -> None:
    """The packages, the database and its log need room; PostgreSQL stops in the middle of a write without it."""
    free = shutil.disk_usage(folder).free
    if free < minimum:
        raise LauncherError(
            f"only {free / 1024**3:.1f} GB are free at {folder}, and Zhiyin needs {minimum / 1024**3:.0f} GB.",
            "free some space, or put the data on another disk: ZHIYIN_STATE_DIR=/path/to/folder make up",
        )


def check_ports(ports: Ports, names: Iterable[str]) -> None:
    """Every server that will be started needs its port."""
    for name in names:
        port = getattr(ports, name)
        if port_numbers.is_taken(port):
            free = port_numbers.free().web
            raise LauncherError(
                f"port {port}, meant for {name}, is in use by another program.",
                f"stop that program, or choose another port: {port_numbers.variable(name)}={free} make up",
            )
