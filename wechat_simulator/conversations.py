"""What stands in the chat between a person and an account, as the phone shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wechat_simulator import wire
from wechat_simulator.truth import Sent
from wechat_simulator.world import KEY_PATTERN, Fan, Template

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation

KEEP_ENTRIES = 2_000


def template_rows(template: Template | None, data: dict[str, Any]) -> list[dict[str, str]]:
    """``[{key, label, value}]`` in the order of the template's content."""
    if template is None:
        return [{"key": key, "label": key, "value": str(item.get("value", ""))} for key, item in data.items()]
    rows = []
    for line in template.content.splitlines():
        found = KEY_PATTERN.search(line)
        if found is None:
            continue
        key = found.group(1)
        label = line[: found.start()].rstrip(" :\uff1a")
        entry = data.get(key)
        rows.append({"key": key, "label": label, "value": str(entry.get("value", "") if entry else "")})
    return rows


class Conversations:
    """Writes entries; every entry has ``{"n", "at", "from": person|account|system, "kind", …}``."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._number = 0

    def _add(self, fan: Fan, entry: dict[str, Any] | tuple[int, Sent]) -> None:
        if fan.conversation is None:
            fan.conversation = []
        fan.conversation.append(entry)
        if len(fan.conversation) > KEEP_ENTRIES:
            del fan.conversation[: KEEP_ENTRIES // 2]
        self._sim.bus.bump("conversation", fan.person.id, fan.account.appid)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def person(self, fan: Fan, kind: str, at: float, **fields: Any) -> dict[str, Any]:
        """The person's own bubble."""
        entry = {"n": self._next(), "at": at, "from": "person", "kind": kind, **fields}
        self._add(fan, entry)
        return entry

    def system(self, fan: Fan, text: str, at: float, kind: str = "notice") -> dict[str, Any]:
        """A grey line: followed, or WeChat's failure text."""
        entry = {"n": self._next(), "at": at, "from": "system", "kind": kind, "content": text}
        self._add(fan, entry)
        return entry

    def passive(self, fan: Fan, seen: dict[str, Any], at: float, in_answer_to: int) -> None:
        """A verified passive reply."""
        if seen["kind"] == "transfer":
            self.system(fan, "已转接人工客服", at)
            return
        entry = {"n": self._next(), "at": at, "from": "account", "via": "passive", "push": in_answer_to, **seen}
        self._add(fan, entry)
        fan.unread += 1
        body = wire.to_json(seen)
        sent = self._sim.truth.accept(
            at=at, kind="passive", appid=fan.account.appid, openid=fan.openid, body=body, content=f"{in_answer_to}"
        )
        self._sim.truth.finish(sent, "success", at)

    def receive(self, fan: Fan, sent: Sent) -> None:
        """A template or customer-service message arrives; its body stays the one stored in the truth."""
        fan.unread += 1
        self._add(fan, (self._next(), sent))

    def view(self, fan: Fan, since: int = 0, limit: int = 200) -> list[dict[str, Any]]:
        """The newest entries with a number above ``since``, oldest first."""
        rows: list[dict[str, Any]] = []
        for entry in reversed(fan.conversation or []):
            number = entry["n"] if isinstance(entry, dict) else entry[0]
            if number <= since or len(rows) == limit:
                break
            rows.append(entry if isinstance(entry, dict) else self._sent(fan, *entry))
        rows.reverse()
        return rows

    @staticmethod
    def _sent(fan: Fan, number: int, sent: Sent) -> dict[str, Any]:
        body = sent.content()
        entry: dict[str, Any] = {
            "n": number,
            "at": sent.received_at or sent.at,
            "from": "account",
            "via": sent.kind,
            "msgid": str(sent.msgid) if sent.msgid else "",
        }
        if sent.kind in ("template", "subscribe"):
            known = fan.account.templates if sent.kind == "template" else fan.account.notices
            template = known.get(sent.template_id)
            entry |= {
                "kind": "template",
                "title": template.title if template else "",
                "rows": template_rows(template, body.get("data", {})),
                "url": body.get("url" if sent.kind == "template" else "page", ""),
                "miniprogram": body.get("miniprogram"),
                "client_msg_id": sent.client_msg_id,
                "visible_duplicate": sent.same_content,
            }
        else:
            entry |= {"kind": body["msgtype"], **body.get(body["msgtype"], {})}
        return entry

    def dump(self) -> dict[str, Any]:
        """For the state file."""
        rows = {}
        for openid, fan in self._sim.world.fans.items():
            if fan.conversation:
                rows[openid] = [item if isinstance(item, dict) else [item[0], item[1].n] for item in fan.conversation]
        return {"number": self._number, "rows": rows}

    def load(self, data: dict[str, Any]) -> None:
        """From the state file; the truth must be loaded first."""
        self._number = data["number"]
        for openid, rows in data["rows"].items():
            fan = self._sim.world.fans[openid]
            fan.conversation = [
                item if isinstance(item, dict) else (item[0], self._sim.truth.sent[item[1] - 1]) for item in rows
            ]
