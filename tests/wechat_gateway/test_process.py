"""The gateway as its server loads it: everything that answers pushes, nothing that only pages, REST or calls need."""

import json
import subprocess
import sys

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

    assert not {"unfold", "rest_framework", "django.contrib.admin", "pycurl", "phonenumbers"} & set(modules)
    assert registered == [[key for key, _ in each.items()] for each in every]
    assert all(registered)
