"""What no page of ours would send is refused like any other mistake, never a fault of ours."""

import pytest

from accounts.tenancy import brand_scope

pytestmark = pytest.mark.django_db

RULES = (
    "[" * 5_000,
    '{"all":' * 2_000,
    '{"all":[' * 300 + "]}" * 300,
    "NaN",
    "null",
    '"\\ud800"',
    '{"all":[{"condition":"tag","params":{"how":"any","tags":["\\u0000"]}}]}',
    '{"all":[{"condition":"tag","params":{"how":"any","tags":[99999999999999999999999]}}]}',
    '{"all":[{"condition":"city","params":{"cities":["\\u0000"]}}]}',
    '{"all":[{"condition":"last_interaction","params":{"how":"within","days":1e400}}]}',
    '{"all":[{"condition":"last_interaction","params":{"how":"within","days":NaN}}]}',
)


@pytest.mark.parametrize("rule", RULES, ids=range(len(RULES)))
def test_rule_that_no_page_sends_is_refused(as_owner, ours, rule):
    page = as_owner.post("/b/lanyu/segments/preview/", {"rule": rule})
    assert page.status_code == 200
    assert 'data-testid="fault"' in page.content.decode()


@pytest.mark.parametrize("value", ["9" * 40, "x", "-1", "²", "\x00", ""])
def test_ids_that_no_page_sends_change_nothing(as_owner, ours, value):
    member = f"/b/lanyu/members/member/{ours.member.pk}/change/"
    answers = [
        as_owner.post(member, {"act": "tag", "tag": value}),
        as_owner.post(member, {"act": "untag", "tag": value}),
        as_owner.post("/b/lanyu/conversations/menu/", {"account": value or "x", "b0-name": "x", "b0-type": "view"}),
        as_owner.post("/b/lanyu/members/member/", {"action": "delete_selected", "_selected_action": [value]}),
        as_owner.post("/b/lanyu/wechat_gateway/inboundpush/", {"action": value, "_selected_action": [ours.push.pk]}),
        as_owner.post(
            "/b/lanyu/wechat_gateway/inboundpush/", {"action": "replay_selected", "_selected_action": [value]}
        ),
        as_owner.post("/b/lanyu/campaigns/new/", {"name": "x", "purpose": value, "account": value}),
        as_owner.post("/b/lanyu/segments/tree/", {"op": "condition", "at": value, "key": value}),
    ]
    assert {answer.status_code for answer in answers} <= {200, 302, 400, 404, 422}


def test_links_that_run_are_never_links(as_owner, ours):
    evil = "javascript:alert(1)"
    as_owner.post(
        "/b/lanyu/conversations/menu/",
        {"account": ours.account.pk, "b0-name": "x", "b0-type": "view", "b0-value": evil},
    )
    with brand_scope(ours.brand.pk):
        type(ours.rule).objects.update(url=evil, picture_url=evil, reply_kind="NEWS", title="t")
    for path in (
        "conversations/menu/",
        f"conversations/replyrule/{ours.rule.pk}/change/",
        "conversations/replyrule/?try=几点",
        f"members/member/{ours.member.pk}/change/",
    ):
        text = as_owner.get(f"/b/lanyu/{path}").content.decode()
        assert 'href="javascript' not in text
        assert 'src="javascript' not in text


def test_new_campaign_without_any_field_is_refused(as_owner, ours):
    page = as_owner.post("/b/lanyu/campaigns/new/", {})
    assert (page.status_code, list(page.context["errors"])) == (422, ["name"])
