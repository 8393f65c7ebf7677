"""Fills an empty database with brands, stores, guides and people, and says as JSON who may call.

`python -m benchmarks.reads.data --members 20000 …` in the product's environment; run once per stand.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import timedelta
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402 - Django must be set up first
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402

from accounts.models import Brand, StaffUser  # noqa: E402
from accounts.rest.authentication import issue_member_token  # noqa: E402
from accounts.roles import Role  # noqa: E402
from accounts.sealing import blind_index  # noqa: E402
from accounts.services import create_brand, grant_role, issue_api_key  # noqa: E402
from accounts.tenancy import brand_scope  # noqa: E402
from common import clock  # noqa: E402
from launcher import roles  # noqa: E402
from members.models import Follower, Member, MiniProgramSession, Tag  # noqa: E402
from stores.models import Store  # noqa: E402
from wechat_gateway.models import OfficialAccount  # noqa: E402

TAGS = 24
GUIDES = 60
# Round Shanghai and Suzhou: what a brand with many shops looks like to somebody who stands among them.
_STORES = """
INSERT INTO stores_store (brand_id, code, name, city, address, telephone, lat, lng, is_active)
SELECT %(brand)s, 'S' || lpad(n::text, 6, '0'), '门店 ' || n, '上海', '南京西路 ' || n || ' 号', '021-62880001',
       30.9 + random() * 0.8, 120.9 + random() * 1.0, true
FROM generate_series(1, %(stores)s) n
"""
_HOURS = """
INSERT INTO stores_openinghours (brand_id, store_id, weekday, opens, closes)
SELECT brand_id, id, day, time '10:00' + (id %% 3) * interval '1 hour', time '20:00' + (id %% 4) * interval '1 hour'
FROM stores_store, generate_series(0, 6) day WHERE brand_id = %(brand)s
"""
_EXCEPTIONS = """
INSERT INTO stores_dayexception (brand_id, store_id, day, opens, closes, reason)
SELECT brand_id, id, current_date + (id %% 5)::int, NULL, NULL, '盘点' FROM stores_store
WHERE brand_id = %(brand)s AND id %% 20 = 0
"""
_GUIDES = """
INSERT INTO guides_guide (brand_id, staff_no, name, store_id, is_active, created_at)
SELECT %(brand)s, 'LY' || lpad(row_number() OVER (ORDER BY id)::text, 5, '0'), '王敏', id, true, now()
FROM (SELECT id FROM stores_store WHERE brand_id = %(brand)s ORDER BY id LIMIT %(guides)s) s
"""
_TAGS = """
INSERT INTO members_tag (brand_id, name, "group", meaning, sync, created_at)
SELECT %(brand)s, '标签 ' || n, '', '', false, now() FROM generate_series(1, %(tags)s) n
"""
_MEMBERS = """
INSERT INTO members_member (brand_id, public_id, member_no, name, phone, phone_index, phone_tail, phone_masked,
    birth_mmdd, city, store_id, joined_at, created_at, subscribed, last_interaction_at, tag_ids)
SELECT %(brand)s, gen_random_uuid(), (1000000000 + n::bigint * 7919 %% 9000000000)::text, {name}, NULL,
       gen_random_uuid(),
       lpad((n %% 10000)::text, 4, '0'), '138****' || lpad((n %% 10000)::text, 4, '0'),
       100 * (1 + n %% 12) + 1 + n %% 28, '上海', s.ids[1 + n %% array_length(s.ids, 1)],
       now() - n * interval '1 minute', now() - n * interval '2 minutes',
       n %% 10 <> 0, now() - n * interval '30 seconds',
       ARRAY[t.ids[1 + n %% 12], t.ids[13 + (n / 12) %% 12]]
FROM generate_series(1, %(members)s) n,
     (SELECT array_agg(id ORDER BY id) ids FROM stores_store WHERE brand_id = %(brand)s) s,
     (SELECT array_agg(id ORDER BY id) ids FROM members_tag WHERE brand_id = %(brand)s) t
