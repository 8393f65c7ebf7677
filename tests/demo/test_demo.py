"""The invented brands: what a script is told, and what must never happen with them."""

import json
from collections import Counter
from datetime import timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum

from accounts.models import StaffUser
from accounts.tenancy import brand_scope, every_brand
from campaigns.invariants import breaches
from campaigns.lift import effect_of
from campaigns.models import Campaign, Delivery, NewsPlan, SubscriptionStock, Tally
from common import clock
from conversations.models import Menu, ReplyRecord
from conversations.selectors import troubles_of_menu
from demo import arrivals, channels, points
from demo.brands import BRANDS, PASSWORD
from guides.models import Guide
from imports.models import Import
from inbox.models import Conversation, ServiceHours
from inbox.selectors import allowance_of
from library.models import MediaCopy
from members.models import Follower, Member, Tag
from touchpoints.models import Touch, Touchpoint
from touchpoints.selectors import quiet_codes, ranking, settled_window, tree_figures
from wechat_gateway.models import InboundPush, Incident, OfficialAccount


def run(*arguments):
    said = StringIO()
    call_command("demo", *arguments, stdout=said)
    return said.getvalue()


def counts():
    with every_brand(reason="test"):
        return [model.objects.count() for model in (OfficialAccount, Follower, Member, Touch, Guide)]


def arrives_in_every_way(lanyu, simulator):
    """Openings, signed pages, agreed notices as WeChat counts them, a file answer, a button that nothing answers."""
    with brand_scope(lanyu["id"]):
        account = OfficialAccount.objects.get()
        assert account.js_domains == ["lanyu.example.com"]
        assert Touch.objects.exclude(opening="").count() == arrivals.OPENINGS + arrivals.CARDS
        (copy,) = MediaCopy.objects.filter(permanent=True)
        assert (copy.state, copy.item.name) == ("THERE", "当季新品")
        dead = troubles_of_menu(account.pk, Menu.objects.get().draft, at=clock.now())
        assert ("预约量体", "NO_ANSWER") in {(each.name, each.kind) for each in dead}
        agreed = Counter()  # to one notification or to two
        for row in SubscriptionStock.objects.select_related("follower"):
            agreed[row.follower.openid] += row.remaining
        assert NewsPlan.objects.get().is_on
    people = simulator.get(f"/_sim/people?appid={account.appid}&limit=10000")["people"]
    relations = [person["accounts"][account.appid] for person in people]
    wechat = {each["openid"]: sum(each["consents"].values()) for each in relations if each["consents"]}
    assert len(agreed) > 20
    assert agreed == wechat


def has_lived_until_today(lanyu):
    """Nobody speaks before following, ages match the tags that say them, and no page of the day is empty."""
    with brand_scope(lanyu["id"]):
        people = list(
            Follower.objects.exclude(member__last_interaction_at=None)
            .exclude(followed_at=None)
            .select_related("member")
        )
        named = dict(Tag.objects.filter(group="生命周期").values_list("pk", "name"))
        early = [each for each in people if each.member.last_interaction_at < each.followed_at]
        ages = {
            (named[tag], clock.now() - each.followed_at >= timedelta(days=30))
            for each in people
            for tag in each.member.tag_ids
            if tag in named
        }
        assert (early, ages) == ([], {("新客", False), ("老客", True)})
        assert ReplyRecord.objects.filter(rule__isnull=False, push_id__in=InboundPush.objects.values("pk")).count() == 8
        assert ServiceHours.objects.count() == 7
        assert [row.closed_at is not None for row in Incident.objects.order_by("pk")] == [True, True]
        runs_campaigns()


def runs_campaigns():
    """One campaign in every stage of its life, whose figures are those of its rows."""
    rows = {str(row.state): row for row in Campaign.objects.order_by("pk")}
    assert set(rows) == {"DRAFT", "FINISHED", "PAUSED"}
    assert breaches() == []
    over = Campaign.objects.get(name="会员日到店提醒")
    states = dict(Tally.objects.filter(campaign=over).values_list("state").annotate(sum=Sum("count")).order_by())
    assert sum(states.values()) == over.audience_count
    assert states["DELIVERED"] > 0.9 * (over.audience_count - states.get("SUPPRESSED", 0))
    assert min(states["REFUSED"], states["FAILED"]) > 10
    marketing = Campaign.objects.get(name="夏季新品到店")
    for goal in ("loyalty.purchase", "touchpoints.scanned"):
        effect = effect_of(marketing, goal=goal, days=7, at=clock.now())
        assert (effect.is_over, effect.is_too_small) == (True, False), goal
        assert effect.treated.count > effect.control.count > 0
        assert effect.lift.difference > 0, goal
    tables = {row.name: (row.state, row.found) for row in Import.objects.all()}
    assert tables["新店开业登记.csv"] == ("CHECKED", {"NEW": 2, "UNCHANGED": 1, "ERROR": 2})
    assert (tables["老收银会员.csv"][0], tables["老收银会员.csv"][1]["ERROR"]) == ("DONE", 2)
    waiting = Delivery.objects.filter(campaign=rows["PAUSED"], state="PENDING").count()
    assert 0 < waiting < rows["PAUSED"].audience_count


