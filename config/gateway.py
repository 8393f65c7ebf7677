"""ASGI entry of the gateway process: WeChat's callbacks (`uvicorn config.gateway:application`)."""

import gc
import os

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# No console is served here: its pages, a tenth of the memory, need not be collected.
settings.INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig" if app == "django.contrib.admin" else app
    for app in settings.INSTALLED_APPS
]
django.setup()

from config.celery import app as celery_app  # noqa: E402 - after the settings, before anything rings a task
from config.patience import limit_headers  # noqa: E402 - after the server has chosen its protocol
from config.startup import refuse_unsafe  # noqa: E402 - needs the settings
from wechat_gateway.asgi import application  # noqa: E402 - needs the settings

refuse_unsafe()
limit_headers()
# All that was imported stays: it need not be looked through again and again while pushes come in.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 50)

__all__ = ["application", "celery_app"]
