r"""Safe regular expressions: a small dialect matched in linear time, and the shortest sentence two matchers share.

The dialect has literals, `.`, classes, `\d \w \s`, groups, `|`, repetitions up to 100, `^` and `$`. It is read here
so that overlaps can be computed; RE2, which never backtracks, does the matching (docs/decisions/0019).
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeAlias

from django.utils.translation import gettext as _

from conversations.errors import PatternInvalid

MOST_CHARACTERS: Final = 200
MOST_STATES: Final = 600
MOST_REPEATS: Final = 100
_MOST_DEPTH: Final = 20
_MOST_PAIRS: Final = 60_000
_MEMORY: Final = 1 << 20

CharSet: TypeAlias = tuple[tuple[int, int], ...]

ANY: Final[CharSet] = ((0, 0xD7FF), (0xE000, 0x10FFFF))
_NEW_LINE: Final[CharSet] = ((10, 10),)
_CLASSES: Final[dict[str, CharSet]] = {
    "d": ((48, 57),),
    "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
    "s": ((9, 10), (12, 13), (32, 32)),
}
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}
# Characters an example is made of where there is a choice.
_PLAIN: Final = "好的在有吗约店会员时间abcdefghijklmnopqrstuvwxyz0123456789 ,.-"


def normalised(text: str) -> str:
    """Give the form in which keywords and messages are compared: NFKC, trimmed, without case."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


# --- sets of characters ----------------------------------------------------------------------------------------------


def _union(*sets: CharSet) -> CharSet:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(each for one in sets for each in one):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _common(one: CharSet, other: CharSet) -> CharSet:
    if one is ANY:
        return other
    if other is ANY:
        return one
    return tuple(
        (max(low, low2), min(high, high2))
        for low, high in one
        for low2, high2 in other
        if max(low, low2) <= min(high, high2)
    )


def _without(taken: CharSet) -> CharSet:
    found: list[tuple[int, int]] = []
    for low, high in ANY:
        start = low
        for gone_low, gone_high in taken:
            if gone_high < start or gone_low > high:
                continue
            if gone_low > start:
                found.append((start, gone_low - 1))
            start = max(start, gone_high + 1)
        if start <= high:
            found.append((start, high))
    return tuple(found)


def _both_cases(chars: CharSet) -> CharSet:
    """Add the other case: messages are compared without case."""
    extra: list[CharSet] = [chars]
    for low, high in chars:
        for first, last, shift in ((65, 90, 32), (97, 122, -32)):
            if max(low, first) <= min(high, last):
                extra.append(((max(low, first) + shift, min(high, last) + shift),))
        if low == high and low > 127:
            extra += [((ord(each), ord(each)),) for each in (chr(low).lower(), chr(low).upper()) if len(each) == 1]
    return _union(*extra)


@lru_cache(maxsize=4096)
def _pick(chars: CharSet) -> str:
    """Give a character of the set that a message can hold after normalising, '' when there is none."""
    for each in _PLAIN:
        if any(low <= ord(each) <= high for low, high in chars):
            return each
    for low, high in chars:
        for code in range(low, min(high, low + 400) + 1):
            each = chr(code)
            if not 0xD800 <= code <= 0xDFFF and unicodedata.normalize("NFKC", each).casefold() == each:
                return each
    return ""


