"""News that points end: written to whoever may be written to, once for a day, whenever they can first be reached."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from accounts.tenancy import brand_scope
from common import failpoints
from inbox.models import Message
from inbox.services.ledger import record_act
from loyalty import services
from loyalty.models import ExpiryWarning, Lot, PointsPolicy
from loyalty.selectors import warnings as selectors
from loyalty.services import Operation
from members import services as member_services
from tests.factories import AT, make_account, make_member, make_staff
from wechat_gateway import windows

DAY = timedelta(days=1)
NOON = AT + 26 * DAY + timedelta(hours=4)  # 12:00 of the brand, four days before the month ends


TEXT = "您有 {0} 积分即将到期：2025-06-30：{0} 分（2025-06-01 得到）。记得使用。"


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def owed(in_brand):
    """Three people with points that end: one who wrote lately, one who did not, one who wants no service messages."""
    PointsPolicy.objects.create(expiry="MONTH_END", expiry_span=0, warn_days=10)
    account = make_account()
    people = [make_member(account, name=name) for name in ("近", "远", "拒")]
    for number, member in enumerate(people):
        services.earn_points(
            operation=Operation("test", f"{number}"), member_id=member.pk, points=10 + number, source="test", at=AT
        )
    for member in (people[0], people[2]):
        record_act(follower=member.followers.get(), act=windows.Act.MESSAGE, at=NOON - timedelta(hours=1))
    member_services.withdraw_consent(member=people[2], purpose="SERVICE", source="test", at=NOON - DAY)
    services.warn_of_expiry(at=NOON)
    return people


def said(member):
    lines = Message.objects.filter(conversation__follower__member=member, direction="OUT").order_by("pk")
    return list(lines.values_list("text", flat=True))


def test_each_is_told_once_when_they_can_first_be_written_to(owed, monkeypatch):
    near, far, refusing = owed

    def die():
        monkeypatch.delitem(failpoints.armed, "warnings: told, not noted")
        raise Killed

    monkeypatch.setitem(failpoints.armed, "warnings: told, not noted", die)
    with pytest.raises(Killed):
        services.carry_warnings(at=NOON)
    assert said(near) == []
    for hours in (0, 1, 7):
        services.carry_warnings(at=NOON + timedelta(hours=hours))
    assert said(near) == [TEXT.format(10)]
    assert said(far) == said(refusing) == []
    record_act(follower=far.followers.get(), act=windows.Act.MESSAGE, at=NOON + DAY)
    for days in (1, 2):
        services.carry_warnings(at=NOON + days * DAY + timedelta(hours=1))
    assert said(far) == [TEXT.format(11)]
    assert said(near) == [TEXT.format(10)]
    assert said(refusing) == []
    assert dict(ExpiryWarning.objects.values_list("member_id", "way")) == {
        near.pk: "inbox.window",
        far.pk: "inbox.window",
        refusing.pk: "",
    }
    assert dict(ExpiryWarning.objects.values_list("member_id", "why"))[refusing.pk] == "REFUSED"


def test_days_that_are_near_come_in_one_message_that_lists_the_lots(owed):
    near, far, _refusing = owed
    for number in range(6):
        services.earn_points(
            operation=Operation("test", f"more {number}"),
            member_id=near.pk,
            points=100 + number,
            source="test",
            at=AT + timedelta(days=5 + number % 2),
        )
    for number, lot in enumerate(Lot.objects.filter(member=near).order_by("pk")[1:]):
        Lot.objects.filter(pk=lot.pk).update(expires_at=lot.expires_at + (1 + number % 2) * DAY)
    services.warn_of_expiry(at=NOON)
    assert ExpiryWarning.objects.filter(member=near).count() == 3
    services.carry_warnings(at=NOON)

    (text,) = said(near)
    assert text == (
        "您有 625 积分即将到期：2025-06-30：10 分（2025-06-01 得到）；2025-07-01：100 分（2025-06-06 得到）；"
        "2025-07-01：102 分（2025-06-06 得到）；2025-07-01：104 分（2025-06-06 得到）；"
        "2025-07-02：101 分（2025-06-07 得到）；另有 2 笔。记得使用。"
    )
    assert set(ExpiryWarning.objects.filter(member=near).values_list("way", flat=True)) == {"inbox.window"}
    assert ExpiryWarning.objects.get(member=far).why == "NO_WINDOW"


def test_people_are_told_of_what_is_there_when_they_are_told(owed):
    near, far, _refusing = owed
    later = NOON + DAY
    more = {"source": "test", "at": NOON}
    services.earn_points(operation=Operation("test", "late"), member_id=near.pk, points=7, **more)
    services.burn_points(operation=Operation("test", "spent"), member_id=near.pk, points=4, **more)
    Lot.objects.filter(member=far).update(expires_at=NOON + 90 * DAY)  # prolonged by something they did
    record_act(follower=far.followers.get(), act=windows.Act.MESSAGE, at=NOON)
    services.warn_of_expiry(at=later)
    services.carry_warnings(at=later)

    (text,) = said(near)
    assert (
        text
        == "您有 13 积分即将到期：2025-06-30：6 分（2025-06-01 得到）；2025-06-30：7 分（2025-06-27 得到）。记得使用。"
    )
    assert said(far) == []
    row = ExpiryWarning.objects.get(member=far)
    assert (row.points, row.lots, row.way, row.why) == (0, [], "", "NOTHING_LEFT")
    assert selectors.figures_of(about="points", at=later) == {
        "told": 1, "waiting": 1, "missed": 0, "dropped": 1, "why": {"REFUSED": 1},
    }  # fmt: skip

    Lot.objects.filter(member=far).update(expires_at=Lot.objects.filter(member=near).first().expires_at)
    services.carry_warnings(at=later + timedelta(hours=7))  # the points are back, and are told after all
    assert said(far) == [TEXT.format(11)]
    assert len(said(near)) == 1


def test_page_counts_whom_warnings_reached_and_says_why_not(owed, brand, monkeypatch):
    monkeypatch.setattr("loyalty.admin.warnings.now", lambda: NOON)
    near, far, refusing = owed
    with brand_scope(brand.pk):
        services.carry_warnings(at=NOON)
        staff = make_staff("owner-w", "OWNER")
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get("/b/lanyu/loyalty/warnings/")
    shown = page.context
    assert [each["people"] for each in shown["figures"]] == [1, 2, 0, 0]
    assert sorted(each["people"] for each in shown["reasons"]) == [1, 1]
    assert client.get("/b/lanyu/loyalty/warnings/?state=told").content.decode().count("<tr><th scope") >= 1
    assert {row["row"].member_id for row in client.get("/b/lanyu/loyalty/warnings/?state=told").context["rows"]} == {
        near.pk
    }
    everybody = {row["row"].member_id for row in shown["rows"]}
    assert everybody == {near.pk, far.pk, refusing.pk}
