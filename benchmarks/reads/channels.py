"""Reports of channels over a million touches: from sums, counted from the touches, and the least a statement can do.

Runs in the product's environment as the stand's child: fills one brand, says what that took, and then measures what it
is asked for, line by line.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection  # noqa: E402 - Django must be set up first
from django.test import Client  # noqa: E402

from accounts.models import StaffUser  # noqa: E402
from accounts.roles import Role  # noqa: E402
from accounts.services import create_brand, grant_role, issue_api_key  # noqa: E402
from accounts.tenancy import brand_scope  # noqa: E402
from common import clock  # noqa: E402
from launcher import roles  # noqa: E402
from touchpoints import selectors, services  # noqa: E402
from touchpoints.models import ChannelSum, CountedTouch, Touch, Touchpoint  # noqa: E402
from touchpoints.selectors import Window  # noqa: E402
from wechat_gateway.models import OfficialAccount  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import Brand

ZONE: Final = ZoneInfo("Asia/Shanghai")
MODELS: Final = ("first", "last", "position")
REPEATS: Final = 5
AT_ONCE: Final = 20_000
CODES_PER_PLACE: Final = int(os.environ.get("BENCH_CODES", "600")) // 60  # six media with ten places each
DAYS: Final = {"today": 1, "7 days": 7, "30 days": 30, "90 days": 90, "everything": 0}

_TREE: Final = """
WITH medium AS (
    INSERT INTO touchpoints_touchpoint (brand_id, name, scene, welcome, is_permanent, ticket, code_url, problem,
        is_active, benefit, owner_kind, created_at)
    SELECT %(brand)s, '媒介 ' || n, '', '', false, '', '', '', true, '', '', now() - interval '800 days'
    FROM generate_series(1, 6) n RETURNING id
), place AS (
    INSERT INTO touchpoints_touchpoint (brand_id, name, parent_id, scene, welcome, is_permanent, ticket, code_url,
        problem, is_active, benefit, owner_kind, created_at)
    SELECT %(brand)s, '门店 ' || m.id || '-' || n, m.id, '', '', false, '', '', '', true, '', '',
        now() - interval '800 days'
    FROM medium m, generate_series(1, 10) n RETURNING id
)
INSERT INTO touchpoints_touchpoint (brand_id, name, parent_id, account_id, scene, welcome, is_permanent, ticket,
    code_url, problem, is_active, benefit, owner_kind, created_at)
SELECT %(brand)s, '物件 ' || p.id || '-' || n, p.id, %(account)s, 's' || p.id || 'n' || n, '', false, 't', 'u', '',
    true, '', '', now() - interval '800 days'
FROM place p, generate_series(1, %(codes)s) n
"""
_MEMBERS: Final = """
INSERT INTO members_member (brand_id, public_id, member_no, name, phone_tail, phone_masked, city, joined_at, created_at,
    subscribed, last_interaction_at, tag_ids)
SELECT %(brand)s, gen_random_uuid(), n::text, '陈悦 ' || n, '', '', '',
    CASE WHEN n %% 3 = 0 THEN first + interval '1 day' END, first, true,
    least(now(), first + (n %% 97) * interval '1 day'), '{}'
FROM (SELECT n, now() - random() * interval '730 days' AS first FROM generate_series(1, %(people)s) n) p
"""
_FOLLOWERS: Final = """
INSERT INTO members_follower (brand_id, account_id, openid, unionid, member_id, subscribed, followed_at, unfollowed_at,
    follow_count, follow_scene)
SELECT brand_id, %(account)s, 'o' || lpad(id::text, 27, '0'), '', id, id %% 4 <> 0, created_at,
    CASE WHEN id %% 4 = 0 THEN created_at + (id %% 60) * interval '1 day' END, 1, ''