# --- automata --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Automaton:
    """States 0 … n-1 with edges over sets of characters; `free` edges read nothing, two kinds only at an end."""

    edges: list[list[tuple[CharSet, int]]] = field(default_factory=list)
    free: list[list[int]] = field(default_factory=list)
    at_start: list[list[int]] = field(default_factory=list)
    at_end: list[list[int]] = field(default_factory=list)
    start: int = 0
    final: int = 0
    most: int | None = None

    def state(self) -> int:
        """Add a state. Raises `PatternInvalid` when there are more than may be."""
        if self.most is not None and len(self.edges) >= self.most:
            raise PatternInvalid(_("This expression is too large."), _("Write fewer or shorter repetitions."))
        for each in (self.edges, self.free, self.at_start, self.at_end):
            each.append([])
        return len(self.edges) - 1

    def closure(self, state: int, *, start: bool, end: bool = False) -> frozenset[int]:
        """Give the states reached from one without reading."""
        seen = {state}
        waiting = [state]
        while waiting:
            here = waiting.pop()
            following = list(self.free[here])
            if start:
                following += self.at_start[here]
            if end:
                following += self.at_end[here]
            for each in following:
                if each not in seen:
                    seen.add(each)
                    waiting.append(each)
        return frozenset(seen)


def literal(words: tuple[str, ...], *, before: bool, after: bool) -> Automaton:
    """Match any of some words; `before` and `after` say whether something may stand there."""
    made = Automaton()
    made.start, made.final = made.state(), made.state()
    if before:
        made.edges[made.start].append((ANY, made.start))
    if after:
        made.edges[made.final].append((ANY, made.final))
    for word in words:
        here = made.start
        for each in word:
            following = made.state()
            made.edges[here].append((((ord(each), ord(each)),), following))
            here = following
        made.free[here].append(made.final)
    return made


def either(parts: Sequence[Automaton]) -> Automaton:
    """Match what any of some automata match. Each was read by itself: only what they share together is bounded."""
    made = Automaton()
    made.start, made.final = made.state(), made.state()
    for part in parts:
        moved = len(made.edges)
        made.edges += [[(chars, to + moved) for chars, to in edges] for edges in part.edges]
        for mine, theirs in ((made.free, part.free), (made.at_start, part.at_start), (made.at_end, part.at_end)):
            mine += [[to + moved for to in following] for following in theirs]
        made.free[made.start].append(part.start + moved)
        made.free[part.final + moved].append(made.final)
    return made


