"""The control API of WeCom, under ``/_sim/wecom``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from wechat_simulator.people import ActError
from wechat_simulator.wecom import acts, views
from wechat_simulator.wecom.model import Corp

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation


class WeComControl:
    """The endpoints; README.md describes each."""

    def __init__(self, sim: Simulation, answer: Callable[[Any], JSONResponse]) -> None:
        self.sim = sim
        self.wecom = sim.wecom
        self._answer = answer

    def routes(self) -> list[BaseRoute]:
        """Path table."""
        table: list[tuple[str, str, Any]] = [
            ("GET", "", self.corps),
            ("GET", "/people/{person}", self.person),
            ("GET", "/{corpid}", self.corp),
            ("POST", "/{corpid}/staff", self.put_staff),
            ("POST", "/{corpid}/tags", self.put_tags),
            ("POST", "/{corpid}/agents/{agentid:int}/verify", self.verify),
            ("POST", "/{corpid}/people/{person}/act", self.person_acts),
            ("GET", "/{corpid}/people/{person}/chat", self.chat),
            ("POST", "/{corpid}/staff/{userid}/act", self.staff_acts),
            ("GET", "/{corpid}/truth", self.truth),
        ]
        return [Route("/_sim/wecom" + path, endpoint, methods=[method]) for method, path, endpoint in table]

    def _corp(self, request: Request) -> Corp:
        return self.wecom.corp(request.path_params["corpid"])

    @staticmethod
    async def _body(request: Request) -> dict[str, Any]:
        value = json.loads(await request.body() or b"{}")
        if not isinstance(value, dict):
            raise HTTPException(400, "the body is not a JSON object")
        return value

    async def corps(self, request: Request) -> Response:
        """All corps; ``secrets=1`` with what applications sign with."""
        secrets = request.query_params.get("secrets") == "1"
        rows = [views.corp_view(self.wecom, corp, secrets=secrets) for corp in self.wecom.corps.values()]
        return self._answer(
            {"corps": rows, "person_acts": sorted(acts.PERSON_ACTS), "staff_acts": sorted(acts.STAFF_ACTS)}
        )

    async def corp(self, request: Request) -> Response:
        """One."""
        secrets = request.query_params.get("secrets") == "1"
        return self._answer(views.corp_view(self.wecom, self._corp(request), secrets=secrets))

    async def person(self, request: Request) -> Response:
        """Contacts and groups on a person's phone."""
        return self._answer(views.person_view(self.wecom, self.sim.world.person(request.path_params["person"])))

    async def chat(self, request: Request) -> Response:
        """Entries of a chat with a member (``userid``) or of a group (``chat_id``); ``since`` an entry."""
        corp, person = self._corp(request), self.sim.world.person(request.path_params["person"])
        params = request.query_params
        since = int(params.get("since", 0))
        if params.get("chat_id"):
            chat = corp.chat(params["chat_id"])
            rows, relation = chat.entries, None
        else:
            held = [corp.relation(params.get("userid", ""), item) for item in self.wecom.ids_of(corp, person)]
            known = next((item for item in held if item is not None), None)
            if known is None:
                raise HTTPException(404, "this member of staff is no contact")
            rows, relation = known.entries, views.relation_view(self.wecom, corp, known)
        names = {userid: member.name for userid, member in corp.staff.items()}
        names |= {
            item: self.sim.world.people[item].nickname
            for item in {row["from"] for row in rows} - set(names)
            if item in self.sim.world.people
        }
        entries = [row for row in rows if row["n"] > since]
        return self._answer({"entries": entries, "relation": relation, "names": names, "version": self.sim.bus.version})

    async def person_acts(self, request: Request) -> Response:
        """``{act, …}`` of a customer."""
        data = await self._body(request)
        corp, person = self._corp(request), self.sim.world.person(request.path_params["person"])
        run = acts.PERSON_ACTS.get(str(data.pop("act", "")))
        if run is None:
            raise ActError(f"unknown act; known: {sorted(acts.PERSON_ACTS)}")
        result = await run(self.wecom, corp, person, data)
        self.sim.bus.bump("wecom", person.id, corp.corpid)
        return self._answer({**result, "version": self.sim.bus.version})

    async def staff_acts(self, request: Request) -> Response:
        """``{act, …}`` of a member of staff."""
        data = await self._body(request)
        corp = self._corp(request)
        member = corp.member(request.path_params["userid"])
        run = acts.STAFF_ACTS.get(str(data.pop("act", "")))
        if run is None:
            raise ActError(f"unknown act; known: {sorted(acts.STAFF_ACTS)}")
        result = await run(self.wecom, corp, member, data)
        self.sim.bus.bump("wecom", None, corp.corpid)
        return self._answer({**result, "version": self.sim.bus.version})

    async def put_staff(self, request: Request) -> Response:
        """A member in the console, new or changed."""
        return self._answer(await acts.put_staff(self.wecom, self._corp(request), await self._body(request)))

    async def put_tags(self, request: Request) -> Response:
        """Tags in the console."""
        return self._answer(await acts.console_tags(self.wecom, self._corp(request), await self._body(request)))

    async def verify(self, request: Request) -> Response:
        """The GET that saving the callback of an application makes."""
        agent = self._corp(request).agents[request.path_params["agentid"]]
        return self._answer(await self.wecom.pushes.verify_url(agent))

    async def truth(self, request: Request) -> Response:
        """What is true of every relation, task, code and transfer: for tests."""
        corp = self._corp(request)
        rows = [
            {**views.relation_view(self.wecom, corp, relation), "person": relation.person, "talked": relation.talked}
            for held in corp.relations.values()
            for relation in held.values()
        ]
        welcomes = [
            {"code": item.code, "at": item.at, "used_at": item.used_at, "used_by": item.used_by}
            for item in corp.welcomes.values()
        ]
        now = self.sim.clock.now()
        return self._answer(
            {
                "relations": rows,
                "welcomes": welcomes,
                "received": corp.received,
                "blocked": self.wecom.frequency.view(now),
                "pending": [[item.person, item.pending_id, item.at] for item in corp.pendings.values()],
            }
        )
