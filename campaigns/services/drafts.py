"""Writing a campaign, looking at it as one person would get it, and sending it to somebody of the team."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.services import record_audit
from campaigns import reasons, typed_keys
from campaigns.carriers import Addressee, Carrier, FieldInfo, Problem, Unrenderable, carriers
from campaigns.errors import AlreadyLaunched, PreviewImpossible, UnknownCarrier
from campaigns.models import Campaign, CampaignState, TestSend, UnknownPolicy
from campaigns.services.consents import settle_consents, take_consents
from campaigns.variables import facts_of, names_in, render
from inbox.services import reserve_send, settle_sends
from members import choices
from members.models import Follower, Member, Purpose
from wechat_gateway import client
from wechat_gateway.answers import Outcome
from wechat_gateway.errcodes import Reaction

if TYPE_CHECKING:
    from datetime import datetime

    from wechat_gateway.answers import Answer
    from wechat_gateway.models import OfficialAccount

EDITABLE = frozenset(
    {
        "name", "purpose", "goal", "account", "carrier", "template", "content", "url", "mini_appid", "mini_path",
        "segment", "topic", "rate_per_second", "scheduled_at", "unknown_policy",
    },
)  # fmt: skip


@dataclass(frozen=True)
class PreviewField:
    """One field as a person would read it; `over` is by how many characters it was cut."""

    key: str
    label: str
    text: str
    over: int = 0


@dataclass(frozen=True)
class Preview:
    """The message as one person would get it, and what is wrong with it."""

    fields: tuple[PreviewField, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class TestResult:
    """What WeChat said to a test message: whether it was accepted, and otherwise why not and what to do."""

    __test__ = False

    sent: TestSend
    accepted: bool
    explanation: reasons.Explanation | None
    rid: str = ""


def create_campaign(
    *, name: str, account: OfficialAccount, at: datetime, purpose: str = Purpose.SERVICE, **fields: Any
) -> Campaign:
    """Open a draft. `fields` are those of `EDITABLE`; another name raises `TypeError`."""
    _require_known(fields)
    campaign = Campaign(name=name, account=account, purpose=purpose, created_at=at, updated_at=at, **fields)
    campaign.save()
    record_audit(action="create campaign", obj=campaign)
    return campaign


@transaction.atomic
def update_campaign(*, campaign: Campaign, at: datetime, **fields: Any) -> Campaign:
    """Change a draft. Raises `AlreadyLaunched` for anything that is not a draft any more."""
    _require_known(fields)
    row = Campaign.objects.select_for_update(of=("self",)).get(pk=campaign.pk)
    if row.state != CampaignState.DRAFT:
        raise AlreadyLaunched
    changes = {}
    for name, value in fields.items():
        before = getattr(row, name)
        if before != value:
            changes[name] = [_plain(before), _plain(value)]
            setattr(row, name, value)
    row.updated_at = at
    row.save()
    if changes:
        record_audit(action="change campaign", obj=row, changes=changes)
    return row


def refusals_of(campaign: Campaign) -> list[str]:
    """What a person may have refused so that the campaign does not reach them: keys of `members.choices`."""
    if campaign.purpose != Purpose.MARKETING:
        return [campaign.purpose]
    return choices.keys_for(
        purpose=campaign.purpose,
        topic_id=campaign.topic_id,
        carrier=campaign.carrier,
        personal=choices.chooses_people(campaign.rule),
    )


def unknown_policy(campaign: Campaign) -> str:
    """What the campaign does with unconfirmed messages: marketing leaves them, service notices are sent again.

    What uses up a consent is never sent again, whatever was chosen.
    """
    carrier = carriers.find(campaign.carrier)
    if carrier is not None and carrier.uses_consent:
        return UnknownPolicy.LEAVE
    if campaign.unknown_policy:
        return campaign.unknown_policy
    return UnknownPolicy.LEAVE if campaign.purpose == Purpose.MARKETING else UnknownPolicy.RESEND


def carrier_of(campaign: Campaign) -> Carrier:
    """Give the campaign's carrier; raises `UnknownCarrier`."""
    carrier = carriers.find(campaign.carrier)
    if carrier is None:
        raise UnknownCarrier(campaign.carrier)
    return carrier


def preview(*, campaign: Campaign, member: Member) -> Preview:
    """Fill in the campaign's fields for one person; every fault becomes a problem, nothing is raised."""
    carrier = carrier_of(campaign)
    infos = carrier.fields(campaign)
    texts = {info.key: str(campaign.content.get(info.key, "")) for info in infos}
    used, _unknown = names_in(texts.values())
    facts = facts_of(member, used)
    fields, problems = [], []
    for info in infos:
        filled = render(texts[info.key], facts)
        shown = typed_keys.cut(info.key, filled.text)
        fields.append(PreviewField(info.key, info.label, shown, max(0, len(filled.text) - len(shown))))
        problems += _problems_of(info, filled.unknown, filled.empty, shown)
    return Preview(tuple(fields), tuple(problems))


