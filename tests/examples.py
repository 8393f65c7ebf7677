"""How many examples a property is tried with: some in every run, ten times as many with ZHIYIN_THOROUGH=1."""

import os

THOROUGH = os.environ.get("ZHIYIN_THOROUGH") == "1"


def examples(count):
    return 10 * count if THOROUGH else count
