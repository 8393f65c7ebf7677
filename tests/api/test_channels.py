"""Channels over the API: the tree page by page, reports that add up, short scenes; each brand its own."""

from datetime import date, datetime, timedelta

import pytest

from accounts.tenancy import brand_scope
from common import clock
from coupons.selectors.scans import KIND
from coupons.services import give_scan
from tests.coupons.conftest import make_template
from tests.touchpoints.conftest import buy, come, send_back
from touchpoints.models import MiniCode, SentBy, Touch, Touchpoint
from touchpoints.services import (
    add_cost,
    archive_branch,
    create_mini_code,
    create_touchpoint,
    page_that_counts,
    revoke_mini_code,
)


def furnish(side):
    """A medium with two codes; three people came by the first, one of them joined."""
    now = clock.now()
    with brand_scope(side.brand.pk):
        side.medium = create_touchpoint(name=f"{side.brand.name}门店", at=now)
        side.code, side.other = (
            create_touchpoint(
                name=f"{side.brand.name}{name}", parent=side.medium, account=side.account, store=side.store, at=now
            )
            for name in ("门口", "柜台")
        )
        for number in range(3):
            came = come(side.code, at=now - timedelta(days=1), joined=now if number == 0 else None)
        come(side.other, follower=came.follower, at=now)
        add_cost(touchpoint=side.code, amount=900, starts_on=date(2020, 1, 1), ends_on=date(2020, 1, 2), at=now)
        side.mini = create_mini_code(touchpoint=side.code, program=side.program, page="pages/index", at=now)
    return side


@pytest.fixture
def ours(a):
    return furnish(a)


@pytest.fixture
def theirs(b):
    return furnish(b)


def test_tree_comes_page_by_page_and_whole(ours, theirs):
    first = ours.system.get("/channels/", page_size=2).json()
    rest = ours.system.get("/channels/", page_size=2, cursor=first["next"]).json()

    assert [row["name"] for row in first["results"] + rest["results"]] == ["澜屿门店", "澜屿门口", "澜屿柜台"]
    assert [row["parent"] for row in first["results"]] == [None, ours.medium.pk]
    assert (rest["next"], first["results"][1]["store"]) == (None, "S1")


def test_archived_channels_are_asked_for(ours):
    with brand_scope(ours.brand.pk):
        archive_branch(touchpoint=ours.other, at=clock.now())

    names = lambda **query: [row["name"] for row in ours.system.get("/channels/", **query).json()["results"]]  # noqa: E731
    assert names() == ["澜屿门店", "澜屿门口"]
    assert names(archived="true") == ["澜屿门店", "澜屿门口", "澜屿柜台"]


@pytest.mark.parametrize("model", ["first", "last", "position"])
def test_reports_of_channels_add_up_to_the_one_above(ours, theirs, model):
    def report(row):
        return ours.system.get(f"/channels/{row.pk}/report/", model=model).json()

    whole, parts = report(ours.medium), [report(ours.code), report(ours.other)]
    for number, stage in enumerate(whole["stages"]):
        assert stage["people"] == pytest.approx(sum(part["stages"][number]["people"] for part in parts))
    assert [stage["people"] for stage in whole["stages"]] == [3.0, 3.0, 1.0, 0.0]
    assert whole["scans"] == sum(part["scans"] for part in parts) == 4
    assert whole["cases"] == {"NEW": 3, "RETURNING": 0, "FOLLOWING": 1, "MEMBER": 0, "VISITOR": 0}
    assert whole["cost"] == 0  # its days are long over


def test_report_says_what_followers_bought_within_so_many_days(ours, theirs):
    now = clock.now()
    with brand_scope(ours.brand.pk):
        one, _other = (come(ours.code, at=now - timedelta(days=40)) for _ in range(2))
        buy(one.follower.member, "SO1", 5_000, at=now - timedelta(days=38))
        send_back("SO1", 1_000, at=now - timedelta(days=1))
        new = come(ours.code, at=now - timedelta(days=2), joined=now - timedelta(days=1))
        buy(new.follower.member, "SO2", 700, at=now)

    report = ours.system.get(f"/channels/{ours.medium.pk}/report/", days=60).json()
    assert report["stages"][-1] == {"key": "order", "people": 1.0, "cost": None}
    assert report["values"] == [
        {"days": 30, "followers": 2.0, "bought": 1.0, "amount": 4_000, "each": 2_000},
        {"days": 90, "followers": 0.0, "bought": 0.0, "amount": 0, "each": None},
    ]


def test_scene_resolves_for_keys_and_for_members(ours):
    expected = {
        "scene": ours.mini.code,
        "channel": ours.code.pk,
        "name": "澜屿门口",
        "appid": ours.program.appid,
        "page": "pages/index",
        "benefit": "",
        "store": {"code": "S1", "name": "澜屿店"},
        "sent_by": "CODE",
        "sender": "",
    }
    for caller in (ours.system, ours.me):
        assert caller.get(f"/scenes/{ours.mini.code}/").json() == expected
    with brand_scope(ours.brand.pk):
        revoke_mini_code(mini_code=ours.mini, at=clock.now())
    assert ours.me.get(f"/scenes/{ours.mini.code}/").status_code == 404


