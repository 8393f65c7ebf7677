"""The product's own servers for the receiving half: PostgreSQL and Valkey that keep their data, accounts, gateways.

As a program (`python -m benchmarks.callback.stage COUNT`, in the product's environment) it makes the accounts.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Final, Self

import psycopg2

from benchmarks.callback import load, messages, processes
from benchmarks.callback.messages import Account
from benchmarks.rounds import InvalidRunError
from launcher import ports, product
from launcher.launched import Launched
from launcher.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from benchmarks.callback.load import Result
    from benchmarks.callback.messages import Numbers, Writer

_FILL: Final = """
    INSERT INTO wechat_gateway_inboundpush (brand_id, account_id, dedupe_key, digest, kind, openid, lane, event_at,
        received_at, body, is_binary, reply, state, reason, attempts)
    SELECT %(brand_id)s, %(account_id)s, gen_random_uuid(), gen_random_uuid(), 'text',
        'o' || lpad((n %% 9973)::text, 27, '0'), n %% 8, now() - n * interval '1 second',
        now() - n * interval '1 second', repeat('b', 300), false, repeat('r', 300), 'HANDLED', '', 1
    FROM generate_series(1, %(rows)s) AS n
"""
_SENT_NUMBER: Final = "substring(body from '<MsgId>([0-9]+)</MsgId>')::bigint"


class Stage:
    """One product of servers and gateway, with durable storage; PostgreSQL and we are kept off the gateway's core."""

    def __init__(self, accounts: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="zhiyin-bench-")
        self.launched = Launched(
            *("--state-dir", self._folder.name, "--no-demo", "--only", "servers,gateway"),
            env={**os.environ, "ZHIYIN_CLOCK_URL": "", "ZHIYIN_ALLOWED_HOSTS": "127.0.0.1"},
        )
        self.env = self.launched.env
        self.port = int(self.launched.urls["gateway"].rpartition(":")[2])
        self.gateway_pid = self.launched.pids["gateway"]
        self.postgres_pid = self.launched.pids["postgres"]
        self.redis_pid = self.launched.pids["valkey"]
        processes.pin(processes.tree(self.gateway_pid), processes.SERVER_CORE)
        processes.pin(processes.tree(self.postgres_pid), processes.OTHER_CORES)
        made = subprocess.run(
            [sys.executable, "-m", __name__, str(accounts)],
            cwd=ROOT,
            env={**os.environ, **self.env},
            check=True,
            stdout=subprocess.PIPE,
        )
        self.accounts = [Account(**facts) for facts in json.loads(made.stdout)]
        self._database = psycopg2.connect(self.env["DATABASE_URL"])
        self._database.autocommit = True

    def uvicorn(self, application: str, port: int) -> list[str]:
        """The launcher's own command line of the gateway, for another application or port."""
        argv = product.gateway(ports.Ports(gateway=port), {}).argv
        return [part.replace("config.gateway:application", application) for part in argv]

    def intake_pids(self) -> list[int]:
        """PostgreSQL's processes behind the gateways' writing connections."""
        with self._database.cursor() as cursor:
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'zhiyin_intake'")
            return [pid for (pid,) in cursor.fetchall()]

    def stored(self, first: int) -> list[int]:
        """The numbers of all messages from `first` on that have a row, with their repetitions."""
        with self._database.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SET LOCAL ROLE zhiyin_reports")
            cursor.execute(
                f"SELECT {_SENT_NUMBER} FROM wechat_gateway_inboundpush WHERE state = 'NEW' AND {_SENT_NUMBER} >= %s",
                (messages.msgid(first),),
            )
            found = [number - messages.msgid(0) for (number,) in cursor.fetchall()]
            cursor.execute("COMMIT")
        return found

    def fill(self, rows: int) -> None:
        """Lay handled pushes of all accounts into the inbox."""
        for account in self.accounts:
            with self._database.cursor() as cursor:
                cursor.execute("BEGIN")
                cursor.execute("SELECT set_config('app.brand_id', %s, true)", (str(account.brand_id),))
                cursor.execute(_FILL, {**account.as_json(), "rows": rows // len(self.accounts)})
                cursor.execute("COMMIT")
        self._analyze()

    def take_new_away(self) -> None:
        """Delete what was pushed since, so that every round finds the same inbox."""
        for account in self.accounts:
            with self._database.cursor() as cursor:
                cursor.execute("BEGIN")
                cursor.execute("SELECT set_config('app.brand_id', %s, true)", (str(account.brand_id),))
                cursor.execute(
                    "DELETE FROM wechat_gateway_inboundpush WHERE brand_id = %s AND state = 'NEW'", (account.brand_id,)
                )
                cursor.execute("COMMIT")
        self._analyze()

    def _analyze(self) -> None:
        owner = psycopg2.connect(self.env["DATABASE_OWNER_URL"])
        owner.autocommit = True
        with owner.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE) wechat_gateway_inboundpush")
        owner.close()

    def close(self) -> None:
        """Stop everything and delete its data."""
        self._database.close()
        self.launched.stop()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def warm(writer: Writer, port: int, numbers: Numbers) -> None:
    """Send each account a message until its reply rules are compiled; until then the gateway says `success`."""
    deadline = time.monotonic() + 60
    while True:
        result = load.drive(port, iter(writer.pushes(numbers.take(writer.accounts))), connections=8, seconds=20)
        if set(result.statuses) == {200} and b"success" not in result.bodies:
            return
        if time.monotonic() > deadline:
            raise InvalidRunError(f"the gateway on port {port} does not reply")


def check_answers(result: Result, writer: Writer, *, every: int = 1) -> None:
    """All requests answered with 200, and every n-th reply decrypted and compared. Raises InvalidRunError."""
    if result.broken:
        raise InvalidRunError(f"{result.broken} requests were not answered")
    wrong = [status for status in result.statuses if status != 200]
    if wrong:
        raise InvalidRunError(f"{len(wrong)} of {len(result.statuses)} answers are not 200 but {set(wrong)}")
    for push, body in list(zip(result.pushes, result.bodies, strict=True))[::every]:
        writer.reply_in(push, body)


def check_rows(result: Result, stored: Iterable[int]) -> None:
    """One row for each distinct message, and no other. Raises InvalidRunError."""
    sent = {push.number for push in result.pushes}
    found = list(stored)
    if len(found) != len(set(found)):
        raise InvalidRunError(f"{len(found) - len(set(found))} rows are doubled")
    if set(found) != sent:
        raise InvalidRunError(f"{len(sent - set(found))} rows are lost, {len(set(found) - sent)} were never sent")


def _make(count: int) -> None:
    import django

    django.setup()

    from accounts.services import create_brand
    from accounts.tenancy import brand_scope
    from common import clock
    from conversations.models import Match, ReplyRule, Trigger
    from conversations.services import save_rule
    from wechat_gateway.services import connect_official_account

    made = []
    for number in range(count):
        brand = create_brand(slug=f"bench-{number}", name=f"品牌 {number}")
        token, aes_key = f"benchToken{number}", f"{number:03d}".ljust(43, "k")
        with brand_scope(brand.pk):
            account = connect_official_account(
                name="服务号",
                appid=f"wx{number:016x}",
                original_id=f"gh_{number:012x}",
                app_secret="a" * 32,
                callback_token=token,
                encoding_aes_key=aes_key,
                at=clock.now(),
            )
            for each in range(messages.KEYWORDS):
                word = messages.keyword(each)
                answer = messages.answer_to(word)
                rule = ReplyRule(account=account, name=word, trigger=Trigger.KEYWORD, match=Match.EXACT, text=answer)
                rule.keywords = [word]
                save_rule(rule=rule, at=clock.now())
            rule = ReplyRule(account=account, name="其他", trigger=Trigger.DEFAULT, text=messages.DEFAULT)
            save_rule(rule=rule, at=clock.now())
            made.append(
                Account(
                    path=f"/wx/{account.path_token}",
                    token=token,
                    aes_key=aes_key,
                    appid=account.appid,
                    original_id=account.original_id,
                    brand_id=brand.pk,
                    account_id=account.pk,
                ).as_json(),
            )
    with contextlib.redirect_stdout(sys.stderr):
        django.db.connections.close_all()
    print(json.dumps(made))


if __name__ == "__main__":
    _make(int(sys.argv[1]))
