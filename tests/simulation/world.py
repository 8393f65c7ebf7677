"""Virtual time: an event queue, processes that can be killed or stopped anywhere, and tasks that wait without waiting.

A task is a greenlet of a process; `World.step()` stands for every border at which the real thing could be switched off.
Everything random comes from one generator, so that a seed is a run.
"""

import heapq
import random
from datetime import UTC, datetime, timedelta

import greenlet
from django.db import OperationalError

EPOCH = datetime(2025, 6, 1, 1, 0, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone; nothing it does from here on has an effect."""


class NoEnd(AssertionError):
    """The run did not come to rest."""


class Process:
    """One operating-system process: what it remembers is its own, its clock may be wrong."""

    def __init__(self, world, name, skew=0.0):
        self.world = world
        self.name = name
        self.number = next(world.numbers)
        self.skew = skew
        self.alive = True
        self.stopped_until = 0.0
        self.memory = {}
        self.tasks = set()

    def remembered(self, what, make):
        found = self.memory.get(what)
        if found is None:
            found = self.memory[what] = make()
        return found


class Task:
    """One thread of a process."""

    def __init__(self, process, name, body):
        self.process = process
        self.name = name
        self.glet = greenlet.greenlet(self._run, parent=process.world.hub)
        self.body = body
        self.done = False
        self.epoch = 0  # an awaited event that comes after somebody else woke the task is stale
        self.transaction = None
        self.waits_for = None

    def _run(self):
        try:
            self.body()
        except Killed:
            pass
        finally:
            self.done = True
            self.process.tasks.discard(self)


class World:
    """Time, processes, faults. `faults` are switched off by `quiet()`; then everything has to come to an end."""

    def __init__(self, seed, *, trace=False):
        self.seed = seed
        self.random = random.Random(seed)
        self.now = 0.0
        self.queue = []
        self.order = 0
        self.steps = 0
        self.numbers = iter(range(1, 10**9))
        self.current = None
        self.hub = greenlet.getcurrent()
        self.processes = []
        self.trace = [] if trace else None
        self.faults = True
        self.kill_chance = 0.0
        self.stop_chance = 0.0
        self.break_chance = 0.0
        self.kills = self.stops = self.breaks = 0
        self.most_kills = 0
        self.stop_lengths = (2.0, 11.0, 14.0, 30.0, 100.0, 700.0)
        self.most_stops = 0
        self.most_breaks = 0
        self.seen = {}
        self.on_death = []
        self.errors = []
        self.clock_jump = 0.0
        self.until, self.limit, self.stop_when = 0.0, 0, lambda: False  # of the run that is under way

    # -- telling ------------------------------------------------------------------------------------------------------

    def say(self, *words):
        if self.trace is not None:
            who = f"{self.current.process.name}/{self.current.name}" if self.current else "-"
            self.trace.append(f"{self.now:10.3f} {who:22} " + " ".join(str(word) for word in words))

    def count(self, what, by=1):
        """A "sometimes" assertion: the runs as a whole must have seen this."""
        self.seen[what] = self.seen.get(what, 0) + by

    # -- time ---------------------------------------------------------------------------------------------------------

    def at(self, when, what, *args):
        self.order += 1
        # Things that happen at the same moment happen in any order.
        heapq.heappush(self.queue, (when, self.random.random(), self.order, what, args))

    def at_once(self, what, *args):
        """Now, before whatever else is due, in the order of the calls."""
        self.order += 1
        heapq.heappush(self.queue, (self.now, -1.0, self.order, what, args))

    def after(self, seconds, what, *args):
        self.at(self.now + seconds, what, *args)

    def moment(self, skew=0.0):
        return EPOCH + timedelta(seconds=self.now + skew)

    def run(self, until, *, most_steps=200_000, stop=lambda: False):
        queue = self.queue
        self.until, self.limit, self.stop_when = until, self.steps + most_steps, stop
        while queue and queue[0][0] <= until:
            if self.steps > self.limit:
                raise NoEnd(f"more than {most_steps} steps")
            when, _, _, what, args = heapq.heappop(queue)
            self.now = max(self.now, when)
            what(*args)
            if stop():
                return
        if not queue or queue[0][0] > until:
            self.now = max(self.now, until)

    # -- processes and tasks ------------------------------------------------------------------------------------------

    def process(self, name, skew=0.0):
        made = Process(self, name, skew)
        self.processes.append(made)
        return made

    def spawn(self, process, name, body, after=0.0):
        task = Task(process, name, body)
        process.tasks.add(task)
        self.after(after, self._resume, task, task.epoch)
        return task

    def _resume(self, task, epoch):
        if task.done or task.epoch != epoch:
            return
        process = task.process
        if not process.alive:
            return
        if process.stopped_until > self.now:
            self.at(process.stopped_until, self._resume, task, epoch)
            return
        task.epoch += 1
        before, self.current = self.current, task
        try:
            task.glet.switch()
        finally:
            self.current = before

    def wake(self, task):
        """Let a waiting task go on now (when its process can)."""
        self.after(0.0, self._resume, task, task.epoch)

    def wait(self, seconds=None):
        """Give way; come back after some seconds, or when somebody wakes the task."""
        task = self.current
        if not task.process.alive:
            raise Killed
        if seconds is not None:
            when = self.now + seconds
            if self._is_first(when, task.process):
                self.random.random()  # as `at` would: a seed stays the same run
                self.order += 1
                self.now = when
                task.epoch += 1
                return
            self.at(when, self._resume, task, task.epoch)
        self.hub.switch()
        if not task.process.alive:
            raise Killed

    def _is_first(self, when, process):
        """Whether nothing comes before what this process does at a moment: then its task need not be left for it."""
        return (
            (not self.queue or when < self.queue[0][0])
            and process.stopped_until <= when <= self.until
            and self.steps <= self.limit
            and not self.stop_when()
        )

    def kill(self, process):
        """SIGKILL: what was not committed is gone, nothing is run on the way out."""
        if not process.alive:
            return
        process.alive = False
        self.say("KILL", process.name)
        self.count("kill")
        tasks = list(process.tasks)
        for task in tasks:
            if task.transaction is not None:
                task.transaction.rollback()
        for hook in self.on_death:
            hook(process)
        for task in tasks:
            if task is not self.current and task.glet:
                # Its frames unwind; every effect they try meets a dead process.
                before, self.current = self.current, task
                task.glet.parent = greenlet.getcurrent()
                task.glet.throw(Killed)
                self.current = before
            task.done = True

    def stop(self, process, seconds):
        """SIGSTOP, and SIGCONT after some seconds."""
        self.say("STOP", process.name, round(seconds, 3))
        self.count("stop")
        if seconds > 300:
            self.count("stopped for long")
        process.stopped_until = max(process.stopped_until, self.now + seconds)
        for task in process.tasks:
            transaction = task.transaction
            if transaction is not None and transaction.idle_timeout is not None and transaction.idle_timeout < seconds:
                self.after(transaction.idle_timeout, self._throw_out, task, transaction)

    def _throw_out(self, task, transaction):
        """PostgreSQL ends a session that is idle in a transaction for too long."""
        if task.process.stopped_until > self.now and not transaction.ended:
            self.count("idle session ended")
            transaction.lose()

    # -- borders ------------------------------------------------------------------------------------------------------

    def step(self, what, seconds=None):
        """A border: time passes, others run, and here the process may die, be stopped, or lose its connection."""
        task = self.current
        process = task.process
        if not process.alive:
            raise Killed
        self.steps += 1
        rng = self.random
        if self.faults:
            fate = rng.random()
            if fate < self.kill_chance:
                if self.kills < self.most_kills:
                    self.kills += 1
                    self.say("dies at", what)
                    self.kill(process)
                    raise Killed
            elif fate < self.kill_chance + self.stop_chance:
                if self.stops < self.most_stops:
                    self.stops += 1
                    self.stop(process, rng.choice(self.stop_lengths) * (0.5 + rng.random()))
            elif fate < self.kill_chance + self.stop_chance + self.break_chance:  # noqa: SIM102
                if self.breaks < self.most_breaks and task.transaction is not None:
                    self.breaks += 1
                    self.count("connection lost")
                    self.say("connection lost at", what)
                    task.transaction.lose()
                    raise OperationalError("connection lost")
        self.wait(seconds if seconds is not None else rng.random() * 0.004)
        transaction = task.transaction
        if transaction is not None and transaction.lost:
            raise OperationalError("connection lost")
