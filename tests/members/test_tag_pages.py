"""The pages and the API of tags, automatic tags, waiting tags, and why somebody is in a segment."""

import re
from datetime import timedelta

import pytest

from accounts.services import issue_api_key
from accounts.tenancy import brand_scope
from common import clock
from members.models import Member, MemberTag, PreTag, Tag, TagGroup, TagRule
from members.services import bind_phone, refresh_segment, run_rules, save_segment, save_tag_rule, tag_members
from tests.factories import AT, make_account, make_follower, make_member, make_tag
from tests.members.test_segment_pages import posted, signed_in

DAY = timedelta(days=1)
RECENT = {"all": [{"condition": "last_interaction", "params": {"how": "within", "days": 30}}]}


def html_of(answer):
    return answer.content.decode()


@pytest.fixture
def people(brand):
    """Two who were heard of this week and one who was not; the last carries the tag by hand."""
    at = clock.now()
    with brand_scope(brand.pk):
        account, tag = make_account(), make_tag("活跃", meaning="近期有互动")
        found = [
            make_member(account, name=name, last_interaction_at=at - days * DAY)
            for name, days in (("陈子涵", 1), ("吴晓明", 2), ("刘洋", 90))
        ]
        tag_members(member_ids=[found[2].pk], tag_ids=[tag.pk], source="staff: 王敏", at=at)
    return {"tag": tag, "members": found}


def test_automatic_tag_is_counted_saved_switched_and_removed(brand, people):
    client, tag = signed_in(brand), people["tag"]
    counted = html_of(client.post("/b/lanyu/tags/automatic/preview/", posted(RECENT) | {"tag": tag.pk}))
    assert re.findall(r'data-(?:tagged|untagged|held-back)="(\d+)"', counted) == ["2", "0", "0"]
    with brand_scope(brand.pk):
        assert MemberTag.objects.filter(tag=tag).count() == 1

    saved = client.post("/b/lanyu/tags/automatic/new/", posted(RECENT) | {"name": "近期活跃", "tag": tag.pk})
    assert saved.status_code == 302
    while run_rules(brand.pk, at=clock.now()):
        pass
    assert "近期活跃" in html_of(client.get("/b/lanyu/tags/automatic/"))
    assert client.get(saved["Location"]).status_code == 200
    client.post(saved["Location"], {"act": "off"})
    with brand_scope(brand.pk):
        assert (TagRule.objects.get().is_on, MemberTag.objects.filter(tag=tag).count()) == (False, 3)
    client.post(saved["Location"], {"act": "remove"})
    while run_rules(brand.pk, at=clock.now()):
        pass
    with brand_scope(brand.pk):
        left = list(MemberTag.objects.filter(tag=tag).values_list("member__name", flat=True))
        assert (left, TagRule.objects.count()) == (["刘洋"], 0)


def test_faults_of_an_automatic_tag_stand_at_their_fields(brand, other_brand, people):
    with brand_scope(other_brand.pk):
        foreign = make_tag("别家")
    client = signed_in(brand)
    for given in ({"name": "", "tag": people["tag"].pk}, {"name": "x" * 41, "tag": people["tag"].pk}):
        answer = client.post("/b/lanyu/tags/automatic/new/", posted(RECENT) | given)
        assert (answer.status_code, 'href="#segment-name"' in html_of(answer)) == (422, True)
    for tag in (foreign.pk, 10**9, "x"):
        answer = client.post("/b/lanyu/tags/automatic/new/", posted(RECENT) | {"name": "n", "tag": tag})
        assert (answer.status_code, 'href="#rule-tag"' in html_of(answer)) == (422, True)
    own = {"all": [{"condition": "tag", "params": {"how": "any", "tags": [people["tag"].pk]}}]}
    answer = client.post("/b/lanyu/tags/automatic/new/", posted(own) | {"name": "n", "tag": people["tag"].pk})
    assert (answer.status_code, 'href="#segment-tree"' in html_of(answer)) == (422, True)
    with brand_scope(brand.pk):
        assert TagRule.objects.count() == 0


