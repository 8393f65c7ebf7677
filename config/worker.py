"""Celery's entry (`celery -A config.worker worker`, `… beat`): tasks without the console's pages.

Django's admin would import every page of every app when it starts, a tenth of a worker's memory. Here they come with
the console's addresses, if a task ever asks for one.
"""

import os

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
_ADMIN = {"django.contrib.admin": "django.contrib.admin.apps.SimpleAdminConfig"}
settings.INSTALLED_APPS = [_ADMIN.get(app, app) for app in settings.INSTALLED_APPS]
django.setup()

from config.celery import app  # noqa: E402 - after the settings

__all__ = ["app"]
