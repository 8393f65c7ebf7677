"""What allowed a message to one person: the statement behind it, or what they did themselves."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from accounts.tenancy import brand_scope
from inbox import services
from inbox.allowed import basis_of
from inbox.models import Conversation, Direction, Message, ReplyLedger, SendState
from inbox.services.ledger import ledgers_of, record_act, reserve_send
from inbox.services.warnings import carry_notice
from loyalty.services.notices import News
from members import services as member_services
from members.choices import keys_for
from members.models import Consent, Purpose
from tests.console.conftest import as_manager, as_owner, manager, ours, owner, theirs
from tests.factories import AT, make_staff
from tests.inbox.conftest import say, seconds
from wechat_gateway import windows

__all__ = ["as_manager", "as_owner", "manager", "ours", "owner", "theirs"]
pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def newest(follower):
    return Message.objects.filter(conversation__follower=follower, direction=Direction.OUT).order_by("-pk").first()


def basis(follower):
    return basis_of(Conversation.objects.get(follower=follower), newest(follower))


def unasked(follower, at=AT, purpose=Purpose.MARKETING):
    return services.send_unasked(follower=follower, text="新品到了", at=at, asks=keys_for(purpose=purpose))


def test_answer_of_a_person_names_the_message_it_answers(follower, team):
    conversation = say(follower, "几点关门？")
    say(follower, "在吗？", at=AT + HOUR)
    services.send_text(
        conversation_id=conversation.pk, staff_id=team.desk.pk, text="十点", client_key=uuid4(), at=AT + 2 * HOUR
    )

    found = basis(follower)
    asked = Message.objects.get(text="在吗？")
    assert (found.act, found.act_at, found.line_id) == (windows.Act.MESSAGE, AT + HOUR, asked.pk)
    assert (found.purpose, found.consent) == ("", None)


def test_answer_of_a_rule_names_the_tap_it_answers(follower):
    say(follower, "你好")
    say(follower, kind="CLICK", at=AT + HOUR, key="MENU")
    conversation = Conversation.objects.get(follower=follower)
    Message.objects.create(
        conversation=conversation, direction=Direction.OUT, kind="text", text="菜单", at=AT + HOUR, facts={"auto": True},
        state=SendState.SENT,
    )  # fmt: skip

    assert (basis(follower).act, basis(follower).act_at) == (windows.Act.MENU, AT + HOUR)


def test_act_whose_time_was_over_is_not_named(follower):
    conversation = say(follower, "你好")
    line = Message.objects.create(
        conversation=conversation,
        direction=Direction.OUT,
        kind="text",
        text="?",
        at=AT + 49 * HOUR,
        facts={"auto": True},
    )

    assert basis_of(conversation, line).act is None


def test_scan_that_no_conversation_knows_is_found_in_the_ledger(follower):
    record_act(follower=follower, act=windows.Act.SCAN, at=AT)
    assert unasked(follower, at=AT + seconds(5)) is not None

    assert (basis(follower).act, basis(follower).act_at, basis(follower).line_id) == (windows.Act.SCAN, AT, None)


def test_what_nobody_asked_for_names_the_statement_that_was_in_force_then(follower):
    say(follower, "你好")
    assert unasked(follower) is not None
    assert (basis(follower).purpose, basis(follower).consent) == (Purpose.MARKETING, None)

    member_services.give_consent(
        member=follower.member, purpose=Purpose.MARKETING, source="mini program", at=AT + seconds(1), text_version="2"
    )
    assert unasked(follower, at=AT + seconds(2)) is not None
    member_services.withdraw_consent(member=follower.member, purpose=Purpose.MARKETING, source="x", at=AT + HOUR)
    given = Consent.objects.get(purpose=Purpose.MARKETING, granted=True)
    assert (basis(follower).consent, basis(follower).act) == (given, windows.Act.MESSAGE)


def test_news_of_points_names_the_membership_and_the_statement_on_service(follower):
    say(follower, "你好")
    member_services.give_consent(
        member=follower.member, purpose=Purpose.SERVICE, source="mini program", at=AT, text_version="1"
    )
    assert carry_notice(News(follower.member_id, "points", "10 分快到期了", {}, {}), at=AT + HOUR)

    found = basis(follower)
    assert (found.purpose, found.consent.purpose, found.act) == (Purpose.SERVICE, Purpose.SERVICE, windows.Act.MESSAGE)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"notice": "取货通知", "way": "subscribe"}, "同意接收此通知"),
        ({"notice": "取货通知", "way": "template"}, "服务通知"),
        ({"notice": "取货通知"}, "服务通知"),
    ],
)
def test_notice_names_what_was_agreed_to_or_what_it_is_about(follower, team, facts, said):
    conversation = say(follower, "你好")
    line = Message.objects.create(
        conversation=conversation, direction=Direction.OUT, kind="text", text="x", at=AT, facts=facts,
        author_id=team.desk.pk,
    )  # fmt: skip

    found = str(basis_of(conversation, line).ground)
    assert said in found
    assert "取货通知" in found


@pytest.fixture
def sent(ours):
    """A line of ours that nobody had asked for, in a conversation of the brand."""
    with brand_scope(ours.brand.pk):
        follower = ours.member.followers.get()
        conversation = say(follower, "你好")
        line = unasked(follower)
        heard = Message.objects.get(conversation=conversation, direction=Direction.IN)
        return SimpleNamespace(conversation=conversation, line=line, heard=heard)


def page(conversation, line):
    return f"/b/lanyu/inbox/{conversation.pk}/lines/{line.pk}/allowed/"


def test_line_of_a_conversation_shows_it(as_owner, ours, sent):
    thread = as_owner.get(f"/b/lanyu/inbox/{sent.conversation.pk}/").content.decode()
    assert thread.count('data-testid="why-allowed"') == 1
    assert page(sent.conversation, sent.line) in thread

    shown = as_owner.get(page(sent.conversation, sent.line)).content.decode()
    assert "客户来信" in shown
    assert "也未拒绝" in shown
    assert f"?line={sent.heard.pk}" in shown


def test_what_is_no_message_of_ours_has_no_ground(as_owner, sent, theirs):
    with brand_scope(theirs.brand.pk):
        other = say(theirs.member.followers.get(), "你好")
        line = unasked(theirs.member.followers.get())

    assert as_owner.get(page(sent.conversation, sent.heard)).status_code == 404
    assert as_owner.get(page(sent.conversation, line)).status_code == 404
    assert as_owner.get(page(other, line)).status_code == 404
    assert as_owner.get(f"/b/lanyu/inbox/{sent.conversation.pk}/lines/{2**70}/allowed/").status_code == 404


def test_who_may_not_see_the_conversation_does_not_see_it(ours, sent, client):
    with brand_scope(ours.brand.pk):
        client.force_login(make_staff("fen", "ANALYST"))

    assert client.get(page(sent.conversation, sent.line)).status_code == 403


def test_act_is_noted_over_what_somebody_else_wrote_since_the_ledger_was_read(follower):
    record_act(follower=follower, act=windows.Act.MESSAGE, at=AT)
    known = ledgers_of([follower.pk])
    reserve_send(follower_id=follower.pk, at=AT + HOUR)

    record_act(follower=follower, act=windows.Act.MENU, at=AT + 2 * HOUR, known=known)

    row = ReplyLedger.objects.get(follower=follower)
    assert (row.message_at, row.menu_at, row.sends) == (AT, AT + 2 * HOUR, [AT + HOUR])
    assert row.open_until == AT + 48 * HOUR
    assert known == ledgers_of([follower.pk])


def test_act_is_noted_in_a_ledger_that_somebody_else_opened_since(follower):
    known = ledgers_of([follower.pk])
    record_act(follower=follower, act=windows.Act.MESSAGE, at=AT)

    record_act(follower=follower, act=windows.Act.MENU, at=AT + HOUR, known=known)
    record_act(follower=follower, act=windows.Act.SCAN, at=AT + 2 * HOUR, known=known)

    row = ReplyLedger.objects.get(follower=follower)
    assert (row.message_at, row.menu_at, row.scan_at) == (AT, AT + HOUR, AT + 2 * HOUR)
