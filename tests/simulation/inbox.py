"""Pushes from the socket to their effect: group commit, repeats, spilling, lanes, poison, quarantine, replay."""

import asyncio
import inspect
import traceback
from asyncio import events
from datetime import UTC, datetime
from types import SimpleNamespace

import orjson
import psycopg2
from psycopg2 import extensions

from tests.simulation.memory import Database
from tests.simulation.ports import Ports, System
from tests.simulation.world import EPOCH, Killed, World
from wechat_gateway import intake
from wechat_gateway import tasks as gateway_tasks
from wechat_gateway.errors import NotReplayable, PushNotFound, StillUnreadable
from wechat_gateway.events import lane_of
from wechat_gateway.registries import Handler
from wechat_gateway.services import inbox

BRAND = ACCOUNT = 1
_ACCOUNT = SimpleNamespace(pk=ACCOUNT, appid="wx1", original_id="gh_1")


class Loop(asyncio.AbstractEventLoop):
    """An event loop of one process in virtual time."""

    def __init__(self, world, process):
        self.world = world
        self.process = process
        self.readers = {}
        self.error = None
        self.stands = False  # in the middle of a step, which others wait for

    def time(self):
        return 1000.0 + self.world.now

    def get_debug(self):
        return False

    def is_running(self):
        return True

    def is_closed(self):
        return not self.process.alive

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coro, **_):
        task = asyncio.Task(coro, loop=self)
        if not self.process.alive:
            self.close_unstarted()
        return task

    def close_unstarted(self):
        """With its process die the coroutines that nobody will run; one that has begun may not run its way out."""
        for task in asyncio.all_tasks(self):
            if inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_CREATED:
                task.get_coro().close()

    def call_soon(self, callback, *args, context=None):
        return self.call_later(0.0, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        return self.call_later(max(0.0, when - self.time()), callback, *args, context=context)

    def call_later(self, delay, callback, *args, context=None):
        handle = asyncio.TimerHandle(self.time() + delay, callback, args, self, context)
        if delay <= 0:
            self.world.at_once(self._run, handle)
        else:
            self.world.after(delay, self._run, handle)
        return handle

    def _run(self, handle):
        if not self.process.alive or handle.cancelled():
            return
        if self.process.stopped_until > self.world.now:
            self.world.at(self.process.stopped_until, self._run, handle)
            return
        if self.stands:
            self.world.after(0.001, self._run, handle)
            return
        events._set_running_loop(self)
        try:
            handle._run()
        finally:
            events._set_running_loop(None)

    def _timer_handle_cancelled(self, handle):
        pass

    def add_reader(self, descriptor, callback, *args):
        self.readers[descriptor] = callback

    def remove_reader(self, descriptor):
        return self.readers.pop(descriptor, None) is not None

    def add_writer(self, descriptor, callback, *args):
        raise NotImplementedError

    def remove_writer(self, descriptor):
        return False

    def call_exception_handler(self, context):
        if not self.process.alive:
            return
        error = context.get("exception")
        self.error = "".join(traceback.format_exception(error)[-3:]) if error else context["message"]


class Connection:
    """psycopg2's asynchronous connection, to the memory."""

    numbers = iter(range(10, 10**9))

    def __init__(self, run, loop):
        self.run, self.loop = run, loop
        self.number = next(self.numbers)
        self.ready = False
        self.error = None
        self.found = []
        self.closed = self.ended = False
        if run.postgres_away():
            raise psycopg2.OperationalError("connection refused")
        run.connections.append(self)
        run.world.after(run.latency(), self._now)

    def cut(self):
        """The server ends the session; the client finds out with whatever it does next."""
        self.ended = True
        self.run.world.after(0.0, self._now, (), psycopg2.OperationalError("cut"))

    def fileno(self):
        return self.number

    def cursor(self):
        return self

    def close(self):
        self.closed = True

    def poll(self):
        if self.error is not None:
            raise self.error
        return extensions.POLL_OK if self.ready else extensions.POLL_READ

    def _now(self, found=(), error=None):
        self.ready, self.found, self.error = True, list(found), error
        self.rowcount = len(self.found)
        callback = self.loop.readers.get(self.number)
        if callback is not None and not self.closed:
            self.loop.call_soon(callback)

    def execute(self, sql, params):
        run, world = self.run, self.run.world
        if self.ended:
            raise psycopg2.OperationalError("cut")
        self.ready = False
        rows = orjson.loads(params[0].adapted)  # what is quoted
        lost = world.faults and world.random.random() < run.cut
        if run.postgres_away():
            world.after(run.latency(), self._now, (), psycopg2.OperationalError("gone"))
            return
        if lost and world.random.random() < 0.5:
            world.count("lost before the commit")
            world.after(run.latency(), self._now, (), psycopg2.OperationalError("cut"))
            return

        def reach():
            if not self.loop.process.alive and world.random.random() < 0.5:
                return  # the server noticed before it had read everything
            found = run.insert(rows) if sql is intake._INSERT else run.stored(rows)
            if lost:
                world.count("lost after the commit")
                world.after(run.latency(), self._now, (), psycopg2.OperationalError("cut"))
            else:
                world.after(run.latency(), self._now, found)

        world.after(run.latency(), reach)

    def fetchall(self):
        return self.found


class Stream:
    """The append-only stream in Redis."""

    def __init__(self, run, loop):
        self.run, self.loop = run, loop

    async def _trip(self):
        await asyncio.sleep(self.run.latency())
        if self.run.redis_away():
            raise OSError("redis is away")

    async def append(self, payload):
        await self._trip()
        self.run.spilt[next(self.run.ids)] = payload
        self.run.world.count("spilt")
        await self._trip()

    async def oldest(self, count):
        await self._trip()
        return [(b"%d" % key, payload) for key, payload in sorted(self.run.spilt.items())[:count]]

    async def remove(self, ids):
        await self._trip()
        for key in ids:
            self.run.spilt.pop(int(key), None)

    async def bury(self, payload):
        await self._trip()
        self.run.buried.append(payload)


class Inbox:
    """One seed."""

    def __init__(self, seed, *, trace=False):
        world = self.world = World(seed, trace=trace)
        rng = world.random
        self.database = Database(world)
        self.ports = Ports(world, self.database, None)
        self.ports.install()
        self.ports.inbox.account = _ACCOUNT
        self.broker = self.ports.broker
        self.breaches = []
        self.spilt, self.buried, self.ids = {}, [], iter(range(1, 10**9))
        self.acknowledged = set()
        self.sent = {}
        self.away = []
        self.redis_gone = []
        self.connections = []
        self.slow = rng.choice((0.002, 0.002, 0.05, 0.9))
        self.cut = rng.choice((0.0, 0.0, 0.1))
        world.stop_lengths = (2.0, 11.0, 30.0, 800.0)
        world.kill_chance, world.stop_chance, world.break_chance = 0.01, 0.004, 0.004
        world.most_kills, world.most_stops, world.most_breaks = (rng.randrange(n) for n in (5, 3, 4))
        self.broker.lose, self.broker.double = rng.choice(((0, 0), (0.3, 0.2), (0.9, 0.0)))
        world.on_death.append(self._restart)
        self.mended = False
        self.trouble = {}
        self.raised = set()
        intake.psycopg2 = SimpleNamespace(
            connect=lambda *args, **how: Connection(self, asyncio.get_running_loop()),
            **{
                name: getattr(psycopg2, name)
                for name in ("Error", "OperationalError", "DataError", "IntegrityError", "errors")
            },
        )
        intake.time = System(world)
        intake.TICK_SECONDS = 0.5  # each tick costs our time: with the real 0.05 a seed takes twice as long
        intake.os = SimpleNamespace(dup=lambda number: number, close=lambda number: None)
        inbox.handlers_of = lambda kind: self.handlers
        inbox.prepare = lambda pushes: self.world.step("prepared together")
        self.handlers = tuple(Handler(key, frozenset(), self._handler(key), 1) for key in ("a", "b", "c"))
        self.gateways = {}
        for number in range(rng.choice((1, 2, 3))):
            self._gateway(f"gateway{number}")
        for number in range(rng.choice((1, 2, 3))):
            self._worker(f"worker{number}")
        for _ in range(rng.randrange(3)):
            start = rng.random() * 20
            self.away.append((start, start + rng.choice((0.5, 3, 10))))
        for _ in range(rng.randrange(2)):
            start = rng.random() * 20
            self.redis_gone.append((start, start + rng.choice((0.5, 3, 10))))
        self.beat = world.process("beat")
        world.after(1.0, self._sweep)
        for number in range(rng.randrange(1, 30)):
            self._push_later(number, rng)
        for _ in range(rng.randrange(3)):
            world.after(rng.random() * 25, self._strike)

    # -- the stage ----------------------------------------------------------------------------------------------------

    def _gateway(self, name):
        process = self.world.process(name)
        loop = Loop(self.world, process)

        async def start():
            made = intake.Intake(
                "", Stream(self, loop), on_stored=lambda lanes: [self._ring(lane) for _, lane in sorted(lanes)]
            )
            made.start()
            self.gateways[name] = (process, loop, made)

        loop.call_soon(lambda: loop.create_task(start()))

    def _ring(self, lane):
        self.broker.publish(gateway_tasks.handle_inbound.name, (BRAND, lane))

    def _worker(self, name):
        self.world.spawn(self.world.process(name), "main", self.broker.work)

    def _restart(self, process):
        wait = 0.5 + self.world.random.random() * 2
        if process.name.startswith("worker"):
            self.world.after(wait, self._worker, process.name)
        elif process.name.startswith("gateway"):
            self._bury(process)
            self.world.after(wait, self._gateway, process.name)

    def _bury(self, process):
        for each, loop, _made in self.gateways.values():
            if each is process:
                loop.close_unstarted()

    def _strike(self):
        """A gateway has no borders of its own in our steps: it dies or stops at any moment."""
        rng = self.world.random
        process, _, _ = self.gateways[rng.choice(sorted(self.gateways))]
        if rng.random() < 0.6:
            self.world.kill(process)
        else:
            self.world.stop(process, rng.choice((1.0, 4.0, 12.0)))

    def stand_still(self, loop, seconds):
        """The process does nothing for a while, in the middle of what it is at; the world goes on."""
        world, process = self.world, loop.process
        before = world.until, world.limit, world.stop_when
        process.stopped_until = max(process.stopped_until, world.now + seconds)
        loop.stands = True
        events._set_running_loop(None)
        while process.alive and process.stopped_until > world.now:
            world.run(process.stopped_until)
        loop.stands = False
        world.until, world.limit, world.stop_when = before
        if not process.alive:
            raise Killed
        events._set_running_loop(loop)

    def cut_off(self, process):
        """What the process is connected with closes its connections; Redis takes new ones a moment later."""
        for connection in self.connections:
            if connection.loop.process is process and not connection.closed:
                connection.cut()
        self.redis_gone.append((self.world.now, self.world.now + 0.3))

    def latency(self):
        return self.world.random.random() * (self.slow if self.world.faults else 0.002)

    def postgres_away(self):
        return any(start <= self.world.now < end for start, end in self.away)

    def redis_away(self):
        return any(start <= self.world.now < end for start, end in self.redis_gone)

    # -- WeChat -------------------------------------------------------------------------------------------------------

    def _push_later(self, number, rng):
        openid = f"o{rng.randrange(4)}"
        event_at = rng.randrange(20)
        at = rng.choice((event_at, event_at, rng.random() * 20))
        if rng.random() < 0.2:
            self.trouble[number] = rng.choice(("raises once", "raises for ever", "raises for ever", "poison"))
        body = (
            f"<xml><ToUserName>gh_1</ToUserName><FromUserName>{openid}</FromUserName><CreateTime>1748739600</CreateTime>"
            f"<MsgType>text</MsgType><Content>{number}</Content><MsgId>{number + 1}</MsgId></xml>"
        )
        if rng.random() < 0.05:
            body = "<xml>unreadable"
            self.trouble[number] = "unreadable"
        for _ in range(rng.choice((1, 1, 1, 2))):
            self.world.after(at + rng.random() * 0.05, self._push, number, openid, body, 3)

    def _push(self, number, openid, body, tries):
        """What the platform does: five seconds of patience, three tries."""
        world = self.world
        self.sent[number] = body
        living = [name for name, (process, _, _) in self.gateways.items() if process.alive]
        answered = []

        def again():
            if not answered and tries > 1:
                world.count("push repeated")
                self._push(number, openid, body, tries - 1)

        world.after(5.0, again)
        if not living:
            return
        _process, loop, made = self.gateways[world.random.choice(sorted(living))]
        now = EPOCH.timestamp() + world.now
        key = f"{number + 1:032x}"
        row = intake.Row(
            brand_id=BRAND, account_id=ACCOUNT, dedupe_key=key, digest=key, kind="text", openid=openid,
            lane=lane_of(openid), event_at=now, received_at=now, body=body,
        )  # fmt: skip

        async def serve():
            try:
                kept = await made.keep(row)
            except intake.NotKept:
                world.count("503")
                return
            world.count("push acknowledged a second time" if kept.repeated else "push acknowledged")
            world.say("acknowledged", number)
            answered.append(True)
            self.acknowledged.add(number)

        loop.call_soon(lambda: loop.create_task(serve()))

    def insert(self, rows):
        """`intake._INSERT`: one statement, one transaction."""
        found = []
        for row in rows:
            key = (row["account_id"], row["dedupe_key"])
            if self.database.by_unique("push", key) is not None:
                self.world.count("repeat found by PostgreSQL")
                continue
            content = {**row, "attempts": 0, "retry_at": None, "handled_at": None}
            for name in ("event_at", "received_at"):
                content[name] = datetime.fromtimestamp(content[name], UTC)
            self.database.put("push", **content)
            found.append((row["account_id"], intake._dashed(row["dedupe_key"])))
        return found

    def stored(self, keys):
        """`intake._STORED`."""
        found = []
        for key in keys:
            row = self.database.by_unique("push", (key["account_id"], key["dedupe_key"]))
            if row is not None:
                content = row.value
                digest, reply = intake._dashed(content["digest"]), content["reply"]
                found.append((content["account_id"], intake._dashed(content["dedupe_key"]), digest, reply))
        return found

    # -- handlers -----------------------------------------------------------------------------------------------------

    def _handler(self, key):
        def run(push):
            number = int(push.content)
            trouble = "" if self.mended else self.trouble.get(number, "")
            self.world.step(f"handler {key}")
            if trouble == "poison" and key == "b":
                self.world.count("poison")
                self.world.kill(self.world.current.process)
                raise Killed
            self.database.insert("done", number=number, handler=key)
            if key == "b" and trouble.startswith("raises"):
                if trouble == "raises once":
                    self.trouble.pop(number)
                    self.raised.add(number)
                raise RuntimeError(trouble)

        return run

    def _sweep(self):
        def body():
            try:
                inbox.sweep_inbound()
            except Exception as error:
                if type(error).__name__ != "OperationalError":
                    raise

        self.beat.alive = True
        self.world.spawn(self.beat, "sweep", body)
        self.world.after(5.0, self._sweep)

    # -- what must hold -----------------------------------------------------------------------------------------------

    def _breach(self, name, what):
        self.breaches.append((name, what))
        self.world.say("BREACH", name, what)

    def run(self):
        world = self.world
        world.run(30.0)
        world.faults = False
        self.away, self.redis_gone = [], []
        world.run(45.0)
        for process, loop, _made in self.gateways.values():
            process.alive = False  # their work is done; what they would tick away costs our time
            loop.close_unstarted()
        world.run(400.0)
        self._check(repaired=False)
        self.mended = True
        self._replay_all()
        world.run(500.0)
        # Whoever slept until now may still set aside what died with it: once everybody is awake, replay that too.
        awake = max((each.stopped_until for each in world.processes if each.alive), default=0.0)
        world.run(max(world.now, awake + 60.0))
        self._replay_all()
        world.run(world.now + 100.0)
        self._check(repaired=True)
        return self.breaches

    def _replay_all(self):
        web = self.world.process("web")

        def body():
            for push in self.database.committed("push"):
                if push["state"] == "NEW" or self.trouble.get(int(push["dedupe_key"], 16) - 1) == "unreadable":
                    continue
                try:
                    with self.ports.inbox.scope(BRAND):
                        inbox.replay_push(push_id=push["id"], at=EPOCH)
                        self.world.count("replayed")
                except (NotReplayable, PushNotFound, StillUnreadable):
                    self.world.count("not replayable")

        self.world.spawn(web, "replay", body)

    def _check(self, *, repaired):  # noqa: C901, PLR0912
        for _process, loop, _made in self.gateways.values():
            if loop.error:
                self._breach("the gateway raises nothing", loop.error)
        if self.spilt or self.buried:
            self._breach("what was spilt is written", f"{len(self.spilt)} left, {len(self.buried)} buried")
        rows = {int(push["dedupe_key"], 16) - 1: push for push in self.database.committed("push")}
        for number in sorted(self.acknowledged):
            if number not in rows:
                self._breach("what was acknowledged is kept", number)
        works = self.beat.stopped_until < self.world.now - 60 and any(
            process.name.startswith("worker") and process.alive and process.stopped_until < self.world.now - 60
            for process in self.world.processes
        )
        done = {}
        for each in self.database.committed("done"):
            done.setdefault(each["number"], []).append(each["handler"])
        for number, push in rows.items():
            effects = sorted(done.get(number, []))
            trouble = self.trouble.get(number, "")
            if len(effects) != len(set(effects)):
                self._breach("each effect once", f"{number} {effects}")
            if push["state"] == "HANDLED" and effects != ["a", "b", "c"]:
                self._breach("handled means that every handler ran", f"{number} {effects}")
            if push["state"] == "NEW" and works:
                self._breach("nothing waits for ever", f"{number} attempts {push['attempts']}")
            if push["state"] == "QUARANTINED" and trouble != "unreadable":
                self._breach("only the unreadable is in quarantine", number)
            if push["state"] == "FAILED" and repaired and trouble != "unreadable":
                self._breach("what was repaired can be handled", number)
            # Three times a worker may die or stand still while it holds an innocent push, or twice when its handler
            # has raised once; nothing else sets one aside.
            ended = self.world.seen.get("kill", 0) + self.world.seen.get("stop", 0) + self.world.breaks
            ended += number in self.raised
            if push["state"] == "FAILED" and not trouble and ended < 3:
                self._breach("the innocent are not set aside", f"{number} {push['reason']}")
            if push["attempts"] > inbox.MAX_ATTEMPTS:
                self._breach("attempts are bounded", number)
        self.world.count("pushes handled", sum(push["state"] == "HANDLED" for push in rows.values()))
