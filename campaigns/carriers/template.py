"""Template messages (模板消息): service notices after something the person did (reference: service account 5.6)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import typed_keys
from campaigns.carriers.contract import Addressee, FieldInfo, Problem, Unrenderable, carriers, legal_alternatives
from campaigns.models import Family
from campaigns.variables import names_in, render
from members.models import Follower, Purpose
from wechat_gateway import client

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from django.db.models import QuerySet

    from campaigns.models import Campaign
    from members.models import Member

# Words that get a template banned when a service notice uses them (reference: service account 5.6; 43116, 48011).
_ADVERTISING: Final = re.compile("优惠|促销|特价|折扣|秒杀|抢购|领券|红包|满减|限时|回馈|福利|免费领")


class TemplateCarrier:
    """One template message a person."""

    key = "template"
    label = gettext_lazy("Template message")
    purposes = frozenset({Purpose.SERVICE.value})
    families = frozenset({Family.TEMPLATE.value})
    uses_template = True
    confirms = True
    uses_allowance = False
    uses_consent = False
    warns_of_advertising = True

    def fields(self, campaign: Campaign) -> list[FieldInfo]:
        """Give the template's fields with their limits."""
        found = []
        for field in campaign.template.fields if campaign.template else []:
            kind = typed_keys.type_of(field["key"])
            found.append(
                FieldInfo(
                    key=field["key"],
                    label=field["label"],
                    limit=kind.limit if kind else 0,
                    rule=str(kind.rule) if kind else "",
                ),
            )
        return found

    def validate(self, campaign: Campaign) -> list[Problem]:
        """Check the purpose, the template and every field."""
        problems = []
        if campaign.purpose not in self.purposes:
            problems.append(
                Problem(
                    "carrier_not_allowed",
                    _(
                        "Template messages are for service notices only: "
                        "WeChat blocks accounts that advertise with them."
                    ),
                    hint=_("For marketing use: %(carriers)s.")
                    % {"carriers": "、".join(legal_alternatives(campaign.purpose)) or _("no channel yet")},
                    field="carrier",
                ),
            )
        template = campaign.template
        if template is None or template.account_id != campaign.account_id or template.family not in self.families:
            problems.append(
                Problem("template_missing", _("No template of this service account is chosen."), field="template")
            )
            return problems
        if not template.is_active:
            problems.append(
                Problem(
                    "template_gone",
                    _("The service account does not have this template any more."),
                    hint=_("Synchronise templates and choose another one."),
                    field="template",
                ),
            )
        if campaign.mini_path and not campaign.mini_appid:
            problems.append(Problem("mini_appid_missing", _("A mini-program page needs an AppID."), field="mini_appid"))
        if campaign.url and not campaign.url.startswith(("https://", "http://")):
            problems.append(Problem("url_invalid", _("A link begins with https://."), field="url"))
        for field in self.fields(campaign):
            text = str(campaign.content.get(field.key, ""))
            problems += _check_field(field, text)
            if self.warns_of_advertising and _ADVERTISING.search(text):
                problems.append(_reads_like_advertising(field))
        return problems

    def composer(self, campaign: Campaign) -> Callable[[Addressee, str], client.Outgoing]:
        """Give the function that makes one template message."""
        texts = {field.key: str(campaign.content.get(field.key, "")) for field in self.fields(campaign)}
        fixed = {key: typed_keys.cut(key, text) for key, text in texts.items() if "{" not in text}
        variable = {key: text for key, text in texts.items() if key not in fixed}

        def compose(person: Addressee, client_msg_id: str) -> client.Outgoing:
            data = dict(fixed)
            for key, text in variable.items():
                filled = render(text, person.facts)
                value = typed_keys.cut(key, filled.text)
                if filled.unknown or filled.empty or not typed_keys.fits(key, value):
                    raise Unrenderable(key)
                data[key] = value
            return self.message(campaign, person, data, client_msg_id)

        return compose

    def message(
        self, campaign: Campaign, person: Addressee, data: Mapping[str, str], client_msg_id: str
    ) -> client.Outgoing:
        """Make the call for one person from the filled fields."""
        return client.template_message(
            openid=person.openid,
            template_id=campaign.template.template_id if campaign.template else "",
            data=data,
            url=campaign.url,
            mini_program=(campaign.mini_appid, campaign.mini_path) if campaign.mini_appid else None,
            client_msg_id=client_msg_id,
        )

    def reachable(self, members: QuerySet[Member], at: datetime, account_id: int | None = None) -> QuerySet[Member]:
        """Narrow members to those who follow."""
        if account_id is None:
            return members.filter(subscribed=True)
        following = Follower.objects.filter(member=OuterRef("pk"), account_id=account_id, subscribed=True)
        return members.filter(Exists(following))


def _check_field(field: FieldInfo, text: str) -> list[Problem]:
    where = f"content.{field.key}"
    if not text.strip():
        return [Problem("field_empty", _("“%(field)s” is empty.") % {"field": field.label}, field=where)]
    problems = []
    _used, unknown = names_in([text])
    if unknown:
        problems.append(
            Problem(
                "variable_unknown",
                _("“%(field)s” uses {%(name)s}, which does not exist.") % {"field": field.label, "name": unknown[0]},
                hint=_("Choose one of the listed variables."),
                field=where,
            ),
        )
    elif "{" not in text and not typed_keys.fits(field.key, text):
        problems.append(
            Problem(
                "field_invalid",
                _("“%(field)s” does not fit: now “%(value)s”.") % {"field": field.label, "value": text},
                hint=_("The field takes %(rule)s.") % {"rule": field.rule},
                field=where,
            ),
        )
    return problems


def _reads_like_advertising(field: FieldInfo) -> Problem:
    return Problem(
        "looks_like_advertising",
        _("“%(field)s” reads like advertising; WeChat bans templates for that.") % {"field": field.label},
        hint=_("Say only what happened to the person's order, booking or account."),
        field=f"content.{field.key}",
        blocking=False,
    )


carriers.register(TemplateCarrier.key, TemplateCarrier())
