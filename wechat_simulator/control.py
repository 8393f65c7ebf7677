"""The control API under ``/_sim``, its event stream, and the static files of the phone page."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from wechat_simulator import menus, windows
from wechat_simulator.api.codes import picture, read_picture
from wechat_simulator.clock import parse_moment
from wechat_simulator.component_control import ComponentControl
from wechat_simulator.faults import FaultError
from wechat_simulator.pay.control import PayControl, merchant_view
from wechat_simulator.people import ACTS, ActError
from wechat_simulator.places import PLACES
from wechat_simulator.reactions import CrowdControl
from wechat_simulator.simulation import Simulation
from wechat_simulator.web_control import WebControl
from wechat_simulator.wecom.control import WeComControl
from wechat_simulator.wecom.views import corp_view
from wechat_simulator.world import Account, Code, Fan, Person, WorldError

MAX_PICTURE = 10 * 1024 * 1024
PHONE = Path(__file__).with_name("phone")
STREAM_PAUSE = 0.1
HEARTBEAT = 15.0
Endpoint = Callable[[Request], Awaitable[Response]]


class Json(JSONResponse):
    """Chinese text as it is."""

    def render(self, content: Any) -> bytes:
        """UTF-8 without escapes."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def account_view(sim: Simulation, account: Account, *, secrets: bool = False) -> dict[str, Any]:
    """An account for the control API; secrets only when asked for (the demo loader needs them)."""
    row: dict[str, Any] = {
        "appid": account.appid,
        "kind": account.kind,
        "name": account.name,
        "original_id": account.original_id,
        "subject": account.subject,
        "callback_url": account.callback_url,
        "mode": account.mode,
        "format": account.format,
        "verified": account.verified,
        "banned": account.banned,
        "followers": sum(fan.subscribed for fan in account.fans.values()),
        "templates": [
            {"template_id": item.template_id, "title": item.title, "content": item.content, "keys": list(item.keys)}
            for item in account.templates.values()
        ],
        "notices": [
            {"template_id": item.template_id, "title": item.title, "content": item.content, "kind": item.kind}
            for item in account.notices.values()
        ],
        "tags": [{"id": tag.id, "name": tag.name, "count": len(tag.members)} for tag in account.tags.values()],
        "menu": account.menu,
        "conditional": [
            {"menuid": menu.menuid, "button": menu.buttons, "matchrule": menu.matchrule} for menu in account.conditional
        ],
        "codes": len(account.codes),
        "oauth_domains": list(account.oauth_domains),
        "mini_programs": sorted(sim.world.mini_programs_of(account)),
    }
    if secrets:
        row |= {"secret": account.secret, "token": account.token, "aes_key": account.aes_key}
    return row


def person_view(sim: Simulation, person: Person) -> dict[str, Any]:
    """A person with the relation to every account."""
    now = sim.clock.now()
    return {
        "id": person.id,
        "nickname": person.nickname,
        "phone": person.phone,
        "platform": person.platform,
        "ignores": person.ignores,
        "flagged": person.flagged,
        "location": person.location,
        "unionids": {
            item: sim.world.unionid(_of_subject(sim, item), person) for item in sim.world.subjects if _has(sim, item)
        },
        "accounts": {appid: fan_view(fan, now) for appid, fan in person.fans.items()},
    }


def _has(sim: Simulation, subject: str) -> bool:
    return any(account.subject == subject for account in sim.world.accounts.values())


def _of_subject(sim: Simulation, subject: str) -> Account:
    return next(account for account in sim.world.accounts.values() if account.subject == subject)


def fan_view(fan: Fan, now: float) -> dict[str, Any]:
    """A relation."""
    return {
        "openid": fan.openid,
        "subscribed": fan.subscribed,
        "subscribe_time": fan.at if fan.subscribed else None,
        "scene": fan.scene,
        "blocked": fan.refuses,
        "blacklisted": fan.blacklisted,
        "remark": fan.remark,
        "tags": list(fan.tags),
        "windows": windows.view(fan, now),
        "consents": dict(fan.consents or {}),
        "unread": fan.unread,
        "typing": fan.typing_until > now,
    }


def code_view(code: Code, now: float) -> dict[str, Any]:
    """A code that was issued."""
    return {
        "ticket": code.ticket,
        "appid": code.appid,
        "action_name": code.action_name,
        "scene": code.scene,
        "name": code.name,
        "url": code.url,
        "created_at": code.created_at,
        "expires_at": code.expires_at,
        "expired": code.expires_at is not None and code.expires_at <= now,
    }


