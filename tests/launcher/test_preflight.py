import os
import shutil
import socket
import subprocess
import sys

import pytest

from launcher import ports, preflight
from launcher.errors import LauncherError
from launcher.state import ROOT, State


@pytest.fixture
def taken_port():
    with socket.socket() as other:
        other.bind((ports.HOST, 0))
        other.listen()
        yield other.getsockname()[1]


def test_ports_taken_one_is_refused_with_the_variable_to_set(taken_port):
    with pytest.raises(LauncherError) as refusal:
        preflight.check_ports(ports.Ports(web=taken_port), ["web"])
    assert refusal.value.what == f"port {taken_port}, meant for web, is in use by another program."
    assert "ZHIYIN_WEB_PORT=" in refusal.value.todo


def test_ports_free_ones_pass_and_differ():
    numbers = ports.free()
    preflight.check_ports(numbers, ports.NAMES)
    assert len({getattr(numbers, name) for name in ports.NAMES}) == 5


@pytest.mark.parametrize("text", ["http", "0", "65536", "-1"])
def test_ports_nonsense_is_refused(text):
    with pytest.raises(LauncherError, match="ZHIYIN_GATEWAY_PORT is"):
        ports.from_environment({"ZHIYIN_GATEWAY_PORT": text})


def test_ports_same_number_twice_is_refused():
    with pytest.raises(LauncherError, match="ZHIYIN_SIMULATOR_PORT is 8000, which another Zhiyin port already uses"):
        ports.from_environment({"ZHIYIN_SIMULATOR_PORT": "8000"})


def test_disk_too_little_is_refused_and_enough_passes(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(LauncherError, match="GB are free at"):
        preflight.check_disk(tmp_path, minimum=free * 2)
    preflight.check_disk(tmp_path, minimum=1)


def test_venv_module_incomplete_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(LauncherError) as refusal:
        preflight.check_venv_module()
    assert "apt install python3-venv" in refusal.value.todo


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_read_only_is_refused_to_an_ordinary_user(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(LauncherError, match="you may not write in"):
        preflight.check_writable(tmp_path)


def test_state_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LauncherError, match="cannot be written") as refusal:
        State(tmp_path / "file" / "var").prepare()
    assert "ZHIYIN_STATE_DIR=" in refusal.value.todo


def test_state_folder_is_private_and_secrets_stay(tmp_path):
    state = State(tmp_path / "var")
    state.prepare()
    first = state.secrets()
    assert state.folder.stat().st_mode & 0o777 == 0o700
    assert (state.folder / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert State(tmp_path / "var").secrets() == first
    assert len(set(first.values())) == len(first)


def test_state_folder_in_use_is_refused_to_a_second_launcher(tmp_path):
    first, second = State(tmp_path), State(tmp_path)
    first.prepare()
    first.lock()
    with pytest.raises(LauncherError, match=f"already running from .* \\(process {os.getpid()}\\)"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


@pytest.mark.parametrize("minor", [10, 14])
def test_python_unsuitable_one_is_refused_before_anything_is_imported(minor, tmp_path):
    """Run the entry point as if by another Python: it is the only file that such a Python reads."""
    script = tmp_path / "entry.py"
    entry = (ROOT / "launcher" / "__main__.py").read_text()
    script.write_text(f"import sys\nsys.version_info = (3, {minor}, 0, 'final', 0)\n{entry}")
    result = subprocess.run([sys.executable, "-I", str(script)], capture_output=True, text=True, check=False)
    what, todo = result.stderr.splitlines()
    assert (result.returncode, what) == (2, f"error: this is Python 3.{minor}, and Zhiyin needs 3.11, 3.12 or 3.13.")
    assert todo.startswith("  do: ")


def test_up_taken_port_stops_before_anything_is_installed(tmp_path, taken_port):
    shutil.copytree(ROOT / "launcher", tmp_path / "launcher", ignore=shutil.ignore_patterns("__pycache__"))
    env = {"PATH": os.environ["PATH"], **ports.inherited(ports.free()), "ZHIYIN_POSTGRES_PORT": str(taken_port)}
    result = subprocess.run(
        [sys.executable, "-m", "launcher", "up"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    what = f"error: port {taken_port}, meant for postgres, is in use by another program."
    assert (result.returncode, result.stderr.splitlines()[0]) == (1, what)
    assert not (tmp_path / ".venv").exists()
    assert not (tmp_path / "var" / "postgres").exists()


def test_makefile_help_lists_every_command():
    printed = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True).stdout
    listed = {line.split()[1] for line in printed.splitlines() if line.startswith("make ")}
    assert {"up", "test", "lint", "types", "layers", "check", "smoke", "demo", "lock", "clean"} <= listed