def send_test(*, campaign: Campaign, openid: str, at: datetime) -> TestResult:
    """Send the message once, for real, to one openid of the campaign's account, and keep what WeChat said.

    Facts are those of the follower, if known; a customer-service message is one of those that their acts allow.
    Raises `PreviewImpossible` when a field cannot be filled, or nothing may be sent to them.
    """
    carrier = carrier_of(campaign)
    member = Member.objects.filter(followers__account=campaign.account_id, followers__openid=openid).first()
    used, _unknown = names_in(str(text) for text in campaign.content.values())
    facts = facts_of(member, used) if member else {}
    sent = TestSend(campaign=campaign, account_id=campaign.account_id, openid=openid, sent_at=at, outcome="UNKNOWN")
    sent.save()
    try:
        call = carrier.composer(campaign)(Addressee(openid, facts), f"{campaign.public_id.hex[:16]}-t{sent.pk}")
    except Unrenderable as error:
        label = next((info.label for info in carrier.fields(campaign) if info.key == error.field), error.field)
        raise PreviewImpossible(
            _("“%(field)s” cannot be filled in for this person.") % {"field": label},
            hint=_("Give the variable a fallback, such as {姓名|会员}."),
            field=f"content.{error.field}",
        ) from None
    taken = _take_what_it_costs(campaign, carrier, openid, at)
    ((_request, answer),) = client.send_many(campaign.account, [call], at=at, concurrency=1)
    if taken is not None and answer.outcome not in (Outcome.ACCEPTED, Outcome.UNKNOWN):
        _give_back(campaign, carrier, taken, answer, at)
    sent.outcome = answer.outcome.value
    sent.code = str(answer.code) if answer.code else answer.cause[:40] if not answer.ok else ""
    sent.message = answer.message[:300]
    sent.msgid = int(answer.msgid) if answer.msgid else None
    sent.save(update_fields=["outcome", "code", "message", "msgid"])
    record_audit(action="send test", obj=campaign, changes={"outcome": [None, sent.outcome]})
    return TestResult(
        sent, answer.ok, None if answer.ok else reasons.explain(sent.code or reasons.NO_ANSWER), answer.rid
    )


def _take_what_it_costs(campaign: Campaign, carrier: Carrier, openid: str, at: datetime) -> int | None:
    """Take one of the messages that somebody's acts or consents allow; gives whose. A stranger has no ledger."""
    if not (carrier.uses_allowance or carrier.uses_consent):
        return None
    person = Follower.objects.filter(account=campaign.account_id, openid=openid).first()
    if person is None:
        return None
    refusal = ""
    if carrier.uses_allowance:
        allowed = reserve_send(follower_id=person.pk, at=at)
        refusal = "" if allowed.open else str(allowed.refusal)
    elif campaign.template is not None:
        held = take_consents(follower_ids=[person.pk], template=campaign.template, at=at)
        refusal = "" if held else reasons.NO_CONSENT
    if refusal:
        why = reasons.explain(refusal)
        raise PreviewImpossible(str(why.cause), hint=str(why.action), field="carrier")
    return person.pk


def _give_back(campaign: Campaign, carrier: Carrier, taken: int, answer: Answer, at: datetime) -> None:
    if carrier.uses_allowance:
        closed = answer.reaction is Reaction.WINDOW_CLOSED and answer.code
        settle_sends(unsent=[(taken, at)], refused=[(taken, answer.code or 0)] if closed else [], at=at)
    elif campaign.template is not None:
        gone = [taken] if answer.reaction is Reaction.CONSENT_USED else []
        settle_consents(unsent=[taken], refused=gone, template=campaign.template, at=at)


def follower_of(member: Member, account_id: int) -> Follower | None:
    """Give the follower by which an account reaches a person."""
    return (
        Follower.objects.filter(member=member, account_id=account_id)
        .order_by("-subscribed", "-last_interaction_at", "pk")
        .first()
    )


def _problems_of(info: FieldInfo, unknown: tuple[str, ...], empty: tuple[str, ...], text: str) -> list[Problem]:
    where = f"content.{info.key}"
    if unknown:
        return [
            Problem(
                "variable_unknown",
                _("“%(field)s” uses {%(name)s}, which does not exist.") % {"field": info.label, "name": unknown[0]},
                field=where,
            ),
        ]
    if empty:
        return [
            Problem(
                "variable_empty",
                _("{%(name)s} is empty for this person.") % {"name": empty[0]},
                hint=_("Give the variable a fallback, such as {姓名|会员}."),
                field=where,
            ),
        ]
    if not typed_keys.fits(info.key, text):
        return [
            Problem(
                "field_invalid",
                _("“%(field)s” does not fit: now “%(value)s”.") % {"field": info.label, "value": text},
                hint=_("The field takes %(rule)s.") % {"rule": info.rule} if info.rule else "",
                field=where,
            ),
        ]
    return []


def _require_known(fields: dict[str, Any]) -> None:
    unknown = set(fields) - EDITABLE
    if unknown:
        message = f"a campaign has no field {sorted(unknown)}"
        raise TypeError(message)


def _plain(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return getattr(value, "pk", value)
