"""A channel code gives its coupon once to each person, says why somebody got none, and costs other codes nothing."""

from __future__ import annotations

import re
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from conversations.selectors import rules_of
from coupons import services, tasks
from coupons.invariants import breaches
from coupons.models import Coupon, Move, ScanGrant, Template
from coupons.selectors.scans import KIND
from guides.selectors import guide_of
from members.models import Member
from members.services import erase_member, merge_members, set_flag
from members.services.flags import clear_flag
from tests.coupons.conftest import make_template
from tests.factories import AT, make_account, make_follower, make_guide, make_member, make_store, make_tag
from touchpoints.models import Touchpoint
from touchpoints.selectors import tally_of
from touchpoints.services import (
    archive_branch,
    create_touchpoint,
    create_touchpoints,
    mark_staff,
    plan_codes,
    record_touch,
)

LATER = AT + timedelta(hours=1)


def gives(template):
    return KIND, template.pk


def scan(code, follower, *, at=LATER, push_id=None):
    return record_touch(follower=follower, scene=code.scene, is_follow=False, at=at, push_id=push_id)


def give_all(at=LATER):
    while services.give_scan(at=at):
        pass


def came_of(member):
    return list(ScanGrant.objects.filter(member=member).order_by("pk").values_list("outcome", flat=True))


@pytest.fixture
def code(people):
    template = make_template(claimable=False, per_member=None)
    return create_touchpoint(name="门口", account=people.account, at=AT, gives=gives(template))


@pytest.mark.long(10)
def test_of_200_scans_with_20_repeats_and_5_staff_175_get_one_each(code, people):
    followers = [make_follower(people.account) for _number in range(180)]
    for number, follower in enumerate(followers[:5]):
        if number % 2:
            mark_staff(member=follower.member, at=AT)
        else:
            set_flag(member_id=follower.member_id, kind="STAFF", since=None, reason="店员", by="林澄", at=AT)
    for follower in [*followers, *followers[50:70]]:
        scan(code, follower)
    tally = tally_of(code)
    assert (tally.given, tally.waiting, dict(tally.refused)) == (0, 175, {"FLAGGED": 5})

    give_all()

    tally = tally_of(code)
    assert (tally.given, tally.waiting, dict(tally.refused)) == (175, 0, {"FLAGGED": 5})
    had = list(Coupon.objects.values_list("member_id", "way", "state"))
    assert sorted(had) == sorted((each.member_id, "SCAN", "UNUSED") for each in followers[5:])
    assert set(Move.objects.values_list("reason", flat=True)) == {"门口"}
    assert {came_of(each.member)[0] for each in followers[:5]} == {"FLAGGED"}


def test_four_packages_give_each_person_one_of_each_whatever_they_scan_again(people):
    template = make_template(claimable=False, per_member=None)
    packages = [
        create_touchpoint(name=f"包装 {number}", account=people.account, at=AT, gives=gives(template))
        for number in range(4)
    ]
    followers = [make_follower(people.account) for _number in range(40)]
    for package in packages:
        for follower in [*followers, *followers[:10]]:
            scan(package, follower)
    give_all()
    assert [tally_of(package).given for package in packages] == [40] * 4
    assert Coupon.objects.count() == 160


@pytest.mark.long(20)
def test_four_packages_of_a_batch_bring_four_tags_four_welcomes_and_one_benefit(people):
    """1,000 scans by 100 people: most of them scan several packages, each of them one more than once."""
    names = ["礼盒", "袋装", "罐装", "试用装"]
    tags = {name: make_tag(f"买过{name}") for name in names}
    everybody, template = make_tag("扫过包装"), make_template(claimable=False, per_member=1)
    plan = plan_codes(
        stores=[],
        objects=names,
        parent=None,
        welcome="感谢购买{object}",
        tags_of={name: [tags[name]] for name in names},
    )
    packages = create_touchpoints(
        plan=plan, account=people.account, parent=None, at=AT, tags=[everybody], gives=gives(template)
    )
    followers = [make_follower(people.account) for _number in range(100)]
    rules, read, wanted = rules_of(people.account.pk), defaultdict(set), defaultdict(set)
    for number, package in enumerate(packages):
        some = followers[number * 10 : number * 10 + 70]
        for follower in [*some, *some, *some, *some[:40]]:
            scan(package, follower)
            wanted[follower.member_id] |= {everybody.pk, tags[names[number]].pk}
            read[package.name] |= {content.text for content in rules.code_welcome(package.scene, LATER).contents}
    give_all()

    assert dict(Member.objects.filter(pk__in=wanted).values_list("pk", "tag_ids")) == {
        pk: sorted(each) for pk, each in wanted.items()
    }
    assert read == {name: {f"感谢购买{name}"} for name in names}
    assert sorted(Coupon.objects.values_list("member_id", flat=True)) == sorted(wanted)
    assert sum(tally_of(package).given for package in packages) == 100


def test_a_replayed_push_a_second_scan_and_a_merge_give_no_second(code, people):
    follower, other = make_follower(people.account), make_follower(people.account)
    scan(code, follower, push_id=7)
    give_all()
    assert scan(code, follower, push_id=7) is None
    scan(code, follower, push_id=8)
    scan(code, other)  # still to be given when the two become one
    merge_members(kept=other.member, merged=follower.member, evidence="test", at=LATER)
    give_all()
    assert came_of(other.member) == ["MERGED"]
    other.refresh_from_db()
    scan(code, other, push_id=9)
    give_all()
    assert Coupon.objects.filter(member=other.member).count() == 1


