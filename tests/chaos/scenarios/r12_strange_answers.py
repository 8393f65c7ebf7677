"""R12: every strange answer has one class over the real wire, for sends, reads, uploads and the token itself."""

from __future__ import annotations

import base64
import gzip
import itertools
import time

from django.conf import settings

from tests.chaos.world import AT, SEND, TOKEN, Shop
from wechat_gateway import client, tokens
from wechat_gateway.answers import Outcome

USER_INFO = "/cgi-bin/user/info"
UPLOAD = "/cgi-bin/media/upload"
A, R, S, K = Outcome.ACCEPTED, Outcome.REFUSED, Outcome.NOT_SENT, Outcome.UNKNOWN
DEADLINE_SECONDS = 8.0
# Reads have no id to ask for and their answers no errcode: what is a whole JSON object without an error is accepted.
BODIES = {
    "OB02 no msgid": ('{"errcode":0,"errmsg":"ok"}', K, A),
    "OB03 code as text": ('{"errcode":"0","errmsg":"ok","msgid":4011987509999999001}', A, A),
    "OB04 no errcode": ('{"msgid":4011987509999999002}', K, A),
    "OB05 null": ('{"errcode":null,"msgid":4011987509999999003}', K, K),
    "OB05 true": ('{"errcode":true,"msgid":4011987509999999003}', K, K),
    "OB05 0.0": ('{"errcode":0.0,"msgid":4011987509999999003}', K, K),
    "OB05 words": ('{"errcode":"abc","msgid":4011987509999999003}', K, K),
    "OB05 list": ('{"errcode":[0],"msgid":4011987509999999003}', K, K),
    "OB06 two codes": ('{"errcode":0,"msgid":4011987509999999004,"errcode":40003}', K, K),
    "OB10 cut": ('{"errcode":0,"errmsg":"ok","msgid":40119875', K, K),
    "OB12 text": ('"ok"', K, K),
    "OB12 number": ("0", K, K),
    "OB12 list": ('[{"errcode":0,"msgid":4011987509999999005}]', K, K),
    "OB27 Chinese": ('{"errcode":40003,"errmsg":"无效的 openid"}', R, R),
    "OB27 no text": ('{"errcode":40003,"errmsg":""}', R, R),
}
_GOOD = b'{"errcode":0,"errmsg":"ok","msgid":5,"access_token":"naive","expires_in":7200,"rest":"'
_BOMB = base64.b64encode(gzip.compress(_GOOD + b"0" * 20_000_000 + b'"}')).decode()
KINDS = {
    "OB01 fine": (None, {}, A, A),
    "OB07 code 0, HTTP 500": ("patch", {"set": {}, "status": 500}, K, K),
    "OB08 HTML": ("html_200", {}, K, K),
    "OB09 empty": ("empty_200", {}, K, K),
    "OB11 BOM": ("bom", {}, K, K),
    "OB11 trailing": ("trailing_bytes", {}, K, K),
    "OB11 UTF-8": ("body", {"body_base64": "eyJlcnJjb2RlIjowLCJlcnJtc2ciOiL//iIsIm1zZ2lkIjo1fQ=="}, K, K),
    "OB13 endless": ("flood", {"megabytes": 3}, K, K),
    "OB13 10 MB": ("flood", {"megabytes": 10}, K, K),
    "OB13 gzip bomb": ("body", {"body_base64": _BOMB, "headers": {"content-encoding": "gzip"}}, K, K),
    "OB28 moved": ("redirect", {"status": 302}, S, S),
    "OB28 moved for good": ("redirect", {"status": 301}, S, S),
    "OB33 reset after": ("reset_after", {}, K, K),
    "OB33 closed after": ("close_after", {}, K, K),
}
HTTP = {"OB29": (S, (400, 401, 403, 404, 405, 413, 429)), "OB30": (K, (502, 503, 504))}
CODES = {
    "OB14": (S, S, (-1,)),
    "OB17": (S, S, (40125, 40013, 41002, 41004)),
    "OB18": (S, S, (40164,)),
    "OB19": (R, R, (40003,)),
    "OB20": (S, R, (41028, 41030, 47001, 47003)),
    "OB20 template": (S, S, (40037,)),
    "OB21": (R, R, (43004, 43101)),
    "OB22": (S, S, (45009,)),
    "OB23": (S, S, (45011,)),
    "OB24": (R, R, (45047,)),
    "OB25": (S, S, (48001, 48004, 50002)),
    "OB26": (K, K, (987654,)),
}
# Answers to other calls, and what comes after an answer; played where they belong.
ELSEWHERE = {
    "OB36": "tests/hostile/corpus/rows.yaml: ids of two answers are not compared",
    "OB37": "R24",
    "OB38": "R24",
    "OB41": "tests/members/test_sync.py",
    "OB42": "tests/members/test_sync.py",
    "OB43": "tests/hostile/corpus/rows.yaml",
    "OB44": "tests/hostile/corpus/rows.yaml",
    "OB45": "tests/hostile/corpus/rows.yaml",
}
WAYS = ("send", "user info", "media", "token")
SLOW = {"OB34 silence": ("timeout", {"seconds": 60}), "OB35 drops": ("slow_bytes", {"bytes_per_second": 1})}


