"""Whether all contestants give the same answers: no figure counts before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from benchmarks.reads.stand import fetch
from benchmarks.rounds import Absent, InvalidRunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.reads.load import Call
    from benchmarks.reads.stand import Peer

_FRACTION = re.compile(r"(\d\d:\d\d:\d\d)\.\d+")


def same_answers(servers: Mapping[str, Peer | Absent], calls: Sequence[Call], part: Callable[[Any], Any]) -> None:
    """Raise `InvalidRunError` unless the compared part of every answer is the same everywhere (moments to seconds)."""
    running = {name: server for name, server in servers.items() if not isinstance(server, Absent)}
    for call in calls:
        found = {name: _plain(part(fetch(server, call))) for name, server in running.items()}
        first, *others = found
        for name in others:
            if found[name] != found[first]:
                raise InvalidRunError(f"{name} answers {str(found[name])[:400]}, {first} {str(found[first])[:400]}")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: sorted(each) if name == "tags" else _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return _FRACTION.sub(r"\1", value) if isinstance(value, str) else value