"""
_MEMBER_TAGS = """
INSERT INTO members_membertag (brand_id, member_id, tag_id, source, at)
SELECT DISTINCT brand_id, id, unnest(tag_ids), 'seed', now() FROM members_member WHERE brand_id = %(brand)s
"""
_ASSIGNMENTS = """
INSERT INTO guides_assignment (brand_id, member_id, guide_id, since, reason)
SELECT m.brand_id, m.id, g.ids[1 + (m.id %% array_length(g.ids, 1))::int], now() - interval '3 days', '扫码'
FROM members_member m, (SELECT array_agg(id ORDER BY id) ids FROM guides_guide WHERE brand_id = %(brand)s) g
WHERE m.brand_id = %(brand)s AND m.id %% 5 <> 0
"""
# Names as they are shared: twenty surnames, 400 given names; a whole name is that of 125 people in a million.
_NUMBERED, _SHARED = (
    "'陈悦 ' || n",
    (
        "substr('王李张刘陈杨黄赵周吴徐孙马朱胡郭何林高罗', 1 + (n * 31 % 20)::int, 1)"
        " || substr('子晓雨思佳浩一欣俊若清知明念书安云景文嘉', 1 + (n * 17 / 20 % 20)::int, 1)"
        " || substr('涵明桐远怡然诺妍杰曦和夏初瑶舒宁宇琪泽航', 1 + (n * 7 / 400 % 20)::int, 1)"
    ),
)
# What a brand knows people by: an OpenID for everybody who follows, a card for every second, two purchases for a third.
_FOLLOWERS = """
INSERT INTO members_follower (brand_id, account_id, openid, unionid, member_id, subscribed, followed_at,
    last_interaction_at, follow_count, follow_scene)
SELECT brand_id, %(account)s,
    'o' || substr(translate(encode(sha256(id::text::bytea), 'base64'), '+/=', '-_A'), 1, 27), '', id, true, created_at,
    last_interaction_at, 1, 'ADD_SCENE_QR_CODE'
FROM members_member WHERE brand_id = %(brand)s AND subscribed
"""
_EDGES = """
INSERT INTO members_identity (brand_id, member_id, kind, namespace, value, source, since)
SELECT brand_id, member_id, 'OPENID', 'wxbench', openid, 'seed', followed_at FROM members_follower
WHERE brand_id = %(brand)s
UNION ALL
SELECT brand_id, id, 'CARD', '', 'VIP-' || lpad(id::text, 8, '0'), 'seed', joined_at FROM members_member
WHERE brand_id = %(brand)s AND id % 2 = 0
"""
_PURCHASES = """
INSERT INTO loyalty_fact (brand_id, system, kind, number, fingerprint, member_id, amount, body, happened_at,
    received_at)
SELECT m.brand_id, 'pos', 'PURCHASE', m.id || '-' || n, gen_random_uuid(), m.id, 5000 + (m.id * n % 97) * 1000, '{}',
    now() - ((m.id * 7 + n * 131) % 730) * interval '1 day', now()