class _Reader:
    """Reads one expression of the dialect into an automaton."""

    def __init__(self, pattern: str, made: Automaton) -> None:
        self.pattern = pattern
        self.place = 0
        self.depth = 0
        self.made = made

    def peek(self) -> str:
        return self.pattern[self.place : self.place + 1]

    def take(self) -> str:
        found = self.peek()
        self.place += 1
        return found

    def refuse(self, reason: str) -> PatternInvalid:
        return PatternInvalid(
            _("The expression cannot be read at character %(place)s. %(reason)s")
            % {"place": self.place + 1, "reason": reason},
        )

    def choice(self, start: int) -> int:
        """Read `a|b|c` from a state on; gives the state after it."""
        end = self.made.state()
        while True:
            self.made.free[self.sequence(start)].append(end)
            if self.peek() != "|":
                return end
            self.take()

    def sequence(self, start: int) -> int:
        # A state of its own: what follows may lead back here and must not lead back to what came before.
        here = self.made.state()
        self.made.free[start].append(here)
        while self.peek() not in {"", "|", ")"}:
            here = self.repeated(here)
        return here

    def repeated(self, start: int) -> int:
        begins = self.place
        end = self.atom(start)
        least, most = self.count()
        if (least, most) == (1, 1):
            return end
        if self.pattern[begins] in {"^", "$"}:
            raise self.refuse(_("^ and $ cannot be repeated."))
        ends = self.place
        last = self.made.state()
        here = start
        copies = [start]
        # Copies are read anew: one for each repetition, and a loop for an open end.
        for _number in range(max(least, most or least) if most is None or most else 0):
            here = self.again(begins, copies[-1])
            copies.append(here)
        if most == 0:
            self.place = ends
            self.made.free[start].append(last)
            return last
        if most is None:
            loop = self.made.state()
            self.made.free[copies[-1]].append(loop)
            self.made.free[self.again(begins, loop)].append(loop)
            self.made.free[loop].append(last)
        for number, state in enumerate(copies):
            if number >= least:
                self.made.free[state].append(last)
        self.place = ends
        return last

    def again(self, begins: int, start: int) -> int:
        self.place = begins
        here = self.made.state()
        self.made.free[start].append(here)
        return self.atom(here)

    def count(self) -> tuple[int, int | None]:
        """Read a repetition: (least, most), most None for without end."""
        sign = self.peek()
        known: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if sign in known:
            self.take()
            found = known[sign]
        elif sign == "{":
            match = re.compile(r"\{(\d{1,3})(?:(,)(\d{0,3}))?\}").match(self.pattern, self.place)
            if match is None:
                raise self.refuse(_("Write a repetition like {2} or {1,3}."))
            self.place = match.end()
            least = int(match[1])
            most = least if not match[2] else (int(match[3]) if match[3] else None)
            if max(least, most or 0) > MOST_REPEATS or (most is not None and most < least):
                raise self.refuse(_("A repetition counts up to 100, the smaller number first."))
            found = (least, most)
        else:
            return 1, 1
        if self.peek() == "?":  # as few as possible: the same sentences
            self.take()
        if self.peek() and self.peek() in "*+?{":
            raise self.refuse(_("A repetition cannot be repeated: put brackets around it."))
        return found

    def atom(self, start: int) -> int:
        sign = self.take()
        if sign == "(":
            return self.group(start)
        if sign in {"*", "+", "?", "{"}:
            self.place -= 1
            raise self.refuse(_("There is nothing to repeat."))
        end = self.made.state()
        if sign == "^":
            self.made.at_start[start].append(end)
        elif sign == "$":
            self.made.at_end[start].append(end)
        else:
            self.made.edges[start].append((self.characters(sign), end))
        return end

    def group(self, start: int) -> int:
        self.depth += 1
        if self.depth > _MOST_DEPTH:
            raise self.refuse(_("There are too many brackets inside each other."))
        if self.peek() == "?":
            if self.pattern[self.place : self.place + 2] != "?:":
                raise self.refuse(_("Only plain brackets and (?:…) are possible."))
            self.place += 2
        end = self.choice(start)
        if self.take() != ")":
            raise self.refuse(_("A bracket is not closed."))
        self.depth -= 1
        return end

    def characters(self, sign: str) -> CharSet:
        if sign == ".":
            return _without(_NEW_LINE)
        if sign == "[":
            return self.set_of()
        if sign == "\\":
            return self.escaped()
        return _both_cases(((ord(sign), ord(sign)),))

    def escaped(self) -> CharSet:
        sign = self.take()
        if sign in _CLASSES:
            return _CLASSES[sign]
        if sign and sign.lower() in _CLASSES:
            return _without(_CLASSES[sign.lower()])
        if sign in _ESCAPED:
            sign = _ESCAPED[sign]
        elif not sign or sign.isalnum() or ord(sign) > 127:
            raise self.refuse(_(r"After \ stands d, w, s, n, t or a sign."))
        return ((ord(sign), ord(sign)),)

    def set_of(self) -> CharSet:
        negated = self.peek() == "^"
        if negated:
            self.take()
        parts: list[CharSet] = []
        while self.peek() != "]" or not parts:
            sign = self.take()
            if not sign:
                raise self.refuse(_("A [ is not closed."))
            if sign == "[":
                raise self.refuse(_(r"Write \[ for a bracket inside a class."))
            low = self.escaped() if sign == "\\" else ((ord(sign), ord(sign)),)
            if self.peek() == "-" and self.pattern[self.place + 1 : self.place + 2] not in {"]", ""}:
                self.take()
                sign = self.take()
                high = self.escaped() if sign == "\\" else ((ord(sign), ord(sign)),)
                if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1] or low[0][0] > high[0][0]:
                    raise self.refuse(_("A range goes from a smaller to a larger character."))
                low = ((low[0][0], high[0][0]),)
            parts.append(low)
        self.take()
        chars = _both_cases(_union(*parts))
        return _without(chars) if negated else chars


