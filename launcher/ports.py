"""The ports of the five servers: from the environment, or free ones."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from launcher.errors import LauncherError

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST = "127.0.0.1"
_LARGEST = 65535
_FIRST_FREE, _END_OF_FREE = 20_000, 32_768


@dataclass(frozen=True)
class Ports:
    """One TCP port each, on 127.0.0.1."""

    web: int = 8000
    gateway: int = 8001
    simulator: int = 8002
    postgres: int = 15432
    redis: int = 16379


NAMES = tuple(field.name for field in fields(Ports))


def variable(name: str) -> str:
    """Return the environment variable that sets the port `name`."""
    return f"ZHIYIN_{name.upper()}_PORT"


def from_environment(environ: Mapping[str, str]) -> Ports:
    """Read the ports; raise LauncherError for one that is no port number or used twice."""
    chosen: dict[str, int] = {}
    for name in NAMES:
        text = environ.get(variable(name), "") or str(getattr(Ports, name))
        if not text.isdecimal() or not 0 < int(text) <= _LARGEST:
            raise LauncherError(
                f"{variable(name)} is {text!r}, which is no port number.",
                f"set it to a free port, for example {variable(name)}=2{getattr(Ports, name) % 10000:04d}.",
            )
        if int(text) in chosen.values():
            raise LauncherError(
                f"{variable(name)} is {text}, which another Zhiyin port already uses.",
                "give each of " + ", ".join(variable(each) for each in NAMES) + " its own number.",
            )
        chosen[name] = int(text)
    return Ports(**chosen)


def free() -> Ports:
    """Return five ports nobody listens on now (another program may still win the race for one)."""
    return Ports(*free_numbers(len(NAMES)))


def free_numbers(count: int) -> list[int]:
    """Return free ports below those the kernel hands to outgoing connections (32768 on Linux).

    A port from that range can be gone again before its server starts: any client may be given it.
    """
    candidates = random.sample(range(_FIRST_FREE, _END_OF_FREE), _END_OF_FREE - _FIRST_FREE)
    found: list[int] = []
    for number in candidates:
        if not is_taken(number):
            found.append(number)
        if len(found) == count:
            return found
    raise LauncherError("no free ports between 20000 and 32767.", "end some of the servers that run on this machine.")


def is_taken(port: int) -> bool:
    """Tell whether something on this machine holds `port`."""
    with socket.socket() as probe:
        # Without it a port in TIME_WAIT after our own last stop would look taken for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def accepts(port: int) -> bool:
    """Tell whether a server answers connections on `port`."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def inherited(ports: Ports) -> dict[str, str]:
    """Return the environment variables that pass `ports` on to child processes."""
    return {variable(name): str(getattr(ports, name)) for name in NAMES}
