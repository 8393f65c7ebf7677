"""A merge brings everything along, and undoing it gives every row of both people back as it was."""

from datetime import timedelta

import pytest
from django.apps import apps

from accounts.tenancy import BrandOwned
from guides.services import assign_guide
from loyalty import services as loyalty
from loyalty.models import Tier
from loyalty.selectors.points import balance_of
from loyalty.services import Report
from members.errors import DoubtNotDecided, MergeNotUndone
from members.merging import assets
from members.models import Consent, ConsentPurpose, Doubt, Identity, Member, MemberTag, MergeRecord, ProfileField
from members.selectors import consents_in_force
from members.services import (
    bind_phone,
    decide_doubt,
    give_consent,
    link_unionid,
    merge_members,
    open_doubt,
    record_mini_program_user,
    save_tag_group,
    say,
    set_flag,
    suppress_members,
    tag_members,
    undo_merge,
    untag_members,
    withdraw_consent,
)
from members.services.erasure import erase_due, start_clocks
from members.services.people import new_member
from tests.factories import AT, make_account, make_follower, make_guide, make_store, make_tag, make_touchpoint
from tests.loyalty.conftest import burn, earn, freeze
from touchpoints.services import mark_staff, record_touch

DAY = timedelta(days=1)
# What is only ever added to: that somebody merged and undid is written down, and stays.
LOGS = {
    "loyalty.journal", "loyalty.entry", "loyalty.tierchange", "members.factchange", "members.factdue",
    "members.mergerecord", "members.doubt", "loyalty.mergedassets", "touchpoints.recount",
}  # fmt: skip
REMADE = {"loyalty.standing"}  # the same in everything but its number


def picture(*people):
    """Every row that belongs to one of the people, whole."""
    ids = [each.pk for each in people]
    found = {"members.member": list(Member.objects.filter(pk__in=ids).order_by("pk").values())}
    for model in apps.get_models():
        label = model._meta.label_lower
        columns = {field.attname for field in model._meta.concrete_fields}
        if not issubclass(model, BrandOwned) or label in LOGS or "member_id" not in columns:
            continue
        names = sorted(columns - ({"id"} if label in REMADE else set()))
        rows = [tuple(row) for row in model.objects.filter(member_id__in=ids).values_list(*names)]
        found[label] = sorted(rows, key=repr)
    return found


@pytest.fixture
def two(in_brand):
    """Two records full of everything, half of it the same."""
    account = make_account()
    one, other = make_follower(account), make_follower(account, at=AT + DAY)
    store = make_store()
    first, second = make_guide(store, "LY1", "王敏"), make_guide(store, "LY2", "赵磊")
    for name, threshold in (("初见", 0), ("知音", 2000)):
        Tier.objects.create(name=name, threshold=threshold)
    save_tag_group(name="消费", is_exclusive=True, at=AT)
    low, high, both = make_tag("低", group="消费"), make_tag("高", group="消费"), make_tag("都有")
    code = make_touchpoint(account)
    for number, (follower, guide, tag) in enumerate(((one, first, low), (other, second, high))):
        member = follower.member
        tag_members(member_ids=[member.pk], tag_ids=[tag.pk, both.pk], source="staff: x", at=AT)
        assign_guide(member_id=member.pk, guide=guide, reason="t", at=AT + number * DAY)
        record_touch(follower=follower, scene=code.scene, is_follow=False, at=AT + DAY)
        earn(member, 100 + number)
        burn(member, 30)
        report = Report("pos", "PURCHASE", f"SO{number}", AT, member_id=member.pk, amount=(1500 + 1000 * number) * 100)
        loyalty.record_fact(report=report, at=AT)
    freeze(other.member, 20)
    give_consent(member=one.member, purpose="SERVICE", text_version="1", source="t", at=AT)
    give_consent(member=other.member, purpose="SERVICE", text_version="2", source="t", at=AT + DAY)
    withdraw_consent(member=other.member, purpose="MARKETING", source="t", at=AT + DAY)
    suppress_members(member_ids=[other.member.pk], reason="投诉", by="x", at=AT)
    mark_staff(member=other.member, at=AT)
    record_mini_program_user(appid="wxmini", openid="oM", unionid="", subject="", at=AT)
    bind_phone(member=other.member, number="13800000001", source="mini program", at=AT)
    link_unionid(member=other.member, subject="s", unionid="u", source="user info", at=AT)
    Member.objects.filter(pk=other.member_id).update(name="陈子涵", birth_mmdd=817, city="上海", gender="F")
    field = {"kind": "TEXT", "sources": ["member", "pos"], "created_at": AT}
    ProfileField.objects.create(key="skin", label="肤质", **field)
    ProfileField.objects.create(key="allergy", label="过敏", sensitivity="SEALED", **field)
    set_flag(member_id=other.member_id, kind="TEST", since=AT + DAY, reason="内部测试", by="x", at=AT + DAY)
    say(member_id=one.member_id, source="pos", values={"skin": "油性", "allergy": "无"}, at=AT)
    say(member_id=other.member_id, source="pos", values={"skin": "干性", "allergy": "花生"}, at=AT + DAY)
    say(member_id=other.member_id, source="member", values={"skin": "混合", "city": "杭州"}, at=AT)
    return Member.objects.get(pk=one.member_id), Member.objects.get(pk=other.member_id)


