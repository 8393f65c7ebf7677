"""How PostgreSQL reads the product's hot statements: one brand's rows only, by an index, as Citus would need it.

The statements are those the running code sends: each is explained on its way, in its own transaction and role.
"""

import json
import re
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import connection

from accounts.rest.callers import SessionClaim
from accounts.roles import Role
from accounts.services import issue_api_key
from accounts.tenancy import BrandOwned, current_scope, reporting
from accounts.viewer import Viewer
from campaigns import services
from campaigns.services import sending
from common import clock
from guides.selectors import guide_of
from members import sampling
from members import selectors as members
from stores import selectors as stores
from tests.campaigns.test_sending import claim
from tests.factories import make_guide, make_store, make_tag

_EXPLAINED = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
_BOUND = re.compile(r"\bbrand_id = ('?\d+'?|\(?\w+\.brand_id\)?)")
_SCANS = ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Tid Scan")


class Watch:
    """Explains every statement of a brand's scope before it runs."""

    def __init__(self):
        self.tables = {model._meta.db_table for model in apps.get_models() if issubclass(model, BrandOwned)}
        self.seen = []

    def __call__(self, execute, sql, params, many, context):
        scope = current_scope()
        if scope is not None and scope.brand_id is not None and not many and _EXPLAINED.match(sql):
            cursor = context["cursor"].cursor
            cursor.execute("SET LOCAL enable_seqscan = off")
            for each in cursor.mogrify(sql, params).decode().split(";\n"):  # one or several in one journey
                cursor.execute("EXPLAIN (FORMAT JSON, VERBOSE) " + each)
                plan = cursor.fetchone()[0]
                self.seen.append((each, (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))
            cursor.execute("SET LOCAL enable_seqscan = on")
        return execute(sql, params, many, context)

    def scans(self):
        """Give (statement, table, kind of scan, conditions) of every scan of a brand's table."""
        return [
            (sql, node["Relation Name"], node["Node Type"], _conditions(node))
            for sql, plan in self.seen
            for node in _nodes(plan)
            if node["Node Type"] in _SCANS and node.get("Relation Name") in self.tables
        ]

    def faults(self):
        """Give every scan that is not bounded by the brand, or that reads a whole table."""
        return [
            (table, kind, conditions, sql)
            for sql, table, kind, conditions in self.scans()
            if kind == "Seq Scan" or not _BOUND.search(conditions)
        ]


def _nodes(node):
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _conditions(node):
    # Under a bitmap the heap's recheck repeats what the index was asked.
    return " ".join(str(node.get(name, "")) for name in ("Index Cond", "Recheck Cond", "Filter"))


@pytest.fixture
def watch():
    found = Watch()
    with connection.execute_wrapper(found):
        yield found


def viewer(brand):
    return Viewer(staff_id=None, label="", brand_id=brand.pk, role=Role.OWNER)


def test_reading_people_and_stores(in_brand, watch):
    at = clock.now()
    guide = make_guide(make_store())
    make_tag("会员")
    issue_api_key(label="x", scopes=["members.read"], at=at)
    watch.seen.clear()

    members.principal_of_claim(SessionClaim(in_brand.pk, uuid4()), at)
    with pytest.raises(TypeError):  # nobody has this number: the statement is what is looked at
        members.member_card(1)
    guide_of(1)
    members.people(members.Wanted(), limit=21)
    members.people(
        members.Wanted(
            before=9, member_no="1", phone="+8613800000000", tag="会员", joined_since=at, interacted_since=at
        ),
        limit=21,
    )
    members.find_members(viewer(in_brand), "0042")
    members.find_members(viewer(in_brand), "陈悦")
    members.preview({"all": []}, at=at)
    stores.nearest_stores(lat=guide.store.lat, lng=guide.store.lng, at=at)
    list(stores.stores_in_operation(city="上海")[:20])

    assert len(watch.scans()) > 20
    assert watch.faults() == []


def test_estimating_a_rule_reads_people_by_the_index_of_the_sample(in_brand, watch, monkeypatch):
    at = clock.now()
    bought = {"condition": "spent", "params": {"how": "least", "yuan": 500, "days": 365}}
    reached = {"condition": "reachable", "params": {"way": "template", "value": "yes"}}
    with reporting(in_brand.pk):
        assert not sampling.is_large()
    monkeypatch.setattr(sampling, "is_large", lambda: True)
    monkeypatch.setattr(sampling, "FEWEST", 0)  # nobody is counted exactly
    watch.seen.clear()

    shown = members.preview({"all": [bought, reached]}, at=at)

    assert (shown.found, watch.faults()) == (0, [])
    sql, plan = next((sql, plan) for sql, plan in watch.seen if "loyalty_fact" in sql)
    indexes = [node["Index Name"] for node in _nodes(plan) if "Index Name" in node]
    assert indexes.count("sampled_people") == sql.count("LEFT(MD5(") == 3  # the people, and those of either condition


def test_freezing_claiming_recording_and_settling_a_campaign(stage, watch):
    stage.people(12)
    campaign = stage.launched()
    job, batch = claim(stage, campaign)
    entries = [
        sending.Entry(claimed, sending.DeliveryState.SENT, msgid=number) for number, claimed in enumerate(batch, 1)
    ]
    sending._record(job, entries, None)
    with stage.scope:
        services.record_result(
            account_id=stage.account.pk, openid=batch[0].openid, msgid="1", status="success", event_at=clock.now()
        )
        assert not services.settle_results(at=clock.now())

    tables = {table for _sql, table, _kind, _conditions in watch.scans()}
    assert {"campaigns_delivery", "members_member", "members_follower"} <= tables
    assert watch.faults() == []
