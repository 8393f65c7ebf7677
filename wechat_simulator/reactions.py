"""Crowds that react to what they received, by their behaviour; and what they buy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from wechat_simulator.behaviour import Behaviour, made
from wechat_simulator.http_client import DeliveryError
from wechat_simulator.truth import Sent
from wechat_simulator.wecom.acts import PERSON_ACTS
from wechat_simulator.world import Person

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation

LINK = re.compile(r"https?://(?:127\.0\.0\.1|localhost)(?::\d+)?[^\s\"'<>\\]*")
WORDS = "好的，谢谢"


class Crowds:
    """The behaviour of every crowd that has one."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.known: dict[str, Behaviour] = {}

    def put(self, item: dict[str, Any]) -> None:
        """A crowd of the world description; without a behaviour it stays as it is."""
        if "behaviour" in item:
            behaviour = made(item["behaviour"], str(item["prefix"]), int(item["count"]), self.sim.world.seed)
            self.known[behaviour.prefix] = behaviour

    def get(self, prefix: str) -> Behaviour:
        """By prefix."""
        if prefix not in self.known:
            raise HTTPException(404, f"crowd {prefix} has no behaviour")
        return self.known[prefix]

    def person_of(self, sent: Sent) -> Person | None:
        """Who received a message: a fan, or a customer of a corp."""
        corp = self.sim.wecom.corps.get(sent.appid)
        if corp is not None:
            return self.sim.world.people.get(corp.contacts.get(sent.openid, ""))
        fan = self.sim.world.fans.get(sent.openid)
        return fan.person if fan is not None else None

    async def react(self, behaviour: Behaviour, appid: str, since: int, *, follow: bool) -> dict[str, Any]:
        """Everybody of a crowd reacts to the first message that came after ``since``, in the order of the messages."""
        crowd = set(behaviour.people())
        seen: set[str] = set()
        names = ("opened", "clicked", "replied", "bought", "left", "blocked", "ignored")
        done: dict[str, Any] = {name: [] for name in names}
        newest = since
        for sent in list(self.sim.truth.by_account.get(appid, ())):
            if sent.n <= since or sent.received_at is None:
                continue
            newest = max(newest, sent.n)
            person = self.person_of(sent)
            if person is None or person.id not in crowd or person.id in seen:
                continue
            seen.add(person.id)
            await self._one(behaviour, sent, person, done, follow=follow)
        return {**done, "next": newest}

    async def _one(
        self, behaviour: Behaviour, sent: Sent, person: Person, done: dict[str, Any], *, follow: bool
    ) -> None:
        fate = behaviour.fate(person.id)
        if fate.opens:
            done["opened"].append(person.id)
        if fate.clicks:
            link = LINK.search(json.dumps(sent.content(), ensure_ascii=False))
            status = await self._visit(link.group()) if follow and link else 0
            done["clicked"].append({"person": person.id, "url": link.group() if link else "", "status": status})
        if fate.replies and await self._act(sent, person, "text"):
            done["replied"].append(person.id)
        at = behaviour.bought_at(person.id, sent.received_at or sent.at)
        if at is not None:
            cause = "anyway" if fate.buys_anyway else "message"
            done["bought"].append({"person": person.id, "phone": person.phone, "at": at, "cause": cause})
        if fate.leaves and await self._act(sent, person, "unfollow"):
            done["left"].append(person.id)
        if fate.blocks and await self._act(sent, person, "block"):
            done["blocked"].append(person.id)
        if fate.ignores:
            done["ignored"].append(person.id)

    async def _visit(self, url: str) -> int:
        """Open a link, on this machine only."""
        try:
            status, _ = await self.sim.pushes.client.exchange("GET", url, b"", "text/plain")
        except (OSError, DeliveryError, TimeoutError):
            return 0
        return status

    async def _act(self, sent: Sent, person: Person, name: str) -> bool:
        """An act at a service account, or at the members of a corp: leaving and blocking both delete them there."""
        corp = self.sim.wecom.corps.get(sent.appid)
        if corp is None:
            account = self.sim.world.account(sent.appid)
            if not self.sim.world.fan(account, person).subscribed:
                return False
            await self.sim.people.do(person, account, name, {"content": WORDS})
            return True
        relations = corp.of_customer(sent.openid)
        for relation in relations:
            wanted = "write" if name == "text" else "delete"
            await PERSON_ACTS[wanted](self.sim.wecom, corp, person, {"userid": relation.userid, "content": WORDS})
        return bool(relations)

    def dump(self) -> list[dict[str, Any]]:
        """For the state file."""
        return [asdict(item) for item in self.known.values()]

    def load(self, rows: list[dict[str, Any]]) -> None:
        """From the state file."""
        self.known = {row["prefix"]: Behaviour(**row) for row in rows}


class CrowdControl:
    """The endpoints under ``/_sim/behaviour``; README.md describes each."""

    def __init__(self, sim: Simulation, answer: Callable[[Any], JSONResponse]) -> None:
        self.sim = sim
        self._answer = answer

    def routes(self) -> list[BaseRoute]:
        """Path table."""
        return [
            Route("/_sim/behaviour/{prefix}", self.expected, methods=["GET"]),
            Route("/_sim/behaviour/{prefix}/people", self.people, methods=["GET"]),
            Route("/_sim/behaviour/{prefix}/react", self.react, methods=["POST"]),
            Route("/_sim/behaviour/{prefix}/purchases", self.purchases, methods=["GET"]),
        ]

    def _behaviour(self, request: Request) -> Behaviour:
        return self.sim.crowds.get(request.path_params["prefix"])

    async def expected(self, request: Request) -> Response:
        """Chances and counts."""
        return self._answer(self._behaviour(request).view())

    async def people(self, request: Request) -> Response:
        """The fate and the cycle of everybody."""
        behaviour = self._behaviour(request)
        rows = [
            {"person": person, **asdict(behaviour.fate(person)), "cycle": behaviour.cycle(person)}
            for person in behaviour.people()
        ]
        return self._answer({"people": rows})

    async def react(self, request: Request) -> Response:
        """``{appid, since?, follow?}``: the crowd reacts to what it received."""
        data = json.loads(await request.body() or b"{}")
        result = await self.sim.crowds.react(
            self._behaviour(request), str(data["appid"]), int(data.get("since", 0)), follow=bool(data.get("follow"))
        )
        return self._answer(result)

    async def purchases(self, request: Request) -> Response:
        """Regular purchases from ``start`` up to ``until``, in the order of time."""
        behaviour = self._behaviour(request)
        start, until = float(request.query_params["start"]), float(request.query_params["until"])
        rows = [
            {"person": person, "phone": self.sim.world.person(person).phone, "at": at}
            for person in behaviour.people()
            for at in behaviour.purchases(person, start, until)
        ]
        return self._answer({"purchases": sorted(rows, key=lambda row: float(row["at"]))})
