"""Tags at WeChat that are not kept in step any more are deleted there, and lost ones made again: by workers, once."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils.translation import override

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from conversations.models import Menu, TagMenu
from members.errors import TagStays
from members.models import Follower, MemberTag, RemoteTag, RemoteTagging, Tag, TagGroup, TagRoll
from members.services import (
    change_tag,
    delete_at_wechat,
    delete_leaving_tags,
    fetch_followers,
    make_again,
    read_roll,
    save_tag_group,
    set_tag_sync,
    sweep_leaving,
    sync_tags,
    tag_members,
)
from tests.factories import AT, make_account, make_staff, make_tag
from wechat_gateway import calls

pytestmark = pytest.mark.usefixtures("english")
DELETE = "/cgi-bin/tags/delete"


@pytest.fixture
def english():
    with override("en"):
        yield


@pytest.fixture
def known(brand, simulator):
    """A tag on three followers, at WeChat and here, and not kept in step any more."""
    with brand_scope(brand.pk):
        account, tag = make_account(), make_tag("七夕", sync=True)
    simulator.know(account)
    simulator.crowd(account, 3)
    fetch_followers(brand.pk, account.pk, at=AT)
    with brand_scope(brand.pk):
        people = list(Follower.objects.order_by("pk").values_list("member_id", flat=True))
        tag_members(member_ids=people, tag_ids=[tag.pk], source="test", at=AT)
    sync_tags(brand.pk, account.pk, at=AT)
    with brand_scope(brand.pk):
        set_tag_sync(tag=tag, sync=False)
        tag.refresh_from_db()
    return account, tag


def at_wechat(account):
    answer = calls.list_tags(account, at=AT)
    return {row["name"]: row["count"] for row in answer.data["tags"] if row["id"] >= 100}


def deleted(brand, account, tag):
    with brand_scope(brand.pk):
        there = delete_at_wechat(tag=tag, account_id=account.pk)
    return there, delete_leaving_tags(brand.pk, at=AT)


def calls_of(simulator, account, path):
    return len(simulator.get(f"/_sim/calls?appid={account.appid}&path={path}&limit=1000")["calls"])


def page_of(brand, tag):
    return f"/b/{brand.slug}/tags/{tag.pk}/wechat/"


@pytest.fixture
def staff(brand):
    client = Client()
    client.cookies["django_language"] = "en"
    with brand_scope(brand.pk):
        client.force_login(make_staff("tags", "OWNER"), backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_a_tag_that_is_not_kept_in_step_is_deleted_at_wechat_once_and_people_here_keep_it(brand, known, simulator):
    account, tag = known
    assert at_wechat(account) == {"七夕": 3}

    assert deleted(brand, account, tag) == (True, 1)
    assert deleted(brand, account, tag) == (False, 0)
    assert (at_wechat(account), calls_of(simulator, account, DELETE)) == ({}, 1)
    with brand_scope(brand.pk):
        assert (RemoteTag.objects.count(), RemoteTagging.objects.count()) == (0, 0)
        assert MemberTag.objects.filter(tag=tag).count() == 3
        assert TagRoll.objects.get().tags == []
        assert AuditEntry.objects.filter(action="delete tag at WeChat").count() == 1
    sync_tags(brand.pk, account.pk, at=AT)
    assert at_wechat(account) == {}


def test_a_tag_that_is_kept_in_step_again_is_not_deleted(brand, known):
    account, tag = known
    with brand_scope(brand.pk):
        delete_at_wechat(tag=tag, account_id=account.pk)
        set_tag_sync(tag=tag, sync=True)
    assert delete_leaving_tags(brand.pk, at=AT) == 0
    with brand_scope(brand.pk):
        assert RemoteTag.objects.get().state == ""
        with pytest.raises(TagStays, match="kept in step"):
            delete_at_wechat(tag=tag, account_id=account.pk)
    assert at_wechat(account) == {"七夕": 3}


@pytest.mark.parametrize("way", ["draft", "published", "waits"])
def test_a_tag_that_a_personalised_menu_uses_stays(brand, known, way):
    account, tag = known
    with brand_scope(brand.pk):
        remote = RemoteTag.objects.get()
        if way == "draft":
            TagMenu.objects.create(account=account, tag=tag)
        else:
            Menu.objects.create(
                account=account,
                remote=[{"menuid": "1", "remote_tag_id": remote.remote_id}] if way == "published" else [],
                wanted={"tag_menus": [{"tag": tag.pk}]} if way == "waits" else {},
            )
        with pytest.raises(TagStays, match="used by"):
            delete_at_wechat(tag=tag, account_id=account.pk)
        TagMenu.objects.all().delete()
        Menu.objects.all().delete()
        assert delete_at_wechat(tag=tag, account_id=account.pk)


def test_a_tag_whose_group_follows_wechat_and_one_with_too_many_followers_stay(brand, known):
    account, tag = known
    with brand_scope(brand.pk):
        change_tag(tag=tag, group="门店", at=AT)
        save_tag_group(name="店", at=AT, direction="PULL")
        change_tag(tag=tag, group="店", at=AT)
        tag.refresh_from_db()
        with pytest.raises(TagStays):
            delete_at_wechat(tag=tag, account_id=account.pk)
        change_tag(tag=tag, group="", at=AT)
        tag.refresh_from_db()
        remote_id = RemoteTag.objects.get().remote_id
        TagRoll.objects.update(tags=[{"id": remote_id, "name": "七夕", "count": 100_001}])
        with pytest.raises(TagStays, match="100,000"):
            delete_at_wechat(tag=tag, account_id=account.pk)
        TagRoll.objects.update(tags=[{"id": remote_id, "name": "七夕", "count": 100_000}])
        assert delete_at_wechat(tag=tag, account_id=account.pk)


def test_what_wechat_refuses_is_said_and_may_be_asked_again(brand, known, simulator, staff):
    account, tag = known
    simulator.fault(kind="errcode", errcode=45057, appid=account.appid, path=DELETE, count=1)

    assert deleted(brand, account, tag) == (True, 0)
    with brand_scope(brand.pk):
        row = RemoteTag.objects.get()
        assert (row.state, row.refused_code) == ("", 45057)
    said = staff.get(page_of(brand, tag)).content.decode()
    assert "WeChat did not delete the tag." in said
    assert "Take it off them in WeChat&#x27;s console first. (45057)" in said
    assert deleted(brand, account, tag) == (True, 1)


def test_an_answer_that_was_lost_ends_in_what_wechats_list_says(brand, known, simulator):
    account, tag = known
    simulator.fault(kind="accept_then_cut", appid=account.appid, path=DELETE, count=1)

    assert deleted(brand, account, tag)[0]
    delete_leaving_tags(brand.pk, at=AT)
    with brand_scope(brand.pk):
        assert not RemoteTag.objects.exists()
    assert at_wechat(account) == {}


def test_a_tag_that_wechat_seems_not_to_know_stays_as_long_as_its_list_has_it(brand, known, simulator):
    account, tag = known
    simulator.fault(kind="errcode", errcode=45159, appid=account.appid, path=DELETE, count=1)

    assert deleted(brand, account, tag) == (True, 0)
    with brand_scope(brand.pk):
        assert RemoteTag.objects.get().state == "LEAVING"
    assert (sweep_leaving(), delete_leaving_tags(brand.pk, at=AT), sweep_leaving()) == (1, 1, 0)


def test_a_tag_of_a_group_that_follows_wechat_is_made_again_with_its_people_when_somebody_says_so(
    brand, known, simulator, staff
):
    account, tag = known
    with brand_scope(brand.pk):
        change_tag(tag=tag, group="店", sync=True, at=AT)
        save_tag_group(group=TagGroup.objects.get(name="店"), name="店", at=AT, direction="PULL")
        remote_id = RemoteTag.objects.get().remote_id
    assert calls.delete_tag(account, remote_id, at=AT).ok
    sync_tags(brand.pk, account.pk, at=AT)
    assert at_wechat(account) == {}
    assert "WeChat has lost it" in staff.get(page_of(brand, tag)).content.decode()

    staff.post(page_of(brand, tag), {"act": "make", "account": account.pk})
    for _ in range(2):
        sync_tags(brand.pk, account.pk, at=AT)
    assert at_wechat(account) == {"七夕": 3}
    with brand_scope(brand.pk):
        assert MemberTag.objects.filter(tag=tag).count() == 3
        assert (TagRoll.objects.get().wanted, RemoteTag.objects.get().state) == ([], "")
        make_again(tag=Tag.objects.get(pk=tag.pk), account=account, at=AT)  # it is there: nothing to do
        assert TagRoll.objects.get().wanted == []
        openid = Follower.objects.earliest("pk").openid
    assert calls.untag_followers(account, next(iter(ids_at_wechat(account))), [openid], at=AT).ok
    sync_tags(brand.pk, account.pk, at=AT)
    with brand_scope(brand.pk):
        assert MemberTag.objects.filter(tag=tag).count() == 2  # WeChat's word counts again


def ids_at_wechat(account):
    return [row["id"] for row in calls.list_tags(account, at=AT).data["tags"] if row["id"] >= 100]


def test_a_lost_tag_is_kept_here_alone_when_somebody_says_so(brand, known, staff):
    account, tag = known
    with brand_scope(brand.pk):
        change_tag(tag=tag, group="店", sync=True, at=AT)
        save_tag_group(group=TagGroup.objects.get(name="店"), name="店", at=AT, direction="PULL")
        RemoteTag.objects.all().delete()
    assert "Keep it here alone" in staff.get(page_of(brand, tag)).content.decode()
    staff.post(page_of(brand, tag), {"act": "drop", "account": account.pk})
    with brand_scope(brand.pk):
        assert not Tag.objects.get(pk=tag.pk).sync
        with pytest.raises(TagStays):
            make_again(tag=Tag.objects.get(pk=tag.pk), account=account, at=AT)


def test_the_page_shows_wechats_list_and_the_places_that_are_left(brand, known, simulator, staff, other_brand):
    account, tag = known
    made = staff.get(page_of(brand, tag)).content.decode()  # the list was read before it was made
    assert "99 of 100 places are left." in made
    assert 'data-testid="count">--<' in made
    with brand_scope(other_brand.pk):
        foreign = make_account(appid="wxcccccccccccccccc")
        foreign_tag = make_tag("灶标签")
    assert calls.create_tag(account, "别处做的", at=AT).ok
    read_roll(brand.pk, account.pk, at=AT + timedelta(seconds=60))
    before = calls_of(simulator, account, "/cgi-bin/tags/get")
    read_roll(brand.pk, account.pk, at=AT + timedelta(seconds=69))  # it was just read
    assert calls_of(simulator, account, "/cgi-bin/tags/get") == before

    said = staff.get(page_of(brand, tag)).content.decode()
    assert "98 of 100 places are left." in said
    assert 'data-testid="count">3<' in said
    assert "别处做的" in said
    assert "灶标签" not in said
    assert staff.get(page_of(brand, foreign_tag)).status_code == 404
    assert staff.get(f"{page_of(brand, tag)}?account={foreign.pk}").status_code == 404
    assert staff.post(page_of(brand, tag), {"act": "delete", "account": foreign.pk}).status_code == 404
    assert staff.post(page_of(brand, tag), {"act": "odd", "account": account.pk}).status_code == 404
    assert "WeChat still has it" in staff.get(f"/b/{brand.slug}/members/tag/").content.decode()


def test_only_roles_that_may_change_tags_delete_them_at_wechat(brand, known):
    account, tag = known
    client = Client()
    with brand_scope(brand.pk):
        client.force_login(make_staff("looks", "AUDITOR"), backend="django.contrib.auth.backends.ModelBackend")
    answer = client.post(page_of(brand, tag), {"act": "delete", "account": account.pk})
    assert answer.status_code in {403, 404}
    with brand_scope(brand.pk):
        assert RemoteTag.objects.get().state == ""
