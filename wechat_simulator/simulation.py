"""The whole simulated WeChat in one object: every part, wired together."""

from __future__ import annotations

import json
import random
from collections import OrderedDict, deque
from pathlib import Path
from typing import Any

from wechat_simulator.api.media import MediaStore
from wechat_simulator.api.notices import finish as finish_notice
from wechat_simulator.api.templates import ClientMessages, finish
from wechat_simulator.bus import Bus
from wechat_simulator.clock import Clock, Timers, next_midnight
from wechat_simulator.components import Components
from wechat_simulator.conversations import Conversations
from wechat_simulator.errors import RequestIds
from wechat_simulator.faults import Faults
from wechat_simulator.mass import Mass
from wechat_simulator.pay.orders import Pay
from wechat_simulator.people import People
from wechat_simulator.pushes import Pushes
from wechat_simulator.quotas import Quotas
from wechat_simulator.reactions import Crowds
from wechat_simulator.shares import Shares
from wechat_simulator.switches import Switches
from wechat_simulator.tokens import Tokens
from wechat_simulator.truth import Truth
from wechat_simulator.web_logins import WebLogins
from wechat_simulator.wecom.service import WeCom
from wechat_simulator.world import DEFAULT_SEED, World

STATE_FILE = "simulator.json"
STATE_VERSION = 1
FIRST_MSGID = 3412345678901234567  # beyond 2^53 on purpose (reference: service account 5)
KEEP_TEXTS = 1_000
KEEP_RIDS = 10_000


