"""How other apps take part: handlers of pushes, passive repliers, and compilers of what repliers look things up in.

Each goes into `<app>/inbound.py`, which is found by itself:

    @on_event("subscribe", key="members.record_follow")
    def record_follow(push: Push) -> None: ...

    @compiles("conversations")
    def compile_rules(account_id: int) -> Rules: ...

    @reply_to("text", key="conversations.keyword", rank=50)
    def keyword_reply(push: Push, book: ReplyBook) -> Reply | None: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from common.registry import Registry
from wechat_gateway.events import Push, canonical_kind
from wechat_gateway.replies import Reply

ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class ReplyBook:
    """What the compilers made of one account's rules; replaced as a whole when the rules change."""

    account_id: int
    version: int = 0
    pages: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def get(self, key: str) -> Any:
        """The object of the compiler registered under `key`, None while it has failed."""
        return self.pages.get(key)


HandlerFunction: TypeAlias = Callable[[Push], None]
ReplierFunction: TypeAlias = Callable[..., Reply | None]  # (push, book), with `asks` (push, book, rows)
PreparationFunction: TypeAlias = Callable[[Sequence[Push]], None]
CompilerFunction: TypeAlias = Callable[[int], Any]
MemoryFunction: TypeAlias = Callable[[Sequence[tuple[int, ReplyBook]]], None]
Condition: TypeAlias = Callable[[Push, ReplyBook], bool]
Query: TypeAlias = Callable[[], tuple[str, Sequence[Any]]]
Question: TypeAlias = Callable[[Push, ReplyBook], Query | None]


@dataclass(frozen=True, slots=True)
class Handler:
    """Runs in a worker, inside the brand's scope, with its effect once. `kinds` may hold ANY."""

    key: str
    kinds: frozenset[str]
    run: HandlerFunction
    rank: int


@dataclass(frozen=True, slots=True)
class Replier:
    """Answers while WeChat waits. Without `reads` it runs on the event loop and may only compute.

    `when` is asked first, on the event loop: what need not be read costs no thread and no query. `asks` gives the one
    query whose rows `run` takes, None when the replier has nothing to say; such queries travel together.
    """

    key: str
    kinds: frozenset[str]
    run: ReplierFunction
    rank: int
    reads: bool
    when: Condition | None = None
    asks: Question | None = None


# The registries hold the functions themselves, so that the list of extensions can say where each was written.
handlers: Registry[HandlerFunction] = Registry(
    "inbound handlers",
    purpose="what happens in a worker after a push was stored",
)
repliers: Registry[ReplierFunction] = Registry(
    "passive repliers",
    purpose="what is answered to a push within the five seconds",
)
preparations: Registry[PreparationFunction] = Registry(
    "preparations of handlers",
    purpose="what is asked once for many pushes before each of them is handled",
)
compilers: Registry[CompilerFunction] = Registry("reply compilers", purpose="what repliers look rules up in")
repair_listeners: Registry[Callable[..., object]] = Registry(
    "repair listeners",
    purpose="what waited for an app's calls and goes on once somebody has mended what was wrong",
)
memories: Registry[MemoryFunction] = Registry(
    "gateway memories",
    purpose="what the gateway keeps of people so that repliers need not look it up",
)
_handlers: dict[str, Handler] = {}
_repliers: dict[str, Replier] = {}
_preparations: dict[str, tuple[int, str, PreparationFunction]] = {}
_ordered: dict[tuple[str, str], tuple[Any, ...]] = {}
_MOST_KINDS: Final = 1000  # whoever pushes may invent kinds; do not remember them all


def on_event(*kinds: str, key: str, rank: int = 100) -> Callable[[HandlerFunction], HandlerFunction]:
    """Run the function for pushes of these kinds (message types, events in any case, or ANY), lowest rank first.

    `key` is stored with its effects: never reuse one. The function runs in a brand scope; what it writes commits
    together with the mark that it ran. It must not call out: ring a task instead.
    """

    def register(function: HandlerFunction) -> HandlerFunction:
        handlers.register(key, function)
        _handlers[key] = Handler(key, _canonical(kinds), function, rank)
        _ordered.clear()
        return function

    return register


def prepares(*, key: str, rank: int = 100) -> Callable[[PreparationFunction], PreparationFunction]:
    """Let the function look up what handlers of several pushes will ask for, and put it into each one's `found`.

    It runs in the transaction in which they are handled, lowest rank first, and not always: when a handler has failed,
    everybody asks for themselves. So it may only read and lock, and nothing may depend on it.
    """

    def register(function: PreparationFunction) -> PreparationFunction:
        preparations.register(key, function)
        _preparations[key] = (rank, key, function)
        return function

    return register


def reply_to(
    *kinds: str,
    key: str,
    rank: int = 100,
    reads: bool = False,
    when: Condition | None = None,
    asks: Question | None = None,
) -> Callable[[ReplierFunction], ReplierFunction]:
    """Let the function answer pushes of these kinds; the first that returns a reply wins, lowest rank first.

    With `reads` it runs in a thread inside the brand's scope for at most 400 ms and may read (never write or call
    out); otherwise it must be pure and quick. With `when` it is asked only about pushes of which that holds; `when`
    must always be pure and quick.

    What one query answers is cheaper with `asks`, which is pure and quick too and gives what writes the query: SQL and
    its parameters, in a thread, in the brand's scope. The function then gets the rows, as JSON has them, on the event
    loop; when they could not be read in time it is not called.
    """

    def register(function: ReplierFunction) -> ReplierFunction:
        repliers.register(key, function)
        _repliers[key] = Replier(key, _canonical(kinds), function, rank, reads, when, asks)
        _ordered.clear()
        return function

    return register


def compiles(key: str) -> Callable[[CompilerFunction], CompilerFunction]:
    """Let the function make one page of every account's ReplyBook: `compile(account_id)`, inside the brand's scope.

    It runs again when the account's `replies_version` has changed.
    """

    def register(function: CompilerFunction) -> CompilerFunction:
        compilers.register(key, function)
        return function

    return register


def remembers(key: str) -> Callable[[MemoryFunction], MemoryFunction]:
    """Let the function keep something in the gateway's memory up to date: `remember([(brand id, ReplyBook), …])`.

    It runs several times a second, in a thread of its own and outside of any scope, and says itself how old what it
    keeps may become. When it raises, it is called again at the next turn.
    """

    def register(function: MemoryFunction) -> MemoryFunction:
        memories.register(key, function)
        return function

    return register


def handlers_of(kind: str) -> tuple[Handler, ...]:
    """The handlers of a kind in order."""
    return _in_order("handler", kind, _handlers)


def prepare(pushes: Sequence[Push]) -> None:
    """Look up what handlers of these pushes will ask for."""
    for _rank, _key, function in sorted(_preparations.values(), key=lambda each: each[:2]):
        function(pushes)


def repliers_of(kind: str) -> tuple[Replier, ...]:
    """The repliers of a kind in order."""
    return _in_order("replier", kind, _repliers)


def _in_order(role: str, kind: str, known: Mapping[str, Any]) -> tuple[Any, ...]:
    found = _ordered.get((role, kind))
    if found is None:
        chosen = [item for item in known.values() if kind in item.kinds or ANY in item.kinds]
        found = tuple(sorted(chosen, key=lambda item: (item.rank, item.key)))
        if len(_ordered) < _MOST_KINDS:
            _ordered[role, kind] = found
    return found


def _canonical(kinds: tuple[str, ...]) -> frozenset[str]:
    return frozenset(canonical_kind(kind) for kind in kinds)
