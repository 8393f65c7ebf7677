"""The control API of third-party platforms, and WeChat's full-network release check played (reference: 7.7)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from wechat_simulator.api.component import return_to

if TYPE_CHECKING:
    from wechat_simulator.components import Component
    from wechat_simulator.simulation import Simulation

TESTER = "wx570bc396a51b8ff8"
TESTER_ORIGINAL_ID = "gh_3c884a361561"


class ComponentControl:
    """The endpoints under ``/_sim/components``."""

    def __init__(self, sim: Simulation, answer: Callable[[Any], JSONResponse]) -> None:
        self.sim = sim
        self._answer = answer

    def routes(self) -> list[BaseRoute]:
        """Path table; README.md describes each."""
        return [
            Route("/_sim/components", self.list, methods=["GET"]),
            Route("/_sim/components/login", self.login, methods=["POST"]),
            Route("/_sim/components/{appid}/ticket", self.ticket, methods=["POST"]),
            Route("/_sim/components/{appid}/authorize", self.authorize, methods=["POST"]),
            Route("/_sim/components/{appid}/unauthorize", self.unauthorize, methods=["POST"]),
            Route("/_sim/components/{appid}/release_check", self.release_check, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """Every platform, who authorised it, and the events sent to it."""
        secrets = bool(request.query_params.get("secrets"))
        rows = [self._view(component, secrets=secrets) for component in self.sim.components.known.values()]
        return self._answer({"components": rows, "events": self.sim.components.log[-200:]})

    async def login(self, request: Request) -> Response:
        """The form of the authorisation page: say yes, and send the browser back with the code."""
        form = parse_qs((await request.body()).decode())
        component = self.sim.components.get(form.get("component_appid", [""])[0])
        code = form.get("pre_auth_code", [""])[0]
        if component.pre_auth.pop(code, 0.0) <= self.sim.clock.now():
            raise HTTPException(400, "the pre-authorisation code is used or over")
        account = self.sim.world.account(form.get("account", [""])[0])
        sets = [int(each) for each in form.get("sets", [])]
        auth_code = self.sim.components.authorize(component, account, sets, code)
        return RedirectResponse(return_to(form.get("redirect_uri", [""])[0], auth_code), status_code=303)

    async def ticket(self, request: Request) -> Response:
        """Push a ticket now, and wait for the answer."""
        component = self.sim.components.get(request.path_params["appid"])
        self.sim.components.push_ticket(component)
        await self.sim.pushes.settle(30)
        return self._answer({"ticket_at": component.ticket_at, "outcome": self.sim.components.log[-1]["outcome"]})

    async def authorize(self, request: Request) -> Response:
        """An administrator authorises without a browser: ``{account, sets?, pre_auth_code?}`` gives the code."""
        data = await self._body(request)
        component = self.sim.components.get(request.path_params["appid"])
        account = self.sim.world.account(str(data["account"]))
        sets = [int(each) for each in data.get("sets", component.sets)]
        code = self.sim.components.authorize(component, account, sets, str(data.get("pre_auth_code", "")))
        await self.sim.pushes.settle(30)
        return self._answer({"auth_code": code})

    async def unauthorize(self, request: Request) -> Response:
        """An administrator takes the authorisation back: ``{account}``."""
        data = await self._body(request)
        component = self.sim.components.get(request.path_params["appid"])
        self.sim.components.unauthorize(component, self.sim.world.account(str(data["account"])))
        await self.sim.pushes.settle(30)
        return self._answer({})

    async def release_check(self, request: Request) -> Response:
        """Play the check: ticket and text; the answer through the API comes into the chat a little later."""
        component = self.sim.components.get(request.path_params["appid"])
        self.sim.world.merge(
            {
                "accounts": [{"appid": TESTER, "original_id": TESTER_ORIGINAL_ID, "name": "全网发布检测"}],
                "people": [{"id": "release-tester", "nickname": "检测员", "phone": "13800000000", "follows": [TESTER]}],
            },
            self.sim.clock.now(),
        )
        account = self.sim.world.account(TESTER)
        fan = self.sim.world.fan(account, self.sim.world.person("release-tester"))
        account.component, account.granted = component, list(component.sets)
        code = self.sim.components.serial(component, "queryauthcode")
        component.auth_codes[code] = [TESTER, self.sim.clock.now() + 600, False]
        self.sim.components.push_ticket(component)
        await self.sim.pushes.settle(30)
        found: dict[str, Any] = {"ticket": self.sim.components.log[-1]["outcome"], "code": code}
        for name, content in (("text", "TESTCOMPONENT_MSG_TYPE_TEXT"), ("query", f"QUERY_AUTH_CODE:{code}")):
            result = await self.sim.people.do(fan.person, account, "text", {"content": content})
            push = result["pushes"][-1]
            found[name] = push["reply"]["content"] if push["reply"] else push["outcome"]
        return self._answer(found)

    async def _body(self, request: Request) -> dict[str, Any]:
        value = json.loads(await request.body() or b"{}")
        if not isinstance(value, dict):
            raise HTTPException(400, "the body is not a JSON object")
        return value

    def _view(self, component: Component, *, secrets: bool) -> dict[str, Any]:
        row: dict[str, Any] = {
            "appid": component.appid,
            "name": component.name,
            "events_url": component.events_url,
            "messages_url": component.messages_url,
            "sets": component.sets,
            "ticket_at": component.ticket_at,
            "accounts": {
                account.appid: account.granted
                for account in self.sim.world.accounts.values()
                if account.component is component
            },
        }
        if secrets:
            row |= {"secret": component.secret, "token": component.token, "aes_key": component.aes_key}
        return row
