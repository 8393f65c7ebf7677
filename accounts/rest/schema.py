"""How endpoints are described: one call an endpoint, with every error it can answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drf_spectacular.utils import OpenApiParameter

MEMBER: Final[list[dict[str, list[str]]]] = [{"memberToken": []}]
SYSTEM: Final[list[dict[str, list[str]]]] = [{"apiKey": []}]
EITHER: Final[list[dict[str, list[str]]]] = [*MEMBER, *SYSTEM]
NOBODY: Final[list[dict[str, list[str]]]] = []


class ProblemField(serializers.Serializer[Any]):
    """What is wrong with one field."""

    field = serializers.CharField(help_text="Name or path of the field, such as `all[0].params.days`.")
    message = serializers.CharField(help_text="What is wrong, in the caller's language.")


class ProblemDetail(serializers.Serializer[Any]):
    """What happened and what to do."""

    code = serializers.CharField(help_text="Stable code to decide by.")
    message = serializers.CharField(help_text="What happened, in the caller's language.")
    hint = serializers.CharField(allow_blank=True, help_text="What to do next; may be empty.")
    fields_ = ProblemField(many=True, help_text="What is wrong with single fields; may be empty.")

    def get_fields(self) -> dict[str, Any]:
        """Name the last field `fields`, which a serializer class cannot declare."""
        declared = super().get_fields()
        declared["fields"] = declared.pop("fields_")
        return declared


class Problem(serializers.Serializer[Any]):
    """The one shape of every error."""

    error = ProblemDetail()


_MEANINGS: Final[dict[int, tuple[str, str, str]]] = {
    400: ("The body is not valid JSON.", "bad_request", "The body is not valid JSON."),
    401: (
        "Nobody is signed in: token or key is missing, wrong, expired or ended.",
        "not_authenticated",
        "Sign in first.",
    ),
    403: ("The caller is known and may not do this.", "forbidden", "This caller may not do this."),
    404: ("There is nothing here, or nothing this caller may see.", "not_found", "There is nothing here."),
    409: ("The state of things does not allow this now.", "conflict", "This cannot be done now."),
    413: ("The body is larger than 64 KiB.", "too_large", "The body may have 65536 bytes at most."),
    415: ("The body is not `application/json`.", "unsupported_media_type", "The body must be application/json."),
    422: ("Some values cannot be used; `fields` says which.", "invalid", "Some values cannot be used."),
    429: ("Too many calls; `Retry-After` says how many seconds to wait.", "throttled", "Too many calls."),
    503: ("Something this depends on is away; try again.", "unavailable", "The service is not available right now."),
}
_FIELD: Final = [{"field": "name", "message": "This field is unknown."}]


def problems(*statuses: int, **codes: dict[str, str]) -> dict[int, OpenApiResponse]:
    """Describe errors by status. `codes` names special codes: `s409={"phone_taken": "The phone belongs to …"}`."""
    described: dict[int, OpenApiResponse] = {}
    for status in statuses:
        meaning, code, message = _MEANINGS[status]
        special = codes.get(f"s{status}", {})
        listed = special or {code: message}
        text = meaning + "".join(f"\n* `{name}`: {why}" for name, why in special.items())
        described[status] = OpenApiResponse(
            Problem,
            description=text,
            examples=[
                OpenApiExample(
                    name,
                    value={
                        "error": {
                            "code": name,
                            "message": why,
                            "hint": "",
                            "fields": _FIELD if name == "invalid" else [],
                        },
                    },
                    response_only=True,
                    status_codes=[str(status)],
                )
                for name, why in listed.items()
            ],
        )
    return described


def endpoint(
    operation_id: str,
    summary: str,
    *,
    tag: str,
    auth: list[dict[str, list[str]]],
    answer: Any = None,
    example: Any = None,
    status: int = 200,
    body: Any = None,
    body_example: Any = None,
    parameters: Sequence[OpenApiParameter | type[serializers.Serializer[Any]]] = (),
    errors: dict[int, OpenApiResponse] | None = None,
    description: str = "",
    files: Sequence[str] = (),
) -> Callable[[Any], Any]:
    """Describe one method of a view: what it takes, gives and refuses, with examples.

    `files` are the media types of an answer that is a file instead of JSON.
    """
    examples = []
    if body_example is not None:
        sent_as = next(iter(body)) if isinstance(body, dict) else "application/json"
        examples.append(OpenApiExample("request", value=body_example, request_only=True, media_type=sent_as))
    if example is not None:
        examples.append(OpenApiExample("answer", value=example, response_only=True, status_codes=[str(status)]))
    responses: dict[Any, Any] = {status: answer if answer is not None else OpenApiResponse(description="Done.")}
    if files:
        responses = {(status, media): OpenApiTypes.BINARY for media in files}
    refusals = dict(errors or {})
    if auth:
        refusals = problems(401, 403, 429) | refusals
    if body is not None:
        refusals = problems(400, 413, 415, 422) | refusals
    decorate: Callable[[Any], Any] = extend_schema(
        operation_id=operation_id,
        summary=summary,
        description=description or summary,
        tags=[tag],
        auth=auth,  # type: ignore[arg-type] # names of schemes with scopes work as well
        request=body,
        responses=responses | problems(503) | refusals,
        parameters=list(parameters),
        examples=examples,
    )
    return decorate


class StrictBody(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Says that a body takes no names but the declared ones."""

    target_class = "accounts.rest.serializers.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        """Close the schema."""
        ask = auto_schema._map_serializer  # noqa: SLF001 - what the library's documentation says to call here
        described: dict[str, Any] = ask(self.target, direction, bypass_extensions=True)
        return {**described, "additionalProperties": False}


class CodeText(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Says which characters a technical text may have."""

    target_class = "accounts.rest.serializers.CodeField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        """Name the characters."""
        described = {"type": "string", "pattern": "^[!-~]+$"}
        longest: int | None = self.target.max_length
        return described if longest is None else {**described, "maxLength": longest}
