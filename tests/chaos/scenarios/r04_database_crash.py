"""R4: PostgreSQL crashes and comes back, then loses sessions at random, while a campaign and callbacks run."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter

import requests

from tests.chaos import campaigns
from tests.chaos.rig import CHILDREN, CLAIM_SIZE, SENDERS
from tests.chaos.world import Shop

PER_SECOND = 50
ANSWERS_SECONDS = 2.0
RECOVERS_SECONDS = 10.0
RECLAIMS_SECONDS = 6.0  # the sweeper comes every five
_MSGID = r"<MsgId>(?:<!\[CDATA\[)?(\d+)"


def run(stage, outcome):
    people = stage.people(ci=3_000, default=20_000, full=20_000)
    crashes, down = stage.pick(ci=(2, 3), default=(5, 5), full=(5, 5))
    ending = stage.pick(ci=8, default=60, full=60)
    rig = stage.rig
    shop = Shop(stage, "r4", people=people)
    caller = Shop(stage, "r4-talk", people=PER_SECOND)
    stage.proxy.add("wechat", "latency", ms=300, jitter_ms=100)
    answers = []
    recoveries = []
    overdue = Overdue(sent_by=shop)
    with Talk(stage, caller) as talk:
        sent = shop.launch()
        rig.until("the campaign starts", lambda: sent.tried() > people * 0.1, 60, each=0.05)
        for _ in range(crashes):
            rig.crash("postgres")
            stage.say(f"PostgreSQL stopped for {down} s")
            until = time.monotonic() + down
            while time.monotonic() < until:
                answers += [_look(rig, path) for path in _PAGES]
                rig.pause(0.2)
            rig.revive("postgres", wait=True)
            recoveries.append(_recovered(stage, shop, sent))
            stage.say(f"everything works again after {recoveries[-1]:.1f} s")
        ended = 0
        until = time.monotonic() + ending
        while time.monotonic() < until:
            ended += _end_a_session(stage)
            rig.pause(0.5)
        stage.proxy.heal()
        overdue.restart()
        outcome.holds(
            f"not everybody was tried: {dict(sent.counts())}",
            campaigns.watch(stage, sent, overdue.look, seconds=90 + people / 50),
        )
    settled = campaigns.settle(stage, sent, seconds=90 + people / 50)
    outcome.holds(f"unconfirmed after the results: {dict(sent.counts())}", settled is not None)
    outcome.note(crashes=crashes, sessions_ended=ended)
    _judge_web(outcome, answers)
    outcome.at_most("recovery", max(recoveries), RECOVERS_SECONDS)
    outcome.note(leases_seen_to_have_run_out=overdue.seen)
    outcome.at_most("leases over by, s", overdue.longest, RECLAIMS_SECONDS)
    talk.compare(outcome)
    # Each crash and each ended session may keep one worker from recording what it has sent.
    bound = crashes * CHILDREN * len(SENDERS) * CLAIM_SIZE + ended * CLAIM_SIZE
    campaigns.compare(stage, outcome, sent, bound=bound, kills=crashes)


_PAGES = ("/api/v1/tags/", "/b/r4/", "/readyz")


def _look(rig, path):
    """What the web process says while PostgreSQL is away: (path, status, has Retry-After, seconds, text)."""
    url = f"http://127.0.0.1:{rig.ports.web}{path}"
    headers = {"Host": "localhost", "Authorization": "Key chaos.0123456789abcdef0123456789abcdef"}
    cookies = {"sessionid": "0123456789abcdef0123456789abcdef"}
    began = time.monotonic()
    try:
        answer = requests.get(url, headers=headers, cookies=cookies, timeout=10, allow_redirects=False)
    except requests.RequestException as error:
        return (path, 0, False, time.monotonic() - began, type(error).__name__)
    return (path, answer.status_code, "Retry-After" in answer.headers, time.monotonic() - began, answer.text)


def _judge_web(outcome, answers):
    slow = max((seconds for _, _, _, seconds, _ in answers), default=0.0)
    outcome.at_most("slowest answer without a database", slow, ANSWERS_SECONDS)
    wrong = Counter((path, status) for path, status, *_ in answers if status != 503)
    outcome.none("answers that are not 503", [f"{path} {status} ×{n}" for (path, status), n in wrong.items()])
    hasty = {path for path, status, retry, *_ in answers if status == 503 and not retry and path != "/readyz"}
    outcome.none("503 without Retry-After", hasty)
    traces = {path for path, *_, text in answers if re.search(r"Traceback|psycopg2|OperationalError|File \"", text)}
    outcome.none("pages with a trace", traces)


def _recovered(stage, shop, sent):
    """Seconds from PostgreSQL's first answer until web, gateway and workers have all done work again."""
    began, real = time.monotonic(), time.time()
    rig = stage.rig
    parts = {}

    def all_work():
        web = _look(rig, "/readyz")[1] == 200
        gateway = rig.answers("gateway")
        sending = sent.tried() == len(shop.openids) or any(call["real"] > real for call in sent.calls()[-200:])
        parts.update(web=web, gateway=gateway, sending=sending)
        return web and gateway and sending

    if rig.until("all work again", all_work, 60, each=0.2):
        return time.monotonic() - began
    stage.say(f"what works: {parts}; web says {_look(rig, '/readyz')}")
    return 60.0


