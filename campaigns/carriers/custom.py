"""Customer-service messages (客服消息): as many as the person's own acts allow (reference: service account 5.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.carriers.contract import Addressee, FieldInfo, Problem, Unrenderable, carriers
from campaigns.variables import names_in, render
from inbox.selectors import within_allowance
from members.models import Purpose
from wechat_gateway import client

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.db.models import QuerySet

    from campaigns.models import Campaign
    from members.models import Member

TEXT: Final = "text"
LIMIT: Final = 600  # WeChat counts 2,048 bytes (reference: service account 5.9); a Chinese character takes three
MAX_BYTES: Final = 2048


class CustomCarrier:
    """One text a person, while their own acts allow one more."""

    key = "custom"
    label = gettext_lazy("Customer-service message")
    purposes = frozenset({Purpose.SERVICE.value, Purpose.MARKETING.value})
    families: frozenset[str] = frozenset()
    uses_template = False
    confirms = False
    uses_allowance = True
    uses_consent = False

    def fields(self, campaign: Campaign) -> list[FieldInfo]:
        """Give the one field: the text."""
        return [FieldInfo(TEXT, _("text"), LIMIT, _("at most 2,048 bytes, about 600 Chinese characters"))]

    def validate(self, campaign: Campaign) -> list[Problem]:
        """Check the text."""
        text = str(campaign.content.get(TEXT, ""))
        where = f"content.{TEXT}"
        if not text.strip():
            return [Problem("field_empty", _("“%(field)s” is empty.") % {"field": _("text")}, field=where)]
        problems = []
        _used, unknown = names_in([text])
        if unknown:
            problems.append(
                Problem(
                    "variable_unknown",
                    _("“%(field)s” uses {%(name)s}, which does not exist.") % {"field": _("text"), "name": unknown[0]},
                    hint=_("Choose one of the listed variables."),
                    field=where,
                ),
            )
        if len(text.encode()) > MAX_BYTES:
            problems.append(
                Problem(
                    "field_invalid",
                    _("The text is too long."),
                    hint=_("The field takes %(rule)s.")
                    % {"rule": _("at most 2,048 bytes, about 600 Chinese characters")},
                    field=where,
                ),
            )
        return problems

    def composer(self, campaign: Campaign) -> Callable[[Addressee, str], client.Outgoing]:
        """Give the function that makes one text message; WeChat offers no id against doubles here."""
        text = str(campaign.content.get(TEXT, ""))

        def compose(person: Addressee, client_msg_id: str) -> client.Outgoing:
            filled = render(text, person.facts)
            if filled.unknown or filled.empty or len(filled.text.encode()) > MAX_BYTES:
                raise Unrenderable(TEXT)
            return client.custom_text(openid=person.openid, text=filled.text)

        return compose

    def reachable(self, members: QuerySet[Member], at: datetime, account_id: int | None = None) -> QuerySet[Member]:
        """Narrow members to those whose own acts allow at least one more message."""
        return members.filter(within_allowance(at=at, account_id=account_id))


carriers.register(CustomCarrier.key, CustomCarrier())
