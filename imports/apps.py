"""The imports app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ImportsConfig(AppConfig):
    """Tables of people and orders that come in, and people that go out."""

    name = "imports"
    verbose_name = _("Import and export")

    def ready(self) -> None:
        """Register what can be imported; take part in merges and erasures."""
        from imports import services  # registers the kinds
        from imports.models import ImportRow
        from members.merging import Asset, Rows, assets
        from members.services.erasure import on_erase

        rows = Rows(ImportRow)
        assets.register("imports.rows", Asset(_("Rows of imports"), rows.move, rows.give_back))
        on_erase.register("imports.rows", services.forget_person)
