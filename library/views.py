"""The bytes of a file, for who may see the library; nothing else ever leads to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.http import Http404, HttpResponse

from console.registry import Page, pages
from library import files
from library.models import MediaItem

if TYPE_CHECKING:
    from django.http import HttpRequest

SAFE: Final = frozenset({"image/png", "image/jpeg", "image/gif", "audio/amr", "audio/mpeg", "video/mp4"})


def file(request: HttpRequest, pk: int) -> HttpResponse:
    """Hand a file out, as what it was found to be when it came in."""
    item = MediaItem.objects.filter(pk=pk).first()
    if item is None or item.content_type not in SAFE:
        raise Http404
    try:
        body = files.read(item.path)
    except FileNotFoundError as error:
        raise Http404 from error
    response = HttpResponse(body, content_type=item.content_type)
    response["Cache-Control"] = "private, max-age=86400"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Disposition"] = "inline"
    return response


_FILE = Page("library/file/<int:pk>/", file, "library_mediaitem_file", "library")
pages.register(_FILE.name, _FILE)
