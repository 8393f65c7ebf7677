"""Which rule answers: the compiled rules of one account, the same in the gateway, the test box and the tests."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conversations.models import Match, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conversations.models import ReplyRule


@dataclass(frozen=True, slots=True)
class Answer:
    """What a rule says: a text, or an article card when `url` is set."""

    rule_id: int
    rule_name: str
    kind: str
    text: str
    title: str = ""
    url: str = ""
    picture_url: str = ""


def normalised(text: str) -> str:
    """Give the form in which keywords and messages are compared: NFKC, trimmed, without case."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


@dataclass(slots=True)
class Rules:
    """The rules of one account, in order. Looking up costs one dictionary access for exact keywords."""

    exact: dict[str, tuple[int, Answer]] = field(default_factory=dict)
    partial: list[tuple[int, str, str, Answer]] = field(default_factory=list)
    clicks: dict[str, Answer] = field(default_factory=dict)
    follow: Answer | None = None
    refollow: Answer | None = None
    default: Answer | None = None
    scenes: dict[str, str] = field(default_factory=dict)

    def for_text(self, content: str) -> Answer | None:
        """Give the answer to a typed message: the first rule in order that matches, else the default reply."""
        wanted = normalised(content)
        best = self.exact.get(wanted)
        for order, match, keyword, answer in self.partial:
            if best is not None and best[0] <= order:
                break
            if wanted.startswith(keyword) if match == Match.PREFIX else keyword in wanted:
                return answer
        return best[1] if best else self.default

    def for_click(self, key: str) -> Answer | None:
        """Give the answer to a menu button."""
        return self.clicks.get(key) or self.default

    def for_follow(self, scene: str, *, came_back: bool) -> Answer | None:
        """Give the welcome: that of the code first, then that for a return, then the common one."""
        text = self.scenes.get(scene) if scene else None
        if text:
            return Answer(0, scene, "TEXT", text)
        return (self.refollow if came_back else None) or self.follow


def compile_rules(rules: Iterable[ReplyRule], scenes: dict[str, str]) -> Rules:
    """Build the look-up structure from enabled rules, given in order."""
    compiled = Rules(scenes=scenes)
    for order, rule in enumerate(rules):
        answer = Answer(rule.pk, rule.name, rule.reply_kind, rule.text, rule.title, rule.url, rule.picture_url)
        words = [word for word in (normalised(str(each)) for each in rule.keywords) if word]
        if rule.trigger == Trigger.KEYWORD and rule.match == Match.EXACT:
            for word in words:
                compiled.exact.setdefault(word, (order, answer))
        elif rule.trigger == Trigger.KEYWORD:
            compiled.partial += [(order, rule.match, word, answer) for word in words]
        elif rule.trigger == Trigger.CLICK:
            for key in rule.keywords:
                compiled.clicks.setdefault(str(key), answer)
        elif rule.trigger == Trigger.FOLLOW:
            compiled.follow = compiled.follow or answer
        elif rule.trigger == Trigger.REFOLLOW:
            compiled.refollow = compiled.refollow or answer
        elif rule.trigger == Trigger.DEFAULT:
            compiled.default = compiled.default or answer
    return compiled