def run(stage, outcome):
    shop = Shop(stage, "r12", people=1, callbacks=False)
    settings.WECHAT_BASE_URL = f"http://127.0.0.1:{stage.rig.roads['wechat']}"  # as the workers reach it
    asker = Asker(stage, outcome, shop)
    try:
        for name, kind, options, sends, reads in _shapes():
            for what in WAYS:
                asker.ask(name, kind, options, what, sends if what == "send" else reads)
        asker.unreachable()
        asker.lost_token()
        asker.told_to_wait()
        for name, (kind, options) in SLOW.items():
            for what in stage.pick(ci=WAYS[:1], default=WAYS, full=WAYS):
                asker.within_deadline(name, kind, options, what)
        _tokens(asker)
    finally:
        settings.WECHAT_BASE_URL = stage.rig.env["ZHIYIN_WECHAT_BASE_URL"]
    for each in asker.wrong:
        stage.say(each)
    outcome.none("in another class", asker.wrong)
    outcome.equal("counted as sent without an id", asker.believed, 0)
    told = {name.partition(" ")[0] for name in asker.names}
    outcome.equal("rows of the list", len(told | set(ELSEWHERE)), 45)
    outcome.note(played_elsewhere=" ".join(sorted(ELSEWHERE)), shapes=len(asker.names), calls=asker.calls)


def _shapes():
    for name, (kind, options, sends, reads) in KINDS.items():
        yield name, kind, options, sends, reads
    for name, (body, sends, reads) in BODIES.items():
        yield name, "body", {"body": body}, sends, reads
    for name, (wanted, statuses) in HTTP.items():
        for status in statuses:
            yield f"{name} {status}", "http_status", {"status": status, "body": "<html>"}, wanted, wanted
    for name, (sends, reads, codes) in CODES.items():
        for code in codes:
            yield f"{name} {code}", "errcode", {"errcode": code}, sends, reads