class Control:
    """The endpoints."""

    def __init__(self, sim: Simulation, state_dir: Path | None) -> None:
        self.sim = sim
        self.state_dir = state_dir

    def routes(self) -> list[BaseRoute]:
        """Path table of the control API; README.md describes each."""
        table: list[tuple[str, str, Endpoint]] = [
            ("GET", "/health", self.health),
            ("GET", "/world", self.world),
            ("POST", "/world", self.merge_world),
            ("GET", "/accounts", self.accounts),
            ("GET", "/accounts/{appid}", self.account),
            ("POST", "/accounts/{appid}/verify", self.verify),
            ("GET", "/people", self.people),
            ("POST", "/people", self.new_person),
            ("GET", "/people/{person}", self.person),
            ("GET", "/people/{person}/conversation", self.conversation),
            ("GET", "/people/{person}/menu", self.menu),
            ("GET", "/people/{person}/shares", self.shared),
            ("POST", "/people/{person}/act", self.act),
            ("POST", "/crowd", self.crowd),
            ("GET", "/media/{media_id}", self.media),
            ("GET", "/places", self.places),
            ("POST", "/texts", self.take_text),
            ("GET", "/texts", self.texts),
            ("GET", "/codes", self.codes),
            ("POST", "/codes/name", self.name_code),
            ("GET", "/codes/picture", self.code_picture),
            ("POST", "/codes/read", self.read_codes),
            ("GET", "/clock", self.clock),
            ("POST", "/clock", self.move_clock),
            ("GET", "/faults", self.faults),
            ("POST", "/faults", self.add_fault),
            ("DELETE", "/faults", self.clear_faults),
            ("DELETE", "/faults/{fault}", self.clear_fault),
            ("GET", "/truth", self.truth),
            ("GET", "/truth/summary", self.truth_summary),
            ("POST", "/truth/compare", self.compare),
            ("GET", "/calls", self.calls),
            ("GET", "/pushes", self.pushes),
            ("POST", "/pushes/replay", self.replay),
            ("POST", "/settle", self.settle),
            ("GET", "/switches", self.switches),
            ("POST", "/switches", self.set_switches),
            ("GET", "/quotas", self.quotas),
            ("POST", "/quotas", self.set_quota),
            ("POST", "/tokens/kill", self.kill_tokens),
            ("POST", "/save", self.save),
            ("GET", "/events", self.events),
        ]
        return [Route("/_sim" + path, endpoint, methods=[method]) for method, path, endpoint in table]

    @staticmethod
    async def _body(request: Request) -> dict[str, Any]:
        raw = await request.body()
        try:
            value = json.loads(raw or b"{}")
        except ValueError as error:
            raise HTTPException(400, "the body is not JSON") from error
        if not isinstance(value, dict):
            raise HTTPException(400, "the body is not a JSON object")
        return value

    def _fan(self, request: Request) -> Fan:
        person = self.sim.world.person(request.path_params["person"])
        return self.sim.world.fan(self._account(request), person)

    def _account(self, request: Request) -> Account:
        appid = request.query_params.get("appid", "")
        if not appid and self.sim.world.accounts:
            return next(iter(self.sim.world.accounts.values()))
        return self.sim.world.account(appid)

    async def health(self, _request: Request) -> Response:
        """Alive, and how much there is."""
        world, truth = self.sim.world, self.sim.truth
        return Json(
            {
                "status": "ok",
                "version": self.sim.bus.version,
                "accounts": len(world.accounts),
                "people": len(world.people),
                "calls": truth.call_count,
                "sent": len(truth.sent),
                "mix_ups": self.sim.mix_ups,
            }
        )

    async def world(self, request: Request) -> Response:
        """Subjects, accounts, number of people, acts and places."""
        secrets = request.query_params.get("secrets") == "1"
        return Json(
            {
                "seed": self.sim.world.seed,
                "subjects": [{"id": item.id, "name": item.name} for item in self.sim.world.subjects.values()],
                "accounts": [
                    account_view(self.sim, item, secrets=secrets) for item in self.sim.world.accounts.values()
                ],
                "people": len(self.sim.world.people),
                "acts": sorted(ACTS),
            }
        )

    async def merge_world(self, request: Request) -> Response:
        """Merge a description; answers what was named, accounts with their secrets."""
        done = self.sim.merge_world(await self._body(request))
        accounts = [account_view(self.sim, self.sim.world.accounts[item], secrets=True) for item in done["accounts"]]
        people = [person_view(self.sim, self.sim.world.people[item]) for item in done["people"]]
        corps = [corp_view(self.sim.wecom, self.sim.wecom.corps[item], secrets=True) for item in done["corps"]]
        merchants = [merchant_view(self.sim, self.sim.pay.merchants[item], secrets=True) for item in done["merchants"]]
        answer = {"accounts": accounts, "people": people, "crowds": done["crowds"]}
        return Json({**answer, "corps": corps, "merchants": merchants})

    async def accounts(self, _request: Request) -> Response:
        """All accounts."""
        return Json({"accounts": [account_view(self.sim, item) for item in self.sim.world.accounts.values()]})

    async def account(self, request: Request) -> Response:
        """One account."""
        secrets = request.query_params.get("secrets") == "1"
        return Json(account_view(self.sim, self.sim.world.account(request.path_params["appid"]), secrets=secrets))

    async def verify(self, request: Request) -> Response:
        """Make the GET with echostr that saving the server configuration makes."""
        return Json(await self.sim.pushes.verify_url(self.sim.world.account(request.path_params["appid"])))

    async def people(self, request: Request) -> Response:
        """People, searched by ``q``; ``appid`` keeps those who follow it; ``limit`` (100), ``offset``."""
        params = request.query_params
        text, appid = params.get("q", ""), params.get("appid", "")
        limit, offset = int(params.get("limit", 100)), int(params.get("offset", 0))
        found = [
            person
            for person in self.sim.world.people.values()
            if (not text or text in person.nickname or text in person.id or text in person.phone)
            and (not appid or (appid in person.fans and person.fans[appid].subscribed))
        ]
        rows = [person_view(self.sim, person) for person in found[offset : offset + limit]]
        return Json({"people": rows, "total": len(found), "version": self.sim.bus.version})

    async def new_person(self, request: Request) -> Response:
        """A new person: ``{id?, nickname, phone?}``."""
        data = await self._body(request)
        data.setdefault("id", f"p{self.sim.world.number():06d}")
        done = self.sim.merge_world({"people": [data]})
        return Json(person_view(self.sim, self.sim.world.people[done["people"][0]]))

    async def person(self, request: Request) -> Response:
        """One person by id or nickname."""
        return Json(person_view(self.sim, self.sim.world.person(request.path_params["person"])))

    async def conversation(self, request: Request) -> Response:
        """The chat with one account: newest entries above ``since``."""
        fan = self._fan(request)
        params = request.query_params
        entries = self.sim.conversations.view(fan, int(params.get("since", 0)), int(params.get("limit", 200)))
        now = self.sim.clock.now()
        answer = {"appid": fan.account.appid, "name": fan.account.name, "relation": fan_view(fan, now)}
        return Json({**answer, "entries": entries, "version": self.sim.bus.version})

    async def menu(self, request: Request) -> Response:
        """The menu on this person's screen, and the one the servers hold for the person now."""
        fan = self._fan(request)
        switches = self.sim.switches
        seen = menus.seen_menu(fan, self.sim.clock.now(), switches.menu_refresh_seconds)
        newest, menuid = menus.menu_for(fan)
        refresh_at = fan.menu_at + switches.menu_refresh_seconds
        return Json({"button": seen, "newest": newest, "menuid": menuid, "refreshes_at": refresh_at})

    async def shared(self, request: Request) -> Response:
        """What others forwarded to this person, newest first."""
        person = self.sim.world.person(request.path_params["person"])
        return Json({"shares": self.sim.shares.of(person)[:50], "version": self.sim.bus.version})

    async def act(self, request: Request) -> Response:
        """``{"act": name, "appid": …, …}`` → what the person saw, after the push was answered."""
        data = await self._body(request)
        person = self.sim.world.person(request.path_params["person"])
        name = str(data.pop("act", ""))
        appid = str(data.pop("appid", ""))
        if not appid and (data.get("ticket") or data.get("url")) and name in ("scan", "follow"):
            appid = self.sim.people.find_code(data, None).appid
        account = self.sim.world.account(appid)
        return Json(await self.sim.people.do(person, account, name, data))

    async def crowd(self, request: Request) -> Response:
        """Many people act at once: ``{"appid", "act", "prefix", "count", "fields"?, "concurrency"?}``.

        The people are those of a crowd (``prefix`` 000001 …). Answers how the pushes ended, and what was refused.
        """
        data = await self._body(request)
        account = self.sim.world.account(str(data.get("appid", "")))
        name, fields = str(data.get("act", "")), dict(data.get("fields", {}))
        people = [self.sim.world.person(f"{data['prefix']}{number:06d}") for number in range(1, int(data["count"]) + 1)]
        slots = asyncio.Semaphore(int(data.get("concurrency", 64)))
        outcomes: Counter[str] = Counter()

        async def one(person: Person) -> None:
            async with slots:
                try:
                    done = await self.sim.people.do(person, account, name, dict(fields))
                except ActError as error:
                    outcomes[str(error)] += 1
                else:
                    outcomes.update(push["outcome"] for push in done["pushes"])

        started = time.monotonic()
        await asyncio.gather(*(one(person) for person in people))
        return Json({"outcomes": dict(outcomes), "seconds": round(time.monotonic() - started, 3)})

    async def media(self, request: Request) -> Response:
        """The bytes of a media id, for the phone page."""
        media = self.sim.media.find(request.path_params["media_id"], self.sim.clock.now())
        if media is None:
            raise HTTPException(404, "unknown or expired media")
        return Response(media.body, media_type=media.content_type)

    async def places(self, _request: Request) -> Response:
        """Named places."""
        return Json({"places": [place._asdict() for place in PLACES]})

    async def take_text(self, request: Request) -> Response:
        """A text message of somebody who is not WeChat; whoever has the phone sees it in their conversations."""
        body = await self._body(request)
        phone, text = str(body.get("phone", "")), str(body.get("text", ""))[:500]
        if not phone or not text:
            raise HTTPException(400, "phone and text are needed")
        at = self.sim.clock.now()
        self.sim.texts.append({"phone": phone, "text": text, "at": at})
        for person in self.sim.world.people.values():
            if person.phone and person.phone == phone.removeprefix("+86"):
                for fan in person.fans.values():
                    self.sim.conversations.system(fan, f"短信：{text}", at)
        return Json({"taken": True})

    async def texts(self, request: Request) -> Response:
        """Text messages, newest first; with ``phone`` those to one phone."""
        phone = request.query_params.get("phone", "")
        rows = [row for row in reversed(self.sim.texts) if not phone or row["phone"] == phone]
        return Json({"texts": rows})

    async def codes(self, request: Request) -> Response:
        """Codes issued by an account or all, newest first."""
        appid = request.query_params.get("appid", "")
        now, limit = self.sim.clock.now(), int(request.query_params.get("limit", 200))
        pool = self.sim.world.account(appid).codes if appid else self.sim.world.tickets
        newest = list(pool.values())[::-1][:limit]
        return Json({"codes": [code_view(code, now) for code in newest], "total": len(pool)})

    async def name_code(self, request: Request) -> Response:
        """``{"appid", "scene", "name"}``: the words on the sign with this code."""
        data = await self._body(request)
        account = self.sim.world.account(str(data.get("appid", "")))
        account.code_names[str(data["scene"])] = str(data["name"])
        for code in account.codes.values():
            if code.scene == str(data["scene"]):
                code.name = str(data["name"])
        self.sim.bus.bump("codes", appid=account.appid)
        return Json({"named": True})

    async def code_picture(self, request: Request) -> Response:
        """PNG of an issued code by ``ticket``."""
        code = self.sim.world.tickets.get(request.query_params.get("ticket", ""))
        if code is None:
            raise HTTPException(404, "no such ticket")
        return Response(picture(code.url), media_type="image/png")

    async def read_codes(self, request: Request) -> Response:
        """What the QR codes of a picture say (the body is the picture): browsers without a reader of their own."""
        body = await request.body()
        if len(body) > MAX_PICTURE:
            raise HTTPException(413, "the picture is larger than 10 MB")
        try:
            return Json({"texts": await asyncio.to_thread(read_picture, body)})
        except ValueError as error:
            return Json({"texts": [], "problem": str(error)})

    async def clock(self, request: Request) -> Response:
        """The clock, and what becomes due (``until`` epoch or ``within`` seconds, default one day)."""
        params = request.query_params
        now = self.sim.clock.now()
        view = self.sim.clock.view()
        if "until" in params or "within" in params:
            until = float(params["until"]) if "until" in params else now + float(params["within"])
            view["due"] = self.sim.upcoming(until, int(params.get("limit", 50)))
        return Json(view)

    async def move_clock(self, request: Request) -> Response:
        """``set`` (epoch or ISO), ``advance`` seconds, ``rate``, ``pause``; due timers have run on return."""
        data = await self._body(request)
        clock = self.sim.clock
        if unknown := set(data) - {"set", "advance", "rate", "pause"}:
            raise HTTPException(400, f"unknown {sorted(unknown)}")
        if "set" in data:
            clock.set(parse_moment(data["set"]))
        if "advance" in data:
            clock.advance(float(data["advance"]))
        if "rate" in data:
            clock.set_rate(float(data["rate"]))
        if "pause" in data:
            clock.set_rate(0.0 if data["pause"] else 1.0)
        self.sim.timers.poke()
        await self.sim.timers.catch_up()
        self.sim.bus.bump("clock")
        return Json(clock.view())

    async def faults(self, _request: Request) -> Response:
        """Active faults."""
        return Json({"faults": self.sim.faults.view()})

    async def add_fault(self, request: Request) -> Response:
        """Add one."""
        fault = self.sim.faults.add(await self._body(request))
        self.sim.bus.bump("faults")
        return Json(fault.view())

    async def clear_faults(self, _request: Request) -> Response:
        """Remove all."""
        count = self.sim.faults.remove()
        self.sim.bus.bump("faults")
        return Json({"removed": count})

    async def clear_fault(self, request: Request) -> Response:
        """Remove one by id."""
        count = self.sim.faults.remove(request.path_params["fault"])
        self.sim.bus.bump("faults")
        return Json({"removed": count})

    async def truth(self, request: Request) -> Response:
        """Messages accepted and received, in pages; README.md has the filters."""
        params = request.query_params
        page = self.sim.truth.page(
            appid=params.get("appid", ""),
            kind=params.get("kind", ""),
            openid=params.get("openid", ""),
            since=int(params.get("since", 0)),
            limit=int(params.get("limit", 10_000)),
            only_received=params.get("received") == "1",
        )
        return Json(page)

    async def truth_summary(self, request: Request) -> Response:
        """Counts per account, calls per result, pushes per outcome; ``person`` adds what that person received."""
        params = request.query_params
        refused = [
            {"appid": key[0], "path": key[1], "errcode": key[2], "count": count}
            for key, count in self.sim.quotas.refused.items()
        ]
        answer: dict[str, Any] = {
            "messages": self.sim.truth.summary(params.get("appid", "")),
            "calls": self.sim.truth.call_count,
            "pushes": self.sim.pushes.counts,
            "quota_refusals": refused,
            "mix_ups": self.sim.mix_ups,
        }
        if params.get("person"):
            person = self.sim.world.person(params["person"])
            received = [sent for fan in person.fans.values() for sent in self.sim.truth.by_person.get(fan.openid, ())]
            received.sort(key=lambda sent: sent.n)
            answer["person"] = {
                "id": person.id,
                "received": len(received),
                "visible_duplicates": sum(sent.same_content for sent in received),
                "rows": [sent.view() for sent in received[-100:]],
            }
        return Json(answer)

    async def compare(self, request: Request) -> Response:
        """``{"appid", "key": "msgid"|"client_msg_id", "rows": […]}``: a sender's report against the truth."""
        data = await self._body(request)
        key = data.get("key", "msgid")
        if key not in ("msgid", "client_msg_id"):
            raise HTTPException(400, "key is msgid or client_msg_id")
        return Json(self.sim.truth.compare(str(data["appid"]), data["rows"], key))

    async def calls(self, request: Request) -> Response:
        """The request log: ``appid``, ``path``, ``result``, ``since``, ``limit``."""
        params = request.query_params
        rows = self.sim.truth.calls_page(
            appid=params.get("appid", ""),
            path=params.get("path", ""),
            result=params.get("result", ""),
            since=int(params.get("since", 0)),
            limit=int(params.get("limit", 1000)),
        )
        return Json({"calls": rows, "total": self.sim.truth.call_count})

    async def pushes(self, request: Request) -> Response:
        """The push log, newest last: ``appid``, ``openid``, ``kind``, ``since``, ``limit``."""
        params = request.query_params
        since, limit = int(params.get("since", 0)), int(params.get("limit", 200))
        rows: list[dict[str, Any]] = []
        for push in reversed(self.sim.pushes.log):
            if push.n <= since or len(rows) == limit:
                break
            wanted = {"appid": push.appid, "openid": push.openid, "kind": push.kind}
            if all(not params.get(name) or params[name] == value for name, value in wanted.items()):
                rows.append(push.view())
        return Json({"pushes": rows[::-1], "counts": self.sim.pushes.counts})

    async def replay(self, request: Request) -> Response:
        """``{"n": number of a push}``: deliver the same push once more."""
        wanted = (await self._body(request)).get("n")
        push = next((item for item in self.sim.pushes.log if item.n == wanted), None)
        if push is None:
            raise HTTPException(404, "no such push")
        await self.sim.pushes.deliver(push, self.sim.world.fans[push.openid])
        return Json(push.view())

    async def settle(self, request: Request) -> Response:
        """Wait until due timers ran and no push is on its way (``timeout`` real seconds, default 30)."""
        data = await self._body(request)
        await self.sim.timers.catch_up()
        return Json({"settled": await self.sim.pushes.settle(float(data.get("timeout", 30)))})

    async def switches(self, _request: Request) -> Response:
        """All switches."""
        return Json(self.sim.switches.view())

    async def set_switches(self, request: Request) -> Response:
        """Change some."""
        self.sim.switches.change(await self._body(request))
        return Json(self.sim.switches.view())

    async def quotas(self, _request: Request) -> Response:
        """Used and limits of today."""
        return Json({"quotas": self.sim.quotas.used(self.sim.clock.now())})

    async def set_quota(self, request: Request) -> Response:
        """``{"appid", "path", "per_day"?, "per_minute"?}``: an account's own limit."""
        data = await self._body(request)
        account = self.sim.world.account(str(data.get("appid", "")))
        limit = {"per_day": data.get("per_day"), "per_minute": data.get("per_minute")}
        account.quotas[str(data["path"])] = limit
        self.sim.quotas.set_limit(account.appid, str(data["path"]), limit["per_day"], limit["per_minute"])
        return Json({"set": True})

    async def kill_tokens(self, request: Request) -> Response:
        """``{"appid", "expire"?: bool}``: end all living tokens (40001, or 42001 with expire)."""
        data = await self._body(request)
        count = self.sim.tokens.kill(str(data.get("appid", "")), self.sim.clock.now(), expire=bool(data.get("expire")))
        return Json({"killed": count})

    async def save(self, _request: Request) -> Response:
        """Write the state file now."""
        if self.state_dir is None:
            raise HTTPException(400, "started without --state-dir")
        return Json({"file": str(self.sim.save(self.state_dir))})

    async def events(self, request: Request) -> Response:
        """Server-sent events: ``change`` with ``{"version", "kinds", "appids"}``; ``person`` narrows."""
        person = request.query_params.get("person")
        if person:
            person = self.sim.world.person(person).id
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        return StreamingResponse(self._stream(person or None), media_type="text/event-stream", headers=headers)

    async def _stream(self, person: str | None) -> AsyncIterator[str]:
        bus = self.sim.bus
        subscriber = bus.subscribe(person)
        try:
            yield f"event: hello\ndata: {json.dumps({'version': bus.version})}\n\n"
            while not bus.closed:
                try:
                    await asyncio.wait_for(subscriber.changed.wait(), HEARTBEAT)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                kinds, appids = subscriber.take()
                data = {"version": bus.version, "kinds": kinds, "appids": appids}
                yield f"id: {bus.version}\nevent: change\ndata: {json.dumps(data)}\n\n"
                await asyncio.sleep(STREAM_PAUSE)
        finally:
            bus.unsubscribe(subscriber)


async def _root(_request: Request) -> Response:
    return RedirectResponse("/phone/")


async def _bad_request(_request: Request, error: Exception) -> Response:
    return Json({"error": str(error) or type(error).__name__}, status_code=400)


async def _http_error(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return Json({"error": error.detail if isinstance(error, HTTPException) else str(error)}, status_code=status)


def control_app(sim: Simulation, state_dir: Path | None) -> Starlette:
    """The Starlette application for everything that is not WeChat's."""
    routes = Control(sim, state_dir).routes()
    routes += ComponentControl(sim, Json).routes()
    routes += WebControl(sim, Json).routes()
    routes += WeComControl(sim, Json).routes()
    routes += CrowdControl(sim, Json).routes()
    routes += PayControl(sim, Json).routes()
    routes.append(Route("/", _root))
    if PHONE.is_dir():
        routes.append(Mount("/phone", StaticFiles(directory=PHONE, html=True)))
    handlers: dict[Any, Any] = {
        WorldError: _bad_request,
        ActError: _bad_request,
        FaultError: _bad_request,
        ValueError: _bad_request,
        KeyError: _bad_request,
        HTTPException: _http_error,
    }
    return Starlette(routes=routes, exception_handlers=handlers)
