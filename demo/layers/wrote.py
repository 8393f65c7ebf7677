"""What some of a crowd asked in the past weeks, and what they were answered: all of it is over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from django.db.backends.utils import CursorWrapper

from demo.layers.ground import Ground, member_no
from demo.truth import Person
from inbox.models import Answer, Conversation, ConversationState, Direction, Message, SendState
from inbox.words import grams
from members.models import Follower

SAID: Final = {
    "lanyu": (
        ("这件风衣还有 M 码吗", "有的，为你留到今晚打烊。"),
        ("礼盒今天能取吗", "可以，下午三点后到店就能取。"),
        ("积分什么时候到账", "签收后第二天到账，会员页能看到明细。"),
        ("门店能改裤长吗", "可以，现场量好，两天后来取。"),
        ("想换个颜色", "七天内带上小票到任一门店就行。"),
    ),
    "zaoshan": (
        ("今晚八点两位有位吗", "有，靠窗的两人桌给你留十五分钟。"),
        ("可以带蛋糕来吗", "可以，刀叉和蜡烛店里都有。"),
        ("外卖能少放辣吗", "可以，下单时写在备注里就好。"),
    ),
}
_RESOLVED_AFTER: Final = timedelta(minutes=12)


def plant(some: Sequence[Person], ground: Ground, _cursor: CursorWrapper) -> None:
    """Plant a question and an answer of a colleague for each who wrote, at different times of the day."""
    wrote = {member_no(person.number): person for person in some if person.wrote_days_ago is not None}
    rows = Follower.objects.select_related("member").filter(
        account_id=ground.account_id, member__member_no__in=list(wrote)
    )
    followers = [(row, wrote[row.member.member_no]) for row in rows.order_by("pk")]
    conversations = Conversation.objects.bulk_create(_conversation(row, person, ground) for row, person in followers)
    lines = [
        line
        for row, (_follower, person) in zip(conversations, followers, strict=True)
        for line in _lines(row, person, ground)
    ]
    Message.objects.bulk_create(lines)
    Answer.objects.bulk_create(
        Answer(
            conversation=line.conversation,
            message=line,
            store_id=line.conversation.store_id,
            staff_user_id=ground.staff_id,
            since=line.conversation.opened_at,
            at=line.at,
            seconds=int((line.at - line.conversation.opened_at).total_seconds()),
            is_first=True,
        )
        for line in lines
        if line.direction == Direction.OUT
    )


def _talk(person: Person, ground: Ground) -> tuple[str, str]:
    said = SAID.get(ground.slug) or SAID["lanyu"]
    return said[person.number // 50 % len(said)]


def _conversation(follower: Follower, person: Person, ground: Ground) -> Conversation:
    asked = ground.ago(person.wrote_days_ago or 0, person.number // 50 % 300)
    answered = asked + timedelta(minutes=person.answered_after)
    return Conversation(
        account_id=ground.account_id,
        follower=follower,
        store_id=follower.member.store_id,
        state=ConversationState.RESOLVED,
        opened_at=asked,
        first_answered=True,
        resolved_at=answered + _RESOLVED_AFTER,
        last_at=answered,
        last_text=_talk(person, ground)[1],
        last_inbound=False,
        inbound_count=1,
        outbound_count=1,
        version=2,
    )


def _lines(conversation: Conversation, person: Person, ground: Ground) -> tuple[Message, Message]:
    said, reply = _talk(person, ground)
    asked = Message(
        conversation=conversation,
        direction=Direction.IN,
        kind="text",
        text=said,
        grams=grams(said),
        at=conversation.opened_at,
    )
    answer = Message(
        conversation=conversation,
        direction=Direction.OUT,
        kind="text",
        text=reply,
        grams=grams(reply),
        at=conversation.last_at,
        author_id=ground.staff_id,
        state=SendState.SENT,
        settled_at=conversation.last_at,
    )
    return asked, answer