def test_undo_gives_every_row_of_both_people_back_as_it_was(two):
    one, other = two
    before, standing = picture(one, other), [balance_of(each.pk) for each in two]
    consents = [consents_in_force(each.pk) for each in two]

    kept = merge_members(kept=one, merged=other, evidence="unionid (user info)", at=AT + 2 * DAY)
    assert picture(one, other) != before
    assert (kept.name, kept.birth_mmdd, kept.city, kept.gender, kept.phone_masked) == (
        "陈子涵", 817, "杭州", "F", "138****0001",
    )  # fmt: skip
    assert balance_of(kept.pk).available == sum(each.available for each in standing)
    assert sorted(MemberTag.objects.filter(member=kept).values_list("tag__name", flat=True)) == ["低", "都有"]
    assert "陈子涵" not in str(MergeRecord.objects.get().moved)
    assert "干性" not in str(MergeRecord.objects.get().moved)  # what moved says nothing of whom

    record = MergeRecord.objects.get()
    undo_merge(record=record, reason="两个人", by="王敏", at=AT + 3 * DAY)

    after = picture(one, other)
    assert {label: rows for label, rows in after.items() if rows != before[label]} == {}
    assert [balance_of(each.pk) for each in two] == standing
    assert [consents_in_force(each.pk) for each in two] == consents
    assert not Consent.objects.filter(source__startswith="merge").exists()
    with pytest.raises(MergeNotUndone) as error:
        undo_merge(record=record, reason="两个人", by="王敏", at=AT + 3 * DAY)
    assert error.value.why == "done"


def test_after_undo_the_same_evidence_merges_nobody_again(two):
    one, other = two
    merge_members(kept=one, merged=other, evidence="phone (t)", at=AT + 2 * DAY)
    undo_merge(record=MergeRecord.objects.get(), reason="两个人", by="王敏", at=AT + 3 * DAY)
    one.refresh_from_db()
    Member.objects.filter(pk=one.pk).update(birth_mmdd=None)

    stays = link_unionid(member=Member.objects.get(pk=one.pk), subject="s", unionid="u", source="user info", at=AT)

    assert stays.pk == one.pk
    assert (MergeRecord.objects.count(), Doubt.objects.get().state) == (1, "APART")


def open_phones():
    """{member: fingerprints of the phones that are theirs today}"""
    rows = Identity.objects.filter(kind="PHONE", ended_at=None).values_list("member_id", "value")
    return sorted(rows)


def test_of_two_phones_the_one_that_goes_may_change_hands_and_comes_back_on_undo(two):
    one, other = two
    one = bind_phone(member=one, number="13800000002", source="mini program", at=AT)
    before = open_phones()
    merge_members(kept=one, merged=other, evidence="review: t", at=AT + 2 * DAY)
    assert open_phones() == [(one.pk, str(one.phone_index))]

    undo_merge(record=MergeRecord.objects.get(), reason="两个人", by="王敏", at=AT + 3 * DAY)
    assert open_phones() == before

    merge_members(kept=one, merged=other, evidence="review: t", at=AT + 4 * DAY)
    stranger = bind_phone(member=new_member(at=AT), number="13800000001", source="mini program", at=AT + 5 * DAY)
    assert stranger.pk not in {one.pk, other.pk}
    assert open_phones() == sorted([(one.pk, str(one.phone_index)), (stranger.pk, str(stranger.phone_index))])
    _kept, back = undo_merge(record=MergeRecord.objects.latest("pk"), reason="两个人", by="王敏", at=AT + 6 * DAY)
    assert (back.phone_index, back.phone_masked) == (None, "")
    assert open_phones() == sorted([(one.pk, str(one.phone_index)), (stranger.pk, str(stranger.phone_index))])


