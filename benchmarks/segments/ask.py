"""Counting, previewing, keeping and following segments, and the same by statements written by hand.

Runs in the product's environment as the stand's child; measures what it is asked for, line by line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection  # noqa: E402 - Django must be set up first

from accounts.tenancy import brand_scope, reporting  # noqa: E402
from common import clock  # noqa: E402
from launcher import roles  # noqa: E402
from loyalty.models import Fact  # noqa: E402
from members import selectors  # noqa: E402
from members.models import Segment, Tag  # noqa: E402
from members.segments import matching  # noqa: E402
from members.services import save_segment  # noqa: E402
from members.services.membership import follow, rebuild  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

CHANGED: Final = 1_000
# Two purchases for every third person, over two years, of four categories.
_FACTS: Final = """
INSERT INTO loyalty_fact (brand_id, system, kind, number, fingerprint, member_id, amount, body, happened_at,
    received_at)
SELECT m.brand_id, 'pos', 'PURCHASE', m.id || '-' || n, gen_random_uuid(), m.id, 5000 + (m.id * n %% 97) * 1000,
    jsonb_build_object('lines', jsonb_build_array(jsonb_build_object('sku', 'S' || (m.id %% 50), 'category',
        (ARRAY['衬衫', '外套', '鞋', '包'])[1 + (m.id + n) %% 4], 'amount', 5000))),
    now() - ((m.id * 7 + n * 131) %% 730) * interval '1 day', now()
FROM members_member m, generate_series(1, 2) n WHERE m.brand_id = %(brand)s AND m.id %% 3 = 0
"""
_SPREAD: Final = """
UPDATE members_member SET last_interaction_at = now() - (id %% 400) * interval '1 day',
    joined_at = CASE WHEN id %% 2 = 0 THEN now() - (id %% 900) * interval '1 day' END
WHERE brand_id = %(brand)s
"""
_BOUGHT: Final = """
m.id IN (SELECT member_id FROM loyalty_fact WHERE brand_id = %s AND kind = 'PURCHASE'
    AND happened_at > now() - interval '365 days' GROUP BY member_id HAVING sum(amount) >= 50000)
AND m.id IN (SELECT member_id FROM loyalty_fact WHERE brand_id = %s AND kind = 'PURCHASE'
    AND happened_at > now() - interval '90 days' AND body @> %s)
"""
_COUNT: Final = "SELECT count(*) FROM members_member m WHERE m.brand_id = %s AND m.merged_into_id IS NULL AND {where}"
_KEEP: Final = """
INSERT INTO members_segmentmember (brand_id, segment_id, member_id, since)
SELECT %s, %s, m.id, now() FROM members_member m WHERE m.brand_id = %s AND m.merged_into_id IS NULL AND {where}
"""
_MANY_TO_MANY: Final = """
SELECT count(DISTINCT m.id) FROM members_member m
JOIN members_membertag t ON t.brand_id = m.brand_id AND t.member_id = m.id
WHERE m.brand_id = %s AND t.tag_id = %s AND NOT EXISTS (
    SELECT 1 FROM members_membertag u WHERE u.brand_id = m.brand_id AND u.member_id = m.id AND u.tag_id = %s)
