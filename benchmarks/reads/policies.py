"""What row security costs the statements that the product sends most: each with its policies and without them.

The statements are recorded from the running code, in a transaction that is taken back, and repeated in the same order
by one PostgreSQL process, in turn as the product's role and as one that has its rights but passes the policies.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

import psycopg2  # noqa: E402 - Django must be set up first
from django.db import connection  # noqa: E402

from accounts.rest.callers import SessionClaim  # noqa: E402
from accounts.roles import Role  # noqa: E402
from accounts.tenancy import brand_scope, current_scope  # noqa: E402
from accounts.viewer import Viewer  # noqa: E402
from benchmarks.sending import world  # noqa: E402
from campaigns import services  # noqa: E402
from campaigns.models import DeliveryState  # noqa: E402
from campaigns.services import sending  # noqa: E402
from common import clock  # noqa: E402
from guides.selectors import guide_of  # noqa: E402
from launcher.roles import APP, INTAKE, REPORTS  # noqa: E402
from members import selectors as members  # noqa: E402
from members.models import MiniProgramSession  # noqa: E402
from stores.models import Store  # noqa: E402
from stores.selectors import nearest_stores  # noqa: E402
from wechat_gateway import intake  # noqa: E402
from wechat_gateway.services import inbox  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

PEOPLE = 2_000
_SKIPPED = re.compile(r"\s*(SAVEPOINT|RELEASE|ROLLBACK)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Sent:
    """A statement as it was sent, by which role, and under which name its cost is told (none: it only leads up)."""

    name: str
    role: str
    sql: bytes


class Recorder:
    """Notes every statement; those that are asked for by a part of their text get a name."""

    def __init__(self, names: dict[str, str]) -> None:
        self.sent: list[Sent] = []
        self._names = dict(names)

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not _SKIPPED.match(sql):
            name = next((name for name, part in self._names.items() if part in sql), "")
            self._names.pop(name, None)
            scope = current_scope()
            role = REPORTS if scope is not None and scope.read_only else APP
            self.sent.append(Sent(name, role, context["cursor"].cursor.mogrify(sql, params)))
        return execute(sql, params, many, context)

    def missing(self) -> set[str]:
        """Give the names of statements that were never sent."""
        return set(self._names)


class _Undo(Exception):
    """Takes a recorded transaction back."""


@contextmanager
def _recorded(brand: int, names: dict[str, str]) -> Iterator[Recorder]:
    recorder = Recorder(names)
    try:
        with brand_scope(brand), connection.execute_wrapper(recorder):
            yield recorder
            raise _Undo  # noqa: TRY301 - it is for the scope in between
    except _Undo:
        pass
    if recorder.missing():
        raise LookupError(f"never sent: {', '.join(sorted(recorder.missing()))}")


def _reads(brand: int) -> list[Sent]:
    at = clock.now()
    names = {
        "session": "FROM members_miniprogramsession",
        "card": "m.phone_masked, m.birth_mmdd, m.city, m.joined_at, m.subscribed",
        "guide of the card": "FROM guides_assignment",
        "list of 20": "m.merged_into_id IS NULL AND m.erased_at IS NULL\nORDER BY",
        "search by phone": "m.phone_index =",
        "nearest stores": "AS bow",
        "hours of stores": "UNION ALL",
        "find in the console": "phone_tail",
        "segment count": "COUNT(*)",
    }
    with brand_scope(brand):
        session = MiniProgramSession.objects.order_by("pk")[0]
        store = Store.objects.order_by("pk")[0]
    with _recorded(brand, names) as recorder:
        members.principal_of_claim(SessionClaim(brand, session.public_id), at)
        members.member_card(session.member_id)
        guide_of(session.member_id)
        members.people(members.Wanted(), limit=21)
        members.people(members.Wanted(phone="+8613800000000"), limit=21)
        nearest_stores(lat=store.lat or 0, lng=store.lng or 0, at=at, only_open=False)
        members.find_members(Viewer(staff_id=None, label="", brand_id=brand, role=Role.OWNER), "0042")
        members.how_many(world.LATELY, at=at)
    return recorder.sent


def _campaign(place: world.World) -> list[Sent]:
    campaign = place.campaign(segment=place.lately)
    names = {
        "freeze of an audience": "INSERT INTO campaigns_delivery",
        "claim of 64 messages": "OF d SKIP LOCKED",
        "record of 64 answers": "UPDATE campaigns_delivery d SET",
        "result kept": "INSERT INTO campaigns_finishevent",
        "match of results": "d.msgid = v.msgid AND d.account_id",
    }
    with _recorded(place.brand_id, names) as recorder:
        services.freeze_audience(campaign_id=campaign.pk, at=clock.now())
        campaign.refresh_from_db()
        job = sending.Job.load(place.brand_id, campaign.pk, 0)
        batch = sending._claim(job, 64, (campaign.state,))  # noqa: SLF001 - one step of the engine
        entries = [sending.Entry(claimed, DeliveryState.SENT, msgid=number) for number, claimed in enumerate(batch, 1)]
        sending._record(job, entries, None)  # noqa: SLF001
        for entry in entries:
            services.record_result(
                account_id=place.account.pk,
                openid=entry.claimed.openid,
                msgid=str(entry.msgid),
                status="success",
                event_at=clock.now(),
            )
        services.settle_results(at=clock.now())
    return recorder.sent


def _inbox(place: world.World) -> list[Sent]:
    now = time.time()
    rows = [
        intake.Row(
            place.brand_id,
            place.account.pk,
            str(uuid.uuid4()),
            str(uuid.uuid4()),
            "text",
            f"o{n}",
            3,
            now,
            now,
            "x" * 400,
        )
        for n in range(16)
    ]
    payload = json.dumps([vars_of(row) for row in rows])
    with brand_scope(place.brand_id), connection.cursor() as cursor:
        text = cursor.cursor.mogrify(intake._INSERT, [payload])  # noqa: SLF001 - the statement of the gateway process
    sent = [Sent("inbox insert of 16", INTAKE, text)]
    with _recorded(place.brand_id, {"claim of pushes": "wechat_gateway_inboundpush"}) as recorder:
        inbox._claim(place.brand_id, 3)  # noqa: SLF001
    return sent + recorder.sent


def vars_of(row: intake.Row) -> dict[str, Any]:
    """Give a row as the gateway writes it."""
    return {name: getattr(row, name) for name in intake._COLUMNS}  # noqa: SLF001


class Repeats:
    """Runs recorded statements as their roles, or as a role that passes all policies."""

    def __init__(self, admin_url: str, brand: int, free: str) -> None:
        self._connection = psycopg2.connect(admin_url)
        self._brand, self._free = brand, free
        self._stat = Path(f"/proc/{self._connection.info.backend_pid}/schedstat")

    def run(self, sent: list[Sent], *, applied: bool) -> dict[str, float]:
        """Give the processor time of every named statement, in microseconds; all is taken back."""
        found: dict[str, float] = {}
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT set_config('app.brand_id', %s, true)", [str(self._brand)])
            for each in sent:
                cursor.execute(f'SET LOCAL ROLE "{each.role if applied else self._free}"')
                before = self._cpu()
                cursor.execute(each.sql)
                if each.name:
                    found[each.name] = self._cpu() - before
        self._connection.rollback()
        return found

    def _cpu(self) -> float:
        return int(self._stat.read_text().split()[0]) / 1e3


def main() -> None:
    """Record; then answer each line with a number of repeats by one line: {name: [with, without]}."""
    brand, free = int(sys.argv[1]), sys.argv[2]
    place = world.make("policies")
    world.people(place, [f"o{number:027d}" for number in range(PEOPLE)])
    scenarios = [(brand, _reads(brand)), (place.brand_id, _campaign(place)), (place.brand_id, _inbox(place))]
    repeats = [(Repeats(os.environ["BENCH_ADMIN_URL"], number, free), sent) for number, sent in scenarios]
    print(json.dumps(sorted(each.name for _brand, sent in scenarios for each in sent if each.name)), flush=True)
    for line in sys.stdin:
        found: dict[str, tuple[list[float], list[float]]] = {}
        for number in range(int(line)):
            for repeat, sent in repeats:
                for applied in (number % 2 == 0, number % 2 == 1):
                    for name, spent in repeat.run(sent, applied=applied).items():
                        found.setdefault(name, ([], []))[0 if applied else 1].append(spent)
        print(
            json.dumps({name: [statistics.median(side) for side in both] for name, both in found.items()}), flush=True
        )


if __name__ == "__main__":
    main()
