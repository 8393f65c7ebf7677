"""One token for many processes: expiry, refusal, holders that die or are stopped, answers that come late."""

from django.conf import settings

from common import clock
from tests.simulation.delivery import _APP, ACCOUNT, BRAND
from tests.simulation.memory import Database
from tests.simulation.ports import Ports
from tests.simulation.wechat import Transport, Wechat
from tests.simulation.world import World
from wechat_gateway import client, tokens

_PATH = "/cgi-bin/message/custom/send"


class Tokens:
    """One seed: processes that call at random, an account whose token ends, is revoked, or is refused for ever."""

    def __init__(self, seed, *, trace=False):
        world = self.world = World(seed, trace=trace)
        rng = world.random
        self.database = Database(world)
        mood = [30.0, *(0.0 if rng.random() < 0.6 else rng.random() * 3 for _ in range(14))]
        self.wechat = Wechat(world, mood)
        self.wechat.life = rng.choice((7200, 7200, 600, 400))
        self.ports = Ports(world, self.database, Transport(world, self.wechat))
        self.ports.install()
        self.ports.broker.work  # noqa: B018 - wake-up calls are rung and nobody has to come
        self.breaches = []
        self._restore = []
        self.calls = self.failed = 0
        self.refused_for_ever = rng.random() < 0.15
        world.kill_chance, world.stop_chance, world.break_chance = 0.01, 0.004, 0.004
        world.most_kills, world.most_stops, world.most_breaks = (rng.randrange(n) for n in (5, 4, 4))
        self.database.put("account", id=ACCOUNT, parked_code=None, parked_reason="", parked_until=None)
        self.database.watchers.append(self._watch)
        world.on_death.append(self._restart)
        self.ends = rng.choice((60.0, 900.0, 3 * self.wechat.life))
        self.beat, self.together = self.ends / rng.choice((3, 8)), rng.choice((0.0, 0.3, 0.7))
        for number in range(rng.randrange(2, 6)):
            self._process(f"p{number}", rng.choice((0.0, 0.0, 0.0, 5.0, -5.0)))
        if self.refused_for_ever:
            world.after(rng.random() * self.ends / 2, self._refuse)
        for _ in range(rng.randrange(4)):
            world.after(rng.random() * self.ends, self.wechat.revoke)

    def _process(self, name, skew):
        process = self.world.process(name, skew)
        for number in range(self.world.random.randrange(1, 4)):
            self.world.spawn(process, f"thread{number}", self._call_now_and_then)
        self.world.spawn(process, "early", self._refresh_now_and_then)

    def _restart(self, process):
        self.world.after(self.world.random.random() * 3, self._process, process.name, process.skew)

    def _refuse(self):
        self.wechat.refuses_for_ever = True
        self.world.count("refused for ever")

    def _call_now_and_then(self):
        world, rng = self.world, self.world.random
        pause = self.ends / rng.choice((5, 20))
        while world.now < self.ends:
            if rng.random() < self.together:
                world.wait(self.beat - world.now % self.beat)  # at one moment with others
            else:
                world.wait(rng.random() * pause if rng.random() < 0.8 else 0.0)
            self.calls += 1
            try:
                answer = client.call(_APP, _PATH, {"touser": "o1"}, at=clock.now(), sends=True)
            except Exception as error:
                if type(error).__name__ != "OperationalError":
                    raise
                continue
            if answer.code == 40001 and not world.seen.get("refused for ever"):
                self.failed += 1
                world.say("a call failed", answer)

    def _refresh_now_and_then(self):
        world, rng = self.world, self.world.random
        while world.now < self.ends:
            world.wait(self.ends / 6 * rng.random())
            try:
                tokens.refresh_early(_APP, at=clock.now())
            except tokens.CallsParked:
                world.count("parked")
            except Exception as error:
                if type(error).__name__ != "OperationalError":
                    raise

    def _watch(self, task, changed):
        for table, before, after in changed:
            if table == "token" and after["token"] is not None:
                self.world.say("token", after["token"].reveal(), "generation", after["generation"])
                if before is None or before["token"] is None:
                    continue
                old, new = before["token"].reveal(), after["token"].reveal()
                issue = self.wechat.issue_of
                if issue[new] < issue[old]:
                    self._breach("a newer token is never overwritten", f"{old} -> {new}")
                if after["generation"] < before["generation"] or (
                    old != new and after["generation"] == before["generation"]
                ):
                    self._breach("every token has a generation of its own", f"{old} -> {new}")

    def _breach(self, name, what):
        self.breaches.append((name, what))
        self.world.say("BREACH", name, what)

    def run(self):
        world = self.world
        settings.WECHAT_BASE_URL = "http://wechat"
        world.run(self.ends)
        world.faults = False
        self.wechat.refuses_for_ever = False
        world.run(self.ends + 4_000)
        self._check()
        return self.breaches

    def _check(self):
        world = self.world
        seen = world.seen
        # One fetch for each end of a token, each process that died or was stopped with it, each answer that was bad,
        # each transaction that failed; a refusal that lasts costs one (and one by force) a minute.
        bad = sum(count for what, count in seen.items() if what.startswith("fate: ") and what != "fate: accept")
        broken = sum(
            seen.get(what, 0) for what in ("kill", "stop", "connection lost", "idle session ended", "token row busy")
        )
        life = min(self.wechat.life, 7200)
        # A token with less than five minutes left is given out anew; before, the same one comes with what is left of it.
        expiries = 2 + int(self.ends / max(60.0, 0.8 * life - 300)) * 3
        revoked = seen.get("token revoked", 0) * 2
        lasting = int(self.ends / 60 + 1) * 2 if self.refused_for_ever else 0
        bound = expiries + revoked + broken + bad * 2 + lasting
        if self.wechat.fetches > bound:
            self._breach("fetches within their bound", f"{self.wechat.fetches} > {bound}")
        # A second refusal within a minute parks the app for that minute; without refusals nothing may fail. Who stood
        # still in the middle of a call for longer than tokens overlap goes on with two that have ended meanwhile.
        if seen.get("stopped for long"):
            return self._works_again()
        if self.failed and not seen.get("fate: token") and seen.get("token revoked", 0) < 2:
            self._breach("calls fail only when WeChat refuses again and again", f"{self.failed}")
        return self._works_again()

    def _works_again(self):
        """When everything is quiet, a new process gets through; where WeChat said that a quota is spent, after that."""
        got = []
        process = self.world.process("last")

        def body():
            got.append(client.call(_APP, _PATH, {"touser": "o2"}, at=clock.now(), sends=True))
            if got[0].cause == "QUOTA" and (self.world.seen.get("fate: quota") or self.world.seen.get("fate: minute")):
                self.world.wait(got.pop().retry_after + 1)
                got.append(client.call(_APP, _PATH, {"touser": "o2"}, at=clock.now(), sends=True))

        self.world.spawn(process, "main", body)
        self.world.run(self.world.now + 25 * 3_600)
        if not got or not got[0].ok:
            self._breach("it works again by itself", got[0].cause if got else "nothing came back")


assert BRAND
