"""Pages about one person: what each is called in the access log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.registry import Registry

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

API: Final = "api:"  # before the part of the address below the person's


opened_pages: Registry[StrOrPromise] = Registry(
    "opened pages", purpose="pages about one person, as the access log names them"
)
for _key, _label in (
    ("card", gettext_lazy("Member card")),
    ("follower", gettext_lazy("Follower")),
    ("history", gettext_lazy("History")),
    ("profile", gettext_lazy("Profile")),
    ("identity", gettext_lazy("Identity")),
    ("flags", gettext_lazy("Leave out")),
    ("privacy", gettext_lazy("Privacy")),
    ("decisions", gettext_lazy("Automated decisions")),
    ("why", gettext_lazy("Why in, why out")),
    ("phone", gettext_lazy("Found by full phone number")),
):
    opened_pages.register(_key, _label)


def page_label(key: str) -> str:
    """Say which page a row of the access log means."""
    if key.startswith(API):
        return _("API: %(path)s") % {"path": f"members/…/{key.removeprefix(API)}"}
    return str(opened_pages.find(key) or key)
