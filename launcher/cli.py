"""The commands of `python -m launcher`."""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from launcher import install, ports, postgres, preflight, product, roles, template_dump, valkey
from launcher.environment import base, for_product, web_address
from launcher.errors import Interrupted, LauncherError
from launcher.launched import Launched, LaunchFailed
from launcher.screen import say, show
from launcher.state import ROOT, State
from launcher.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SERVERS = "servers"
_ROOM = 3 * 1024**3  # bytes: five workers' databases and the gigabyte of WAL that PostgreSQL keeps need less


def main(arguments: Sequence[str]) -> int:
    """Run the command in `arguments`; return the exit status (0 also after a stop that was asked for)."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except LauncherError as error:
        show(str(error))
        return 1
    except (Interrupted, KeyboardInterrupt):
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m launcher", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="check the machine, install, and run everything until Ctrl-C")
    up.set_defaults(run=_up)

    installer = commands.add_parser("install", help="make .venv and install the pinned packages if they changed")
    installer.add_argument("--dev", action="store_true", help="also what tests and checks need")
    installer.add_argument("--peers", action="store_true", help="what the benchmarks compare us with, in .venv-peers")
    installer.set_defaults(run=_install)

    run = commands.add_parser("run", help="run chosen processes with the packages of this interpreter")
    run.add_argument("--only", default="", metavar="LIST", help=f"of {_SERVERS}, {', '.join(product.PROCESSES)}")
    run.add_argument("--free-ports", action="store_true", help="take free ports instead of those of the environment")
    run.add_argument("--state-dir", type=Path, help="folder for data and logs (default: ZHIYIN_STATE_DIR or var/)")
    run.add_argument("--throwaway", action="store_true", help="fast unsafe storage, deleted at the end")
    run.add_argument("--in-memory", action="store_true", help="keep what is thrown away in memory, if there is plenty")
    run.add_argument("--no-demo", action="store_true", help="do not load the demo brands")
    run.add_argument(
        "--json", action="store_true", help="print one line of JSON when ready; stop when standard input ends"
    )
    run.set_defaults(run=_run)

    around = commands.add_parser("around", help="run a command against a whole product on free ports, then stop that")
    around.add_argument("--only", default="", metavar="LIST", help="as for `run`")
    around.add_argument("command", nargs=argparse.REMAINDER, help="the command after --; gets the environment")
    around.set_defaults(run=_around)

    manage = commands.add_parser("manage", help="run a management command of the product that runs from `make up`")
    manage.add_argument("command", nargs=argparse.REMAINDER)
    manage.set_defaults(run=_manage)

    role = commands.add_parser("roles", help="make the database roles and the database on an existing server")
    role.add_argument("--admin-url", required=True, help="URL of a role that may make roles and databases")
    role.set_defaults(run=_roles)
    return parser


def _state_folder(chosen: Path | None) -> Path:
    return chosen or Path(os.environ.get("ZHIYIN_STATE_DIR") or ROOT / "var")


# Commands


def _up(_options: argparse.Namespace) -> int:
    """Everything that can be known to be wrong is said before the first package is installed."""
    state = State(_state_folder(None))
    preflight.check_writable(ROOT) if not install.python_of().exists() else None
    state.prepare()
    preflight.check_disk(state.folder)
    state.lock()
    preflight.check_ports(ports.from_environment(os.environ), _ports_needed(set(product.PROCESSES)))
    state.unlock()
    python = install.ensure(dev=False)
    # The packages belong to another interpreter than this one; it goes on under the same process id.
    sys.stderr.flush()
    os.execv(python, [str(python), "-m", "launcher", "run"])  # noqa: S606 - our own interpreter, no shell


def _install(options: argparse.Namespace) -> int:
    if options.peers:
        install.ensure_peers()
    else:
        install.ensure(dev=options.dev)
    return 0


def _roles(options: argparse.Namespace) -> int:
    """Make roles with the passwords of the three URLs in the environment, or with generated ones, then printed."""
    given = {name: os.environ.get(name, "") for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_INTAKE_URL")}
    if all(given.values()):
        passwords = roles.passwords_in(given.values())
        roles.ensure(options.admin_url, passwords, roles.database_of(given["DATABASE_URL"]))
        say("roles and database are ready")
        return 0
    state = State(_state_folder(None))
    state.prepare()
    urls = roles.ensure(options.admin_url, _passwords(state.secrets()))
    for name, url in urls.environment().items():
        print(f"{name}={url}")
    return 0


def _run(options: argparse.Namespace) -> int:
    chosen = {name for name in options.only.split(",") if name} or {_SERVERS, *product.PROCESSES}
    if unknown := chosen - {_SERVERS, *product.PROCESSES}:
        raise LauncherError(
            f"--only names {', '.join(sorted(unknown))}, which is no process.",
            f"choose of {_SERVERS}, {', '.join(product.PROCESSES)}, separated by commas.",
        )
    folder = _state_folder(options.state_dir)
    if options.throwaway and options.state_dir is None:
        folder = Path(tempfile.mkdtemp(prefix="zhiyin-", dir=place_in_memory() if options.in_memory else None))
    state = State(folder)
    state.prepare()
    state.lock()
    numbers = ports.free() if options.free_ports else ports.from_environment(os.environ)
    if not options.free_ports:
        preflight.check_ports(numbers, _ports_needed(chosen))
    try:
        with Supervisor(state, stop_on_end_of_input=options.json) as supervisor:
            try:
                _start(supervisor, state, numbers, chosen, options)
                supervisor.watch()
            except Interrupted:
                say("stopped before everything was started")
        say("stopped")
    finally:
        state.withdraw()
        state.unlock()
        if options.throwaway:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def _around(options: argparse.Namespace) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    only = ["--only", options.only] if options.only else []
    try:
        launched = Launched("--throwaway", "--in-memory", "--no-demo", *only, show_messages=True)
    except LaunchFailed:
        return 1  # the launcher itself has said why
    with launched:
        # Ctrl-C reaches the command from the terminal; we go on to the stop.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        restored = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        return subprocess.run(command, env={**base(), **launched.env}, check=False, preexec_fn=restored).returncode


def _manage(options: argparse.Namespace) -> int:
    env = State(_state_folder(None)).running()["env"]
    return subprocess.run(product.manage(*options.command), cwd=ROOT, env={**base(), **env}, check=False).returncode


# Parts of `run`


def place_in_memory(place: Path = Path("/dev/shm"), memory: Path = Path("/proc/meminfo")) -> Path | None:  # noqa: S108
    """Return where files cost no disk, or None without plenty of room: a copied database is two thousand new files."""
    try:
        here = os.statvfs(place)
        lines = memory.read_text().splitlines()
    except OSError:
        return None
    available = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    has_room = here.f_bavail * here.f_frsize >= _ROOM and available >= 2 * _ROOM
    return place if has_room and os.access(place, os.W_OK | os.X_OK) else None


def _ports_needed(chosen: set[str]) -> list[str]:
    needed: list[str] = [name for name in ("web", "gateway", "simulator") if name in chosen]
    if not os.environ.get("DATABASE_URL"):
        needed.append("postgres")
    if not os.environ.get("REDIS_URL"):
        needed.append("redis")
    return needed


def _start(
    supervisor: Supervisor, state: State, numbers: ports.Ports, chosen: set[str], options: argparse.Namespace
) -> None:
    env = _start_servers(supervisor, state, numbers, throwaway=options.throwaway)
    if chosen & set(product.PROCESSES):
        if options.throwaway and options.state_dir is None and not os.environ.get("DATABASE_URL"):
            _restore_migrated(env)
        say("migrating the database")
        supervisor.run("migrate", product.manage("migrate", "--no-input"), env)
    if "simulator" in chosen:
        supervisor.start(product.simulator(state, numbers, env))
    with_demo = chosen >= {"simulator", "web"} and not options.no_demo
    if with_demo:
        say("loading the demo brands")
        supervisor.run("demo", product.manage("demo", "--load", "--size", os.environ.get("SIZE") or "S"), env)
    if "workers" in chosen:
        supervisor.start(*product.workers(env))
    fronts = {"gateway": product.gateway, "web": product.web}
    supervisor.start(*(make(numbers, env) for name, make in fronts.items() if name in chosen))
    if "beat" in chosen:
        supervisor.start(product.beat(state, env))

    report = _report(supervisor, state, numbers, chosen, env)
    state.publish(report)
    if options.json:
        print(json.dumps(report), flush=True)
    elif with_demo:
        print(supervisor.run("banner", product.manage("demo", "--banner"), env), flush=True)
        say("ready; press Ctrl-C to stop")
    else:
        say("ready; press Ctrl-C to stop")


def _restore_migrated(env: Mapping[str, str]) -> None:
    """Fill the new database with what the tests have kept of today's migrations, if they have; then none is left."""
    kept = template_dump.place()
    if kept.exists():
        say("restoring the migrated database of the tests")
        template_dump.restore(env["DATABASE_OWNER_URL"], kept)


