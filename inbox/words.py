"""What a text is found by: pairs of neighbouring characters for Chinese, whole words for everything else.

PostgreSQL's trigrams need three characters in a row; most Chinese words have two (退货, 尺码), so an index of trigrams
would be read from end to end for them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LONGEST: Final = 600
_RUNS: Final = re.compile(r"[0-9a-z]+|[^\W0-9a-z_]+")
_WORD: Final = 32


def normal(text: str) -> str:
    """Give a text as it is compared: full-width forms and case folded."""
    return unicodedata.normalize("NFKC", text).casefold()


def grams(text: str) -> list[str]:
    """Give what a stored text can be found by, in order, each once."""
    found: dict[str, None] = {}
    for run in _RUNS.findall(normal(text[:LONGEST])):
        if run[0].isascii():
            for end in range(2, min(len(run), _WORD) + 1):  # the beginnings of a word find it, too
                found[run[:end]] = None
        else:
            found |= dict.fromkeys(run)
            found |= dict.fromkeys(run[at : at + 2] for at in range(len(run) - 1))
    return list(found)


def wanted(term: str) -> list[str]:
    """Give what a text must have to match a search; nothing when the term has no letters."""
    found: dict[str, None] = {}
    for run in _RUNS.findall(normal(term[:60])):
        if run[0].isascii():
            found[run[:_WORD]] = None
        elif len(run) == 1:
            found[run] = None
        else:
            found |= dict.fromkeys(run[at : at + 2] for at in range(len(run) - 1))
    return list(found)
