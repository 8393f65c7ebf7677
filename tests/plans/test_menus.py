"""How PostgreSQL finds whose menu is not settled, and the tags of one person: by the index of taggings."""

import pytest

from conversations.models import LastTag, Menu
from conversations.selectors import tags_at_wechat, unsettled_people
from members.models import RemoteTag, RemoteTagging
from tests.factories import AT, make_account, make_follower, make_tag
from tests.plans.test_plans import watch

__all__ = ["watch"]


@pytest.fixture
def tagged(in_brand):
    """An account with a menu for one of its three tags, and people with one or several of them."""
    account = make_account()
    tags = [
        RemoteTag.objects.create(account=account, tag=make_tag(f"标签{number}", sync=True), remote_id=100 + number)
        for number in range(3)
    ]
    people = [make_follower(account) for _ in range(9)]
    for number, person in enumerate(people):
        for tag in tags[: number % 3 + 1]:
            RemoteTagging.objects.create(remote_tag=tag, follower=person)
    LastTag.objects.create(follower=people[1], remote_tag_id=100, remote_tag_ids=[100, 101], at=AT)
    Menu.objects.create(
        account=account, remote=[{"menuid": "1", "remote_tag_id": 100, "tag_menu_id": 1, "buttons": []}]
    )
    return account, people


def test_unsettled_people_and_one_persons_tags_are_found_by_the_index_of_taggings(tagged, watch):
    account, people = tagged
    watch.seen.clear()
    found = unsettled_people(account.pk, most=100)
    assert [each.follower_id for each in found] == [people[number].pk for number in (2, 4, 5, 7, 8)]
    assert tags_at_wechat(account.pk, [people[0].pk])[people[0].pk].last == 100

    assert watch.faults() == []
