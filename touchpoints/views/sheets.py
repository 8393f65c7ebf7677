"""Codes for print: choose which and how, then download; what was downloaded is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.translation import gettext as _

from common.clock import now
from console.code import code_svg
from console.http import brand_of, row_id, viewer_of
from console.site import page_response
from touchpoints import on_screen, selectors, services
from touchpoints.models import Touchpoint
from touchpoints.signs import LAYOUTS, MOST_SIGNS, Layout, Sign, file_name

if TYPE_CHECKING:
    from collections.abc import Sequence

DRAWN: Final = 60  # codes that are shown as they look: each takes some milliseconds to draw
FORMATS: Final = {"pdf": "application/pdf", "png": "image/png", "svg": "image/svg+xml"}


def choose(request: HttpRequest) -> HttpResponse:
    """Offer the codes of a branch, ticked, with the layouts of the sheets."""
    channel = _channel(request.GET.get("channel"), request)
    codes = _codes(request, channel)
    context = {
        "title": _("Codes for print"),
        "zy_object": _("Codes for print"),
        "channel": channel,
        "codes": [
            {
                "row": row,
                "picture": code_svg(row.code_url) if number < DRAWN else "",
                "state": on_screen.state_of(row, None, now()),
                "usable": bool(row.code_url),
            }
            for number, row in enumerate(codes)
        ],
        "usable": sum(bool(row.code_url) for row in codes),
        "temporary": sum(bool(row.code_url) and not row.is_permanent for row in codes),
        "layouts": [
            {"key": key, "layout": layout, "reach": layout.code / 100, "active": key == "six"}
            for key, layout in LAYOUTS.items()
        ],
        "most": MOST_SIGNS,
    }
    return page_response(request, "touchpoints/sheet.html", context)


def download(request: HttpRequest) -> HttpResponse:
    """Give the chosen codes as a file, and remember that they were printed."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    kind = request.POST.get("format", "pdf")
    layout = LAYOUTS.get(request.POST.get("layout", "six"))
    ids = [pk for text in request.POST.getlist("code")[:MOST_SIGNS] if (pk := row_id(text)) is not None]
    rows = list(_printable(request).filter(pk__in=ids))
    if kind not in FORMATS or layout is None or not rows:
        raise Http404
    captions = request.POST.get("captions", "1") == "1"
    signs = [sign_of(row, captions=captions) for row in rows]
    services.mark_printed(touchpoint_ids=[row.pk for row in rows], at=now())
    name = file_name(rows[0].name if len(rows) == 1 else f"{brand_of(request).name}-{_('codes')}-{len(rows)}")
    return _file(name, kind, signs, layout)


def _file(name: str, kind: str, signs: Sequence[Sign], layout: Layout) -> HttpResponse:
    from touchpoints import sheets  # some 15 MB, which most processes never need

    if kind == "pdf":
        body = sheets.pdf(signs, layout, title=name, font_path=settings.PRINT_FONT)
    elif len(signs) == 1:
        body = {"png": sheets.png, "svg": sheets.svg}[kind](signs[0])
    else:
        return _attachment(sheets.archive(signs, kind), "application/zip", f"{name}.zip")
    return _attachment(body, FORMATS[kind], f"{name}.{kind}")


def _attachment(body: bytes, content_type: str, name: str) -> HttpResponse:
    response = HttpResponse(body, content_type=content_type)
    plain = "codes" + name[name.rindex(".") :]
    response["Content-Disposition"] = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
    return response


def sign_of(row: Touchpoint, *, captions: bool = True) -> Sign:
    """Say what stands beside the code of a channel; the mark lets staff find it again."""
    mark = row.scene if row.expires_at is None else _("%(scene)s · until %(date)s") % _mark(row)
    return Sign(
        row.code_url,
        title=row.name if captions else "",
        line=row.benefit if captions else "",
        mark=mark if captions else "",
    )


def _mark(row: Touchpoint) -> dict[str, Any]:
    from console.formats import local

    return {"scene": row.scene, "date": f"{local(row.expires_at):%Y-%m-%d}" if row.expires_at else ""}


def _channel(text: str | None, request: HttpRequest) -> Touchpoint | None:
    pk = row_id(text)
    if pk is None:
        return None
    channel = on_screen.in_reach(viewer_of(request), Touchpoint.objects.filter(pk=pk)).first()
    if channel is None:
        raise Http404
    return channel


def _printable(request: HttpRequest) -> Any:
    if not viewer_of(request).can("touchpoints.view"):
        raise PermissionDenied
    rows = Touchpoint.objects.exclude(scene="").exclude(code_url="").filter(archived_at__isnull=True)
    return on_screen.in_reach(viewer_of(request), rows).order_by("name", "pk")


def _codes(request: HttpRequest, channel: Touchpoint | None) -> list[Touchpoint]:
    rows = Touchpoint.objects.exclude(scene="").filter(archived_at__isnull=True)
    if channel is not None:
        rows = rows.filter(pk__in=selectors.below(selectors.tree_nodes(), channel.pk))
    return list(on_screen.in_reach(viewer_of(request), rows).order_by("name", "pk")[:MOST_SIGNS])
