"""Somebody adds a guide in WeCom, as another system reports it: one person, a touch, a guide; and the whole story."""

import pytest

from accounts.tenancy import brand_scope
from common import clock
from conversations.engine import Asked
from conversations.models import Trigger
from conversations.selectors import rules_of
from guides.models import Assignment
from guides.selectors import guide_of
from loyalty.models import Fact
from members.models import Identity, Member
from members.services import link_unionid
from tests.factories import make_follower, make_guide
from touchpoints.models import Touch, Touchpoint
from touchpoints.services import create_touchpoint, mark_staff, record_touch

CONTACT = {"staff_no": "LY0101", "corp": "wwCorp", "external_userid": "wmChen"}


@pytest.fixture
def ours(a):
    """A store's guide with a code of her own."""
    with brand_scope(a.brand.pk):
        a.door = create_touchpoint(name="门口", account=a.account, store=a.store, at=clock.now())
        a.card = create_touchpoint(name="王敏的码", account=a.account, store=a.store, at=clock.now())
        a.guide = make_guide(a.store, staff_no="LY0101", touchpoint=a.card)
    return a


def tell(ours, expect=200, **changes):
    answer = ours.system.post("/guides/contacts/", {**CONTACT, **changes})
    assert answer.status_code == expect, answer.content
    return answer.json()


def touches(ours):
    with brand_scope(ours.brand.pk):
        rows = Touch.objects.filter(kind="CONTACT").order_by("pk")
        return [(row.touchpoint.name, row.case) for row in rows]


def test_contact_is_a_person_with_a_touch_and_a_guide(ours, b):
    said = tell(ours)
    assert (said["is_new"], said["case"], said["channel"], said["guide"]) == (True, "VISITOR", ours.card.pk, "LY0101")
    assert tell(ours) == said | {"is_new": False}
    assert touches(ours) == [("王敏的码", "VISITOR")]
    with brand_scope(ours.brand.pk):
        member = Member.objects.get(member_no=said["member_no"])
        assert list(Identity.objects.filter(member=member).values_list("kind", "namespace", "value")) == [
            ("EXTERNAL", "wwCorp", "wmChen")
        ]
        assert (guide_of(member.pk).staff_no, guide_of(member.pk).reason) == ("LY0101", "WeCom")
        assert member.store_id == ours.store.pk
    assert touches(b) == []


def test_contact_counts_for_the_channel_that_is_named_or_for_wecom_as_such(ours):
    tell(ours, channel=ours.door.pk)
    with brand_scope(ours.brand.pk):
        ours.guide.touchpoint = None
        ours.guide.save()
    tell(ours, external_userid="wmLi")
    assert [name for name, _case in touches(ours)] == ["门口", "企业微信里的导购"]
    with brand_scope(ours.brand.pk):
        assert Touchpoint.objects.get(origin="WECOM").parent_id is None


def test_who_has_a_guide_keeps_them_and_staff_get_none(ours):
    first = tell(ours)
    with brand_scope(ours.brand.pk):
        make_guide(ours.store, staff_no="LY0102")
    number = tell(ours, external_userid="wmStaff", staff_no="LY0102")["member_no"]
    with brand_scope(ours.brand.pk):
        staff = Member.objects.get(member_no=number)
        Assignment.objects.filter(member=staff).delete()
        mark_staff(member=staff, at=clock.now())
    again = tell(ours, staff_no="LY0102")
    assert (again["member_no"], again["is_new"], again["guide"]) == (first["member_no"], True, "LY0101")
    assert tell(ours, external_userid="wmStaff") | {"member_no": ""} == {
        "member_no": "", "is_new": True, "case": "STAFF", "channel": ours.card.pk, "guide": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"staff_no": "LY0109"}, "staff_no"),
        ({"channel": 999_999}, "channel"),
        ({"at": "2999-01-01T00:00:00Z"}, "at"),
        ({"at": "1999-12-31T00:00:00Z"}, "at"),
        ({"external_userid": ""}, "external_userid"),
        ({"more": 1}, "more"),
    ],
)
def test_odd_contacts_are_refused_with_the_field(ours, changes, field):
    assert field in str(tell(ours, expect=422, **changes))
    assert touches(ours) == []


def test_unionid_needs_one_open_platform_account(ours):
    with brand_scope(ours.brand.pk):
        ours.account.open_platform_subject = ""
        ours.account.save()
    assert "unionid" in str(tell(ours, expect=422, unionid="uChen"))


def test_contacts_need_the_scope(ours):
    assert ours.key("members.read").post("/guides/contacts/", CONTACT).status_code == 403
    assert ours.me.post("/guides/contacts/", CONTACT).status_code == 403


def test_from_the_store_code_over_wecom_to_the_order_it_is_one_person(ours):
    """A store code is scanned, its welcome names the guide, she is added in WeCom, and the till knows the card."""
    with brand_scope(ours.brand.pk):
        welcome = "欢迎到静安店，加导购王敏的企业微信：https://work.weixin.qq.com/ca/x"
        Touchpoint.objects.filter(pk=ours.door.pk).update(welcome=welcome)
        asked = Asked(Trigger.FOLLOW, clock.now(), scene=ours.door.scene)
        (answer,) = rules_of(ours.account.pk).decide(asked).contents
        assert answer.text == welcome
        follower = follow_with_unionid(ours, "uChen")
    contact = tell(ours, unionid="uChen", channel=ours.door.pk)
    assert (contact["case"], contact["guide"]) == ("FOLLOWING", "LY0101")

    linked = ours.system.post(f"/members/{contact['member_no']}/identities/", {"kind": "CARD", "value": "88000009"})
    assert linked.json() == {"outcome": "LINKED", "member_no": contact["member_no"]}
    order = {
        "system": "pos", "kind": "PURCHASE", "number": "SO9", "amount": 59_900, "member_no": contact["member_no"],
        "happened_at": clock.now().isoformat(),
    }  # fmt: skip
    said = ours.system.post("/facts/", order)
    assert said.status_code == 201, said.content

    with brand_scope(ours.brand.pk):
        member = Member.objects.get(member_no=contact["member_no"])
        assert member.pk == follower.member_id
        kinds = Identity.objects.filter(member=member, ended_at__isnull=True).values_list("kind", flat=True)
        assert sorted(kinds) == ["CARD", "EXTERNAL", "OPENID", "UNIONID"]
        path = list(Touch.objects.filter(member=member).order_by("at", "pk").values_list("kind", "touchpoint__name"))
        assert path == [("FOLLOW", "门口"), ("CONTACT", "门口")]
        assert guide_of(member.pk).staff_no == "LY0101"
        assert Fact.objects.get(number="SO9").member_id == member.pk


def follow_with_unionid(ours, unionid):
    at = clock.now()
    follower = make_follower(ours.account, at=at)
    subject = ours.account.open_platform_subject
    link_unionid(member=follower.member, subject=subject, unionid=unionid, source="user info", at=at)
    record_touch(follower=follower, scene=ours.door.scene, is_follow=True, at=at)
    follower.refresh_from_db()
    return follower