def test_scene_of_a_card_says_which_reply_brought_it(ours):
    with brand_scope(ours.brand.pk):
        page = page_that_counts(
            page="pages/index", appid=ours.program.appid, touchpoint_id=ours.medium.pk, sent_by=SentBy.KEYWORD,
            sender="门店", at=clock.now(),
        )  # fmt: skip
    scene = page.rpartition("=")[2]
    said = ours.me.get(f"/scenes/{scene}/").json()
    assert (said["channel"], said["sent_by"], said["sender"]) == (ours.medium.pk, "KEYWORD", "门店")
    kept = ours.me.post(f"/scenes/{scene}/openings/", {"opening": "0f5b3c1e9a7d4428"}).json()
    assert (kept["scene"], kept["channel"]) == (scene, ours.medium.pk)
    assert touches(ours) == [(ours.member.pk, ours.medium.pk)]


def test_other_brands_channel_and_scene_look_like_none(ours, theirs):
    def said(path):
        answer = ours.system.get(path)
        return answer.status_code, answer.json()

    assert said(f"/channels/{theirs.code.pk}/report/") == said("/channels/87654321/report/")
    assert said(f"/scenes/{theirs.mini.code}/") == said("/scenes/00000000/")
    with brand_scope(theirs.brand.pk):
        assert (Touchpoint.objects.count(), MiniCode.objects.count()) == (3, 1)


@pytest.mark.parametrize(
    "path", ["/channels/x/report/", "/channels/1e3/report/", "/channels/99999999999999999999/report/"]
)
def test_odd_number_is_no_channel(ours, path):
    assert ours.system.get(path).status_code == 404


@pytest.mark.parametrize("query", [{"days": 0}, {"days": 367}, {"days": "x"}, {"model": "linear"}, {"more": 1}])
def test_odd_report_is_refused(ours, query):
    assert ours.system.get(f"/channels/{ours.code.pk}/report/", **query).status_code == 422


def test_report_needs_the_scope(ours):
    assert ours.key("stores.read").get(f"/channels/{ours.code.pk}/report/").status_code == 403
    assert ours.key("stores.read").get(f"/scenes/{ours.mini.code}/").status_code == 403
    assert ours.me.get("/channels/").status_code == 403


# --- openings --------------------------------------------------------------------------------------------------------


def touches(side):
    with brand_scope(side.brand.pk):
        return list(Touch.objects.filter(kind="OPEN").values_list("member_id", "touchpoint_id"))


def test_opening_is_kept_once_however_often_it_is_sent(ours, theirs):
    path, body = f"/scenes/{ours.mini.code}/openings/", {"opening": "0f5b3c1e9a7d4428"}
    answers = [ours.me.post(path, body) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert (answers[0].json()["channel"], answers[0].json()["scene"]) == (ours.code.pk, ours.mini.code)
    assert touches(ours) == [(ours.member.pk, ours.code.pk)]
    assert touches(theirs) == []


def test_opening_by_another_brands_scene_is_not_found_and_not_kept(ours, theirs):
    body = {"opening": "0f5b3c1e9a7d4428"}
    foreign, unknown = (ours.me.post(f"/scenes/{scene}/openings/", body) for scene in (theirs.mini.code, "00000000"))

    assert (foreign.status_code, foreign.json()) == (unknown.status_code, unknown.json())
    assert foreign.status_code == 404
    assert touches(ours) == touches(theirs) == []


@pytest.mark.parametrize("body", [{}, {"opening": "x"}, {"opening": 12345678}, {"opening": "0f5b3c1e", "member": 1}])
def test_odd_opening_is_refused(ours, body):
    assert ours.me.post(f"/scenes/{ours.mini.code}/openings/", body).status_code == 422
    assert touches(ours) == []


def test_opening_is_for_people_of_the_mini_program_only(ours):
    answer = ours.system.post(f"/scenes/{ours.mini.code}/openings/", {"opening": "0f5b3c1e9a7d4428"})
    assert answer.status_code == 403
    assert touches(ours) == []


def test_report_says_up_to_when_it_is_counted(ours):
    before = clock.now().replace(microsecond=0)
    said = ours.system.get(f"/channels/{ours.code.pk}/report/").json()["as_of"]
    assert datetime.fromisoformat(said) >= before


def test_what_a_code_gives_and_to_how_many_is_told(ours, theirs):
    with brand_scope(theirs.brand.pk):
        make_template(name="灶上的券")
    with brand_scope(ours.brand.pk):
        template = make_template(name="见面礼", claimable=False)
        code = create_touchpoint(name="礼盒", account=ours.account, at=clock.now(), gives=(KIND, template.pk))
        for _number in range(2):
            come(code)
        give_scan(at=clock.now())
    rows = {row["name"]: row["gives"] for row in ours.system.get("/channels/").json()["results"]}
    assert rows["礼盒"] == {"kind": "coupon", "id": str(template.public_id), "name": "见面礼"}
    assert rows[ours.code.name] is None
    report = lambda row: ours.system.get(f"/channels/{row.pk}/report/").json()["benefit"]  # noqa: E731
    assert report(code) == {"given": 1, "waiting": 1, "refused": {}}
    assert report(ours.code) is None
