"""One person across OpenIDs, UnionID, phone, WeCom contact and card: whatever comes first, the same person comes out."""

import itertools
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.tenancy import brand_scope
from loyalty import services as loyalty
from loyalty.selectors.points import balance_of
from loyalty.services import Operation
from members.errors import PhoneTaken
from members.models import Doubt, Follower, Identity, Member
from members.services import (
    Known,
    bind_phone,
    decide_doubt,
    link_identity,
    link_unionid,
    meet,
    merge_members,
    record_contact,
    record_follow,
    record_mini_program_user,
    waits_for_contact,
)
from members.services.followers import keep_profile
from members.services.people import lock_standing, new_member
from tests.factories import AT, make_account, make_follower

DAY = timedelta(days=1)
PHONE = "13800000001"
_numbers = itertools.count(1)


class Person:
    """One person's traces: each act tells the product what one system knows, at the time it happened."""

    def __init__(self, account):
        self.account, number = account, next(_numbers)
        self.openid, self.mini, self.unionid = f"oA{number}", f"oM{number}", f"u{number}"
        self.card, self.external, self.phone = f"C{number}", f"wm{number}", f"138{number:08d}"

    def follow(self):
        follower = record_contact(
            account_id=self.account.pk, appid=self.account.appid, openid=self.openid, at=AT + 3 * DAY
        )
        record_follow(follower=follower, at=AT + 3 * DAY)
        profile = {
            "subscribe": 1, "unionid": self.unionid, "subscribe_time": int((AT + 3 * DAY).timestamp()),
            "subscribe_scene": "ADD_SCENE_QR_CODE",
        }  # fmt: skip
        keep_profile(account=self.account, follower=follower, profile=profile, at=AT + 3 * DAY)

    def buy(self):
        person = meet(
            identities=[Known("CARD", self.card, "pos"), Known("PHONE", self.phone)], source="shop", at=AT
        ).member
        operation = Operation("pos", f"buy-{self.card}")
        loyalty.earn_points(operation=operation, member_id=person.pk, points=120, source="pos", at=AT)

    def log_in(self):
        at = AT + 5 * DAY
        member = record_mini_program_user(
            appid="wxmini", openid=self.mini, unionid=self.unionid, subject="subject", at=at
        )
        bind_phone(member=member, number=self.phone, source="mini program", at=at)

    def add_in_wecom(self):
        known = [Known("EXTERNAL", self.external, "corp"), Known("UNIONID", self.unionid, "subject")]
        meet(identities=known, source="wecom", at=AT + 7 * DAY)

    def link_card(self):
        known = [Known("CARD", self.card, "pos"), Known("OPENID", self.mini, "wxmini")]
        meet(identities=known, source="API", at=AT + 9 * DAY)

    ACTS = ("follow", "buy", "log_in", "add_in_wecom", "link_card")

    def facts(self):
        """Everything known of whoever is left; None while there is more than one."""
        edges = Identity.objects.filter(value__in=[self.openid, self.mini, self.unionid, self.card, self.external])
        owners = set(edges.values_list("member_id", flat=True))
        if len(owners) != 1:
            return None
        member = Member.objects.get(pk=owners.pop())
        return {
            "records": Member.objects.filter(merged_into__isnull=True).count(),
            "created": member.created_at - AT,
            "joined": member.joined_at - AT,
            "phone": member.phone_masked[-4:] == self.phone[-4:],
            "following": member.subscribed,
            "edges": sorted(Identity.objects.filter(member=member).values_list("kind", "namespace", "since")),
            "points": balance_of(member.pk).available,
            "followers": Follower.objects.filter(member=member).count(),
            "doubts": Doubt.objects.count(),
        }


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.permutations(Person.ACTS), st.lists(st.sampled_from(Person.ACTS), max_size=4))
def test_whatever_comes_first_and_however_often_it_is_one_person_with_the_same_facts(in_brand, order, again):
    account = make_account()
    before = Member.objects.filter(merged_into__isnull=True).count()
    doubts = Doubt.objects.count()
    person = Person(account)
    for act in (*order, *again):
        getattr(person, act)()

    found = person.facts()
    assert found is not None
    assert found["records"] - before == 1
    assert found | {"records": 1, "doubts": found["doubts"] - doubts, "edges": [row[0] for row in found["edges"]]} == {
        "records": 1,
        "created": 0 * DAY,
        "joined": 0 * DAY,
        "phone": True,
        "following": True,
        "edges": ["CARD", "EXTERNAL", "OPENID", "OPENID", "PHONE", "UNIONID"],
        "points": 120,
        "followers": 1,
        "doubts": 0,
    }


