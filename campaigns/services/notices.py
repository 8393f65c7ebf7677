"""A service notice to one person, as a template message: what remains legal when the reply window is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.services import record_audit
from campaigns import typed_keys
from campaigns.carriers import Addressee, Problem, Unrenderable, carriers
from campaigns.errors import NoticeRefused
from campaigns.models import Campaign, MessageTemplate
from campaigns.variables import facts_of, names_in, render
from inbox.errors import NotFollowing
from inbox.services import record_notice
from members.models import Purpose
from wechat_gateway import client

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from inbox.models import Conversation, Message

# What WeChat allows a template message to be about (reference: service account 5.6); anything else is advertising.
ABOUTS: Final = {
    "order": gettext_lazy("their order or purchase"),
    "booking": gettext_lazy("their booking or visit"),
    "account": gettext_lazy("their membership or account"),
    "request": gettext_lazy("a question or complaint of theirs"),
}


def draft_of(conversation: Conversation, template: MessageTemplate, content: Mapping[str, str]) -> Campaign:
    """Give what the carrier makes a message of; nothing is stored."""
    return Campaign(
        name="-",
        purpose=Purpose.SERVICE,
        account=conversation.account,
        carrier="template",
        template=template,
        content=dict(content),
    )


def notice_problems(conversation: Conversation, template: MessageTemplate, content: Mapping[str, str]) -> list[Problem]:
    """Give everything that keeps a notice from being sent; what reads like advertising does, too."""
    return carriers.get("template").validate(draft_of(conversation, template, content))


def send_notice(
    *,
    conversation: Conversation,
    staff_id: int,
    template: MessageTemplate,
    content: Mapping[str, str],
    about: str,
    client_key: UUID,
    at: datetime,
) -> Message:
    """Send one template message and write it into the conversation. The same `client_key` again sends nothing.

    Raises `NotFollowing`, `NoticeRefused`.
    """
    if not conversation.follower.subscribed:
        raise NotFollowing
    if about not in ABOUTS:
        raise NoticeRefused(_("Choose what the notice is about."), field="about")
    for problem in notice_problems(conversation, template, content):
        raise NoticeRefused(problem.message, hint=problem.hint, field=problem.field)
    draft = draft_of(conversation, template, content)
    used, _unknown = names_in(content.values())
    facts = facts_of(conversation.follower.member, used)
    try:
        call = carriers.get("template").composer(draft)(
            Addressee(conversation.follower.openid, facts), f"n{client_key.hex[:30]}"
        )
    except Unrenderable as error:
        said = _("“%(field)s” cannot be filled in for this person.") % {"field": error.field}
        raise NoticeRefused(said, field=f"content.{error.field}") from None
    lines = [f"{field['label']}：{typed_keys.cut(field['key'], render(content[field['key']], facts).text)}"
             for field in template.fields]  # fmt: skip
    line, is_new = record_notice(
        conversation_id=conversation.pk,
        staff_id=staff_id,
        title=template.title,
        text="\n".join([template.title, *lines]),
        client_key=client_key,
        send=lambda: next(iter(client.send_many(conversation.account, [call], at=at, concurrency=1)))[1],
        at=at,
    )
    if is_new:
        record_audit(action="send notice", obj=conversation, changes={"about": [None, about]})
    return line
