"""WeChat under virtual time: tokens with a life, messages recognised by their id for ten minutes, and every bad mood."""

from collections import deque

import orjson

from wechat_gateway.transport import Exchange, HttpRequest

REMEMBERS_SECONDS = 600.0
OVERLAP_SECONDS = 300.0

# What may become of one call. `Wechat.fate` draws by the seed's own weights.
FATES = (
    "accept", "refuse", "busy", "unreachable", "lost before", "lost after", "bad gateway before", "bad gateway after",
    "html", "no msgid", "faulty", "quota", "minute", "slow", "token",
)  # fmt: skip


class Wechat:
    """The other side: what it has accepted, which tokens it has handed out."""

    def __init__(self, world, mood):
        self.world = world
        self.mood = mood
        self.messages = []
        self.by_client_id = {}
        self.calls = {}
        self.started = []
        self.msgid = 10_000_000
        self.fetches = 0
        self.issued = 0
        self.token = None
        self.issue_of = {}
        self.valid_until = {}
        self.blocked = set()
        self.refuses_for_ever = False
        self.life = 7200
        self.unknown_answers = 0
        self.on_accept = lambda openid, msgid: None

    # -- tokens -------------------------------------------------------------------------------------------------------

    def new_token(self):
        now = self.world.now
        if self.token is not None:
            self.valid_until[self.token] = min(self.valid_until[self.token], now + OVERLAP_SECONDS)
        self.issued += 1
        self.token = f"token-{self.issued}"
        self.issue_of[self.token] = self.issued
        self.valid_until[self.token] = now + self.life
        return self.token

    def revoke(self):
        """Somebody else has forced a new token: ours ends at once."""
        self.world.say("the token is revoked")
        self.world.count("token revoked")
        if self.token is not None:
            self.valid_until[self.token] = self.world.now
        self.new_token()
        self.valid_until = {self.token: self.valid_until[self.token]}

    def fetch(self, body):
        self.fetches += 1
        now = self.world.now
        left = self.valid_until.get(self.token, 0.0) - now
        if body["force_refresh"] or left < OVERLAP_SECONDS:
            self.new_token()
            left = self.life
        return {"access_token": self.token, "expires_in": int(left)}

    def knows(self, token):
        return self.valid_until.get(token, 0.0) > self.world.now

    # -- calls --------------------------------------------------------------------------------------------------------

    def fate(self, request):
        if not self.world.faults:
            return "accept"
        return self.world.random.choices(FATES, self.mood)[0]

    def answer(self, request, fate):
        """What the call does, when it reaches WeChat; gives the JSON of the answer."""
        path, _, query = request.url.partition("?")
        body = orjson.loads(request.body)
        if path.endswith("/stable_token"):
            return {"errcode": -1, "errmsg": "busy"} if fate == "busy" else self.fetch(body)
        token = query.partition("access_token=")[2].partition("&")[0]
        if fate == "token" or self.refuses_for_ever or not self.knows(token):
            self.world.count("40001")
            return {"errcode": 40001, "errmsg": "invalid credential"}
        if fate in _CODES:
            return {"errcode": _CODES[fate], "errmsg": fate}
        return self.deliver(body, fate)

    def deliver(self, body, fate):
        now, openid, client_id = self.world.now, body["touser"], body.get("client_msg_id")
        known = self.by_client_id.get(client_id) if client_id else None
        if known is not None and now < known[1] + REMEMBERS_SECONDS:
            self.world.count("repeat recognised by WeChat")
            return {"errcode": 0, "errmsg": "ok", "msgid": known[0]}
        if openid in self.blocked or fate == "refuse":
            return {"errcode": 43004, "errmsg": "require subscribe"}
        self.msgid += 1
        self.by_client_id[client_id] = (self.msgid, now)
        self.messages.append((openid, client_id, self.msgid, now))
        self.world.say("accepted", openid, client_id, self.msgid)
        self.on_accept(openid, self.msgid)
        return {"errcode": 0, "errmsg": "ok", "msgid": self.msgid}


_CODES = {"busy": -1, "faulty": 47003, "quota": 45009, "minute": 45011}


class Transport:
    """`wechat_gateway.transport` for one virtual world."""

    HttpRequest = HttpRequest

    def __init__(self, world, wechat):
        self.world = world
        self.wechat = wechat

    def perform(self, request):
        return next(self.perform_many([request], concurrency=1))

    def drive(self):
        self.world.step("drive")

    def perform_many(self, requests, *, concurrency, deadline=None):
        world = self.world
        ends = None if deadline is None else world.now + deadline
        waiting, done, flying, exhausted = iter(requests), deque(), 0, False
        while True:
            while not exhausted and flying < concurrency:
                request = next(waiting, None)
                if request is None:
                    exhausted = True
                    break
                world.step("request")
                left = min(request.total_seconds, request.ends_at - 1000.0 - world.now)
                left = left if ends is None else min(left, ends - world.now)
                if left <= 0:
                    world.count("deadline of a batch")
                    yield Exchange(request, error="DEADLINE")
                    continue
                flying += 1
                self._start(request, left, done, world.current)
            if not flying:
                return
            while not done:
                world.wait()
            flying -= 1
            exchange = done.popleft()
            world.step("answer")
            yield exchange

    def _start(self, request, left, done, task):  # noqa: C901
        world, rng, wechat = self.world, self.world.random, self.wechat
        fate = wechat.fate(request)
        is_token = "/stable_token" in request.url
        if not is_token:
            wechat.started.append((world.now, request))
        world.count(f"fate: {fate}")

        def end(**what):
            exchange = Exchange(request, **what)
            if exchange.error or exchange.status != 200 or fate in ("html", "no msgid"):
                wechat.unknown_answers += bool(exchange.request_written)
            done.append(exchange)
            world.wake(task)

        def reach(then):
            then(wechat.answer(request, fate))

        there = rng.random() * 0.05
        back = rng.random() * 0.1
        if fate == "slow":
            there, back = rng.random() * 3, rng.random() * 20
        if fate == "unreachable":
            world.after(there, lambda: end(error="CONNECT"))
        elif fate in ("lost before", "bad gateway before"):
            error = {"error": "RESET"} if fate == "lost before" else {"status": 502, "body": b"<html>"}
            world.after(there, lambda: end(request_written=True, **error))
        elif there + back > left:
            world.after(there, reach, lambda _: None)
            world.after(left, lambda: end(error="TIMEOUT", request_written=True))
        elif fate in ("lost after", "bad gateway after", "html"):
            error = {"lost after": {"error": "RESET"}, "html": {"status": 200, "body": b"<html>"}}.get(
                fate, {"status": 502, "body": b""}
            )
            world.after(there, reach, lambda _: world.after(back, lambda: end(request_written=True, **error)))
        else:

            def answered(data):
                if fate == "no msgid" and not is_token:
                    data = {key: value for key, value in data.items() if key != "msgid"}
                body = orjson.dumps(data)
                world.after(back, lambda: end(status=200, body=body, request_written=True))

            world.after(there, reach, answered)
