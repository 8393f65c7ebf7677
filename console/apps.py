"""The console app: what every page for operators shares."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ConsoleConfig(AppConfig):
    """Frame, home page, base classes, words and formats of the back office."""

    name = "console"
    verbose_name = _("Console")

    def ready(self) -> None:
        """Put the sidebar's entries in place; apps add their tabs from admin.py."""
        from console import places  # noqa: F401 - registers by being imported
