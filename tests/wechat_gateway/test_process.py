"""Gateway and workers as they are loaded: everything they need, nothing that only pages need."""

import json
import subprocess
import sys

from django.urls import reverse

from wechat_gateway import registries

LOADED = """
import json, sys
import config.gateway
from wechat_gateway import registries
every = (registries.repliers, registries.compilers, registries.handlers)
print(json.dumps([list(sys.modules), *([key for key, _ in each.items()] for each in every)]))
"""


def test_gateway_loads_what_answers_pushes_and_no_pages():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    modules, *registered = json.loads(done.stdout.splitlines()[-1])
    every = (registries.repliers, registries.compilers, registries.handlers)

    assert not {"unfold", "rest_framework", "django.contrib.admin", "pycurl", "phonenumbers", "rich.console"} & set(
        modules
    )
    assert registered == [[key for key, _ in each.items()] for each in every]
    assert all(registered)


WORKER = """
import json, sys
import config.worker
config.worker.app.loader.import_default_modules()
before = [name for name in sys.modules if name.endswith(".admin") or ".admin." in name]
from django.urls import reverse
link = reverse("admin:conversations_replyrule_changelist", urlconf="config.urls_console")
print(json.dumps([before, link, sorted(config.worker.app.tasks)]))
"""


def test_worker_loads_every_task_and_no_pages_until_it_asks_for_an_address():
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, check=True)
    modules, link, tasks = json.loads(done.stdout.splitlines()[-1])

    from config.celery import app

    assert [name for name in modules if not name.startswith(("django.", "unfold."))] == []
    assert link == reverse("admin:conversations_replyrule_changelist", urlconf="config.urls_console")
    app.loader.import_default_modules()
    assert set(app.tasks) - set(tasks) <= {name for name in app.tasks if name.startswith("tests.")}