def test_pending_contact_leads_to_the_person_for_ninety_days_and_then_wecom_is_asked_again(in_brand):
    member = make_follower(make_account()).member
    link_identity(member=member, known=Known("PENDING", "pend-1", "corp"), source="wecom", at=AT)
    assert not waits_for_contact(member=member, corp="corp", at=AT + 89 * DAY)
    assert waits_for_contact(member=member, corp="corp", at=AT + 90 * DAY)

    late = [Known("EXTERNAL", "wmLate", "corp"), Known("PENDING", "pend-1", "corp")]
    stranger = meet(identities=late, source="wecom", at=AT + 91 * DAY).member
    assert stranger.pk != member.pk

    link_identity(member=member, known=Known("PENDING", "pend-2", "corp"), source="wecom", at=AT + 91 * DAY)
    asked_again = [Known("EXTERNAL", "wmLate", "corp"), Known("PENDING", "pend-2", "corp")]
    found = meet(identities=asked_again, source="wecom", at=AT + 92 * DAY).member
    assert found.pk == member.pk
    assert not waits_for_contact(member=found, corp="corp", at=AT + 400 * DAY)


def test_different_open_platform_subjects_are_two_people_until_a_phone_ties_them(in_brand):
    one = record_mini_program_user(appid="wx1", openid="o1", unionid="u", subject="one", at=AT)
    other = record_mini_program_user(appid="wx2", openid="o2", unionid="u", subject="other", at=AT)
    assert one.pk != other.pk
    bind_phone(member=one, number=PHONE, source="mini program", at=AT)
    assert bind_phone(member=other, number=PHONE, source="mini program", at=AT).pk == one.pk


def known_by_phone(at=AT, **facts):
    member = bind_phone(member=new_member(at=at), number=PHONE, source="shop", at=at)
    Member.objects.filter(pk=member.pk).update(**facts)
    return Member.objects.get(pk=member.pk)


def asked(at=AT, source="mini program", **facts):
    """Somebody new shows (or types) the phone; gives them and the reasons of the doubt, None when they are one."""
    member = new_member(at=at)
    Member.objects.filter(pk=member.pk).update(**facts)
    linked = meet(identities=[Known("CARD", f"C{next(_numbers)}", "other")], source="t", at=at)
    link_identity(member=member, known=Known("EXTERNAL", f"wm{member.pk}", "corp"), source="t", at=at)
    known = [Known("EXTERNAL", f"wm{member.pk}", "corp"), Known("PHONE", PHONE)]
    linked = meet(identities=known, source=source, at=at)
    return linked.member, [doubt.reasons for doubt in linked.doubts]


def test_a_phone_that_went_to_somebody_else_is_not_merged(in_brand):
    holder = known_by_phone(name="陈子涵", birth_mmdd=817)
    for facts, reason in (
        ({"at": AT + 366 * DAY}, "old-phone"),
        ({"birth_mmdd": 101}, "birthdays"),
        ({"name": "刘洋"}, "names"),
        ({"source": "typed"}, "typed"),
    ):
        person, reasons = asked(**facts)
        assert (person.pk != holder.pk, reasons) == (True, [[reason]]), reason
        person.refresh_from_db()
        assert person.phone_index is None
    person, reasons = asked(name="陈 子涵", at=AT + 300 * DAY)
    assert (person.pk, reasons) == (holder.pk, [])


def test_the_new_owner_of_a_phone_who_comes_by_another_mini_program_is_not_merged(in_brand):
    def visitor(appid, number, subject="subject"):
        return record_mini_program_user(appid=appid, openid=f"o{number}", unionid=f"u{number}", subject=subject, at=AT)

    holder = bind_phone(member=visitor("wxA", 1), number=PHONE, source="mini program", at=AT)
    operation = Operation("pos", "recycled")
    loyalty.earn_points(operation=operation, member_id=holder.pk, points=120, source="pos", at=AT)

    with pytest.raises(PhoneTaken) as refused:
        bind_phone(member=visitor("wxB", 2), number=PHONE, source="mini program", at=AT)
    assert refused.value.reasons == ("unionids",)
    assert balance_of(holder.pk).available == 120
    elsewhere = visitor("wxC", 3, subject="another")  # another Open Platform account: its UnionIDs say nothing
    assert bind_phone(member=elsewhere, number=PHONE, source="mini program", at=AT).pk == holder.pk


