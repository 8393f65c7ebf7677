"""What a brand's other systems read and write with their keys."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import ApiKey
from accounts.services import revoke_api_key
from accounts.tenancy import brand_scope
from campaigns.models import Campaign, Tally
from common import clock
from members import services
from members.models import Member, MemberTag, Segment
from members.services.people import new_member
from tests.factories import AT, make_member, make_tag

HOUR = timedelta(hours=1)


def numbers(answer):
    return [row["member_no"] for row in answer.json()["results"]]


def test_member_as_other_systems_see_them(a):
    answer = a.system.get(f"/members/{a.member.member_no}/")

    assert answer.json() == {
        "member_no": a.member.member_no,
        "name": "澜屿会员",
        "phone": "138****8000",
        "birthday": "08-17",
        "city": "上海",
        "store": {"code": "S1", "name": "澜屿店"},
        "tags": ["会员"],
        "following": True,
        "created_at": "2025-06-01T00:00:00Z",
        "joined_at": "2025-06-01T00:00:00Z",
        "last_interaction_at": None,
        "profile": {},
    }


def test_members_are_listed_newest_first_page_by_page(a, b):
    with brand_scope(a.brand.pk):
        made = [make_member(a.account) for _ in range(4)]

    pages, cursor = [], None
    while cursor is not None or not pages:
        page = a.system.get("/members/", page_size="2", **({"cursor": cursor} if cursor else {})).json()
        pages.append([row["member_no"] for row in page["results"]])
        cursor = page["next"]

    expected = [member.member_no for member in [*reversed(made), a.member]]
    assert pages == [expected[:2], expected[2:4], expected[4:]]


def test_rows_that_arrive_do_not_shift_pages(a):
    with brand_scope(a.brand.pk):
        made = [make_member(a.account) for _ in range(2)]
    first = a.system.get("/members/", page_size="2").json()
    with brand_scope(a.brand.pk):
        make_member(a.account)

    second = a.system.get("/members/", page_size="2", cursor=first["next"])

    assert [row["member_no"] for row in first["results"]] == [made[1].member_no, made[0].member_no]
    assert numbers(second) == [a.member.member_no]


def test_members_are_picked(a, b):
    with brand_scope(a.brand.pk):
        late = make_member(a.account, joined_at=AT + 2 * HOUR, last_interaction_at=AT + 3 * HOUR)
        gone = new_member(at=AT)
        services.merge_members(kept=late, merged=gone, evidence="test", at=AT)

    def picked(**query):
        return numbers(a.system.get("/members/", **query))

    own = a.member.member_no
    assert picked() == [late.member_no, own]
    assert picked(member_no=own) == [own]
    assert picked(member_no=gone.member_no) == []
    assert picked(member_no=b.member.member_no) == []
    assert picked(phone="13800138000") == [own]
    assert picked(phone="+86 138 0013 8000") == [own]
    assert picked(phone="13900139000") == []
    assert picked(tag="会员") == [own]
    assert picked(tag="没有的标签") == []
    assert picked(joined_since="2025-06-01T10:00:00+08:00") == [late.member_no]
    assert picked(joined_since="2025-06-01T10:00:01+08:00") == []
    assert picked(interacted_since="2025-06-01T02:00:00Z", tag="会员") == []


PHONES = {
    "13800138000": 200,
    "+8613800138000": 200,
    "138 0013 8000": 200,
    "１３８００１３８０００": 200,
    "1380013800": 422,
    "138001380000": 422,
    "110": 422,
    "phone": 422,
    "": 422,
    "8000": 422,
    "+1 202 555 0143": 200,
}


@pytest.mark.parametrize(("phone", "status"), PHONES.items())
def test_phones(a, phone, status):
    assert a.system.get("/members/", phone=phone).status_code == status


@pytest.mark.parametrize(
    "query",
    [
        {"page": "1"},
        {"page_size": "0"},
        {"page_size": "-1"},
        {"page_size": "201"},
        {"page_size": "100000"},
        {"page_size": "1.0"},
        {"page_size": "1e1"},
        {"page_size": "true"},
        {"page_size": "２"},
        {"page_size": ["1", "2"]},
        {"cursor": ""},
        {"cursor": "cD0x"},
        {"cursor": "x" * 400},
        {"cursor": "a b"},
        {"cursor": "é"},
        {"ordering": "password"},
        {"phone__startswith": "138"},
        {"member__phone__regex": "(a+)+$"},
        {"name": "x"},
        {"joined_since": "2025-06-01"},
        {"joined_since": "2025-06-01T00:00:00"},
        {"joined_since": "0000-00-00T00:00:00Z"},
        {"joined_since": "2023-02-29T00:00:00Z"},
        {"joined_since": "1733000000"},
        {"joined_since": "10000-01-01T00:00:00Z"},
        {"member_no": "' OR 1=1 --"},
        {"tag": "x" * 31},
        {"tag": "a\x00"},
        {"access_token": "x"},
    ],
)
def test_queries_that_are_refused(a, query):
    assert a.system.get("/members/", **query).status_code == 422


def test_cursor_is_worth_nothing_elsewhere(a, b):
    with brand_scope(a.brand.pk):
        for number in range(3):
            make_member(a.account)
            make_tag(f"t{number}")
    cursor = a.system.get("/members/", page_size="1").json()["next"]
    middle = len(cursor) // 2
    edited = cursor[:middle] + ("A" if cursor[middle] != "A" else "B") + cursor[middle + 1 :]

    assert a.system.get("/members/", cursor=cursor).status_code == 200
    refused = [
        b.system.get("/members/", cursor=cursor),
        a.system.get("/tags/", cursor=cursor),
        a.system.get("/members/", cursor=edited),
    ]
    assert [answer.status_code for answer in refused] == [422] * 3
    assert len({answer.content for answer in refused}) == 1


def test_largest_page(a):
    with brand_scope(a.brand.pk):
        for number in range(205):
            make_tag(f"t{number}")

    page = a.system.get("/tags/", page_size="200").json()

    assert (len(page["results"]), page["next"] is None) == (200, False)


@pytest.mark.parametrize("rows", [1, 3])
def test_list_takes_the_same_queries_whatever_its_length(a, rows):
    with brand_scope(a.brand.pk):
        for number in range(rows - 1):
            member = make_member(a.account, store=a.store)
            services.tag_members(member_ids=[member.pk], tag_ids=[make_tag(f"t{number}").pk], source="x", at=AT)
    a.system.get("/members/")

    with CaptureQueriesContext(connection) as queries:
        answer = a.system.get("/members/")

    # key: savepoint, select, release; page: savepoint, people with their tags, whom it showed, release
    assert (len(answer.json()["results"]), len(queries)) == (rows, 7)


FOREIGN = [
    "{b}",
    "0000000000",
    "0",
    "-1",
    "abc",
    "1e3",
    "9" * 40,
    "%00",
    str(uuid.uuid4()).upper(),
    "%E2%80%AE",
    "a%0Ab",
]


@pytest.mark.parametrize(("method", "path"), [("GET", "/members/{}/"), ("POST", "/members/{}/tags/")])
def test_foreign_missing_and_malformed_members_look_alike(a, b, method, path):
    with brand_scope(a.brand.pk):
        gone = new_member(at=AT)
        services.merge_members(kept=a.member, merged=gone, evidence="test", at=AT)
    ids = [each.format(b=b.member.member_no) for each in FOREIGN]
    # the number of a record that was merged leads to who it became
    assert a.system.send(method, path.format(gone.member_no), "{}" if method == "POST" else "").status_code == 200

    with CaptureQueriesContext(connection) as queries:
        answers = [a.system.send(method, path.format(each), "{}" if method == "POST" else "") for each in ids]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    names = [sorted(set(answer.headers) - {"X-Request-Id"}) for answer in answers]
    assert all(each == names[0] for each in names)
    assert len(queries) % len(ids) == 0


def test_tags_are_put_on_and_taken_off(a, b):
    with brand_scope(a.brand.pk):
        make_tag("静安店")
        make_tag("金卡")
    path = f"/members/{a.member.member_no}/tags/"

    for _ in range(2):
        assert a.system.post(path, {"add": ["金卡", "静安店"], "remove": ["会员"]}).json()["tags"] == ["金卡", "静安店"]

    assert a.system.get(f"/members/{a.member.member_no}/").json()["tags"] == ["金卡", "静安店"]
    assert a.system.post(path, {}).json()["tags"] == ["金卡", "静安店"]
    with brand_scope(a.brand.pk):
        assert MemberTag.objects.filter(tag__name="金卡").get().source == "API"
    assert b.system.get(f"/members/{b.member.member_no}/").json()["tags"] == ["会员"]


def test_unknown_and_foreign_tags_are_refused_alike_and_nothing_changes(a, b):
    with brand_scope(b.brand.pk):
        make_tag("乙牌标签")
    path = f"/members/{a.member.member_no}/tags/"

    answers = [a.system.post(path, {"add": ["会员", name], "remove": ["会员"]}) for name in ("乙牌标签", "没有的标签")]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert answers[0].content == answers[1].content
    assert [row["field"] for row in answers[0].json()["error"]["fields"]] == ["add[1]"]
    assert a.system.get(f"/members/{a.member.member_no}/").json()["tags"] == ["会员"]


@pytest.mark.parametrize(
    "body",
    [
        {"add": "会员"},
        {"add": [1]},
        {"add": [None]},
        {"add": ["x" * 31]},
        {"add": [""]},
        {"add": ["会员"] * 51},
        {"add": ["会员"], "remove": ["会员"]},
        {"set": ["会员"]},
        {"add": {"0": "会员"}},
        [],
        "x",
    ],
)
def test_tag_changes_that_are_refused(a, body):
    assert a.system.post(f"/members/{a.member.member_no}/tags/", body).status_code == 422
    assert a.system.get(f"/members/{a.member.member_no}/").json()["tags"] == ["会员"]


def test_scopes_open_their_endpoints_only(a):
    number = a.member.member_no
    doors = {
        "members.read": [("GET", "/members/"), ("GET", f"/members/{number}/")],
        "members.write": [("POST", f"/members/{number}/tags/")],
        "segments.read": [
            ("GET", "/segments/"),
            ("GET", "/segments/conditions/"),
            ("GET", "/tags/"),
            ("POST", "/segments/preview/"),
        ],
        "campaigns.read": [("GET", "/campaigns/")],
        "stores.read": [("GET", "/stores/")],
        "channels.read": [("GET", "/channels/")],
        "library.read": [("GET", "/media/")],
    }
    bodies = {"/segments/preview/": '{"rule": {"all": []}}'}

    for scope in [*doors, None]:
        caller = a.key(scope) if scope else a.key()
        for owner, paths in doors.items():
            for method, path in paths:
                answer = caller.send(method, path, bodies.get(path, "{}" if method == "POST" else ""))
                assert (scope, path, answer.status_code) == (scope, path, 200 if owner == scope else 403)


def test_member_sessions_open_no_door_of_systems(a):
    paths = (
        "/members/",
        f"/members/{a.member.member_no}/",
        "/segments/",
        "/segments/conditions/",
        "/tags/",
        "/campaigns/",
    )

    assert [a.me.get(path).status_code for path in paths] == [403] * 6


def test_revoked_key_is_refused_at_once(a):
    caller = a.key("members.read")
    assert caller.get("/members/").status_code == 200

    with brand_scope(a.brand.pk):
        revoke_api_key(key=ApiKey.objects.order_by("-pk").first(), at=clock.now())

    assert caller.get("/members/").status_code == 401


def test_when_a_key_was_used_last_is_noted_once_in_five_minutes(a, b, monkeypatch):
    def used(side):
        with brand_scope(side.brand.pk):
            return ApiKey.objects.get().last_used_at

    noted = []
    for minutes in (0, 4, 6):
        monkeypatch.setattr(clock, "now", lambda at=AT + timedelta(minutes=minutes): at)
        assert a.system.get("/members/").status_code == 200
        noted.append(used(a))
    assert noted == [AT, AT, AT + timedelta(minutes=6)]
    assert used(b) is None


def test_segments_are_listed(a, b):
    rule = {"all": [{"condition": "subscribed", "params": {"value": "yes"}}]}
    with brand_scope(a.brand.pk):
        segment = services.save_segment(name="已关注", rule=rule, at=AT, counted=1)
    with brand_scope(b.brand.pk):
        services.save_segment(name="乙牌人群", rule=rule, at=AT)

    answer = a.system.get("/segments/").json()
    assert [row.pop("as_of")[:4] > "2025" for row in answer["results"]] == [True]
    assert answer == {
        "results": [
            {
                "id": segment.pk,
                "name": "已关注",
                "rule": rule,
                "counted": 1,
                "counted_at": "2025-06-01T00:00:00Z",
                "updated_at": "2025-06-01T00:00:00Z",
                "freshness": "LIVE",
                "age_seconds": 0,
                "limit_seconds": None,
                "is_late": False,
                "problem": "",
            },
        ],
        "next": None,
    }


def test_tags_are_listed(a, b):
    (tag,) = a.system.get("/tags/").json()["results"]
    assert tag == {
        "id": a.tag.pk,
        "name": "会员",
        "group": "",
        "meaning": "",
        "owner": "",
        "lasts_days": None,
        "synonyms": [],
    }
    assert a.tag.pk != b.tag.pk


def test_conditions_describe_what_a_rule_can_ask(a):
    keys = {row["key"] for row in a.system.get("/segments/conditions/").json()["results"]}

    assert {"subscribed", "joined", "tag", "store", "last_interaction"} <= keys


def test_preview_counts_own_people_only(a, b):
    with brand_scope(b.brand.pk):
        for _ in range(3):
            make_member(b.account)
    rule = {"all": [{"condition": "tag", "params": {"how": "any", "tags": [a.tag.pk]}}]}

    preview = a.system.post("/segments/preview/", {"rule": rule}).json()

    assert (preview["count"], [line["member_no"] for line in preview["sample"]]) == (1, [a.member.member_no])
    assert preview["sample"][0]["phone"] == "138****8000"
    assert "会员" in preview["sentence"]
    assert {each["count"] for each in preview["reach"]} <= {0, 1}
    assert a.system.post("/segments/preview/", {"rule": {"all": []}}).json()["count"] == 1
    with brand_scope(a.brand.pk):
        assert Segment.objects.count() == 0


def leaf(**params):
    return {"condition": "last_interaction", "params": params}


def nested(depth):
    rule = leaf(how="within", days=1)
    for _ in range(depth):
        rule = {"all": [rule]}
    return rule


RULES = {
    "not a tree": (5, "rule"),
    "null": (None, "rule"),
    "list": ([], "rule"),
    "unknown group": ({"some": []}, "rule"),
    "two groups": ({"all": [], "any": []}, "rule"),
    "no list": ({"all": {}}, "all"),
    "empty or": ({"all": [{"any": []}]}, "all[0]"),
    "unknown condition": ({"all": [{"condition": "income"}]}, "all[0].condition"),
    "condition of a wrong type": ({"all": [{"condition": ["tag"]}]}, "all[0].condition"),
    "unknown parameter": ({"all": [leaf(how="within", days=1, sql="x")]}, "all[0].params.sql"),
    "text for a number": ({"all": [leaf(how="within", days="30")]}, "all[0].params.days"),
    "true for a number": ({"all": [leaf(how="within", days=True)]}, "all[0].params.days"),
    "too large": ({"all": [leaf(how="within", days=2**63)]}, "all[0].params.days"),
    "foreign tag": ({"all": [{"condition": "tag", "params": {"tags": ["{b}"]}}]}, "all[0].params"),
    "missing tag": ({"all": [{"condition": "tag", "params": {"tags": [999999999]}}]}, "all[0].params"),
    "too deep": (nested(8), "all[0].all[0].all[0].all[0].all[0]"),
    "too many": ({"all": [leaf(how="within", days=1)] * 51}, "all[50]"),
}


@pytest.mark.parametrize("name", RULES)
def test_rules_that_are_refused_with_the_path_of_the_fault(a, b, name):
    rule, path = RULES[name]
    if name == "foreign tag":
        rule = {"all": [{"condition": "tag", "params": {"tags": [b.tag.pk]}}]}

    answer = a.system.post("/segments/preview/", {"rule": rule})

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], [row["field"] for row in error["fields"]]) == (
        422,
        "rule_invalid",
        [path],
    )


def test_foreign_tag_in_a_rule_reads_like_a_missing_one(a, b):
    bodies = [{"rule": {"all": [{"condition": "tag", "params": {"tags": [pk]}}]}} for pk in (b.tag.pk, 999999999)]

    answers = [a.system.post("/segments/preview/", body) for body in bodies]

    assert answers[0].content == answers[1].content


def make_campaign(side, **more):
    fields = {"name": "秋季新品", "account": side.account, "state": "SENDING", "audience_count": 10, "launched_at": AT}
    return Campaign.objects.create(**({"created_at": AT, "updated_at": AT} | fields | more))


def test_campaigns_and_their_progress(a, b):
    with brand_scope(a.brand.pk):
        campaign = make_campaign(a)
        for state, reason, count in (("PENDING", "", 4), ("DELIVERED", "", 5), ("REFUSED", "43004", 1)):
            Tally.objects.create(campaign=campaign, shard=0, state=state, reason=reason, count=count)
    with brand_scope(b.brand.pk):
        foreign = make_campaign(b, name="乙牌活动")

    rows = a.system.get("/campaigns/").json()["results"]
    assert [(row["id"], row["name"], row["account"]) for row in rows] == [
        (str(campaign.public_id), "秋季新品", a.account.appid)
    ]
    progress = a.system.get(f"/campaigns/{campaign.public_id}/progress/").json()
    assert (progress["total"], progress["waiting"], progress["delivered"], progress["refused"]) == (10, 4, 5, 1)
    assert [(each["reason"], each["count"]) for each in progress["problems"]] == [("43004", 1)]
    ids = [foreign.public_id, uuid.uuid4(), uuid.uuid1(), 0, -1, "abc", "1e3", "%00", "9" * 40, campaign.pk]
    answers = [a.system.get(f"/campaigns/{each}/progress/") for each in ids]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


def test_whose_number_a_member_number_is_stays_unknown(a, b):
    """The same numbers in two brands: each key sees its own."""
    with brand_scope(b.brand.pk):
        Member.objects.filter(pk=b.member.pk).update(member_no=a.member.member_no)

    assert a.system.get(f"/members/{a.member.member_no}/").json()["name"] == "澜屿会员"
    assert b.system.get(f"/members/{a.member.member_no}/").json()["name"] == "灶山会员"
