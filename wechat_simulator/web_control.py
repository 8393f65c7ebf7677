"""What people and administrators answer by hand: web sign-in on the phone, mass sends that wait for a yes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from wechat_simulator.web_logins import PageError

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation


class WebControl:
    """The endpoints under ``/_sim/web_logins`` and ``/_sim/mass``."""

    def __init__(self, sim: Simulation, answer: Callable[[Any], JSONResponse]) -> None:
        self.sim = sim
        self._answer = answer

    def routes(self) -> list[BaseRoute]:
        """Path table; README.md describes each."""
        return [
            Route("/_sim/web_logins", self.answer_page, methods=["POST"]),
            Route("/_sim/mass", self.jobs, methods=["GET"]),
            Route("/_sim/mass/{msg_id:int}/confirm", self.confirm, methods=["POST"]),
        ]

    async def answer_page(self, request: Request) -> Response:
        """The form of the page: allow, refuse, or come in without a tap (快照页)."""
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        said = form.pop("answer", "")
        person = self.sim.world.person(form.get("sim_person", ""))
        if said == "refuse":
            return HTMLResponse(
                '<!doctype html><meta charset="utf-8"><p data-testid="oauth-refused">已拒绝，网页得不到 code</p>'
            )
        try:
            where = self.sim.web_logins.say_yes(form, person, snapshot=said == "snapshot")
        except PageError as error:
            raise HTTPException(400, str(error)) from error
        return RedirectResponse(where, status_code=303)

    async def jobs(self, request: Request) -> Response:
        """Mass sends, newest first; ``appid`` keeps one account's."""
        appid = request.query_params.get("appid", "")
        rows = [job.view() for job in reversed(self.sim.mass.jobs.values()) if not appid or job.appid == appid]
        return self._answer({"jobs": rows[:200], "total": len(rows)})

    async def confirm(self, request: Request) -> Response:
        """The administrator's answer to a send to everybody: ``{yes}``."""
        data = json.loads(await request.body() or b"{}")
        msg_id = request.path_params["msg_id"]
        if msg_id not in self.sim.mass.jobs or not isinstance(data, dict):
            raise HTTPException(400, "no such mass send")
        return self._answer(self.sim.mass.confirm(msg_id, yes=bool(data.get("yes", True))).view())
