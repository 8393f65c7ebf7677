"""A notice to one person, as subscribe notification or template message: what is legal when the window is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.services import record_audit
from campaigns import reasons, typed_keys
from campaigns.carriers import Addressee, Problem, Unrenderable, carriers
from campaigns.errors import NoticeRefused
from campaigns.models import NOTICES, Campaign, MessageTemplate
from campaigns.services.consents import settle_consents, take_consents
from campaigns.services.subscriptions import POPUP
from campaigns.variables import facts_of, names_in, render
from console import formats
from inbox.allowed import Basis, Ground, grounds
from inbox.errors import NotFollowing
from inbox.services import record_notice, send_otherwise
from inbox.ways import Way, ways
from members.models import Purpose
from wechat_gateway import client
from wechat_gateway.errcodes import Reaction
from wechat_gateway.models import InboundPush

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from inbox.models import Conversation, Message
    from wechat_gateway.answers import Answer

SUBSCRIBE: Final = "subscribe"
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
        carrier=carrier_for(template),
        template=template,
        content=dict(content),
    )


def carrier_for(template: MessageTemplate) -> str:
    """Give by which carrier a template travels."""
    return SUBSCRIBE if template.family in NOTICES else "template"


def notice_problems(conversation: Conversation, template: MessageTemplate, content: Mapping[str, str]) -> list[Problem]:
    """Give everything that keeps a notice from being sent; what reads like advertising does, too."""
    return carriers.get(carrier_for(template)).validate(draft_of(conversation, template, content))


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
    """Send one template message, or a subscribe notification, and write it into the conversation.

    The same `client_key` again sends nothing. A notification takes one of those that the person has agreed to, whether
    or not they follow; it is sent by a task, at most once. Raises `NotFollowing`, `NoticeRefused`.
    """
    agreed_to = template.family in NOTICES
    if not agreed_to and not conversation.follower.subscribed:
        raise NotFollowing
    if not agreed_to and about not in ABOUTS:
        raise NoticeRefused(_("Choose what the notice is about."), field="about")
    for problem in notice_problems(conversation, template, content):
        raise NoticeRefused(problem.message, hint=problem.hint, field=problem.field)
    draft = draft_of(conversation, template, content)
    used, _unknown = names_in(content.values())
    facts = facts_of(conversation.follower.member, used)
    try:
        call = carriers.get(draft.carrier).composer(draft)(
            Addressee(conversation.follower.openid, facts), f"n{client_key.hex[:30]}"
        )
    except Unrenderable as error:
        said = _("“%(field)s” cannot be filled in for this person.") % {"field": error.field}
        raise NoticeRefused(said, field=f"content.{error.field}") from None
    lines = [f"{field['label']}：{typed_keys.cut(field['key'], render(content[field['key']], facts).text)}"
             for field in template.fields]  # fmt: skip
    text = "\n".join([template.title, *lines])
    if agreed_to:
        data = {key: each["value"] for key, each in body_of(call)["data"].items()}
        line, is_new = send_otherwise(
            conversation_id=conversation.pk,
            staff_id=staff_id,
            way=SUBSCRIBE,
            title=template.title,
            text=text,
            facts={"template_id": template.template_id, "data": data},
            client_key=client_key,
            take=lambda: _take_one(conversation, template, at),
            at=at,
        )
    else:
        line, is_new = record_notice(
            conversation_id=conversation.pk,
            staff_id=staff_id,
            title=template.title,
            text=text,
            client_key=client_key,
            send=lambda: next(iter(client.send_many(conversation.account, [call], at=at, concurrency=1)))[1],
            at=at,
        )
    if is_new:
        record_audit(action="send notice", obj=conversation, changes={"about": [None, about or SUBSCRIBE]})
    return line


def body_of(call: client.Outgoing) -> dict[str, Any]:
    """Give what a call says, as an object."""
    found: dict[str, Any] = orjson.loads(call.body) if isinstance(call.body, bytes) else dict(call.body)
    return found


def _take_one(conversation: Conversation, template: MessageTemplate, at: datetime) -> None:
    if not take_consents(follower_ids=[conversation.follower_id], template=template, at=at):
        why = reasons.explain(reasons.NO_CONSENT)
        raise NoticeRefused(str(why.cause), hint=str(why.action), field="template")


def _notification(conversation: Conversation, line: Message) -> client.Outgoing:
    """Make the call of a line that travels as a subscribe notification."""
    return client.subscribe_message(
        openid=conversation.follower.openid, template_id=str(line.facts["template_id"]), data=line.facts["data"]
    )


def _not_sent(conversation: Conversation, line: Message, said: Answer, at: datetime) -> None:
    """Give back what a notification took, or believe WeChat that nothing is left."""
    rows = MessageTemplate.objects.filter(account_id=conversation.account_id, template_id=line.facts["template_id"])
    for template in rows.order_by("pk"):
        person = [conversation.follower_id]
        gone = person if said.reaction is Reaction.CONSENT_USED else []
        settle_consents(unsent=person, refused=gone, template=template, at=at)


def _agreed(conversation: Conversation, line: Message) -> Basis:
    """They tapped in WeChat that they want one; WeChat's push of it is kept for a while."""
    pushes = InboundPush.objects.filter(openid=conversation.follower.openid, kind=POPUP, event_at__lte=line.at)
    when = pushes.order_by("-event_at").values_list("event_at", flat=True).first()
    said = _("They agreed in WeChat to get this notification (“%(title)s”)") % {"title": line.facts.get("notice", "")}
    if when is not None:
        said = _("%(ground)s, last asked on %(when)s") % {"ground": said, "when": formats.local_time(when)}
    return Basis(said)


def _about(_conversation: Conversation, line: Message) -> Basis:
    """A person of the brand has said what it was about; the audit log keeps it."""
    ground = _("A service notice (“%(title)s”) on what they have with the brand (PIPL art. 13 (2))")
    return Basis(ground % {"title": line.facts.get("notice", "")})


ways.register(SUBSCRIBE, Way(_notification, _not_sent))
grounds.register("campaigns.agreed", Ground(lambda line: line.facts.get("way") == SUBSCRIBE, _agreed))
grounds.register(
    "campaigns.notice", Ground(lambda line: bool(line.facts.get("notice")) and line.author_id is not None, _about)
)
