"""Which rule answers: the compiled rules of one account, the same in gateway, worker, test box and tests."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from conversations.answers import Content, read_content, with_media
from conversations.audiences import NO_SCAN, Audience, Scan, rank_of
from conversations.errors import PatternInvalid
from conversations.models import Match, Pick, Trigger
from conversations.patterns import compiled, normalised

if TYPE_CHECKING:
    from conversations.models import ReplyRule

UTC: Final = ZoneInfo("UTC")

# Why a rule does not answer.
WORDS: Final = "WORDS"
SCHEDULE: Final = "SCHEDULE"
AUDIENCE: Final = "AUDIENCE"
RETURNS: Final = "RETURNS"
EARLIER: Final = "EARLIER"
ANSWERS: Final = "ANSWERS"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a rule answers, in the brand's zone. Monday is 0; no weekdays means all; hours may go over midnight."""

    weekdays: frozenset[int] = frozenset()
    start: time | None = None
    end: time | None = None
    first: date | None = None
    last: date | None = None

    def holds(self, local: datetime) -> bool:
        """Say whether a moment lies within; the hours after midnight belong to the day before."""
        day = local.date()
        if self.start is not None and self.end is not None and self.start != self.end:
            clock = local.time()
            if self.start < self.end:
                if not self.start <= clock < self.end:
                    return False
            elif clock < self.end:
                day -= timedelta(days=1)
            elif clock < self.start:
                return False
        if self.weekdays and day.weekday() not in self.weekdays:
            return False
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


ALWAYS: Final = Schedule()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, ready to be asked. `pk` 0 is the welcome of a code."""

    pk: int
    name: str
    trigger: str
    contents: tuple[Content, ...]
    match: str = Match.EXACT
    position: int = 0
    words: tuple[str, ...] = ()
    patterns: tuple[Any, ...] = ()
    schedule: Schedule | None = None
    audience: Audience | None = None
    one_of: bool = False

    def captures(self, wanted: str) -> str:
        """Give the keyword by which a normalised message is captured, '' when it is not."""
        if self.match == Match.EXACT:
            return wanted if wanted in self.words else ""
        if self.match == Match.PREFIX:
            return next((word for word in self.words if wanted.startswith(word)), "")
        if self.match == Match.CONTAINS:
            return next((word for word in self.words if word in wanted), "")
        return next((word for word, each in zip(self.words, self.patterns, strict=True) if each.search(wanted)), "")

    def chosen(self, asked: Asked) -> tuple[Content, ...]:
        """Give what is answered: everything in order, or one of them by the push's own number."""
        if self.one_of and len(self.contents) > 1:
            seed = seed_of(*asked.push) if asked.push is not None else asked.seed
            return (self.contents[seed % len(self.contents)],)
        return self.contents


class Asked(NamedTuple):  # as a decision made for every push, at a third of what a frozen data class takes
    """What somebody did, as far as rules look at it. `seed` is the same for every look at one push.

    Few rules need it: with `push` (OpenID, its time, its id) it is worked out when one does.
    """

    trigger: str
    at: datetime
    text: str = ""
    key: str = ""
    scene: str = ""
    seed: int = 0
    push: tuple[str, datetime, str] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the person: did they come back, and which of the audiences asked about hold.

    Whether they belong to those in `unknown` nobody has looked up.
    """

    came_back: bool = False
    holds: frozenset[Audience] = frozenset()
    unknown: frozenset[Audience] = frozenset()


class Decision(NamedTuple):
    """Which rule answers and with what. `needs_facts`: nothing can be said before the person is looked up."""

    rule: Rule | None = None
    contents: tuple[Content, ...] = ()
    needs_facts: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says to a question: `says` is one of the words above, `by` the keyword that captures."""

    rule: Rule
    says: str
    by: str = ""


NOTHING: Final = Decision()
_REMEMBERED_TEXTS: Final = 200  # an account
_REMEMBERED_LETTERS: Final = 30  # what is longer hardly comes twice
ASK: Final = Decision(needs_facts=True)


