"""The members app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MembersConfig(AppConfig):
    """Registers what the app adds to others."""

    name = "members"
    verbose_name = _("Members")