def _start_servers(supervisor: Supervisor, state: State, numbers: ports.Ports, *, throwaway: bool) -> dict[str, str]:
    """Start the servers nobody has named, and return the environment of the product's processes."""
    secrets = state.secrets()
    own_postgres = not os.environ.get("DATABASE_URL")
    redis_url = os.environ.get("REDIS_URL")
    # One wave each, so that PostgreSQL is the last to stop.
    if own_postgres:
        installation = postgres.prepare(state, secrets["postgres_password"])
        supervisor.start(postgres.spec(state, installation, numbers.postgres, throwaway=throwaway))
    if not redis_url:
        supervisor.start(valkey.spec(state, numbers.redis, throwaway=throwaway))
        redis_url = f"redis://{ports.HOST}:{numbers.redis}/0"
    databases = _databases(secrets, numbers, embedded=own_postgres, throwaway=throwaway)
    env = for_product(numbers, secrets, databases, redis_url)
    return env | {"ZHIYIN_STATE_DIR": str(state.folder.resolve())}


def _databases(secrets: Mapping[str, str], numbers: ports.Ports, *, embedded: bool, throwaway: bool) -> dict[str, str]:
    """Return the three database URLs, with the roles behind them in place."""
    url = os.environ.get("DATABASE_URL", "")
    if embedded:
        url = (
            f"postgresql://{postgres.SUPERUSER}:{secrets['postgres_password']}@{ports.HOST}:{numbers.postgres}/postgres"
        )
    if embedded or roles.is_administrator(url):
        named = roles.database_of(url)
        database = named if named not in {"", "postgres"} else roles.DATABASE
        urls = roles.ensure(url, _passwords(secrets), database, quick_logins=embedded and throwaway)
        if throwaway:
            roles.let_owner_clear_up(url, lend_cleaner=embedded)
        return urls.environment()
    missing = [name for name in ("DATABASE_OWNER_URL", "DATABASE_INTAKE_URL") if not os.environ.get(name)]
    if missing:
        raise LauncherError(
            f"DATABASE_URL names an ordinary role, but {' and '.join(missing)} are not set.",
            "set all three (python -m launcher roles --admin-url … makes them), or give an administrator's URL.",
        )
    return {name: os.environ[name] for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_INTAKE_URL")}


def _passwords(secrets: Mapping[str, str]) -> dict[str, str]:
    return {
        roles.OWNER: secrets["owner_password"],
        roles.APP: secrets["app_password"],
        roles.INTAKE: secrets["intake_password"],
    }


def _report(
    supervisor: Supervisor, state: State, numbers: ports.Ports, chosen: set[str], env: Mapping[str, str]
) -> dict[str, object]:
    """Return what a script needs to use what runs: addresses, and the environment for further processes."""
    names = ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_INTAKE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    return {
        "urls": {
            name: web_address(getattr(numbers, name)) for name in ("web", "gateway", "simulator") if name in chosen
        },
        "env": {name: value for name, value in env.items() if name in names or name.startswith("ZHIYIN_")},
        "pids": supervisor.pids(),
        "state_dir": str(state.folder),
        "logs": str(state.logs),
    }