"""


class Bench:
    """The brand with all the people, the rules that are measured, and the same written by hand."""

    def __init__(self, brand_id: int, admin_url: str) -> None:
        """Give the people purchases and days, unless the database came with them, and make one kept segment."""
        self.brand_id = brand_id
        with brand_scope(brand_id):
            is_new = not Fact.objects.exists()
        with roles.cursor_on(admin_url) as cursor:
            if is_new:
                cursor.execute("SET session_replication_role = replica")
                for statement in (_SPREAD, _FACTS):
                    cursor.execute(statement, {"brand": brand_id})
            cursor.execute("VACUUM (ANALYZE)")  # as autovacuum does; every row was written twice a moment ago
        with brand_scope(brand_id):
            self.tags = list(Tag.objects.order_by("pk").values_list("pk", flat=True))
            one, other = self.tags[0], self.tags[13]
            self.rules: dict[str, dict[str, Any]] = {
                "tags": _all(_leaf("tag", how="any", tags=[one]), {"none": [_leaf("tag", how="any", tags=[other])]}),
                "dates": _all(_leaf("last_interaction", how="within", days=30), _leaf("joined", value="yes")),
                "purchases": _all(
                    _leaf("spent", how="least", yuan=500, days=365),
                    _leaf("bought", what="category", names=["外套"], days=90),
                ),
                "fifth": _all(_leaf("last_interaction", how="within", days=80)),
            }
            # The first thing the builder shows, and what nobody fits and no index knows.
            self.previewed = {each: self.rules[each] for each in ("tags", "dates", "purchases")} | {
                "everybody": _all(),
                "nobody": _all(_leaf("city", cities=["拉萨"])),
            }
            at = clock.now()
            self.segment, self.spare = (
                Segment.objects.filter(name=name).first()
                or save_segment(name=name, rule=self.rules["fifth"], at=at, freshness=freshness)
                for name, freshness in (("keep", "MINUTES"), ("spare", "LIVE"))
            )
            self.people = selectors.how_many(_all(), at=at)
        self.hand: dict[str, tuple[str, list[Any]]] = {
            "tags": ("m.tag_ids && %s::bigint[] AND NOT m.tag_ids && %s::bigint[]", [[one], [other]]),
            "dates": ("m.last_interaction_at >= now() - interval '30 days' AND m.joined_at IS NOT NULL", []),
            "purchases": (
                _BOUGHT,
                [brand_id, brand_id, '{"lines": [{"category": "外套"}]}'],
            ),
            "fifth": ("m.last_interaction_at >= now() - interval '80 days'", []),
        }

    def ours(self) -> dict[str, float]:
        """Count each rule, preview one, keep a fifth of all people, and follow a thousand changes."""
        at = clock.now()
        found = {}
        for name, rule in self.rules.items():
            with brand_scope(self.brand_id), reporting(self.brand_id):
                people = matching(rule, at=at)
                found[f"count {name}"], found[f"people {name}"] = _timed(people.count)
        with brand_scope(self.brand_id):
            for name, rule in self.previewed.items():
                found[f"preview {name}"], shown = _timed(partial(selectors.preview, rule, at=clock.now()))
                truth = found.get(f"people {name}", float(self.people) if name == "everybody" else 0.0)
                found[f"off {name}"] = abs(shown.count - truth) / max(truth, 1)
                found[f"within {name}"] = float(shown.people.low <= truth <= shown.people.high)
                found[f"estimated {name}"] = float(shown.is_estimated)
        with brand_scope(self.brand_id):
            row = Segment.objects.get(pk=self.segment.pk)
            found["keep"], moved = _timed(lambda: rebuild(row, at=at))
            found["kept"] = float(moved.came)
        with brand_scope(self.brand_id):
            ids = list(matching(_all(), at=at).order_by("pk").values_list("pk", flat=True)[:CHANGED])
            found["follow"], _moved = _timed(lambda: follow(row, ids, at=at + timedelta(minutes=5)))
            found["again"], _moved = _timed(lambda: rebuild(row, at=at + timedelta(minutes=10)))
        self._clean(self.segment.pk)
        return found

    def by_hand(self) -> dict[str, float]:
        """Count and keep by statements that name everything themselves."""
        found = {}
        for name, (where, params) in self.hand.items():
            statement = _COUNT.format(where=where)
            with brand_scope(self.brand_id), reporting(self.brand_id), connection.cursor() as cursor:
                cursor.execute("SET LOCAL enable_nestloop = off")  # left to itself the planner takes half a minute
                spent, count = _timed(partial(_one, cursor, statement, [self.brand_id, *params]))
            found[f"count {name}"], found[f"people {name}"] = spent, float(count)
        where, params = self.hand["fifth"]
        values = [self.brand_id, self.spare.pk, self.brand_id, *params]
        with brand_scope(self.brand_id), connection.cursor() as cursor:
            found["keep"], _none = _timed(partial(cursor.execute, _KEEP.format(where=where), values))
            found["kept"] = float(cursor.rowcount)
        self._clean(self.spare.pk)
        return found

    def usual(self) -> dict[str, float]:
        """Count the tags as Django's many-to-many relation would."""
        one, other = self.tags[0], self.tags[13]
        with brand_scope(self.brand_id), reporting(self.brand_id), connection.cursor() as cursor:
            seconds, count = _timed(lambda: _one(cursor, _MANY_TO_MANY, [self.brand_id, one, other]))
        return {"count tags": seconds, "people tags": float(count)}

    def _clean(self, segment_id: int) -> None:
        with brand_scope(self.brand_id), connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM members_segmentmember WHERE brand_id = %s AND segment_id = %s", [self.brand_id, segment_id]
            )


def _leaf(key: str, **params: Any) -> dict[str, Any]:
    return {"condition": key, "params": params}


def _all(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"all": list(parts)}


def _timed(act: Callable[[], Any]) -> tuple[float, Any]:
    since = time.perf_counter()
    found = act()
    return (time.perf_counter() - since) * 1000, found


def _one(cursor: Any, statement: str, params: list[Any]) -> int:
    cursor.execute(statement, params)
    return int(cursor.fetchone()[0])


def main() -> None:
    """Answer what is asked for, a line each."""
    bench = Bench(int(os.environ["BENCH_BRAND"]), os.environ["BENCH_ADMIN_URL"])
    print(json.dumps({"people": bench.people}), flush=True)
    acts = {"ours": bench.ours, "hand": bench.by_hand, "usual": bench.usual}
    for line in sys.stdin:
        print(json.dumps(acts[line.strip()]()), flush=True)


if __name__ == "__main__":
    main()
