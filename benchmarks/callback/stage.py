"""The product's own servers for the receiving half: PostgreSQL and Valkey that keep their data, accounts, gateways.

As a program (`python -m benchmarks.callback.stage COUNT RULES`, in the product's environment) it makes the accounts.
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
    from datetime import datetime
    from types import TracebackType

    from benchmarks.callback.load import Result
    from benchmarks.callback.messages import Numbers, Writer
    from conversations.models import ReplyRule
    from wechat_gateway.models import OfficialAccount

EXACT: Final = "exact"  # fifty exact keywords an account
EVERY_KIND: Final = "every kind"  # fifty rules of every kind, most of them two for one word: by what is known of people
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

    def __init__(self, accounts: int, *, rules: str = EXACT) -> None:
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
            [sys.executable, "-m", __name__, str(accounts), rules],
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
        return self._backends("usename = 'zhiyin_intake'")

    def gateway_backends(self) -> list[int]:
        """PostgreSQL's processes behind everything a gateway asks and writes."""
        return self._backends("usename IN ('zhiyin_intake', 'zhiyin_app') AND pid <> pg_backend_pid()")

    def _backends(self, which: str) -> list[int]:
        with self._database.cursor() as cursor:
            cursor.execute(f"SELECT pid FROM pg_stat_activity WHERE {which}")
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


def _make(count: int, rules: str) -> None:
    import django

    django.setup()

    from accounts.services import create_brand
    from accounts.tenancy import brand_scope
    from common import clock
    from conversations.models import ReplyRule
    from touchpoints.services import replies_changed
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
            tag_id = _regulars(account) if rules == EVERY_KIND else 0
            ReplyRule.objects.bulk_create(_rules(account, tag_id, clock.now()))
            replies_changed(account_id=account.pk)
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


def _rules(account: OfficialAccount, tag_id: int, at: datetime) -> list[ReplyRule]:
    """Fifty keyword rules and a reply to any message; with a tag, of every kind and some for those who carry it."""
    from conversations.models import Match, ReplyRule, Trigger

    found: list[ReplyRule] = []

    def add(number: int, text: str, **more: object) -> None:
        # The shares of real rules: half exact, a third contained, some prefixes, few expressions.
        kinds = [Match.EXACT] * 10 + [Match.CONTAINS] * 6 + [Match.PREFIX] * 3 + [Match.REGEX]
        match = kinds[number * 7 % 20] if tag_id else Match.EXACT
        word = messages.keyword(number)
        keywords = [f"^{word}(吗|呢)?$"] if match == Match.REGEX else [word]
        facts = {"name": word, "trigger": Trigger.KEYWORD, "match": match, "keywords": keywords, "text": text}
        found.append(ReplyRule(account=account, position=len(found), updated_at=at, **facts, **more))

    for number in messages.PLAIN_WORDS if tag_id else range(messages.KEYWORDS):
        add(number, messages.answer_to(messages.keyword(number)))
    for number in messages.FACT_WORDS if tag_id else ():
        text = messages.answer_to(messages.keyword(number))
        add(number, f"{messages.GREETING}{text}", audience_kind="tag", audience_id=tag_id)
        add(number, text)
    found.append(
        ReplyRule(
            account=account, name="其他", trigger=Trigger.DEFAULT, text=messages.DEFAULT, position=99, updated_at=at
        )
    )
    return found


def _regulars(account: OfficialAccount) -> int:
    """Make the account's people, half of whom carry a tag; gives the tag."""
    from uuid import uuid4

    from members.models import Follower, Member, Tag

    at = account.connected_at
    tag = Tag.objects.create(name="老客", created_at=at)
    openids = [f"o{number:027d}" for number in range(messages.FACT_PEOPLE)]
    people = Member.objects.bulk_create(
        Member(
            public_id=uuid4(),
            member_no=f"{number:08d}",
            created_at=at,
            subscribed=True,
            tag_ids=[tag.pk] if messages.is_regular(openid) else [],
        )
        for number, openid in enumerate(openids)
    )
    Follower.objects.bulk_create(
        Follower(account=account, openid=openid, member=member, subscribed=True, followed_at=at)
        for openid, member in zip(openids, people, strict=True)
    )
    return tag.pk


if __name__ == "__main__":
    _make(int(sys.argv[1]), sys.argv[2])
