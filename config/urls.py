"""Addresses outside a brand: health, sign-in, brand chooser, REST API. A brand's console is `config.urls_console`."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
