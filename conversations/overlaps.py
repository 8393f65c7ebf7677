"""Which messages two keyword rules both capture: an example, who answers it, and how much they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from conversations.engine import Rule, Schedule
from conversations.errors import PatternInvalid
from conversations.models import Match, Trigger
from conversations.patterns import Automaton, TooLarge, automaton_of, common_sentence, either, literal, normalised

# How much two rules share, the worst first.
NEVER: Final = "NEVER"  # the later one never answers: everything it captures is captured by the earlier one
SOME: Final = "SOME"  # some messages are captured by both
JOINED: Final = "JOINED"  # only messages in which a keyword of each stands
UNSURE: Final = "UNSURE"  # an expression takes part, and together they are too large to be compared


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two rules and a sentence that both capture ('' when they are too large to be compared)."""

    other: Rule
    example: str
    winner: Rule
    share: str


def overlaps(rule: Rule, others: Iterable[Rule]) -> list[Overlap]:
    """Compare a keyword rule with others of its account, the worst first."""
    found = [each for other in others if (each := overlap(rule, other)) is not None]
    order = {NEVER: 0, SOME: 1, UNSURE: 2, JOINED: 3}
    return sorted(found, key=lambda each: (order[each.share], each.other.position, each.other.pk))


def overlap(rule: Rule, other: Rule) -> Overlap | None:
    """Give what two keyword rules share; None when no message is captured by both, or never at the same time."""
    if rule.trigger != Trigger.KEYWORD or other.trigger != Trigger.KEYWORD or not rule.words or not other.words:
        return None
    if (rule.pk and rule.pk == other.pk) or not _meet(rule.schedule, other.schedule):
        return None
    first, second = (rule, other) if _place(rule) <= _place(other) else (other, rule)
    try:
        example = shared_sentence(rule, other)
    except (TooLarge, PatternInvalid):  # invalid: one from before its dialect was narrowed
        return Overlap(other, "", first, UNSURE)
    if not example:
        return None
    if first.schedule is None and first.audience is None and covers(first, second):
        share = NEVER
    else:
        share = JOINED if _only_joined(rule, other, example) else SOME
    return Overlap(other, example, first, share)


def shared_sentence(one: Rule, other: Rule) -> str:
    """Give the shortest message that both capture, checked against the rules themselves; '' for none."""
    sentence = _literal_sentence(one, other)
    if sentence is None:
        sentence = common_sentence(_automaton(one), _automaton(other)) or ""
    sure = sentence and one.captures(normalised(sentence)) and other.captures(normalised(sentence))
    return sentence if sure else ""


def covers(first: Rule, second: Rule) -> bool:
    """Say whether everything the second captures is captured by the first. Expressions cover only what is exact."""
    return all(_covers_word(first, second.match, word) for word in second.words)


def _covers_word(first: Rule, match: str, word: str) -> bool:
    if match == Match.EXACT:
        return bool(first.captures(word))
    if match == Match.REGEX:
        return first.match == Match.REGEX and word in first.words
    if first.match == Match.CONTAINS:
        return any(each in word for each in first.words)
    return first.match == Match.PREFIX and match == Match.PREFIX and any(word.startswith(each) for each in first.words)


def _literal_sentence(one: Rule, other: Rule) -> str | None:
    """Give the example without automata where words alone decide; None where an expression takes part."""
    if Match.EXACT in {one.match, other.match}:
        exact, second = (one, other) if one.match == Match.EXACT else (other, one)
        return next((word for word in exact.words if second.captures(word)), "")
    if Match.REGEX in {one.match, other.match}:
        return None
    pairs = [(word, each) for word in one.words for each in other.words]
    if one.match == other.match == Match.PREFIX:
        return next((max(pair, key=len) for pair in pairs if _one_begins_with_the_other(*pair)), "")
    inside = next((max(pair, key=len) for pair in pairs if _inside(one.match, other.match, *pair)), "")
    if inside:
        return inside
    word, each = min(pairs, key=lambda pair: len(pair[0]) + len(pair[1]))
    return each + word if other.match == Match.PREFIX else word + each


def _one_begins_with_the_other(word: str, each: str) -> bool:
    return word.startswith(each) or each.startswith(word)


def _inside(match: str, other_match: str, word: str, each: str) -> bool:
    """Say whether the longer of two keywords alone is captured by both."""
    if match == Match.PREFIX:
        return each in word or each.startswith(word)
    if other_match == Match.PREFIX:
        return word in each or word.startswith(each)
    return word in each or each in word


def _only_joined(one: Rule, other: Rule, example: str) -> bool:
    if Match.EXACT in {one.match, other.match} or Match.REGEX in {one.match, other.match}:
        return False
    return example not in one.words and example not in other.words


def _place(rule: Rule) -> tuple[int, int]:
    return rule.position, rule.pk or 2**62


def _meet(one: Schedule | None, other: Schedule | None) -> bool:
    """Say whether two schedules can be on at the same moment; hours over midnight are taken to meet."""
    if one is None or other is None:
        return True
    if one.weekdays and other.weekdays and not one.weekdays & other.weekdays and not (_late(one) or _late(other)):
        return False
    if one.last and other.first and one.last < other.first and not _late(one):
        return False
    if other.last and one.first and other.last < one.first and not _late(other):
        return False
    if one.start and one.end and other.start and other.end and not (_late(one) or _late(other)):
        return one.start < other.end and other.start < one.end
    return True


def _late(schedule: Schedule) -> bool:
    return bool(schedule.start and schedule.end and schedule.end <= schedule.start)


def _automaton(rule: Rule) -> Automaton:
    if rule.match == Match.REGEX:
        return _either(rule.words)
    return literal(rule.words, before=rule.match == Match.CONTAINS, after=rule.match != Match.EXACT)


@lru_cache(maxsize=64)
def _either(patterns: tuple[str, ...]) -> Automaton:
    if len(patterns) == 1:
        return automaton_of(patterns[0])
    return either([automaton_of(each) for each in patterns])


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rules that capture the same messages, as one of them is about to be saved."""

    rule: Rule
    found: Overlap


def overlaps_among(fresh: Sequence[Rule], standing: Sequence[Rule], *, most_hard: int) -> tuple[list[Pair], int]:
    """Compare many new rules with each other and with those that stand; gives the pairs, the worst first.

    Pairs whose keywords only ever meet in one message are left out: of many rules nearly all would be such. At most
    `most_hard` pairs with expressions are compared letter by letter; how many were not is the second value.
    """
    pairs: list[Pair] = []
    hard = left_out = 0
    for number, rule in enumerate(fresh):
        for other in (*fresh[number + 1 :], *standing):
            if Match.REGEX in {rule.match, other.match} and Match.EXACT not in {rule.match, other.match}:
                hard += 1
                if hard > most_hard:
                    left_out += 1
                    continue
            elif not _may_meet(rule, other):
                continue
            found = overlap(rule, other)
            if found is not None and found.share != JOINED:
                pairs.append(Pair(rule, found))
    order = {NEVER: 0, SOME: 1, UNSURE: 2}
    return sorted(pairs, key=lambda pair: order[pair.found.share]), left_out


def _may_meet(rule: Rule, other: Rule) -> bool:
    """Say quickly whether a word of each stands in one of the other: too often at times, never too rarely."""
    if Match.REGEX in {rule.match, other.match}:
        return True
    return any(word in each or each in word for word in rule.words for each in other.words)
