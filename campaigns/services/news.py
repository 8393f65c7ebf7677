"""News of what people have when no message may be written: a subscribe notification, else a template message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.services import record_audit
from campaigns import typed_keys
from campaigns.carriers import Addressee, Problem, Unrenderable, carriers
from campaigns.errors import NoticeRefused
from campaigns.models import Campaign, MessageTemplate, NewsPlan, NewsWay
from campaigns.services.consents import take_consents
from campaigns.services.notices import body_of, carrier_for
from campaigns.variables import facts_of, names_in, render
from inbox.allowed import Basis, Ground, grounds
from inbox.services import send_otherwise_by_itself
from inbox.ways import Way, ways
from loyalty.models import Unreached
from loyalty.news import kinds
from loyalty.services.notices import filled
from members.choices import keys_for
from members.models import Follower, Purpose
from wechat_gateway import client

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from inbox.models import Conversation, Message
    from loyalty.services.notices import News
    from wechat_gateway.answers import Answer

#: Words that are numbers: where a field takes digits alone, they are written without commas.
_NUMBERS: Final = frozenset({"points", "missing"})


def proposed(template: MessageTemplate, about: str) -> dict[str, str]:
    """Give what could stand in each field of a template; empty where an operator has to say it."""
    fitting = kinds.get(about).proposed
    return {field["key"]: fitting.get(field.get("type", ""), "") for field in template.fields}


def draft_of(template: MessageTemplate, about: str, content: Mapping[str, str], words: Mapping[str, str]) -> Campaign:
    """Give what the carrier makes a message of; nothing is stored. What is filled in is cut where words may."""
    texts = {}
    for field in template.fields:
        key, text = field["key"], content.get(field["key"], "")
        said = filled(text, about, _digits(words))
        texts[key] = said if said == text or "{" in said else typed_keys.cut(key, said)
    return Campaign(
        name="-",
        purpose=Purpose.SERVICE,
        account=template.account,
        carrier=carrier_for(template),
        template=template,
        content=texts,
    )


def news_problems(template: MessageTemplate, about: str, content: Mapping[str, str]) -> list[Problem]:
    """Give everything that would keep such a message from being sent, by a sample of what is filled in."""
    if carrier_for(template) == NewsWay.TEMPLATE and not kinds.get(about).by_template:
        return [
            Problem(
                "not_by_template",
                _("WeChat allows no template message for this: wishes and gifts count as advertising."),
                hint=_("Choose a subscribe notification."),
                field="template",
            )
        ]
    draft = draft_of(template, about, content, kinds.get(about).samples)
    return carriers.get(draft.carrier).validate(draft)


@transaction.atomic
def save_news_plan(
    *, about: str, template: MessageTemplate, content: Mapping[str, str], is_on: bool, at: datetime
) -> NewsPlan:
    """Save by which template an account's people are told something. Raises NoticeRefused with the field."""
    if is_on:
        for problem in news_problems(template, about, content):
            raise NoticeRefused(problem.message, hint=problem.hint, field=problem.field)
    way = carrier_for(template)
    MessageTemplate.objects.select_for_update().get(pk=template.pk)  # pressed twice, one waits for the other
    rows = NewsPlan.objects.select_for_update().filter(about=about, account_id=template.account_id, way=way)
    row = rows.first() or NewsPlan(about=about, account_id=template.account_id, way=way)
    known = {field["key"] for field in template.fields}
    texts = {key: text for key, text in content.items() if key in known}
    before = {"template": str(row.template), "fields": row.content, "is on": row.is_on} if row.pk else {}
    row.template, row.content, row.is_on, row.updated_at = template, texts, is_on, at
    row.save()
    after = {"template": str(template), "fields": texts, "is on": is_on}
    record_audit(
        action="change notification of news",
        obj=row,
        changes={name: [before.get(name), after[name]] for name in after if before.get(name) != after[name]},
    )
    return row


def carry_by_subscription(news: News, *, at: datetime) -> bool | str:
    """Tell somebody, who follows or not, by a notification they have agreed to.

    It is taken and queued in the transaction that notes it; a long-term one is not used up.
    """
    return _carry(NewsWay.SUBSCRIBE, news, at)


def carry_by_template(news: News, *, at: datetime) -> bool | str:
    """Tell somebody who follows by a template message about what they have with the brand."""
    return _carry(NewsWay.TEMPLATE, news, at)


def _carry(way: str, news: News, at: datetime) -> bool | str:
    if "plans" not in news.memo:
        rows = NewsPlan.objects.select_related("template", "account").filter(about=news.about, is_on=True)
        news.memo["plans"] = list(rows.filter(account__is_active=True, template__is_active=True).order_by("pk"))
    why: bool | str = False
    for plan in (each for each in news.memo["plans"] if each.way == way):
        why = why or (Unreached.NO_CONSENT.value if way == NewsWay.SUBSCRIBE else False)
        people = Follower.objects.select_related("member").filter(member_id=news.member_id, account_id=plan.account_id)
        if way == NewsWay.TEMPLATE:
            people = people.filter(subscribed=True)
        for follower in people.order_by("-last_interaction_at", "pk"):
            said = _sent(plan, follower, news, at)
            if said is True:
                return True
            why = said or why
    return why


def _sent(plan: NewsPlan, follower: Follower, news: News, at: datetime) -> bool | str:
    template = plan.template
    draft = draft_of(template, plan.about, plan.content, news.words)
    used, _unknown = names_in(draft.content.values())
    facts = facts_of(follower.member, used)
    carrier = carriers.get(draft.carrier)
    try:
        if any(problem.blocking for problem in carrier.validate(draft)):
            return Unreached.UNFIT.value
        call = carrier.composer(draft)(Addressee(follower.openid, facts), "")
    except Unrenderable:
        return Unreached.UNFIT.value
    if carrier.uses_consent and not take_consents(follower_ids=[follower.pk], template=template, at=at):
        return False
    said = [
        f"{field['label']}：{typed_keys.cut(field['key'], render(draft.content[field['key']], facts).text)}"
        for field in template.fields
    ]
    send_otherwise_by_itself(
        follower=follower,
        way=draft.carrier,
        title=template.title,
        text="\n".join([template.title, *said]),
        facts={
            "template_id": template.template_id,
            "data": {key: each["value"] for key, each in body_of(call)["data"].items()},
            "tells": news.reference,
        },
        asks=keys_for(purpose=Purpose.SERVICE),
        at=at,
    )
    return True


def _digits(words: Mapping[str, str]) -> dict[str, str]:
    """Numbers of a template are digits alone."""
    return {name: value.replace(",", "") if name in _NUMBERS else value for name, value in words.items()}


def _template_message(conversation: Conversation, line: Message) -> client.Outgoing:
    """Make the call of a line that travels as a template message; WeChat takes a repeated id once."""
    return client.template_message(
        openid=conversation.follower.openid,
        template_id=str(line.facts["template_id"]),
        data=line.facts["data"],
        client_msg_id=f"news-{conversation.brand_id}-{line.pk}",
    )


def _costs_nothing(_conversation: Conversation, _line: Message, _said: Answer, _at: datetime) -> None:
    """Nothing was taken."""


def _theirs(_conversation: Conversation, line: Message) -> Basis:
    ground = _("A service notice (“%(title)s”) on what they have with the brand (PIPL art. 13 (2))")
    return Basis(ground % {"title": line.facts.get("notice", "")})


ways.register(NewsWay.TEMPLATE.value, Way(_template_message, _costs_nothing))
grounds.register("campaigns.news", Ground(lambda line: line.facts.get("way") == NewsWay.TEMPLATE, _theirs))
