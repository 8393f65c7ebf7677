"""Entry point of `python -m launcher`; refuses an unsuitable Python before anything newer is even parsed."""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.stderr.write(
        "error: this is Python {}.{}, and Zhiyin needs 3.11, 3.12 or 3.13.\n".format(*sys.version_info[:2])
        + "  do: install one of them (Debian 12 or later: apt install python3 python3-venv) "
        + "or name it: make PYTHON=python3.12 up\n"
    )
    sys.exit(2)

from launcher.cli import main

sys.exit(main(sys.argv[1:]))
