"""A data scope narrower than the brand holds on every page that names people, not only on the list of members."""

import json

import pytest

from accounts.services import issue_api_key
from accounts.tenancy import brand_scope
from campaigns.models import Delivery, DeliveryState, MessageTemplate
from campaigns.services import create_campaign
from campaigns.template_content import parse_fields
from stores.models import Store
from tests.factories import AT
from touchpoints.models import Touchpoint

pytestmark = pytest.mark.django_db

EVERYBODY = json.dumps({"all": []})
CONTENT = "事项：{{thing1.DATA}}"


def text_of(answer):
    return answer.content.decode()


@pytest.fixture
def campaign(ours, everybody):
    with brand_scope(ours.brand.pk):
        template = MessageTemplate.objects.create(
            account=ours.account,
            template_id="tpl",
            title="预约提醒",
            content=CONTENT,
            fields=parse_fields(CONTENT),
            synced_at=AT,
        )
        return create_campaign(
            name="到店提醒",
            account=ours.account,
            at=AT,
            template=template,
            content={"thing1": "{姓名}的预约"},
            segment=everybody,
        )


@pytest.mark.parametrize("draw", ["0", "1", "2"])
@pytest.mark.parametrize("who", ["narrow_marketer", "narrow_analyst"])
def test_segment_sample_names_only_people_within_reach(request, who, draw, ours, far):
    client = request.getfixturevalue(who)
    page = text_of(client.post("/b/lanyu/segments/preview/", {"rule": EVERYBODY, "draw": draw}))
    assert 'data-count="2"' in page  # how many the rule finds is no secret
    assert "澜陈子涵" in page
    assert "远方的人" not in page
    assert "139****0001" not in page


def test_owner_sees_the_whole_sample(as_owner, far):
    assert "远方的人" in text_of(as_owner.post("/b/lanyu/segments/preview/", {"rule": EVERYBODY, "draw": "0"}))


def test_composer_shows_the_message_for_people_within_reach_only(narrow_marketer, campaign, far):
    page = f"/b/lanyu/campaigns/{campaign.pk}/"
    assert "远方的人" not in text_of(narrow_marketer.get(page))
    assert "远方的人" not in text_of(narrow_marketer.get(f"{page}launch/"))
    fields = {
        "name": campaign.name,
        "purpose": campaign.purpose,
        "account": campaign.account_id,
        "carrier": campaign.carrier,
        "template": campaign.template_id,
        "segment": campaign.segment_id,
        "when": "now",
        "content.thing1": "{姓名}的预约",
        "person": f"m:{far.pk}",
        "cause": "input",
    }
    shown = text_of(narrow_marketer.post(f"{page}draft/", fields))
    assert "澜陈子涵的预约" in shown
    assert "远方的人" not in shown


def test_test_message_does_not_go_to_somebody_out_of_reach(narrow_marketer, ours, campaign, far, monkeypatch):
    sent = []
    monkeypatch.setattr("campaigns.services.send_test", lambda **call: sent.append(call["openid"]))
    with brand_scope(ours.brand.pk):
        follower = far.followers.get()
    page = text_of(
        narrow_marketer.post(
            f"/b/lanyu/campaigns/{campaign.pk}/test/",
            {
                "name": campaign.name,
                "purpose": campaign.purpose,
                "account": campaign.account_id,
                "carrier": campaign.carrier,
                "template": campaign.template_id,
                "segment": campaign.segment_id,
                "when": "now",
                "content.thing1": "{姓名}的预约",
                "follower": follower.pk,
            },
        )
    )
    assert sent == []
    assert 'data-testid="receipt"' in page


@pytest.mark.parametrize("who", ["narrow_marketer", "narrow_analyst"])
def test_messages_of_a_campaign_name_only_people_within_reach(request, who, ours, campaign, far):
    client = request.getfixturevalue(who)
    with brand_scope(ours.brand.pk):
        type(campaign).objects.filter(pk=campaign.pk).update(state="FINISHED", launched_at=AT)
        openid = far.followers.get().openid
        for number, member in enumerate((ours.member, far), 1):
            Delivery.objects.create(
                campaign=campaign,
                account_id=ours.account.pk,
                member_id=member.pk,
                openid=member.followers.get().openid,
                seq=number,
                state=DeliveryState.DELIVERED,
            )
    page = text_of(client.get(f"/b/lanyu/campaigns/{campaign.pk}/messages/"))
    assert "澜陈子涵" in page
    assert "远方的人" not in page
    assert f"/members/member/{far.pk}/" not in page
    assert far.member_no not in page
    assert openid[-6:] not in page


def test_store_manager_makes_no_new_stores(as_manager, ours):
    fields = {"code": "NEW1", "name": "新店", "city": "", "address": "", "telephone": "", "is_active": "on"}
    inlines = {
        f"{prefix}-{key}": "0"
        for prefix in ("hours", "exceptions", "openinghours_set", "dayexception_set")
        for key in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")
    }
    assert as_manager.get("/b/lanyu/stores/store/add/").status_code == 403
    assert as_manager.post("/b/lanyu/stores/store/add/", fields | inlines).status_code == 403
    with brand_scope(ours.brand.pk):
        assert not Store.objects.filter(code="NEW1").exists()


def test_home_of_a_store_manager_counts_codes_of_own_stores_only(as_manager, ours):
    with brand_scope(ours.brand.pk):
        Touchpoint.objects.filter(pk=ours.touchpoint.pk).update(store=ours.far_store, problem="远方的码坏了")
    assert "远方的码坏了" not in text_of(as_manager.get("/b/lanyu/"))


def test_pushes_of_the_whole_brand_are_for_people_of_the_whole_brand(narrow_marketer, as_marketer, ours):
    path = f"/b/lanyu/wechat_gateway/inboundpush/{ours.push.pk}/change/"
    assert as_marketer.get(path).status_code == 200
    assert narrow_marketer.get(path).status_code == 404


def test_key_without_members_read_sees_no_people_in_a_preview(client, ours):
    with brand_scope(ours.brand.pk):
        keys = {
            scopes: issue_api_key(label="shop", scopes=list(scopes), at=AT)[1]
            for scopes in (("segments.read",), ("segments.read", "members.read"))
        }
    answers = [
        client.post(
            "/api/v1/segments/preview/",
            {"rule": {"all": []}},
            content_type="application/json",
            headers={"authorization": f"Key {clear}"},
        ).json()
        for clear in keys.values()
    ]
    assert [(answer["count"], len(answer["sample"])) for answer in answers] == [(1, 0), (1, 1)]
