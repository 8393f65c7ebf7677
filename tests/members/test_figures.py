"""Pages that show figures over everybody: a large brand's say as of when they are, and nobody waits for them twice."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from redis import RedisError

from accounts.tenancy import brand_scope
from common.clock import now
from members import figures, tasks
from members.figures import FRESH, counted
from members.services import tag_members
from tests.factories import AT, make_account, make_member, make_staff, make_tag

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _nothing_kept():
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def rung(monkeypatch):
    """What would be counted in the background."""
    calls = []
    monkeypatch.setattr(figures, "ring", lambda *args: calls.append(args[1:]))
    return calls


@pytest.fixture
def large(monkeypatch):
    monkeypatch.setattr(figures, "LARGE", 1)


@pytest.fixture
def people(in_brand):
    account, tag = make_account(), make_tag("老客")
    members = [make_member(account) for _ in range(4)]
    tag_members(member_ids=[each.pk for each in members[:2]], tag_ids=[tag.pk], source="t", at=AT)
    return tag, members


def per_tag(tag, at):
    found = counted(figures.PEOPLE_PER_TAG, {"tags": [tag.pk]}, at=at)
    return found.value.get(str(tag.pk)), found.as_of


def test_small_brand_counts_at_once(people, rung):
    tag, members = people
    assert per_tag(tag, AT) == (2, AT)
    tag_members(member_ids=[members[2].pk], tag_ids=[tag.pk], source="t", at=AT)
    assert per_tag(tag, AT + MINUTE) == (3, AT + MINUTE)
    assert rung == []


def test_large_brand_shows_what_was_counted_last_and_has_it_counted_behind_the_page(people, large, rung):
    tag, members = people
    assert per_tag(tag, AT) == (2, AT)
    tag_members(member_ids=[members[2].pk], tag_ids=[tag.pk], source="t", at=AT)
    with CaptureQueriesContext(connection) as seen:
        assert per_tag(tag, AT + FRESH) == (2, AT)
    assert not [each for each in seen if "members_membertag" in each["sql"]]
    assert rung == []
    for _twice in range(2):  # whoever comes meanwhile does not have it counted again
        assert per_tag(tag, AT + FRESH + MINUTE) == (2, AT)
    ((brand_id, key, params),) = rung

    figures.count_anew(key, {"tags": [tag.pk]}, at=AT + FRESH + 2 * MINUTE)

    assert (brand_id, params) == (tag.brand_id, f'{{"tags": [{tag.pk}]}}')
    assert per_tag(tag, AT + FRESH + 3 * MINUTE) == (3, AT + FRESH + 2 * MINUTE)


def test_brands_are_kept_apart_and_the_worker_counts_for_its_own(brand, other_brand, large, rung):
    for each, names in ((brand, 2), (other_brand, 3)):
        with brand_scope(each.pk):
            members = [make_member(make_account(f"号{each.pk}{number}")) for number in range(names)]
            tag = make_tag("同名")
            tag_members(member_ids=[row.pk for row in members], tag_ids=[tag.pk], source="t", at=AT)
            assert per_tag(tag, AT) == (names, AT)
    with brand_scope(brand.pk):
        assert counted(figures.PEOPLE_PER_TAG, {"tags": [tag.pk]}, at=AT).value == {}  # the other brand's tag
    tasks.count_figure(other_brand.pk, figures.PEOPLE_PER_TAG, f'{{"tags": [{tag.pk}]}}')
    tasks.count_figure(other_brand.pk, "unknown", "{}")
    with brand_scope(other_brand.pk):
        assert per_tag(tag, now())[0] == 3


def test_without_redis_it_is_counted(people, large, rung, monkeypatch):
    tag, _members = people

    def away(*_args, **_more):
        raise RedisError

    monkeypatch.setattr(figures.cache, "get", away)
    assert per_tag(tag, AT) == (2, AT)


@pytest.mark.parametrize(
    ("page", "table"),
    [
        ("", 'AS "all"'),
        ("members/tag/", "members_membertag"),
        ("segments/rfm/", "loyalty_fact"),
        ("loyalty/birthdays/", "unnest("),
        ("conversations/menu/", 'COUNT(*) AS "__count" FROM "members_follower"'),
    ],
)
def test_second_look_at_a_page_of_a_large_brand_reads_nobody(people, large, rung, page, table):
    from loyalty.models import BirthdayProgramme
    from loyalty.services import save_birthday_programme

    programme = BirthdayProgramme(benefit="points", params={"points": 100}, is_on=False)
    save_birthday_programme(programme=programme, at=AT)
    client = Client()
    client.force_login(make_staff("owner", "OWNER"), backend="django.contrib.auth.backends.ModelBackend")
    address = f"/b/{people[0].brand.slug}/{page}"
    asked = []
    for _twice in range(2):
        with CaptureQueriesContext(connection) as seen:
            answer = client.get(address)
        assert answer.status_code == 200, page
        asked.append(sum(table in each["sql"] for each in seen))
    assert asked[0] > asked[1] == 0, (page, asked)
    assert "截至" in answer.content.decode()
