"""The pages of pushes and rules have words for everything: why a push stays, and whom rules are tried for first."""

import ast
import uuid
from pathlib import Path

import pytest
from django.utils import translation

from accounts.tenancy import brand_scope
from conversations.admin.rule_forms import RuleForm
from conversations.audiences import audience_kinds
from tests.factories import AT
from wechat_gateway import wire
from wechat_gateway.admin import pushes as admin
from wechat_gateway.models import InboundPush, PushState
from wechat_gateway.services import inbox

GATEWAY = Path(wire.__file__).parent
# Calls that say why a push stays, and which of their arguments does; a code may be chosen between two.
NOTED_BY = {"Unreadable": 0, "Quarantined": 1, "_Undecipherable": 1}
PASSED_ON = {"found.reason", "error.reason", "judged.reason"}


def codes(node):
    if isinstance(node, ast.IfExp):
        return codes(node.body) | codes(node.orelse)
    if ast.unparse(node) in PASSED_ON:
        return set()
    assert isinstance(node, ast.Constant), ast.unparse(node)
    return {node.value}


def noted():
    """Every code that gateway and worker note with a push that cannot be read."""
    found = set()
    for name in ("wire.py", "events.py", "codec.py"):
        for node in ast.walk(ast.parse((GATEWAY / name).read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NOTED_BY:
                found |= codes(node.args[NOTED_BY[node.func.id]])
    for node in ast.walk(ast.parse((GATEWAY / "intake.py").read_text())):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "(row.reply, row.state, row.reason)":
            found |= codes(node.value.elts[2])
    return found


def test_every_reason_of_the_gateway_has_words():
    found = noted()
    assert {"XML", "EMPTY", "FORMAT", "TO_USER", "PADDING", "INNER_LENGTH", "CIPHER_LENGTH", "MSGID_REUSED"} <= found
    assert found == set(admin.REASONS)


@pytest.mark.parametrize("code", sorted({*admin.REASONS, *admin.STOPS}))
def test_the_words_for_a_reason_are_there_in_both_languages(code):
    said = {}
    for language in ("en", "zh-hans"):
        with translation.override(language):
            said[language] = admin.reason_label(code)
    assert code not in said.values()
    assert said["en"].isascii()
    assert not said["zh-hans"].isascii()


def test_reason_of_a_failed_step_names_step_and_error():
    with translation.override("zh-hans"):
        words = admin.reason_label("members.follow: OperationalError: timeout")
        assert words == "处理步骤 members.follow 出错（OperationalError: timeout）"
        assert admin.reason_label("") == "没有记下原因"


def test_a_worker_that_ended_is_no_step_that_failed():
    text = Path(inbox.__file__).read_text()
    assert '"WORKER_DIED: the worker ended while handling this push"' in text
    with translation.override("zh-hans"):
        said = admin.reason_label("WORKER_DIED: the worker ended while handling this push")
    assert "WORKER" not in said
    assert "步骤" not in said


def test_a_push_that_cannot_be_read_even_now_says_why_in_words(as_owner, ours, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    with brand_scope(ours.brand.pk):
        push = InboundPush.objects.create(
            account=ours.account, dedupe_key=uuid.uuid4(), digest=uuid.uuid4(), kind="unknown", openid="", lane=0,
            event_at=AT, received_at=AT, body="<xml>", state=PushState.QUARANTINED, reason="XML",
        )  # fmt: skip
    page = as_owner.post(f"/b/lanyu/wechat_gateway/inboundpush/{push.pk}/change/", {"act": "replay"}, follow=True)
    said = [str(message) for message in page.context["messages"]]
    assert len(said) == 1
    assert said[0].startswith("This push cannot be read even now: its XML is broken.")


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_order_in_which_rules_for_some_are_tried_is_told_whole(language):
    with translation.override(language):
        said = str(RuleForm.base_fields["who"].help_text).lower()
        names = [
            str(kind.label).lower() for _key, kind in sorted(audience_kinds.items(), key=lambda each: each[1].rank)
        ]
    places = [said.find(name) for name in names]
    assert -1 not in places
    assert places == sorted(places)
