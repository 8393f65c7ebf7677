"""Followers and tags in step with WeChat, against the simulated one over real HTTP."""

import pytest
from django.test import Client

from accounts.tenancy import brand_scope
from members.models import Follower, Member, MemberTag, RemoteTag, RemoteTagging, Tag, TagGroup
from members.services import (
    change_tag,
    fetch_followers,
    followers,
    record_mini_program_user,
    refresh_due,
    save_tag_group,
    sync_tags,
    tag_members,
    untag_members,
)
from tests.factories import AT, make_account, make_staff, make_tag
from wechat_gateway import calls
from wechat_gateway.answers import Answer, Outcome


@pytest.fixture
def crowd(brand, simulator):
    """An account with 120 followers that we know, and a tag that is kept in step."""
    with brand_scope(brand.pk):
        account = make_account()
        tag = make_tag(sync=True)
    simulator.know(account)
    openids = simulator.crowd(account, 120)
    fetch_followers(brand.pk, account.pk, at=AT)
    return {"account": account, "tag": tag, "openids": openids}


def tagged_at_wechat(simulator, account, tag):
    people = simulator.get(f"/_sim/people?appid={account.appid}&limit=1000")["people"]
    account_tags = {row["name"]: row["id"] for row in simulator.get(f"/_sim/accounts/{account.appid}")["tags"]}
    return {
        person["accounts"][account.appid]["openid"]
        for person in people
        if account_tags.get(tag.name) in person["accounts"][account.appid]["tags"]
    }


def tagged_here(tag):
    members = MemberTag.objects.filter(tag=tag).values("member_id")
    return set(Follower.objects.filter(member_id__in=members).values_list("openid", flat=True))


def tag_here(crowd, openids):
    members = Follower.objects.filter(openid__in=openids).values_list("member_id", flat=True)
    tag_members(member_ids=list(members), tag_ids=[crowd["tag"].pk], source="test", at=AT)


def test_every_follower_is_taken_over_once(brand, crowd):
    assert fetch_followers(brand.pk, crowd["account"].pk, at=AT) == 0
    with brand_scope(brand.pk):
        assert set(Follower.objects.filter(subscribed=True).values_list("openid", flat=True)) == set(crowd["openids"])
        assert Member.objects.filter(subscribed=True).count() == 120


def test_unionid_of_the_profile_ties_mini_program_and_follower(brand, crowd):
    with brand_scope(brand.pk):
        follower = Follower.objects.first()
        member = record_mini_program_user(
            appid="wxmini", openid="oMini", unionid=follower.unionid, subject="subject", at=AT
        )

        assert member.pk == follower.member_id


def test_profile_that_could_not_be_read_stays_due(brand, crowd, simulator):
    with brand_scope(brand.pk):
        Follower.objects.update(profile_due_at=AT)
    simulator.fault(kind="errcode", errcode=-1, appid=crowd["account"].appid, path="/cgi-bin/user/info/batchget")
    refresh_due(brand.pk, at=AT)
    with brand_scope(brand.pk):
        assert Follower.objects.filter(profile_due_at__gt=AT).count() == 120


def scripted(monkeypatch, pages):
    """WeChat's list of followers as somebody writes it: {cursor: (openids, next cursor)}. Gives the cursors asked for."""
    asked = []

    def list_followers(_account, *, after="", at=None):
        asked.append(after)
        assert len(asked) < 50, "the list never ends"
        openids, following = pages[after] if isinstance(pages, dict) else pages(after)
        told = {"total": 7 * len(asked), "count": len(openids), "data": {"openid": openids}, "next_openid": following}
        return Answer(Outcome.ACCEPTED, data=told)

    monkeypatch.setattr(calls, "list_followers", list_followers)
    return asked


@pytest.fixture
def listed(brand, simulator):
    """An account with followers at WeChat of whom we know nothing yet."""
    with brand_scope(brand.pk):
        account = make_account()
    simulator.know(account)
    return account, simulator.crowd(account, 9)


