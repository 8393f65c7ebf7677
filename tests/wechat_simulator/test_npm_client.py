"""An independent client from the npm registry, unchanged, against the simulator."""

import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.wechat_simulator.conftest import APPID, GOOD, MINI, TEMPLATE
from tests.wechat_simulator.pay import Shop

FOLDER = Path(__file__).with_name("npm")
INSTALL = ["npm", "ci", "--no-audit", "--no-fund", "--prefer-offline"]
UNREACHABLE = ("EAI_AGAIN", "ENOTFOUND", "ENETUNREACH", "ECONNREFUSED", "ETIMEDOUT")


@pytest.fixture(scope="module")
def installed():
    """The client is there, or the test is left out aloud."""
    if shutil.which("npm") is None:
        pytest.skip("NPM IS MISSING: the independent client was not run against the simulator")
    if not (FOLDER / "node_modules").is_dir():
        done = subprocess.run(INSTALL, cwd=FOLDER, capture_output=True, text=True, timeout=240, check=False)
        if any(code in done.stderr for code in UNREACHABLE):
            pytest.skip("NO WAY TO THE NPM REGISTRY: the independent client was not run against the simulator")
        assert done.returncode == 0, done.stderr


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("installed")
def test_node_easywechat_calls_and_answers(simulator, tmp_path):
    openid = simulator.follow("小雨")
    account = simulator.look(f"/accounts/{APPID}", secrets=1)
    settings = {
        "url": simulator.url, "appid": APPID, "secret": account["secret"], "token": account["token"],
        "aes_key": account["aes_key"], "openid": openid, "template_id": TEMPLATE, "data": GOOD,
    }  # fmt: skip
    with running("client.js", settings, tmp_path) as client:
        assert_calls_worked(simulator, read(client, "normal"), openid)
        assert [tag["name"] for tag in read(client, "stable")["tags"]] == ["星标组", "金卡"]
        port = read(client, "listening")
        callback = f"http://127.0.0.1:{port}/wx"
        simulator.control("/world", {"accounts": [{"appid": APPID, "callback_url": callback}]})
        saw = simulator.act("小雨", "text", content="你好")
        assert read(client, "push") == {"content": "你好", "from": openid}
        assert [entry["content"] for entry in saw["saw"]] == ["你好", "收到：你好"], saw["pushes"]


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("installed")
def test_node_easywechat_is_paid(simulator, tmp_path):
    simulator.control("/clock", {"set": time.time()})  # the client signs by the machine's clock
    shop = Shop(simulator)
    settings = {
        **shop.account,
        "url": simulator.url,
        "appid": MINI,
        "openid": shop.openid(),
        "out_trade_no": "NPM-0001",
    }
    for name in ("private_key", "certificate"):  # the client reads files
        settings[name] = str(tmp_path / f"{name}.pem")
        Path(settings[name]).write_text(shop.account[name], encoding="utf-8")
    with running("pay.js", settings, tmp_path) as client:
        ready = read(client, "ready")
        assert "prepay_id" in ready["made"], ready
        assert ready["serials"] == [row["serial_no"] for row in shop.account["platform_certificates"]]
        assert (ready["query"]["trade_state"], ready["query"]["out_trade_no"]) == ("NOTPAY", "NPM-0001")
        shop.fault("pay_forged", how="merchant_key", count=1)
        shop.fault("pay_duplicate", count=1)
        done = simulator.act("小雨", "pay", MINI, request=ready["request"])
        assert done["paid"] is True
        assert read(client, "refused") == "Invalid Signature"
        shop.advance(15)
        told = [read(client, "notified") for _ in range(2)]
        assert [row["transaction_id"] for row in told] == [done["order"]["transaction_id"]] * 2
        assert told[0]["amount"]["total"] == 100
        assert shop.notes()[0]["outcome"] == "acknowledged"


@contextmanager
def running(script, settings, folder):
    """A client at work, and its pipes closed afterwards."""
    client = subprocess.Popen(
        ["node", str(FOLDER / script), json.dumps(settings)],
        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield client
    finally:
        client.stdin.close()
        client.wait(20)
        client.stdout.close()
        client.stderr.close()


def read(client, kind):
    line = client.stdout.readline()
    assert line, client.stderr.read()
    row = json.loads(line)
    assert row["kind"] == kind, row
    return row["value"]


def assert_calls_worked(simulator, answers, openid):
    assert (answers["user"]["openid"], answers["user"]["subscribe"]) == (openid, 1)
    assert answers["fans"]["data"]["openid"] == [openid]
    assert answers["tagged"] == {"errcode": 0, "errmsg": "ok"}
    assert answers["tags"]["tags"][1] == {"id": 100, "name": "金卡", "count": 1}
    assert answers["menu"]["errcode"] == 0
    assert answers["code"]["ticket"] == simulator.look("/codes", appid=APPID)["codes"][0]["ticket"]
    assert answers["template"]["errcode"] == 0
    assert answers["custom"]["errcode"] == 0
    assert answers["refused"]["errcode"] == 40003
    assert [row["client_msg_id"] for row in simulator.rows(kind="template")] == ["npm-1"]