FROM members_member WHERE brand_id = %(brand)s
"""
_TOUCHES: Final = """
INSERT INTO touchpoints_touch (brand_id, touchpoint_id, follower_id, member_id, kind, "case", scene, at, opening)
SELECT f.brand_id, c.ids[1 + floor(power(random(), 2) * array_length(c.ids, 1))::int], f.id, f.member_id,
    CASE WHEN j = 1 AND f.id %% 8 <> 0 THEN 'FOLLOW' ELSE 'SCAN' END,
    CASE WHEN j = 1 AND f.id %% 8 <> 0 THEN 'NEW' ELSE 'FOLLOWING' END, '',
    least(f.followed_at + (j - 1) * (5 + random() * 40) * interval '1 day', now() - random() * interval '1 day'), ''
FROM members_follower f
CROSS JOIN LATERAL generate_series(1, CASE WHEN f.id %% 10 < 6 THEN 1 WHEN f.id %% 10 < 9 THEN 2 ELSE 4 END) j
CROSS JOIN (SELECT array_agg(id) ids FROM touchpoints_touchpoint WHERE brand_id = %(brand)s AND scene <> '') c
WHERE f.brand_id = %(brand)s
ORDER BY 8
"""
# The least: who came by each code, by one model, straight from the rows of the sums and nothing else.
_FLOOR: Final = """
SELECT touchpoint_id, sum(parts[1]) FROM touchpoints_channelsum
WHERE brand_id = %(brand)s AND model = 'first' AND cohort = 0 AND month >= %(month)s GROUP BY 1
"""


class Reports:
    """A brand with its touches, and everything that is measured over them."""

    def __init__(self, brand: Brand, key: str) -> None:
        self.brand = brand
        self.now = clock.now()
        self.pages = Client(headers={"host": "127.0.0.1"})
        self.pages.force_login(
            StaffUser.objects.get(username="bench"), backend="django.contrib.auth.backends.ModelBackend"
        )
        self.key = key
        with brand_scope(brand.pk):
            self.code = Touchpoint.objects.exclude(scene="").order_by("pk")[0].pk
            self.medium = Touchpoint.objects.filter(parent=None).order_by("pk")[0].pk
            place = Touchpoint.objects.get(pk=self.code).parent
            self.branch = f"{place.parent_id}-{place.pk}" if place else ""

    def window(self, days: int) -> Window:
        """Give the last days."""
        midnight = self.now.astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
        return Window(midnight - timedelta(days=days - 1) if days else None, self.now + timedelta(seconds=1))

    def tree(self, days: int, credited: Any, models: tuple[str, ...] = ("first",)) -> None:
        """Read the figures of the tree."""
        with brand_scope(self.brand.pk):
            for model in models:
                found = selectors.tree_figures(
                    self.window(days), model=model, now=self.now, zone=ZONE, credited=credited
                )
                if not found.whole.scans:
                    raise AssertionError(days)

    def floor(self, days: int) -> None:
        """Send the hand-written statement."""
        since = self.window(days).since
        month = since.astimezone(ZONE).date().replace(day=1) if since else "0001-01-01"
        with brand_scope(self.brand.pk), connection.cursor() as cursor:
            cursor.execute(_FLOOR, {"brand": self.brand.pk, "month": month})
            cursor.fetchall()

    def page(self, path: str) -> None:
        """Get a whole page, as an operator's browser does."""
        answer = self.pages.get(f"/b/bench/touchpoints/{path}")
        if answer.status_code != 200 or b'data-testid="behind"' in answer.content:
            raise AssertionError(path, answer.status_code)

    def report(self, days: int) -> None:
        """Ask the API."""
        answer = Client(headers={"authorization": f"Key {self.key}", "host": "127.0.0.1"}).get(
            f"/api/v1/channels/{self.medium}/report/?days={days}"
        )
        if answer.status_code != 200:
            raise AssertionError(answer.content)

    def measures(self, side: str) -> dict[str, Callable[[], None]]:
        """Name what is measured of a side."""
        if side == "floor":
            return {f"tree, {name}": partial(self.floor, days) for name, days in DAYS.items()}
        if side == "counted from the touches":
            counted = selectors.counted_credits
            return {f"tree, {name}": partial(self.tree, days, counted) for name, days in DAYS.items()}
        summed = selectors.summed_credits
        found: dict[str, Callable[[], None]] = {
            f"tree, {name}": partial(self.tree, days, summed) for name, days in DAYS.items()
        }
        for name, days in DAYS.items():
            found[f"page tree, {name}"] = partial(self.page, f"touchpoint/?days={days}")
            found[f"page attribution, {name}"] = partial(self.page, f"attribution/?days={days}")
        found |= {
            "page code, everything": lambda: self.page(f"touchpoint/{self.code}/change/?days=0"),
            "page medium, 90 days": lambda: self.page(f"touchpoint/{self.medium}/change/?days=90"),
            "page tree, place opened": lambda: self.page(f"touchpoint/?days=90&branch={self.branch}&level=3"),
            "page attribution, place opened": lambda: self.page(f"attribution/?days=90&branch={self.branch}&level=3"),
            "page tree, search": lambda: self.page("touchpoint/?days=0&q=%E7%89%A9%E4%BB%B6"),
            "page dead codes": lambda: self.page("touchpoint/?days=90&show=quiet"),
            "page codes for print": lambda: self.page("sheet/"),
            "page quality": lambda: self.page("quality/"),
            "page rows scans, everything": lambda: self.page("rows/?days=0&figure=scans"),
            "page rows kept_30, everything": lambda: self.page("rows/?days=0&figure=kept_30"),
            "page rows kept_90, 366 last": lambda: self.page("rows/?days=0&figure=kept_90&model=last"),
            "API report, 366 days": lambda: self.report(366),
        }
        return found


