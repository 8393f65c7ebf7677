"""What really happened: every call, and every message that an account sent and a person received."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, NamedTuple


class CallRow(NamedTuple):
    """One API call."""

    n: int
    real: float
    at: float
    appid: str
    method: str
    path: str
    digest: str
    result: str  # errcode as text, "data", or what was done to the answer
    faults: tuple[str, ...]
    milliseconds: float


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=8).hexdigest() if body else ""


class Sent:
    """One message an account got accepted. ``received_at`` None: not (yet) on the person's phone."""

    __slots__ = (
        "appid", "at", "body", "client_msg_id", "kind", "msgid", "n", "openid", "received_at", "same_client_msg_id",
        "same_content", "status", "template_id",
    )  # fmt: skip

    def __init__(self, n: int, at: float, kind: str, *, appid: str, openid: str, body: bytes) -> None:
        self.n = n
        self.at = at
        self.kind = kind  # template | subscribe | custom | passive
        self.appid = appid
        self.openid = openid
        self.body = body
        self.template_id = ""
        self.client_msg_id = ""
        self.msgid = 0
        self.status = "accepted"
        self.received_at: float | None = None
        self.same_content = False
        self.same_client_msg_id = False

    def view(self) -> dict[str, Any]:
        """One row of ``GET /_sim/truth``. ``msgid`` is text: it exceeds 2^53 (reference: service account 5)."""
        return {
            "n": self.n,
            "at": self.at,
            "kind": self.kind,
            "appid": self.appid,
            "openid": self.openid,
            "template_id": self.template_id,
            "client_msg_id": self.client_msg_id,
            "msgid": str(self.msgid) if self.msgid else "",
            "digest": _digest(self.body),
            "status": self.status,
            "received": self.received_at is not None,
            "received_at": self.received_at,
            "visible_duplicate": self.received_at is not None and self.same_content,
            "same_client_msg_id": self.same_client_msg_id,
        }

    def content(self) -> dict[str, Any]:
        """The parsed body."""
        value: dict[str, Any] = json.loads(self.body)
        return value


