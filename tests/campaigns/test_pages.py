"""The pages of campaigns: composing, launching, steering, and figures that add up."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from campaigns import plan, selectors, services
from campaigns.models import Campaign, CampaignState, MessageTemplate
from common import clock
from members.models import Member, OptOut
from members.services import save_segment, withdraw_consent
from tests.factories import AT, make_account, make_staff
from wechat_gateway.models import MiniProgram

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


def signed_in(brand, role="MARKETER"):
    with brand_scope(brand.pk):
        staff = make_staff(f"{brand.slug}-{role.lower()}", role)
    client = Client()
    client.force_login(staff, backend=MODEL_BACKEND)
    return client


def html_of(answer):
    return answer.content.decode()


def page(stage, campaign, rest=""):
    return f"/b/{stage.brand.slug}/campaigns/{campaign.pk}/{rest}"


def fields_of(campaign, **more):
    """What the composer posts for a draft."""
    return {
        "name": campaign.name,
        "purpose": campaign.purpose,
        "goal": campaign.goal,
        "account": campaign.account_id,
        "carrier": campaign.carrier,
        "template": campaign.template_id or "",
        "segment": campaign.segment_id or "",
        "when": "now",
        "rate_per_second": "",
        "unknown_policy": "",
        **{f"content.{key}": text for key, text in campaign.content.items()},
    } | more


def parts_of(html):
    return [int(number) for number in re.findall(r'data-part="(\d+)"', html)]


# --- Composing -------------------------------------------------------------------------------------------------------


def test_new_campaign_opens_a_draft(stage):
    client = signed_in(stage.brand)
    data = {"name": "七夕到店礼", "purpose": "MARKETING", "account": stage.account.pk}
    answer = client.post(f"/b/{stage.brand.slug}/campaigns/new/", data)
    with stage.scope:
        campaign = Campaign.objects.get()
    assert (campaign.name, campaign.purpose, campaign.state) == ("七夕到店礼", "MARKETING", "DRAFT")
    assert campaign.carrier == "custom"  # template messages are not allowed for marketing
    assert answer["Location"] == page(stage, campaign)
    assert client.post(f"/b/{stage.brand.slug}/campaigns/new/", data | {"name": " "}).status_code == 422


def test_typing_shows_and_leaving_a_field_saves(stage):
    campaign = stage.campaign()
    client = signed_in(stage.brand)
    data = fields_of(campaign, **{"content.thing1": "{姓名|会员}的取货", "person": "odd:nameless"})
    html = html_of(client.post(page(stage, campaign, "draft/"), data | {"cause": "input"}))
    assert "会员的取货" in html
    assert stage.reload(campaign).content["thing1"] == "{姓名|会员}的预约"
    client.post(page(stage, campaign, "draft/"), data | {"cause": "change"})
    assert stage.reload(campaign).content["thing1"] == "{姓名|会员}的取货"


@pytest.mark.parametrize(
    ("person", "shown"),
    [
        ("odd:nameless", "会员的预约"),
        ("odd:emoji", "🌸小雨✨🐱的预约"),
        ("odd:long", "欧阳长名欧阳长名欧阳长名欧阳长名欧阳长…"),
    ],
)
def test_odd_people_see_a_whole_message(stage, person, shown):
    campaign = stage.campaign()
    data = fields_of(campaign, person=person, cause="input")
    assert shown in html_of(signed_in(stage.brand).post(page(stage, campaign, "draft/"), data))


def test_marketing_cannot_choose_template_messages_and_is_told_why(stage):
    campaign = stage.campaign()
    client = signed_in(stage.brand)
    data = fields_of(campaign, purpose="MARKETING", cause="change", changed="purpose")
    html = html_of(client.post(page(stage, campaign, "draft/"), data))
    assert re.search(r'value="template" disabled aria-describedby="why-template"', html)
    assert "模板消息只能用于服务通知" in html
    assert stage.reload(campaign).carrier == "custom"


@pytest.mark.parametrize(
    ("posted", "field", "part"),
    [
        ({"name": ""}, "name", "名称"),
        ({"content.time2": "明天下午"}, "content.time2", "明天下午"),
        ({"content.thing1": "{生日}快乐"}, "content.thing1", "生日"),
        ({"url": "lanyu.example"}, "url", "https://"),
        ({"when": "later", "scheduled_at": ""}, "scheduled_at", "时间"),
        ({"when": "later", "scheduled_at": "2020-01-01T08:00"}, "scheduled_at", "已过"),
        ({"rate_per_second": "schnell"}, "rate_per_second", "10000"),
        ({"rate_per_second": "0"}, "rate_per_second", "10000"),
    ],
)
def test_what_does_not_fit_stands_at_its_field_and_keeps_from_launching(stage, posted, field, part):
    campaign = stage.campaign()
    html = html_of(
        signed_in(stage.brand).post(page(stage, campaign, "draft/"), fields_of(campaign, cause="change") | posted)
    )
    message = re.search(rf'data-place="{re.escape(field)}">([^<]*)<', html)
    assert message
    assert part in message[1]
    assert f'href="#f-{field}"' in html
    assert re.search(r'data-testid="to-launch" disabled', html)


def test_foreign_and_missing_rows_are_refused_alike(stage, other_brand):
    with brand_scope(other_brand.pk):
        account = make_account(other_brand.name)
        segment = save_segment(name="常客", rule={"all": []}, at=AT)
        template = MessageTemplate.objects.create(account=account, template_id="x", title="外", synced_at=AT)
        mini = MiniProgram.objects.create(name="外", appid="wx0123456789abcdef", app_secret="s")
    campaign = stage.campaign()
    client = signed_in(stage.brand)

    def errors(**posted):
        html = html_of(client.post(page(stage, campaign, "draft/"), fields_of(campaign, cause="change") | posted))
        return dict(re.findall(r'data-place="([a-z_]+)">([^<]*)<', html))

    given = {"segment": segment.pk, "account": account.pk, "template": template.pk, "mini_appid": mini.appid}
    for name, value in given.items():
        missing = "wx" + "f" * 16 if name == "mini_appid" else 987654
        assert errors(**{name: value}) == errors(**{name: missing})
        assert name in errors(**{name: value})
    saved = stage.reload(campaign)
    assert (saved.segment_id, saved.account_id, saved.template_id, saved.mini_appid) == (
        stage.segment.pk,
        stage.account.pk,
        stage.template.pk,
        "",
    )


def test_audience_adds_up_to_what_freezing_finds(stage):
    stage.people(4)
    stage.people(2, subscribed=True)
    with stage.scope:
        members = list(Member.objects.order_by("pk"))
        withdraw_consent(member=members[0], purpose="SERVICE", source="test", at=AT)
        members[1].followers.update(subscribed=False)
        members[2].followers.all().delete()
    campaign = stage.campaign()
    html = html_of(signed_in(stage.brand).get(page(stage, campaign, "audience/")))
    figures = [
        int(number.replace(",", "")) for number in re.findall(r'class="zy-number">(?:<span[^>]*>)?([\d,]+)', html)
    ][:4]
    assert figures == [6, 1, 2, 3]
    with stage.scope:
        found = plan.plan_of(campaign, at=clock.now())
    assert found.hit - found.opted_out - found.unreachable == found.will_send == 3
    launched = stage.launched()
    assert len(stage.rows(launched, state="PENDING")) == found.will_send
    assert len(stage.rows(launched)) == found.hit


def test_reading_role_sees_the_draft_and_changes_nothing(stage):
    campaign = stage.campaign()
    client = signed_in(stage.brand, "ANALYST")
    html = html_of(client.get(page(stage, campaign)))
    assert '<fieldset class="cmp-left" disabled>' in html
    assert 'data-testid="to-launch"' not in html
    refused = [
        client.post(page(stage, campaign), fields_of(campaign, name="weg")),
        client.post(page(stage, campaign, "draft/"), fields_of(campaign, name="weg", cause="change")),
        client.post(page(stage, campaign, "test/"), {"openid": "o" * 28}),
        client.get(page(stage, campaign, "launch/")),
        client.post(page(stage, campaign, "steer/"), {"act": "pause"}),
    ]
    assert [answer.status_code for answer in refused] == [403] * 5
    assert stage.reload(campaign).name == "到店提醒"


def test_another_brands_pages_look_like_missing_ones(stage, other_brand):
    campaign = stage.launched()
    with brand_scope(other_brand.pk):
        make_account(other_brand.name)
    client = signed_in(other_brand)
    for rest in (
        "",
        "draft/",
        "audience/",
        "launch/",
        "progress/",
        "messages/",
        "messages/1/",
        "steer/",
        "copy/",
        "test/",
    ):
        method = client.post if rest in ("draft/", "steer/", "copy/", "test/") else client.get
        answers = [method(f"/b/zaoshan/campaigns/{pk}/{rest}") for pk in (campaign.pk, 987654)]
        assert [answer.status_code for answer in answers] == [404, 404], rest
        assert html_of(answers[0]) == html_of(answers[1]), rest


# --- Test messages ---------------------------------------------------------------------------------------------------


def test_test_message_shows_its_receipt_until_it_is_settled(stage):
    openid = stage.people(1, name="王敏")[0]
    campaign = stage.campaign()
    client = signed_in(stage.brand)
    found = html_of(client.post(page(stage, campaign, "recipients/"), {"recipient": "王敏"}))
    follower = re.search(r'name="follower" value="(\d+)"', found)[1]
    html = html_of(client.post(page(stage, campaign, "test/"), fields_of(campaign, follower=follower)))
    receipt = re.search(r'hx-get="([^"]+/test/\d+/)"', html)[1]
    assert client.get(receipt).status_code == 204
    (sent,) = stage.truth()
    assert sent["openid"] == openid
    stage.report([sent])
    assert "已送达" in html_of(client.get(receipt))


def test_refused_test_message_says_code_cause_and_remedy(stage):
    stage.people(1, name="王敏")
    campaign = stage.campaign()
    client = signed_in(stage.brand)
    html = html_of(
        client.post(page(stage, campaign, "test/"), fields_of(campaign, openid="oNobodyKnowsThisPerson000001"))
    )
    assert "40003" in html
    assert len(re.findall(r"<p>[^<]{10,}</p>", html)) >= 1
    assert stage.truth() == []


def test_test_message_with_a_fault_is_not_sent(stage):
    stage.people(1, name="王敏")
    campaign = stage.campaign()
    data = fields_of(campaign, openid=stage.openids[0], **{"content.time2": "morgen"})
    html = html_of(signed_in(stage.brand).post(page(stage, campaign, "test/"), data))
    assert "morgen" in html
    assert stage.truth() == []


# --- Launching and steering ------------------------------------------------------------------------------------------


def test_launch_page_says_how_many_and_launches(stage):
    stage.people(3)
    campaign = stage.campaign()
    client = signed_in(stage.brand)
    answer = client.post(page(stage, campaign), fields_of(campaign, name="周末提醒", launch="1"))
    assert answer["Location"] == page(stage, campaign, "launch/")
    html = html_of(client.get(answer["Location"]))
    assert "周末提醒" in html
    assert re.search(r'data-testid="will-send">3<', html)
    assert client.post(answer["Location"], {"seen": "1"}).status_code == 422
    assert stage.reload(campaign).state == "DRAFT"
    assert client.post(answer["Location"], {"seen": "3"})["Location"] == page(stage, campaign)
    launched = stage.reload(campaign)
    assert launched.state == "FREEZING"
    with stage.scope:
        entry = AuditEntry.objects.get(action="launch campaign")
        assert (entry.actor_id, launched.launched_by_id) == (entry.actor_id, entry.actor_id)


def test_many_people_need_the_campaigns_name(stage, monkeypatch):
    monkeypatch.setattr("campaigns.views.progress.NAME_TYPED_ABOVE", 2)
    stage.people(3)
    campaign = stage.campaign()
    client = signed_in(stage.brand)
    assert client.post(page(stage, campaign, "launch/"), {"seen": "3", "typed": "x"}).status_code == 422
    assert stage.reload(campaign).state == "DRAFT"
    client.post(page(stage, campaign, "launch/"), {"seen": "3", "typed": campaign.name})
    assert stage.reload(campaign).state == "FREEZING"


def test_campaign_for_nobody_is_not_launched(stage):
    campaign = stage.campaign()
    answer = signed_in(stage.brand).post(page(stage, campaign, "launch/"), {"seen": "0"})
    assert answer.status_code == 422
    assert re.search(r'data-testid="launch" disabled', html_of(answer))
    assert stage.reload(campaign).state == "DRAFT"


def test_campaign_with_a_fault_is_not_launched(stage):
    stage.people(1)
    campaign = stage.campaign(content={"thing1": "", "time2": "morgen"})
    answer = signed_in(stage.brand).post(page(stage, campaign, "launch/"), {"seen": "1"})
    assert answer.status_code == 422
    assert stage.reload(campaign).state == "DRAFT"


def test_launched_campaign_refuses_edits(stage):
    campaign = stage.launched()
    client = signed_in(stage.brand)
    answer = client.post(page(stage, campaign), fields_of(campaign, name="anders"), follow=True)
    assert "活动已经" in html_of(answer)
    live = client.post(page(stage, campaign, "draft/"), fields_of(campaign, name="anders", cause="change"))
    assert (live.status_code, live["HX-Redirect"]) == (204, page(stage, campaign))
    assert stage.reload(campaign).name == "到店提醒"
    copy = client.post(page(stage, campaign, "copy/"))
    with stage.scope:
        made = Campaign.objects.latest("pk")
    assert (copy["Location"], made.state, made.content) == (page(stage, made), "DRAFT", campaign.content)


def test_planned_campaign_can_be_taken_back(stage):
    stage.people(1)
    later = clock.now() + timedelta(days=1)
    campaign = stage.campaign(scheduled_at=later)
    client = signed_in(stage.brand)
    client.post(page(stage, campaign, "launch/"), {"seen": "1"})
    assert stage.reload(campaign).state == "SCHEDULED"
    assert "ask-unschedule" in html_of(client.get(page(stage, campaign)))
    client.post(page(stage, campaign, "steer/"), {"act": "unschedule"})
    assert stage.reload(campaign).state == "DRAFT"


def test_schedule_is_written_in_the_brands_zone(stage):
    campaign = stage.campaign()
    client = signed_in(stage.brand)
    client.post(page(stage, campaign), fields_of(campaign, when="later", scheduled_at="2031-06-02T19:00"))
    assert stage.reload(campaign).scheduled_at.isoformat() == "2031-06-02T11:00:00+00:00"
    assert 'value="2031-06-02T19:00"' in html_of(client.get(page(stage, campaign)))


def test_pause_resume_and_stop_through_the_page(stage):
    stage.people(3)
    campaign = stage.launched()
    client = signed_in(stage.brand)
    seen = []
    for act in ("pause", "resume", "stop"):
        client.post(page(stage, campaign, "steer/"), {"act": act})
        seen.append(stage.reload(campaign).state)
    assert seen == ["PAUSED", "SENDING", "STOPPED"]
    again = client.post(page(stage, campaign, "steer/"), {"act": "resume"}, follow=True)
    assert "已终止" in html_of(again)
    with stage.scope:
        services.close_stopped(campaign_id=campaign.pk, at=clock.now())
        services.close_stopped(campaign_id=campaign.pk, at=clock.now())
    html = html_of(client.get(page(stage, campaign)))
    assert parts_of(html) == [0, 0, 0, 0, 0, 0, 3]
    assert client.post(page(stage, campaign, "steer/"), {"act": "erase"}).status_code == 404


# --- Watching --------------------------------------------------------------------------------------------------------


def test_poll_is_two_queries_and_nothing_when_nothing_changed(stage):
    stage.people(3)
    campaign = stage.launched()
    client = signed_in(stage.brand)
    version = re.search(r"\?v=([0-9a-f]+)", html_of(client.get(page(stage, campaign))))[1]
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(page(stage, campaign, f"progress/?v={version}&moving=1"))
    own = [each["sql"] for each in asked if "campaigns_" in each["sql"]]
    assert (answer.status_code, len(own)) == (204, 2)
    stage.send(campaign)
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(page(stage, campaign, f"progress/?v={version}&moving=1"))
    assert (answer.status_code, len([each for each in asked if "campaigns_" in each["sql"]])) == (200, 2)
    assert parts_of(html_of(answer)) == [0, 3, 0, 0, 0, 0, 0]
    assert answer["HX-Refresh"] == "true"  # it has finished meanwhile, so the report is new


def test_figures_add_up_and_open_their_messages(stage):
    stage.people(6)
    with stage.scope:
        first = Member.objects.order_by("pk").first()
        OptOut.objects.create(member=first, purpose="SERVICE", at=AT)
    campaign = stage.launched()
    stage.send(campaign)
    sent = stage.truth()
    stage.report(sent[:2])
    stage.report(sent[2:3], status="failed:user block")
    stage.report(sent[3:4], status="failed: system failed")
    client = signed_in(stage.brand)
    html = html_of(client.get(page(stage, campaign)))
    parts = parts_of(html)
    assert parts == [2, 1, 1, 1, 0, 0, 1]
    assert sum(parts) == stage.reload(campaign).audience_count == 6
    links = re.findall(r'<a class="cmp-part[^"]*" href="([^"]+)"', html) + re.findall(
        r'<td class="zy-number"><a href="([^"]+)"', html
    )
    for link in dict.fromkeys(links):
        listed = html_of(client.get(link.replace("&amp;", "&")))
        total = int(re.search(r'data-testid="total">[^\d]*(\d+)', listed)[1]) if 'data-testid="total"' in listed else 0
        assert listed.count("OpenID …") == total, link
    assert html_of(client.get(page(stage, campaign, "messages/"))).count("OpenID …") == 6
    with stage.scope:
        report = selectors.report(stage.reload(campaign), at=clock.now())
    assert sum(each.count for each in report.slices) == 6


def test_list_of_messages_pages_by_number(stage, monkeypatch):
    monkeypatch.setattr(selectors.deliveries, "__kwdefaults__", selectors.deliveries.__kwdefaults__ | {"size": 2})
    stage.people(5)
    campaign = stage.launched()
    client = signed_in(stage.brand)
    seen, link = [], "?state=PENDING"
    while link:
        html = html_of(client.get(page(stage, campaign, f"messages/{link}")))
        seen += [int(number) for number in re.findall(r'<tr>\s*<td class="zy-number">(\d+)</td>', html)]
        following = re.search(r'rel="next" href="([^"]+)"', html)
        link = following[1].replace("&amp;", "&") if following else ""
    assert seen == [1, 2, 3, 4, 5]
    assert client.get(page(stage, campaign, "messages/?state=NONSENSE")).status_code == 404


def test_attempts_of_a_message_are_explained(stage):
    stage.people(1)
    stage.wechat.fault("errcode", errcode=-1, count=1)
    campaign = stage.launched()
    stage.send(campaign)
    row = stage.rows(campaign)[0]
    html = html_of(signed_in(stage.brand).get(page(stage, campaign, f"messages/{row.pk}/")))
    with stage.scope:
        assert html.count("<li>") == len(stage.attempts())


def test_failed_messages_are_sent_again_from_the_page(stage):
    stage.people(2)
    campaign = stage.launched()
    stage.send(campaign)
    stage.report(stage.truth()[:1], status="failed: system failed")
    client = signed_in(stage.brand)
    assert "ask-retry" in html_of(client.get(page(stage, campaign)))
    client.post(page(stage, campaign, "steer/"), {"act": "retry"})
    assert stage.reload(campaign).state == "SENDING"
    assert len(stage.rows(campaign, state="PENDING")) == 1


# --- Lists and templates ---------------------------------------------------------------------------------------------


def test_list_shows_state_audience_and_progress_in_constant_queries(stage):
    stage.people(2)
    stage.campaign(name="一")
    client = signed_in(stage.brand)
    where = f"/b/{stage.brand.slug}/campaigns/campaign/"

    def queries():
        with CaptureQueriesContext(connection) as asked:
            html = html_of(client.get(where))
        return len(asked), html

    queries()
    few, _html = queries()
    stage.send(stage.launched(name="二"))
    stage.launched(name="三")
    many, html = queries()
    assert many == few
    assert re.findall(r"field-progressed[^>]*>\s*(\d+\.\d%)", html) == ["0.0%", "100.0%"]
    assert client.get(f"{where}{stage.campaign().pk}/change/").status_code == 302
    with stage.scope:
        newest = Campaign.objects.latest("pk")
    assert page(stage, newest) in html_of(client.get(where))


def test_home_page_shows_what_runs(stage):
    stage.people(2)
    campaign = stage.launched(name="会员日提醒")
    client = signed_in(stage.brand)
    assert "会员日提醒" in html_of(client.get(f"/b/{stage.brand.slug}/"))
    client.post(page(stage, campaign, "steer/"), {"act": "pause"})
    assert f"state__exact={CampaignState.PAUSED}" in html_of(client.get(f"/b/{stage.brand.slug}/"))


def test_templates_are_synchronised_and_typed(stage):
    client = signed_in(stage.brand)
    where = f"/b/{stage.brand.slug}/campaigns/templates/"
    with stage.scope:
        MessageTemplate.objects.all().delete()
    answer = client.post(f"{where}{stage.account.pk}/sync/", follow=True)
    html = html_of(answer)
    assert "预约提醒" in html
    assert re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)", html) == [("事项", "文字"), ("时间", "时间")]
    assert signed_in(stage.brand, "ANALYST").post(f"{where}{stage.account.pk}/sync/").status_code == 403
    assert client.post(f"{where}987654/sync/").status_code == 404
