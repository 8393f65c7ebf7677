"""Groupings: everybody in one stage, snapshots that never change, and moves that add up."""

import json
from datetime import timedelta
from urllib.parse import parse_qs, urlparse

import pytest
from django.db import DatabaseError, transaction
from django.test import Client

from accounts.models import Brand
from accounts.tenancy import brand_scope
from members.errors import GroupingInvalid, RuleInvalid
from members.models import Grouping, Member, Snapshot, SnapshotMember, StageMember
from members.picks import names_of
from members.placing import counted
from members.segments import matching
from members.selectors import snapshots
from members.services import (
    clear_flag,
    merge_members,
    save_grouping,
    save_segment,
    set_flag,
    take_monthly,
    take_snapshot,
    track_stages,
)
from members.stands import counts as stage_counts
from members.stands import moves
from tests.factories import AT, make_account, make_member, make_staff
from tests.members.kept import fact, follows

DAY = timedelta(days=1)


def heard_of(days):
    return {"condition": "last_interaction", "params": {"how": "within", "days": days}}


@pytest.fixture
def stages(in_brand):
    """Active within a week, within a month; the second fits the first as well."""
    return [save_segment(name=f"{days} 天内", rule={"all": [heard_of(days)]}, at=AT) for days in (7, 30)]


@pytest.fixture
def people(in_brand):
    """Somebody heard of 1, 6, 20 and 60 days ago, and one who never was."""
    account = make_account()
    found = {str(days): make_member(account, last_interaction_at=AT - days * DAY) for days in (1, 6, 20, 60)}
    return found | {"never": make_member(account, last_interaction_at=None)}


def grouped(stages, **more):
    return save_grouping(name="活跃度", segment_ids=[each.pk for each in stages], at=AT, **more)


def test_everybody_stands_in_the_first_stage_that_fits(stages, people):
    snapshot = take_snapshot(grouping=grouped(stages), at=AT)
    placed = dict(SnapshotMember.objects.filter(snapshot=snapshot).values_list("member_id", "stage"))

    assert {name: placed[each.pk] for name, each in people.items()} == {"1": 0, "6": 0, "20": 1, "60": -1, "never": -1}
    assert snapshot.counts == [2, 1, 2]
    assert [each["name"] for each in snapshot.stages] == ["7 天内", "30 天内"]


def test_a_snapshot_is_offered_with_the_name_of_its_grouping(stages, people):
    snapshot = take_snapshot(grouping=grouped(stages), at=AT)

    assert names_of("snapshots", [snapshot.pk]) == {snapshot.pk: "活跃度 · 2025-06-01 08:00"}


def test_moves_add_up_to_both_snapshots(stages, people):
    grouping = grouped(stages)
    first = take_snapshot(grouping=grouping, at=AT)
    new = make_member(make_account("另一个号"), last_interaction_at=AT + 4 * DAY)
    merge_members(kept=people["1"], merged=people["60"], evidence="t", at=AT)
    second = take_snapshot(grouping=grouping, at=AT + 5 * DAY)
    found = {(move.before, move.after): move.people for move in moves(first, second)}

    # 1 day ago stays, 6 days ago falls, 20 stays, never stays; one was merged away, one is new
    assert found == {(0, 0): 1, (0, 1): 1, (1, 1): 1, (-1, -1): 1, (-1, None): 1, (None, 0): 1}
    assert sum(people for (start, _end), people in found.items() if start is not None) == sum(first.counts)
    assert sum(people for (_start, end), people in found.items() if end is not None) == sum(second.counts)
    assert new.pk in SnapshotMember.objects.filter(snapshot=second).values_list("member_id", flat=True)


def test_snapshot_stays_what_it_was_whatever_changes_later(stages, people):
    grouping = grouped(stages)
    first = take_snapshot(grouping=grouping, at=AT)
    save_segment(name="3 天内", rule={"all": [heard_of(3)]}, at=AT, segment=stages[0])
    Member.objects.update(last_interaction_at=None)
    second = take_snapshot(grouping=grouping, at=AT)
    kept = Snapshot.objects.get(pk=first.pk)

    assert (kept.counts, kept.stages[0]["rule"]) == ([2, 1, 2], {"all": [heard_of(7)]})
    assert (second.counts, second.version, kept.version) == ([0, 0, 5], 2, 1)
    with pytest.raises(DatabaseError), transaction.atomic():
        SnapshotMember.objects.filter(snapshot=first).update(stage=0)
    with pytest.raises(DatabaseError), transaction.atomic():
        SnapshotMember.objects.filter(snapshot=first).delete()


