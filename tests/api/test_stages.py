"""Where somebody stands in the life cycle, told to the brand's other systems: of its own people only."""

from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope
from members import services
from members.models import Member
from tests.factories import AT

pytestmark = pytest.mark.django_db


def test_system_reads_where_a_member_stands_and_every_move(a, b):
    for side in (a, b):
        with brand_scope(side.brand.pk):
            grouping = services.begin_lifecycle(at=AT)
            Member.objects.filter(pk=side.member.pk).update(joined_at=AT, last_interaction_at=AT)
            services.track_stages(grouping=grouping, at=AT + timedelta(days=1))
    with brand_scope(a.brand.pk):
        services.track_stages(grouping=services.begin_lifecycle(at=AT), at=AT + timedelta(days=20))
    path = f"/members/{a.member.member_no}/stages/"
    told = a.key("members.read").get(path).json()
    assert [(each["grouping"], each["stage"]) for each in told["results"]] == [("生命周期", "品牌兴趣")]
    assert [(each["before"], each["after"], each["is_first"]) for each in told["moves"]] == [
        ("行为参与", "品牌兴趣", False),
    ]
    assert b.system.get(f"/members/{b.member.member_no}/stages/").json()["moves"] == []
    assert a.system.get(f"/members/{b.member.member_no}/stages/").status_code == 404
    assert a.system.get(path, days="3").status_code == 422
    assert a.key("points.read").get(path).status_code == a.me.get(path).status_code == 403
