"""The inbox app."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class InboxConfig(AppConfig):
    """People of the brand talking with its followers."""

    name = "inbox"
    verbose_name = _("Inbox")

    def ready(self) -> None:
        """Put the pages into the console; the gateway has none."""
        if apps.is_installed("django.contrib.admin"):
            from inbox import views  # noqa: F401 - puts the pages into the console
