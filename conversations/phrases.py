"""Which keyword the unmatched messages of a week share: counted, not guessed."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from conversations.patterns import normalised

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LONGEST: Final = 60
SHORTEST_GRAM, LONGEST_GRAM = 2, 8
EXAMPLES: Final = 5
_MOST_PHRASES: Final = 2_000
_NUMBER: Final = re.compile(r"\d{5,}")
_BLANKS: Final = re.compile(r"\s+")
_WORD: Final = re.compile(r"[0-9a-z\u3400-\u9fff]+")
_LATIN: Final = re.compile(r"[0-9a-z]+")
# Words that say nothing of what somebody wants.
_EMPTY: Final = frozenset(
    "请问 你好 您好 在吗 有吗 可以 可以吗 怎么 什么 我想 我要 想要 一下 谢谢 你们 我们 有没有 是不是 能不能 多少 哪里 "
    "怎样 如何 知道 的吗 了吗 好的 现在 今天 明天 the you can for and what how".split(),
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Messages that share a keyword: how many there were, and some of them."""

    keyword: str
    count: int
    examples: tuple[str, ...]


def countable(text: str) -> str:
    """Give the form in which unmatched messages are counted: normalised, short, without long numbers."""
    return _NUMBER.sub("#", _BLANKS.sub(" ", normalised(text.replace("\x00", ""))))[:LONGEST].strip()


def clusters(
    phrases: Mapping[str, int],
    *,
    least: int = 3,
    most: int = 10,
    taken: Callable[[str], bool] = lambda _text: False,
) -> list[Cluster]:
    """Give the keywords most messages share, each message counted for one keyword only.

    `taken` says which messages rules capture by now. A longer keyword is preferred when nearly all messages with the
    shorter one have it.
    """
    by_count = sorted(phrases.items(), key=lambda pair: (-pair[1], pair[0]))
    left = dict(islice((pair for pair in by_count if not taken(pair[0])), _MOST_PHRASES))
    found: list[Cluster] = []
    while left and len(found) < most:
        keyword, count = _best(left)
        if count < least:
            break
        having = [text for text in left if keyword in text]
        found.append(Cluster(keyword, count, tuple(having[:EXAMPLES])))
        for text in having:
            del left[text]
    return found


def _best(phrases: Mapping[str, int]) -> tuple[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for text, count in phrases.items():
        for gram in _grams(text):
            counts[gram] += count
    usable = {gram: count for gram, count in counts.items() if gram not in _EMPTY}
    if not usable:
        return "", 0
    shared = max(usable.values())
    near = [gram for gram, count in usable.items() if count * 5 >= shared * 4]
    best = max(near, key=lambda gram: (len(gram), usable[gram], gram))
    return best, usable[best]


def _grams(text: str) -> set[str]:
    found: set[str] = set()
    for word in _WORD.findall(text):
        for piece in _pieces(word):
            if _LATIN.fullmatch(piece):
                if SHORTEST_GRAM <= len(piece) <= LONGEST_GRAM * 2:
                    found.add(piece)
                continue
            for size in range(SHORTEST_GRAM, LONGEST_GRAM + 1):
                found |= {piece[start : start + size] for start in range(len(piece) - size + 1)}
    return {gram for gram in found if not any(gram.startswith(word) or gram.endswith(word) for word in _EMPTY)}


def _pieces(word: str) -> list[str]:
    """Part Latin words from Chinese: a keyword does not begin in the middle of one."""
    return re.findall(r"[0-9a-z]+|[\u3400-\u9fff]+", word)