def test_list_whose_cursors_go_in_a_ring_ends_with_everybody(brand, listed, monkeypatch):
    account, openids = listed
    ring = {"": (openids[:3], "A"), "A": (openids[3:6], "B"), "B": (openids[6:], "A")}
    asked = scripted(monkeypatch, ring)

    assert fetch_followers(brand.pk, account.pk, at=AT) == 9

    assert asked == ["", "A", "B"]
    with brand_scope(brand.pk):
        assert sorted(Follower.objects.values_list("openid", flat=True)) == sorted(openids)


def test_list_whose_cursors_never_repeat_ends(brand, listed, monkeypatch):
    account, openids = listed
    monkeypatch.setattr(followers, "MAX_PAGES", 5)
    asked = scripted(monkeypatch, lambda after: (openids, after + "x"))

    assert fetch_followers(brand.pk, account.pk, at=AT) == 9

    assert len(asked) == 5


def test_repeated_and_odd_openids_of_the_list_are_one_follower_each(brand, listed, monkeypatch):
    account, openids = listed
    page = [*openids[:4], *openids[:4], openids[4], 7, None, "", ["x"], "o" * 65, "o\x00x", *openids[2:]]
    scripted(monkeypatch, {"": (page * 770, "")})  # more than the 10,000 of a page as well

    assert fetch_followers(brand.pk, account.pk, at=AT) == 9

    with brand_scope(brand.pk):
        assert sorted(Follower.objects.values_list("openid", flat=True)) == sorted(openids)


@pytest.mark.parametrize("data", [{"data": []}, {"data": {"openid": "abc"}}, {"data": {"openid": None}}, {"data": 5}])
def test_list_in_another_shape_brings_nobody(brand, listed, monkeypatch, data):
    monkeypatch.setattr(calls, "list_followers", lambda *_, **__: Answer(Outcome.ACCEPTED, data=data))

    assert fetch_followers(brand.pk, listed[0].pk, at=AT) == 0


ODD_PROFILES = {
    "no name": {"nickname": None},
    "only that they left": "gone",
    "control characters": {"subscribe_scene": "ADD_SCENE\x00\x07_QR", "nickname": "\x01\x00", "unionid": "u\x00nion"},
    "moments of another kind": {"subscribe_time": "soon"},
    "moments nobody lives in": {"subscribe_time": 10**15},
    "moment as null": {"subscribe_time": None},
    "unionid as a number": {"unionid": 12345},
    "unionid without end": {"unionid": "u" * 300},
    "scene as a list": {"subscribe_scene": ["x"]},
    "subscribe as text": {"subscribe": "1"},
}


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_odd_profiles_are_kept_by_rule_and_harm_no_others(brand, listed, simulator, monkeypatch, known):
    """OB41: every odd profile stands among the right ones of one answer."""
    account, _ = listed
    people = simulator.crowd(account, len(ODD_PROFILES) + 2)
    odd = dict(zip(people[1:-1], ODD_PROFILES, strict=True))
    if known:
        fetch_followers(brand.pk, account.pk, at=AT)
    real = calls.get_users

    def get_users(*args, **more):
        answer = real(*args, **more)
        for row in answer.data["user_info_list"]:
            change = ODD_PROFILES.get(odd.get(row["openid"]), {})
            if change == "gone":
                openid = row["openid"]
                row.clear()
                change = {"subscribe": 0, "openid": openid}
            row.update(change)
        answer.data["user_info_list"] += ["x", None, {"subscribe": 1}, {"openid": 5, "subscribe": 1}]
        return answer

    monkeypatch.setattr(calls, "get_users", get_users)
    with brand_scope(brand.pk):
        Follower.objects.update(profile_due_at=AT)
    followers.refresh_profiles(brand.pk, account, people, at=AT)

    with brand_scope(brand.pk):
        rows = {row.openid: row for row in Follower.objects.filter(openid__in=people)}
    gone = next(openid for openid, name in odd.items() if name == "only that they left")
    assert {openid for openid, row in rows.items() if not row.subscribed} == {gone}
    assert set(rows) == set(people)
    assert all(row.profile_due_at is None for row in rows.values())
    kept = {name: rows[openid] for openid, name in odd.items()}
    assert kept["control characters"].follow_scene == "ADD_SCENE_QR"
    assert known or {name for name, row in kept.items() if not row.unionid} == {
        "only that they left",
        "control characters",
        "unionid as a number",
        "unionid without end",
    }


