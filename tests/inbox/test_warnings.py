"""News that points end: written to whoever may be written to, once for a day, whenever they can first be reached."""

from __future__ import annotations

from datetime import timedelta

import pytest

from common import failpoints
from inbox.models import Message
from inbox.services.ledger import record_act
from loyalty import services
from loyalty.models import ExpiryWarning, PointsPolicy
from loyalty.services import Operation
from members import services as member_services
from tests.factories import AT, make_account, make_member
from wechat_gateway import windows

DAY = timedelta(days=1)
NOON = AT + 26 * DAY + timedelta(hours=4)  # 12:00 of the brand, four days before the month ends


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
    assert said(near) == ["您有 10 积分将于 2025-06-30 到期，记得使用。"]
    assert said(far) == said(refusing) == []
    record_act(follower=far.followers.get(), act=windows.Act.MESSAGE, at=NOON + DAY)
    for days in (1, 2):
        services.carry_warnings(at=NOON + days * DAY + timedelta(hours=1))
    assert said(far) == ["您有 11 积分将于 2025-06-30 到期，记得使用。"]
    assert said(near) == ["您有 10 积分将于 2025-06-30 到期，记得使用。"]
    assert said(refusing) == []
    assert dict(ExpiryWarning.objects.values_list("member_id", "way")) == {
        near.pk: "inbox.window",
        far.pk: "inbox.window",
        refusing.pk: "",
    }