def test_who_may_only_look_sees_rules_and_changes_nothing(brand, people):
    with brand_scope(brand.pk):
        rule = save_tag_rule(name="近期", tag_id=people["tag"].pk, rule=RECENT, at=AT)
    client, address = signed_in(brand, "ANALYST"), f"/b/lanyu/tags/automatic/{rule.pk}/"

    assert client.get(address).status_code == 200
    for act in ("off", "remove", ""):
        assert client.post(address, {"act": act}).status_code == 403
    assert client.get("/b/lanyu/tags/automatic/new/").status_code == 403
    assert client.get(f"/b/zaoshan/tags/automatic/{rule.pk}/").status_code == 404


def test_dictionary_is_kept_through_its_form(brand, people):
    client, tag = signed_in(brand), people["tag"]
    fields = {"name": "活跃", "group": "活跃度", "meaning": "近期有互动", "owner": "会员运营", "lasts_days": "30"}
    answer = client.post(f"/b/lanyu/members/tag/{tag.pk}/change/", fields | {"synonyms": "常客，熟客、常客"})
    assert answer.status_code == 302
    with brand_scope(brand.pk):
        row = Tag.objects.get(pk=tag.pk)
        assert (row.owner, row.lasts_days, row.synonyms, row.group) == ("会员运营", 30, ["常客", "熟客"], "活跃度")
        other = make_tag("沉睡", group="活跃度")
        tag_members(member_ids=[people["members"][2].pk], tag_ids=[other.pk], source="t", at=AT)
        group = TagGroup.objects.get(name="活跃度")
    taken = client.post("/b/lanyu/members/tag/add/", {"name": "熟客", "synonyms": ""})
    days = client.post("/b/lanyu/members/tag/add/", {"name": "新", "lasts_days": "9999", "synonyms": ""})
    assert (taken.status_code, days.status_code) == (200, 200)

    change = {"name": "活跃度", "meaning": "", "is_exclusive": "on", "direction": "BOTH"}
    refused = client.post(f"/b/lanyu/members/taggroup/{group.pk}/change/", change)
    assert (refused.status_code, "1" in html_of(refused)) == (200, True)
    done = client.post(f"/b/lanyu/members/taggroup/{group.pk}/change/", change | {"keep_newest": "on"})
    assert done.status_code == 302
    with brand_scope(brand.pk):
        assert TagGroup.objects.get().is_exclusive
        assert MemberTag.objects.filter(member=people["members"][2]).count() == 1
        assert Tag.objects.filter(name__in=["熟客", "新"]).count() == 0
    found = html_of(client.get("/b/lanyu/members/tag/?q=熟客"))
    assert ("活跃" in found, "沉睡" in found) == (True, False)


def test_person_shows_each_tag_with_meaning_source_and_end(brand, people):
    with brand_scope(brand.pk):
        member = people["members"][0]
        tag_members(
            member_ids=[member.pk], tag_ids=[people["tag"].pk], source="staff: 王敏", at=AT, expires_at=AT + 400 * DAY
        )
    page = html_of(signed_in(brand).get(f"/b/lanyu/members/member/{member.pk}/change/"))

    assert "近期有互动" in page
    assert "王敏" in page
    assert "2026-07-06" in page


def test_why_page_explains_now_and_then(brand, other_brand, people):
    client = signed_in(brand)
    with brand_scope(other_brand.pk):
        theirs = make_member(make_account(), name="陈子涵")
    with brand_scope(brand.pk):
        segment = save_segment(name="近 30 天", rule=RECENT, at=AT)
        one, silent = people["members"][0], people["members"][2]
    address = f"/b/lanyu/segments/{segment.pk}/why/"

    def verdict(**query):
        return re.findall(r'data-holds="(\w+)"', html_of(client.get(address, query)))

    assert verdict(who="陈子涵") == ["yes"]
    assert verdict(member=silent.pk) == ["no"]
    assert verdict(who="没有这个人") == []
    assert verdict(member=one.pk, at="2025-06-01T12:00") == ["no"]
    for bad in ("2025-13-45", "后天", "2999-01-01T00:00", "0001-01-01T00:00"):
        page = client.get(address, {"member": one.pk, "at": bad})
        assert (page.status_code, 'role="alert"' in html_of(page)) == (200, True)
    assert client.get(address, {"member": theirs.pk}).status_code == 404
    assert client.get(f"/b/zaoshan/segments/{segment.pk}/why/").status_code == 404


