"""The inbox on screen: who sees what, live fragments, sending without leaving the page, constant queries."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from common import clock
from inbox import services
from inbox.models import AgentTask, CannedReply, Conversation, ConversationState, Message
from inbox.on_screen import reason_of
from tests.console.conftest import (
    as_guide,
    as_manager,
    as_marketer,
    as_owner,
    guide_user,
    manager,
    marketer,
    ours,
    owner,
    theirs,
)
from tests.factories import AT, make_follower, make_member, make_staff
from tests.inbox.conftest import say, seconds
from wechat_gateway.services import set_active

__all__ = [
    "as_guide", "as_manager", "as_marketer", "as_owner", "guide_user", "manager", "marketer", "ours", "owner", "theirs",
]  # fmt: skip
pytestmark = pytest.mark.django_db
LIST = "/b/lanyu/inbox/"


def wrote(world, content="几点关门？", member=None):
    """Somebody of a brand wrote a moment ago."""
    with brand_scope(world.brand.pk):
        follower = (member or world.member).followers.get()
        return say(follower, content, at=clock.now())


def page(conversation):
    return f"{LIST}{conversation.pk}/"


def test_the_list_and_the_conversation_show_what_was_said_and_what_may_be_sent(as_owner, ours):
    conversation = wrote(ours)
    listed = as_owner.get(LIST, {"view": "waiting"}).content.decode()
    assert "澜陈子涵" in listed
    assert "几点关门？" in listed
    shown = as_owner.get(page(conversation)).content.decode()
    assert "几点关门？" in shown
    assert ">5/5<" in shown
    assert shown.count("zy-primary") == 1


def test_the_composer_says_that_the_account_is_disconnected_and_opens_again(as_owner, ours):
    conversation = wrote(ours)
    with brand_scope(ours.brand.pk):
        set_active(account=ours.account, is_active=False)
    shown = as_owner.get(page(conversation)).content.decode()
    cause, action = reason_of(None, "DISCONNECTED")
    assert cause in shown
    assert action in shown
    assert 'data-open="0"' in shown
    assert 'data-testid="offers"' not in shown
    refused = post(as_owner, conversation, "say", text="在的", client_key=str(uuid4()))
    assert cause in refused.content.decode()
    with brand_scope(ours.brand.pk):
        assert not Message.objects.filter(text="在的").exists()

    with brand_scope(ours.brand.pk):
        set_active(account=ours.account, is_active=True)
    assert ">5/5<" in as_owner.get(page(conversation)).content.decode()


def test_another_brands_conversation_is_not_there(as_owner, ours, theirs):
    foreign = wrote(theirs, "灶山的秘密")
    wrote(ours)
    for path in (page(foreign), f"{page(foreign)}poll/", f"{page(foreign)}card/", f"{page(foreign)}files/1/"):
        assert as_owner.get(path).status_code == 404, path
    for path in ("say/", "step/"):
        assert as_owner.post(page(foreign) + path, {"text": "x", "act": "take"}).status_code == 404
    for view in ("mine", "unassigned", "waiting", "all"):
        assert "秘密" not in as_owner.get(LIST, {"view": view}).content.decode()
    assert "灶山的秘密" not in as_owner.get(LIST, {"q": "秘密"}).content.decode()


def test_a_guide_sees_own_members_and_what_was_given_to_them(as_guide, guide_user, ours):
    from guides.services import assign_guide

    with brand_scope(ours.brand.pk):
        ours.guide.staff_user = guide_user
        ours.guide.save()
        assign_guide(member_id=ours.member.pk, guide=ours.guide, reason="code: 门口", at=AT)
        stranger, given = make_member(ours.account, name="别人"), make_member(ours.account, name="转来的")
    own, other, handed = wrote(ours), wrote(ours, "别人说的", stranger), wrote(ours, "转来说的", given)
    with brand_scope(ours.brand.pk):
        services.transfer(conversation_id=handed.pk, to_staff_id=guide_user.pk, reason="她认识", at=clock.now())

    listed = as_guide.get(LIST, {"view": "all"}).content.decode()
    assert [name in listed for name in ("澜陈子涵", "转来的", "别人")] == [True, True, False]
    assert [as_guide.get(page(each)).status_code for each in (own, handed, other)] == [200, 200, 404]
    assert "别人说的" not in as_guide.get(LIST, {"q": "说的"}).content.decode()
    assert "转来说的" in as_guide.get(LIST, {"q": "说的"}).content.decode()


def test_what_somebody_is_to_do_until_a_moment_stands_on_their_list_at_once(as_guide, as_manager, guide_user, ours):
    conversation = wrote(ours)
    at = clock.now()
    with brand_scope(ours.brand.pk):
        own, nobodys = (
            services.give_task(
                conversation_id=conversation.pk, staff_id=staff_id, note=note, due_at=at + timedelta(hours=2), at=at
            )
            for staff_id, note in ((guide_user.pk, "打电话给她"), (None, "送到门店"))
        )
    mine = as_guide.get(f"{LIST}tasks/")
    assert ("打电话给她" in mine.content.decode(), "送到门店" in mine.content.decode()) == (True, False)
    assert [(task["id"], task["until"], task["is_due"]) for task in mine.context["tasks"]] == [(own.pk, True, False)]
    assert "打电话给她" in as_guide.get(LIST).content.decode()
    assert [task["id"] for task in as_manager.get(f"{LIST}tasks/").context["tasks"]] == [nobodys.pk]

    # The list is asked for again and again: one question, and nothing to show until something changed.
    version = mine.context["tasks_version"]
    assert as_guide.get(f"{LIST}tasks/", {"v": version}).status_code == 204
    assert len(own_queries(as_guide, f"{LIST}tasks/", v=version)) == 1
    before = _version(conversation)
    as_guide.post(f"{LIST}tasks/{own.pk}/done/")
    assert _version(conversation) == before + 1
    assert as_guide.get(f"{LIST}tasks/", {"v": version}).status_code == 200


def _version(conversation):
    with brand_scope(conversation.brand_id):
        return Conversation.objects.get(pk=conversation.pk).version


def test_a_manager_sees_the_conversations_of_own_stores(as_manager, ours):
    near, far = wrote(ours), wrote(ours, "远方说的", ours.far_member)
    assert [as_manager.get(page(each)).status_code for each in (near, far)] == [200, 404]
    assert "远方" not in as_manager.get(LIST, {"view": "all"}).content.decode()


def test_polls_say_nothing_until_something_changed(as_owner, ours):
    conversation = wrote(ours)
    thread = as_owner.get(page(conversation))
    poll = f"{page(conversation)}poll/"
    version = thread.context["version"]
    assert as_owner.get(poll, {"v": version}).status_code == 204
    rows = as_owner.get(f"{LIST}rows/", {"view": "waiting"})
    seen = rows.context["version"]
    assert as_owner.get(f"{LIST}rows/", {"view": "waiting", "v": seen}).status_code == 204

    wrote(ours, "还在吗")
    changed = as_owner.get(poll, {"v": version})
    assert changed.status_code == 200
    assert "还在吗" in changed.content.decode()
    assert as_owner.get(f"{LIST}rows/", {"view": "waiting", "v": seen}).status_code == 200


def own_queries(client, path, **query):
    """What a page asks besides session, user, second factor, brand, role and the scope's transaction."""
    with CaptureQueriesContext(connection) as queries:
        client.get(path, query)
    return [each["sql"] for each in queries.captured_queries if 'FROM "inbox_' in each["sql"]]