def test_month_gets_one_snapshot_in_the_brands_zone(brand):
    with brand_scope(brand.pk):
        segments = [save_segment(name=str(days), rule={"all": [heard_of(days)]}, at=AT) for days in (7, 30)]
        grouping = grouped(segments)
        save_grouping(name="不按月", segment_ids=[each.pk for each in segments], at=AT, is_monthly=False)
    in_may = AT.replace(month=5, day=31, hour=15)  # 23:00 on the 31st in Shanghai
    assert [take_monthly(brand.pk, at=at) for at in (in_may, in_may + timedelta(hours=1), AT, AT + DAY)] == [1, 1, 0, 0]
    with brand_scope(brand.pk):
        months = [str(each.month) for each in snapshots(grouping.pk)]
    assert months == ["2025-06-01", "2025-05-01"]


def test_months_and_birthdays_are_of_a_brand_elsewhere(brand):
    """Workers and the API have the zone of the settings; it is still yesterday in Honolulu."""
    Brand.objects.filter(pk=brand.pk).update(timezone="Pacific/Honolulu")
    july = AT.replace(month=7, day=1, hour=4)  # noon in Shanghai, 18:00 on 30 June there
    today = {"condition": "birthday", "params": {"days": 0}}
    month = {"condition": "birthday_month", "params": {"month": "this"}}
    with brand_scope(brand.pk):
        account = make_account()
        there, _here = (make_member(account, birth_mmdd=day) for day in (630, 701))
        segments = [
            save_segment(name=str(number), rule={"all": [rule]}, at=AT) for number, rule in enumerate((today, month))
        ]
        for rule in (today, month):
            assert list(matching({"all": [rule]}, at=july).values_list("pk", flat=True)) == [there.pk]
        grouping = grouped(segments)
    take_monthly(brand.pk, at=july)
    with brand_scope(brand.pk):
        assert [str(each.month) for each in snapshots(grouping.pk)] == ["2025-06-01"]


def test_grouping_that_names_what_is_gone_says_so_and_leaves_the_others(brand):
    with brand_scope(brand.pk):
        fine, broken = (save_segment(name=name, rule={"all": [heard_of(7)]}, at=AT) for name in ("好", "坏"))
        third = save_segment(name="三", rule={"all": [heard_of(9)]}, at=AT)
        bad = save_grouping(name="坏的", segment_ids=[fine.pk, broken.pk], at=AT)
        save_grouping(name="好的", segment_ids=[fine.pk, third.pk], at=AT)
        type(broken).objects.filter(pk=broken.pk).update(rule={"all": [{"condition": "gone"}]})
    assert take_monthly(brand.pk, at=AT) == 1
    with brand_scope(brand.pk):
        assert (bool(Grouping.objects.get(pk=bad.pk).problem), Snapshot.objects.count()) == (True, 1)


def test_faulty_grouping_names_the_field(stages, in_brand):
    ids = [each.pk for each in stages]
    grouped(stages)
    for given, field in (
        ({"name": " ", "segment_ids": ids}, "name"),
        ({"name": "x" * 41, "segment_ids": ids}, "name"),
        ({"name": "活跃度", "segment_ids": ids}, "name"),
        ({"name": "x", "segment_ids": ids[:1]}, "stages"),
        ({"name": "x", "segment_ids": ids * 2}, "stages"),
        ({"name": "x", "segment_ids": [*ids, 10**9]}, "stages"),
    ):
        with pytest.raises(GroupingInvalid) as refused:
            save_grouping(at=AT, **given)
        assert refused.value.field == field


