"""What people forward to each other: a mini-program's page, a link, an account's card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wechat_simulator.people import ActError, People, act, follow
from wechat_simulator.world import Fan

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation
    from wechat_simulator.world import Person

FROM_A_FRIEND = 1007  # where a mini-program was opened from: a card in a chat with one person (own knowledge)
KEEP = 10_000


class Shares:
    """Everything that was forwarded, in order."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any]) -> dict[str, Any]:
        """Keep one, and let the receiver's phone know."""
        row["n"] = self._sim.world.number()
        self.rows = [*self.rows[1 - KEEP :], row]
        self._sim.bus.bump("share", row["to"], row["appid"])
        return row

    def of(self, person: Person) -> list[dict[str, Any]]:
        """What somebody received, newest first."""
        return [row for row in reversed(self.rows) if row["to"] == person.id]


@act("share")
async def share(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Forward to the person ``to``: a page (``pagepath``) of a mini-program, a ``url``, or else the account's card."""
    account, sim = fan.account, people.sim
    receiver = sim.world.person(str(data.get("to", "")))
    if receiver is fan.person:
        msg = "one does not forward to oneself"
        raise ActError(msg)
    row: dict[str, Any] = {"at": people.now, "from": fan.person.id, "from_name": fan.person.nickname, "to": receiver.id}
    row |= {"appid": account.appid, "name": account.name, "title": str(data.get("title", "")), "opened_at": None}
    if account.kind == "mini":
        pagepath = str(data.get("pagepath", "")).lstrip("/")
        if account.pages and pagepath.partition("?")[0] not in account.pages:
            msg = "the mini-program has no such page"
            raise ActError(msg)
        row |= {"kind": "miniprogram", "pagepath": pagepath}
    elif data.get("url"):
        row |= {"kind": "web", "url": str(data["url"])}
    else:
        row["kind"] = "card"
    return {"shared": dict(sim.shares.add(row))}


@act("open_shared")
async def open_shared(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Open what somebody forwarded (``n``; without it the newest): gives ``open``, or the ``card`` of an account.

    ``follow: true`` follows from the card (ADD_SCENE_PROFILE_CARD, reference: service account 5.2).
    """
    wanted = data.get("n")
    mine = [row for row in people.sim.shares.of(fan.person) if wanted in (None, row["n"])]
    mine = [row for row in mine if row["appid"] == fan.account.appid]
    if not mine:
        msg = "nobody forwarded that to this person"
        raise ActError(msg)
    row = mine[0]
    row["opened_at"] = row["opened_at"] or people.now
    people.sim.bus.bump("share", fan.person.id, row["appid"])
    if row["kind"] == "card":
        card = {"appid": row["appid"], "name": fan.account.name, "ticket": "", "code_name": ""}
        if data.get("follow"):
            return {"card": card, **await follow(people, fan, {"scene": "ADD_SCENE_PROFILE_CARD"})}
        return {"card": card, "followed": fan.subscribed}
    if row["kind"] == "web":
        return {"open": {"kind": "web", "url": row["url"], "title": row["title"]}}
    target = {"kind": "miniprogram", "appid": row["appid"], "pagepath": row["pagepath"], "title": row["title"]}
    return {"open": {**target, "scene": FROM_A_FRIEND}}