def test_a_poll_asks_two_questions_at_most(as_owner, ours):
    conversation = wrote(ours)
    version = as_owner.get(page(conversation)).context["version"]
    assert len(own_queries(as_owner, f"{page(conversation)}poll/", v=version)) <= 2
    seen = as_owner.get(f"{LIST}rows/", {"view": "waiting"}).context["version"]
    assert len(own_queries(as_owner, f"{LIST}rows/", view="waiting", v=seen)) <= 2


@pytest.mark.parametrize("query", [{"view": "all"}, {"view": "waiting"}, {"q": "说"}])
def test_the_list_asks_as_often_for_three_rows_as_for_one(as_owner, ours, query):
    wrote(ours, "说一")

    def asked():
        with CaptureQueriesContext(connection) as queries:
            as_owner.get(LIST, query)
        return len(queries)

    one = asked()
    for number in range(2):
        with brand_scope(ours.brand.pk):
            member = make_member(ours.account, name=f"澜{number}", store=ours.store)
        wrote(ours, f"说{number}", member)
    assert asked() == one


def test_a_long_thread_asks_as_often_as_a_short_one(as_owner, ours):
    conversation = wrote(ours)

    def asked():
        with CaptureQueriesContext(connection) as queries:
            as_owner.get(page(conversation))
        return len(queries)

    one = asked()
    for number in range(3):
        wrote(ours, f"第 {number} 句")
    assert asked() == one


