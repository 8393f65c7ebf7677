"""Figures of segments: never older than they say, and never silently stuck."""

from datetime import timedelta

from accounts.tenancy import brand_scope
from members.models import Segment
from members.services import recount_segments, save_segment
from tests.factories import AT, make_account, make_member, make_tag
from wechat_gateway.models import Incident

HOUR = timedelta(hours=1)
FOLLOWING = {"all": [{"condition": "subscribed", "params": {"value": "yes"}}]}


def open_incidents():
    return sorted(Incident.objects.filter(closed_at=None).values_list("kind", "subject"))


def test_old_figure_is_counted_again_and_a_fresh_one_is_left(brand, other_brand):
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            make_member(make_account())
            save_segment(name="新", rule=FOLLOWING, at=AT, counted=7)
            save_segment(name="从未", rule=FOLLOWING, at=AT)
    assert recount_segments(brand.pk, at=AT + HOUR - timedelta(seconds=1)) == 1
    with brand_scope(brand.pk):
        assert dict(Segment.objects.values_list("name", "counted")) == {"新": 7, "从未": 1}
    assert recount_segments(brand.pk, at=AT + HOUR) == 1
    with brand_scope(brand.pk):
        fresh = Segment.objects.get(name="新")
        assert (fresh.counted, fresh.counted_at, fresh.updated_at) == (1, AT + HOUR, AT)
    with brand_scope(other_brand.pk):
        assert dict(Segment.objects.values_list("name", "counted")) == {"新": 7, "从未": None}


def test_segment_that_cannot_be_counted_opens_an_incident_until_it_can(brand):
    with brand_scope(brand.pk):
        tag = make_tag("会消失")
        asks = {"all": [{"condition": "tag", "params": {"how": "any", "tags": [tag.pk]}}]}
        broken = save_segment(name="坏", rule=asks, at=AT, counted=3)
        save_segment(name="好", rule=FOLLOWING, at=AT)
        tag.delete()
    assert [recount_segments(brand.pk, at=AT + hours * HOUR) for hours in (1, 2)] == [1, 1]
    with brand_scope(brand.pk):
        assert open_incidents() == [("members.segments", "坏")]
        broken.refresh_from_db()
        assert (broken.counted, broken.counted_at) == (3, AT)
        save_segment(name="坏", rule=FOLLOWING, at=AT, segment=broken)
    assert recount_segments(brand.pk, at=AT + 3 * HOUR) == 2
    with brand_scope(brand.pk):
        assert open_incidents() == []
