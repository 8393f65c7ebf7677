"""Segments for other systems: how old their people are, who they are page by page, and what a campaign brought."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from campaigns.models import Campaign, Delivery
from common import clock
from loyalty.models import Fact
from members import services
from members.services.membership import rebuild
from tests.factories import AT, make_member

FOLLOWS = {"all": [{"condition": "subscribed", "params": {"value": "yes"}}]}
NEVER = {"none": [{"condition": "subscribed", "params": {"value": "yes"}}]}


@pytest.fixture
def kept(a, b):
    """A segment of each brand whose people were found three hours ago, and three more people of each."""
    found = []
    for side in (a, b):
        with brand_scope(side.brand.pk):
            for _ in range(3):
                make_member(side.account, store=side.store)
            segment = services.save_segment(name="守着的", rule=FOLLOWS, at=AT, freshness="MINUTES")
            rebuild(segment, at=clock.now() - timedelta(hours=3))
            found.append(segment)
    return found


def test_age_of_people_is_told_with_every_segment(a, kept):
    segment, _theirs = kept
    with brand_scope(a.brand.pk):
        services.save_segment(name="现找", rule=FOLLOWS, at=AT)
        services.save_segment(name="没找过", rule=FOLLOWS, at=AT, freshness="DAILY")

    rows = {row["name"]: row for row in a.system.get("/segments/").json()["results"]}

    said = {name: (row["freshness"], row["limit_seconds"], row["is_late"]) for name, row in rows.items()}
    assert said == {"守着的": ("MINUTES", 1800, True), "现找": ("LIVE", None, False), "没找过": ("DAILY", 129600, True)}
    assert rows["守着的"]["age_seconds"] // 60 == 180
    assert (rows["没找过"]["as_of"], rows["没找过"]["age_seconds"], rows["现找"]["age_seconds"]) == (None, None, 0)
    one = a.system.get(f"/segments/{segment.pk}/").json()
    assert {key: one[key] for key in one if "age" not in key} == {
        key: value for key, value in rows["守着的"].items() if "age" not in key
    }


def test_people_come_page_by_page_as_they_are_kept(a, kept):
    segment, theirs = kept
    path = f"/segments/{segment.pk}/people/"
    with brand_scope(a.brand.pk):
        make_member(a.account)  # since then: nobody has looked
    first = a.system.get(path, page_size="3").json()
    rest = a.system.get(path, page_size="3", cursor=first["next"]).json()
    seen = [row["member_no"] for row in [*first["results"], *rest["results"]]]

    assert (len(first["results"]), len(rest["results"]), rest["next"], len(set(seen))) == (3, 1, None, 4)
    assert (first["is_late"], first["as_of"]) == (True, rest["as_of"])
    assert rest["results"][0]["phone"] == "138****8000"
    with brand_scope(a.brand.pk):
        live = services.save_segment(name="现找", rule=FOLLOWS, at=AT)
    found = a.system.get(f"/segments/{live.pk}/people/").json()
    assert (len(found["results"]), found["is_late"]) == (5, False)
    missing = [a.system.get(f"/segments/{each}/people/") for each in (theirs.pk, 999999999, "x", "0", "9" * 40)]
    assert {(answer.status_code, answer.content) for answer in missing} == {(404, missing[0].content)}
    assert {
        answer.status_code for answer in (a.system.get(f"/segments/{theirs.pk}/"), a.system.get("/segments/x/"))
    } == {404}


def test_people_of_an_old_rule_are_never_given_for_the_new_one(a, kept):
    segment, _theirs = kept
    with brand_scope(a.brand.pk):
        services.save_segment(name="守着的", rule=NEVER, at=AT, segment=segment)

    answer = a.system.get(f"/segments/{segment.pk}/people/")

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "segment_not_found_yet")


def test_people_need_both_scopes_and_a_key(a, kept):
    path = f"/segments/{kept[0].pk}/people/"

    callers = [a.key("segments.read"), a.key("members.read"), a.me, a.key("segments.read", "members.read")]

    assert [caller.get(path).status_code for caller in callers] == [403, 403, 403, 200]
    assert [caller.get(f"/segments/{kept[0].pk}/").status_code for caller in callers] == [200, 403, 403, 200]


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("what", ["list", "people"])
def test_pages_take_the_same_queries_whatever_their_length(a, rows, what):
    with brand_scope(a.brand.pk):
        for number in range(rows - (what == "people")):
            make_member(a.account, store=a.store)
            segment = services.save_segment(name=f"守{number}", rule=FOLLOWS, at=AT, freshness="MINUTES")
        if what == "people" and rows == 1:
            segment = services.save_segment(name="守", rule=FOLLOWS, at=AT, freshness="MINUTES")
        rebuild(segment, at=clock.now())
    path = "/segments/" if what == "list" else f"/segments/{segment.pk}/people/"
    a.system.get(path)

    with CaptureQueriesContext(connection) as queries:
        answer = a.system.get(path)

    # key: savepoint, select, release; page: savepoint, rows, release; people: the segment, their keys as the role of
    # reports (four statements to become it and back), the people themselves, and whom it showed
    assert (len(answer.json()["results"]), len(queries)) == (rows, 6 if what == "list" else 13)


@pytest.fixture
def sent(a, b):
    """Two campaigns as large as each other, one a brand: 200 people and 200 of the control group; some bought."""
    made = []
    for side in (a, b):
        with brand_scope(side.brand.pk):
            people = [make_member(side.account).pk for _ in range(12)]
            fields = {"account": side.account, "state": "FINISHED", "launched_at": AT, "created_at": AT}
            campaign = Campaign.objects.create(
                name="秋季新品", purpose="MARKETING", audience_count=400, updated_at=AT, **fields
            )
            rows = [
                Delivery(
                    campaign=campaign, seq=seq, account_id=side.account.pk, follower_id=seq + 1,
                    member_id=people[seq] if seq < 12 else 10**9 + seq,
                    state="SUPPRESSED" if seq >= 200 else "DELIVERED", reason="IN_CONTROL" if seq >= 200 else "",
                )
                for seq in range(400)
            ]  # fmt: skip
            Delivery.objects.bulk_create(rows)
            at = AT + timedelta(days=1)
            Fact.objects.bulk_create(
                Fact(
                    system="pos", kind="PURCHASE", number=f"{pk}", fingerprint="0" * 32, member_id=pk, amount=100,
                    happened_at=at, received_at=at,
                )
                for pk in people
            )  # fmt: skip
            made.append((campaign, people))
    return made


def test_effect_leaves_out_staff_unless_it_is_asked_for(a, b, sent):
    (campaign, people), (theirs, _others) = sent
    path = f"/campaigns/{campaign.public_id}/effect/"
    whole = a.system.get(path).json()
    assert (whole["goal"], whole["days"], whole["is_over"], whole["left_out"]) == ("loyalty.purchase", 7, True, 0)
    assert (whole["treated"], whole["control"]) == ({"people": 200, "did_it": 12}, {"people": 200, "did_it": 0})
    assert (whole["lift"]["difference"], whole["lift"]["certain"]) == (0.06, True)

    flag = {"kind": "STAFF", "reason": "门店店员", "by": "林澄"}
    with brand_scope(a.brand.pk):
        for pk in people[:5]:
            services.set_flag(member_id=pk, since=None, at=clock.now(), **flag)
        services.set_flag(member_id=people[5], since=AT + timedelta(days=30), at=clock.now(), **flag)
    found = a.system.get(path).json()
    assert (found["treated"], found["left_out"]) == ({"people": 195, "did_it": 7}, 5)
    counted = a.system.get(path, everybody="true").json()
    assert (counted["treated"], counted["left_out"]) == (whole["treated"], 0)
    assert a.system.get(path, days="1", goal="touchpoints.scanned").json()["lift"] is None
    with brand_scope(a.brand.pk):
        for pk in people[:5]:
            services.clear_flag(member_id=pk, kind="STAFF", reason="离职", by="林澄", at=clock.now())
    assert a.system.get(path).json() == whole

    refused = [a.system.get(path, **query) for query in ({"goal": "x"}, {"days": "0"}, {"days": "91"}, {"sql": "1"})]
    assert {answer.status_code for answer in refused} == {422}
    ids = [theirs.public_id, campaign.pk, "x"]
    assert {a.system.get(f"/campaigns/{each}/effect/").status_code for each in ids} == {404}
    assert a.key("segments.read").get(path).status_code == 403
    with brand_scope(a.brand.pk):
        Campaign.objects.filter(pk=campaign.pk).update(purpose="SERVICE")
    nothing = a.system.get(path).json()
    assert {key: nothing[key] for key in ("until", "treated", "control", "lift")} == dict.fromkeys(
        ("until", "treated", "control", "lift")
    )