def test_page_takes_a_snapshot_and_shows_moves_of_this_brand_only(brand, other_brand):
    for each in (other_brand, brand):
        with brand_scope(each.pk):
            segments = [
                save_segment(name=f"{each.slug}{days}", rule={"all": [heard_of(days)]}, at=AT) for days in (7, 30)
            ]
            grouping = save_grouping(name=f"组{each.slug}", segment_ids=[row.pk for row in segments], at=AT)
            make_member(make_account(), last_interaction_at=AT)
            take_snapshot(grouping=grouping, at=AT)
            staff = make_staff(f"{each.slug}-marketer", "MARKETER")
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    address = f"/b/{brand.slug}/segments/groupings/{grouping.pk}/"

    assert client.post(address).status_code == 302
    page = client.get(address).content.decode()
    assert (page.count('data-testid="matrix"'), brand.slug in page, f"组{other_brand.slug}" in page) == (1, True, False)
    listed = client.get(f"/b/{brand.slug}/segments/groupings/").content.decode()
    assert (f"组{brand.slug}" in listed, f"组{other_brand.slug}" in listed) == (True, False)
    with brand_scope(brand.pk):
        chosen = [str(pk) for pk in Grouping.objects.get(pk=grouping.pk).stages]
    turned = {"name": "新名", "stage": [*chosen[::-1], ""]}
    assert client.post(f"{address}change/", turned).status_code == 302
    assert client.post(f"{address}change/", {"name": "新名", "stage": chosen[:1]}).status_code == 422
    with brand_scope(brand.pk):
        row = Grouping.objects.get(pk=grouping.pk)
        assert (row.name, row.version, [str(pk) for pk in row.stages], row.is_monthly) == (
            "新名",
            2,
            chosen[::-1],
            False,
        )


def test_life_cycle_is_there_at_one_tap_and_everybody_has_a_place(brand):
    with brand_scope(brand.pk):
        staff = make_staff("marketer", "MARKETER")
        account = make_account()
        member = make_member(account, joined_at=AT, last_interaction_at=AT - 60 * DAY)
        active = make_member(account, joined_at=AT, last_interaction_at=AT - DAY)
        quiet = make_member(account, last_interaction_at=AT - 200 * DAY)
        gone = make_member(account, last_interaction_at=AT - 20 * DAY, subscribed=False)
        nobody = make_member(account, last_interaction_at=None, subscribed=False)
        save_segment(name="品牌兴趣", rule={"all": [heard_of(21)]}, at=AT)  # the brand's own word stays
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    for _ in range(2):
        assert client.post(f"/b/{brand.slug}/segments/groupings/").status_code == 302
    with brand_scope(brand.pk):
        grouping = Grouping.objects.get()
        snapshot = take_snapshot(grouping=grouping, at=AT)
        names = [each["name"] for each in snapshot.stages]
        placed = dict(SnapshotMember.objects.filter(snapshot=snapshot).values_list("member_id", "stage"))

    assert names == [
        "产品复购",
        "品牌用户",
        "转化购买",
        "行为参与",
        "产品偏好",
        "品牌兴趣",
        "品牌认知",
        "外部入口",
    ]
    assert [names[placed[each.pk]] for each in (member, active, quiet, gone, nobody)] == [
        "品牌认知",
        "行为参与",
        "品牌认知",
        "品牌兴趣",
        "外部入口",
    ]
    assert snapshot.counts[-1] == 0
    assert snapshot.stages[5]["rule"] == {"all": [heard_of(21)]}


def test_flags_restate_snapshots_moves_and_back_tests_and_give_them_back(stages, people):
    grouping = grouped(stages)
    first = take_snapshot(grouping=grouping, at=AT)
    second = take_snapshot(grouping=grouping, at=AT + 10 * DAY)
    rules = [each.rule for each in stages]

    def seen(**more):
        found = {(move.before, move.after): move.people for move in moves(first, second, **more)}
        placed = counted(rules, at=AT, **more)
        return found, stage_counts([first, second], **more), placed

    whole = seen()
    assert whole == (
        {(0, 1): 2, (1, 1): 1, (-1, -1): 2},
        {first.pk: [2, 1, 2], second.pk: [0, 3, 2]},
        [2, 1, 2],
    )
    set_flag(member_id=people["1"].pk, kind="STAFF", since=None, reason="门店店员", by="林澄", at=AT)
    set_flag(member_id=people["1"].pk, kind="TEST", since=AT, reason="试机", by="林澄", at=AT)
    set_flag(member_id=people["60"].pk, kind="BLOCKED", since=AT + 5 * DAY, reason="骚扰", by="林澄", at=AT + 6 * DAY)
    assert seen() == (
        {(0, 1): 1, (1, 1): 1, (-1, -1): 1, (-1, None): 1},
        {first.pk: [1, 1, 2], second.pk: [0, 2, 1]},
        [1, 1, 2],
    )
    assert seen(everybody=True) == whole
    clear_flag(member_id=people["1"].pk, kind="TEST", reason="离职", by="林澄", at=AT + 11 * DAY)
    clear_flag(member_id=people["1"].pk, kind="STAFF", reason="离职", by="林澄", until=AT + DAY, at=AT + 11 * DAY)
    assert seen()[1] == {first.pk: [1, 1, 2], second.pk: [0, 3, 1]}  # out of the first snapshot, back in the second
    for name, kind in (("1", "STAFF"), ("60", "BLOCKED")):
        clear_flag(member_id=people[name].pk, kind=kind, reason="离职", by="林澄", at=AT + 11 * DAY)
    assert seen() == whole