class Simulation:
    """State and parts; no HTTP here."""

    def __init__(
        self, *, seed: str = DEFAULT_SEED, clock: Clock | None = None, switches: Switches | None = None
    ) -> None:
        self.switches = switches or Switches()
        self.clock = clock or Clock()
        self.random = random.Random(seed)
        self.bus = Bus()
        self.timers = Timers(self.clock)
        self.world = World(seed)
        self.tokens = Tokens(seed, self.switches)
        self.quotas = Quotas()
        self.faults = Faults()
        self.truth = Truth(self.switches.keep_calls)
        self.conversations = Conversations(self)
        self.pushes = Pushes(self)
        self.people = People(self)
        self.components = Components(self)
        self.pay = Pay(self)
        self.shares = Shares(self)
        self.media = MediaStore()
        self.client_messages = ClientMessages(self)
        self.mass = Mass(self)
        self.drafts: dict[str, tuple[str, list[dict[str, Any]]]] = {}  # appid and articles, by media_id
        self.web_logins = WebLogins(self)
        self.wecom = WeCom(self)
        self.crowds = Crowds(self)
        self.request_ids = RequestIds()
        self.rids: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.short_keys: dict[str, tuple[str, str, float, float]] = {}
        self.texts: deque[dict[str, Any]] = deque(maxlen=KEEP_TEXTS)  # text messages, which WeChat has no part in
        self.mix_ups = 0  # calls with the openid of another account
        self._msgid = FIRST_MSGID
        self.timers.on("template_finish", lambda due, msgid: finish(self, due, msgid))
        self.timers.on("notice_finish", lambda due, msgid: finish_notice(self, due, msgid))

    def new_msgid(self) -> int:
        """64-bit, growing."""
        self._msgid += 1
        return self._msgid

    def merge_world(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Merge a description and make its quotas count."""
        apart = {name: spec.get(name, ()) for name in ("components", "corps", "merchants")}
        done = self.world.merge({key: value for key, value in spec.items() if key not in apart}, self.clock.now())
        done["corps"] = [self.wecom.put(item, self.clock.now()).corpid for item in apart["corps"]]
        done["components"] = [self.components.put(item).appid for item in apart["components"]]
        done["merchants"] = [self.pay.put(item).mchid for item in apart["merchants"]]
        for appid in done["accounts"]:
            for path, limit in self.world.accounts[appid].quotas.items():
                self.quotas.set_limit(appid, path, limit.get("per_day"), limit.get("per_minute"))
        for item in spec.get("crowds", ()):
            self.crowds.put(item)
        self.bus.bump("world")
        return done

    def remember_rid(self, rid: str, row: dict[str, Any]) -> None:
        """For openapi/rid/get."""
        self.rids[rid] = row
        if len(self.rids) > KEEP_RIDS:
            self.rids.popitem(last=False)

    def upcoming(self, until: float, limit: int = 50) -> dict[str, Any]:
        """Everything that becomes due up to a moment: timers, token and code ends, windows, the quota midnight."""
        now = self.clock.now()
        answer = self.timers.upcoming(until, limit)
        extra = [
            *self.tokens.upcoming(now, until),
            *(
                {"at": code.expires_at, "kind": "code_expires", "payload": {"appid": code.appid, "scene": code.scene}}
                for code in self.world.tickets.values()
                if code.expires_at is not None and now < code.expires_at <= until
            ),
            *(
                {
                    "at": window.until,
                    "kind": "window_closes",
                    "payload": {"appid": fan.account.appid, "person": fan.person.id},
                }
                for fan in self.world.fans.values()
                for window in (fan.windows or {}).values()
                if now < window.until <= until
            ),
            *(
                {"at": code.expires_at, "kind": f"{code.kind}_code_expires", "payload": {"person": code.fan.person.id}}
                for code in self.people.client_codes.values()
                if not code.used and now < code.expires_at <= until
            ),
        ]
        if next_midnight(now) <= until:
            extra.append({"at": next_midnight(now), "kind": "quotas_reset", "payload": {}})
        for item in extra:
            answer["kinds"][item["kind"]] = answer["kinds"].get(item["kind"], 0) + 1
        answer["count"] += len(extra)
        answer["items"] = sorted([*answer["items"], *extra], key=lambda item: float(item["at"]))[:limit]
        return answer

    # --- state file -----------------------------------------------------------------------------------------------

    def save(self, directory: Path) -> Path:
        """Write everything that must survive a restart; the file is replaced whole."""
        directory.mkdir(parents=True, exist_ok=True)
        target = directory / STATE_FILE
        data = {
            "version": STATE_VERSION,
            "clock": {"now": self.clock.now(), "rate": self.clock.rate},
            "msgid": self._msgid,
            "world": self.world.dump(),
            "components": self.components.dump(),
            "pay": self.pay.dump(),
            "shares": self.shares.rows,
            "tokens": self.tokens.dump(),
            "quotas": self.quotas.dump(),
            "truth": self.truth.dump(),
            "conversations": self.conversations.dump(),
            "client_messages": self.client_messages.dump(),
            "mass": self.mass.dump(),
            "wecom": self.wecom.dump(),
            "crowds": self.crowds.dump(),
            "drafts": {key: list(row) for key, row in self.drafts.items()},
            "short_keys": {key: list(row) for key, row in self.short_keys.items()},
            "timers": self.timers.dump(),
            "switches": self.switches.view(),
        }
        part = target.with_suffix(".part")
        part.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
        part.replace(target)
        return target

    def restore(self, directory: Path) -> bool:
        """Read a state file when there is one of this version. The clock goes on from where it stood."""
        source = directory / STATE_FILE
        if not source.exists():
            return False
        data = json.loads(source.read_text(encoding="utf-8"))
        if data["version"] != STATE_VERSION:
            return False
        known = self.switches.view()
        self.switches.change({name: value for name, value in data["switches"].items() if name in known})
        self.clock.set(data["clock"]["now"])
        self.clock.set_rate(data["clock"]["rate"])
        self._msgid = data["msgid"]
        self.world.load(data["world"])
        self.components.load(data.get("components", []))
        self.pay.load(data.get("pay", {}))
        self.shares.rows = data.get("shares", [])
        self.tokens.load(data["tokens"])
        self.quotas.load(data["quotas"])
        self.truth.load(data["truth"])
        self.conversations.load(data["conversations"])
        self.client_messages.load(data["client_messages"])
        self.mass.load(data.get("mass", {}))
        self.wecom.load(data.get("wecom", {}))
        self.crowds.load(data.get("crowds", []))
        self.drafts = {key: (row[0], row[1]) for key, row in data.get("drafts", {}).items()}
        self.short_keys = {key: (row[0], row[1], row[2], row[3]) for key, row in data["short_keys"].items()}
        self.timers.load(data["timers"])
        self.pay.notifications.resume()
        self.timers.poke()
        return True
