"""What the clock of the phone page says of things that come due."""

import re
from pathlib import Path

import wechat_simulator

HOME = Path(wechat_simulator.__file__).parent


def test_everything_that_comes_due_has_words():
    code = "\n".join(path.read_text(encoding="utf-8") for path in HOME.rglob("*.py"))
    words = (
        (HOME / "phone/words.js").read_text(encoding="utf-8").partition("export const DUE = {")[2].partition("};")[0]
    )

    due = set(re.findall(r'timers\.on\(\s*"(\w+)"', code))
    assert {"template_finish", "component_ticket"} <= due
    assert due - set(re.findall(r"(\w+): \"", words)) == set()
