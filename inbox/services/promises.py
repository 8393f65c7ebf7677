"""Outside service hours: say when somebody will answer, and put it on a list at that time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from django.utils import translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.services import record_audit
from common.errors import Invalid
from inbox.selectors import inbox_policy
from inbox.services import lines, queue, sending
from stores.selectors import brand_zone

if TYPE_CHECKING:
    from datetime import datetime

    from inbox.models import Conversation, InboxPolicy

# What followers read is the brand's own language, not an interface: Chinese, and polite.
WORDS = "您好，现在不是服务时间，我们会在{when}回复您。"
LONGEST: Final = 300
WHEN: Final = "{when}"
_SAME_DAY, _NEXT_DAY, _LATER = "今天 {time}", "明天 {time}", "{date} {time}"


def promise(conversation: Conversation, *, opens_at: datetime, at: datetime) -> None:
    """Promise a reply at a time to the follower of a locked conversation, once for each closing.

    The message takes one of those that the follower's own message allows; without any left only the task is made.
    """
    if conversation.promised_at is not None and conversation.promised_at > at:
        return  # what was promised is still to come
    conversation.promised_at = opens_at
    queue.promise_task(conversation, due_at=opens_at, at=at)
    lines.note_step(conversation, "promised", at=at, when=opens_at.isoformat())
    sending.send_by_itself(
        conversation,
        text=(inbox_policy().promise or WORDS).replace(WHEN, in_words(opens_at, at=at)),
        at=at,
        facts={"promises": opens_at.isoformat()},
    )


def set_promise(*, text: str, at: datetime) -> InboxPolicy:
    """Choose what is promised outside the service hours; empty: our own words. Raises Invalid."""
    text = text.strip()
    if text and text.count(WHEN) != 1:
        raise Invalid(
            _("The sentence must say once when there is a reply: {when}."),
            hint=_("Write {when} where the time is to stand."),
            field="promise",
        )
    if len(text) > LONGEST:
        raise Invalid(_("At most %(most)s characters are possible.") % {"most": LONGEST}, hint="", field="promise")
    policy = inbox_policy()
    before, policy.promise, policy.updated_at = policy.promise, text, at
    policy.save()
    record_audit(action="change promise", obj=policy, changes={"promise": [before, text]})
    return policy


def in_words(moment: datetime, *, at: datetime) -> str:
    """Give a moment as a follower reads it, in the brand's zone."""
    zone = ZoneInfo(brand_zone())
    then, today = moment.astimezone(zone), at.astimezone(zone).date()
    days = (then.date() - today).days
    form = {0: _SAME_DAY, 1: _NEXT_DAY}.get(days, _LATER)
    with translation.override("zh-hans"):
        return form.format(time=then.strftime("%H:%M"), date=date_format(then.date(), "n月j日"))
