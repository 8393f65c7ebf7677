"""Lists of a large brand read the rows they show: PostgreSQL, which takes it for small, would read all that fits."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client

from accounts.tenancy import brand_scope
from common.clock import now
from console import admin
from members.admin.home import _change_per_day, midnight
from members.models import Follower, Member
from tests.factories import make_account, make_staff, make_store, make_tag

PEOPLE, PAGE, COUNTED = 20_000, 50, 100  # so many that the planner's guess of a brand, a 200th, fills a page
LOOKED_AT = 200  # people whose names begin alike
GONE = PEOPLE // 100
# Every tenth of them does not follow and every eighth has the tag; all were born under one name, in two stores.
_MEMBERS = """
INSERT INTO members_member (brand_id, public_id, member_no, name, phone_tail, phone_masked, city, gender, store_id,
    joined_at, created_at, subscribed, last_interaction_at, tag_ids)
SELECT %(brand)s, gen_random_uuid(), 'N' || n, '王' || n %% 200, '0000', '', '', '', %(store)s + n %% 2,
    now() - n * interval '1 minute', now(), n %% 10 <> 0, now(), '{}'
FROM generate_series(1, %(people)s) n
"""
_TAGGED = """
INSERT INTO members_membertag (brand_id, member_id, tag_id, source, at, given, rule_ids)
SELECT brand_id, id, %(tag)s, 'seed', now(), true, '{}' FROM members_member WHERE brand_id = %(brand)s AND id %% 8 = 0
"""
_FOLLOWERS = """
INSERT INTO members_follower (brand_id, account_id, openid, unionid, member_id, subscribed, followed_at, unfollowed_at,
    follow_count, follow_scene)
SELECT brand_id, %(account)s, 'o' || id, '', id, id %% 100 <> 0, now() - interval '400 days' - id %% 5000 * interval '1 second',
    CASE WHEN id %% 100 = 0 THEN now() - interval '1 day' END, 1, ''
FROM members_member WHERE brand_id = %(brand)s
"""


class Reading:
    """Explains what reads people on its way, and notes how many rows of theirs each statement touched."""

    tables = {"members_member", "members_follower", "members_membertag"}

    def __init__(self):
        self.seen = []

    def __call__(self, execute, sql, params, many, context):
        if sql.startswith("SELECT") and any(f'"{table}"' in sql for table in self.tables):
            cursor = context["cursor"].cursor
            cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql, params)
            found = cursor.fetchone()[0]
            plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
            self.seen.append((self._rows(plan), sql))
        return execute(sql, params, many, context)

    def _rows(self, node):
        rows = sum(self._rows(child) for child in node.get("Plans", ()))
        if node.get("Relation Name") in self.tables and node["Node Type"] != "Bitmap Index Scan":
            touched = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            rows += round(touched * node["Actual Loops"])
        return rows


@pytest.fixture
def large(brand, monkeypatch):
    """A brand of some size, of which the planner knows nothing, and somebody who sees all of it."""
    monkeypatch.setattr(admin, "COUNTED_TO", COUNTED)
    with brand_scope(brand.pk):
        account, tag = make_account(), make_tag("会员")
        store, _other = make_store(code="A1"), make_store(code="A2", name="二店")
        staff = make_staff("owner", "OWNER")
        values = {"brand": brand.pk, "people": PEOPLE, "store": store.pk, "tag": tag.pk, "account": account.pk}
        with connection.cursor() as cursor:
            for statement in (_MEMBERS, _TAGGED, _FOLLOWERS):
                cursor.execute(statement, values)
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")

    def read(path):
        seen = Reading()
        with connection.execute_wrapper(seen):
            answer = client.get(f"/b/{brand.slug}/{path}")
        assert answer.status_code == 200
        return seen.seen, answer

    return {**values, "read": read}


# What is asked for, and how many rows one statement may touch for it.
PAGES = {
    "members/member/": COUNTED + 1,
    "members/member/?p=3": 3 * PAGE,
    "members/member/?q=王": 2 * LOOKED_AT,
    "members/member/?following=no": 10 * (COUNTED + 1),  # every tenth: also a walk past everybody ends early
    "members/member/?store={store}": 3 * COUNTED,  # of two stores: the walk may pass those of the other
    "members/follower/": COUNTED + 1,
    "inbox/?q=王": 2 * LOOKED_AT,
    "search/?s=王": 2 * LOOKED_AT,
}


def test_lists_read_what_they_show(large):
    faults = []
    for path, most in PAGES.items():
        seen, answer = large["read"](path.format(**large))
        seen = [(rows, sql) for rows, sql in seen if "LIMIT" in sql]  # the others look rows up by their keys
        assert seen, path
        assert "王" in answer.content.decode() or "inbox" in path, path
        faults += [(path, rows, sql) for rows, sql in seen if rows > most]

    assert faults == []


def test_what_is_no_walk_reads_what_it_needs(large):
    """Carriers of a tag are counted by their tags; who joined lately is sorted alone; home reads who came and went."""
    tagged, answer = large["read"]("members/member/?tag={tag}".format(**large))
    joined, _answer = large["read"]("members/member/?view=joined")
    home, _answer = large["read"]("")

    assert [rows for rows, sql in tagged if "COUNT(" in sql and 'members_member"' not in sql] == [COUNTED + 1]
    assert f"{COUNTED}" in answer.content.decode()
    (page,) = [sql for _rows, sql in joined if f"LIMIT {PAGE}" in sql]
    assert "JOIN" not in page  # everybody's store would be looked up before the first fifty are known
    days = [(rows, sql) for rows, sql in home if "AT TIME ZONE" in sql]
    assert [rows for rows, sql in days if '"unfollowed_at"' in sql] == [GONE]
    assert [rows for rows, sql in days if '"unfollowed_at"' not in sql] == [0]  # nobody came within the fourteen days


def test_net_growth_counts_who_came_and_went_on_their_days(large):
    """Whoever came and went within the days counts on both."""
    with brand_scope(large["brand"]):
        Follower.objects.all().delete()
        people = list(Member.objects.order_by("pk")[:4])
        end = midnight(now())
        start, day = end - timedelta(days=14), timedelta(days=1)
        for number, (came, went) in enumerate([(3, None), (3, 5), (40, 5), (None, 6)]):
            Follower.objects.create(
                account_id=large["account"],
                openid=f"p{number}",
                member=people[number],
                subscribed=went is None,
                followed_at=end - came * day if came else None,
                unfollowed_at=end - day * (14 - went) if went else None,
            )
        change = _change_per_day(start, end)

    assert {(on - start.date()).days: people for on, people in change.items() if people} == {11: 2, 5: -2, 6: -1}
