"""The accounts app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """Brands, staff, roles, keys, audit."""

    name = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        """Register the start-up checks."""
        from accounts import checks  # noqa: F401 - registers by being imported