def test_a_record_that_is_part_of_another_stands_nowhere_any_more(stages, people):
    grouping = grouped(stages)
    track_stages(grouping=grouping, at=AT)
    assert StageMember.objects.count() == 5
    merge_members(kept=people["1"], merged=people["6"], evidence="t", at=AT + DAY)
    assert track_stages(grouping=grouping, at=AT + DAY) == 0
    assert set(StageMember.objects.values_list("member_id", flat=True)) == {
        person.pk for name, person in people.items() if name != "6"
    }


def test_cell_of_the_moves_opens_exactly_its_people(brand):
    with brand_scope(brand.pk):
        segments = [save_segment(name=f"{days} 天内", rule={"all": [heard_of(days)]}, at=AT) for days in (7, 30)]
        grouping = grouped(segments)
        account = make_account()
        old = [make_member(account, last_interaction_at=AT - days * DAY) for days in (1, 6, 20, 60)]
        take_snapshot(grouping=grouping, at=AT)
        make_member(account, last_interaction_at=AT + 9 * DAY)
        merge_members(kept=old[0], merged=old[3], evidence="t", at=AT)
        take_snapshot(grouping=grouping, at=AT + 10 * DAY)
        set_flag(member_id=old[1].pk, kind="TEST", since=None, reason="试机", by="林澄", at=AT)
        staff, reader = make_staff("marketer", "MARKETER"), make_staff("analyst", "ANALYST")
    client, eyes = Client(), Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    eyes.force_login(reader, backend="django.contrib.auth.backends.ModelBackend")
    address = f"/b/{brand.slug}/segments/groupings/{grouping.pk}/"

    sums = []
    for query in ({}, {"everybody": "1"}):
        rows = client.get(address, query).context["matrix"]["rows"]
        cells = [(row["name"], cell) for row in rows for cell in row["cells"] if cell["people"]]
        sums.append(sum(cell["people"] for _name, cell in cells))
        with brand_scope(brand.pk):
            for name, cell in cells:
                rule = json.loads(parse_qs(urlparse(cell["link"]).query)["rule"][0])
                gone = "gone" if cell["people"] != matching(rule, at=AT).count() else ""
                assert (gone, name) in {("", name), ("gone", "都不属于")}  # who was merged away is nobody now
    assert sums == [4, 5]
    assert "segments/new" not in eyes.get(address).content.decode()
    with brand_scope(brand.pk):
        snapshot = Snapshot.objects.order_by("pk").first()
        follows(
            [
                {"all": [{"condition": "stood", "params": {"snapshots": [snapshot.pk], "names": ["7 天内"]}}]},
                {"none": [{"condition": "stood", "params": {"snapshots": [snapshot.pk], "where": "any"}}]},
                {"all": [{"condition": "flagged", "params": {"value": "no"}}]},
            ],
            lambda at: set_flag(member_id=old[0].pk, kind="STAFF", since=None, reason="店员", by="林", at=at),
            lambda at: clear_flag(member_id=old[1].pk, kind="TEST", reason="误标", by="林", at=at),
            lambda at: make_member(account, last_interaction_at=at),
            at=AT + 20 * DAY,
        )
        with pytest.raises(RuleInvalid):
            matching(
                {"all": [{"condition": "stood", "params": {"snapshots": [snapshot.pk], "names": ["没有"]}}]}, at=AT
            )
        wanted = {"snapshots": [snapshot.pk], "names": ["7 天内"]}
        assert fact({"all": [{"condition": "stood", "params": wanted}]}, old[0], AT) == (True, "7 天内")
        assert fact({"all": [{"condition": "flagged", "params": {"value": "yes"}}]}, old[0], AT) == (True, "Works here")
