"""Addresses below `/b/<brand>/`: the brand's console."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path

from console.site import site

admin.autodiscover()  # workers do not (config/worker.py); elsewhere it has been done
urlpatterns: list[URLPattern | URLResolver] = [
    path("", site.urls),
]
handler404 = "console.errors.not_found"
handler403 = "console.errors.forbidden"
handler500 = "console.errors.broken"
