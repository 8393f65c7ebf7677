"""The inbox over a million lines and a million pushes: finding, and old rows leaving while new ones come.

Runs in the product's environment as the stand's child: fills one brand, says what it holds, then measures once for
every line that comes.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection  # noqa: E402 - Django must be set up first
from django.test import Client  # noqa: E402

from accounts.models import StaffUser  # noqa: E402
from accounts.roles import Role  # noqa: E402
from accounts.services import create_brand, grant_role  # noqa: E402
from accounts.tenancy import brand_scope  # noqa: E402
from common import clock  # noqa: E402
from inbox.models import Conversation, Message  # noqa: E402
from inbox.services import forget_old  # noqa: E402
from inbox.words import grams  # noqa: E402
from launcher import roles  # noqa: E402
from wechat_gateway.models import InboundPush, OfficialAccount  # noqa: E402
from wechat_gateway.services.inbox import purge_brand_inbound  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import Brand

PEOPLE: Final = 20_000
TEXTS: Final = 5_000
ASKED: Final = 40
OPENINGS: Final = ("你好", "在吗", "想问一下", "麻烦看看", "昨天买的", "会员日", "上次说的", "朋友送的")
THINGS: Final = ("围巾", "茶具", "礼盒", "外套", "咖啡豆", "香薰", "手冲壶", "床品", "雨伞", "口红")
WISHES: Final = ("什么时候发货", "可以退货吗", "尺码偏大吗", "门店有货吗", "积分怎么用", "能不能改地址", "有没有优惠")

_PEOPLE: Final = """
INSERT INTO members_member (brand_id, public_id, member_no, name, phone_tail, phone_masked, city, created_at,
    subscribed, tag_ids)
SELECT %(brand)s, gen_random_uuid(), n::text,
    (ARRAY['陈','林','黄','王','李','张','刘','赵','周','吴'])[1 + n %% 10]
    || (ARRAY['悦','嘉宁','晓','子涵','书瑶','国强','思远'])[1 + n %% 7] || n, lpad((n %% 10000)::text, 4, '0'), '', '',
    now() - interval '200 days', true, '{}'
FROM generate_series(1, %(people)s) n
"""
_FOLLOWERS: Final = """
INSERT INTO members_follower (brand_id, account_id, openid, unionid, member_id, subscribed, followed_at, follow_count,
    follow_scene)
SELECT brand_id, %(account)s, 'o' || lpad(id::text, 27, '0'), '', id, true, created_at, 1, ''
FROM members_member WHERE brand_id = %(brand)s
"""
_CONVERSATIONS: Final = """
INSERT INTO inbox_conversation (brand_id, account_id, follower_id, state, level, opened_at, first_answered, last_at,
    last_text, last_inbound, inbound_count, outbound_count, version)
SELECT brand_id, account_id, id, CASE WHEN id %% 200 = 0 THEN 'OPEN' ELSE 'RESOLVED' END, 'DESK', followed_at, true,
    now() - random() * interval '100 days', '你好', true, 25, 25, 1
FROM members_follower WHERE brand_id = %(brand)s
"""
_LINES: Final = """
INSERT INTO inbox_message (brand_id, conversation_id, direction, kind, text, facts, grams, at, state, cause)
SELECT %(brand)s, c.ids[1 + n %% array_length(c.ids, 1)],
    CASE WHEN n %% 2 = 0 THEN 'INBOUND' ELSE 'OUTBOUND' END, 'text', t.text, '{}', t.grams,
    now() - (1 - n::float8 / %(lines)s) * interval '200 days', CASE WHEN n %% 2 = 0 THEN '' ELSE 'SENT' END, ''
FROM generate_series(1, %(lines)s) n
CROSS JOIN (SELECT array_agg(id ORDER BY id) ids FROM inbox_conversation WHERE brand_id = %(brand)s) c
JOIN bench_texts t ON t.id = (n * 7919::bigint) %% %(texts)s
"""
_PUSHES: Final = """
INSERT INTO wechat_gateway_inboundpush (brand_id, account_id, dedupe_key, digest, kind, openid, lane, event_at,
    received_at, body, is_binary, reply, state, reason, attempts, handled_at)
