"""Real servers, started and stopped the way `make up` does it."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from launcher import cli, postgres, roles
from launcher.launched import Launched, LaunchFailed
from launcher.state import ROOT, State

pytestmark = pytest.mark.stack


@pytest.fixture
def clean_env():
    """The environment without this test run's own servers."""
    return {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}


@pytest.fixture
def servers(clean_env):
    started = []

    def start(*arguments):
        started.append(Launched("--only", "servers", *arguments, env=clean_env))
        return started[-1]

    yield start
    for each in started:
        each.close()


def eventually(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def processes_naming(text):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(text).encode() in (folder / "cmdline").read_bytes() and is_alive(folder.name):
                found.append(int(folder.name))
    return found


def scalar(url, sql):
    with roles.cursor_on(url) as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def test_servers_answer_and_stop_without_leaving_a_process(servers, tmp_path):
    launched = servers("--state-dir", str(tmp_path))
    assert scalar(launched.env["DATABASE_URL"], "SELECT current_user::text") == "zhiyin_app"
    with redis.Redis.from_url(launched.env["REDIS_URL"], decode_responses=True) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
    assert set(launched.pids) == {"postgres", "valkey"}
    assert launched.stop() == 0
    assert processes_naming(tmp_path) == []
    assert not any(is_alive(pid) for pid in launched.pids.values())


def test_servers_second_start_keeps_data_and_keys(servers, tmp_path):
    first = servers("--state-dir", str(tmp_path))
    roles.statements(first.env["DATABASE_OWNER_URL"], "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
    with redis.Redis.from_url(first.env["REDIS_URL"]) as client:
        client.set("kept", "7")
    first.stop()
    second = servers("--state-dir", str(tmp_path))
    assert scalar(second.env["DATABASE_OWNER_URL"], "SELECT n FROM kept") == 7
    with redis.Redis.from_url(second.env["REDIS_URL"]) as client:
        assert client.get("kept") == b"7"
    assert second.env["ZHIYIN_MASTER_KEYS"] == first.env["ZHIYIN_MASTER_KEYS"]


def test_servers_killed_supervisor_leaves_no_process_and_the_data(servers, tmp_path):
    launched = servers("--state-dir", str(tmp_path))
    roles.statements(launched.env["DATABASE_OWNER_URL"], "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
    launched.process.kill()
    launched.process.wait()
    eventually(lambda: not processes_naming(tmp_path) and not any(is_alive(pid) for pid in launched.pids.values()))
    again = servers("--state-dir", str(tmp_path))
    assert scalar(again.env["DATABASE_OWNER_URL"], "SELECT n FROM kept") == 7


def test_servers_killed_database_is_started_again(servers, tmp_path):
    launched = servers("--state-dir", str(tmp_path))
    os.kill(launched.pids["postgres"], signal.SIGKILL)
    eventually(lambda: "postgres is started again" in launched.messages())

    def answers():
        with contextlib.suppress(Exception):
            return scalar(launched.env["DATABASE_URL"], "SELECT 1") == 1
        return False

    eventually(answers)


def test_servers_end_of_input_and_interrupt_stop_them(servers, tmp_path):
    by_input = servers("--state-dir", str(tmp_path / "one"))
    by_input.process.stdin.close()
    assert by_input.process.wait(30) == 0
    by_interrupt = servers("--state-dir", str(tmp_path / "two"))
    by_interrupt.process.send_signal(signal.SIGINT)
    assert by_interrupt.process.wait(30) == 0
    assert processes_naming(tmp_path) == []


def test_servers_second_launcher_on_the_same_folder_is_refused(servers, tmp_path, clean_env):
    servers("--state-dir", str(tmp_path))
    with pytest.raises(LaunchFailed, match="already running from"):
        Launched("--only", "servers", "--state-dir", str(tmp_path), env=clean_env)


def test_servers_throwaway_folder_is_removed(servers):
    launched = servers("--throwaway")
    assert Path(launched.state_dir, "postgres").exists()
    launched.stop()
    assert not Path(launched.state_dir).exists()


def test_servers_throwaway_folder_is_in_memory_where_there_is_plenty(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "_ROOM", 4096)
    memory = tmp_path / "meminfo"
    for available, expected in ((7, None), (8, tmp_path)):
        memory.write_text(f"MemTotal: 16 kB\nMemAvailable: {available} kB\n")
        assert cli.place_in_memory(tmp_path, memory) == expected
    assert cli.place_in_memory(tmp_path / "missing", memory) is None
    assert cli.place_in_memory(tmp_path, tmp_path / "missing") is None
    monkeypatch.setattr(cli, "_ROOM", 1024**5)
    memory.write_text(f"MemAvailable: {1024**5} kB\n")
    assert cli.place_in_memory(tmp_path, memory) is None


def test_postgres_stale_pid_file_of_another_program_is_no_obstacle(servers, tmp_path):
    servers("--state-dir", str(tmp_path)).stop()
    (tmp_path / "postgres" / "postmaster.pid").write_text(f"{os.getppid()}\n{tmp_path}/postgres\n")
    assert scalar(servers("--state-dir", str(tmp_path)).env["DATABASE_URL"], "SELECT 1") == 1


def test_postgres_interrupted_first_start_begins_again(servers, tmp_path):
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "PG_VERSION").write_text("18\n")
    assert scalar(servers("--state-dir", str(tmp_path)).env["DATABASE_URL"], "SELECT 1") == 1


@pytest.fixture
def public_folder():
    """A folder that other users can reach, unlike tmp_path."""
    folder = Path("/var/tmp") / f"zhiyin-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


def can_be_run_by(user):
    try:
        return subprocess.run([sys.executable, "-c", ""], user=user, cwd="/", check=False).returncode == 0
    except PermissionError:
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_postgres_runs_as_another_user_where_namespaces_are_forbidden(public_folder, monkeypatch):
    """The second way of dropping root, taken when `unshare` is not there."""
    really_which = shutil.which
    monkeypatch.setattr("shutil.which", lambda name, **more: None if name == "unshare" else really_which(name, **more))
    others = {pwd.getpwnam("nobody").pw_uid}
    with contextlib.suppress(KeyError):
        others.add(pwd.getpwnam("postgres").pw_uid)
    state = State(public_folder / "var")
    state.prepare()
    installation = postgres.prepare(state, "password")
    assert installation.popen["user"] in others
    assert (state.folder / "postgres").stat().st_uid == installation.popen["user"]
    assert not (state.folder / "initdb-password").exists()
    assert postgres.find_installation(state.folder / "postgres") == installation


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_servers_run_for_an_ordinary_user(public_folder, clean_env):
    """In a copy of the launcher that `nobody` owns, with this interpreter and its packages."""
    nobody = pwd.getpwnam("nobody")
    if not can_be_run_by(nobody.pw_uid):
        pytest.skip("this Python lies below a private folder, so no other user can run it")
    shutil.copytree(ROOT / "launcher", public_folder / "launcher", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["chown", "-R", f"{nobody.pw_uid}:{nobody.pw_gid}", str(public_folder)], check=True)
    with subprocess.Popen(
        [sys.executable, "-m", "launcher", "run", "--only", "servers", "--free-ports", "--json"],
        cwd=public_folder,
        env={**clean_env, "HOME": str(public_folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        text=True,
    ) as process:
        assert '"DATABASE_URL": "postgresql://zhiyin_app' in process.stdout.readline()
        process.stdin.close()
        assert process.wait(30) == 0
    assert (public_folder / "var" / "postgres").stat().st_uid == nobody.pw_uid
