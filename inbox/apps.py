"""The inbox app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class InboxConfig(AppConfig):
    """People of the brand talking with its followers."""

    name = "inbox"
    verbose_name = _("Inbox")
