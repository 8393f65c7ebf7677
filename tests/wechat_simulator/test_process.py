"""The process itself: command line, loopback only, state that survives a restart."""

import json
import os
import signal
import subprocess
import sys

import requests

from launcher.ports import free_numbers
from tests.wechat_simulator.conftest import APPID, GOOD, TEMPLATE, WORLD, Simulator, wait_until
from wechat_simulator.simulation import Simulation


def start(port, *more):
    environment = {**os.environ, "ZHIYIN_SIMULATOR_PORT": str(port)}
    command = [sys.executable, "-m", "wechat_simulator", *map(str, more)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def up():
        assert process.poll() is None, process.stdout.read()
        try:
            return requests.get(f"http://127.0.0.1:{port}/_sim/health", timeout=5).ok
        except requests.ConnectionError:
            return False

    wait_until(up, 60)
    return process


def stop(process):
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGTERM), output
    return output


def test_state_survives_a_restart(tmp_path):
    world = tmp_path / "world.json"
    world.write_text(json.dumps(WORLD), encoding="utf-8")
    state = tmp_path / "state"
    (port,) = free_numbers(1)
    first = start(port, "--world", world, "--state-dir", state, "--start", "2025-09-01T10:00", "--rate", "0")
    running = Simulator(None, port)
    openid = running.follow("小雨")
    token = running.token()
    body = {"expire_seconds": 600, "action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": "a"}}}
    ticket = running.api("/cgi-bin/qrcode/create", body)["ticket"]
    tag = running.api("/cgi-bin/tags/create", {"tag": {"name": "金卡"}})["tag"]["id"]
    running.api("/cgi-bin/tags/members/batchtagging", {"openid_list": [openid], "tagid": tag})
    running.control("/switches", {"finish_delay_seconds": 30})
    sent = running.send(openid, client_msg_id="c-1")
    conversation = running.entries("小雨")
    running.http.close()
    assert "wechat_simulator on http://127.0.0.1" in stop(first)

    second = start(port, "--world", world, "--state-dir", state)
    running = Simulator(None, port)
    running._tokens[APPID] = token
    assert running.look("/clock")["iso"] == "2025-09-01T10:00:00+08:00"
    assert running.openid("小雨") == openid
    assert running.entries("小雨") == conversation
    assert running.look("/codes", appid=APPID)["codes"][0]["ticket"] == ticket
    assert running.api("/cgi-bin/tags/getidlist", {"openid": openid}) == {"tagid_list": [tag]}
    assert running.send(openid, client_msg_id="c-1") == sent
    running.control("/clock", {"advance": 30})
    assert running.rows(kind="template")[0]["status"] == "success"
    assert running.entries("小雨")[-1]["msgid"] == str(sent["msgid"])
    running.http.close()
    stop(second)


def test_damaged_state_is_set_aside(tmp_path):
    (tmp_path / "simulator.json").write_text('{"version": 1, "switches": {"long_gone": 1}}', encoding="utf-8")
    (port,) = free_numbers(1)
    process = start(port, "--state-dir", tmp_path)
    assert "set aside" in stop(process)
    assert (tmp_path / "simulator.damaged").exists()
    assert json.loads((tmp_path / "simulator.json").read_text(encoding="utf-8"))["version"] == 1


def test_only_loopback_is_listened_on():
    command = [sys.executable, "-m", "wechat_simulator", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "loopback only" in done.stderr) == (2, True)


def test_open_stream_does_not_hold_up_the_stop():
    (port,) = free_numbers(1)
    process = start(port)
    with requests.get(f"http://127.0.0.1:{port}/_sim/events", stream=True, timeout=10) as stream:
        assert next(stream.iter_lines()) == b"event: hello"
        stop(process)


def test_imports_nothing_of_the_product():
    code = (
        "import sys, wechat_simulator.__main__\n"
        "ours = {'accounts', 'campaigns', 'common', 'config', 'console', 'conversations', 'django', 'guides', 'launcher',"
        " 'members', 'stores', 'touchpoints', 'wechat_gateway', 'wechatpy'}\n"
        "print(sorted(ours & {name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_hundred_thousand_sends_are_counted_and_paged():
    sim = Simulation()
    sim.merge_world({**WORLD, "crowds": [{"prefix": "fan", "count": 20_000, "follows": [APPID]}]})
    account = sim.world.accounts[APPID]
    body = json.dumps({"template_id": TEMPLATE, "data": GOOD}).encode()
    for number in range(5):
        for openid in account.fans:
            sent = sim.truth.accept(
                at=0.0, kind="template", appid=APPID, openid=openid, body=body, msgid=sim.new_msgid(),
                template_id=TEMPLATE, client_msg_id=f"{number}-{openid}", content=f"{number}",
            )  # fmt: skip
            sim.truth.finish(sent, "success", 1.0)
    page = sim.truth.page(appid=APPID, kind="template", since=99_000)
    assert (len(page["rows"]), page["next"]) == (1000, None)
    assert page["counts"][APPID]["template"] == {
        "accepted": 100_000,
        "success": 100_000,
        "received": 100_000,
    }