def test_why_page_says_whether_a_kept_list_has_the_person_yet(brand, people):
    client = signed_in(brand)
    with brand_scope(brand.pk):
        segment = save_segment(name="近 30 天", rule=RECENT, at=clock.now(), freshness="MINUTES")
        refresh_segment(segment=segment, at=clock.now())
        one, silent = people["members"][0], people["members"][2]
        Member.objects.filter(pk=silent.pk).update(last_interaction_at=clock.now())  # the list has not followed yet

    def kept(member):
        page = html_of(client.get(f"/b/lanyu/segments/{segment.pk}/why/", {"member": member.pk}))
        return re.findall(r'data-holds="(\w+)"', page), re.findall(r'data-testid="kept">(.*?)</p>', page)

    assert "在名单中" in kept(one)[1][0]
    holds, (said,) = kept(silent)
    assert (holds, "不在名单中" in said) == (["yes"], True)


def test_list_of_phones_waits_and_is_given_on_binding(brand):
    client = signed_in(brand)
    with brand_scope(brand.pk):
        tag = make_tag("老客")
        bind_phone(member=make_follower(make_account()).member, number="13800000001", source="t", at=AT)
    given = {"kind": "PHONE", "tag": tag.pk, "source": "老客名单"}
    bad = client.post("/b/lanyu/tags/waiting/", given | {"values": "13800000001\n12\n138"})
    assert (bad.status_code, bool(re.search(r"2[^\d<]{1,2}3", html_of(bad)))) == (422, True)
    assert client.post("/b/lanyu/tags/waiting/", given | {"values": "13800000001\n13800000002"}).status_code == 302
    with brand_scope(brand.pk):
        assert (MemberTag.objects.count(), PreTag.objects.count()) == (1, 1)
    page = html_of(client.get("/b/lanyu/tags/waiting/"))
    assert "老客名单" in page
    assert "13800000002" not in page


def test_api_says_of_each_tag_what_it_means_and_why_a_member_is_in(brand, other_brand, people, client):
    with brand_scope(brand.pk):
        _key, clear = issue_api_key(label="shop", scopes=["members.read", "segments.read"], at=AT)
        _key, narrow = issue_api_key(label="narrow", scopes=["segments.read"], at=AT)
        segment = save_segment(name="近 30 天", rule=RECENT, at=AT)
        member = people["members"][2]
    with brand_scope(other_brand.pk):
        theirs = make_member(make_account())

    def get(path, key=clear):
        return client.get(f"/api/v1/{path}", headers={"Authorization": f"Key {key}"})

    (tag,) = get(f"members/{member.member_no}/tags/").json()["results"]
    assert (tag["name"], tag["meaning"], tag["source"], tag["rules"], tag["until"]) == (
        "活跃",
        "近期有互动",
        "staff: 王敏",
        [],
        None,
    )
    why = get(f"segments/{segment.pk}/why/?member_no={member.member_no}").json()
    assert (why["holds"], why["tree"]["kind"], [part["holds"] for part in why["tree"]["parts"]]) == (
        False,
        "all",
        [False],
    )
    assert get(f"segments/{segment.pk}/why/?member_no={member.member_no}", narrow).status_code == 403
    missing = get(f"segments/{segment.pk}/why/?member_no=6000000000")
    foreign = get(f"segments/{segment.pk}/why/?member_no={theirs.member_no}")
    assert (missing.status_code, foreign.status_code) == (404, 404)
    for path in ("x", "99999999999999999999", "0"):
        assert get(f"segments/{path}/why/?member_no={member.member_no}").status_code == 404
    for moment in ("2999-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "gestern"):
        assert get(f"segments/{segment.pk}/why/?member_no={member.member_no}&at={moment}").status_code == 422