FROM members_member m, generate_series(1, 2) n WHERE m.brand_id = %(brand)s AND m.id % 3 = 0
"""
ASKED = 400  # people that are asked for by everything they are known by


def fill(admin_url: str, brand_id: int, *, members: int, stores: int, known: bool = False) -> None:
    """Give a brand its rows by statements that run in the database, as its administrator."""
    values = {"brand": brand_id, "members": members, "stores": stores, "guides": GUIDES, "tags": TAGS}
    people = _MEMBERS.replace("{name}", (_SHARED if known else _NUMBERED).replace("%", "%%"))
    more: tuple[str, ...] = ()
    if known:
        with brand_scope(brand_id):
            values["account"] = OfficialAccount.objects.create(
                name="Bench", appid=f"wxbench{brand_id}", original_id=f"gh_bench{brand_id}", app_secret="s",
                connected_at=clock.now(),
            ).pk  # fmt: skip
        more = tuple(each.replace("% ", "%% ") for each in (_FOLLOWERS, _EDGES, _PURCHASES))
    with roles.cursor_on(admin_url) as cursor:
        cursor.execute("SET session_replication_role = replica")
        for statement in (
            _STORES, _HOURS, _EXCEPTIONS, _GUIDES, _TAGS, people, _MEMBER_TAGS, _ASSIGNMENTS, *more,
        ):  # fmt: skip
            cursor.execute(statement, values)


def asked_for(brand_id: int) -> list[dict[str, Any]]:
    """Give some people, spread over the brand, by everything they are known by; their phones are made up here."""
    step = max(1, Member.objects.count() // ASKED - 1 | 1)  # odd: every second person has a card
    first = Member.objects.order_by("pk").values_list("pk", flat=True)[0]
    rows = list(Member.objects.filter(pk__in=range(first, first + step * ASKED, step)).order_by("pk"))
    openids = dict(Follower.objects.filter(member__in=rows).values_list("member_id", "openid"))
    for number, row in enumerate(rows):
        row.phone_index = blind_index(brand_id, "phone", f"+86139{number:08d}")
    Member.objects.bulk_update(rows, ["phone_index"])
    return [
        {
            "id": row.pk, "no": row.member_no, "name": row.name, "tail": row.phone_tail, "phone": f"139{number:08d}",
            "index": str(row.phone_index), "surname": row.name[:1],
            "card": f"VIP-{row.pk:08d}" if row.pk % 2 == 0 else "", "openid": openids.get(row.pk, ""),
        }
        for number, row in enumerate(rows)
    ]  # fmt: skip


def operator(brand_id: int) -> str:
    """Sign in somebody who may see everybody; gives the cookie."""
    staff, _new = StaffUser.objects.get_or_create(username=f"bench{brand_id}", defaults={"name": "bench"})
    with brand_scope(brand_id):
        grant_role(staff_user=staff, role=Role.OWNER)
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def callers(brand_id: int, *, sessions: int, keys: int) -> dict[str, Any]:
    """Sign people in and issue keys: enough of both that no rate limit is met by a measured load."""
    at = clock.now()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM members_member WHERE brand_id = %s ORDER BY id DESC LIMIT %s", [brand_id, sessions]
        )
        members = [row[0] for row in cursor.fetchall()]
    rows = MiniProgramSession.objects.bulk_create(
        MiniProgramSession(
            member_id=member,
            appid="wxabcdefabcdefabcd",
            openid=f"o{member:027d}",
            created_at=at,
            expires_at=at + timedelta(hours=12),
        )
        for member in members
    )
    return {
        "tokens": [issue_member_token(brand_id=brand_id, session_id=row.public_id)[0] for row in rows],
        "keys": [
            issue_api_key(label=f"system {n}", scopes=["members.read", "stores.read"], at=at)[1] for n in range(keys)
        ],
    }


def main() -> None:
    """Fill and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--brands", type=int, default=3)
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--stores", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=2_000)
    parser.add_argument("--keys", type=int, default=100)
    parser.add_argument("--small", type=int, default=0, help="members of every brand but the first")
    parser.add_argument("--again", action="store_true", help="the rows are there: only make callers")
    parser.add_argument("--known", action="store_true", help="shared names, OpenIDs, cards, purchases; an operator")
    chosen = parser.parse_args()
    report: dict[str, Any] = {}
    for number in range(1 if chosen.again else chosen.brands):
        slug, members = f"bench{number}", chosen.members if number == 0 else chosen.small or chosen.members
        brand = Brand.objects.get(slug=slug) if chosen.again else create_brand(slug=slug, name=f"Bench {number}")
        if not chosen.again:
            fill(os.environ["BENCH_ADMIN_URL"], brand.pk, members=members, stores=chosen.stores, known=chosen.known)
        if number == 0:
            with brand_scope(brand.pk):
                report = {"brand": brand.pk, **callers(brand.pk, sessions=chosen.sessions, keys=chosen.keys)}
                if chosen.known:
                    report["asked"] = asked_for(brand.pk)
                    report["tag"] = Tag.objects.order_by("pk").values_list("pk", flat=True)[0]
                    report["store"] = Store.objects.order_by("pk").values_list("pk", flat=True)[0]
            if chosen.known:
                report["cookie"] = operator(brand.pk)
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
