"""WeRoBot as its documentation shows it: one encrypted account, a reply to texts, no session store; a WSGI app."""

from __future__ import annotations

import json
import os
from typing import Any

from werobot import WeRoBot

from benchmarks.callback.messages import DEFAULT, KEYWORDS, answer_to, keyword

_account = json.loads(os.environ["BENCH_ACCOUNTS"])[0]
_answers = {keyword(number): answer_to(keyword(number)) for number in range(KEYWORDS)}

robot = WeRoBot(
    token=_account["token"],
    encoding_aes_key=_account["aes_key"],
    app_id=_account["appid"],
    SESSION_STORAGE=False,
)


@robot.text  # type: ignore[untyped-decorator, unused-ignore]
def reply(message: Any) -> str:
    """Answer by keyword."""
    return _answers.get(message.content, DEFAULT)


application = robot.wsgi
