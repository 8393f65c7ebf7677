"""What an API key may be allowed: each scope by its name, with the words the console shows."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext_lazy as _

SCOPES: Final[dict[str, Any]] = {
    "members.read": _("read members"),
    "members.write": _("change members: tags, profile, flags, identities"),
    "joins.write": _("let people join at a counter by a code sent to their phone"),
    "counter.use": _("take member codes at a counter"),
    "imports.write": _("import members and orders from tables"),
    "exports.write": _("take lists of members out as files"),
    "segments.read": _("read and count segments"),
    "stores.read": _("read stores"),
    "channels.read": _("read channels and their figures"),
    "pages.sign": _("sign web pages for WeChat's JS-SDK"),
    "points.read": _("read points and tiers"),
    "points.write": _("give, spend and reverse points, report purchases"),
    "coupons.read": _("read coupons and hold them against a cart"),
    "coupons.write": _("give coupons"),
    "coupons.redeem": _("set coupons aside, redeem, release and return them"),
    "library.read": _("read the material library"),
    "library.write": _("add files to the material library"),
    "campaigns.read": _("read campaigns and their progress"),
}