def post(client, conversation, what, **fields):
    return client.post(f"{page(conversation)}{what}/", fields, headers={"HX-Request": "true"})


def test_sending_gives_the_thread_with_the_message_and_says_that_it_was_taken(as_owner, ours):
    conversation = wrote(ours)
    key = str(uuid4())
    answer = post(as_owner, conversation, "say", text="二十二点", client_key=key)
    again = post(as_owner, conversation, "say", text="二十二点", client_key=key)

    assert (answer.status_code, answer["HX-Trigger"]) == (200, "inbox:sent")
    assert "二十二点" in answer.content.decode()
    assert "发送中" in answer.content.decode()
    assert ">4/5<" in again.content.decode()
    with brand_scope(ours.brand.pk):
        assert Message.objects.filter(direction="OUT").count() == 1


def test_when_all_is_used_up_the_page_offers_what_remains(as_owner, ours):
    conversation = wrote(ours)
    for number in range(5):
        post(as_owner, conversation, "say", text=f"第 {number} 条", client_key=str(uuid4()))
    refused = post(as_owner, conversation, "say", text="第六条", client_key=str(uuid4()))

    text = refused.content.decode()
    assert refused["HX-Trigger"] == "inbox:refused"
    assert "45047" in text
    assert 'data-open="0"' in text
    assert text.index('value="task"') < text.index('value="remind"')
    post(as_owner, conversation, "step", act="remind")
    with brand_scope(ours.brand.pk):
        assert [task.kind for task in AgentTask.objects.all()] == ["WRITES_AGAIN"]


def test_a_registered_way_is_offered_first(as_owner, ours, monkeypatch):
    from inbox import fallbacks

    own = {key: entry for key, entry in fallbacks.fallbacks._entries.items() if key.startswith("inbox.")}
    monkeypatch.setattr(fallbacks.fallbacks, "_entries", own)
    fallbacks.fallbacks.register(
        "tests.subscribe",
        lambda conversation, at: fallbacks.Offer("订阅通知", "剩 2 次", "用订阅通知", 10, link="/x/"),
    )
    fallbacks.fallbacks.register(
        "tests.template",
        lambda conversation, at: fallbacks.Offer("模板消息", "微信只许服务通知", "", 5, possible=False),
    )
    with brand_scope(ours.brand.pk):
        row = wrote(ours)
        offers = [offer.label for offer in fallbacks.offers(row, at=clock.now())]
    assert (offers[0], offers[-1], len(offers)) == ("订阅通知", "模板消息", 4)


def test_a_note_is_seen_by_colleagues_and_sent_to_nobody(as_owner, ours):
    conversation = wrote(ours)
    shown = post(as_owner, conversation, "say", text="她要送人", **{"as": "note", "client_key": str(uuid4())})
    assert "她要送人" in shown.content.decode()
    assert "内部备注" in shown.content.decode()
    with brand_scope(ours.brand.pk):
        note = Message.objects.get(direction="NOTE")
        assert note.state == ""
        assert Conversation.objects.get().state == ConversationState.WAITING


def test_steps_change_the_conversation_and_are_shown(as_owner, owner, marketer, ours):
    conversation = wrote(ours)
    assert "接手" in post(as_owner, conversation, "step", act="take").content.decode()
    text = post(as_owner, conversation, "step", act="transfer", to=marketer.pk, reason="她熟").content.decode()
    assert "转接给「marketer」：她熟" in text
    assert "稍后处理，到" in post(as_owner, conversation, "step", act="snooze", until="hour").content.decode()
    assert "已结束" in post(as_owner, conversation, "step", act="resolve").content.decode()
    assert post(as_owner, conversation, "step", act="explode").status_code == 404
    assert as_owner.get(f"{page(conversation)}step/").status_code == 404


