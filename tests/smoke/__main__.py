"""Plays the stories; exits non-zero when one does not go as told."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import time
import traceback

from tests.smoke import stories
from tests.smoke.stage import Stage, StoryFailed


def main() -> int:
    """Play the story named on the command line, or all of them."""
    # The main job first: it begins with the demo brands as they were loaded.
    names = [module.name for module in pkgutil.iter_modules(stories.__path__)]
    known = sorted(names, key=lambda name: (name != "main", name))
    wanted = [name for name in sys.argv[1:] if name] or known
    if unknown := set(wanted) - set(known):
        sys.stderr.write(f"unknown story {', '.join(sorted(unknown))}; there are: {', '.join(known)}\n")
        return 2
    stage = Stage()
    failed = 0
    for name in wanted:
        stage.say(f"— story {name} —")
        began = time.monotonic()
        try:
            importlib.import_module(f"tests.smoke.stories.{name}").play(stage)
        except (StoryFailed, KeyError, IndexError, OSError) as error:
            failed += 1
            stage.say(f"FAILED: {error}")
            traceback.print_exc()
        else:
            stage.say(f"— story {name}: {time.monotonic() - began:.1f} s —")
    stage.say(f"{stage.checked} checks")
    sys.stdout.write(f"{len(wanted) - failed} passed, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
