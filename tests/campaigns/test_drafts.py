"""Writing a campaign: previews for anybody, templates as WeChat has them."""

import pytest

from campaigns import selectors, services
from campaigns.errors import PreviewImpossible
from campaigns.models import MessageTemplate
from common import clock
from members.models import Member
from wechat_gateway.errors import WeChatRefused


def preview(stage, campaign):
    with stage.scope:
        return services.preview(campaign=campaign, member=Member.objects.get())


def test_a_preview_shows_what_the_person_will_read(stage):
    stage.people(1, name="陈子涵")
    shown = preview(stage, stage.campaign())
    assert [(field.key, field.label, field.text, field.over) for field in shown.fields] == [
        ("thing1", "事项", "陈子涵的预约", 0),
        ("time2", "时间", "2025-06-02 15:30", 0),
    ]
    assert shown.problems == ()


def test_a_preview_tells_what_is_cut_empty_or_unknown(stage):
    stage.people(1, name="")
    long = preview(stage, stage.campaign(content={"thing1": "很长" * 13, "time2": "15:30"}))
    assert (long.fields[0].over, len(long.fields[0].text)) == (6, 20)
    empty = preview(stage, stage.campaign(content={"thing1": "{姓名}", "time2": "15:30"}))
    assert [problem.code for problem in empty.problems] == ["variable_empty"]
    unknown = preview(stage, stage.campaign(content={"thing1": "{称呼}", "time2": "今晚"}))
    assert [problem.code for problem in unknown.problems] == ["variable_unknown", "field_invalid"]


def test_a_test_message_that_cannot_be_made_names_the_field(stage):
    (openid,) = stage.people(1, name="")
    campaign = stage.campaign(content={"thing1": "{姓名}", "time2": "15:30"})
    with stage.scope, pytest.raises(PreviewImpossible) as refused:
        services.send_test(campaign=campaign, openid=openid, at=clock.now())
    assert refused.value.field == "content.thing1"
    assert stage.calls() == 0


def test_templates_become_equal_to_wechats(stage):
    keys = [{"key": "thing1", "label": "门店"}, {"key": "time3", "label": "时间"}]
    fresh = {"template_id": "tpl-fresh", "title": "到店提醒", "keys": keys}
    stage.wechat.control("/world", {"accounts": [{"appid": stage.account.appid, "templates": [fresh]}]})
    with stage.scope:
        gone = MessageTemplate.objects.create(
            account=stage.account, template_id="tpl-gone", title="旧", synced_at=clock.now()
        )
        count = services.sync_templates(account=stage.account, at=clock.now())
        assert services.sync_templates(account=stage.account, at=clock.now()) == count
        usable = {template.template_id: template for template in selectors.templates(stage.account.pk)}
    assert gone.template_id not in usable
    assert len(usable) == count
    assert usable["tpl-fresh"].title == "到店提醒"
    assert usable["tpl-fresh"].fields == [
        {"key": "thing1", "label": "门店", "type": "thing"},
        {"key": "time3", "label": "时间", "type": "time"},
    ]


def test_templates_stay_when_wechat_refuses(stage):
    stage.wechat.control(
        "/faults", {"kind": "errcode", "errcode": 48001, "path": "/cgi-bin/template/get_all_private_template"}
    )
    with stage.scope, pytest.raises(WeChatRefused):
        services.sync_templates(account=stage.account, at=clock.now())
    with stage.scope:
        assert [template.pk for template in selectors.templates(stage.account.pk)] == [stage.template.pk]


def test_changes_to_a_draft_are_kept_and_unknown_fields_refused(stage):
    campaign = stage.campaign()
    with stage.scope:
        services.update_campaign(campaign=campaign, at=clock.now(), name="新名字", content={"thing1": "a"})
    assert (stage.reload(campaign).name, stage.reload(campaign).content) == ("新名字", {"thing1": "a"})
    with stage.scope, pytest.raises(TypeError):
        services.update_campaign(campaign=campaign, at=clock.now(), state="SENDING")