@pytest.mark.long(50)
@pytest.mark.timeout(600)  # two brands with all their people, twice
def test_demo_brands_load_once_and_tell_a_script_all_it_needs(db, simulator, settings, monkeypatch, tmp_path):
    monkeypatch.setattr(points, "BUYERS", 15)  # a quarter of those who buy in the demo, in the same ways
    settings.SIMULATOR_URL = simulator.url
    settings.STATE_DIR = str(tmp_path)
    settings.CLOCK_URL = f"{simulator.url}/_sim/clock"

    run("--load")
    loaded = counts()
    run("--load")
    assert counts() == loaded
    assert loaded[1] > 2000
    assert "figures are right" in run("--check")
    reports_are_compared_with_the_truth(tmp_path)

    facts = json.loads(run("--json"))
    lanyu = facts["brands"][0]
    assert [brand["slug"] for brand in facts["brands"]] == ["lanyu", "zaoshan"]
    assert {"appid", "callback_url", "token", "encoding_aes_key", "staff", "codes", "mini_program"} <= set(lanyu)
    assert "LY0007" in lanyu["guides"]
    assert any(code["name"] == "上海静安店 · LY0007" and code["ticket"] for code in lanyu["codes"])
    assert StaffUser.objects.get(username=lanyu["staff"][0]["username"]).check_password(PASSWORD)

    with brand_scope(lanyu["id"]):
        someone = Member.objects.exclude(phone_tail="").first()
    assert someone.phone.reveal().endswith(someone.phone_tail)
    judges_channels_as_planted(lanyu)
    arrives_in_every_way(lanyu, simulator)
    has_lived_until_today(lanyu)

    for demo, brand in zip(BRANDS, facts["brands"], strict=True):
        with brand_scope(brand["id"]):
            waiting = list(Conversation.objects.filter(state="WAITING").select_related("follower"))
            allowed = {row.follower.openid: allowance_of(row.follower_id, at=clock.now()).left for row in waiting}
        assert len(waiting) >= 2
        truth = {
            person["accounts"][demo.appid]["openid"]: person["accounts"][demo.appid]["windows"]
            for person in simulator.get(f"/_sim/people?appid={demo.appid}&limit=5000")["people"]
        }
        assert allowed == {openid: max(each["left"] for each in truth[openid]) for openid in allowed}
        people = simulator.get(f"/_sim/people?appid={demo.appid}&limit=5000")["people"]
        openids = {person["accounts"][demo.appid]["openid"] for person in people}
        with brand_scope(brand["id"]):
            assert set(Follower.objects.filter(subscribed=True).values_list("openid", flat=True)) == openids


def judges_channels_as_planted(brand):
    """The loyal channel ranks above the one that hunts bargains, and the dead codes are named."""
    now = clock.now()
    with brand_scope(brand["id"]):
        codes = {row.pk: row.name for row in Touchpoint.objects.exclude(scene="")}
        zone = ZoneInfo("Asia/Shanghai")
        figures = tree_figures(settled_window(now, zone), model="first", now=now, zone=zone)
        ranked = [each for each in ranking(figures, codes) if each.rank]
        quiet = {row.name for row in quiet_codes(Touchpoint.objects.all(), now=now)}
    assert [codes[each.touchpoint_id] for each in ranked] == [channels.LOYAL, channels.BARGAIN]
    assert ranked[0].followers < ranked[1].followers == channels.STAYED + channels.LEFT
    assert (ranked[0].kept, ranked[1].kept) == (channels.LOYAL_PEOPLE, channels.STAYED)
    worth = [figures.nodes[each.touchpoint_id].value_of_each(90) for each in ranked]
    assert worth[0] > 10_000 > worth[1]
    assert quiet == {f"快闪展位 {number}" for number in range(1, channels.DEAD_CODES + 1)}


def reports_are_compared_with_the_truth(folder):
    """The truth of size S covers both brands, and a figure that is wrong is named."""
    path = folder / "truth-S.json"
    told = json.loads(path.read_text())
    assert set(told) == {"lanyu", "zaoshan"}
    planted = told["lanyu"]["planted"]
    assert planted["came_by_code"][channels.BARGAIN] == channels.STAYED + channels.LEFT
    assert (planted["waiting"], planted["answered"]) == (3, 4)
    path.write_text(json.dumps({"lanyu": {"planted": {"members": planted["members"] + 1}}}))
    with pytest.raises(CommandError, match="1 of 1 figures are wrong"):
        run("--check")
    with pytest.raises(CommandError, match="not loaded"):
        run("--check", "--size", "M")


def test_known_passwords_are_refused_in_production(db, settings):
    settings.IS_PRODUCTION = True
    with pytest.raises(CommandError, match="refused"):
        run("--load")
    assert StaffUser.objects.count() == 0
