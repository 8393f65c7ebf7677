"""How Unfold is set up for the console and the platform site; the frame's own parts are in console/ and templates/."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

_PRIMARY = {
    "50": "#f0fdfa",
    "100": "#ccfbf1",
    "200": "#99f6e4",
    "300": "#5eead4",
    "400": "#2dd4bf",
    "500": "#14b8a6",
    "600": "#0f766e",
    "700": "#115e59",
    "800": "#134e4a",
    "900": "#113f3c",
    "950": "#042f2e",
}


def _static(name: str) -> Any:
    return lambda _request: static(name)


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": _("Zhiyin"),
    "SITE_HEADER": _("Zhiyin"),
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "COLORS": {"primary": _PRIMARY},
    "STYLES": [_static("console/console.css")],
    "SCRIPTS": [_static("console/console.js"), _static("console/charts.js")],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _static("console/icon.svg")}],
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": []},
}
