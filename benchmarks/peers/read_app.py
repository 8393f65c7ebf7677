"""WSGI entry of the reading peers."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.peers.read_settings")
application = get_wsgi_application()
