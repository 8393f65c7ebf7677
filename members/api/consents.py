"""What a member agrees to and takes back: the ledger of consent as its owner sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from accounts.rest.schema import MEMBER, endpoint
from accounts.rest.serializers import CodeField, StrictSerializer, YesNoField, read_body
from common import clock
from members import selectors, services
from members.api.me import CHANNEL, SOURCE, MemberView

if TYPE_CHECKING:
    from datetime import datetime

    from rest_framework.request import Request


class WordingLine(serializers.Serializer[Any]):
    """The text people are shown now."""

    version = serializers.CharField(help_text="Version to name when agreeing.")
    body = serializers.CharField(help_text="The text, word by word.")


class ConsentState(serializers.Serializer[Any]):
    """What somebody said last about one purpose."""

    purpose = serializers.CharField(
        help_text="What the data may be used for: `SERVICE`, `MARKETING`, or the brand's own."
    )
    label = serializers.CharField(help_text="The purpose in words.")  # type: ignore[assignment] # a field called so
    granted = serializers.BooleanField(allow_null=True, help_text="Null while nothing was said.")
    text_version = serializers.CharField(allow_blank=True, help_text="Version agreed to; empty after withdrawal.")
    at = serializers.DateTimeField(allow_null=True, help_text="When it was said.")
    text = WordingLine(allow_null=True, help_text="The wording in force; null where the brand keeps it elsewhere.")


class Consents(serializers.Serializer[Any]):
    """One line per purpose."""

    results = ConsentState(many=True)


class Statement(StrictSerializer):
    """One statement about one purpose."""

    purpose = CodeField(max_length=20, help_text="What the data may be used for.")
    granted = YesNoField(help_text="true agrees, false withdraws.")
    text_version = CodeField(max_length=20, required=False, help_text="Version of the text; needed to agree.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Nobody agrees to a text that is not named."""
        if attrs["granted"] and "text_version" not in attrs:
            raise ValidationError({"text_version": [_("Name the version of the text.")]})
        return attrs


CONSENTS_EXAMPLE = {
    "results": [
        {
            "purpose": "SERVICE",
            "label": "服务通知",
            "granted": True,
            "text_version": "2026-11",
            "at": "2026-11-21T05:45:00Z",
            "text": {"version": "2026-11", "body": "我们用您的手机号发送预约和订单通知。"},
        },
        {"purpose": "MARKETING", "label": "营销", "granted": None, "text_version": "", "at": None, "text": None},
    ],
}


class ConsentBook(MemberView):
    """`/api/v1/me/consents/`: what the brand may use a member's data for."""

    @endpoint("list_consents", "List consents", tag="me", auth=MEMBER, answer=Consents, example=CONSENTS_EXAMPLE)
    def get(self, request: Request) -> Response:
        """Show what is in force."""
        return Response(self._body())

    @endpoint(
        "state_consent",
        "Agree to a purpose, or withdraw",
        tag="me",
        auth=MEMBER,
        body=Statement,
        body_example={"purpose": "MARKETING", "granted": False},
        answer=Consents,
        example=CONSENTS_EXAMPLE,
        description=(
            "Withdrawing twice is the same as once; from then on nothing is sent for that purpose. Where the brand "
            "keeps its texts here, `text_version` must be one of them (422)."
        ),
    )
    def post(self, request: Request) -> Response:
        """Record the statement unless it is in force already."""
        given = read_body(Statement, request.data)
        services.check_statement(
            purpose=given["purpose"], text_version=given["text_version"] if given["granted"] else None
        )
        member, at = selectors.member_by_id(self.caller.member_id), clock.now()
        known = selectors.consents_in_force(member.pk).get(given["purpose"])
        said = {"member": member, "purpose": given["purpose"], "channel": CHANNEL, "source": SOURCE, "at": at}
        if given["granted"]:
            if known is None or not known.granted or known.text_version != given["text_version"]:
                services.give_consent(**said, text_version=given["text_version"])
        elif known is None or known.granted:
            services.withdraw_consent(**said)
        return Response(self._body())

    def _body(self) -> dict[str, Any]:
        return {"results": consent_lines(self.caller.member_id, at=clock.now())}


def consent_lines(member_id: int, *, at: datetime) -> list[dict[str, Any]]:
    """Give what somebody said last about every purpose, and the text in force; three queries."""
    known, texts = selectors.consents_in_force(member_id), selectors.texts_in_force(at=at)
    lines = []
    for purpose, label in selectors.purposes():
        row, text = known.get(purpose), texts.get(purpose)
        lines.append(
            {
                "purpose": purpose,
                "label": label,
                "granted": row.granted if row else None,
                "text_version": row.text_version if row else "",
                "at": row.at if row else None,
                "text": {"version": text.version, "body": text.body} if text else None,
            }
        )
    return lines