class Asker:
    """Makes one call under one fault and compares the class of what came back."""

    def __init__(self, stage, outcome, shop):
        self.stage, self.outcome, self.shop = stage, outcome, shop
        self.wrong, self.names, self.calls, self.believed = [], set(), 0, 0
        self._numbers = itertools.count(1)

    def ask(self, name, kind, options, what, wanted):
        self.names.add(name)
        self._fresh()
        if what == "token":
            self.ask_token(name, kind, _with_token(options), kept=wanted is A)
            return None
        if kind is not None:
            self.stage.wechat.fault(kind, name="shape", appid=self.shop.appid, path=PATHS[what], **options)
        answer = self._call(what)
        self.stage.wechat.heal()
        self.judge(f"{name} × {what}", answer, wanted)
        if what == "send" and answer.ok and not answer.msgid:
            self.believed += 1
        return answer

    def judge(self, name, answer, wanted):
        self.names.add(name.partition(" × ")[0])
        if answer.outcome is not wanted:
            self.wrong.append(f"{name}: {answer.outcome} {answer.code} {answer.cause} instead of {wanted}")

    def ask_token(self, name, kind, options, *, kept):
        """Let the token's end be answered strangely: only a usable token is kept, for two hours at most, and used."""
        self.names.add(name)
        self._fresh()
        sql, shop, brand = self.stage.rig.sql, self.shop, self.shop.brand.pk
        sql("UPDATE wechat_gateway_accesstoken SET expires_at = %s, fetched_at = %s WHERE brand_id = %s", AT, AT, brand)
        if kind is not None:
            self.stage.wechat.fault(kind, name="token", appid=shop.appid, path=TOKEN, **options)
        calls = len(self.stage.wechat.calls("", USER_INFO))  # WeChat cannot tell whose a made-up token is
        began = time.monotonic()
        answer = self._call("user info")
        seconds = time.monotonic() - began
        self.stage.wechat.heal()
        made = len(self.stage.wechat.calls("", USER_INFO)) - calls
        rows = sql(
            "SELECT extract(epoch FROM expires_at - fetched_at) FROM wechat_gateway_accesstoken WHERE brand_id = %s "
            "AND expires_at > %s",
            brand,
            AT,
        )
        if kept != bool(rows) or kept != bool(made) or (rows and not 60 <= rows[0][0] <= 7200):
            self.wrong.append(f"{name} × token: kept {rows}, {made} calls, {answer.outcome} {answer.cause}")
        if seconds > tokens.FETCH_SECONDS + 2:
            self.outcome.breaches.append(f"{name}: the token kept the caller for {seconds:.1f} s")

    def _call(self, what, *, size=200):
        self.calls += 1
        account = self.shop.account
        if what == "send":
            message = client.template_message(
                openid=self.shop.openids[0], template_id=self.shop.template.template_id,
                data={"thing1": f"第{next(self._numbers)}次", "time2": "2025-06-02 15:30"},
                client_msg_id=f"r12-{next(self._numbers)}",
            )  # fmt: skip
            ((_, answer),) = client.send_many(account, [message], concurrency=1)
            return answer
        if what == "media":
            picture = b"\x89PNG\r\n\x1a\n" + b"0" * size
            body = (
                b'--b\r\nContent-Disposition: form-data; name="media"; filename="a.png"\r\n'
                b"Content-Type: image/png\r\n\r\n" + picture + b"\r\n--b--\r\n"
            )  # fmt: skip
            return client.call(account, UPLOAD, query={"type": "image"}, raw=(body, "multipart/form-data; boundary=b"))
        return client.call(account, USER_INFO, query={"openid": self.shop.openids[0]})

    def _fresh(self):
        """As if nothing had happened to the account before."""
        brand = self.shop.brand.pk
        sql = self.stage.rig.sql
        sql("UPDATE wechat_gateway_quotause SET blocked_until = NULL WHERE brand_id = %s", brand)
        sql("UPDATE wechat_gateway_accesstoken SET healed_at = NULL, forced_at = NULL WHERE brand_id = %s", brand)
        tokens.repaired(self.shop.account)
        tokens.forget_cached()

    def unreachable(self):
        """OB31 to OB33: what certainly did not leave may be sent again, of what may have arrived nobody knows."""
        proxy, road = self.stage.proxy, settings.WECHAT_BASE_URL
        proxy.add("wechat", "down")
        self._unreached("OB31 refused")
        proxy.heal()
        for name, url in (("OB31 no name", "http://wechat.invalid"), ("OB31 no TLS", road.replace("http:", "https:"))):
            settings.WECHAT_BASE_URL = url
            self._unreached(name)
        settings.WECHAT_BASE_URL = road
        self._ready()
        proxy.add("wechat", "reset_before")
        self.judge("OB32 reset while it was written × media", self._call("media", size=30_000_000), S)
        proxy.heal()
        for what in PATHS:
            self._ready()
            # What does no harm twice is repeated once on another connection, a message never.
            proxy.add("wechat", "reset_after", **({"count": 1} if what == "send" else {}))
            self.judge(f"OB33 cut on the way × {what}", self._call(what), K)
            proxy.heal()

    def _ready(self):
        """As `_fresh`, and with a token: what is broken next is not its fetch."""
        self._fresh()
        self.judge("OB01 fine × user info", self._call("user info"), A)

    def _unreached(self, name):
        for what in PATHS:
            self._fresh()
            self.judge(f"{name} × {what}", self._call(what), S)
        self.ask_token(name, None, {}, kept=False)

    def lost_token(self):
        """OB15: the token is refused once; OB16: for ever."""
        for what, path in PATHS.items():
            for code, expire in ((40001, False), (42001, True)):
                self._fresh()
                self.stage.wechat.ask("/tokens/kill", {"appid": self.shop.appid, "expire": expire})
                self.judge(f"OB15 {code} × {what}", self._call(what), A)
            self._ready()
            self.stage.wechat.ask("/tokens/kill", {"appid": self.shop.appid, "expire": False})
            self.stage.wechat.fault("errcode", appid=self.shop.appid, path=path, errcode=40014, count=1)
            self.judge(f"OB15 40014 × {what}", self._call(what), A)
            self.stage.wechat.heal()
        for what, path in PATHS.items():
            before = len(self.stage.wechat.calls(self.shop.appid, path))
            self.ask("OB16 refused for ever", "errcode", {"errcode": 40001}, what, S)
            made = len(self.stage.wechat.calls(self.shop.appid, path)) - before
            self.outcome.holds(f"{made} {what} calls with tokens that are refused", made <= 3)
        self.ask("OB16 refused for ever", "errcode", {"errcode": 40001}, "token", S)

    def told_to_wait(self):
        """OB29: the Retry-After of a 429 reaches whoever plans the next call."""
        options = {"status": 429, "body": "", "headers": {"retry-after": "7"}}
        for what in PATHS:
            answer = self.ask("OB29 429", "http_status", options, what, S)
            if answer.retry_after != 7:
                self.wrong.append(f"OB29 429 × {what}: to be tried after {answer.retry_after} s instead of 7")

    def within_deadline(self, name, kind, options, what):
        began = time.monotonic()
        self.ask(name, kind, options, what, K)
        seconds = time.monotonic() - began
        self.outcome.at_most(f"{name} × {what}, seconds", seconds, DEADLINE_SECONDS + 2.0)


