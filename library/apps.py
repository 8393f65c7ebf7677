"""The library app."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class LibraryConfig(AppConfig):
    """Pictures, voice and video of the brand, and their copies at WeChat."""

    name = "library"
    verbose_name = _("Material library")

    def ready(self) -> None:
        """Put the pages into the console; the gateway has none."""
        if apps.is_installed("django.contrib.admin"):
            from library import views  # noqa: F401 - puts the pages into the console
