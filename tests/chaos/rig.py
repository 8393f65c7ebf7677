"""The whole product as real processes, with the fault proxy on every road between them; one supervisor ends them all.

PostgreSQL, Valkey and the simulated WeChat are reached by the product through the proxy and by the scenarios directly,
so that what is looked at is never what is broken.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psycopg2

from launcher import cli, postgres, product, roles, valkey
from launcher import ports as port_numbers
from launcher.child import Spec
from launcher.environment import base, for_product
from launcher.state import State
from launcher.supervisor import Supervisor
from tests.chaos.proxy import Remote

LEASE_SECONDS = 8
CLAIM_SIZE = 128
CHILDREN = 2
SENDERS = ("worker-send", "worker-send-2")
ROADS = {"database": "postgres", "broker": "redis", "wechat": "simulator"}


class Rig(Supervisor):
    """Starts, kills, stops and revives; from the main thread only."""

    def __init__(self, *, seed, settings=None):
        self.folder = Path(tempfile.mkdtemp(prefix="zhiyin-chaos-"))
        self.state = State(self.folder)
        self.state.prepare()
        self.state.lock()
        super().__init__(self.state)
        self.seed = seed
        self.settings = settings or {}
        self.ports = port_numbers.free()
        self.roads = dict(zip(ROADS, port_numbers.free_numbers(len(ROADS)), strict=True))
        self.random = random.Random(f"rig/{seed}")
        self.down = set()
        self.died = []  # (name, seconds since the start): processes that ended by themselves
        self.began = time.monotonic()
        self.proxy = None
        self._admin = None

    def __exit__(self, *exception):
        if exception[0] is not None:
            self.show_logs()
        for name in list(self.down):  # a stopped process cannot be asked to stop
            with suppress(ProcessLookupError):
                os.killpg(self.child(name).pid, signal.SIGCONT)
        if self.proxy is not None:
            with suppress(OSError, RuntimeError):
                self.proxy.close()
        super().__exit__(*exception)
        self.state.unlock()
        if os.environ.get("ZHIYIN_CHAOS_KEEP"):
            sys.stdout.write(f"logs are kept in {self.state.logs}\n")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- starting ----------------------------------------------------------------------------------------------------

    def start_product(self):
        """Start everything; `env` is then the environment with direct addresses, `product_env` the product's own."""
        for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_INTAKE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        secrets = self.state.secrets()
        installation = postgres.prepare(self.state, secrets["postgres_password"])
        server = postgres.spec(self.state, installation, self.ports.postgres, throwaway=True)
        # What is answered must survive a crash of the server (not of the machine), as in production.
        argv = [word.replace("synchronous_commit=off", "synchronous_commit=on") for word in server.argv]
        self.start(
            dataclasses.replace(server, argv=argv),
            valkey.spec(self.state, self.ports.redis, throwaway=True),
            self._proxy_spec(),
        )
        self.proxy = Remote(self.control)
        databases = cli._databases(secrets, self.ports, embedded=True, throwaway=True)
        redis_url = f"redis://{port_numbers.HOST}:{self.ports.redis}/0"
        self.env = for_product(self.ports, secrets, databases, redis_url)
        self.env |= {
            "ZHIYIN_SEND_LEASE_SECONDS": str(LEASE_SECONDS),
            "ZHIYIN_SEND_CLAIM_SIZE": str(CLAIM_SIZE),
            "ZHIYIN_METRICS_TOKEN": "chaos",
            **self.settings,
        }
        self.product_env = self.env | {
            **{name: self._by_road(url, "database") for name, url in databases.items()},
            "REDIS_URL": self._by_road(redis_url, "broker"),
            "ZHIYIN_WECHAT_BASE_URL": f"http://{port_numbers.HOST}:{self.roads['wechat']}",
        }
        self.admin_dsn = (
            f"host={port_numbers.HOST} port={self.ports.postgres} user={postgres.SUPERUSER} "
            f"password={secrets['postgres_password']} dbname={roles.DATABASE} connect_timeout=3"
        )
        self.run("migrate", product.manage("migrate", "--no-input"), self.env)
        sending = product.workers(self.product_env)
        extra = next(spec for spec in sending if spec.name == "worker-send")
        argv = [word.replace("worker-send@", "worker-send-2@") for word in extra.argv]
        self.start(
            product.simulator(self.state, self.ports, self.env),
            *sending,
            dataclasses.replace(extra, name="worker-send-2", argv=argv),
            product.gateway(self.ports, self.product_env),
            product.web(self.ports, self.product_env),
            product.beat(self.state, self.product_env),
        )

    def _proxy_spec(self):
        (self.control,) = port_numbers.free_numbers(1)
        links = [f"--link={road}={self.roads[road]}:{getattr(self.ports, behind)}" for road, behind in ROADS.items()]
        return Spec(
            name="proxy",
            argv=[
                sys.executable,
                "-m",
                "tests.chaos.proxy",
                f"--control={self.control}",
                f"--seed={self.seed}",
                *links,
            ],
            env=base(),
            ready=lambda child: b"ready" in child.output(),
        )

    def _by_road(self, url, road):
        behind = getattr(self.ports, ROADS[road])
        return url.replace(f":{behind}", f":{self.roads[road]}", 1)

    def more_gateways(self, count):
        """Start further gateway processes; gives the ports of all of them."""
        numbers = port_numbers.free_numbers(count)
        specs = []
        for index, number in enumerate(numbers, 2):
            ports = dataclasses.replace(self.ports, gateway=number)
            env = self.product_env | {"ZHIYIN_GATEWAY_PORT": str(number)}
            specs.append(dataclasses.replace(product.gateway(ports, env), name=f"gateway-{index}"))
        self.start(*specs)
        return [self.ports.gateway, *numbers]

    # --- ending ------------------------------------------------------------------------------------------------------

    def child(self, name):
        wave, index = self._place(name)
        return wave[index]

    def _place(self, name):
        for wave in self._waves:
            for index, child in enumerate(wave):
                if child.spec.name == name:
                    return wave, index
        raise KeyError(name)

    def kill(self, name):
        """SIGKILL a process and everything it started; it stays down until `revive`."""
        self.down.add(name)
        child = self.child(name)
        child.kill_group()
        self._tell_watchdog(f"-{child.pid}")

    def crash(self, name):
        """SIGQUIT to PostgreSQL is its immediate stop: no checkpoint, sessions dropped."""
        self.down.add(name)
        child = self.child(name)
        child.process.send_signal(signal.SIGQUIT)
        child.process.wait(20)
        self._tell_watchdog(f"-{child.pid}")

    def forget(self, name):
        """A killed process that is not needed any more."""
        wave, index = self._place(name)
        del wave[index]
        self.down.discard(name)

    def revive(self, name, *, wait=False):
        """Start a killed process again."""
        wave, index = self._place(name)
        wave[index] = self._spawn(wave[index].spec)
        self.down.discard(name)
        if wait:
            self.until(f"{name} is ready", wave[index].is_ready, 60)

    def restart(self, name):
        self.kill(name)
        self.revive(name)

    def children(self, name):
        """The processes that a worker process has forked and that live: a dead one is listed until it is reaped."""
        pid = self.child(name).pid
        with suppress(OSError):
            found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            return [int(word) for word in found if _lives(word)]
        return []

    def kill_child(self, name):
        """SIGKILL one forked process of a worker; the worker forks another. Gives its number, or None."""
        found = self.children(name)
        if not found:
            return None
        pid = self.random.choice(found)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return pid

    # --- watching ----------------------------------------------------------------------------------------------------

    def pause(self, seconds):
        """Wait; notes and revives what has ended by itself meanwhile."""
        self._pause(seconds)
        self._mind_watchdog()
        for wave in self._waves:
            for index, child in enumerate(wave):
                if child.spec.name not in self.down and not child.is_running():
                    self.died.append((child.spec.name, round(time.monotonic() - self.began, 1), child.tail(60)))
                    child.kill_group()
                    wave[index] = self._spawn(child.spec)

    def until(self, what, look, seconds, each=0.1):
        """Look until something true appears and give it; None (and a line) when it does not in time."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > deadline:
                sys.stdout.write(f"      not within {seconds:.0f} s: {what}\n")
                return None
            self.pause(each)

    def sql(self, statement, *parameters):
        """Rows of a statement as the superuser, past row security; waits for PostgreSQL when it is away."""
        deadline = time.monotonic() + 60
        while True:
            try:
                if self._admin is None or self._admin.closed:
                    self._admin = psycopg2.connect(self.admin_dsn)
                    self._admin.autocommit = True
                with self._admin.cursor() as cursor:
                    cursor.execute(statement, parameters or None)
                    return cursor.fetchall() if cursor.description else []
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self._admin = None
                if time.monotonic() > deadline:
                    raise
                self.pause(0.1)

    def answers(self, name):
        """Whether a server answers, asked as the launcher asks."""
        child = self.child(name)
        return child.is_running() and child.spec.ready(child)

    def show_logs(self):
        for path in sorted(self.state.logs.glob("*.log")):
            text = path.read_text(errors="replace").splitlines()
            bad = [line for line in text if "ERROR" in line or "Traceback" in line or "CRITICAL" in line]
            for line in bad[-4:]:
                sys.stdout.write(f"      {path.stem}: {line[:300]}\n")


def _lives(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def setup_django(env):
    """Make this process one of the product's, with direct addresses."""
    ours = ("ZHIYIN_", "DATABASE_", "REDIS_", "DJANGO_")
    os.environ.update({name: value for name, value in env.items() if name.startswith(ours)})
    import django

    django.setup()
    from config.celery import app

    app.set_default()
