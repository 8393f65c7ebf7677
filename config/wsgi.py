"""WSGI entry: the console and the REST API."""

import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()

from config.startup import keep_what_is_loaded, refuse_unsafe  # noqa: E402 - needs the settings

refuse_unsafe()
import_module(settings.ROOT_URLCONF)  # its pages and views, which the first request would load otherwise
keep_what_is_loaded()
