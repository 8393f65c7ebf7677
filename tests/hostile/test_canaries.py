"""Secrets that were planted come out of no sink of a running product, whatever goes wrong (S8, S9)."""

import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest
import redis
import requests

from launcher.launched import Launched
from tests.hostile.canaries import base64_of, letters, spellings
from tests.hostile.sizes import figure, size

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900), pytest.mark.long(50, together=True)]

PASSWORD = f"horse {letters(14)} battery"
TEMPLATE = "tpl-canary"
WAIT = 40

# What WeChat or the line to it does, each with every kind of call that carries a secret; the most telling ones first.
FAULTS = {
    "elsewhere": {"kind": "redirect", "location": "http://127.0.0.1:9/?secret=%(secret)s&access_token=%(secret)s"},
    "echo": {"kind": "errcode", "errcode": 40125, "errmsg": "invalid appsecret, secret=%(secret)s access_token=%(secret)s"},
    "told": {"kind": "http_status", "status": 503, "body": "GET /?secret=%(secret)s&js_code=%(secret)s failed"},
    "reset after": {"kind": "reset", "effect": "after"},
    "cut": {"kind": "truncate"},
    "page": {"kind": "html"},
    "empty": {"kind": "empty"},
    "rubbish": {"kind": "trailing_bytes"},
    "list": {"kind": "json_array"},
    "busy": {"kind": "busy"},
    "reset before": {"kind": "reset", "effect": "before"},
    "silence": {"kind": "hang", "seconds": 20},
    "500": {"kind": "http_status", "status": 500},
    "502": {"kind": "http_status", "status": 502},
    "403": {"kind": "http_status", "status": 403},
}  # fmt: skip
FAULTS = dict(list(FAULTS.items())[: size("faults")])
CALLS = {
    "sign-in": "/sns/jscode2session",
    "token": "/cgi-bin/stable_token",
    "phone": "/wxa/business/getuserphonenumber",
}


