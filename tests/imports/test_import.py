"""Members from tables: matched, added, tagged, given their points and guide; again changes nothing; undone is before."""

from __future__ import annotations

import pytest

from accounts.tenancy import brand_scope
from common.clock import now
from guides.models import Assignment
from loyalty.invariants import breaches
from loyalty.models import Account
from loyalty.selectors.points import balance_of
from members import services as member_services
from members.models import Identity, Member, MemberTag, ProfileValue
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