class Truth:
    """In memory; reads are pages, so that 100,000 sends stay quick to look through."""

    def __init__(self, keep_calls: int) -> None:
        self.calls: deque[CallRow] = deque(maxlen=keep_calls)
        self.call_count = 0
        self.sent: list[Sent] = []
        self.by_msgid: dict[int, Sent] = {}
        self.by_account: dict[str, list[Sent]] = {}
        self.counts: Counter[tuple[str, str, str]] = Counter()  # appid, kind, what
        self.by_person: dict[str, list[Sent]] = {}  # openid
        self._contents: set[int] = set()
        self._client_ids: set[tuple[str, str]] = set()

    # --- writing --------------------------------------------------------------------------------------------------

    def call(
        self, *, real: float, at: float, appid: str, method: str, path: str, body: bytes, result: str,
        faults: tuple[str, ...], milliseconds: float,
    ) -> None:  # fmt: skip
        """Log one call; the body only as a digest."""
        self.call_count += 1
        self.calls.append(
            CallRow(self.call_count, real, at, appid, method, path, _digest(body), result, faults, milliseconds)
        )

    def accept(
        self, *, at: float, kind: str, appid: str, openid: str, body: bytes, msgid: int = 0, template_id: str = "",
        client_msg_id: str = "", content: str = "",
    ) -> Sent:  # fmt: skip
        """A message was accepted. ``content`` is what the person would read: the same again is a visible duplicate."""
        sent = Sent(len(self.sent) + 1, at, kind, appid=appid, openid=openid, body=body)
        sent.msgid = msgid
        sent.template_id = template_id
        sent.client_msg_id = client_msg_id
        key = hash((appid, openid, kind, template_id, content))
        if key in self._contents:
            sent.same_content = True
            self.counts[appid, kind, "same_content"] += 1
        else:
            self._contents.add(key)
        if client_msg_id:
            pair = (appid, client_msg_id)
            if pair in self._client_ids:
                sent.same_client_msg_id = True
                self.counts[appid, kind, "same_client_msg_id"] += 1
            else:
                self._client_ids.add(pair)
        elif kind == "template":
            self.counts[appid, kind, "without_client_msg_id"] += 1
        self.sent.append(sent)
        self.by_account.setdefault(appid, []).append(sent)
        if msgid:
            self.by_msgid[msgid] = sent
        self.counts[appid, kind, "accepted"] += 1
        return sent

    def finish(self, sent: Sent, status: str, at: float) -> None:
        """The message reached the phone (``success``) or not."""
        sent.status = status
        self.counts[sent.appid, sent.kind, status] += 1
        if status == "success":
            sent.received_at = at
            self.counts[sent.appid, sent.kind, "received"] += 1
            if sent.same_content:
                self.counts[sent.appid, sent.kind, "visible_duplicates"] += 1
            self.by_person.setdefault(sent.openid, []).append(sent)

    # --- reading --------------------------------------------------------------------------------------------------

    def page(
        self, *, appid: str = "", kind: str = "", openid: str = "", since: int = 0, limit: int = 10_000,
        only_received: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """``{"rows": […], "next": n or null, "counts": …}``; ``since`` is the ``n`` of the last row already read."""
        rows: Iterable[Sent] = self.by_account.get(appid, []) if appid else self.sent
        if not appid and since:
            rows = self.sent[since:]
        picked: list[dict[str, Any]] = []
        following = None
        for sent in rows:
            if sent.n <= since or (kind and sent.kind != kind) or (openid and sent.openid != openid):
                continue
            if only_received and sent.received_at is None:
                continue
            if len(picked) == limit:
                following = picked[-1]["n"]
                break
            picked.append(sent.view())
        return {"rows": picked, "next": following, "counts": self.summary(appid)}

    def summary(self, appid: str = "") -> dict[str, dict[str, dict[str, int]]]:
        """``{appid: {kind: {accepted, received, visible_duplicates, …}}}``."""
        answer: dict[str, dict[str, dict[str, int]]] = {}
        for (owner, kind, what), count in self.counts.items():
            if not appid or owner == appid:
                answer.setdefault(owner, {}).setdefault(kind, {})[what] = count
        return answer

    def calls_page(
        self, *, appid: str = "", path: str = "", since: int = 0, limit: int = 1000, result: str = ""
    ) -> list[dict[str, Any]]:
        """Logged calls after number ``since``, oldest first."""
        picked: list[dict[str, Any]] = []
        for row in self.calls:
            if row.n <= since or (appid and row.appid != appid) or (path and row.path != path):
                continue
            if result and row.result != result:
                continue
            picked.append(row._asdict())
            if len(picked) == limit:
                break
        return picked

    def compare(self, appid: str, rows: list[dict[str, Any]], key: str = "msgid") -> dict[str, Any]:
        """Set a sender's report (``[{msgid|client_msg_id, status?}]``) against the truth of the account.

        ``status`` ``success`` claims that the person has it.
        """
        claimed = {str(row[key]): row.get("status", "success") for row in rows if row.get(key)}
        real = {str(getattr(sent, key)): sent for sent in self.by_account.get(appid, ()) if getattr(sent, key)}
        received = {name for name, sent in real.items() if sent.received_at is not None}
        wins = {name for name, status in claimed.items() if status == "success"}
        return {
            "report": len(wins),
            "truth": len(received),
            "only_in_report": sorted(wins - received)[:1000],
            "only_in_truth": sorted(received - wins)[:1000],
            "difference": len(wins ^ received),
        }

    # --- state file -----------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """For the state file; the call log is not kept."""
        return {
            "sent": [
                [getattr(s, name) for name in Sent.__slots__ if name != "body"] + [s.body.decode(errors="replace")]
                for s in self.sent
            ],
            "counts": [[*key, value] for key, value in self.counts.items()],
            "client_ids": [list(pair) for pair in self._client_ids],
        }

    def load(self, data: dict[str, Any]) -> None:
        """From the state file. Digests of old contents are not kept: duplicates are told from the restart on."""
        names = [name for name in Sent.__slots__ if name != "body"]
        self.sent, self.by_msgid, self.by_account, self.by_person = [], {}, {}, {}
        for row in data["sent"]:
            sent = Sent(0, 0.0, "", appid="", openid="", body=row[-1].encode())
            for name, value in zip(names, row[:-1], strict=True):
                setattr(sent, name, value)
            self.sent.append(sent)
            self.by_account.setdefault(sent.appid, []).append(sent)
            if sent.msgid:
                self.by_msgid[sent.msgid] = sent
            if sent.received_at is not None:
                self.by_person.setdefault(sent.openid, []).append(sent)
        self.counts = Counter({(row[0], row[1], row[2]): row[3] for row in data["counts"]})
        self._client_ids = {(row[0], row[1]) for row in data["client_ids"]}
