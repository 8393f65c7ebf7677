"""The guides app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class GuidesConfig(AppConfig):
    """Registers what the app adds to others."""

    name = "guides"
    verbose_name = _("Guides")
