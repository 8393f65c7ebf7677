"""Answers that send files of the library: kept for good, looked up when compiled, never sent before they are there."""

import re
from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope
from common import clock
from conversations.answers import Content, faults_of, passive_of, service_of
from conversations.engine import Asked, Facts
from conversations.models import ReplyRule, Trigger
from conversations.selectors import rules_of
from conversations.services import plan_import, save_rule
from conversations.services.rules import file_is_there
from library.models import CopyState, MediaCopy, MediaItem
from library.uses import uses_of
from tests.conversations.test_rule_pages import ADD, form, page
from tests.factories import AT, make_account
from wechat_gateway import tokens
from wechat_gateway.models import OfficialAccount
from wechat_gateway.replies import Image, MiniProgramLink, Video, Voice, render


@pytest.fixture
def as_owner(as_owner, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    return as_owner


@pytest.fixture
def account(in_brand):
    return make_account()


def file(name="海报", kind="IMAGE"):
    return MediaItem.objects.create(
        name=name, kind=kind, content_type="x/y", size=1, sha256=f"{name}{kind}", path="x", created_at=AT
    )


def there(item, account, media_id="perm1"):
    MediaCopy.objects.update_or_create(
        item=item,
        account=account,
        permanent=True,
        defaults={"media_id": media_id, "state": CopyState.THERE, "due_at": None},
    )


def rule(account, item, kind="IMAGE", **more):
    fields = {
        "name": "海报",
        "trigger": "KEYWORD",
        "keywords": ["海报"],
        "reply_kind": kind,
        "media_id": f"item:{item.pk}",
    }
    return save_rule(rule=ReplyRule(account=account, **(fields | more)), at=AT)


def answers(account):
    decision = rules_of(account.pk).decide(Asked(Trigger.KEYWORD, AT, text="海报"), Facts())
    return [passive_of(content) for content in decision.contents]


def test_a_picture_is_kept_for_good_and_sent_once_it_is_there(account):
    item = file()
    rule(account, item)
    copy = MediaCopy.objects.get()
    assert (copy.item_id, copy.permanent, copy.state) == (item.pk, True, "WAITING")
    assert answers(account) == []  # nothing can be sent yet, so the rule does not answer

    there(item, account)
    assert answers(account) == [Image("perm1")]
    assert answers(make_account()) == []


def test_answers_are_never_compiled_from_a_copy_that_ends(account):
    item = file()
    MediaCopy.objects.create(item=item, account=account, media_id="three-days", expires_at=clock.now() + timedelta(3))
    rule(account, item)
    assert answers(account) == []
    there(item, account)
    assert answers(account) == [Image("perm1")]


def test_when_the_file_is_there_answers_are_compiled_anew(account):
    item, other = file(), file("另一张")
    rule(account, item, more=[{"kind": "IMAGE", "media_id": f"item:{other.pk}"}])
    version = lambda: OfficialAccount.objects.values_list("replies_version", flat=True).get(pk=account.pk)  # noqa: E731
    before = version()
    file_is_there(account_id=account.pk, item_id=file("没人用").pk)
    assert version() == before
    file_is_there(account_id=account.pk, item_id=other.pk)
    file_is_there(account_id=account.pk, item_id=item.pk)
    assert version() == before + 2


def test_the_upload_itself_lets_answers_be_compiled_anew(account, simulator, tmp_path, settings):
    from library import files
    from library.services import settle_copy
    from tests.library.conftest import PNG

    tokens.forget_cached()
    simulator.know(account)
    item = file()
    MediaItem.objects.filter(pk=item.pk).update(
        path=files.store(PNG, brand_id=account.brand_id), content_type="image/png"
    )
    rule(account, item)
    before = OfficialAccount.objects.get(pk=account.pk).replies_version
    settle_copy(brand_id=account.brand_id, copy_id=MediaCopy.objects.get().pk, at=clock.now())
    assert OfficialAccount.objects.get(pk=account.pk).replies_version == before + 1
    assert answers(account) == [Image(MediaCopy.objects.get().media_id)]


def test_of_several_answers_those_that_are_there_are_given(account):
    poster, voice = file(), file("录音", "VOICE")
    rule(account, poster, more=[{"kind": "VOICE", "media_id": f"item:{voice.pk}"}])
    there(voice, account, "v1")
    assert answers(account) == [Voice("v1")]


def test_a_card_without_its_cover_goes_as_words(account):
    cover = file("封面", "THUMB")
    rule(
        account,
        cover,
        kind="MINI",
        title="会员卡",
        mini_appid="wx0123456789abcdef",
        mini_page="p",
        url="https://a.example/",
    )
    assert answers(account) == [MiniProgramLink("会员卡", "wx0123456789abcdef", "p", "https://a.example/")]
    there(cover, account, "t1")
    assert answers(account) == [None]  # a card exists as a customer-service message only


def test_a_video_has_both_forms():
    content = Content("VIDEO", text="一分钟", title="静安店", media_id="v1")
    assert passive_of(content) == Video("v1", "静安店", "一分钟")
    assert service_of(content) == {
        "msgtype": "video",
        "video": {"media_id": "v1", "title": "静安店", "description": "一分钟"},
    }
    said = render(Video("v1", "a]]>b", ""), openid="o", original_id="g", at=0.0)
    assert "<MsgType><![CDATA[video]]></MsgType><Video><MediaId><![CDATA[v1]]></MediaId><Title>" in said
    assert "<Description>" not in said
    assert set(faults_of(Content("VIDEO"))) == {"media_id"}


def test_the_library_knows_which_rules_use_a_file(account):
    item, free = file(), file("空闲")
    made = rule(account, file("首图"), more=[{"kind": "IMAGE", "media_id": f"item:{item.pk}"}])
    uses = uses_of([item.pk, free.pk])
    assert [use.name for use in uses[item.pk]] == [made.name]
    assert uses[free.pk] == []


def test_the_form_offers_files_of_this_brand_and_refuses_others(as_owner, ours, theirs):
    with brand_scope(ours.brand.pk):
        mine, sound = file("澜海报"), file("澜录音", "VOICE")
    with brand_scope(theirs.brand.pk):
        for _number in range(3):
            foreign = file(f"灶海报{_number}")
    shown = page(as_owner.get(ADD))
    assert "澜海报" in shown
    assert "灶海报" not in shown
    refused = page(as_owner.post(ADD, form(ours, reply_kind="IMAGE", text="", media_id=f"item:{foreign.pk}")))
    assert "Select a valid choice" in refused
    refused = page(as_owner.post(ADD, form(ours, reply_kind="IMAGE", text="", media_id=f"item:{sound.pk}")))
    assert "This file is of another kind" in refused
    assert as_owner.post(ADD, form(ours, reply_kind="IMAGE", text="", media_id=f"item:{mine.pk}")).status_code == 302
    with brand_scope(ours.brand.pk):
        saved = ReplyRule.objects.get(name="新规则")
        assert (saved.media_id, MediaCopy.objects.get().item_id) == (f"item:{mine.pk}", mine.pk)
    opened = page(as_owner.get(f"/b/lanyu/conversations/replyrule/{saved.pk}/change/"))
    assert re.search(rf'value="item:{mine.pk}" selected', opened)


def test_an_id_of_wechat_that_is_stored_stays(as_owner, ours):
    with brand_scope(ours.brand.pk):
        ReplyRule.objects.filter(pk=ours.rule.pk).update(reply_kind="IMAGE", media_id="raw_media-1", text="")
    here = f"/b/lanyu/conversations/replyrule/{ours.rule.pk}/change/"
    assert 'value="raw_media-1" selected' in page(as_owner.get(here))
    sent = form(ours, reply_kind="IMAGE", media_id="raw_media-1", name="澜规则", words="几点", match="EXACT")
    assert as_owner.post(here, sent).status_code == 302


def test_a_file_that_is_not_there_is_a_fault_of_its_cell(account):
    head = ["名称", "触发条件", "匹配方式", "关键词", "回复类型", "素材（media_id）"]
    plan = plan_import(account=account, table=[head, ["海报", "关键词回复", "全匹配", "海报", "图片", "item:999999"]])
    assert [(fault.row, fault.column) for fault in plan.faults] == [(2, "media_id")]