SELECT %(brand)s, %(account)s, gen_random_uuid(), gen_random_uuid(), 'text', 'o' || (n %% 20000), n %% 64, at, at,
    '{"MsgType": "text", "Content": "门店有货吗"}', false, '', 'HANDLED', '', 1, at
FROM (SELECT n, now() - (1 - n::float8 / %(lines)s) * interval '33 days' AS at FROM generate_series(1, %(lines)s) n) p
"""


def texts() -> list[str]:
    """Give what people say; one in fifty names something nobody else does."""
    choose = random.Random(7)
    found = []
    for number in range(TEXTS):
        text = f"{choose.choice(OPENINGS)}，{choose.choice(THINGS)}{choose.choice(WISHES)}"
        found.append(f"{text} 单号lz{number:05d}" if number % 50 == 0 else text)
    return found


def fill(admin_url: str, lines: int) -> Brand:
    """Make the brand: people, conversations, lines of 200 days, pushes of 33 days."""
    brand = create_brand(slug="bench", name="Bench")
    with brand_scope(brand.pk):
        account = OfficialAccount.objects.create(
            name="Bench", appid="wxbench0000000000", original_id="gh_bench", app_secret="s", connected_at=clock.now()
        )
        user = StaffUser.objects.create(username="bench", name="bench")
        grant_role(staff_user=user, role=Role.OWNER)
    values = {"brand": brand.pk, "account": account.pk, "people": PEOPLE, "lines": lines, "texts": TEXTS}
    with roles.cursor_on(admin_url) as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("CREATE TABLE bench_texts (id int PRIMARY KEY, text text, grams varchar[])")
        for number, text in enumerate(texts()):
            cursor.execute("INSERT INTO bench_texts VALUES (%s, %s, %s)", (number, text, grams(text)))
        for statement in (_PEOPLE, _FOLLOWERS, _CONVERSATIONS, _LINES, _PUSHES):
            cursor.execute(statement, values)
        cursor.execute("VACUUM ANALYZE")
    return brand


class Desk:
    """Somebody who signed in and looks for things."""

    def __init__(self, brand: Brand) -> None:
        self.brand = brand
        self.browser = Client(headers={"host": "127.0.0.1"})
        user = StaffUser.objects.get(username="bench")
        self.browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")

    def look(self, terms: list[str], *, finds: bool) -> list[float]:
        """Give how long each whole page took, in milliseconds."""
        taken = []
        for term in terms:
            started = time.perf_counter()
            answer = self.browser.get("/b/bench/inbox/", {"q": term})
            taken.append(1000 * (time.perf_counter() - started))
            shows = b"?open=" in answer.content or b"open=" in answer.content
            if answer.status_code != 200 or (finds and not shows):
                raise AssertionError(term, answer.status_code, finds)
        return taken

    def searches(self, choose: random.Random) -> dict[str, Callable[[], list[float]]]:
        """Name the kinds of searches, each with fresh terms."""
        said = [choose.choice((*OPENINGS, *THINGS, "退货", "尺码", "发货", "积分", "有货")) for _ in range(ASKED)]
        both = [f"{choose.choice(THINGS)}{choose.choice(WISHES)}" for _ in range(ASKED)]
        seldom = [f"lz{50 * choose.randrange(TEXTS // 50):05d}" for _ in range(ASKED)]
        names = [f"{choose.choice('陈林黄王李')}{choose.choice(('悦', '嘉宁', '晓'))}" for _ in range(ASKED)]
        tails = [f"{choose.randrange(10_000):04d}" for _ in range(ASKED)]
        return {
            "a word said often": partial(self.look, said, finds=True),
            "a whole phrase": partial(self.look, both, finds=False),
            "a word said seldom": partial(self.look, seldom, finds=True),
            "words nobody said": partial(self.look, ["量子纠缠", "夏威夷果", "zzzzqq"] * (ASKED // 3), finds=False),
            "how a name begins": partial(self.look, names, finds=True),
            "the end of a phone": partial(self.look, tails, finds=True),
            "no search: the list": partial(self.look, [""] * ASKED, finds=True),
        }


class Writer(threading.Thread):
    """Writes lines and pushes beside a purge, as the gateway and workers do, and notes how long each took."""

    def __init__(self, brand_id: int) -> None:
        super().__init__(daemon=True)
        self.brand_id = brand_id
        self.over = threading.Event()
        self.taken: list[float] = []
        self.waited = 0

    def run(self) -> None:
        """Write until told to end."""
        with brand_scope(self.brand_id):
            ids = list(Conversation.objects.order_by("pk").values_list("pk", flat=True)[:1000])
            account_id = OfficialAccount.objects.values_list("pk", flat=True).get()
        choose = random.Random(3)
        while not self.over.wait(0.005):
            at = clock.now()
            started = time.perf_counter()
            with brand_scope(self.brand_id):
                Message.objects.create(
                    conversation_id=choose.choice(ids), direction="INBOUND", kind="text", text="在吗", at=at
                )
                InboundPush.objects.create(
                    brand_id=self.brand_id, account_id=account_id, kind="text", openid="o1", lane=1,
                    dedupe_key=uuid4(), digest=uuid4(), event_at=at, received_at=at, body="{}",
                )  # fmt: skip
                with connection.cursor() as cursor:
                    cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                    self.waited += cursor.fetchone()[0]
            self.taken.append(1000 * (time.perf_counter() - started))
        connection.close()


def beside(brand_id: int, purge: Callable[[], int] | None, seconds: float = 3.0) -> tuple[Writer, int, float]:
    """Write while a purge runs, or for some seconds without one."""
    writer = Writer(brand_id)
    writer.start()
    time.sleep(0.5)
    started = time.perf_counter()
    gone = 0
    if purge is None:
        time.sleep(seconds)
    else:
        gone = purge()
    lasted = time.perf_counter() - started
    writer.over.set()
    writer.join(30)
    if not writer.taken:
        raise AssertionError("nothing was written beside it")
    return writer, gone, lasted


def p95(taken: list[float]) -> float:
    """Give what 95 of 100 stay below."""
    return round(sorted(taken)[int(len(taken) * 0.95) - 1 if len(taken) > 1 else 0], 1)


def purged(brand: Brand, at: datetime) -> dict[str, float]:
    """Let old rows leave beside somebody who writes."""
    alone, _none, _seconds = beside(brand.pk, None)
    lines, gone, lasted = beside(brand.pk, partial(forget_old, brand_id=brand.pk, at=at))
    pushes, left, took = beside(brand.pk, partial(purge_brand_inbound, brand_id=brand.pk, at=at))
    return {
        "lines gone": gone,
        "pushes gone": left,
        "lines a second": round(gone / lasted) if lasted else 0,
        "pushes a second": round(left / took) if took else 0,
        "write alone": p95(alone.taken),
        "write beside lines": p95(lines.taken),
        "write beside pushes": p95(pushes.taken),
        "longest write": round(max(lines.taken + pushes.taken), 1),
        "waits for a lock": lines.waited + pushes.waited,
    }


def main() -> None:
    """Fill, say what is there, then measure whenever a line comes."""
    brand = fill(os.environ["BENCH_ADMIN_URL"], int(sys.argv[1]))
    with brand_scope(brand.pk):
        facts: dict[str, Any] = {
            "lines": Message.objects.count(),
            "conversations": Conversation.objects.count(),
            "pushes": InboundPush.objects.count(),
        }
    print(json.dumps(facts), flush=True)
    desk, choose = Desk(brand), random.Random(11)
    desk.look(["陈"], finds=True)
    at = clock.now()
    for round_number, _line in enumerate(sys.stdin):
        found: dict[str, float] = {}
        everything: list[float] = []
        for name, search in desk.searches(choose).items():
            taken = search()
            found[f"{name}, p50"], found[f"{name}, p95"] = round(sorted(taken)[len(taken) // 2], 1), p95(taken)
            everything += taken
        # Each round's old rows are those of five more days.
        found |= purged(brand, at + timedelta(days=5 * round_number))
        found["every search, p95"] = p95(everything)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
