"""How PostgreSQL reads kept segments: found, followed, paged and restated by indexes, one brand's rows only."""

from datetime import timedelta

from django.db import connection

from loyalty.rfm_matrix import Bands, matrix
from members import selectors, services, stands
from members.models import SegmentDue
from members.services.membership import follow, rebuild
from tests.factories import AT, make_account, make_member
from tests.plans.test_plans import Watch

HEARD_OF = {"all": [{"condition": "last_interaction", "params": {"how": "within", "days": 30}}]}
MINUTE = timedelta(minutes=1)


def watched(act):
    watch = Watch()
    with connection.execute_wrapper(watch):
        found = act()
    assert watch.faults() == []
    return found, {table for _sql, table, _kind, _conditions in watch.scans()}


def test_kept_people_are_read_by_indexes_of_one_brand(in_brand):
    account = make_account()
    people = [make_member(account, last_interaction_at=AT - days * timedelta(days=1)) for days in (1, 40)]
    segment = services.save_segment(name="活跃", rule=HEARD_OF, at=AT, freshness="MINUTES")

    moved, read = watched(lambda: rebuild(segment, at=AT))
    assert (moved.came, "members_member" in read) == (1, True)
    SegmentDue.objects.all().delete()
    moved, read = watched(lambda: follow(segment, [each.pk for each in people], at=AT + 40 * MINUTE))
    assert (moved.came, {"members_member", "members_segmentmember"} <= read) == (0, True)
    page, read = watched(lambda: selectors.people_in(segment, at=AT, before=people[1].pk, limit=5))
    assert ([row.id for row in page], "members_segmentmember" in read) == ([people[0].pk], True)


def test_restated_reports_are_read_by_indexes_of_one_brand(in_brand):
    account = make_account()
    flagged = make_member(account, last_interaction_at=AT)
    segments = [
        services.save_segment(name=str(days), rule={"all": [{**HEARD_OF["all"][0], "params": {"days": days}}]}, at=AT)
        for days in (7, 30)
    ]
    services.set_flag(member_id=flagged.pk, kind="STAFF", since=None, reason="门店店员", by="林澄", at=AT)
    grouping = services.save_grouping(name="活跃度", segment_ids=[each.pk for each in segments], at=AT)
    taken = [services.take_snapshot(grouping=grouping, at=AT + days * timedelta(days=1)) for days in (0, 9)]

    _found, read = watched(lambda: stands.moves(*taken))
    assert {"members_snapshotmember", "members_flag"} <= read
    counts, read = watched(lambda: stands.counts(taken))
    assert (counts, "members_flag" in read) == ({taken[0].pk: [0, 0, 0], taken[1].pk: [0, 0, 0]}, True)
    watched(lambda: stands.lately(grouping, since=AT, at=AT))
    _found, read = watched(lambda: matrix(Bands(), at=AT))
    assert {"loyalty_fact", "members_flag"} <= read
