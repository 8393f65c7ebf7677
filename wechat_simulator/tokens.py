"""Access tokens: two independent families per account (reference: service account 5.1)."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from wechat_simulator.clock import shanghai_day
from wechat_simulator.errors import WeChatError
from wechat_simulator.switches import Switches

LIFE = 7200
OVERLAP = 300  # the displaced token lives five more minutes
FORCE_GAP = 30
FORCE_PER_DAY = 20
SHAPE = re.compile(r"[0-9]{2}_[A-Za-z0-9_\-]{100,510}")


class Token:
    """One issued token."""

    __slots__ = ("appid", "displaced", "expires_at", "family", "issued_at", "text")

    def __init__(self, text: str, appid: str, family: str, issued_at: float) -> None:
        self.text = text
        self.appid = appid
        self.family = family
        self.issued_at = issued_at
        self.expires_at = issued_at + LIFE
        self.displaced = False  # ended early by a newer one: 40001, not 42001


class Tokens:
    """Issues and checks tokens."""

    def __init__(self, seed: str, switches: Switches) -> None:
        self._seed = seed
        self._switches = switches
        self._number = 0
        self._known: dict[str, Token] = {}
        self._current: dict[tuple[str, str], Token] = {}
        self._forced: dict[str, tuple[int, int, float]] = {}  # appid → day, count, last

    def _issue(self, appid: str, family: str, now: float) -> Token:
        self._number += 1
        digest = hashlib.sha512(f"{self._seed}|{appid}|{family}|{self._number}".encode()).hexdigest()
        token = Token(f"{70 + self._number % 30}_{digest}{digest[:8]}", appid, family, now)
        self._known[token.text] = token
        self._current[appid, family] = token
        return token

    def issue(self, appid: str, family: str, now: float) -> Token:
        """A new token of a family that has nothing to do with an account's own two; the old one lives on a while."""
        if old := self._current.get((appid, family)):
            self._end(old, now + self._switches.token_overlap_seconds)
        return self._issue(appid, family, now)

    def family_of(self, text: str | None) -> str:
        """How a token was got; empty when unknown."""
        token = self._known.get(text or "")
        return token.family if token else ""

    @staticmethod
    def _end(token: Token, at: float) -> None:
        if at < token.expires_at:
            token.expires_at = at
            token.displaced = True

    def normal(self, appid: str, now: float) -> Token:
        """``/cgi-bin/token``: always a new one; the old one lives five more minutes."""
        if old := self._current.get((appid, "normal")):
            self._end(old, now + self._switches.token_overlap_seconds)
        return self._issue(appid, "normal", now)

    def stable(self, appid: str, now: float, *, force: bool) -> Token:
        """``/cgi-bin/stable_token``: the same one until its last five minutes; ``force`` ends the old one at once."""
        old = self._current.get((appid, "stable"))
        if force:
            day, count, last = self._forced.get(appid, (0, 0, -1e18))
            today = shanghai_day(now)
            count = count if day == today else 0
            if now - last < FORCE_GAP:
                if self._switches.force_refresh_too_soon == "same" and old is not None and old.expires_at > now:
                    return old
                raise WeChatError(45011)
            if count >= FORCE_PER_DAY:
                raise WeChatError(45009)
            self._forced[appid] = (today, count + 1, now)
            if old is not None:
                self._end(old, now)
            return self._issue(appid, "stable", now)
        if old is not None and old.expires_at - now > OVERLAP:
            return old
        return self._issue(appid, "stable", now)  # the old one keeps the rest of its own life: under five minutes

    def find(self, text: str) -> Token | None:
        """Whatever was issued under this text."""
        return self._known.get(text)

    def same(self, appid: str, family: str, now: float) -> Token:
        """The living one of a family; a new one when it is over: repeated calls of WeCom get the same."""
        old = self._current.get((appid, family))
        return old if old is not None and old.expires_at > now else self._issue(appid, family, now)

    def check(self, text: str | None, now: float) -> str:
        """The appid of a living token; 41001, 40014, 40001, 42001 otherwise (reference: service account 6.3)."""
        if not text:
            raise WeChatError(41001)
        token = self._known.get(text)
        if token is None:
            raise WeChatError(40001 if SHAPE.fullmatch(text) else 40014)
        if token.expires_at <= now:
            raise WeChatError(40001 if token.displaced else 42001)
        return token.appid

    def appid_of(self, text: str | None) -> str:
        """Whose token this is or was; empty when unknown."""
        token = self._known.get(text or "")
        return token.appid if token else ""

    def kill(self, appid: str, now: float, *, expire: bool = False, family: str = "") -> int:
        """End living tokens of an account (of one family), displaced (40001) or expired (42001); says how many."""
        count = 0
        for token in self._known.values():
            if token.appid == appid and token.expires_at > now and family in ("", token.family):
                token.expires_at, token.displaced = now, not expire
                count += 1
        return count

    def upcoming(self, now: float, until: float) -> list[dict[str, Any]]:
        """Tokens that expire in a span."""
        return [
            {"at": token.expires_at, "kind": "token_expires", "payload": {"appid": token.appid, "family": token.family}}
            for token in self._known.values()
            if now < token.expires_at <= until
        ]

    def view(self, now: float) -> list[dict[str, Any]]:
        """Living tokens without their text: for the log and tests."""
        return [
            {"appid": token.appid, "family": token.family, "issued_at": token.issued_at, "expires_at": token.expires_at}
            for token in self._known.values()
            if token.expires_at > now
        ]

    def dump(self) -> dict[str, Any]:
        """For the state file."""
        rows = [[t.text, t.appid, t.family, t.issued_at, t.expires_at, t.displaced] for t in self._known.values()]
        return {"number": self._number, "tokens": rows, "forced": {key: list(row) for key, row in self._forced.items()}}

    def load(self, data: dict[str, Any]) -> None:
        """From the state file."""
        self._number = data["number"]
        self._known, self._current = {}, {}
        for text, appid, family, issued_at, expires_at, displaced in data["tokens"]:
            token = Token(text, appid, family, issued_at)
            token.expires_at, token.displaced = expires_at, displaced
            self._known[text] = token
            self._current[appid, family] = token
        self._forced = {key: (row[0], row[1], row[2]) for key, row in data["forced"].items()}
