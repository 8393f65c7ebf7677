"""The material library for the brand's other systems: what there is, what each account has of it, and adding files."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.pagination import PAGE_PARAMETERS, Keyset, page_body
from accounts.rest.parsers import StrictJSONParser
from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import StrictSerializer, TextField, YesNoParameter, read_body, read_query
from accounts.rest.views import BrandAPIView, known_text
from accounts.tenancy import current_brand_id
from common import clock
from library import selectors, services
from library.errors import MediaRefused
from library.files import LARGEST
from library.models import CopyState, MediaItem, MediaKind
from library.uses import uses_of

if TYPE_CHECKING:
    from rest_framework.request import Request

    from library.models import MediaCopy

MAX_BYTES: Final = 4 * (LARGEST // 3 + 2) + 4_096  # the largest file in base64, and what stands around it
LONGEST_ID: Final = 19
_READ: Final = "library.read"
_WRITE: Final = "library.write"


class LargeJSONParser(StrictJSONParser):
    """A body with a file in it."""

    most: ClassVar[int] = MAX_BYTES


class CopyShape(serializers.Serializer[Any]):
    """What one service account has of a file."""

    account = serializers.CharField(help_text="AppID of the service account.")
    permanent = serializers.BooleanField(help_text="Kept for good; otherwise WeChat forgets it after three days.")
    state = serializers.ChoiceField(choices=CopyState.values, help_text="Where it stands.")
    media_id = serializers.CharField(allow_blank=True, help_text="WeChat's id; empty until WeChat has it.")
    expires_at = serializers.DateTimeField(allow_null=True, help_text="Until when the id works; null for good.")
    code = serializers.IntegerField(allow_null=True, help_text="WeChat's error code, if it refused.")


class MediaShape(serializers.Serializer[Any]):
    """A file of the library."""

    id = serializers.IntegerField(help_text="Number of the file.")
    kind = serializers.ChoiceField(choices=MediaKind.values, help_text="Kind.")
    name = serializers.CharField(help_text="Name.")
    description = serializers.CharField(allow_blank=True, help_text="Description.")
    content_type = serializers.CharField(help_text="What the file is.")
    size = serializers.IntegerField(help_text="Bytes.")
    sha256 = serializers.CharField(help_text="SHA-256 of the file.")
    sent = serializers.IntegerField(help_text="How often it was sent from conversations.")
    uses = serializers.IntegerField(help_text="How many replies, menus and other places use it.")
    copies = CopyShape(many=True, help_text="What each service account has of it.")
    created_at = serializers.DateTimeField(help_text="Added.")
    archived_at = serializers.DateTimeField(allow_null=True, help_text="No longer offered since.")


class MediaPage(serializers.Serializer[Any]):
    """A page of files, newest first."""

    results = MediaShape(many=True)
    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page; null on the last.")


class MediaQuery(StrictSerializer):
    """By what files can be picked."""

    kind = serializers.ChoiceField(choices=MediaKind.values, required=False, help_text="Only of this kind.")
    archived = YesNoParameter(required=False, default=False, help_text="Also those that are no longer offered.")


class MediaBody(StrictSerializer):
    """A file that comes into the library."""

    kind = serializers.ChoiceField(choices=MediaKind.values, help_text="What WeChat is to take it as.")
    name = TextField(max_length=60, help_text="Name.")
    description = TextField(max_length=120, required=False, default="", allow_blank=True, help_text="Description.")
    content = serializers.CharField(max_length=MAX_BYTES, trim_whitespace=False, help_text="The file in base64.")


_EXAMPLE = {
    "id": 7,
    "kind": "IMAGE",
    "name": "静安店门口",
    "description": "",
    "content_type": "image/png",
    "size": 48213,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "sent": 12,
    "uses": 2,
    "copies": [
        {
            "account": "wx0123456789abcdef",
            "permanent": True,
            "state": "THERE",
            "media_id": "tK3x0aBcDeFgHiJkLmNoPqRsTuVwXyZ",
            "expires_at": None,
            "code": None,
        }
    ],
    "created_at": "2026-11-22T05:00:00Z",
    "archived_at": None,
}


class MediaList(BrandAPIView):
    """`/api/v1/media/`: the files of the library."""

    parser_classes = (LargeJSONParser,)
    keyset = Keyset("media")

    def get_permissions(self) -> list[Any]:
        """Reading and adding are two rights."""
        scope = _READ if self.request.method == "GET" else _WRITE
        return [needs_scope(scope)()]

    @endpoint(
        "list_media",
        "List files of the library",
        tag="library",
        auth=SYSTEM,
        parameters=[MediaQuery, *PAGE_PARAMETERS],
        answer=MediaPage,
        example={"results": [_EXAMPLE], "next": None},
        errors=problems(422),
        description="Newest first, with what each service account has of them. Needs the scope `library.read`.",
    )
    def get(self, request: Request) -> Response:
        """Show a page."""
        wanted = read_query(MediaQuery, request.query_params, paging=True)
        rows = MediaItem.objects.all()
        if wanted.get("kind"):
            rows = rows.filter(kind=wanted["kind"])
        if not wanted["archived"]:
            rows = rows.filter(archived_at__isnull=True)
        items, cursor = self.keyset.page(rows, request.query_params)
        return Response(page_body(_shapes(items), cursor))

    @endpoint(
        "add_media",
        "Add a file to the library",
        tag="library",
        auth=SYSTEM,
        body=MediaBody,
        body_example={"kind": "IMAGE", "name": "静安店门口", "content": "iVBORw0KGgo="},
        answer=MediaShape,
        example=_EXAMPLE,
        status=201,
        errors=problems(413, 422, s413={"too_large": "The body is larger than the largest file WeChat takes."})
        | problems(422, s422={"media_refused": "The file is not what WeChat takes as this kind."}),
        description=(
            "What counts is the file itself, not its name. The same file again gives the one that is there. WeChat "
            "gets it when it is used. Needs the scope `library.write`."
        ),
    )
    def post(self, request: Request) -> Response:
        """Take a file."""
        body = read_body(MediaBody, request.data)
        item = services.add_media(
            name=body["name"],
            body=_decoded(body["content"]),
            kind=body["kind"],
            description=body["description"],
            at=clock.now(),
            brand_id=current_brand_id(),
        )
        return Response(_shapes([item])[0], status=201)


class MediaDetail(BrandAPIView):
    """`/api/v1/media/{media_id}/`: one file, with what each account has of it."""

    permission_classes = (needs_scope(_READ),)

    @endpoint(
        "get_media",
        "Get a file of the library",
        tag="library",
        auth=SYSTEM,
        answer=MediaShape,
        example=_EXAMPLE,
        errors=problems(404),
        description="Needs the scope `library.read`.",
    )
    def get(self, request: Request, media_id: str) -> Response:
        """Show it."""
        text = known_text(media_id)
        item = None
        if text.isascii() and text.isdigit() and len(text) < LONGEST_ID:
            item = MediaItem.objects.filter(pk=int(text)).first()
        if item is None:
            raise Http404
        return Response(_shapes([item])[0])


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        said = _("Nothing was added. “content” is not base64.")
        raise MediaRefused(said, _("Encode the bytes of the file in base64.")) from None


def _shapes(items: list[MediaItem]) -> list[dict[str, Any]]:
    ids = [item.pk for item in items]
    copies, uses = selectors.copies_of(ids), uses_of(ids)
    return [
        {
            "id": item.pk,
            "kind": item.kind,
            "name": item.name,
            "description": item.description,
            "content_type": item.content_type,
            "size": item.size,
            "sha256": item.sha256,
            "sent": item.sent,
            "uses": len(uses[item.pk]),
            "copies": [_copy(copy) for copy in copies[item.pk]],
            "created_at": item.created_at,
            "archived_at": item.archived_at,
        }
        for item in items
    ]


def _copy(copy: MediaCopy) -> dict[str, Any]:
    return {
        "account": copy.account.appid,
        "permanent": copy.permanent,
        "state": copy.state,
        "media_id": copy.media_id,
        "expires_at": copy.expires_at,
        "code": copy.code,
    }
