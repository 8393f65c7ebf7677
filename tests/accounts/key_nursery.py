"""A process that runs commands in children which the tests kill: what is slow about starting one is done once."""

import os
import sys
import traceback
from pathlib import Path

import django

django.setup()

from django.core.management import call_command  # noqa: E402

from accounts import key_rotation, sealing  # noqa: E402

sealing.KEY_AGE = float(sys.argv[1])
key_rotation.BATCH = int(sys.argv[2])

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        with Path(os.devnull).open("w") as nowhere:
            try:
                call_command(*line.split(), stdout=nowhere)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
