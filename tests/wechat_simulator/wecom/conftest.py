"""A corp with staff, customers and two applications; a callback that reads what WeCom pushes."""

import base64
import hashlib
import json
import urllib.parse
from xml.etree import ElementTree as ET

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.wechat_simulator.conftest import MINI, Callback

CORP = "ww0123456789abcdef"
OTHER_CORP = "ww00000000000other"
AES_KEY = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"
TOKEN = "TestToken2026"
WORLD = {
    "people": [{"id": f"guest{number}", "nickname": f"客人{number}"} for number in range(1, 8)],
    "corps": [
        {
            "corpid": CORP,
            "name": "澜屿",
            "subject": "lanyu",
            "mini_programs": [MINI],
            "agents": [
                {"agentid": 1000002, "name": "知音", "token": TOKEN, "aes_key": AES_KEY},
                {"agentid": 1000003, "name": "别的应用"},
            ],
            "departments": [
                {"id": 1, "name": "澜屿", "parentid": 0, "order": 1},
                {"id": 2, "name": "静安店", "parentid": 1, "order": 1},
            ],
            "staff": [
                {"userid": "guide01", "name": "顾问小王", "department": [2], "mobile": "13800000001"},
                {"userid": "guide02", "name": "顾问小李", "department": [2], "leader": ["guide01"]},
                {"userid": "guide03", "name": "顾问小周", "department": [1]},
                {"userid": "clerk", "name": "出纳", "contact": False},
                {"userid": "trainee", "name": "实习生", "real_name": False},
            ],
            "tags": {"会员等级": ["金卡", "银卡"]},
        },
        {"corpid": OTHER_CORP, "name": "灶山", "agents": [{"agentid": 1}], "staff": [{"userid": "guide01"}]},
    ],
}


class WeCom:
    """What tests need of a running simulator with a corp."""

    def __init__(self, simulator):
        self.simulator = simulator
        self.sim = simulator.sim
        self._tokens = {}

    def secret(self, corp=CORP, agent=1000002):
        agents = self.simulator.look(f"/wecom/{corp}", secrets=1)["agents"]
        return next(item["secret"] for item in agents if item["agentid"] == agent)

    def gettoken(self, corp=CORP, agent=1000002):
        return self.simulator.get("/qyapi/cgi-bin/gettoken", corpid=corp, corpsecret=self.secret(corp, agent)).json()

    def token(self, corp=CORP, agent=1000002):
        if (corp, agent) not in self._tokens:
            self._tokens[corp, agent] = self.gettoken(corp, agent)["access_token"]
        return self._tokens[corp, agent]

    def forget(self):
        self._tokens.clear()

    def get(self, path, corp=CORP, agent=1000002, **params):
        token = self.token(corp, agent)
        return self.simulator.get("/qyapi/cgi-bin" + path, access_token=token, **params).json()

    def post(self, path, data=None, corp=CORP, agent=1000002):
        body = json.dumps(data or {}, ensure_ascii=False).encode()
        where = self.simulator.url + "/qyapi/cgi-bin" + path
        answer = self.simulator.http.post(
            where, params={"access_token": self.token(corp, agent)}, data=body, timeout=30
        )
        assert answer.status_code == 200
        return answer.json()

    def ec(self, path, data=None, **more):
        return self.post("/externalcontact" + path, data, **more)

    def good(self, path, data=None, **more):
        answer = self.ec(path, data, **more)
        assert answer["errcode"] == 0, answer
        return answer

    def act(self, person, act, corp=CORP, **fields):
        return self.simulator.control(f"/wecom/{corp}/people/{urllib.parse.quote(person)}/act", {"act": act, **fields})

    def refused(self, person, act, **fields):
        where = f"{self.simulator.url}/_sim/wecom/{CORP}/people/{person}/act"
        answer = self.simulator.http.post(where, json={"act": act, **fields}, timeout=30)
        assert answer.status_code == 400
        return answer.json()["error"]

    def staff(self, userid, act, corp=CORP, **fields):
        return self.simulator.control(f"/wecom/{corp}/staff/{userid}/act", {"act": act, **fields})

    def add(self, person="小雨", userid="guide01", **fields):
        return self.act(person, "add", userid=userid, **fields)["external_userid"]

    def chat(self, person, corp=CORP, **params):
        return self.simulator.look(f"/wecom/{corp}/people/{urllib.parse.quote(person)}/chat", **params)

    def texts(self, person, userid="guide01"):
        return [entry["content"] for entry in self.chat(person, userid=userid)["entries"] if entry["kind"] == "text"]

    def truth(self, corp=CORP):
        return self.simulator.look(f"/wecom/{corp}/truth")

    def advance(self, seconds):
        self.simulator.control("/clock", {"advance": seconds})
        self.simulator.settle()

    def stop_clock(self):
        self.simulator.control("/clock", {"pause": True})

    def now(self):
        return self.simulator.look("/clock")["now"]


@pytest.fixture
def wecom(simulator):
    simulator.control("/world", WORLD)
    return WeCom(simulator)


def opened(text, key=AES_KEY):
    """Message and ReceiveId of an encrypted text, written from the reference alone."""
    raw = base64.b64decode(key + "=")
    decryptor = Cipher(algorithms.AES(raw), modes.CBC(raw[:16])).decryptor()
    plain = decryptor.update(base64.b64decode(text)) + decryptor.finalize()
    plain = plain[: -plain[-1]]
    length = int.from_bytes(plain[16:20], "big")
    return plain[20 : 20 + length], plain[20 + length :].decode()


def signed(*parts):
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()


def fields_of(element):
    return {child.tag: fields_of(child) if len(child) else (child.text or "") for child in element}


class Ear(Callback):
    """A callback of an application: checks the signature, opens the envelope."""

    def __init__(self):
        super().__init__()
        self.reply = lambda _request: (200, b"")

    @property
    def events(self):
        return [self.read(request) for request in self.requests]

    @staticmethod
    def read(request):
        outer = fields_of(ET.fromstring(request["body"]))
        query = request["query"]
        assert query["msg_signature"] == signed(TOKEN, query["timestamp"], query["nonce"], outer["Encrypt"])
        assert set(query) == {"msg_signature", "timestamp", "nonce"}
        message, receiver = opened(outer["Encrypt"])
        assert receiver == CORP
        return fields_of(ET.fromstring(message))

    def last(self, change):
        return [event for event in self.events if event["ChangeType"] == change][-1]

    def kinds(self):
        return [event["ChangeType"] for event in self.events]


@pytest.fixture
def ear(wecom):
    receiver = Ear()
    agents = [{"agentid": 1000002, "callback_url": receiver.url}]
    wecom.simulator.control("/world", {"corps": [{"corpid": CORP, "agents": agents}]})
    yield receiver
    receiver.close()