@pytest.mark.parametrize("whose", ["nobody's", "another's"])
def test_unionid_that_changes_is_told_and_joins_nobody(brand, crowd, monkeypatch, caplog, whose):
    """OB41: the person keeps both, and whoever runs the product hears of it."""
    account, openids = crowd["account"], crowd["openids"]
    with brand_scope(brand.pk):
        follower, other = Follower.objects.filter(openid__in=openids[:2]).order_by("pk")
        before = follower.unionid
        after = "uAnother" if whose == "nobody's" else other.unionid
    assert before
    row = {"openid": follower.openid, "subscribe": 1, "unionid": after}
    answer = Answer(Outcome.ACCEPTED, data={"user_info_list": [row]})
    monkeypatch.setattr(calls, "get_users", lambda *_, **__: answer)
    followers.refresh_profiles(brand.pk, account, [follower.openid], at=AT)

    told = [record for record in caplog.records if "unionid" in record.message]
    assert [(record.levelname, record.follower) for record in told] == [("ERROR", follower.pk)]
    assert before not in caplog.text
    assert after not in caplog.text
    with brand_scope(brand.pk):
        again = Follower.objects.get(pk=follower.pk)
        assert (again.unionid, again.member_id) == (after, follower.member_id)
        assert Follower.objects.get(pk=other.pk).member_id == other.member_id


def test_tags_set_here_reach_wechat_in_batches_of_fifty(brand, crowd, simulator):
    with brand_scope(brand.pk):
        tag_here(crowd, crowd["openids"])
    result = sync_tags(brand.pk, crowd["account"].pk, at=AT)
    tagging = simulator.get(f"/_sim/calls?appid={crowd['account'].appid}&path=/cgi-bin/tags/members/batchtagging")

    assert (result.pushed, result.problems) == (120, [])
    assert tagged_at_wechat(simulator, crowd["account"], crowd["tag"]) == set(crowd["openids"])
    assert len(tagging["calls"]) == 3


def test_tags_set_at_wechat_come_back(brand, crowd, simulator):
    sync_tags(brand.pk, crowd["account"].pk, at=AT)
    chosen = crowd["openids"][:7]
    set_at_wechat(brand, crowd, simulator, chosen)
    result = sync_tags(brand.pk, crowd["account"].pk, at=AT)
    with brand_scope(brand.pk):
        assert tagged_here(crowd["tag"]) == set(chosen)
        assert result.taken_over == 7


def set_at_wechat(brand, crowd, simulator, openids, what="batchtagging"):
    """An operator tags in WeChat's own console: a call that does not come from our records."""
    from wechat_gateway import calls

    with brand_scope(brand.pk):
        remote = RemoteTag.objects.get(tag=crowd["tag"])
    call = {"batchtagging": calls.tag_followers, "batchuntagging": calls.untag_followers}[what]
    assert call(crowd["account"], remote.remote_id, openids, at=AT).ok


def test_removals_travel_both_ways(brand, crowd, simulator):
    with brand_scope(brand.pk):
        tag_here(crowd, crowd["openids"][:10])
    sync_tags(brand.pk, crowd["account"].pk, at=AT)
    set_at_wechat(brand, crowd, simulator, crowd["openids"][:3], "batchuntagging")
    with brand_scope(brand.pk):
        members = Follower.objects.filter(openid__in=crowd["openids"][3:5]).values_list("member_id", flat=True)
        untag_members(member_ids=list(members), tag_ids=[crowd["tag"].pk])
    sync_tags(brand.pk, crowd["account"].pk, at=AT)
    with brand_scope(brand.pk):
        assert tagged_here(crowd["tag"]) == set(crowd["openids"][5:10])
    assert tagged_at_wechat(simulator, crowd["account"], crowd["tag"]) == set(crowd["openids"][5:10])


