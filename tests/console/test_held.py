"""From the page of an incident to the lists of what waits because of it."""

import html
import re

import pytest

from accounts.tenancy import brand_scope
from campaigns.models import Campaign
from conversations.models import Menu, ReplyRecord
from tests.factories import AT, make_account
from wechat_gateway import incidents
from wechat_gateway.models import Incident

pytestmark = pytest.mark.django_db
NO_PUSH = 10**9  # further than any push of these brands


def held(world, account, number):
    """An incident of an account, a campaign and an answer that wait for it."""
    Campaign.objects.create(
        name=f"等待的活动{number}", account=account, state="PARKED", parked_code="ACCOUNT", created_at=AT, updated_at=AT
    )
    ReplyRecord.objects.create(
        account=account, follower=world.follower, push_id=NO_PUSH + number, trigger="KEYWORD", way="SERVICE", why="LATE",
        state="WAITING", at=AT,
    )  # fmt: skip
    incidents.open_incident(kind=incidents.TOKEN, appid=account.appid, at=AT)
    return Incident.objects.get(appid=account.appid)


def test_each_effect_of_an_incident_leads_to_just_those_rows(as_owner, ours, theirs):
    with brand_scope(ours.brand.pk):
        row = held(ours, ours.account, 1)
        held(ours, make_account(name="第二个号"), 2)
    with brand_scope(theirs.brand.pk):
        foreign = held(theirs, theirs.account, 3)
    shown = as_owner.get(f"/b/lanyu/wechat_gateway/incident/{row.pk}/change/").content.decode()
    links = {html.unescape(link) for link in re.findall(r'href="([^"]*incident=\d+)"', shown)}
    assert {link.split("/")[-3] for link in links} == {"campaigns", "conversations"}

    campaigns = as_owner.get(next(link for link in links if "/campaigns/" in link)).content.decode()
    assert ("等待的活动1" in campaigns, "等待的活动2" in campaigns) == (True, False)
    answers = as_owner.get(next(link for link in links if "/conversations/" in link))
    assert [each.push_id for each in answers.context["cl"].result_list] == [NO_PUSH + 1]
    for strange in (foreign.pk, "x", ""):
        other = as_owner.get("/b/lanyu/campaigns/campaign/", {"incident": strange})
        assert other.status_code in (200, 302)
        assert "等待的活动3" not in other.content.decode()


def test_a_menu_that_could_not_be_published_is_said_on_the_home_page(as_owner, ours, theirs):
    for world, problem in ((ours, "微信拒绝了按钮"), (theirs, "别家的秘密")):
        with brand_scope(world.brand.pk):
            Menu.objects.create(account=world.account, state="FAILED", problem=problem, wanted_at=AT)
    home = as_owner.get("/b/lanyu/").content.decode()
    assert ("微信拒绝了按钮" in home, "别家的秘密" in home) == (True, False)

    page = f"/b/lanyu/conversations/menu/?account={ours.account.pk}"
    assert 'value="cancel"' in as_owner.get(page).content.decode()
    as_owner.post(page, {"act": "cancel", "account": ours.account.pk})
    assert "微信拒绝了按钮" not in as_owner.get("/b/lanyu/").content.decode()
