"""Members from tables: matched, added, tagged, given their points and guide; again changes nothing; undone is before."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.roles import Role
from accounts.tenancy import brand_scope
from accounts.viewer import Viewer
from common.clock import now
from guides.models import Assignment
from imports import services
from imports.models import ImportRow
from loyalty.invariants import breaches
from loyalty.models import Account
from loyalty.selectors.points import balance_of
from members import placing
from members import services as member_services
from members.models import Identity, Member, MemberTag, ProfileValue, Tag
from members.segments import matching
from members.selectors import Wanted, visible_members
from members.selectors import people as people_listed
from tests.factories import make_account, make_follower, make_guide, make_store, make_tag
from tests.imports.conftest import csv_of, ran, undone, uploaded, verdicts

pytestmark = pytest.mark.django_db

TITLES = ("手机号", "姓名", "生日", "性别", "城市", "会员卡号", "标签", "导购工号", "期初积分", "入会日期", "来源")


def people(count, start=0):
    return [
        (
            f"1380000{number:04d}",
            f"陈{number}",
            "1990-08-17",
            "女" if number % 2 else "男",
            "上海",
            f"C{number:06d}",
            "老客；高活",
            "LY0007",
            str(100 + number),
            "2023-05-01",
            "老POS",
        )
        for number in range(start, start + count)
    ]


def counts():
    """What undoing restores."""
    return {
        "members": Member.objects.filter(merged_into=None, erased_at=None).count(),
        "joined": Member.objects.exclude(joined_at=None).count(),
        "identities": Identity.objects.count(),
        "taggings": MemberTag.objects.count(),
        "guided": Assignment.objects.filter(until=None).count(),
        "words": ProfileValue.objects.count(),
        "points": sum(Account.objects.values_list("available", flat=True)),
    }


@pytest.fixture
def shop(brand):
    with brand_scope(brand.pk):
        make_tag("老客")
        make_tag("高活")
        make_guide(make_store(), "LY0007")
        return make_account(open_platform_subject="wxop1")


def test_people_of_a_till_are_known_when_they_come(brand, shop):
    job = uploaded(brand, csv_of(TITLES, *people(50)))
    assert job.found == {"NEW": 50}
    with brand_scope(brand.pk):
        assert Member.objects.count() == 0
    assert ran(brand, job).became == {"NEW": 50}
    with brand_scope(brand.pk):
        for number in range(8):  # eight of them follow and bind their phone
            member = make_follower(shop).member
            stayed = member_services.bind_phone(member=member, number=f"1380000{number:04d}", source="test", at=now())
            assert stayed.name == f"陈{number}"
            assert stayed.birth_mmdd == 817
            assert balance_of(stayed.pk).spendable == 100 + number
            assert Assignment.objects.get(member=stayed, until=None).guide.staff_no == "LY0007"
            assert stayed.gender == ("F" if number % 2 else "M")
            tags = set(MemberTag.objects.filter(member=stayed).values_list("tag__name", flat=True))
            assert tags == {"老客", "高活"}
        assert Member.objects.filter(merged_into=None).count() == 50
        assert breaches() == []


def test_the_same_table_again_changes_nothing_and_undoing_restores_every_count(brand, shop):
    with brand_scope(brand.pk):
        known = make_follower(shop).member
        member_services.bind_phone(member=known, number="13800000003", source="test", at=now())
        before = counts()
    table = csv_of(TITLES, *people(30))
    job = ran(brand, uploaded(brand, table))
    assert job.became == {"NEW": 29, "MATCHED": 1}
    with brand_scope(brand.pk):
        after = counts()
        assert after["members"] == 30
        assert after["points"] == sum(range(100, 130))
    second = uploaded(brand, table)
    assert second.found == {"UNCHANGED": 30}
    ran(brand, second)
    with brand_scope(brand.pk):
        assert counts() == after
    back = undone(brand, job)
    assert back.became["UNDONE"] == 30
    with brand_scope(brand.pk):
        assert counts() == before
        assert Member.objects.filter(merged_into=None).count() == 30  # the ledger keeps entries of those who are gone
        assert list(matching({"all": []}, at=now())) == [known]
        assert list(visible_members(Viewer(None, "", brand.pk, Role.OWNER))) == [known]
        assert [row.id for row in people_listed(Wanted(), limit=50)] == [known.pk]
        assert placing.counted([{"all": []}], at=now()) == [1, 0]
        known.refresh_from_db()
        assert (known.name, known.birth_mmdd, known.gender, known.city) == ("", None, "", "")
        assert breaches() == []
    third = ran(brand, uploaded(brand, table))
    assert third.became == {"NEW": 29, "MATCHED": 1}
    with brand_scope(brand.pk):
        assert counts() == after


def test_what_the_member_said_counts_before_what_a_table_says_and_both_stay_visible(brand, shop):
    with brand_scope(brand.pk):
        known = make_follower(shop).member
        member_services.bind_phone(member=known, number="13800000001", source="test", at=now())
        member_services.change_profile(member_id=known.pk, name="本人", gender="M")
        member_services.say(member_id=known.pk, source="api", values={"city": "苏州"}, at=now())
    titles = ("手机号", "姓名", "性别", "城市")
    table = csv_of(titles, ("13800000001", "表里", "女", "北京"))
    kept = uploaded(brand, table)
    assert verdicts(brand, kept) == {2: ("UNCHANGED", [("name", "kept"), ("gender", "kept"), ("city", "kept")])}
    job = ran(brand, uploaded(brand, table, overwrite=True))
    assert job.became == {"MATCHED": 1}
    with brand_scope(brand.pk):
        known.refresh_from_db()
        # The member's own word stands; the table comes before another system.
        assert (known.name, known.gender, known.city) == ("本人", "M", "北京")
        said = ProfileValue.objects.filter(member=known).order_by("key", "source")
        assert list(said.values_list("key", "source", "text", "counts")) == [
            ("city", "api", "苏州", False),
            ("city", "import", "北京", True),
            ("gender", "import", "F", False),
            ("gender", "member", "M", True),
            ("name", "import", "表里", False),
            ("name", "member", "本人", True),
        ]
    assert uploaded(brand, table, overwrite=True).found == {"UNCHANGED": 1}
    assert undone(brand, job).became["UNDONE"] == 1
    with brand_scope(brand.pk):
        known.refresh_from_db()
        assert (known.name, known.gender, known.city) == ("本人", "M", "苏州")
        assert set(ProfileValue.objects.values_list("key", "source", "counts")) == {
            ("city", "api", True),
            ("gender", "member", True),
            ("name", "member", True),
        }


def test_what_was_changed_since_is_left_and_named(brand, shop):
    job = ran(brand, uploaded(brand, csv_of(TITLES, *people(4))))
    with brand_scope(brand.pk):
        first, second, third, _fourth = Member.objects.order_by("name")
        member_services.change_profile(member_id=first.pk, city="北京")
        member_services.give_consent(member=second, purpose="MARKETING", text_version="1", source="test", at=now())
        member_services.tag_members(member_ids=[third.pk], tag_ids=[make_tag("手工").pk], source="console", at=now())
    back = undone(brand, job)
    assert (back.became["UNDONE"], back.became["LEFT"]) == (1, 3)
    assert [state for state, _why in verdicts(brand, job).values()] == ["LEFT", "LEFT", "LEFT", "UNDONE"]
    with brand_scope(brand.pk):
        assert set(Member.objects.exclude(joined_at=None).values_list("pk", flat=True)) == {
            first.pk,
            second.pk,
            third.pk,
        }
        assert breaches() == []


def test_rows_that_share_any_identifier_are_one_person_and_the_second_is_refused(brand, shop):
    with brand_scope(brand.pk):
        known = member_services.bind_phone(
            member=make_follower(shop).member, number="13800000009", source="test", at=now()
        )
        member_services.link_identity(member=known, known=member_services.Known("CARD", "C9"), source="test", at=now())
    rows = (
        ("13800000001", "C1", ""),
        ("13800000002", "C1", ""),
        ("13800000003", "", "u3"),
        ("", "C3", "u3"),
        ("13800000009", "", ""),
        ("", "C9", ""),
        ("13800000005", "C5", "u5"),
    )
    table = csv_of(("手机号", "会员卡号", "UnionID"), *rows)

    job = uploaded(brand, table)

    assert verdicts(brand, job) == {
        2: ("NEW", []),
        3: ("ERROR", [("card", "twice")]),
        4: ("NEW", []),
        5: ("ERROR", [("unionid", "twice")]),
        6: ("UNCHANGED", []),
        7: ("ERROR", [("card", "twice")]),
        8: ("NEW", []),
    }
    assert ran(brand, job).became == {"NEW": 3}


def test_doubles_are_found_across_batches_and_by_the_worker_who_takes_over(brand, shop, quiet, monkeypatch):
    monkeypatch.setattr("imports.services.trying.AT_ONCE", 2)
    rows = [(f"1380000000{number}", f"C{number % 3}") for number in range(6)]
    whole = uploaded(brand, csv_of(("手机号", "会员卡号"), *rows))
    taken_over = services.trying._seen_before

    def from_what_is_stored(brand_id, job):
        return taken_over(brand_id, type(job).objects.none().model(pk=job.pk, kind=job.kind, read=1))

    with brand_scope(brand.pk):
        seen = from_what_is_stored(brand.pk, whole)
    assert [state for state, _why in verdicts(brand, whole).values()] == ["NEW"] * 3 + ["ERROR"] * 3
    assert sorted(set(seen.values())) == [2, 3, 4]


def test_a_row_that_cannot_be_kept_is_its_own_error_and_the_others_are_imported(brand, shop):
    """Tables looked at by an earlier version, or people who came between: two rows are new and one card ties them."""
    job = uploaded(
        brand, csv_of(("手机号", "会员卡号", "姓名"), *((f"1380000{n:04d}", f"C{n}", "甲") for n in range(9)))
    )
    with brand_scope(brand.pk):
        rows = list(ImportRow.objects.filter(job=job).order_by("number"))
        rows[4].cells = rows[4].cells.reveal().replace('"C4"', '"C0"')
        rows[6].cells = rows[6].cells.reveal().replace("13800000006", "13800000000")
        for changed in (rows[4], rows[6]):
            changed.save(update_fields=["cells"])

    job = ran(brand, job)

    assert (job.state, job.became) == ("DONE", {"NEW": 7, "CONFLICT": 1, "MATCHED": 1})
    assert verdicts(brand, job)[6] == ("CONFLICT", [("phone", "phone_other")])
    with brand_scope(brand.pk):
        assert Member.objects.count() == 7
        assert breaches() == []


def test_what_the_database_refuses_of_one_row_does_not_keep_the_job(brand, shop, monkeypatch):
    from members.services import intake

    admit = intake.admit

    def fails_for_one(*, newcomers, source, at):
        opened = admit(newcomers=newcomers, source=source, at=at)
        if any(each.name == "陈3" for each in newcomers):
            Identity.objects.create(member_id=opened[0], kind="CARD", value="C000001", source="test", since=at)
            Identity.objects.create(member_id=opened[0], kind="CARD", value="C000001", source="test", since=at)
        return opened

    monkeypatch.setattr("members.services.intake.admit", fails_for_one)
    job = ran(brand, uploaded(brand, csv_of(TITLES, *people(6))))

    assert (job.state, job.became) == ("DONE", {"NEW": 5, "ERROR": 1})
    assert verdicts(brand, job)[5] == ("ERROR", [("", "row_failed")])
    with brand_scope(brand.pk):
        assert set(Member.objects.values_list("name", flat=True)) == {f"陈{n}" for n in (0, 1, 2, 4, 5)}
        assert breaches() == []


def test_an_import_can_be_stopped_and_the_same_table_imports_the_rest(brand, shop, quiet, monkeypatch):
    monkeypatch.setattr("imports.services.running.AT_ONCE", 2)
    table = csv_of(TITLES, *people(6))
    job = uploaded(brand, table)
    with brand_scope(brand.pk):
        services.start_import(job_id=job.pk, at=now())
    carry = services.running._carry_some
    batches = []

    def stopped_after_the_second(stored, at):
        batches.append(carry(stored, at))
        if len(batches) == 2:
            services.stop_import(job_id=stored.pk, at=at)
        return batches[-1]

    monkeypatch.setattr("imports.services.running._carry_some", stopped_after_the_second)
    services.importing(brand_id=brand.pk, job_id=job.pk)

    monkeypatch.setattr("imports.services.running._carry_some", carry)
    with brand_scope(brand.pk):
        job.refresh_from_db()
        assert (job.state, job.became, job.notes) == ("DONE", {"NEW": 4}, [{"code": "stopped", "about": "2"}])
        assert services.stop_import(job_id=job.pk, at=now()).state == "DONE"
    rest = uploaded(brand, table)
    assert rest.found == {"NEW": 2, "UNCHANGED": 4}
    assert undone(brand, job).became["UNDONE"] == 4


def test_an_opening_balance_is_given_once_whatever_the_table_names_the_person_by(brand, shop):
    first = ran(brand, uploaded(brand, csv_of(("手机号", "会员卡号", "期初积分"), ("13800000001", "C1", "500"))))
    assert first.became == {"NEW": 1}

    again = uploaded(brand, csv_of(("会员卡号", "期初积分"), ("C1", "500")))
    other = uploaded(brand, csv_of(("会员卡号", "期初积分"), ("C1", "600")))
    assert again.found == {"UNCHANGED": 1}
    assert verdicts(brand, other) == {2: ("CONFLICT", [("points", "points_given")])}

    # The member's own number leads to the same balance, also after another record with one has become theirs.
    ran(brand, uploaded(brand, csv_of(("会员卡号", "期初积分"), ("C2", "70"))))
    with brand_scope(brand.pk):
        kept, merged = (Identity.objects.get(value=card).member for card in ("C1", "C2"))
        member_services.merge_members(kept=kept, merged=merged, evidence="test", at=now())
    assert uploaded(brand, csv_of(("会员卡号", "期初积分"), ("C2", "70"))).found == {"UNCHANGED": 1}
    by_number = uploaded(brand, csv_of(("会员号", "期初积分"), (kept.member_no, "500")))
    assert by_number.found == {"UNCHANGED": 1}
    ran(brand, by_number)
    with brand_scope(brand.pk):
        assert balance_of(kept.pk).available == 570
        assert breaches() == []


def test_two_tables_at_once_give_one_opening_balance(brand, shop):
    ran(brand, uploaded(brand, csv_of(("手机号", "会员卡号"), ("13800000001", "C1"))))
    by_phone = uploaded(brand, csv_of(("手机号", "期初积分"), ("13800000001", "500")))
    by_card = uploaded(brand, csv_of(("会员卡号", "期初积分"), ("C1", "500")))
    assert (by_phone.found, by_card.found) == ({"MATCHED": 1}, {"MATCHED": 1})

    assert (ran(brand, by_phone).became, ran(brand, by_card).became) == ({"MATCHED": 1}, {"UNCHANGED": 1})
    with brand_scope(brand.pk):
        member = Identity.objects.get(value="C1").member
        assert balance_of(member.pk).available == 500
    undone(brand, by_card)
    with brand_scope(brand.pk):
        assert balance_of(member.pk).available == 500


def test_what_another_brand_has_reads_like_what_nobody_has(brand, other_brand, shop):
    """IM11: a store's code, somebody of its staff, a member's number and a tag of another brand."""
    with brand_scope(other_brand.pk):
        store = make_store(code="FREMD1")
        make_guide(store, "FREMD0001")
        make_tag("别家")
        theirs = make_follower(make_account()).member.member_no
        before = Member.objects.count(), Tag.objects.count(), Assignment.objects.count()
    rows = (
        ("13800000001", "FREMD0001", "", "别家"), ("13800000002", "NIEMAND01", "", "没有"),
        ("13800000003", "", theirs, ""), ("13800000004", "", "0000000000", ""),
    )  # fmt: skip
    job = uploaded(brand, csv_of(("手机号", "导购工号", "会员编号", "标签"), *rows))
    found = verdicts(brand, job)
    assert found[2] == found[3]
    assert found[4] == found[5]
    assert found[4][0] == "ERROR" or found[4] == ("NEW", [])
    ran(brand, job)
    with brand_scope(other_brand.pk):
        assert (Member.objects.count(), Tag.objects.count(), Assignment.objects.count()) == before


def test_a_joining_day_to_come_is_refused(brand, shop):
    rows = (("13800000001", (now() + timedelta(days=2)).date().isoformat()), ("13800000002", "2023-05-01"))
    job = uploaded(brand, csv_of(("手机号", "入会日期"), *rows))
    assert verdicts(brand, job) == {2: ("ERROR", [("joined", "day_future")]), 3: ("NEW", [])}


def test_a_phone_that_went_to_another_wechat_user_is_not_theirs_by_a_table(brand, shop):
    with brand_scope(brand.pk):
        member = member_services.bind_phone(
            member=make_follower(shop).member, number="13800000001", source="test", at=now()
        )
        member_services.link_unionid(member=member, subject="wxop1", unionid="u1", source="test", at=now())
    rows = (("13800000001", "u2"), ("", "u1"))
    job = uploaded(brand, csv_of(("手机号", "UnionID"), *rows))
    assert verdicts(brand, job) == {2: ("CONFLICT", [("unionid", "unionid_other")]), 3: ("UNCHANGED", [])}