def fill(admin_url: str, touches: int) -> tuple[Brand, str]:
    """Make the brand; 1.6 touches a person."""
    brand = create_brand(slug="bench", name="Bench")
    with brand_scope(brand.pk):
        account = OfficialAccount.objects.create(
            name="Bench", appid="wxbench0000000000", original_id="gh_bench", app_secret="s", connected_at=clock.now()
        )
        user = StaffUser.objects.create(username="bench", name="bench")
        grant_role(staff_user=user, role=Role.OWNER)
        key = issue_api_key(label="bench", scopes=["channels.read"], at=clock.now())[1]
    values = {"brand": brand.pk, "account": account.pk, "people": touches * 10 // 16, "codes": CODES_PER_PLACE}
    with roles.cursor_on(admin_url) as cursor:
        cursor.execute("SET session_replication_role = replica")  # the sums are built afterwards, and timed
        for statement in (_TREE, _MEMBERS, _FOLLOWERS, _TOUCHES):
            cursor.execute(statement, values)
        cursor.execute("ANALYZE")
    return brand, key


def main() -> None:
    """Fill, build, then measure a side for every line that comes."""
    brand, key = fill(os.environ["BENCH_ADMIN_URL"], int(sys.argv[1]))
    started = time.perf_counter()
    people = services.rebuild_sums(brand.pk, clock=clock.now, zone=ZONE, limit=AT_ONCE)
    built = time.perf_counter() - started
    with roles.cursor_on(os.environ["BENCH_ADMIN_URL"]) as cursor:
        cursor.execute("VACUUM ANALYZE")
    with brand_scope(brand.pk):
        facts = {
            "touches": Touch.objects.count(),
            "counted": CountedTouch.objects.count(),
            "sums": ChannelSum.objects.count(),
            "people": people,
            "build seconds": round(built, 1),
        }
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_total_relation_size('touchpoints_channelsum'), "
                "pg_total_relation_size('touchpoints_countedtouch'), pg_total_relation_size('touchpoints_touch')"
            )
            facts |= dict(
                zip(("sums MB", "counted MB", "touches MB"), (size // 2**20 for size in cursor.fetchone()), strict=True)
            )
    reports = Reports(brand, key)
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        side = line.strip()
        repeats = 1 if side == "counted from the touches" else REPEATS
        found = {}
        for name, measure in reports.measures(side).items():
            taken = []
            for _repeat in range(repeats):
                started = time.perf_counter()
                measure()
                taken.append(1000 * (time.perf_counter() - started))
            found[name] = round(statistics.median(taken), 1)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