def test_a_day_without_wechat_loses_no_change_of_either_side(brand, crowd, simulator):
    with brand_scope(brand.pk):
        tag_here(crowd, crowd["openids"][:10])
    sync_tags(brand.pk, crowd["account"].pk, at=AT)
    set_at_wechat(brand, crowd, simulator, crowd["openids"][10:20])
    outage = simulator.fault(kind="http_status", status=502, appid=crowd["account"].appid)
    with brand_scope(brand.pk):
        tag_here(crowd, crowd["openids"][20:30])
        members = Follower.objects.filter(openid__in=crowd["openids"][:5]).values_list("member_id", flat=True)
        untag_members(member_ids=list(members), tag_ids=[crowd["tag"].pk])
    for _ in range(3):
        assert sync_tags(brand.pk, crowd["account"].pk, at=AT).problems
    simulator.delete(f"/_sim/faults/{outage.get('id') or outage['name']}")
    sync_tags(brand.pk, crowd["account"].pk, at=AT)

    expected = set(crowd["openids"][5:30])
    with brand_scope(brand.pk):
        assert tagged_here(crowd["tag"]) == expected
        assert RemoteTagging.objects.count() == 25
    assert tagged_at_wechat(simulator, crowd["account"], crowd["tag"]) == expected


def test_outage_in_the_middle_of_pushing_is_healed_by_the_next_run(brand, crowd, simulator):
    with brand_scope(brand.pk):
        tag_here(crowd, crowd["openids"])
    simulator.fault(
        kind="errcode",
        errcode=-1,
        appid=crowd["account"].appid,
        after_calls=1,
        path="/cgi-bin/tags/members/batchtagging",
        count=1,
    )
    first = sync_tags(brand.pk, crowd["account"].pk, at=AT)
    second = sync_tags(brand.pk, crowd["account"].pk, at=AT)

    assert first.problems
    assert (first.pushed + second.pushed, second.problems) == (120, [])
    assert tagged_at_wechat(simulator, crowd["account"], crowd["tag"]) == set(crowd["openids"])


def test_one_follower_who_left_does_not_keep_the_others_from_their_tag(brand, crowd, simulator):
    people = simulator.get(f"/_sim/people?appid={crowd['account'].appid}&limit=1000")["people"]
    gone = people[0]
    with brand_scope(brand.pk):
        tag_here(crowd, crowd["openids"])
    simulator.act(gone["id"], "unfollow", crowd["account"].appid)
    sync_tags(brand.pk, crowd["account"].pk, at=AT)

    left = set(crowd["openids"]) - {gone["accounts"][crowd["account"].appid]["openid"]}
    assert tagged_at_wechat(simulator, crowd["account"], crowd["tag"]) == left


def test_tag_made_at_wechat_appears_here(brand, crowd, simulator):
    simulator.post("/_sim/world", accounts=[{"appid": crowd["account"].appid, "tags": ["门店老客"]}])
    sync_tags(brand.pk, crowd["account"].pk, at=AT)
    with brand_scope(brand.pk):
        assert Tag.objects.get(name="门店老客").sync


def names_at_wechat(account):
    rows = calls.list_tags(account, at=AT).data["tags"]
    return [row["name"] for row in rows if row["id"] >= 100]


def declare(brand, direction):
    with brand_scope(brand.pk):
        save_tag_group(group=TagGroup.objects.get(name="门店"), name="门店", direction=direction, at=AT)


@pytest.mark.parametrize("direction", ["BOTH", "PUSH", "PULL"])
def test_a_new_name_reaches_the_other_side_and_where_both_are_new_the_direction_decides(
    brand, crowd, simulator, direction
):
    account, tag = crowd["account"], crowd["tag"]
    with brand_scope(brand.pk):
        change_tag(tag=tag, group="门店", at=AT)
    sync_tags(brand.pk, account.pk, at=AT)
    declare(brand, direction)

    def here():
        with brand_scope(brand.pk):
            return Tag.objects.get(pk=tag.pk).name

    def renamed(ours=None, theirs=None):
        with brand_scope(brand.pk):
            remote_id = RemoteTag.objects.get().remote_id
            if ours:
                change_tag(tag=tag, name=ours, at=AT)
        if theirs:
            assert calls.rename_tag(account, remote_id, theirs, at=AT).ok
        sync_tags(brand.pk, account.pk, at=AT)
        assert names_at_wechat(account) == [here()]
        return here()

    before = here()
    assert renamed(ours="新名一") == (before if direction == "PULL" else "新名一")
    assert renamed(theirs="新名二") == ("新名二" if direction != "PUSH" else "新名一")
    assert renamed(ours="新名三", theirs="新名四") == ("新名四" if direction == "PULL" else "新名三")