class Overdue:
    """How long a lease that has run out stays with nobody, counted from the last fault on."""

    def __init__(self, sent_by):
        self.rig, self.brand = sent_by.rig, sent_by.brand.pk
        self.longest, self.seen = 0.0, 0
        self.restart()

    def restart(self):
        self.since = time.time()

    def look(self, _tried=None):
        ((count, seconds),) = self.rig.sql(
            "SELECT count(*), coalesce(max(extract(epoch FROM now() - greatest(due_at, to_timestamp(%s)))), 0)"
            " FROM campaigns_delivery WHERE brand_id = %s AND state = 'LEASED' AND due_at < now()",
            self.since,
            self.brand,
        )
        self.seen += count
        self.longest = max(self.longest, float(seconds))


def _end_a_session(stage):
    rows = stage.rig.sql(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename LIKE 'zhiyin%%' "
        "AND pid <> pg_backend_pid()"
    )
    if not rows:
        return 0
    (pid,) = stage.random.choice(rows)
    stage.rig.sql("SELECT pg_terminate_backend(%s)", pid)
    return 1


class Talk:
    """Fifty people say something every second; WeChat's three tries stand behind each."""

    def __init__(self, stage, shop):
        self.stage, self.shop = stage, shop
        self.over = threading.Event()
        self.threads = []

    def __enter__(self):
        self.main = threading.Thread(target=self._run, daemon=True)
        self.main.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.main.join(60)
        for thread in self.threads:
            thread.join(60)

    def _run(self):
        while not self.over.is_set():
            began = time.monotonic()
            thread = threading.Thread(target=self._second, args=(len(self.threads),), daemon=True)
            thread.start()
            self.threads.append(thread)
            self.over.wait(max(0.0, 1.0 - (time.monotonic() - began)))

    def _second(self, number):
        fields = {"content": f"你好 {number}"}
        wanted = {"act": "text", "appid": self.shop.appid, "prefix": self.shop.prefix, "count": PER_SECOND}
        url = f"{self.stage.wechat.url}/_sim/crowd"
        requests.post(url, json={**wanted, "fields": fields}, timeout=60).raise_for_status()

    def compare(self, outcome):
        """Whatever was acknowledged is stored once and handled; nothing was given up by WeChat."""
        rig, brand = self.stage.rig, self.shop.brand.pk
        pushes = self.stage.wechat.ask(f"/pushes?appid={self.shop.appid}&limit=100000")["pushes"]
        said = {str(push["fields"]["MsgId"]): push["outcome"] for push in pushes if "MsgId" in push["fields"]}
        settled = rig.until("all pushes are handled", lambda: not _unhandled(rig, brand), 60, each=0.3)
        outcome.holds("pushes wait for ever", settled)
        # A crash counts as an attempt, and after three a push waits for a person.
        aside = "SELECT id FROM wechat_gateway_inboundpush WHERE brand_id = %s AND state IN ('FAILED', 'QUARANTINED')"
        outcome.none("set aside for people", rig.sql(aside, brand))
        stored = Counter(
            row[0]
            for row in rig.sql(
                "SELECT substring(body from %s) FROM wechat_gateway_inboundpush WHERE brand_id = %s", _MSGID, brand
            )
        )
        acknowledged = {msgid for msgid, result in said.items() if result in ("acknowledged", "replied")}
        outcome.note(callbacks=len(said))
        outcome.none("acknowledged and not stored", acknowledged - set(stored))
        outcome.none("stored twice", [msgid for msgid, count in stored.items() if count > 1])
        outcome.none("given up by WeChat", set(said) - acknowledged)


def _unhandled(rig, brand):
    return rig.sql("SELECT 1 FROM wechat_gateway_inboundpush WHERE brand_id = %s AND state = 'NEW' LIMIT 1", brand)
