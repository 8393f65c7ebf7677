"""The product as commands and processes: all the launcher knows of it are names, ports and environment."""

from __future__ import annotations

import functools
import http.client
import re
import sys
from typing import TYPE_CHECKING

from launcher import ports as port_numbers
from launcher.child import Child, Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from launcher.ports import Ports
    from launcher.state import State

PROCESSES = ("simulator", "gateway", "web", "workers", "beat")
_WORKER_QUEUES = {"worker-inbound": "inbound,default", "worker-send": "send,sync"}
_SERVER_ERROR = 500
_WORKER_READY = re.compile(rb"\bready\b")


def manage(*arguments: str) -> list[str]:
    """Return the command line of a management command."""
    return [sys.executable, "manage.py", *arguments]


def _module(*arguments: str) -> list[str]:
    # `-m` instead of the scripts beside python: those carry an absolute path and break when the folder moves.
    return [sys.executable, "-m", *arguments]


def simulator(state: State, ports: Ports, env: Mapping[str, str]) -> Spec:
    """WeChat's stand-in; its people and clock outlive a restart, like our database."""
    return Spec(
        name="simulator",
        argv=_module("wechat_simulator", "--state-dir", str(state.folder / "simulator")),
        env=env,
        ready=functools.partial(_answers_http, ports.simulator, "/"),
    )


def gateway(ports: Ports, env: Mapping[str, str]) -> Spec:
    """The door for WeChat's callbacks."""
    address = ["--host", port_numbers.HOST, "--port", str(ports.gateway)]
    options = ["--no-access-log", "--no-server-header", "--no-proxy-headers"]  # the application looks at those itself
    return Spec(
        name="gateway",
        argv=_module("uvicorn", "config.gateway:application", *address, *options),
        env=env,
        ready=functools.partial(_answers_http, ports.gateway, "/readyz"),
    )


def web(ports: Ports, env: Mapping[str, str]) -> Spec:
    """Console and REST API."""
    address = ["--host", port_numbers.HOST, "--port", str(ports.web)]
    options = ["--interface", "wsgi", *address, "--workers", "1", "--blocking-threads", "4", "--no-ws"]
    return Spec(
        name="web",
        argv=_module("granian", *options, "--respawn-failed-workers", "config.wsgi:application"),
        env=env,
        ready=functools.partial(_answers_http, ports.web, "/login/"),
    )


def workers(env: Mapping[str, str]) -> list[Spec]:
    """Two worker processes, so that a long send never delays an answer to a follower."""
    return [
        Spec(
            name=name,
            argv=_module(
                *("celery", "-A", "config.worker", "worker", "-Q", queues, "-c", "2", "-n", f"{name}@%h", "-l", "INFO"),
                *("--without-gossip", "--without-mingle"),
            ),
            env=env,
            ready=_reports_ready,
            stop_seconds=25,  # a warm stop finishes the task in hand
        )
        for name, queues in _WORKER_QUEUES.items()
    ]


def beat(state: State, env: Mapping[str, str]) -> Spec:
    """The clockwork that wakes the sweepers."""
    schedule = str(state.folder / "beat-schedule")
    return Spec(
        name="beat",
        argv=_module("celery", "-A", "config.worker", "beat", "-s", schedule, "--pidfile=", "-l", "INFO"),
        env=env,
        ready=lambda child: b"beat" in child.output(),
    )


def _answers_http(port: int, path: str, _child: Child) -> bool:
    connection = http.client.HTTPConnection(port_numbers.HOST, port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": "localhost"})
        return connection.getresponse().status < _SERVER_ERROR
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _reports_ready(child: Child) -> bool:
    return bool(_WORKER_READY.search(child.output()))