def test_canned_replies_are_found_by_shortcut_and_title(as_owner, ours, theirs):
    with brand_scope(ours.brand.pk):
        CannedReply.objects.create(shortcut="hours", title="营业时间", text="10:00–22:00", updated_at=AT)
        CannedReply.objects.create(shortcut="size", title="换尺码", text="七天内可换", updated_at=AT)
    with brand_scope(theirs.brand.pk):
        CannedReply.objects.create(shortcut="hot", title="灶山", text="秘密", updated_at=AT)
    found = as_owner.get(f"{LIST}canned/", {"q": "ho"}).json()["rows"]
    assert [row["title"] for row in found] == ["营业时间"]
    assert [row["title"] for row in as_owner.get(f"{LIST}canned/", {"q": "尺码"}).json()["rows"]] == ["换尺码"]
    assert "秘密" not in as_owner.get(f"{LIST}canned/").content.decode()


def test_analysts_have_no_inbox(ours):
    from accounts.roles import Role
    from tests.console.conftest import signed_in
    from tests.factories import make_staff

    with brand_scope(ours.brand.pk):
        analyst = make_staff("analyst", Role.ANALYST)
    conversation = wrote(ours)
    client = signed_in(analyst)
    assert [client.get(path).status_code for path in (LIST, page(conversation))] == [403, 403]


def test_the_card_says_why_somebody_answers(as_owner, ours):
    conversation = wrote(ours)
    text = as_owner.get(f"{page(conversation)}card/").content.decode()
    assert "澜陈子涵" in text
    assert "138****6721" in text
    assert "为什么由此人接待" in text
    assert "排队" in text


def test_first_answers_are_measured_per_store(as_owner, as_manager, ours):
    for number, wait in enumerate((60, 120, 600)):
        with brand_scope(ours.brand.pk):
            member = make_member(ours.account, name=f"人{number}", store=ours.store)
            at = clock.now()
            conversation = say(member.followers.get(), "在吗", at=at - seconds(wait))
            staff = make_staff("desk", "MARKETER")
            services.send_text(conversation_id=conversation.pk, staff_id=staff.pk, text="在", client_key=uuid4(), at=at)
    text = as_owner.get(f"{LIST}speed/").content.decode()
    assert "澜静安店" in text
    assert "2 分 0 秒" in text
    assert "澜静安店" in as_manager.get(f"{LIST}speed/").content.decode()


def test_nothing_is_sent_to_who_no_longer_follows(as_owner, ours):
    with brand_scope(ours.brand.pk):
        stranger = make_follower(ours.account)
        conversation = say(stranger, "你好", at=clock.now())
        stranger.subscribed = False
        stranger.save()
    refused = post(as_owner, conversation, "say", text="在", client_key=str(uuid4()))
    assert "已取消关注" in refused.content.decode()
    with brand_scope(ours.brand.pk):
        assert not Message.objects.filter(direction="OUT").exists()


