"""The conversations app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ConversationsConfig(AppConfig):
    """Registers what the app adds to others."""

    name = "conversations"
    verbose_name = _("Conversations")
