"""First response times: median and nine tenths per store, region and person, within hours, of what one may see."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from types import SimpleNamespace
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import RoleGrant
from accounts.roles import DataScope, Role
from accounts.tenancy import brand_scope
from accounts.viewer import Viewer
from common import clock
from inbox import figures, services
from inbox.models import Answer, Conversation, Level, ServiceHours
from inbox.services import queue
from stores.models import DayException, Region, RegionGrant, Store
from stores.selectors import time_within
from tests.console.conftest import as_manager, as_owner, manager, ours, owner, theirs
from tests.factories import AT, make_account, make_follower, make_member, make_staff, make_store
from tests.inbox.conftest import say, seconds

__all__ = ["as_manager", "as_owner", "manager", "ours", "owner", "theirs"]
ZONE = ZoneInfo("Asia/Shanghai")
LATE = datetime(2025, 6, 1, 21, 50, tzinfo=ZONE)  # ten minutes before the store closes


def answered(follower, staff, *, since, at, level=Level.DESK):
    """Somebody wrote, and somebody of the brand answered."""
    conversation = say(follower, "在吗", at=since)
    Conversation.objects.filter(pk=conversation.pk).update(level=level)
    services.send_text(conversation_id=conversation.pk, staff_id=staff.pk, text="在", client_key=uuid4(), at=at)
    return Answer.objects.order_by("-pk").first()


def at_store(account, store):
    return make_member(account, store=store).followers.get()


def test_the_night_does_not_count_for_a_store(account, in_brand):
    store, staff = make_store(), make_staff("li", Role.STORE_MANAGER)
    morning = datetime(2025, 6, 2, 10, 5, tzinfo=ZONE)
    row = answered(at_store(account, store), staff, since=LATE, at=morning, level=Level.STORE)
    assert (row.seconds, row.office_seconds) == ((morning - LATE).total_seconds(), 15 * 60)


def test_the_desk_has_its_own_hours_and_none_means_always(account, in_brand):
    store, staff = make_store(), make_staff("desk", Role.SERVICE_DESK)
    morning = datetime(2025, 6, 2, 10, 5, tzinfo=ZONE)
    always = answered(at_store(account, store), staff, since=LATE, at=morning)
    assert always.office_seconds == always.seconds
    ServiceHours.objects.create(weekday=6, opens=time(9), closes=time(22))
    ServiceHours.objects.create(weekday=0, opens=time(9), closes=time(18))
    row = answered(at_store(account, store), staff, since=LATE, at=morning)
    assert row.office_seconds == (10 + 65) * 60


def test_a_closed_day_does_not_count(account, in_brand):
    store, staff = make_store(), make_staff("li", Role.STORE_MANAGER)
    DayException.objects.create(store=store, day=LATE.date() + timedelta(days=1), reason="盘点")
    later = datetime(2025, 6, 3, 10, 1, tzinfo=ZONE)
    row = answered(at_store(account, store), staff, since=LATE, at=later, level=Level.GUIDE)
    assert row.office_seconds == 11 * 60


def test_an_answer_outside_hours_took_no_time_within_them(account, in_brand):
    store, staff = make_store(), make_staff("li", Role.STORE_MANAGER)
    night = datetime(2025, 6, 1, 23, tzinfo=ZONE)
    row = answered(at_store(account, store), staff, since=night, at=night + seconds(90), level=Level.STORE)
    assert (row.seconds, row.office_seconds) == (90, 0)


MINUTES = st.integers(0, 3 * 1440)
SPANS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1439), st.integers(0, 1439)), max_size=6)


@given(SPANS, MINUTES, st.integers(0, 2000))
def test_time_within_hours_is_what_counting_every_minute_gives(spans, start, length):
    """A minute counts when a span of its day, or one of the day before that reaches over midnight, covers it."""
    week = {}
    for day, opens, closes in spans:
        week.setdefault(day, []).append((time(opens // 60, opens % 60), time(closes // 60, closes % 60)))
    since = datetime(2025, 6, 2, tzinfo=ZONE) + timedelta(minutes=start)
    until = since + timedelta(minutes=length)

    def covered(moment):
        at = moment.hour * 60 + moment.minute
        for day, opens, closes in spans:
            ends = closes if closes > opens else closes + 1440
            for back in (0, 1):
                if day == (moment - timedelta(days=back)).weekday() and opens <= at + back * 1440 < ends:
                    return True
        return False

    counted = sum(covered(since + timedelta(minutes=each)) for each in range(length))
    assert time_within(since, until, week, {}, ZONE) == timedelta(minutes=counted)


@pytest.fixture
def chain(in_brand, account):
    """全国 > 华东 > 上海 with a store in each, a store in no region, and who answered how fast."""
    top = Region.objects.create(name="全国")
    east = Region.objects.create(name="华东", parent=top)
    city = Region.objects.create(name="上海", parent=east)
    stores = {
        name: Store.objects.create(code=name, name=name, region=region)
        for name, region in (("总店", top), ("杭州店", east), ("静安店", city), ("快闪店", None))
    }
    people = {name: make_staff(name, Role.SERVICE_DESK) for name in ("甲", "乙")}
    waits = {
        "总店": [("甲", 100)],
        "杭州店": [("甲", 10), ("甲", 20), ("乙", 30)],
        "静安店": [("乙", 40), ("乙", 60)],
        "快闪店": [("乙", 400)],
    }
    for store, rows in waits.items():
        for who, wait in rows:
            answered(at_store(account, stores[store]), people[who], since=AT, at=AT + seconds(wait))
    return SimpleNamespace(stores=stores, regions={"全国": top, "华东": east, "上海": city}, people=people)


def told(viewer, by, at=AT + timedelta(hours=1), **more):
    return {
        row.label: (row.count, row.median, row.slow) for row in figures.response_times(viewer, by=by, at=at, **more)
    }


def test_figures_per_store_region_and_person_are_the_percentiles_of_their_waits(chain, viewer_of_brand):
    assert told(viewer_of_brand, "store") == {
        "总店": (1, 100, 100),
        "杭州店": (3, 20, 28),
        "静安店": (2, 50, 58),
        "快闪店": (1, 400, 400),
    }
    assert told(viewer_of_brand, "region") == {
        "全国": (6, 35, 80),
        "全国 / 华东": (5, 30, 52),
        "全国 / 华东 / 上海": (2, 50, 58),
        "": (1, 400, 400),
    }
    assert told(viewer_of_brand, "person") == {"甲": (3, 20, 84), "乙": (4, 50, 298)}
    assert next(iter(told(viewer_of_brand, "store"))) == "快闪店"  # slowest first


def test_only_first_answers_of_the_window_count(chain, viewer_of_brand):
    assert told(viewer_of_brand, "store", at=AT + timedelta(days=8)) == {}
    assert len(told(viewer_of_brand, "store", at=AT + timedelta(days=8), days=30)) == 4
    Answer.objects.filter(store=chain.stores["总店"]).update(is_first=False)
    assert "总店" not in told(viewer_of_brand, "store")


def test_a_region_manager_sees_own_stores_and_no_sum_that_tells_of_others(chain, in_brand, other_brand):
    user = make_staff("east", Role.REGION_MANAGER, scope=DataScope.STORES)
    grant = RoleGrant.objects.get(staff_user=user)
    RegionGrant.objects.create(grant=grant, region=chain.regions["华东"])
    viewer = Viewer(user.pk, "", in_brand.pk, grant.role, grant.scope, grant.pk)
    assert set(told(viewer, "store")) == {"杭州店", "静安店"}
    assert told(viewer, "region") == {"全国 / 华东": (3, 20, 28), "全国 / 华东 / 上海": (2, 50, 58)}
    assert told(viewer, "person") == {"甲": (2, 15, 19), "乙": (3, 40, 56)}
    own = Viewer(chain.people["甲"].pk, "", in_brand.pk, Role.GUIDE, DataScope.OWN, None)
    assert told(own, "person") == {"甲": (3, 20, 84)}


def test_another_brands_answers_are_not_counted(brand, other_brand):
    for each, wait in ((other_brand, 500), (brand, 50)):
        with brand_scope(each.pk):
            staff = make_staff("desk", Role.SERVICE_DESK)  # works for both
            answered(make_follower(make_account()), staff, since=AT, at=AT + seconds(wait))
            viewer = Viewer(None, "", each.pk, Role.OWNER)
            assert told(viewer, "person") == {"desk": (1, wait, wait)}


PAGE = "/b/lanyu/inbox/speed/"


@pytest.mark.django_db
def test_the_page_has_groups_windows_and_a_table_to_take_away(as_owner, as_manager, ours, theirs):
    with brand_scope(theirs.brand.pk):
        staff = make_staff("灶山客服", Role.SERVICE_DESK)
        answered(theirs.member.followers.get(), staff, since=clock.now() - seconds(9), at=clock.now())
    with brand_scope(ours.brand.pk):
        staff = make_staff("叶小满", Role.SERVICE_DESK)
        for member, wait in ((ours.member, 120), (ours.far_member, 600)):
            answered(member.followers.get(), staff, since=clock.now() - seconds(wait), at=clock.now())
    by_store = as_owner.get(PAGE).content.decode()
    assert "2 分 0 秒" in by_store
    assert "北京三里屯店" in by_store
    by_person = as_owner.get(PAGE, {"by": "person", "days": "30"}).content.decode()
    assert "叶小满" in by_person
    assert "灶山" not in by_person
    assert "北京三里屯店" not in as_manager.get(PAGE).content.decode()
    table = as_owner.get(PAGE, {"by": "store", "as": "csv"})
    assert table["Content-Type"] == "text/csv; charset=utf-8"
    assert table.content.decode("utf-8-sig").splitlines() == [
        "门店,会话,中位数（秒）,九成在此之内（秒）",
        "北京三里屯店,1,600,600",
        "澜静安店,1,120,120",
    ]
    assert as_owner.get(PAGE, {"by": "' OR 1", "days": "9"}).status_code == 200


def test_keeping_a_conversation_with_a_level_uses_its_hours(account, in_brand):
    """The level at the moment of the answer decides, so what the store passed on to the desk counts the desk's hours."""
    store, staff = make_store(), make_staff("desk", Role.SERVICE_DESK)
    ServiceHours.objects.create(weekday=6, opens=time(0), closes=time(0))
    night = datetime(2025, 6, 1, 23, tzinfo=ZONE)
    conversation = say(at_store(account, store), "在吗", at=night)
    row = Conversation.objects.select_for_update().get(pk=conversation.pk)
    queue.give_to(row, staff_id=staff.pk, level=Level.DESK, at=night)
    row.save()
    services.send_text(conversation_id=row.pk, staff_id=staff.pk, text="在", client_key=uuid4(), at=night + seconds(60))
    assert Answer.objects.get().office_seconds == 60