@dataclass(slots=True)
class Rules:
    """The rules of one account, in order. Exact keywords cost one dictionary access."""

    zone: ZoneInfo = UTC
    exact: dict[str, list[tuple[int, Rule]]] = field(default_factory=dict)
    partial: list[tuple[int, Rule, Callable[[str], object]]] = field(default_factory=list)
    clicks: dict[str, list[Rule]] = field(default_factory=dict)
    follow: list[Rule] = field(default_factory=list)
    refollow: list[Rule] = field(default_factory=list)
    default: list[Rule] = field(default_factory=list)
    scenes: dict[str, Rule] = field(default_factory=dict)
    scans: Mapping[str, Scan] = field(default_factory=dict)
    ends: Mapping[str, datetime] = field(default_factory=dict)
    said_until: Mapping[str, datetime] = field(default_factory=dict)
    """When codes are over, by scene: from then on they are codes without a welcome, a place or tags."""
    audiences: Mapping[Audience, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What a selector has worked out from these rules and wants to find again."""
    recent: dict[str, tuple[Rule, ...]] = field(default_factory=dict, compare=False, repr=False)
    """Which rules capture what was written lately: people write the same few words again and again."""

    def decide(self, asked: Asked, facts: Facts | None = None) -> Decision:
        """Give the first rule in order that captures, whose hours are on and whose audience holds."""
        if asked.trigger == Trigger.FOLLOW and facts is None and self.refollow and not self._code_of(asked):
            return ASK
        for rule in self._in_order(asked, facts):
            if rule.schedule is not None or rule.audience is not None:
                against = self._against(rule, asked, facts)
                if against is None:
                    return ASK
                if against:
                    continue
            return Decision(rule, rule.chosen(asked))
        return NOTHING

    def captures(self, text: str, at: datetime, facts: Facts | None) -> bool | None:
        """Say whether a keyword rule answers a message; None when the person must be looked up first."""
        asked = Asked(Trigger.KEYWORD, at, text=text)
        found = [self._against(rule, asked, facts) for rule in self._capturing(text)]
        return True if "" in found else (None if None in found else False)

    def reaches(self, text: str) -> bool:
        """Say whether a keyword of any rule stands in a message, for whomever and whenever that rule is."""
        return next(self._gone_through(normalised(text)), None) is not None

    def code_welcome(self, scene: str, at: datetime) -> Rule | None:
        """Give what the code itself says to whoever scans it at a moment; nothing once it or what it names is over."""
        until = self.said_until.get(scene)
        return None if self._is_over(scene, at) or (until is not None and until <= at) else self.scenes.get(scene)

    def _code_of(self, asked: Asked) -> Rule | None:
        return self.code_welcome(asked.scene, asked.at) if asked.scene else None

    def _is_over(self, scene: str, at: datetime) -> bool:
        end = self.ends.get(scene)
        return end is not None and end <= at

    def _scan_of(self, asked: Asked) -> Scan:
        return NO_SCAN if self._is_over(asked.scene, asked.at) else self.scans.get(asked.scene, NO_SCAN)

    def explain(self, asked: Asked, facts: Facts) -> list[Verdict]:
        """Say of every rule that could answer, in order, whether it does, and if not, why not."""
        found: list[Verdict] = []
        answered = False
        for rule, by in self._all_in_order(asked):
            if by is None:
                says = WORDS
            elif rule.trigger == Trigger.REFOLLOW and not facts.came_back:
                says = RETURNS
            else:
                says = self._against(rule, asked, facts) or (EARLIER if answered else ANSWERS)
            answered = answered or says == ANSWERS
            found.append(Verdict(rule, says, by or ""))
        return found

    def _against(self, rule: Rule, asked: Asked, facts: Facts | None) -> str | None:
        """Give why a capturing rule does not stand, '' when it does, None when the person must be looked up first."""
        if rule.schedule is not None and not rule.schedule.holds(asked.at.astimezone(self.zone)):
            return SCHEDULE
        audience = rule.audience
        if audience is None:
            return ""
        if audience not in self.audiences:  # what it named is gone
            return AUDIENCE
        if asked.trigger == Trigger.FOLLOW and _settled_by_code(audience, self._scan_of(asked)):
            return ""
        if facts is None or audience in facts.unknown:
            return None
        return "" if audience in facts.holds else AUDIENCE

    def _in_order(self, asked: Asked, facts: Facts | None) -> Iterator[Rule]:
        if asked.trigger == Trigger.FOLLOW:
            code = self._code_of(asked)
            if code is not None:
                yield code
            if facts is not None and facts.came_back:
                yield from self.refollow
            yield from self.follow
            return
        if asked.trigger == Trigger.KEYWORD:
            yield from self._capturing(asked.text)
        elif asked.trigger == Trigger.CLICK:
            yield from self.clicks.get(normalised(asked.key), ())
        yield from self.default

    def _capturing(self, text: str) -> tuple[Rule, ...]:
        """Give every rule that captures, in order. Only for whom and when it stands may differ the next time."""
        found = self.recent.get(text)
        if found is None:
            found = tuple(self._gone_through(normalised(text)))
            if len(text) <= _REMEMBERED_LETTERS:
                if len(self.recent) >= _REMEMBERED_TEXTS:
                    self.recent.clear()
                self.recent[text] = found
        return found

    def _gone_through(self, wanted: str) -> Iterator[Rule]:
        exact = self.exact.get(wanted, ())
        done = 0
        for order, rule, hits in self.partial:
            while done < len(exact) and exact[done][0] < order:
                yield exact[done][1]
                done += 1
            if hits(wanted):
                yield rule
        for _order, rule in exact[done:]:
            yield rule

    def _all_in_order(self, asked: Asked) -> Iterator[tuple[Rule, str | None]]:
        """Give every rule of the question's kind with the keyword that captures, None for one that does not."""
        if asked.trigger == Trigger.FOLLOW:
            code = self._code_of(asked)
            for rule in ([code] if code else []) + self.refollow + self.follow:
                yield rule, ""
            return
        if asked.trigger == Trigger.KEYWORD:
            wanted = normalised(asked.text)
            every = {(order, rule) for rules in self.exact.values() for order, rule in rules}
            every |= {(order, rule) for order, rule, _hits in self.partial}
            for _order, rule in sorted(every, key=lambda pair: pair[0]):
                yield rule, rule.captures(wanted) or None
        elif asked.trigger == Trigger.CLICK:
            tapped = normalised(asked.key)
            seen: list[Rule] = []
            for key, rules in self.clicks.items():
                for rule in rules:
                    if rule not in seen and (key == tapped or tapped not in rule.words):
                        seen.append(rule)
                        yield rule, tapped if key == tapped else None
        for rule in self.default:
            yield rule, ""


def _settled_by_code(audience: Audience, scan: Scan) -> bool:
    from conversations.audiences import audience_kinds

    kind = audience_kinds.find(audience.kind)
    return kind is not None and kind.scanned(audience.value, scan)


def schedule_of(row: ReplyRule) -> Schedule | None:
    """Give when a rule answers, None for always."""
    found = Schedule(
        frozenset(int(day) for day in row.weekdays), row.from_time, row.until_time, row.from_date, row.until_date
    )
    return None if found == ALWAYS else found


def contents_of(row: ReplyRule) -> tuple[Content, ...]:
    """Give the answers of a rule: its first, and those after it."""
    first = Content(
        row.reply_kind, row.text, row.title, row.url, row.picture_url, row.media_id, row.mini_appid, row.mini_page
    )
    return (first, *(read_content(each) for each in row.more))


def rule_of(row: ReplyRule, media: Mapping[int, str] | None = None) -> Rule | None:
    """Make a rule ready to be asked; None for keywords that can capture nothing.

    With `media`, WeChat's ids of the library's files, its answers are ready to be given; None too for a rule that has
    none left because its only file is not at WeChat yet.
    """
    words: tuple[str, ...] = tuple(str(each) for each in row.keywords)
    patterns: tuple[Any, ...] = ()
    if row.trigger == Trigger.KEYWORD and row.match == Match.REGEX:
        try:
            patterns = tuple(compiled(word) for word in words)
        except PatternInvalid:  # one from before its dialect was narrowed; the list says so
            return None
    elif row.trigger in {Trigger.KEYWORD, Trigger.CLICK}:
        words = tuple(dict.fromkeys(word for word in (normalised(each) for each in words) if word))
    if row.trigger in {Trigger.KEYWORD, Trigger.CLICK} and not words:
        return None
    contents = contents_of(row)
    if media is not None:
        contents = with_media(contents, media)
        if not contents:
            return None
    return Rule(
        pk=row.pk or 0,
        name=row.name,
        trigger=row.trigger,
        contents=contents,
        match=row.match,
        position=row.position,
        words=words,
        patterns=patterns,
        schedule=schedule_of(row),
        audience=Audience(row.audience_kind, row.audience_id) if row.audience_kind and row.audience_id else None,
        one_of=row.pick == Pick.ONE,
    )


def in_order(rows: Iterable[ReplyRule]) -> list[ReplyRule]:
    """Give rules in the order in which they are tried: by position, then the older first."""
    return sorted(rows, key=lambda row: (row.position, row.pk or 2**62))


def compile_rules(
    rows: Iterable[ReplyRule],
    *,
    scenes: Mapping[str, tuple[str, str]] | None = None,
    ends: Mapping[str, datetime] | None = None,
    said_until: Mapping[str, datetime] | None = None,
    zone: ZoneInfo = UTC,
    scans: Mapping[str, Scan] | None = None,
    audiences: Mapping[Audience, Any] | None = None,
    media: Mapping[int, str] | None = None,
) -> Rules:
    """Build the look-up structure from enabled rules. `scenes`: each code's name and own welcome; `ends`: its end.

    `said_until`: when what a code's own welcome promises by name can be given no more.
    """
    made = Rules(zone=zone, scans=scans or {}, ends=ends or {}, said_until=said_until or {}, audiences=audiences or {})
    made.scenes = {
        scene: Rule(0, name, Trigger.FOLLOW, (Content("TEXT", text),)) for scene, (name, text) in (scenes or {}).items()
    }
    for order, row in enumerate(in_order(rows)):
        rule = rule_of(row, media or {})
        if rule is None:
            continue
        if rule.trigger == Trigger.CLICK:
            for key in rule.words:
                made.clicks.setdefault(key, []).append(rule)
        elif rule.trigger != Trigger.KEYWORD:
            _welcomes(made, rule.trigger).append(rule)
        elif rule.match == Match.EXACT:
            for word in rule.words:
                made.exact.setdefault(word, []).append((order, rule))
        else:
            made.partial.append((order, rule, _hits_of(rule)))
    for rules in (made.follow, made.refollow):
        rules.sort(key=lambda rule: rank_of(rule.audience))  # stable: the order stays within a rank
    return made


def _hits_of(rule: Rule) -> Callable[[str], object]:
    """Give the quickest test of whether a rule captures: every message goes through those of an account."""
    words = rule.words
    if rule.match == Match.PREFIX:
        return lambda wanted: wanted.startswith(words)
    if rule.match == Match.CONTAINS and len(words) == 1:
        word = words[0]
        return lambda wanted: word in wanted
    if rule.match == Match.REGEX and len(words) == 1:
        search = rule.patterns[0].search
        return lambda wanted: search(wanted.encode())  # bytes: the matcher would count letters for every text
    return rule.captures


def _welcomes(made: Rules, trigger: str) -> list[Rule]:
    return {Trigger.FOLLOW: made.follow, Trigger.REFOLLOW: made.refollow}.get(Trigger(trigger), made.default)


def seed_of(openid: str, at: datetime, msgid: str) -> int:
    """Give a number that is the same for every look at one push."""
    return zlib.crc32(f"{openid}|{int(at.timestamp())}|{msgid}".encode())