def test_a_name_from_wechat_that_another_tag_has_is_told_and_changes_nothing(brand, crowd, simulator):
    account, tag = crowd["account"], crowd["tag"]
    sync_tags(brand.pk, account.pk, at=AT)
    with brand_scope(brand.pk):
        before = Tag.objects.get(pk=tag.pk).name
        make_tag("已有")
        assert calls.rename_tag(account, RemoteTag.objects.get().remote_id, "已有", at=AT).ok
    found = sync_tags(brand.pk, account.pk, at=AT)
    with brand_scope(brand.pk):
        assert Tag.objects.get(pk=tag.pk).name == before
    assert any(problem.startswith(before) for problem in found.problems)


@pytest.mark.parametrize("direction", ["PUSH", "PULL"])
def test_declared_direction_decides_where_both_sides_differ(brand, crowd, simulator, direction):
    """Both sides change other people; afterwards both are as the side says whose word counts."""
    account, ours, theirs = crowd["account"], crowd["openids"][:3], crowd["openids"][2:5]
    with brand_scope(brand.pk):
        change_tag(tag=crowd["tag"], group="门店", at=AT)
    sync_tags(brand.pk, account.pk, at=AT)
    declare(brand, direction)
    with brand_scope(brand.pk):
        remote_id = RemoteTag.objects.get().remote_id
        tag_here(crowd, ours)
    assert calls.tag_followers(account, remote_id, theirs, at=AT).ok
    for _ in range(2):
        sync_tags(brand.pk, account.pk, at=AT)

    expected = set(ours if direction == "PUSH" else theirs)
    with brand_scope(brand.pk):
        assert (tagged_here(crowd["tag"]), tagged_at_wechat(simulator, account, crowd["tag"])) == (expected, expected)


@pytest.mark.parametrize("direction", ["BOTH", "PUSH", "PULL"])
def test_a_tag_that_wechat_has_no_more_keeps_its_people_and_only_our_word_makes_it_again(
    brand, crowd, simulator, direction
):
    account, tag, people = crowd["account"], crowd["tag"], set(crowd["openids"][:3])
    with brand_scope(brand.pk):
        change_tag(tag=tag, group="门店", at=AT)
        tag_here(crowd, people)
    sync_tags(brand.pk, account.pk, at=AT)
    declare(brand, direction)
    with brand_scope(brand.pk):
        new = make_tag("新", group="门店", sync=True)
        tag_members(member_ids=[Follower.objects.earliest("pk").member_id], tag_ids=[new.pk], source="test", at=AT)
        assert calls.delete_tag(account, RemoteTag.objects.get().remote_id, at=AT).ok
    for _ in range(3):
        sync_tags(brand.pk, account.pk, at=AT)

    pulled = direction == "PULL"
    assert sorted(names_at_wechat(account)) == ([] if pulled else sorted([tag.name, "新"]))
    staff = Client(headers={"accept-language": "en"})
    staff.cookies["django_language"] = "en"
    with brand_scope(brand.pk):
        staff.force_login(make_staff("tags", "OWNER"), backend="django.contrib.auth.backends.ModelBackend")
        assert (tagged_here(tag), len(tagged_here(new))) == (people, 1)
    if not pulled:
        assert tagged_at_wechat(simulator, account, tag) == people
    said = "WeChat has no such tag. People here keep it until somebody takes it off them."
    for path in (f"/b/{brand.slug}/members/tag/", f"/b/{brand.slug}/members/tag/{tag.pk}/change/"):
        assert (said in staff.get(path).content.decode()) == pulled