def _with_token(options):
    """Such an answer of the token's end, with all that a careless reader would take for a token."""
    body = options.get("body")
    if not isinstance(body, str) or "{" not in body:
        return options
    return options | {"body": body.replace("{", '{"access_token":"naive","expires_in":7200,', 1)}


PATHS = {"send": SEND, "user info": USER_INFO, "media": UPLOAD}
# A patch of the token's answer, and whether what comes is a token.
TOKENS = {
    "OB39 no expires_in": ({"remove": ["expires_in"]}, False),
    "OB39 0": ({"set": {"expires_in": 0}}, False),
    "OB39 -1": ({"set": {"expires_in": -1}}, False),
    "OB39 ten years": ({"set": {"expires_in": 315_360_000}}, True),
    "OB39 text": ({"set": {"expires_in": "7200"}}, False),
    "OB39 empty": ({"set": {"access_token": ""}}, False),
    "OB39 2 KB": ({"set": {"access_token": "t" * 2048}}, False),
    "OB39 newline": ({"set": {"access_token": "abc\r\nX-Evil: 1"}}, False),
    "OB39 number": ({"set": {"access_token": 42}}, False),
}


def _tokens(asker):
    """OB39, OB40: strange words in a token's answer, an end that hangs, one that gives another token each time."""
    for name, (options, kept) in TOKENS.items():
        asker.ask_token(name, "patch", options, kept=kept)
    asker.ask_token("OB40 hangs", "timeout", {"seconds": 60}, kept=False)
    for number in range(50):
        asker.ask_token("OB40 another each time", "patch", {"set": {"access_token": f"other-{number}"}}, kept=True)