def test_two_contacts_of_one_wecom_company_are_two_people(in_brand):
    for number, corp in (("1", "corp"), ("2", "corp"), ("3", "partner")):
        meet(identities=[Known("EXTERNAL", f"wm{number}", corp)], source="wecom", at=AT)
    shown = {}
    for number, corp in (("1", "corp"), ("2", "corp"), ("3", "partner")):
        known = [Known("EXTERNAL", f"wm{number}", corp), Known("PHONE", PHONE)]
        shown[number] = meet(identities=known, source="mini program", at=AT)

    assert [doubt.reasons for doubt in shown["2"].doubts] == [["contacts"]]
    assert (shown["3"].doubts, shown["3"].member.pk) == ((), shown["1"].member.pk)


def test_a_system_that_names_a_new_wechat_user_by_an_old_phone_names_somebody_new(in_brand):
    holder = record_mini_program_user(appid="wxA", openid="o1", unionid="u1", subject="subject", at=AT)
    bind_phone(member=holder, number=PHONE, source="mini program", at=AT)

    known = [Known("UNIONID", "u2", "subject"), Known("PHONE", PHONE)]
    for _again in range(2):
        linked = meet(identities=known, source="shop", at=AT)
    assert linked.member.pk != holder.pk
    assert [doubt.reasons for doubt in linked.doubts] == [["unionids"]]
    assert Member.objects.count() == 2


def test_a_phone_of_a_table_was_typed_like_any_other(in_brand):
    bind_phone(member=new_member(at=AT), number=PHONE, source="import 12: 收银系统", at=AT)
    _person, reasons = asked(source="API: till")
    assert reasons == [["typed"]]


def test_two_cards_of_one_issuer_are_two_people(in_brand):
    for number in ("1", "2"):
        meet(identities=[Known("CARD", number, "pos"), Known("EXTERNAL", f"wm{number}", "corp")], source="API", at=AT)
    linked = meet(identities=[Known("EXTERNAL", "wm1", "corp"), Known("UNIONID", "u", "s")], source="API", at=AT)
    linked = meet(identities=[Known("EXTERNAL", "wm2", "corp"), Known("UNIONID", "u", "s")], source="API", at=AT)
    assert [doubt.reasons for doubt in linked.doubts] == [["cards", "contacts"]]
    assert Member.objects.filter(merged_into__isnull=True).count() == 2


def test_kept_apart_is_remembered_and_the_phone_can_change_hands(in_brand):
    holder = known_by_phone(birth_mmdd=817)
    person, _reasons = asked(birth_mmdd=101)
    doubt = Doubt.objects.get()
    decide_doubt(doubt_id=doubt.pk, merge=False, reason="号码换了人", by="王敏", at=AT, free_phone=True)
    holder.refresh_from_db()
    assert (holder.phone_index, holder.phone_masked) == (None, "")

    Member.objects.filter(pk=person.pk).update(birth_mmdd=817)  # nothing speaks against it any more
    mine = bind_phone(member=person, number=PHONE, source="mini program", at=AT)
    assert mine.pk == person.pk
    link_identity(member=holder, known=Known("UNIONID", "u", "s"), source="t", at=AT)
    stays = link_identity(member=mine, known=Known("UNIONID", "u", "s"), source="t", at=AT)
    assert stays.member.pk == person.pk
    assert Doubt.objects.get().state == "APART"


def test_twins_in_two_brands_stay_in_their_brands(brand, other_brand):
    found = {}
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            known = [Known("CARD", "1", "pos"), Known("PHONE", PHONE), Known("UNIONID", "u", "s")]
            found[each.pk] = meet(identities=known, source="API", at=AT).member.pk
            assert Member.objects.count() == 1
    assert len(set(found.values())) == 2


def test_who_was_merged_since_they_were_read_is_met_as_who_they_are_now(in_brand):
    """A mini program asks for the phone while the unionid has just shown whose record this is."""
    follower, visitor, shop = new_member(at=AT), new_member(at=AT), new_member(at=AT)
    bind_phone(member=shop, number=PHONE, source="shop", at=AT)
    as_read = Member.objects.get(pk=visitor.pk)
    merge_members(kept=follower, merged=visitor, evidence="unionid", at=AT)

    stays = bind_phone(member=as_read, number=PHONE, source="mini program", at=AT)

    people = [Member.objects.get(pk=each.pk) for each in (follower, visitor, shop)]
    ends = {lock_standing(member_id=each.pk).pk for each in people}
    assert ends == {stays.pk}
    assert link_unionid(member=as_read, subject="s", unionid="u1", source="push", at=AT).pk == stays.pk
    with pytest.raises(ValueError, match="merged no further"):
        merge_members(kept=shop, merged=as_read, evidence="?", at=AT)