def test_who_got_none_is_told_why_and_gets_it_by_the_next_scan(people):
    template = make_template(claimable=False, per_member=1, total=1)
    code = create_touchpoint(name="门口", account=people.account, at=AT, gives=gives(template))
    first, late, barred, gone = (make_follower(people.account) for _number in range(4))
    set_flag(member_id=barred.member_id, kind="BLOCKED", since=None, reason="刷券", by="林澄", at=AT)
    for follower in (first, late, barred, gone):
        scan(code, follower)
    erase_member(member=gone.member, reason="本人要求", at=LATER)
    give_all()
    outcomes = [came_of(each.member) for each in (first, late, barred, gone)]
    assert outcomes == [["GIVEN"], ["NONE_LEFT"], ["FLAGGED"], ["GONE"]]

    Template.objects.filter(pk=template.pk).update(total=5)
    clear_flag(member_id=barred.member_id, kind="BLOCKED", reason="误标", by="林澄", at=LATER)
    give_all()
    assert Coupon.objects.count() == 1
    for follower in (late, barred):
        scan(code, follower, at=LATER + timedelta(minutes=5))
    give_all()
    assert [came_of(each.member) for each in (late, barred)] == [["GIVEN"], ["GIVEN"]]
    services.stop_template(template_id=template.pk, at=LATER)
    newcomer = make_follower(people.account)
    scan(code, newcomer)
    give_all()
    assert came_of(newcomer.member) == ["CLOSED"]


@pytest.mark.parametrize("how", ["paused", "archived", "over"])
def test_a_code_that_is_not_in_use_sets_nothing_off(code, people, how):
    store = make_store("SH009", "上海长宁店")
    guide, tag = make_guide(store, touchpoint=code), make_tag()
    code.tags.create(tag=tag)
    Touchpoint.objects.filter(pk=code.pk).update(store=store)
    if how == "archived":
        archive_branch(touchpoint=code, at=AT)
    else:
        Touchpoint.objects.filter(pk=code.pk).update(
            **({"is_active": False} if how == "paused" else {"ends_at": LATER})
        )
    follower = make_follower(people.account)

    touch = scan(code, follower, at=LATER)

    member = Member.objects.get(pk=follower.member_id)
    assert touch.touchpoint == code
    assert (member.tag_ids, member.store, guide_of(member.pk), came_of(member)) == ([], None, None, [])
    if how == "over":
        scan(code, follower, at=LATER - timedelta(seconds=1))
        assert (guide_of(member.pk).staff_no, came_of(member)) == (guide.staff_no, [""])


def test_a_code_without_a_benefit_asks_nothing_of_coupons(code, people):
    plain = create_touchpoint(name="柜台", account=people.account, at=AT)
    one, other = make_follower(people.account), make_follower(people.account)
    with CaptureQueriesContext(
        connection,
    ) as without:
        scan(plain, one)
    with CaptureQueriesContext(connection) as with_one:
        scan(code, other)
    assert not [row["sql"] for row in without if "coupons_" in row["sql"]]
    assert len(with_one) == len(without) + 1


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_give_everybody_one(brand):
    with brand_scope(brand.pk):
        account = make_account()
        codes = [
            create_touchpoint(
                name=f"码 {number}",
                account=account,
                at=AT,
                gives=gives(make_template(per_member=None, claimable=False)),
            )
            for number in range(2)
        ]
        members = [make_member(account) for _number in range(12)]
        for code in codes:
            for member in members:
                scan(code, member.followers.get())

    def work(_number):
        try:
            tasks.give_scans(brand.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))

    with brand_scope(brand.pk):
        assert [tally_of(code).given for code in codes] == [12, 12]
        assert Coupon.objects.count() == 24
        assert breaches() == []


def test_the_pages_and_other_systems_say_what_was_given_and_what_not(ours, theirs, as_owner, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    with brand_scope(theirs.brand.pk):
        make_template(name="灶上的券")
    with brand_scope(ours.brand.pk):
        mine = make_template(name="澜见面礼", claimable=False, total=1)
        stopped = make_template(name="澜停发券", claimable=False, active=False)
        code = create_touchpoint(name="澜门口", account=ours.account, at=AT)
        people = [make_follower(ours.account) for _number in range(2)]
    address = f"/b/lanyu/touchpoints/touchpoint/{code.pk}/change/"
    form = as_owner.get(address).content.decode()
    assert f'value="coupon:{mine.pk}"' in form
    assert "灶上的券" not in form
    assert stopped.name not in form

    sent = {"name": code.name, "account": code.account_id, "gives": f"coupon:{mine.pk}", "is_active": "on"}
    answer = as_owner.post(address, sent)
    assert answer.status_code == 302, answer.content.decode()
    refused = as_owner.post(address, sent | {"gives": f"coupon:{mine.pk + 999}"})
    assert refused.status_code == 200
    with brand_scope(ours.brand.pk):
        code.refresh_from_db()
        assert (code.benefit_kind, code.benefit_id) == gives(mine)
        for follower in people:
            scan(code, follower, at=AT)
        give_all(AT)

    said = re.sub(r"\s+", " ", as_owner.get(address).content.decode())
    assert "澜见面礼" in said
    assert re.search(r'data-testid="benefit">.*?Given <strong>1</strong>.*?None were left <strong>1</strong>', said)
    assert "All coupons of this template are given" in said
    assert "no coupon: None were left" in said
    card = as_owner.get(f"/b/lanyu/members/member/{people[1].member_id}/change/").content.decode()
    assert "“澜门口” did not give “澜见面礼”" in card
