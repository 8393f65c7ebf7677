"""Two people change the channel tree at the same moment: the second sees what the first did."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection

from accounts.tenancy import brand_scope
from tests.factories import AT, make_account, make_store
from tests.touchpoints.conftest import DAY
from touchpoints.errors import NotInTree, PermanentCodesUsedUp
from touchpoints.models import Touchpoint
from touchpoints.selectors import lookups, path_of, tree_nodes
from touchpoints.services import (
    archive_branch,
    create_touchpoint,
    create_touchpoints,
    move_branch,
    plan_codes,
    restore_branch,
)


def other_line(brand, act):
    """Another connection does something; gives the thread, and what it was refused."""
    refused = []

    def work():
        try:
            with brand_scope(brand.pk):
                act()
        except (NotInTree, PermanentCodesUsedUp) as error:
            refused.append(error)
        finally:
            connection.close()

    line = threading.Thread(target=work)
    line.start()
    return line, refused


def wait_until_it_waits(line):
    """Until the other line is done or waits for a lock."""
    end = time.monotonic() + 30
    while line.is_alive() and time.monotonic() < end:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)


def meanwhile(brand, first, second):
    """The second begins when the first has written and not committed yet; gives what the second was refused."""
    with brand_scope(brand.pk):
        first()
        line, refused = other_line(brand, second)
        wait_until_it_waits(line)
    line.join(30)
    assert not line.is_alive()
    return refused


@pytest.fixture
def two(brand, transactional_db):
    with brand_scope(brand.pk):
        return [create_touchpoint(name=name, at=AT) for name in ("门店", "包装")]


def test_two_branches_are_never_hung_below_each_other(brand, two):
    shops, packs = two

    refused = meanwhile(
        brand,
        lambda: move_branch(touchpoint=shops, parent=packs, at=AT, restates=False),
        lambda: move_branch(touchpoint=packs, parent=shops, at=AT, restates=False),
    )

    with brand_scope(brand.pk):
        above = dict(Touchpoint.objects.values_list("pk", "parent_id"))
    assert len(refused) == 1
    assert above == {shops.pk: packs.pk, packs.pk: None}


def test_nothing_new_stands_below_what_is_being_archived(brand, two):
    shops, _packs = two

    refused = meanwhile(
        brand,
        lambda: archive_branch(touchpoint=shops, at=AT),
        lambda: create_touchpoint(name="静安店", parent=shops, at=AT),
    )

    assert len(refused) == 1
    with brand_scope(brand.pk):
        assert Touchpoint.objects.count() == 2


def test_nothing_is_moved_below_what_is_being_archived(brand, two):
    shops, packs = two

    refused = meanwhile(
        brand,
        lambda: archive_branch(touchpoint=shops, at=AT),
        lambda: move_branch(touchpoint=packs, parent=shops, at=AT, restates=False),
    )

    assert len(refused) == 1
    with brand_scope(brand.pk):
        assert Touchpoint.objects.get(pk=packs.pk).parent_id is None


def test_what_is_being_hung_below_a_branch_is_archived_with_it(brand, two):
    shops, packs = two

    meanwhile(
        brand,
        lambda: move_branch(touchpoint=packs, parent=shops, at=AT, restates=False),
        lambda: archive_branch(touchpoint=shops, at=AT),
    )

    with brand_scope(brand.pk):
        assert Touchpoint.objects.filter(archived_at=None).count() == 0


@pytest.mark.parametrize("where", ["top", "below"])
def test_one_batch_asked_for_twice_at_once_is_made_once(brand, two, where):
    """Both were planned before either was made: a double click. WeChat takes no permanent code back."""
    parent = two[0] if where == "below" else None
    with brand_scope(brand.pk):
        account, store = make_account(), make_store()
        plan = plan_codes(stores=[store], objects=["门口", "柜台"], parent=parent)

    def make():
        create_touchpoints(plan=plan, account=account, parent=parent, at=AT, is_permanent=True)

    assert meanwhile(brand, make, make) == []

    with brand_scope(brand.pk):
        codes = Touchpoint.objects.exclude(scene="").order_by("pk")
        assert [code.name for code in codes] == [each.name for each in plan]
        assert Touchpoint.objects.filter(name=store.name, scene="").count() == 1


def test_two_at_once_never_order_more_permanent_codes_than_are_left(brand, two, monkeypatch):
    monkeypatch.setattr(lookups, "PERMANENT_CODES", 1)
    with brand_scope(brand.pk):
        account = make_account()

    refused = meanwhile(
        brand,
        lambda: create_touchpoint(name="门口", account=account, is_permanent=True, at=AT),
        lambda: create_touchpoint(name="柜台", account=account, is_permanent=True, at=AT),
    )

    assert [type(each) for each in refused] == [PermanentCodesUsedUp]
    with brand_scope(brand.pk):
        assert Touchpoint.objects.filter(is_permanent=True).count() == 1


def test_a_circle_ends_every_walk_and_can_be_opened(brand, two):
    """Written by an earlier version that let two moves pass at once."""
    shops, packs = two
    with brand_scope(brand.pk):
        Touchpoint.objects.filter(pk=shops.pk).update(parent=packs)
        Touchpoint.objects.filter(pk=packs.pk).update(parent=shops)
        parents = {node.pk: node.parent_id for node in tree_nodes()}

        assert path_of(parents, shops.pk) == (packs.pk, shops.pk)
        restore_branch(touchpoint=shops, at=AT + DAY)
        with pytest.raises(NotInTree):
            move_branch(touchpoint=create_touchpoint(name="活动", at=AT), parent=deep(shops), at=AT, restates=False)

        move_branch(touchpoint=shops, parent=None, at=AT + DAY, restates=True)
        assert dict(Touchpoint.objects.filter(pk__in=parents).values_list("pk", "parent_id")) == {
            shops.pk: None,
            packs.pk: shops.pk,
        }


def deep(parent):
    """The lowest place that a tree may have below a place of the second level."""
    for number in range(4):
        parent = create_touchpoint(name=f"层{number}", parent=parent, at=AT)
    return parent


def test_new_channel_is_refused_a_level_below_the_last(in_brand):
    lowest = deep(create_touchpoint(name="静安店", parent=create_touchpoint(name="门店", at=AT), at=AT))

    with pytest.raises(NotInTree):
        create_touchpoint(name="门口", parent=lowest, at=AT)
