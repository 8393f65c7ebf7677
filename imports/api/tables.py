"""Tables for the brand's other systems: uploaded, tried out, imported, undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response

from accounts.rest.parsers import BodyTooLarge, StrictJSONParser, read_json
from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import (
    CodeField,
    StrictSerializer,
    TextField,
    WholeNumberParameter,
    YesNoParameter,
    read_body,
    read_query,
)
from accounts.rest.views import BrandAPIView, known_text
from common import clock
from imports import selectors, services
from imports.api.repeats import key_of, key_parameter
from imports.columns import MEMBER_COLUMNS, ORDER_COLUMNS, assigned
from imports.errors import FileRefused, KeyTaken
from imports.kinds import kinds
from imports.models import Import, ImportState, RowState
from imports.services.files import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rest_framework.request import Request

    from imports.columns import Column

PAGE: Final = 200
_SCOPE: Final = "imports.write"
_LONGEST_COLUMNS: Final = 20_000


def _keys(columns: Iterable[Column]) -> str:
    return ", ".join(f"`{column.key}`" for column in columns)


class TableParser(MultiPartParser):
    """A form with a file in it, of the size a table may have."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """Refuse what says of itself that it is too large, before it is read."""
        length = (parser_context or {})["request"].META.get("CONTENT_LENGTH") or "0"
        if not str(length).isdigit() or int(length) > LARGEST + 65_536:
            raise BodyTooLarge(_("The body may have %(bytes)s bytes at most.") % {"bytes": LARGEST})
        return super().parse(stream, media_type, parser_context)


@extend_schema_field({"type": "string", "example": '{"客户手机": "phone", "皮肤": "field:skin", "备注": ""}'})
class ColumnsField(serializers.Field[Any, Any, Any, Any]):
    """What the columns of a table are taken for: JSON from titles to keys, within a form."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        """Take an object of texts."""
        try:
            found = read_json(data) if isinstance(data, str) and len(data) <= _LONGEST_COLUMNS else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ValidationError(_("A JSON object from titles to keys is expected here, each title once."))
        wrong = {title[:60]: [_("A text is expected here.")] for title, key in found.items() if type(key) is not str}
        if wrong:
            raise ValidationError(wrong)
        return found


class ImportBody(StrictSerializer):
    """A table and how it is to be taken. Columns are recognised by their titles, own fields by name or key."""

    file = serializers.FileField(help_text="CSV or XLSX; the first row holds the titles.")
    kind = serializers.ChoiceField(choices=["members", "orders"], help_text="What the table holds.")
    columns = ColumnsField(
        required=False,
        help_text=(
            "What the columns are taken for, when their titles do not say it: a JSON object from each title to one of "
            "the keys below, an empty text to leave it out. Columns that it does not name are left out, too. A profile "
            "field of the brand is `field:` and its key. Members: "
            + _keys(MEMBER_COLUMNS)
            + ". Orders: "
            + _keys(ORDER_COLUMNS)
            + "."
        ),
    )
    create_tags = YesNoParameter(required=False, default=False, help_text="Add tags the dictionary lacks.")
    overwrite = YesNoParameter(required=False, default=False, help_text="Replace what is on record.")
    source = TextField(  # type: ignore[assignment] # a field of the body, not of the class
        max_length=30, required=False, default="", allow_blank=True, help_text="Where it comes from."
    )
    system = CodeField(max_length=20, required=False, default="import", help_text="System the orders come from.")
    give_points = YesNoParameter(required=False, default=False, help_text="Orders: give points by the rules of then.")
    start = YesNoParameter(
        required=False, default=False, help_text="Import at once when the dry run finds nothing to refuse."
    )


class ErrorQuery(StrictSerializer):
    """Where to go on."""

    after = WholeNumberParameter(
        required=False, default=0, min_value=0, max_value=10**9, help_text="Row to go on after."
    )


class ImportShape(serializers.Serializer[Any]):
    """How an import stands."""

    id = serializers.UUIDField(help_text="The import.")
    kind = serializers.ChoiceField(choices=["members", "orders"], help_text="What the table holds.")
    state = serializers.ChoiceField(choices=ImportState.values, help_text="How far it has come.")
    columns = serializers.ListField(
        child=serializers.CharField(allow_blank=True), help_text="What each column is taken for; empty: left out."
    )
    problem = serializers.CharField(allow_blank=True, help_text="Why the file could not be read.")
    rows = serializers.IntegerField(help_text="Rows with something in them.")
    done = serializers.IntegerField(help_text="Rows the running stage is through with.")
    found = serializers.DictField(child=serializers.IntegerField(), help_text="Dry run: rows by what they are.")
    became = serializers.DictField(child=serializers.IntegerField(), help_text="Import or undo: rows by outcome.")
    created_at = serializers.DateTimeField(help_text="Uploaded.")
    delete_at = serializers.DateTimeField(help_text="From when on the file and its rows are gone.")


class FindingShape(serializers.Serializer[Any]):
    """What is wrong with one cell."""

    row = serializers.IntegerField(help_text="Row of the file, from 1.")
    state = serializers.ChoiceField(choices=RowState.values, help_text="What became of the row.")
    column = serializers.CharField(help_text="Column, in words.")
    what = serializers.CharField(allow_blank=True, help_text="What stands there; phones are masked.")
    why = serializers.CharField(help_text="Why it is not taken.")
    todo = serializers.CharField(allow_blank=True, help_text="What to do.")


class FindingPage(serializers.Serializer[Any]):
    """A page of what is wrong, in the order of the file."""

    results = FindingShape(many=True)
    next = serializers.IntegerField(allow_null=True, help_text="`after` of the next page; null on the last.")


_EXAMPLE = {
    "id": "5e1c5f0e-7f5b-4b0e-9b0e-1a2b3c4d5e6f",
    "kind": "members",
    "state": "CHECKED",
    "columns": ["phone", "name", ""],
    "problem": "",
    "rows": 100000,
    "done": 100000,
    "found": {"NEW": 81204, "MATCHED": 17960, "UNCHANGED": 612, "ERROR": 224},
    "became": {},
    "created_at": "2026-11-22T05:00:00Z",
    "delete_at": "2026-12-22T05:00:00Z",
}
_NOT_NOW = problems(404, 409, s409={"import_not_now": "The import is at another stage."})


def shape(job: Import) -> dict[str, Any]:
    """Give an import as it is answered."""
    return {
        "id": job.public_id,
        "kind": job.kind,
        "state": job.state,
        "columns": job.columns,
        "problem": job.problem,
        "rows": job.total,
        "done": job.done,
        "found": job.found,
        "became": job.became,
        "created_at": job.created_at,
        "delete_at": job.delete_at,
    }


class ImportList(BrandAPIView):
    """`/api/v1/imports/`: upload a table."""

    permission_classes = (needs_scope(_SCOPE),)
    parser_classes: Any = (TableParser,)

    @endpoint(
        "upload_table",
        "Upload a table of members or orders",
        tag="imports",
        auth=SYSTEM,
        body={"multipart/form-data": ImportBody},
        body_example={
            "kind": "members",
            "file": "members.csv",
            "columns": '{"客户手机": "phone", "皮肤": "field:skin", "备注": ""}',
            "source": "old till",
        },
        parameters=[key_parameter("the same key with the same file is the same import")],
        answer=ImportShape,
        example=_EXAMPLE | {"state": "CHECKING", "rows": 0, "done": 0, "found": {}},
        status=201,
        errors=problems(
            413,
            422,
            s413={"too_large": "The body is larger than a table may be."},
            s422={
                "invalid": "Some values cannot be used.",
                "file_refused": "The file has no titles, or too many columns.",
                "table_unreadable": "The file is neither a CSV nor a workbook that can be read.",
                "columns_invalid": "Two columns say the same, or none says who somebody is.",
                "key_reused": "The idempotency key stands for another file or other columns.",
            },
        ),
        description=(
            "The table is tried out at once; ask for the import until its state is `CHECKED`, look at what it found "
            "and at `errors/`, then start it. With `start` it is imported without asking when nothing is refused. "
            "The same table again changes nothing. What each column is taken for follows from its title, or from "
            "`columns`: what is wrong there is told by title (`columns.<title>`). Needs the scope `imports.write`."
        ),
    )
    def post(self, request: Request) -> Response:
        """Take a table and have it tried out."""
        _refuse_doubled(request.data)
        body = read_body(ImportBody, request.data)
        at = clock.now()
        key = key_of(request)
        if key is None:
            raise FileRefused(_("Nothing was taken. The idempotency key has at most 80 visible characters."))
        job = services.take_file(
            name=body["file"].name or "", body=body["file"].read(LARGEST + 1), kind=body["kind"], at=at, key=key
        )
        columns = _columns(job, body.get("columns"))
        if job.state == ImportState.UPLOADED:
            options = {name: body[name] for name in body if name not in ("file", "kind", "columns")}
            job = services.begin_dry_run(job_id=job.pk, columns=columns, options=options, at=at)
        elif "columns" in body and columns != job.columns:
            raise KeyTaken
        return Response(shape(job), status=201)


def _refuse_doubled(data: Any) -> None:
    """Refuse a form that says the same thing twice: of two, a form would quietly take the last."""
    twice = {name[:60]: [_("Give this field once.")] for name in data if len(data.getlist(name)) > 1}
    if twice:
        raise ValidationError(twice)


def _columns(job: Import, given: dict[str, str] | None) -> list[str]:
    """Give what each column of a table is taken for: as its caller says, else as its titles say."""
    if given is None:
        return list(job.columns)
    columns, wrong = assigned(job.header, given, kinds.get(job.kind).columns)
    if wrong:
        words = {
            "missing": _("The table has no column with this title."),
            "ambiguous": _("More than one column of the table has this title; give each a title of its own."),
            "unknown": _("“%(key)s” is nothing that such a table holds, or a field that takes nothing from imports."),
            "doubled": _("Another column is taken for “%(key)s”, too; leave all but one of them out."),
        }
        said = {title[:60]: [words[code] % {"key": given[title][:60]}] for title, code in wrong.items()}
        raise ValidationError({"columns": said})
    return columns


class _OneImport(BrandAPIView):
    permission_classes = (needs_scope(_SCOPE),)
    parser_classes = (StrictJSONParser,)

    def job(self, import_id: str) -> Import:
        """Give the import an address names."""
        import uuid

        try:
            key = uuid.UUID(known_text(import_id))
        except ValueError:
            raise Http404 from None
        found = Import.objects.filter(public_id=key).first()
        if found is None:
            raise Http404
        return found


class ImportDetail(_OneImport):
    """`/api/v1/imports/{import_id}/`: how an import stands."""

    @endpoint(
        "get_import",
        "Get how an import stands",
        tag="imports",
        auth=SYSTEM,
        answer=ImportShape,
        example=_EXAMPLE,
        errors=problems(404),
        description="Needs the scope `imports.write`.",
    )
    def get(self, request: Request, import_id: str) -> Response:
        """Show it."""
        return Response(shape(self.job(import_id)))


class ImportErrors(_OneImport):
    """`/api/v1/imports/{import_id}/errors/`: the rows that are not imported, and why."""

    @endpoint(
        "list_import_errors",
        "List rows that are not imported",
        tag="imports",
        auth=SYSTEM,
        parameters=[ErrorQuery],
        answer=FindingPage,
        example={
            "results": [
                {
                    "row": 18,
                    "state": "ERROR",
                    "column": "手机",
                    "what": "1.38E+10",
                    "why": "科学计数，位数已丢失",
                    "todo": "把该列设为文本",
                }
            ],
            "next": None,
        },
        errors=problems(404, 422),
        description="In the order of the file. Needs the scope `imports.write`.",
    )
    def get(self, request: Request, import_id: str) -> Response:
        """Show a page."""
        wanted = read_query(ErrorQuery, request.query_params)
        found = selectors.findings(self.job(import_id), after=wanted["after"], limit=PAGE)
        rows = {each.row for each in found}
        return Response({"results": [vars(each) for each in found], "next": max(rows) if len(rows) == PAGE else None})


class ImportStart(_OneImport):
    """`/api/v1/imports/{import_id}/start/`: import what the dry run found importable."""

    @endpoint(
        "start_import",
        "Start an import",
        tag="imports",
        auth=SYSTEM,
        answer=ImportShape,
        example=_EXAMPLE | {"state": "RUNNING"},
        errors=_NOT_NOW,
        description="Started again it gives how it stands. Needs the scope `imports.write`.",
    )
    def post(self, request: Request, import_id: str) -> Response:
        """Start it."""
        return Response(shape(services.start_import(job_id=self.job(import_id).pk, at=clock.now())))


class ImportStop(_OneImport):
    """`/api/v1/imports/{import_id}/stop/`: stop an import or its dry run."""

    @endpoint(
        "stop_import",
        "Stop an import",
        tag="imports",
        auth=SYSTEM,
        answer=ImportShape,
        example=_EXAMPLE | {"state": "DONE"},
        errors=_NOT_NOW,
        description=(
            "After the rows under way: what was imported stays and can be undone; the same table again imports the "
            "rest. A dry run that is stopped stands at `UPLOADED`. Stopped again it gives how it stands. Needs the "
            "scope `imports.write`."
        ),
    )
    def post(self, request: Request, import_id: str) -> Response:
        """Stop it."""
        return Response(shape(services.stop_import(job_id=self.job(import_id).pk, at=clock.now())))


class ImportUndo(_OneImport):
    """`/api/v1/imports/{import_id}/undo/`: take an import back."""

    @endpoint(
        "undo_import",
        "Undo an import",
        tag="imports",
        auth=SYSTEM,
        answer=ImportShape,
        example=_EXAMPLE | {"state": "UNDOING"},
        errors=_NOT_NOW,
        description=(
            "What somebody has changed or used since stays and is listed under `errors/`. Undone again it gives how it "
            "stands. Needs the scope `imports.write`."
        ),
    )
    def post(self, request: Request, import_id: str) -> Response:
        """Take it back."""
        return Response(shape(services.undo_import(job_id=self.job(import_id).pk, at=clock.now())))
