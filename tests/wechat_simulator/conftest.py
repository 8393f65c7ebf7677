"""A simulator of its own for each test, on a free port, and a small server that takes its pushes."""

import functools
import itertools
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from wechat_simulator.clock import Clock
from wechat_simulator.pay import keys
from wechat_simulator.serving import make_server
from wechat_simulator.simulation import Simulation
from wechat_simulator.switches import Switches

APPID = "wxlanyu0000000001"
OTHER = "wxzaoshan00000001"
MINI = "wxlanyumini000001"
TEMPLATE = "tpl-booking-0001"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
WORLD = {
    "subjects": [{"id": "lanyu", "name": "澜屿"}],
    "accounts": [
        {
            "appid": APPID,
            "name": "澜屿 LANYU",
            "subject": "lanyu",
            "token": "brandCrmToken2024",
            "aes_key": AES_KEY,
            "templates": [
                {
                    "template_id": TEMPLATE,
                    "title": "预约提醒",
                    "keys": [{"key": "thing1", "label": "门店"}, {"key": "time2", "label": "时间"}],
                }
            ],
        },
        {"appid": MINI, "kind": "mini", "name": "澜屿会员", "subject": "lanyu"},
        {"appid": OTHER, "name": "灶山小馆 ZAOSHAN"},
    ],
}
GOOD = {"thing1": {"value": "上海静安店"}, "time2": {"value": "2025-06-02 15:30"}}


def wait_until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.01)


class Simulator:
    """What tests need to speak to a running simulator."""

    def __init__(self, sim, port):
        self.sim = sim
        self.url = f"http://127.0.0.1:{port}"
        self.http = requests.Session()
        self.http.trust_env = False
        self._tokens = {}

    def get(self, where, /, **params):
        return self.http.get(self.url + where, params=params, timeout=30)

    def control(self, path, data=None, method="POST"):
        answer = self.http.request(method, self.url + "/_sim" + path, json=data or {}, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def look(self, where, /, **params):
        answer = self.get("/_sim" + where, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def secret(self, appid=APPID):
        return self.look(f"/accounts/{appid}", secrets=1)["secret"]

    def token(self, appid=APPID):
        if appid not in self._tokens:
            answer = self.api("/cgi-bin/stable_token", self.grant(appid), token=None)
            self._tokens[appid] = answer["access_token"]
        return self._tokens[appid]

    def grant(self, appid=APPID, **more):
        return {"grant_type": "client_credential", "appid": appid, "secret": self.secret(appid), **more}

    def raw(self, path, body, appid=APPID, token=""):
        params = {} if token is None else {"access_token": token or self.token(appid)}
        return self.http.post(self.url + path, params=params, data=body, timeout=30)

    def api(self, path, data=None, appid=APPID, token=""):
        answer = self.raw(path, json.dumps(data or {}, ensure_ascii=False).encode(), appid, token)
        assert answer.status_code == 200
        return answer.json()

    def ask(self, path, appid=APPID, **params):
        return self.get(path, access_token=self.token(appid), **params).json()

    def act(self, person, act, appid=APPID, **fields):
        return self.control(f"/people/{urllib.parse.quote(person)}/act", {"act": act, "appid": appid, **fields})

    def follow(self, person, appid=APPID, **fields):
        self.act(person, "follow", appid, **fields)
        return self.openid(person, appid)

    def openid(self, person, appid=APPID):
        return self.look(f"/people/{urllib.parse.quote(person)}")["accounts"][appid]["openid"]

    def send(self, openid, appid=APPID, **more):
        body = {"touser": openid, "template_id": TEMPLATE, "data": GOOD, **more}
        return self.api("/cgi-bin/message/template/send", body, appid)

    def rows(self, **params):
        return self.look("/truth", **params)["rows"]

    def entries(self, person, appid=APPID):
        return self.look(f"/people/{urllib.parse.quote(person)}/conversation", appid=appid)["entries"]

    def switch(self, **values):
        return self.control("/switches", values)

    def settle(self):
        assert self.control("/settle", {"timeout": 30})["settled"] is True


@functools.cache
def ready_key(number):
    return MAKE_KEY()


MAKE_KEY = keys.new_key


@pytest.fixture(autouse=True)
def ready_keys(monkeypatch):
    """RSA keys of WeChat Pay take long to make: every test gets the same ones, in turn."""
    numbers = itertools.count()
    monkeypatch.setattr(keys, "new_key", lambda: ready_key(next(numbers)))


@pytest.fixture
def simulator():
    sim = Simulation(clock=Clock(), switches=Switches(push_retry_spacing_seconds=0.0, finish_delay_seconds=0.0))
    server = make_server(sim, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    running = Simulator(sim, server.port)
    running.control("/world", WORLD)
    yield running
    running.http.close()
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


class Callback:
    """A callback URL: keeps what came, answers what ``reply`` (a function of the request) gives."""

    def __init__(self):
        self.requests = []
        self.reply = lambda _request: (200, b"success")
        callback = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args):
                pass

            def do_GET(self):
                self._answer(b"")

            def do_POST(self):
                self._answer(self.rfile.read(int(self.headers["Content-Length"])))

            def _answer(self, body):
                parts = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(parts.query))
                request = {"method": self.command, "query": query, "body": body, "at": time.monotonic()}
                request |= {"path": parts.path, "headers": dict(self.headers), "pairs": self.headers.items()}
                callback.requests.append(request)
                status, answer = callback.reply(request)
                try:
                    self.send_response(status)
                    if status != 204:  # it has no length (RFC 9110, 8.6)
                        self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except OSError:
                    self.close_connection = True

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/wx/cb"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(5)


@pytest.fixture
def callback(simulator):
    receiver = Callback()
    simulator.control("/world", {"accounts": [{"appid": APPID, "callback_url": receiver.url}]})
    yield receiver
    receiver.close()
