"""Puts a virtual world where the product reaches outside: time, chance, WeChat, PostgreSQL, the broker, the system."""

from collections import Counter, OrderedDict
from collections.abc import MutableMapping
from concurrent.futures import CancelledError
from functools import partial
from types import SimpleNamespace

from django.conf import settings

from accounts import tasks_base
from accounts.tenancy import current_scope
from campaigns import tasks as campaign_tasks
from campaigns.services import results, sending, steering, tallies
from common import clock
from tests.simulation.stores import MemoryInboxStore, MemoryQuotas, MemoryStore, MemoryTokenStore
from wechat_gateway import client, quotas, tokens
from wechat_gateway import tasks as gateway_tasks
from wechat_gateway.services import inbox


class OfProcess(MutableMapping):
    """A dictionary of a module that every virtual process has for itself."""

    def __init__(self, world, name, make=dict):
        self._world, self._name, self._make = world, name, make

    def _own(self):
        return self._world.current.process.remembered(self._name, self._make)

    def __getitem__(self, key):
        return self._own()[key]

    def __setitem__(self, key, value):
        self._own()[key] = value

    def __delitem__(self, key):
        del self._own()[key]

    def __iter__(self):
        return iter(self._own())

    def __len__(self):
        return len(self._own())

    def popitem(self, last=True):
        return self._own().popitem(last=last)


class System:
    """`time`, `os` and `socket` as the product uses them."""

    def __init__(self, world):
        self.world = world

    def monotonic(self):
        return 1000.0 + self.world.now

    def sleep(self, seconds):
        self.world.step("sleep", seconds)

    def getpid(self):
        return self.world.current.process.number

    def kill(self, pid, signal):
        assert signal == 0
        if not any(process.alive and process.number == pid for process in self.world.processes):
            raise ProcessLookupError

    def gethostname(self):
        return "sim"


class Flight:
    """A `Future` that threads of a virtual process wait for."""

    def __init__(self, world):
        self._world = world
        self._ends = None
        self._waiting = []

    def _end(self, ends):
        if self._ends is None:
            self._ends = ends
            for task in self._waiting:
                self._world.wake(task)

    def set_result(self, result):
        self._end(lambda: result)

    def set_exception(self, error):
        def fail():
            raise error

        self._end(fail)

    def cancel(self):
        self.set_exception(CancelledError())

    def result(self, timeout=None):
        if self._ends is None:
            self._world.count("token fetched by another thread")
            self._waiting.append(self._world.current)
            self._world.wait(timeout)
        if self._ends is None:
            raise TimeoutError
        return self._ends()


class Broker:
    """Wake-up calls: late, lost, doubled, in any order."""

    def __init__(self, world):
        self.world = world
        self.waiting = []
        self.idle = []
        self.lose = self.double = 0.0
        self.published = 0

    def ring(self, task, *args, **kwargs):
        name = task.name
        current = self.world.current
        transaction = current.transaction if current is not None else None
        if transaction is not None and current_scope() is not None:
            transaction.on_commit.append(lambda: self.publish(name, args))
        else:
            self.publish(name, args)

    def ring_later(self, task, seconds, *args):
        self.world.after(seconds, self.publish, task.name, args)

    def publish(self, name, args):
        world, rng = self.world, self.world.random
        self.published += 1
        if world.faults and rng.random() < self.lose:
            world.count("wake-up call lost")
            return
        times = 2 if world.faults and rng.random() < self.double else 1
        for _ in range(times):
            world.after(
                rng.random() * (rng.choice((0.01, 0.01, 3.0)) if world.faults else 0.01), self._arrive, name, args
            )

    def _arrive(self, name, args):
        self.waiting.append((name, args))
        self._hand_out()

    def _hand_out(self):
        rng = self.world.random
        while self.waiting and self.idle:
            task = self.idle.pop(rng.randrange(len(self.idle)))
            if not task.process.alive:
                continue
            self.world.wake(task)
            return

    def work(self):
        """The main loop of a worker process."""
        world, rng = self.world, self.world.random
        task = world.current
        while True:
            while not self.waiting:
                self.idle.append(task)
                world.wait()
                if task in self.idle:
                    self.idle.remove(task)
            name, args = self.waiting.pop(rng.randrange(len(self.waiting)))
            self._hand_out()
            world.say("task", name.rpartition(".")[2], *args)
            try:
                _BODIES[name](*args)
            except Exception as error:  # what Celery does with a task that failed
                world.count(f"task failed: {type(error).__name__}")
                world.say("task failed", name, repr(error))
                if type(error).__name__ != "OperationalError":
                    raise
                world.wait(0.5)


def _bodies():
    found = {}
    for module in (campaign_tasks, gateway_tasks):
        for name, task in vars(module).items():
            if getattr(task, "name", "").startswith(module.__name__ + "."):
                body = task.run
                while hasattr(body, "__wrapped__"):
                    body = body.__wrapped__
                found[f"{module.__name__}.{name}"] = body
    return found


_BODIES = _bodies()


class Ports:
    """Everything of one world. `install()` makes the product run in it; what it replaces stays replaced."""

    def __init__(self, world, database, transport):
        self.world = world
        self.system = System(world)
        self.broker = Broker(world)
        self.store = MemoryStore(world, database)
        self.tokens = MemoryTokenStore(world, database)
        self.inbox = MemoryInboxStore(world, database)
        self.quotas = MemoryQuotas(world, database)
        self.transport = transport

    def install(self):
        world = self.world
        for module in (sending, steering, tallies, results):
            module.store = self.store
        tokens._store = self.tokens
        inbox._store = self.inbox
        for module in (sending, client, tokens, results, campaign_tasks, inbox):
            module.time = self.system
        sending.os = sending.socket = self.system
        sending.random = SimpleNamespace(uniform=world.random.uniform)
        client.transport = tokens.transport = self.transport
        tokens._cache = OfProcess(world, "tokens", OrderedDict)
        tokens._flights = OfProcess(world, "flights")
        tokens.Future = partial(Flight, world)
        client._proven = OfProcess(world, "proven")
        client._rung = OfProcess(world, "rung")
        inbox._met = OfProcess(world, "met", Counter)
        # Incidents are one statement each and decide nothing: they have tests of their own.
        client._note_incident = lambda *_, **__: None
        quotas.incidents = SimpleNamespace(QUOTA="", open_incident=lambda **_: False, close_incident=lambda **_: 0)
        results._last_ring = OfProcess(world, "results")
        quotas._locked = self.quotas.locked
        quotas._take = self.quotas.take
        quotas._limits_of = lambda api, at: {}
        quotas.brand_scope = self.store.scope
        campaign_tasks.brand_scope = self.store.scope
        for module in (tasks_base, campaign_tasks, steering, results, inbox):
            module.ring = self.broker.ring
        campaign_tasks.ring_later = self.broker.ring_later
        clock.now = self.now
        clock.timestamp = lambda: self.now().timestamp()
        settings.WECHAT_BASE_URL = "http://wechat"

    def now(self):
        current = self.world.current
        return self.world.moment(current.process.skew if current is not None else 0.0)