def test_the_preview_shows_the_brands_own_purposes_the_list_and_flags(two):
    _one, other = two
    ConsentPurpose.objects.create(code="RESEARCH", name="会员调研", meaning="调研", created_at=AT)
    give_consent(member=other, purpose="RESEARCH", text_version="1", source="t", at=AT)
    shown = {key: [str(each) for each in asset.show(other.pk)] for key, asset in assets.items()}
    assert any(each.startswith("会员调研: ") for each in shown["members.consents"])
    assert [each.startswith("在禁发名单: 投诉") for each in shown["members.holds"]] == [True]
    assert [each.startswith("测试人员 (") for each in shown["members.flags"]] == [True]


def test_what_was_done_since_stays_done(two):
    one, other = two
    late = make_tag("之后")
    merge_members(kept=one, merged=other, evidence="t", at=AT + 2 * DAY)
    kept = Member.objects.get(pk=one.pk)
    tag_members(member_ids=[kept.pk], tag_ids=[late.pk], source="staff: x", at=AT + 2 * DAY)
    untag_members(member_ids=[kept.pk], tag_ids=[MemberTag.objects.get(member=kept, tag__name="低").tag_id])
    Member.objects.filter(pk=kept.pk).update(name="改过的名字")
    scan = record_touch(
        follower=other.followers.first() or kept.followers.last(), scene="", is_follow=False, at=AT + 2 * DAY
    )

    undo_merge(record=MergeRecord.objects.get(), reason="两个人", by="王敏", at=AT + 3 * DAY)

    one.refresh_from_db()
    assert one.name == "改过的名字"
    assert sorted(MemberTag.objects.filter(member=one).values_list("tag__name", flat=True)) == ["之后", "都有"]
    assert sorted(MemberTag.objects.filter(member=other).values_list("tag__name", flat=True)) == ["都有", "高"]
    scan.refresh_from_db()
    assert scan.member_id == scan.follower.member_id == other.pk


def test_the_later_merge_is_undone_first(two):
    one, other = two
    third = make_follower(make_account()).member
    merge_members(kept=one, merged=other, evidence="t", at=AT)
    first = MergeRecord.objects.get()
    merge_members(kept=one, merged=third, evidence="t", at=AT)
    with pytest.raises(MergeNotUndone) as error:
        undo_merge(record=first, reason="两个人", by="x", at=AT)
    assert error.value.why == "later"
    undo_merge(record=MergeRecord.objects.get(merged=third), reason="两个人", by="x", at=AT)
    undo_merge(record=first, reason="两个人", by="x", at=AT)
    assert Member.objects.filter(merged_into__isnull=True).count() == 4


def test_erasing_a_person_erases_the_records_that_became_theirs(two, brand):
    one, other = two
    merge_members(kept=one, merged=other, evidence="t", at=AT)
    start_clocks(followers=[one.followers.order_by("pk").first()], reason="CANCELLED", at=AT)
    from members.models import ErasureClock

    ErasureClock.objects.update(due_at=AT)
    erase_due(brand.pk, at=AT + DAY)
    other.refresh_from_db()
    assert (other.name, other.phone, other.phone_masked, other.birth_mmdd, other.city) == ("", None, "", None, "")
    with pytest.raises(MergeNotUndone) as error:
        undo_merge(record=MergeRecord.objects.get(), reason="两个人", by="x", at=AT)
    assert error.value.why == "erased"


def test_a_doubt_is_decided_once_with_a_reason_and_follows_a_merge(two):
    one, other = two
    third = make_follower(make_account()).member
    doubt = open_doubt(one_id=one.pk, other_id=other.pk, reasons=["names"], evidence="phone (t)", at=AT)
    about_third = open_doubt(one_id=third.pk, other_id=other.pk, reasons=["cards"], evidence="card (t)", at=AT)
    with pytest.raises(DoubtNotDecided) as error:
        decide_doubt(doubt_id=doubt.pk, merge=True, reason=" ", by="x", at=AT)
    assert error.value.why == "reason"

    decide_doubt(doubt_id=doubt.pk, merge=True, reason="同一个人", by="x", at=AT)

    stays = Member.objects.get(pk=other.pk)  # joined, so its number is known
    assert (stays.merged_into_id, Member.objects.get(pk=one.pk).merged_into_id) == (None, other.pk)
    assert MergeRecord.objects.get().evidence == "review: phone (t)"
    with pytest.raises(DoubtNotDecided) as error:
        decide_doubt(doubt_id=doubt.pk, merge=False, reason="不是", by="x", at=AT)
    assert error.value.why == "decided"
    about_third.refresh_from_db()
    assert about_third.state == "OPEN"
