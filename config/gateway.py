"""ASGI entry of the gateway process: WeChat's callbacks (`uvicorn config.gateway:application`)."""

import gc
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from config.celery import app as celery_app  # noqa: E402 - after the settings, before anything rings a task
from config.startup import refuse_unsafe  # noqa: E402 - needs the settings
from wechat_gateway.asgi import application  # noqa: E402 - needs the settings

refuse_unsafe()
# All that was imported stays: it need not be looked through again and again while pushes come in.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 50)

__all__ = ["application", "celery_app"]
