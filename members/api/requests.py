"""What a member asks for under the law: a copy of their data, its correction or deletion; nothing personalised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.schema import MEMBER, endpoint, problems
from accounts.rest.serializers import StrictSerializer, TextField, read_body
from common import clock
from common.errors import NotFound
from members import selectors, services
from members.api.me import CHANNEL, MemberView
from members.models import RequestKind, RequestState

if TYPE_CHECKING:
    from rest_framework.request import Request

    from members.models import RightsRequest


class RequestLine(serializers.Serializer[Any]):
    """One request and how it stands."""

    id = serializers.UUIDField(help_text="Id of the request.")
    kind = serializers.ChoiceField(choices=RequestKind.choices, help_text="What is asked for.")
    words = serializers.CharField(allow_blank=True, help_text="What was written with it.")
    state = serializers.ChoiceField(choices=RequestState.choices, help_text="`READY`: the copy can be fetched.")
    asked_at = serializers.DateTimeField(help_text="When it was asked.")
    due_at = serializers.DateTimeField(help_text="Until when it is answered: 15 working days.")
    answered_at = serializers.DateTimeField(allow_null=True, help_text="When it was answered.")
    answer = serializers.CharField(allow_blank=True, help_text="What a person of the brand answered to `EXPLAIN`.")
    refusal = serializers.CharField(allow_blank=True, help_text="Why it was refused; else empty.")


class RequestLines(serializers.Serializer[Any]):
    """The requests of a member, newest first."""

    results = RequestLine(many=True)


class Asking(StrictSerializer):
    """What is asked for."""

    kind = serializers.ChoiceField(
        choices=RequestKind.choices, help_text="`COPY`, `ERASE`, `CORRECT`, `EXPLAIN` or `OBJECT`."
    )
    words = TextField(
        required=False, max_length=200, allow_blank=True, help_text="For `CORRECT`: what is wrong and how it should be."
    )


class CopyDocument(serializers.Serializer[Any]):
    """The copy, twice: for programs and for people."""

    json = serializers.JSONField(help_text="Table by table what the brand has.")
    html = serializers.CharField(help_text="The same as a page to save and read.")


REQUEST_EXAMPLE = {
    "id": "0b0f6a3e-6d0b-4c52-9a54-1f1d0f6f7c11",
    "kind": "COPY",
    "words": "",
    "state": "OPEN",
    "asked_at": "2026-11-21T05:45:00Z",
    "due_at": "2026-12-11T05:45:00Z",
    "answered_at": None,
    "answer": "",
    "refusal": "",
}


def line(row: RightsRequest) -> dict[str, Any]:
    """Give a request as plain values."""
    return {
        "id": row.public_id,
        "kind": row.kind,
        "words": row.words,
        "state": row.state,
        "asked_at": row.asked_at,
        "due_at": row.due_at,
        "answered_at": row.answered_at,
        "answer": row.answer,
        "refusal": row.refusal,
    }


class OwnRequests(MemberView):
    """`/api/v1/me/requests/`: requests about one's own data."""

    @endpoint(
        "list_data_requests",
        "List the member's requests about their data",
        tag="me",
        auth=MEMBER,
        answer=RequestLines,
        example={"results": [REQUEST_EXAMPLE]},
    )
    def get(self, request: Request) -> Response:
        """Show the newest."""
        return Response({"results": [line(row) for row in selectors.requests_of(self.caller.member_id)]})

    @endpoint(
        "ask_about_data",
        "Ask for a copy, a correction or the deletion of one's data",
        tag="me",
        auth=MEMBER,
        body=Asking,
        body_example={"kind": "COPY"},
        answer=RequestLine,
        example=REQUEST_EXAMPLE,
        status=201,
        errors=problems(
            409,
            422,
            s409={"request_open": "The same is asked for already and not yet answered."},
            s422={"request_invalid": "A correction needs words."},
        ),
        description=(
            "A copy is made within minutes and can then be fetched once. A person of the brand looks at deletions, "
            "corrections and what programs decided (`EXPLAIN`); each is answered within 15 working days. An objection "
            "to personalised marketing (`OBJECT`) is done at once; service messages still arrive."
        ),
    )
    def post(self, request: Request) -> Response:
        """Take it down."""
        given = read_body(Asking, request.data)
        member = selectors.member_by_id(self.caller.member_id)
        row = services.ask(
            member=member, kind=given["kind"], words=given.get("words", ""), channel=CHANNEL, at=clock.now()
        )
        return Response(line(row), status=201)


class OwnCopy(MemberView):
    """`/api/v1/me/requests/{request_id}/copy/`: the copy, once."""

    @endpoint(
        "fetch_data_copy",
        "Fetch the copy of one's data",
        tag="me",
        auth=MEMBER,
        answer=CopyDocument,
        example={"json": {"brand": "…", "tables": []}, "html": "<!doctype html>…"},
        errors=problems(404, 409, s409={"copy_gone": "Fetched already, not made yet, or older than seven days."}),
        description="Works once and for seven days; whoever fetches it is written to the brand's audit log.",
    )
    def post(self, request: Request, request_id: str) -> Response:
        """Hand it out."""
        row = selectors.request_of(self.caller.member_id, request_id)
        if row is None:
            raise NotFound("", hint="")
        return Response(services.fetch_copy(request=row, by="member", at=clock.now()))
