"""The environment that child processes get: this process's, and what the launcher itself decides."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from launcher import ports as port_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from launcher.ports import Ports

# Those would make a child use another Python's packages or somebody else's settings.
_NEVER_INHERITED = ("PYTHONHOME", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__", "DJANGO_SETTINGS_MODULE", "PGPASSWORD")


def web_address(port: int) -> str:
    """Return the address of one of our web servers."""
    return f"http://{port_numbers.HOST}:{port}"


def base() -> dict[str, str]:
    """Return a clean copy of the environment in which `python` and scripts are those of this interpreter."""
    environment = {name: value for name, value in os.environ.items() if name not in _NEVER_INHERITED}
    binaries = str(Path(sys.executable).parent)
    environment["PATH"] = binaries + os.pathsep + environment.get("PATH", os.defpath)
    environment["PYTHONUNBUFFERED"] = "1"
    environment.setdefault("LANG", "C.UTF-8")
    return environment


def for_product(
    ports: Ports, secrets: Mapping[str, str], databases: Mapping[str, str], redis_url: str
) -> dict[str, str]:
    """Return the environment of the product's processes on this machine.

    Everything points at the simulator. What the user has set in the environment wins, except for the addresses of
    servers that the launcher itself has started (`databases`, `redis_url`) and the ports it has chosen. A `.env` is
    meant for docker compose and production; what would get in the way here is therefore named explicitly.
    """
    simulator = web_address(ports.simulator)
    defaults = {
        "ZHIYIN_ENV": "development",
        "ZHIYIN_DEBUG": "false",
        "ZHIYIN_ALLOWED_HOSTS": "127.0.0.1,localhost,[::1]",
        "ZHIYIN_TRUSTED_ORIGINS": "",
        "ZHIYIN_SECRET_KEY": secrets["secret_key"],
        "ZHIYIN_MASTER_KEYS": secrets["master_keys"],
        "ZHIYIN_PUBLIC_URL": web_address(ports.gateway),
        "ZHIYIN_CONSOLE_URL": web_address(ports.web),
        "ZHIYIN_SIMULATOR_URL": simulator,
        "ZHIYIN_WECHAT_BASE_URL": simulator,
        "ZHIYIN_WECHAT_MP_URL": simulator,
        "ZHIYIN_CLOCK_URL": f"{simulator}/_sim/clock",
    }
    return {
        **defaults,
        **base(),
        **port_numbers.inherited(ports),
        **databases,
        "REDIS_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
