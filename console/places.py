"""The sidebar: one entry for each kind of work, in the order of a working day."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from console.registry import Place, places

TODAY = Place("today", _("Today"), "today", 10, block=1)

for _place in (
    TODAY,
    Place("inbox", pgettext_lazy("place", "Inbox"), "forum", 20, block=1),
    Place("members", _("Members"), "group", 30, block=2),
    Place("segments", _("Segments"), "filter_alt", 40, block=2),
    Place("campaigns", _("Campaigns"), "campaign", 50, block=2),
    Place("content", pgettext_lazy("place", "Content"), "perm_media", 55, block=2),
    Place("channels", _("Channels"), "qr_code_2", 60, block=3),
    Place("stores", _("Stores"), "storefront", 70, block=3),
    Place("guides", _("Guides"), "badge", 80, block=3),
    Place("settings", _("Settings"), "settings", 90, block=4),
):
    places.register(_place.key, _place)
