"""What the people of a crowd bought and brought back, and the points and tiers that come of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from django.db.backends.utils import CursorWrapper

from common.divisions import Why
from demo.layers.ground import Ground, member_no
from demo.truth import GOODS, POINTS, Person, points_for, tier_of
from loyalty import ladder
from loyalty.selectors.tiers import terms
from loyalty.services.many import Gain, earn_many
from members.models import Member

_PURCHASES: Final = """
INSERT INTO loyalty_fact (brand_id, system, kind, number, fingerprint, member_id, store_id, amount, body, happened_at,
    received_at)
SELECT m.brand_id, f.system, 'PURCHASE', f.number, gen_random_uuid(), m.id,
    CASE WHEN f.system = 'pos' THEN m.store_id END, f.amount, f.body::jsonb, f.at, f.at
FROM unnest(%(systems)s::text[], %(facts)s::text[], %(buyers)s::text[], %(amounts)s::bigint[], %(bodies)s::text[],
    %(moments)s::timestamptz[]) AS f(system, number, member_no, amount, body, at)
JOIN members_member m ON m.brand_id = %(brand)s AND m.member_no = f.member_no
"""
_REFUNDS: Final = """
INSERT INTO loyalty_fact (brand_id, system, kind, number, fingerprint, member_id, store_id, refers_id, amount, body,
    happened_at, received_at)
SELECT p.brand_id, p.system, 'REFUND', 'R' || p.number, gen_random_uuid(), p.member_id, p.store_id, p.id, r.amount,
    '{}', r.at, r.at
FROM unnest(%(sold)s::text[], %(refunded)s::text[], %(back)s::bigint[], %(when)s::timestamptz[])
    AS r(system, number, amount, at)
JOIN loyalty_fact p ON p.brand_id = %(brand)s AND p.system = r.system AND p.kind = 'PURCHASE' AND p.number = r.number
"""
_STANDINGS: Final = """
WITH placed AS (
    SELECT m.brand_id, m.id AS member_id, s.tier, s.name, s.value, s.since, s.ends, s.counted
    FROM unnest(%(numbers)s::text[], %(tiers)s::bigint[], %(names)s::text[], %(values)s::bigint[],
        %(since)s::timestamptz[], %(ends)s::timestamptz[], %(counted)s::timestamptz[])
        AS s(member_no, tier, name, value, since, ends, counted)
    JOIN members_member m ON m.brand_id = %(brand)s AND m.member_no = s.member_no
), standing AS (
    INSERT INTO loyalty_standing (brand_id, member_id, tier_id, since, evaluates_at, in_grace)
    SELECT brand_id, member_id, tier, since, ends, false FROM placed
)
INSERT INTO loyalty_tierchange (brand_id, member_id, kind, before, after, value, window_from, reason, at)
SELECT brand_id, member_id, 'ENTER', '', name, value, counted, '', since FROM placed
"""
MONTH: Final = 30


def _system(person: Person, each: int) -> str:
    return "mini" if person.by_mini_program(each) else "pos"


def _body(person: Person, each: int, fen: int) -> dict[str, Any]:
    sku, category = GOODS[(person.number // 4 + each) % len(GOODS)]
    where = {"place": person.place} if person.place else {"unplaced": str(Why.UNKNOWN)}
    return {"lines": [{"sku": sku, "category": category, "amount": fen}]} | where


def plant(some: Sequence[Person], ground: Ground, cursor: CursorWrapper) -> None:
    """Plant purchases at everybody's store, each of one thing, and what came back of them."""
    bought = [(person, each, fen, days) for person in some for each, (fen, days) in enumerate(person.purchases)]
    back = [(person, *person.refund) for person in some if person.refund]
    given = ground.given(
        systems=[_system(person, each) for person, each, _fen, _days in bought],
        facts=[person.number_of(each) for person, each, _fen, _days in bought],
        buyers=[member_no(person.number) for person, *_rest in bought],
        amounts=[fen for _person, _each, fen, _days in bought],
        bodies=[json.dumps(_body(person, each, fen)) for person, each, fen, _days in bought],
        moments=[ground.ago(days, 30) for _person, _each, _fen, days in bought],
        sold=[_system(person, 0) for person, _fen, _days in back],
        refunded=[person.number_of(0) for person, _fen, _days in back],
        back=[fen for _person, fen, _days in back],
        when=[ground.ago(days, 20) for _person, _fen, days in back],
    )
    for statement in (_PURCHASES, _REFUNDS):
        cursor.execute(statement, given)


def give_points(some: Sequence[Person], ground: Ground, _cursor: CursorWrapper) -> None:
    """Give points for joining, and for what was bought as of the end of its month, oldest first."""
    buyers = [person for person in some if person.points or any(person.paid)]
    wanted = [member_no(person.number) for person in buyers]
    ids = dict(Member.objects.filter(member_no__in=wanted).values_list("member_no", "pk"))
    for_joining = [
        Gain(f"crowd:{member_no(person.number)}", ids[member_no(person.number)], POINTS)
        for person in buyers
        if person.points
    ]
    earn_many(gains=for_joining, actor="demo", source="demo", reason="入会礼", at=ground.ago(180, 60))
    months: dict[int, list[Gain]] = defaultdict(list)
    for person in buyers:
        for each, ((_fen, days), fen) in enumerate(zip(person.purchases, person.paid, strict=True)):
            if points_for(fen) and days < person.shape.points_days:
                gain = Gain(f"crowd:{person.number_of(each)}", ids[member_no(person.number)], points_for(fen))
                months[days // MONTH].append(gain)
    source = f"rule:{ground.spend_rule}" if ground.spend_rule else "demo"
    for month in sorted(months, reverse=True):
        earn_many(gains=months[month], actor="demo", source=source, reason="消费积分", at=ground.ago(month * MONTH))


def place_in_tiers(some: Sequence[Person], ground: Ground, cursor: CursorWrapper) -> None:
    """Let everybody who bought stand in the tier that what they paid reaches, since their last purchase."""
    if not ground.tiers:
        return
    how, by_name = terms(), {name: pk for pk, name, _yuan in ground.tiers}
    lowest = min(ground.tiers, key=lambda each: each[2])[1]
    buyers = [person for person in some if person.purchases]
    names = [tier_of(sum(person.paid), ground.ladder) for person in buyers]
    since = [ground.ago(min(days for _fen, days in person.purchases), 30) for person in buyers]
    given = ground.given(
        numbers=[member_no(person.number) for person in buyers],
        tiers=[by_name[name] for name in names],
        names=names,
        values=[sum(person.paid) // 100 for person in buyers],
        since=since,
        ends=[
            None if name == lowest else ladder.lasts_until(moment, how)
            for name, moment in zip(names, since, strict=True)
        ],
        counted=[ladder.window_of(moment, how) for moment in since],
    )
    cursor.execute(_STANDINGS, given)
