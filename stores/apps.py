"""The stores app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class StoresConfig(AppConfig):
    """Registers what the app adds to others."""

    name = "stores"
    verbose_name = _("Stores")
