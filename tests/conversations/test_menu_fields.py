"""What a button of the menu sends, opens and names: chosen from the library, checked while it is drafted."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from common import clock
from conversations.errors import MenuInvalid
from conversations.menus import faults
from conversations.models import LastTag, Menu, MenuVersion, TagMenu
from conversations.services import ask_to_publish, files_of, save_menu, save_tag_menu
from library.models import CopyState, MediaCopy, MediaItem
from members.models import Member
from tests.factories import AT, make_account, make_follower, make_tag

PAGE = "/b/lanyu/conversations/menu/"
PROGRAM = {"type": "miniprogram", "name": "商城", "url": "https://a.example/", "appid": "wx0123456789abcdef"}


def sends(media_id, name="海报"):
    return {"type": "media_id", "name": name, "media_id": media_id}


def kept(account, media_id, state=CopyState.THERE, name="春季海报", **more):
    item = MediaItem.objects.create(
        name=name, content_type="image/png", size=1, sha256=f"{media_id}{account.pk}", path="x", created_at=AT, **more
    )
    return MediaCopy.objects.create(item=item, account=account, permanent=True, media_id=media_id, state=state)


@pytest.fixture
def account(in_brand):
    return make_account()


@pytest.mark.parametrize(
    ("pagepath", "good"),
    [
        ("pages/home/index", True),
        ("pages/home/index?from=menu&x=会员", True),
        ("p", True),
        ("", False),
        ("/pages/home/index", False),
        ("https://a.example/pages", False),
        ("pages/home index", False),
        ("首页/index", False),
        ("pages/home#top", False),
        ("pages/" + "x" * 1018, True),
        ("pages/" + "x" * 1019, False),
    ],
)
def test_pages_of_mini_programs(db, pagepath, good):
    found = faults([{**PROGRAM, "pagepath": pagepath}])
    assert [(fault.path, fault.field) for fault in found] == ([] if good else [("1", "pagepath")])


@pytest.mark.parametrize(
    ("button", "field"),
    [
        ({"type": "view", "name": "店", "url": ""}, "url"),
        ({"type": "view", "name": "店", "url": "http://a.example/"}, "url"),
        ({"type": "view", "name": "店", "url": "https://"}, "url"),
        ({"type": "view", "name": "店", "url": "https://a.example/" + "x" * 1007}, "url"),
        ({**PROGRAM, "pagepath": "p", "appid": "小程序"}, "appid"),
        ({**PROGRAM, "pagepath": "p", "appid": ""}, "appid"),
        ({"type": "click", "name": "店", "key": ""}, "key"),
        ({"type": "click", "name": "", "key": "K"}, "name"),
        ({"type": "media_id", "name": "店"}, "media_id"),
        ({"name": "店"}, "type"),
    ],
)
def test_every_fault_names_its_field(db, button, field):
    (fault,) = faults([{"name": "更多", "sub_button": [button]}])
    assert (fault.path, fault.field) == ("1.1", field)
    assert fault.message


def test_a_button_sends_only_what_its_account_really_has(account):
    kept(account, "perm1")
    other = make_account("另一个号")
    kept(other, "theirs")
    kept(account, "going", CopyState.LEAVING)
    kept(account, "cover", kind="THUMB")
    MediaCopy.objects.create(item=MediaItem.objects.first(), account=account, media_id="three-days", expires_at=AT)

    save_menu(account=account, buttons=[sends("perm1")])
    for wrong in ("theirs", "going", "cover", "three-days", "typed-by-hand"):
        with pytest.raises(MenuInvalid) as refused:
            save_menu(account=account, buttons=[{"name": "更多", "sub_button": [sends("perm1"), sends(wrong)]}])
        assert refused.value.message
    with pytest.raises(MenuInvalid):
        save_tag_menu(account=account, match={"tag_id": make_tag(sync=True).pk}, buttons=[sends("theirs")])
    assert Menu.objects.get(account=account).draft == [sends("perm1")]
    assert files_of(account) == {"perm1"}


def test_a_file_that_went_since_keeps_the_menu_from_being_published(account):
    copy = kept(account, "perm1")
    save_menu(account=account, buttons=[sends("perm1")])
    copy.delete()
    with pytest.raises(MenuInvalid):
        ask_to_publish(account=account, at=AT)
    save_menu(account=account, buttons=[sends("")])  # an empty draft is one


def test_what_a_live_menu_from_elsewhere_sends_may_stay(account):
    Menu.objects.create(account=account, published=[{"name": "更多", "sub_button": [sends("made-elsewhere")]}])
    save_menu(account=account, buttons=[sends("made-elsewhere")])
    with pytest.raises(MenuInvalid):
        save_menu(account=account, buttons=[sends("made-elsewhere-too")])


def test_another_brands_file_is_unknown(brand, other_brand):
    with brand_scope(other_brand.pk):
        kept(make_account(), "zaoshan1")
    with brand_scope(brand.pk):
        account = make_account()
        assert files_of(account) == set()
        with pytest.raises(MenuInvalid):
            save_menu(account=account, buttons=[sends("zaoshan1")])


def test_the_page_offers_files_by_name_and_says_at_the_field_what_is_wrong(as_owner, ours, theirs, settings):
    for side, media_id, name in ((ours, "perm1", "春季海报"), (theirs, "perm2", "灶台海报")):
        with brand_scope(side.brand.pk):
            kept(side.account, media_id, name=name)
    html = as_owner.get(PAGE).content.decode()
    assert '<option value="perm1">图片 · 春季海报</option>' in html
    assert "灶台海报" not in html

    posted = {"account": ours.account.pk, "act": "save", "b0-name": "海报", "b0-type": "media_id"}
    assert as_owner.post(PAGE, {**posted, "b0-media_id": "perm2"}).status_code == 200
    assert as_owner.post(PAGE, {**posted, "b0-media_id": "perm1"}).status_code == 302
    with brand_scope(ours.brand.pk):
        assert Menu.objects.get(account=ours.account).draft == [sends("perm1")]
    assert '<option value="perm1" selected>' in as_owner.get(PAGE).content.decode()

    posted = {"account": ours.account.pk, "act": "save", "b0-name": "商城", "b0-type": "miniprogram"}
    posted |= {"b0-url": "http://a.example/", "b0-appid": "wx0123456789abcdef", "b0-pagepath": "/pages/home"}
    assert as_owner.post(PAGE, posted).status_code == 302
    html = as_owner.get(PAGE).content.decode()
    for field in ("url", "pagepath"):
        assert f'id="w-b0-{field}"' in html
    assert 'id="w-b0-appid"' not in html
    assert "页面路径开头没有「/」" in html


def test_more_files_cost_no_more_queries(as_owner, ours):
    found = []
    for number in range(3):
        with brand_scope(ours.brand.pk):
            kept(ours.account, f"perm{number}", name=f"海报{number}")
        as_owner.get(PAGE)
        with CaptureQueriesContext(connection) as asked:
            as_owner.get(PAGE)
        found.append(len(asked))
    assert found[0] == found[2]


def test_new_personalised_menu_is_the_one_that_is_edited_next(as_owner, ours):
    with brand_scope(ours.brand.pk):
        save_menu(account=ours.account, buttons=[{"type": "click", "name": "会员", "key": "K"}])
        tag = make_tag("澜常客", sync=True)

    answer = as_owner.post(PAGE, {"account": ours.account.pk, "act": "add", "tag": tag.pk})

    with brand_scope(ours.brand.pk):
        made = TagMenu.objects.get(tag=tag)
    assert answer.url.endswith(f"&for={made.pk}")


@pytest.mark.parametrize("moment", ["", "2020-01-01T08:00", "tomorrow"])
def test_publishing_later_asks_for_a_time_to_come(as_owner, ours, moment):
    with brand_scope(ours.brand.pk):
        save_menu(account=ours.account, buttons=[{"type": "click", "name": "会员", "key": "K"}])
    form = {"account": ours.account.pk, "b0-name": "会员", "b0-type": "click", "b0-key": "K"}

    page = as_owner.post(PAGE, {**form, "act": "later", "publish_at": moment}).content.decode()

    assert "没有定时：没有选择以后的时间。" in page
    with brand_scope(ours.brand.pk):
        assert Menu.objects.get(account=ours.account).wanted_at is None


def test_publishing_an_earlier_version_says_what_it_takes_the_place_of(as_owner, ours):
    with brand_scope(ours.brand.pk):
        save_menu(account=ours.account, buttons=[{"type": "click", "name": "会员", "key": "K"}])
        for number in (1, 2):
            MenuVersion.objects.create(
                account=ours.account, number=number, buttons=[], tag_menus=[], published_at=clock.now()
            )
    takes = "草稿由它取代"
    assert takes in as_owner.get(PAGE, {"account": ours.account.pk}).content.decode()

    with brand_scope(ours.brand.pk):
        ask_to_publish(account=ours.account, at=clock.now(), publish_at=clock.now() + timedelta(days=1))
    page = as_owner.get(PAGE, {"account": ours.account.pk}).content.decode()
    assert page.count('name="drop_planned"') == 2  # publishing now, and publishing version 1 again

    with brand_scope(ours.brand.pk):
        version = MenuVersion.objects.get(number=1)
        MenuVersion.objects.filter(pk=version.pk).update(buttons=[{"type": "click", "name": "旧", "key": "O"}])
    form = {"account": ours.account.pk, "act": "restore", "version": version.pk}
    refused = as_owner.post(PAGE, form, follow=True).content.decode()
    assert "另一份菜单定于" in refused
    with brand_scope(ours.brand.pk):
        assert Menu.objects.get(account=ours.account).wanted["buttons"][0]["name"] == "会员"

    as_owner.post(PAGE, {**form, "drop_planned": "1"})
    with brand_scope(ours.brand.pk):
        assert Menu.objects.get(account=ours.account).wanted["buttons"][0]["name"] == "旧"


def test_page_of_the_menu_names_whom_wechat_refused_the_tag_of_their_menu(as_owner, ours, theirs):
    for place in (ours, theirs):
        with brand_scope(place.brand.pk):
            menu = save_menu(account=place.account, buttons=[PROGRAM])
            Menu.objects.filter(pk=menu.pk).update(remote=[{"remote_tag_id": 1}])
            follower = make_follower(place.account)
            Member.objects.filter(pk=follower.member_id).update(name=f"{place.brand.slug}-拒")
            LastTag.objects.create(follower=follower, remote_tag_id=1, remote_tag_ids=[1, 2], refused_code=45059, at=AT)
    page = f"/b/lanyu/conversations/menu/?account={ours.account.pk}"

    said = as_owner.get(page).content.decode()
    assert "有 1 人看到的菜单可能与设定的不同" in said
    assert "lanyu-拒" in said
    assert "45059" in said
    assert theirs.brand.slug + "-拒" not in said

    as_owner.post(page, {"act": "tag-again", "account": ours.account.pk})
    assert "lanyu-拒" not in as_owner.get(page).content.decode()
    with brand_scope(theirs.brand.pk):
        assert LastTag.objects.exists()


def test_a_menu_that_wechat_has_otherwise_is_shown_on_its_page_and_the_home_page(as_owner, ours, theirs):
    for place in (ours, theirs):
        with brand_scope(place.brand.pk):
            menu = save_menu(account=place.account, buttons=[PROGRAM])
            there = [{**PROGRAM, "pagepath": f"pages/{place.brand.slug}"}]
            Menu.objects.filter(pk=menu.pk).update(
                published=[PROGRAM], published_at=AT, fetched=there, fetched_at=AT, fetched_tag_menus=[]
            )
    page = f"{PAGE}?account={ours.account.pk}"

    said, home = as_owner.get(page).content.decode(), as_owner.get("/b/lanyu/").content.decode()
    assert "pages/lanyu" in said
    assert f"pages/{theirs.brand.slug}" not in said
    assert home.count("与这里发布的不一致") == 1

    assert 'data-testid="at-wechat"' in said
    asked = as_owner.post(PAGE, {"act": "compare", "account": ours.account.pk}, follow=True).content.decode()
    assert "正在与微信比较…" in asked
    with brand_scope(theirs.brand.pk):
        assert Menu.objects.get().compare_asked_at is None
    with brand_scope(ours.brand.pk):
        assert Menu.objects.get().compare_asked_at is not None
        Menu.objects.update(compare_asked_at=None, fetched=[PROGRAM])
    assert 'data-testid="at-wechat"' not in as_owner.get(page).content.decode()
    assert "与这里发布的不一致" not in as_owner.get("/b/lanyu/").content.decode()
