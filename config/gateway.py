"""ASGI entry of the gateway process: WeChat's callbacks (`uvicorn config.gateway:application`)."""

import os
import sys

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Where it is installed, which is where people develop, structlog would load all of it for coloured traces: 4 MB.
sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
# Neither console nor API is served here: what only they need, a tenth of the memory, is left out.
_NOT_HERE = (
    "unfold", "django.contrib.admin", "django.contrib.sessions", "django.contrib.messages",
    "django.contrib.staticfiles", "rest_framework", "django_filters", "drf_spectacular", "axes", "django_otp",
)  # fmt: skip
settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if not app.startswith(_NOT_HERE)]
django.setup()

from config.celery import app as celery_app  # noqa: E402 - after the settings, before anything rings a task
from config.patience import limit_headers  # noqa: E402 - after the server has chosen its protocol
from config.startup import keep_what_is_loaded, refuse_unsafe  # noqa: E402 - needs the settings
from config.whole_answers import write_answers_whole  # noqa: E402 - after the server has chosen its protocol
from wechat_gateway.asgi import application  # noqa: E402 - needs the settings

refuse_unsafe()
limit_headers()
write_answers_whole()
keep_what_is_loaded()

__all__ = ["application", "celery_app"]