@lru_cache(maxsize=2048)
def automaton_of(pattern: str) -> Automaton:
    """Read an expression as it is searched for within a message. Raises `PatternInvalid`."""
    if not pattern or len(pattern) > MOST_CHARACTERS:
        raise PatternInvalid(_("An expression has 1 to 200 characters."))
    odd = next((each for each in pattern if unicodedata.normalize("NFKC", each) != each), "")
    if odd:
        raise PatternInvalid(
            _("“%(odd)s” never occurs in what is compared: messages are brought to half width first.") % {"odd": odd},
            _("Write “%(plain)s”.") % {"plain": unicodedata.normalize("NFKC", odd)},
        )
    made = Automaton(most=MOST_STATES)
    made.start, made.final = made.state(), made.state()
    made.edges[made.start].append((ANY, made.start))
    made.edges[made.final].append((ANY, made.final))
    reader = _Reader(pattern, made)
    end = reader.choice(made.start)
    if reader.peek():
        raise reader.refuse(_("A bracket is closed that was not opened."))
    made.free[end].append(made.final)
    return made


def check_pattern(pattern: str) -> None:
    """Refuse what the dialect or RE2 does not take, and what captures every message. Raises `PatternInvalid`."""
    made = automaton_of(pattern)
    if made.final in made.closure(made.start, start=True, end=True):
        raise PatternInvalid(
            _("This expression captures every message."),
            _("Use a reply to any message for that."),
        )
    compiled(pattern)


@lru_cache(maxsize=20_000)
def compiled(pattern: str) -> Any:
    """Give the matcher of an expression; `search(normalised text)`. Raises `PatternInvalid`."""
    import re2  # loaded with the first expression only

    wanted = re2.Options()
    wanted.max_mem = _MEMORY
    wanted.case_sensitive = False
    wanted.log_errors = False
    try:
        return re2.compile(pattern, wanted)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise PatternInvalid(_("The expression cannot be read: %(said)s") % {"said": text[:100]}) from None


# --- what two matchers share -----------------------------------------------------------------------------------------


class TooLarge(Exception):
    """Two expressions are too large to be compared."""


def common_sentence(one: Automaton, other: Automaton) -> str | None:
    """Give the shortest sentence that both capture, None when there is none. Raises `TooLarge`."""
    started = [
        (left, right) for left in one.closure(one.start, start=True) for right in other.closure(other.start, start=True)
    ]
    seen = set(started)
    waiting: deque[tuple[int, int, str]] = deque((left, right, "") for left, right in started)
    ends = _Ends(one), _Ends(other)
    while waiting:
        left, right, sentence = waiting.popleft()
        if sentence and ends[0].at(left) and ends[1].at(right):
            return sentence
        for chars, left_next in one.edges[left]:
            for more, right_next in other.edges[right]:
                each = _pick(_common(chars, more))
                if not each:
                    continue
                for pair in ends[0].pairs(left_next, ends[1], right_next):
                    if pair not in seen:
                        seen.add(pair)
                        if len(seen) > _MOST_PAIRS:
                            raise TooLarge
                        waiting.append((*pair, sentence + each))
    return None


class _Ends:
    """Remembers, for one automaton, what is reached without reading, and whether a state may be the last."""

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._reached: dict[int, frozenset[int]] = {}
        self._last: dict[int, bool] = {}

    def reached(self, state: int) -> frozenset[int]:
        if state not in self._reached:
            self._reached[state] = self._automaton.closure(state, start=False)
        return self._reached[state]

    def at(self, state: int) -> bool:
        if state not in self._last:
            closure = self._automaton.closure(state, start=False, end=True)
            self._last[state] = self._automaton.final in closure
        return self._last[state]

    def pairs(self, state: int, other: _Ends, other_state: int) -> list[tuple[int, int]]:
        return [(left, right) for left in self.reached(state) for right in other.reached(other_state)]
