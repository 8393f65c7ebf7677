"""The pages of channels beside the tree and its forms, as they are put into the console."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from console.registry import Page, Tab, nav, pages
from touchpoints.views import allowance, batch, reports, sheets

_AREA = "touchpoints"

# Names begin like those of the tree, so that its entry of the navigation is lit.
for _page in (
    Page("touchpoints/rows/", reports.rows, "touchpoints_touchpoint_rows", _AREA),
    Page("touchpoints/quality/", reports.quality, "touchpoints_quality", _AREA),
    Page("touchpoints/attribution/", reports.attribution, "touchpoints_attribution", _AREA),
    Page("touchpoints/permanent/", allowance.allowance, "touchpoints_touchpoint_permanent", _AREA),
    Page("touchpoints/batch/", batch.batch, "touchpoints_touchpoint_batch", _AREA, "edit"),
    Page("touchpoints/sheet/", sheets.choose, "touchpoints_touchpoint_sheet", _AREA),
    Page("touchpoints/sheet/file/", sheets.download, "touchpoints_touchpoint_sheet_file", _AREA),
):
    pages.register(_page.name, _page)
nav.register("channels.quality", Tab("channels", _("Quality ranking"), "touchpoints_quality", _AREA, 20))
nav.register("channels.attribution", Tab("channels", _("Attribution"), "touchpoints_attribution", _AREA, 30))