def test_a_picture_goes_into_the_library_and_out_to_the_follower(as_owner, ours, settings, tmp_path):
    settings.STORAGES = {
        **settings.STORAGES,
        "private": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path), "base_url": None},
        },
    }
    conversation = wrote(ours)
    png = SimpleUploadedFile("门口.png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 20, content_type="text/html")
    sent = post(as_owner, conversation, "say", picture=png, client_key=str(uuid4()))
    assert sent["HX-Trigger"] == "inbox:sent"
    with brand_scope(ours.brand.pk):
        line = Message.objects.get(direction="OUT")
    shown = as_owner.get(f"{page(conversation)}files/{line.pk}/")
    assert (shown.status_code, shown["Content-Type"]) == (200, "image/png")

    script = SimpleUploadedFile("x.png", b"<svg onload=alert(1)>", content_type="image/png")
    refused = post(as_owner, conversation, "say", picture=script, client_key=str(uuid4()))
    assert "不是微信接受的「图片」" in refused.content.decode()


def lines_of(text):
    """The lines of the thread on a page, in their order."""
    return re.findall(r"第 (\d+) 句", text.split('id="ibx-lines"')[1].split('data-testid="meter"')[0])


def talk_of(ours, count):
    """A conversation of many lines, some of them in the same moment."""
    with brand_scope(ours.brand.pk):
        follower, at = ours.member.followers.get(), clock.now() - timedelta(hours=5)
        for number in range(count):
            conversation = say(follower, f"第 {number} 句", at=at + seconds(number // 3))
    return conversation


def test_every_line_of_a_long_conversation_can_be_read_page_by_page(as_owner, ours):
    conversation = talk_of(ours, 150)
    shown = as_owner.get(page(conversation)).content.decode()
    read = lines_of(shown)
    assert len(read) == 60 - shown.count("ibx-small") + shown.count('data-testid="earlier"')
    while 'data-testid="earlier"' in shown:
        address = re.search(r'href="([^"]+\?before=\d+)"', shown)[1]
        shown = as_owner.get(address).content.decode()
        read = lines_of(shown) + read
    assert read == [str(number) for number in range(150)]

    back = as_owner.get(re.search(r'href="([^"]+\?after=\d+)"', shown)[1]).content.decode()
    assert lines_of(back)[0] > lines_of(shown)[-1]
    assert "第 149 句" in as_owner.get(page(conversation), {"before": "999999999"}).content.decode()  # gone: the newest


def test_an_older_part_stays_on_screen_while_news_come(as_owner, ours):
    conversation = talk_of(ours, 130)
    first = as_owner.get(page(conversation))
    earlier = as_owner.get(f"{page(conversation)}poll/", {"before": first.context["lines"][0]["id"]})
    poll = re.search(r'hx-get="([^"]+poll/[^"]*v=[^"]*)" hx-trigger="every', earlier.content.decode())[1]
    wrote(ours, "刚刚说的")
    shown = as_owner.get(html.unescape(poll)).content.decode()
    assert lines_of(shown) == lines_of(earlier.content.decode())
    assert "刚刚说的" not in shown


def test_what_is_found_opens_at_its_line(as_owner, ours):
    with brand_scope(ours.brand.pk):
        say(ours.member.followers.get(), "想退货怎么办", at=clock.now() - timedelta(hours=9))
    conversation = talk_of(ours, 150)
    assert "想退货" not in as_owner.get(page(conversation)).content.decode()
    for text in (
        as_owner.get(LIST, {"q": "退货"}).content.decode(),
        as_owner.get("/b/lanyu/search/", {"s": "退货"}).content.decode(),
    ):
        link = html.unescape(re.search(rf'href="({page(conversation)}\?[^"]*line=\d+)"', text)[1])
        shown = as_owner.get(link).content.decode()
        assert "想退货怎么办" in shown.split("is-found")[1][:300]
        assert 'data-testid="newest"' in shown


def test_lists_and_searches_go_on_over_pages(as_owner, ours):
    with brand_scope(ours.brand.pk):
        for number in range(45):
            member = make_member(ours.account, name=f"人{number:02}", store=ours.store)
            say(member.followers.get(), "想退货", at=clock.now() + seconds(number))

    def names(**query):
        text = as_owner.get(LIST, query).content.decode()
        return re.findall(r"<strong>(人\d\d)</strong>", text), 'rel="next"' in text, 'rel="prev"' in text

    for query in ({"view": "waiting"}, {"q": "退货"}, {"q": "人"}):
        first, next_one, before = names(**query)
        assert (len(first), next_one, before) == (40, True, False), query
        rest, next_one, before = names(**query, page=2)
        assert (len(rest), next_one, before) == (5, False, True), query
        assert len({*first, *rest}) == 45
    assert names(view="waiting", page=9)[0] == []
    assert len(names(view="waiting", page="x")[0]) == 40


def test_mine_begins_with_who_waits_longest(as_owner, owner, ours):
    with brand_scope(ours.brand.pk):
        at, rows = clock.now() - timedelta(hours=1), {}
        for number, name in enumerate(("答过的", "先来的", "后来的", "新答的")):
            follower = make_member(ours.account, name=name, store=ours.store).followers.get()
            rows[name] = say(follower, at=at + seconds(number))
            services.take(conversation_id=rows[name].pk, staff_id=owner.pk, at=at + seconds(number))
        for name, late in (("答过的", 60), ("新答的", 90)):
            services.send_text(
                conversation_id=rows[name].pk, staff_id=owner.pk, text="在", client_key=uuid4(), at=at + seconds(late)
            )
    text = as_owner.get(LIST, {"view": "mine"}).content.decode()
    assert re.findall(r"<strong>(\S{3}的|\S\S的)</strong>", text) == ["先来的", "后来的", "新答的", "答过的"]