class Product:
    """The product with the planted brand, and everything it lets out."""

    def __init__(self, running):
        self.running = running
        self.http = requests.Session()
        self.http.trust_env = False
        self.sinks = {}
        self.lock = threading.Lock()
        self.commands = []
        self.account = {
            "name": "服务号",
            "appid": "wx" + secrets.token_hex(8),
            "original_id": "gh_" + secrets.token_hex(6),
            "app_secret": secrets.token_hex(16),
            "callback_token": letters(28),
            "encoding_aes_key": letters(42) + "A",
        }
        self.programs = {
            what: {"appid": "wx" + secrets.token_hex(8), "app_secret": secrets.token_hex(16)} for what in FAULTS
        }
        self.phones = {what: f"199{n:02d}{secrets.randbelow(900_000) + 100_000}" for n, what in enumerate(FAULTS)}
        # What somebody writes in the chat is kept and shown to operators, and goes nowhere else.
        self.spoken = [f"198{n:02d}{secrets.randbelow(900_000) + 100_000}" for n in range(5)]
        self.planted = {
            "app secret": [self.account["app_secret"], *(each["app_secret"] for each in self.programs.values())],
            "callback token": [self.account["callback_token"]],
            "message key": [self.account["encoding_aes_key"]],
            "phone": list(self.phones.values()),
            "phone in a chat": self.spoken,
            "password": [PASSWORD, PASSWORD.split()[1]],
            "our own keys": [running.env["ZHIYIN_SECRET_KEY"], running.env["ZHIYIN_MASTER_KEYS"].partition(":")[2]],
            "metrics token": [running.env["ZHIYIN_METRICS_TOKEN"]],
            "access token": [],
            "session key": [],
            "member token": [],
        }

    # -- playing ------------------------------------------------------------------------------------------------------

    def inside(self, function, wish=None):
        """Run a function of `planted` in the product's own process environment."""
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "-v", "0", "-c", f"from tests.hostile import planted; planted.{function}()"],
            env={**os.environ, **self.running.env}, input=json.dumps(wish), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        self.keep(f"stderr of {function}", done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def plant(self):
        wish = {
            "account": self.account,
            "programs": list(self.programs.values()),
            "password": PASSWORD,
            "template": TEMPLATE,
        }
        made = self.inside("plant", wish)
        self.planted["API key"] = [made["key"]]
        self.path_token = made["path_token"]
        spec = {name: self.account[name] for name in ("appid", "name", "original_id")} | {
            "kind": "service",
            "secret": self.account["app_secret"],
            "token": self.account["callback_token"],
            "aes_key": self.account["encoding_aes_key"],
            "mode": "safe",
            "subject": "canary",
            "callback_url": f"{self.running.urls['gateway'].rstrip('/')}/wx/{made['path_token']}",
            "templates": [{"template_id": TEMPLATE, "title": "预约提醒", "keys": [{"key": "thing1", "label": "事项"}, {"key": "time2", "label": "时间"}]}],
        }  # fmt: skip
        minis = [
            {"appid": each["appid"], "kind": "mini", "name": "会员", "subject": "canary", "secret": each["app_secret"]}
            for each in self.programs.values()
        ]
        people = [
            {"id": f"canary-{n}", "nickname": f"客{n}", "phone": phone} for n, phone in enumerate(self.phones.values())
        ]
        self.sim("/_sim/world", {"subjects": [{"id": "canary", "name": "金丝雀"}], "accounts": [spec, *minis], "people": people})  # fmt: skip

    def sim(self, path, body=None, method=None):
        answer = self.http.request(method or ("POST" if body is not None else "GET"), self.url("simulator") + path, json=body, timeout=60)  # fmt: skip
        assert answer.status_code == 200, answer.text
        return answer.json()

    def url(self, name):
        return self.running.urls[name].rstrip("/")

    def keep(self, sink, text):
        with self.lock:
            self.sinks.setdefault(sink, []).append(text)

    def api(self, method, path, *, token="", show=True, **more):
        headers = {"Authorization": token} if token else {}
        answer = requests.request(method, f"{self.url('web')}/api/v1{path}", headers=headers, timeout=60, **more)
        if show:
            self.keep(f"answer of {method} {path}", f"{answer.status_code} {answer.headers} {answer.text}")
        return answer

    def logs(self):
        return {path.name: path.read_text(errors="replace") for path in Path(self.running.logs).glob("*.log") if "simulator" not in path.name}  # fmt: skip

    def lines_about(self, word):
        return sum(text.count(word) for text in self.logs().values())

    # -- the scenes ---------------------------------------------------------------------------------------------------

    def sign_in(self, number, appid, *, show=False):
        code = self.sim(f"/_sim/people/canary-{number}/act", {"act": "login", "appid": appid})["code"]
        return self.api("POST", "/session/", show=show, json={"appid": appid, "code": code})

    def share_phone(self, number, appid, token):
        code = self.sim(f"/_sim/people/canary-{number}/act", {"act": "phone", "appid": appid})["code"]
        return self.api("POST", "/me/phone/", token=token, json={"code": code})

    def scenes_of(self, number, what):
        """The three scenes of one fault; gives those that left no line in any log."""
        program, silent = self.programs[what], []
        filled = {
            name: value % {"secret": program["app_secret"]} if isinstance(value, str) else value
            for name, value in FAULTS[what].items()
        }
        bearer = ""
        for scene, path in CALLS.items():
            before = self.lines_about(program["appid"])
            fault = self.sim("/_sim/faults", {**filled, "appid": program["appid"], "path": path})
            if scene == "sign-in":
                refused = self.sign_in(number, program["appid"], show=True)
            else:
                refused = self.share_phone(number, program["appid"], bearer)
            self.sim(f"/_sim/faults/{fault['id']}", method="DELETE")
            assert refused.status_code in {401, 403, 409, 503}, (what, scene, refused.status_code, refused.text)
            if self.lines_about(program["appid"]) == before:
                silent.append((what, scene))
            if scene == "sign-in":
                signed_in = self.sign_in(number, program["appid"])
                assert signed_in.status_code == 201, (what, signed_in.text)
                token = signed_in.json()["token"]
                self.planted["member token"].append(token)
                bearer = f"Bearer {token}"
            else:
                self.unpark(program["appid"])
        return silent

    def unpark(self, appid):
        """As an operator does who has repaired the cause."""
        with self.lock:
            row = re.search(rf'miniprogram/(\d+)/change/[^"]*"[^<]*(?:<[^>]*>[^<]*){{0,14}}?{appid}', self.page("/wechat_gateway/miniprogram/", show=False))  # fmt: skip
            assert row, appid
            self.form(f"/wechat_gateway/miniprogram/{row[1]}/change/", act="resume")

    def sign_in_operator(self):
        self.console = requests.Session()
        self.console.trust_env = False
        login = f"{self.url('web')}/login/"
        self.console.get(login, timeout=60)
        for given in (PASSWORD + "x", PASSWORD):
            answer = self.console.post(
                login,
                data={
                    "username": "canary-owner",
                    "password": given,
                    "csrfmiddlewaretoken": self.console.cookies["csrftoken"],
                },
                headers={"Referer": login},
                timeout=60,
            )
            self.sinks.setdefault("sign-in page", []).append(answer.text)
        assert "/login/" not in answer.url

    def page(self, path, *, show=True):
        answer = self.console.get(f"{self.url('web')}/b/canary{path}", timeout=60)
        assert answer.status_code == 200, (path, answer.status_code)
        if show:
            self.keep(f"page {path}", answer.text)
        return answer.text

    def form(self, path, **data):
        where = f"{self.url('web')}/b/canary{path}"
        answer = self.console.post(
            where,
            data={**data, "csrfmiddlewaretoken": self.console.cookies["csrftoken"]},
            headers={"Referer": where},
            timeout=60,
        )
        self.sinks.setdefault(f"page after {path}", []).append(answer.text)
        return answer

    def crawl(self):
        """Every page the owner gets to by links."""
        seen, waiting = set(), ["/"]
        while waiting and len(seen) < 150:
            path = waiting.pop(0)
            if path in seen or any(word in path for word in ("logout", "delete", "?", "/add/")):
                continue
            seen.add(path)
            answer = self.console.get(f"{self.url('web')}/b/canary{path}", timeout=60)
            if "html" not in answer.headers.get("Content-Type", ""):
                continue
            self.keep(f"page {path}", answer.text)
            waiting += [found for found in re.findall(r'href="/b/canary(/[^"#]*)"', answer.text) if found not in seen]
        return len(seen)

    def followers(self):
        """Pushes, replies and calls of the service account, with its token refused and its answers broken in between."""
        appid = self.account["appid"]
        for number, fault in enumerate(({"kind": "latency", "ms": 1}, {"kind": "html"}, {"kind": "reset"}, {"kind": "errcode", "errcode": 40001}, {"kind": "truncate"})):  # fmt: skip
            made = self.sim("/_sim/faults", {**fault, "appid": appid, "path": "/cgi-bin/user/info", "count": 2})
            self.sim(f"/_sim/people/canary-{number}/act", {"act": "follow", "appid": appid})
            self.sim(f"/_sim/people/canary-{number}/act", {"act": "text", "appid": appid, "content": f"我的手机是{self.spoken[number]}"})  # fmt: skip
            self.sim(f"/_sim/faults/{made['id']}", method="DELETE")
        for kind in ("push_bad_signature", "push_duplicate"):
            self.sim("/_sim/faults", {"kind": kind, "appid": appid, "count": 1})
            self.sim("/_sim/people/canary-0/act", {"act": "text", "appid": appid, "content": kind})
        self.sim("/_sim/settle", {"timeout": 30})
        deadline = time.monotonic() + WAIT
        while self.inside("secrets")["followers"] < 5 and time.monotonic() < deadline:
            time.sleep(0.5)

    def campaign(self):
        for kind in ("html", "reset", "truncate"):
            self.sim("/_sim/faults", {"kind": kind, "appid": self.account["appid"], "path": "/cgi-bin/message/template/send", "count": 1})  # fmt: skip
        self.inside("launch")
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            calls = self.sim(f"/_sim/calls?appid={self.account['appid']}&path=/cgi-bin/message/template/send")["calls"]
            if len(calls) >= 4:
                return len(calls)
            time.sleep(0.5)
        return 0

    def strangers(self):
        """Requests that carry secrets where they do not belong."""
        web, gateway, key = self.url("web"), self.url("gateway"), self.planted["API key"][0]
        token = self.planted["member token"][0]
        phone = next(iter(self.phones.values()))
        tries = [
            ("GET", f"{web}/api/v1/me/?access_token={token}&token={token}", {}),
            ("GET", f"{web}/api/v1/members/?phone={phone}&nonsense=1", {"headers": {"Authorization": f"Key {key}"}}),
            ("GET", f"{web}/api/v1/members/?phone=%2B86{phone}", {"headers": {"Authorization": f"Key {key}"}}),
            ("GET", f"{web}/api/v1/members/?phone={phone}", {"headers": {"Authorization": f"Key {key[:-1]}"}}),
            ("PATCH", f"{web}/api/v1/me/", {"headers": {"Authorization": f"Bearer {token}x"}, "data": phone}),
            ("PATCH", f"{web}/api/v1/me/", {"headers": {"Authorization": f"Bearer {token}"}, "json": {"phone": phone}}),
            ("PATCH", f"{web}/api/v1/me/", {"headers": {"Authorization": f"Bearer {token}"}, "data": f'{{"name": "{phone}"'}),
            ("POST", f"{web}/login/", {"data": {"username": "canary-owner", "password": PASSWORD}}),
            ("GET", f"{web}/nowhere/?secret={self.account['app_secret']}&password={PASSWORD}", {}),
            ("GET", f"{web}/metrics", {"headers": {"Authorization": f"Bearer {self.running.env['ZHIYIN_METRICS_TOKEN'][:-1]}"}}),
            ("POST", f"{gateway}/wx/{self.path_token}?signature=0&timestamp=1&nonce={self.account['callback_token']}", {"data": b"<"}),
            ("GET", f"{gateway}/wx/{self.path_token}?echostr={self.account['callback_token']}", {}),
            ("POST", f"{gateway}/nowhere?access_token={token}", {"data": self.account["encoding_aes_key"]}),
        ]  # fmt: skip
        for method, url, more in tries:
            answer = requests.request(method, url, timeout=60, **more)
            assert answer.status_code < 500, (url, answer.status_code)
            self.keep(f"answer of {method} {url.partition('?')[0]}", f"{answer.headers} {answer.text}")
        return len(tries)

    def export(self):
        """A list of everybody, as another system takes it away; gives how many people it holds."""
        key = f"Key {self.planted['API key'][0]}"
        path = f"/exports/{self.api('POST', '/exports/', token=key, json={}).json()['id']}/"
        deadline = time.monotonic() + 60
        while self.api("GET", path, token=key).json()["state"] == "WAITING" and time.monotonic() < deadline:
            time.sleep(0.2)
        body = self.api("GET", f"{path}file/", token=key, show=False)
        self.keep("file of an export", f"{body.headers} {body.text}")
        return len(body.text.splitlines()) - 1 if body.status_code == 200 else 0

    # -- the sinks ----------------------------------------------------------------------------------------------------

    def watch_redis(self):
        """Remember every command that reaches Redis: tasks, caches, rate limits."""
        client = redis.Redis.from_url(self.running.env["REDIS_URL"])

        def listen():
            with contextlib.suppress(redis.RedisError, OSError, ValueError), client.monitor() as monitor:
                for command in monitor.listen():
                    self.commands.append(command["command"])

        threading.Thread(target=listen, daemon=True).start()

    def collect(self):
        """Everything that has come out."""
        found = {name: "\n".join(texts) for name, texts in self.sinks.items()}
        found |= {f"log {name}": text for name, text in self.logs().items()}
        found["launcher"] = self.running.messages()
        found |= {f"file {name}": text for name, text in files_of(Path(self.running.env["ZHIYIN_STATE_DIR"])).items()}
        found["commands to Redis"] = "\n".join(self.commands)
        found["what Redis holds"] = dump_of_redis(self.running.env["REDIS_URL"])
        found |= {f"table {name}": text for name, text in tables_of(self.running.env["DATABASE_URL"]).items()}
        token = {"Authorization": f"Bearer {self.running.env['ZHIYIN_METRICS_TOKEN']}"}
        for name in ("web", "gateway"):
            found[f"metrics of {name}"] = requests.get(f"{self.url(name)}/metrics", headers=token, timeout=60).text
        return found


# Not ours to look into: the files of the databases, the logs (looked at by themselves), and where the launcher keeps the keys.
ELSEWHERE = {"postgres", "redis", "valkey", "log", "secrets.json", "running.json"}


def files_of(folder):
    """Whatever the product has left in its folder: private storage, crash dumps, things nobody thought of."""
    return {
        str(path.relative_to(folder)): path.read_bytes().decode("latin-1")
        for path in folder.rglob("*")
        if path.is_file() and not ELSEWHERE & set(path.relative_to(folder).parts)
    }


def dump_of_redis(url):
    lines = []
    for number in range(4):
        with redis.Redis.from_url(re.sub(r"/\d+$", f"/{number}", url)) as client:
            for key in client.scan_iter(count=1000):
                kind = client.type(key).decode()
                value = {
                    "string": client.get, "hash": client.hgetall, "set": client.smembers, "stream": client.xrange,
                    "list": lambda k, c=client: c.lrange(k, 0, -1), "zset": lambda k, c=client: c.zrange(k, 0, -1),
                }[kind](key)  # fmt: skip
                lines.append(f"{key!r} {value!r}")
    return "\n".join(lines)


def tables_of(url):
    """Every row of every table as text; sealed columns are bytes and stay, in hex: nothing in them may be clear."""
    found = {}
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        names = [name for (name,) in cursor.fetchall()]
        for name in names:
            for role in ("RESET ROLE", "SET ROLE zhiyin_reports"):
                connection.rollback()
                cursor.execute(role)
                try:
                    cursor.execute(f'SELECT t::text FROM "{name}" t')
                except psycopg2.errors.InsufficientPrivilege:
                    continue
                rows = [row for (row,) in cursor.fetchall()]
                if rows:
                    found[name] = "\n".join(rows)
    return found


def meant(what, sink):
    """Whether a value belongs there: the words of a chat in the inbox, and on the pages of those who may read it."""
    chat = {"table wechat_gateway_inboundpush", "table inbox_message", "table inbox_conversation"}
    return what == "phone in a chat" and (sink in chat or sink.startswith("page /"))


def leaks(sinks, planted):
    """[(what, sink, spelling number)] of planted values that came out."""
    found = []
    for what, values in planted.items():
        for value in values:
            for spelling in spellings(value):
                found += [(what, name, text[max(0, text.find(spelling) - 120) : text.find(spelling)]) for name, text in sinks.items() if spelling in text and not meant(what, name)]  # fmt: skip
    return found


@pytest.fixture(scope="module")
def product():
    env = {**os.environ, "ZHIYIN_LOG_LEVEL": "DEBUG", "ZHIYIN_METRICS_TOKEN": letters(32)}
    for name in [name for name in env if name.startswith(("ZHIYIN_", "DATABASE_", "REDIS_"))]:
        if name not in {"ZHIYIN_LOG_LEVEL", "ZHIYIN_METRICS_TOKEN"}:
            del env[name]
    with Launched("--throwaway", "--in-memory", "--no-demo", env=env) as running:
        running.env.setdefault("ZHIYIN_METRICS_TOKEN", env["ZHIYIN_METRICS_TOKEN"])
        yield Product(running)


def test_secrets_come_out_nowhere(product):
    product.watch_redis()
    product.plant()
    product.sign_in_operator()
    with ThreadPoolExecutor(3) as pool:
        silent = [each for found in pool.map(product.scenes_of, range(len(FAULTS)), FAULTS) for each in found]
    product.followers()
    sent = product.campaign()
    tries = product.strangers()
    exported = product.export()
    pages = product.crawl()
    given = product.inside("secrets")
    product.planted["access token"] += given["access_token"]
    product.planted["session key"] += given["session_key"]
    sinks = product.collect()

    scenes = len(FAULTS) * len(CALLS)
    figure("S8", "scenes with a fault", str(scenes + 10), ">= 40 with all faults")
    figure("S8", "sinks looked through", f"{len(sinks)} ({sum(map(len, sinks.values())) / 2**20:.1f} MiB)")
    figure("S8", "secrets planted", ", ".join(f"{len(values)} {what}" for what, values in product.planted.items()))
    found = leaks(sinks, product.planted)
    figure("S8", "hits", str(len(found)), "0")

    assert scenes == 3 * size("faults")
    assert silent == []
    assert sent >= 4
    assert tries
    assert exported >= 4
    assert pages > 20
    assert len(given["session_key"]) >= len(FAULTS)
    assert len(given["access_token"]) >= 5
    for name in ("gateway", "web", "worker-inbound", "worker-send", "beat"):
        assert any(name in sink and len(text) > 100 for sink, text in sinks.items() if sink.startswith("log ")), name
    assert len(product.commands) > 100
    assert any(name.startswith("table wechat_gateway_inboundpush") for name in sinks)
    assert found == []


@pytest.mark.parametrize("wrap", [
    str, lambda s: s[::-1], lambda s: s.encode().hex(), lambda s: json.dumps({"a": s}),
    lambda s: __import__("base64").b64encode(b"x" + s.encode()).decode(),
    lambda s: __import__("base64").b64encode(b"xy" + s.encode() + b"z").decode(),
    lambda s: __import__("urllib.parse").parse.quote("/" + s, safe=""),
])  # fmt: skip
def test_every_spelling_is_found(wrap):
    value = "aB3/" + letters(28)
    assert leaks({"sink": f"before {wrap(value)} after"}, {"it": [value]})
    assert not leaks({"sink": f"before {wrap(letters(32))} after"}, {"it": [value]})
    assert base64_of(value.encode())
