"""The demo app."""

from __future__ import annotations

from django.apps import AppConfig


class DemoConfig(AppConfig):
    """Invented brands that show what the product does, and what a script needs to play with them."""

    name = "demo"
