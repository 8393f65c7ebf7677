"""Lists of members as files, for the brand's other systems: asked for, written in the background, fetched."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, StrictSerializer, TextField, WholeField, read_body
from accounts.rest.views import BrandAPIView, known_text
from accounts.viewer import current_viewer
from common import clock
from common.errors import Forbidden
from imports import services
from imports.api.repeats import key_of, key_parameter
from imports.models import Export, ExportFormat, ExportState
from imports.services.exports import SCOPE
from members.models import Segment
from members.segments import LARGEST_ID

if TYPE_CHECKING:
    from rest_framework.request import Request

_MOST_FIELDS: Final = 50
_MEDIA: Final = {
    ExportFormat.CSV: "text/csv",
    ExportFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class ExportBody(StrictSerializer):
    """Who is in the list, and as what it is written. With neither segment nor search it is everybody."""

    segment = WholeField(min_value=1, max_value=LARGEST_ID, required=False, help_text="Only who is in this segment.")
    search = TextField(
        max_length=60,
        required=False,
        default="",
        allow_blank=True,
        help_text="Only who this finds: beginning of a name, last four digits of a phone, member number.",
    )
    format = serializers.ChoiceField(
        choices=ExportFormat.values, required=False, default=ExportFormat.CSV, help_text="Kind of file."
    )
    profile = serializers.ListField(
        child=CodeField(max_length=40),
        required=False,
        default=list,
        max_length=_MOST_FIELDS,
        help_text="Keys of the brand's own profile fields; each gets a column.",
    )


class ExportShape(serializers.Serializer[Any]):
    """How an export stands."""

    id = serializers.UUIDField(help_text="The export.")
    state = serializers.ChoiceField(
        choices=ExportState.values, help_text="WAITING: being written; READY: fetch it; REFUSED: see `problem`; GONE."
    )
    problem = serializers.CharField(allow_blank=True, help_text="Why nothing was written.")
    segment = serializers.IntegerField(allow_null=True, help_text="Only who is in this segment.")
    search = serializers.CharField(allow_blank=True, help_text="Only who this finds.")
    format = serializers.ChoiceField(choices=ExportFormat.values, help_text="Kind of file.")
    profile = serializers.ListField(child=serializers.CharField(), help_text="Profile fields with a column.")
    rows = serializers.IntegerField(help_text="People in the file.")
    bytes = serializers.IntegerField(help_text="Size of the file.")
    asked_at = serializers.DateTimeField(help_text="Asked.")
    written_at = serializers.DateTimeField(allow_null=True, help_text="Written.")
    delete_at = serializers.DateTimeField(help_text="From when on the file is gone.")


_EXAMPLE = {
    "id": "0b6f0f0e-61b4-4c8e-9d58-6a1c2f4f7d11",
    "state": "READY",
    "problem": "",
    "segment": 12,
    "search": "",
    "format": "CSV",
    "profile": ["skin"],
    "rows": 20412,
    "bytes": 2190331,
    "asked_at": "2026-11-22T05:00:00Z",
    "written_at": "2026-11-22T05:00:21Z",
    "delete_at": "2026-11-29T05:00:00Z",
}


def shape(row: Export) -> dict[str, Any]:
    """Give an export as it is answered."""
    return {
        "id": row.public_id,
        "state": row.state,
        "problem": row.problem,
        "segment": row.segment_id,
        "search": row.search,
        "format": row.file_format,
        "profile": row.fields,
        "rows": row.rows,
        "bytes": row.size,
        "asked_at": row.asked_at,
        "written_at": row.written_at,
        "delete_at": row.delete_at,
    }


class ExportList(BrandAPIView):
    """`/api/v1/exports/`: ask for a list of members."""

    permission_classes = (needs_scope(SCOPE),)

    @endpoint(
        "ask_for_export",
        "Have a list of members written",
        tag="imports",
        auth=SYSTEM,
        body=ExportBody,
        body_example={"segment": 12, "format": "CSV", "profile": ["skin"]},
        parameters=[key_parameter("the same key with the same body is the same export")],
        answer=ExportShape,
        example=_EXAMPLE | {"state": "WAITING", "rows": 0, "bytes": 0, "written_at": None},
        status=201,
        errors=problems(
            422,
            s422={
                "invalid": "Some values cannot be used, or there is no such segment.",
                "export_refused": "One of the profile fields does not exist, or is named twice.",
                "key_reused": "The idempotency key stands for another export.",
            },
        ),
        description=(
            "The file is written in the background: ask for the export until its state is `READY`, then fetch `file/`. "
            "It has the columns of the console's export, which the import knows again. Phones are masked, and so are "
            "profile fields that not everybody may see; every line names the key that took it out. At most 1,000,000 "
            "people; files are deleted after seven days. Needs the scope `exports.write`."
        ),
    )
    def post(self, request: Request) -> Response:
        """Take the wish down and have the file written."""
        body = read_body(ExportBody, request.data)
        key = key_of(request)
        if key is None:
            raise ValidationError({"Idempotency-Key": [_("A key has at most 80 visible characters.")]})
        user: Any = request.user
        row = services.ask_for_export_as_system(
            key_id=user.key_id,
            label=user.label,
            segment=_segment_or_422(body["segment"]) if "segment" in body else None,
            search=body["search"],
            file_format=body["format"],
            fields=body["profile"],
            idempotency=key,
            at=clock.now(),
        )
        return Response(shape(row), status=201)


def _segment_or_422(number: int) -> Segment:
    found = Segment.objects.filter(pk=number).first()
    if found is None:
        raise ValidationError({"segment": [_("There is no such segment.")]})
    return found


class _OneExport(BrandAPIView):
    permission_classes = (needs_scope(SCOPE),)

    def row(self, request: Request, export_id: str) -> Export:
        """Give the export an address names, if this very key has asked for it."""
        try:
            key = uuid.UUID(known_text(export_id))
        except ValueError:
            raise Http404 from None
        user: Any = request.user
        found = Export.objects.filter(public_id=key, api_key=user.key_id).first()
        if found is None:
            raise Http404
        return found


class ExportDetail(_OneExport):
    """`/api/v1/exports/{export_id}/`: how an export stands."""

    @endpoint(
        "get_export",
        "Get how an export stands",
        tag="imports",
        auth=SYSTEM,
        answer=ExportShape,
        example=_EXAMPLE,
        errors=problems(404),
        description="Only the key that asked for it sees it. Needs the scope `exports.write`.",
    )
    def get(self, request: Request, export_id: str) -> Response:
        """Show it."""
        return Response(shape(self.row(request, export_id)))


class ExportFile(_OneExport):
    """`/api/v1/exports/{export_id}/file/`: the written file."""

    @endpoint(
        "get_export_file",
        "Fetch the file of an export",
        tag="imports",
        auth=SYSTEM,
        files=list(_MEDIA.values()),
        errors=problems(
            404,
            409,
            s404={"not_found": "There is nothing here.", "file_gone": "The time of the file is over."},
            s409={"export_not_ready": "The file is still being written, or was refused."},
        ),
        description=(
            "The answer is the file itself, not JSON. Every fetch is written down in the audit log. Needs the scope "
            "`exports.write`."
        ),
    )
    def get(self, request: Request, export_id: str) -> HttpResponse:
        """Give it."""
        row = self.row(request, export_id)
        viewer = current_viewer()
        if viewer is None:
            raise Forbidden(_("This caller may not do this."))
        body = services.download_as_system(row=row, viewer=viewer)
        answer = HttpResponse(body, content_type=_MEDIA[ExportFormat(row.file_format)])
        answer["Content-Disposition"] = f'attachment; filename="members-{row.pk}.{row.file_format.lower()}"'
        return answer
