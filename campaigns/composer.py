"""Reads what the composer has posted into the fields of a draft; what cannot be read becomes an error at its field."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _

from campaigns.carriers import carriers
from campaigns.models import Campaign, MessageTemplate, UnknownPolicy
from members.models import Purpose, Segment, Topic
from wechat_gateway.models import MiniProgram, OfficialAccount

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from django.http import QueryDict

FASTEST: Final = 10_000
LONGEST_TEXT: Final = 2_000
MOMENT: Final = "%Y-%m-%dT%H:%M"
_TEXTS: Final = {"name": 60, "goal": 2_000, "url": 1_024, "mini_path": 1_024}


@dataclass
class Reading:
    """Fields for `update_campaign`, and errors by field."""

    fields: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def onto(self, campaign: Campaign) -> Campaign:
        """Set the fields on a campaign without saving it."""
        for name, value in self.fields.items():
            setattr(campaign, name, value)
        return campaign


def read(campaign: Campaign, data: QueryDict, zone: ZoneInfo) -> Reading:
    """Read a posted composer for a campaign. Ids of another brand are refused like ids that do not exist."""
    found = Reading()
    _texts(data, found)
    if data.get("purpose") in Purpose.values:
        found.fields["purpose"] = data["purpose"]
    _account(data, found)
    _segment(data, found)
    _topic(data, found)
    _carrier(campaign, data, found)
    _template(campaign, data, found)
    _content(campaign, data, found)
    _mini_program(campaign, data, found)
    _moment(data, zone, found)
    _rate(data, found)
    if data.get("unknown_policy") in ("", *UnknownPolicy.values):
        found.fields["unknown_policy"] = data["unknown_policy"]
    return found


def _texts(data: QueryDict, found: Reading) -> None:
    for name, limit in _TEXTS.items():
        if name not in data:
            continue
        text = _text(data, name).strip()
        if len(text) > limit:
            found.errors[name] = _("At most %(count)s characters fit here.") % {"count": limit}
        elif name == "name" and not text:
            found.errors[name] = _("The campaign has no name.")
        else:
            found.fields[name] = text


def _text(data: QueryDict, name: str) -> str:
    return str(data.get(name, ""))


def _row(model: Any, text: str) -> Any:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        return None
    return model.objects.filter(pk=int(text)).first()


def _account(data: QueryDict, found: Reading) -> None:
    if "account" not in data:
        return
    account = _row(OfficialAccount, _text(data, "account"))
    if account is None:
        found.errors["account"] = _("Choose one of your service accounts.")
        return
    found.fields["account"] = account


def _segment(data: QueryDict, found: Reading) -> None:
    if "segment" not in data:
        return
    segment = _row(Segment, _text(data, "segment"))
    if segment is None and data["segment"]:
        found.errors["segment"] = _("This segment does not exist.")
        return
    found.fields["segment"] = segment


def _topic(data: QueryDict, found: Reading) -> None:
    if "topic" not in data:
        return
    topic = _row(Topic, _text(data, "topic"))
    if topic is None and data["topic"]:
        found.errors["topic"] = _("This topic does not exist.")
        return
    found.fields["topic"] = topic


def _carrier(campaign: Campaign, data: QueryDict, found: Reading) -> None:
    purpose = found.fields.get("purpose", campaign.purpose)
    wanted = data.get("carrier", campaign.carrier)
    carrier = carriers.find(wanted)
    if carrier is None:
        found.errors["carrier"] = _("This channel does not exist.")
        return
    if purpose not in carrier.purposes:
        legal = next(((key, each) for key, each in carriers.items() if purpose in each.purposes), None)
        if legal is None:
            return
        found.notes.append(
            _("“%(before)s” is not allowed for this purpose; “%(after)s” is chosen instead.")
            % {"before": carrier.label, "after": legal[1].label},
        )
        wanted = legal[0]
    found.fields["carrier"] = wanted


def _template(campaign: Campaign, data: QueryDict, found: Reading) -> None:
    if "template" in data:
        template = _row(MessageTemplate, _text(data, "template"))
        if template is not None and not _fits(campaign, found, template):
            template = None  # the list of the account or channel chosen before
        elif template is None and data["template"]:
            found.errors["template"] = _("This template does not exist.")
            return
        found.fields["template"] = template
    elif campaign.template is not None and not _fits(campaign, found, campaign.template):
        found.fields["template"] = None


def _fits(campaign: Campaign, found: Reading, template: MessageTemplate) -> bool:
    account = found.fields.get("account", campaign.account)
    carrier = carriers.find(found.fields.get("carrier", campaign.carrier))
    return template.account_id == account.pk and (carrier is None or template.family in carrier.families)


def _content(campaign: Campaign, data: QueryDict, found: Reading) -> None:
    given = {name.removeprefix("content."): _text(data, name) for name in data if name.startswith("content.")}
    if not given:
        return
    content = dict(campaign.content)
    for key, text in list(given.items())[:40]:
        if len(text) > LONGEST_TEXT or len(key) > 40:
            found.errors[f"content.{key[:40]}"] = _("At most %(count)s characters fit here.") % {"count": LONGEST_TEXT}
            continue
        content[key] = text.replace("\r\n", "\n").strip()
    found.fields["content"] = content


def _mini_program(campaign: Campaign, data: QueryDict, found: Reading) -> None:
    if "mini_appid" not in data:
        return
    appid = _text(data, "mini_appid").strip()
    if appid and appid != campaign.mini_appid and not MiniProgram.objects.filter(appid=appid).exists():
        found.errors["mini_appid"] = _("Choose one of your mini programs.")
        return
    found.fields["mini_appid"] = appid


def _moment(data: QueryDict, zone: ZoneInfo, found: Reading) -> None:
    if data.get("when") == "now":
        found.fields["scheduled_at"] = None
    elif data.get("when") == "later":
        try:
            local = datetime.strptime(data.get("scheduled_at", ""), MOMENT).replace(tzinfo=zone)
        except ValueError:
            found.errors["scheduled_at"] = _("Choose a day and a time.")
            return
        found.fields["scheduled_at"] = local.astimezone(UTC)


def _rate(data: QueryDict, found: Reading) -> None:
    if "rate_per_second" not in data:
        return
    text = _text(data, "rate_per_second").strip()
    if not text:
        found.fields["rate_per_second"] = None
    elif text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= FASTEST:
        found.fields["rate_per_second"] = int(text)
    else:
        found.errors["rate_per_second"] = _("A number from %(low)s to %(high)s is expected here.") % {
            "low": 1,
            "high": FASTEST,
        }
