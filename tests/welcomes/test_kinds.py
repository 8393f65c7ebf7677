"""Pictures and mini-program cards in sequences, and quiet hours: sent through the library, moved or skipped."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from accounts.tenancy import brand_scope
from inbox.models import Conversation, Message
from inbox.services import deliver
from library import services as library
from library.errors import MediaUsed
from library.models import MediaItem
from library.uses import uses_of
from tests.factories import AT, make_account, make_mini_program
from tests.library.conftest import GIF, PNG, _own_storage  # noqa: F401 - a fixture
from tests.welcomes.test_pages import ADD, LIST, form, page, sequences
from tests.welcomes.test_running import SECOND, acts, follows, make_sequence, records, run, sent
from touchpoints.models import MiniCode
from touchpoints.services import create_touchpoint
from wechat_gateway.models import MiniProgram
from welcomes import plan
from welcomes.models import Enrolment
from welcomes.plan import Step

ZONE = ZoneInfo("Asia/Shanghai")
HOUR = timedelta(hours=1)


@pytest.fixture
def account(in_brand):
    return make_account()


@pytest.fixture
def poster(in_brand):
    return library.add_media(name="新品海报", body=PNG, at=AT, brand_id=in_brand.pk)


def picture(item, key="p", after=10 * SECOND, **more):
    return Step(key, after, "", kind=plan.IMAGE, item=item.pk, **more)


def card(item, appid, key="m", after=20 * SECOND):
    return Step(key, after, "", kind=plan.MINI, item=item.pk, title="会员中心", appid=appid, page="pages/home")


def lines(follower):
    return list(Message.objects.filter(conversation__follower=follower, facts__auto=True).order_by("pk"))


@pytest.mark.urls("config.urls_console")
def test_a_picture_and_a_card_reach_the_phone(account, poster, simulator, in_brand):
    program = make_mini_program()
    for app in (account, program):
        simulator.know(app, **({"linked": [program.appid]} if app is account else {}))
    made = make_sequence(account, picture(poster), card(poster, program.appid))
    (openid,) = simulator.crowd(account, 1)
    who = simulator.get(f"/_sim/people?appid={account.appid}&limit=10")["people"][0]["id"]
    simulator.act(who, "text", account.appid, content="你好")
    at = datetime.fromtimestamp(simulator.get("/_sim/clock")["now"], ZONE)
    person = follows(account, at=at, openid=openid)
    for seconds in (10, 40):
        run(at + seconds * SECOND)
    for line in lines(person):
        deliver(brand_id=in_brand.pk, message_id=line.pk, at=at + 40 * SECOND)

    assert [(line.kind, line.state) for line in lines(person)] == [("image", "SENT"), ("miniprogrampage", "SENT")]
    entries = simulator.get(f"/_sim/people/{who}/conversation?appid={account.appid}")["entries"]
    image, mini = [entry for entry in entries if entry.get("via") == "custom"]
    assert image["kind"] == "image"
    assert (mini["title"], mini["appid"], mini["pagepath"]) == ("会员中心", program.appid, "pages/home")
    assert mini["thumb_media_id"] == image["media_id"]
    assert MediaItem.objects.get(pk=poster.pk).sent == 2
    assert [use.name for use in uses_of([poster.pk])[poster.pk]] == [made.name]


@pytest.mark.urls("config.urls_console")
def test_a_file_that_a_step_sends_is_not_put_away(account, poster):
    make_sequence(account, picture(poster), is_enabled=False)
    with pytest.raises(MediaUsed, match="新粉"):
        library.put_away(item_id=poster.pk, at=AT)


def test_a_file_that_is_gone_is_refused_with_the_reason_and_the_next_step_comes(account, poster, in_brand):
    make_sequence(account, picture(poster), Step("b", 20 * SECOND, "欢迎"))
    MediaItem.objects.filter(pk=poster.pk).update(path="nowhere.png")
    person = follows(account)
    run(AT + 10 * SECOND)
    (line,) = lines(person)
    deliver(brand_id=in_brand.pk, message_id=line.pk, at=AT + 11 * SECOND)
    line.refresh_from_db()
    assert (line.state, line.cause) == ("REFUSED", "FILE_GONE")
    run(AT + 30 * SECOND)
    assert sent(person) == ["", "欢迎"]


def writes(follower, at):
    """They write, and whoever answers has answered: nobody talks with them any more."""
    acts(follower, at)
    Conversation.objects.filter(follower=follower).update(state="RESOLVED")


def quiet(account, *steps):
    return make_sequence(account, *steps, quiet_from=time(22), quiet_until=time(8))


def local(day, hour, minute=0):
    return datetime(2025, 6, day, hour, minute, tzinfo=ZONE)


def test_at_night_nothing_is_sent_and_in_the_morning_it_is(account):
    quiet(account, Step("b", 2 * HOUR, "会员有礼"))
    person = follows(account, at=local(1, 19))
    writes(person, local(1, 22, 30))
    run(local(1, 23))
    assert (sent(person), records(person)) == ([], [])
    assert Enrolment.objects.get(follower=person).due_at == local(2, 8)
    run(local(2, 7, 59))
    assert sent(person) == []
    run(local(2, 8))
    assert (sent(person), records(person)) == (["会员有礼"], [("b", "SENT", "")])


def test_what_morning_would_be_too_late_for_is_skipped_and_stands_in_the_report(account):
    quiet(account, Step("b", 45 * HOUR, "会员有礼"))
    person = follows(account, at=local(1, 3))  # the 48 hours end at three in the night
    writes(person, local(2, 20))
    run(local(3, 0))
    assert sent(person) == []
    assert records(person) == [("b", "SKIPPED", "QUIET")]


def test_each_brands_night_is_its_own(brand, other_brand):
    from accounts.models import Brand

    Brand.objects.filter(pk=other_brand.pk).update(timezone="Europe/Paris")
    people = {}
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            account = make_account()
            quiet(account, Step("b", 2 * HOUR, "会员有礼"))
            people[each.slug] = follows(account, at=local(1, 20))
            writes(people[each.slug], local(1, 20, 30))
            run(local(1, 22, 30))  # in Paris it is half past four in the afternoon
    with brand_scope(brand.pk):
        assert sent(people[brand.slug]) == []
    with brand_scope(other_brand.pk):
        assert sent(people[other_brand.slug]) == ["会员有礼"]


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture
def as_owner(as_owner, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    return as_owner


def test_a_card_counts_for_a_channel(as_owner, ours):
    with brand_scope(ours.brand.pk):
        item = library.add_media(name="新品海报", body=PNG, at=AT, brand_id=ours.brand.pk)
        program, channel = make_mini_program(), create_touchpoint(name="首 48 小时", at=AT)
    filled = form(
        ours, s1_kind="MINI", s1_text="", s1_item=item.pk, s1_title="会员中心", s1_appid=program.appid,
        s1_page="pages/home", s1_channel=channel.pk,
    )  # fmt: skip
    assert as_owner.post(ADD, filled).status_code == 302
    (row,) = sequences(ours.brand)
    with brand_scope(ours.brand.pk):
        code = MiniCode.objects.get()
        assert plan.read_steps(row.steps)[0].page == f"pages/home?scene={code.code}"
        assert (code.touchpoint_id, code.sent_by, code.sender) == (channel.pk, "WELCOME", row.name)
    shown = page(as_owner.get(f"{LIST}{row.pk}/change/"))
    assert 'name="s1_page" value="pages/home"' in shown
    assert f'<option value="{channel.pk}" selected>首 48 小时' in shown
    with brand_scope(ours.brand.pk):
        MiniProgram.objects.update(is_active=False)
    assert "This mini program is not connected" in page(as_owner.post(f"{LIST}{row.pk}/change/", filled))


def test_the_page_keeps_pictures_cards_and_quiet_hours(as_owner, ours, theirs):
    with brand_scope(ours.brand.pk):
        item = library.add_media(name="新品海报", body=PNG, at=AT, brand_id=ours.brand.pk)
        program = make_mini_program()
    with brand_scope(theirs.brand.pk):
        foreign = library.add_media(name="灶台海报", body=GIF, at=AT, brand_id=theirs.brand.pk)
    filled = form(
        ours, s1_kind="IMAGE", s1_text="", s1_item=item.pk, s2_kind="MINI", s2_text="", s2_item=item.pk,
        s2_title="会员中心", s2_appid=program.appid, s2_page="pages/home", quiet_from="22:00", quiet_until="08:00",
    )  # fmt: skip
    assert as_owner.post(ADD, filled | {"s1_item": foreign.pk}).status_code == 200
    assert as_owner.post(ADD, filled | {"s2_page": "/pages/home"}).status_code == 200
    assert as_owner.post(ADD, filled | {"quiet_until": ""}).status_code == 200
    assert sequences(ours.brand) == []

    assert as_owner.post(ADD, filled).status_code == 302
    (row,) = sequences(ours.brand)
    assert [(step.kind, step.item, step.title) for step in plan.read_steps(row.steps)] == [
        ("IMAGE", item.pk, ""),
        ("MINI", item.pk, "会员中心"),
    ]
    assert (row.quiet_from, row.quiet_until) == (time(22), time(8))
    shown = page(as_owner.get(f"{LIST}{row.pk}/change/"))
    assert "Quiet hours 22:00 to 08:00" in shown
    assert "新品海报" in shown
    assert "灶台海报" not in shown
