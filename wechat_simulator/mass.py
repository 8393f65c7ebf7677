"""Jobs of mass sends: who gets them, four a month each at most, and the event with counts (reference: 5.10, 3.4)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from wechat_simulator import wire
from wechat_simulator.clock import shanghai_month
from wechat_simulator.world import Fan, Person, token_urlsafe

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation

REMEMBERED = 86_400.0  # a clientmsgid
TOO_FAST = 60.0
CONFIRM_WITHIN = 1800.0  # 群发保护
PEOPLE_A_SECOND = tuple(speed * 10_000 / 60 for speed in (80, 60, 45, 30, 10))
FIRST = 1_000_001_000


@dataclass
class Job:
    """One mass send. ``state`` as mass/get names it; ``counts`` are those of the event."""

    appid: str
    at: float
    openids: list[str]
    shown: dict[str, Any]
    to_all: bool
    is_link: bool
    client_id: str
    msg_id: int = 0
    state: str = "SENDING"
    waits: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    status: str = ""

    def view(self) -> dict[str, Any]:
        """For the control API: everything but the list of people."""
        row = asdict(self)
        row["total"] = len(row.pop("openids"))
        return row


class Mass:
    """All mass sends of the simulation."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.jobs: dict[int, Job] = {}
        self._ids: dict[tuple[str, str], tuple[int, float, float]] = {}  # msg_id, first, last try
        self._received: dict[tuple[str, str], int] = {}  # openid and month: how many
        sim.timers.on("mass_finish", self._due)
        sim.timers.on("mass_unanswered", self._unanswered)

    # --- asking ---------------------------------------------------------------------------------------------------

    def known(self, appid: str, key: str, now: float) -> int | None:
        """The msg_id of a clientmsgid that was used within a day."""
        row = self._ids.get((appid, key))
        return row[0] if row is not None and now < row[1] + REMEMBERED else None

    def too_fast(self, appid: str, key: str, now: float) -> bool:
        """Whether a repeat came within a minute of the try before; it counts as a try."""
        msg_id, first, last = self._ids[appid, key]
        self._ids[appid, key] = (msg_id, first, now)
        return now - last < TOO_FAST

    def remember(self, appid: str, key: str, msg_id: int, now: float) -> None:
        """First accepted job with this id."""
        self._ids[appid, key] = (msg_id, now, now)

    def sends_to_all(self, appid: str, now: float) -> int:
        """Sends to everybody in this month."""
        month = shanghai_month(now)
        jobs = (job for job in self.jobs.values() if job.appid == appid and job.to_all and job.state != "SEND_FAIL")
        return sum(shanghai_month(job.at) == month for job in jobs)

    def received(self, openid: str, now: float) -> int:
        """Mass messages that a person got in this month."""
        return self._received.get((openid, shanghai_month(now)), 0)

    # --- sending --------------------------------------------------------------------------------------------------

    def submit(self, job: Job, *, waits: bool) -> int:
        """Queue a job; with 群发保护 a send to everybody waits for the administrator."""
        job.msg_id = FIRST + len(self.jobs)
        job.waits = waits
        self.jobs[job.msg_id] = job
        if waits:
            self._sim.timers.at(job.at + CONFIRM_WITHIN, "mass_unanswered", job.msg_id)
        else:
            self._schedule(job, job.at)
        self._sim.bus.bump("world")
        return job.msg_id

    def confirm(self, msg_id: int, *, yes: bool) -> Job:
        """The administrator answers on the phone."""
        job = self.jobs[msg_id]
        if job.waits:
            job.waits = False
            if yes:
                self._schedule(job, self._sim.clock.now())
            else:
                self._fail(job, "err(40001)", self._sim.clock.now())
        return job

    def _schedule(self, job: Job, now: float) -> None:
        speed = self._sim.world.accounts[job.appid].mass_speed
        seconds = max(self._sim.switches.finish_delay_seconds, len(job.openids) / PEOPLE_A_SECOND[speed])
        self._sim.timers.at(now + seconds, "mass_finish", job.msg_id)

    def _unanswered(self, due: float, msg_id: int) -> None:
        job = self.jobs[msg_id]
        if job.waits:
            job.waits = False
            self._fail(job, "err(40002)", due)

    def _due(self, due: float, msg_id: int) -> None:
        """Timer: it reaches who may get it; the others are filtered out without a word."""
        sim, job = self._sim, self.jobs[msg_id]
        event = ("MASSSENDJOBFINISH", "")
        for fault in sim.faults.for_push(("finish_late",), job.appid, *event) if sim.faults.push_active else ():
            sim.timers.at(due + fault.number("seconds", 3600.0), "mass_finish", msg_id)
            return
        for fault in sim.faults.for_push(("finish_status",), job.appid, *event) if sim.faults.push_active else ():
            self._fail(job, str(fault.params.get("status", "send fail")), due)
            return
        sent = 0
        fans = sim.world.accounts[job.appid].fans
        allowed = [fan for openid in job.openids if (fan := fans.get(openid)) is not None and self._may_get(fan, due)]
        for fan in allowed:
            key = (fan.openid, shanghai_month(due))
            self._received[key] = self._received.get(key, 0) + 1
            self.show(fan, job.shown, due, kind="mass", msg_id=msg_id, client_id=job.client_id)
            sent += 1
        job.counts = {
            "TotalCount": len(job.openids),
            "FilterCount": len(allowed),
            "SentCount": sent,
            "ErrorCount": len(allowed) - sent,
        }
        job.state = "SEND_SUCCESS"
        self._tell(job, "send success", due)

    def _may_get(self, fan: Fan, now: float) -> bool:
        if not fan.subscribed or fan.blacklisted or fan.refuses:
            return False
        return self.received(fan.openid, now) < self._sim.switches.mass_per_month

    def show(
        self, fan: Fan, shown: dict[str, Any], at: float, *, kind: str, msg_id: int = 0, client_id: str = ""
    ) -> None:
        """Put it into the chat of one person."""
        body = wire.to_json(shown)
        sent = self._sim.truth.accept(
            at=at, kind=kind, appid=fan.account.appid, openid=fan.openid, body=body, client_msg_id=client_id,
            content=body.decode(),
        )  # fmt: skip
        sent.template_id = str(msg_id or "")
        self._sim.truth.finish(sent, "success", at)
        self._sim.conversations.receive(fan, sent)

    def _fail(self, job: Job, status: str, at: float) -> None:
        job.state = "SEND_FAIL"
        job.counts = {"TotalCount": len(job.openids), "FilterCount": 0, "SentCount": 0, "ErrorCount": 0}
        self._tell(job, status, at)

    def _tell(self, job: Job, status: str, at: float) -> None:
        job.status = status
        sim = self._sim
        sim.bus.bump("world")
        account = sim.world.accounts[job.appid]
        if sim.faults.push_active and sim.faults.for_push(("finish_drop",), job.appid, "MASSSENDJOBFINISH", ""):
            return
        if account.push_url:
            openid = "oSystem" + token_urlsafe(21, sim.world.seed, "system", job.appid)
            system = Fan(account, Person("system", "微信", ""), openid)
            articles = job.shown.get("news", {}).get("articles", [])
            results = [{"ArticleIdx": place, "ArticleUrl": article["url"]} for place, article in enumerate(articles, 1)]
            links = {"ArticleUrlResult": {"Count": len(results), "ResultList": {"item": results}}} if results else {}
            copy = {"CopyrightCheckResult": {"Count": 0, "ResultList": "", "CheckState": 0}}
            push = sim.pushes.event(
                system, "MASSSENDJOBFINISH", at, MsgID=job.msg_id, Status=status, **job.counts, **copy, **links
            )
            sim.pushes.background(push, system)

    # --- state file -----------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """For the state file."""
        return {
            "jobs": [asdict(job) for job in self.jobs.values()],
            "ids": [[*key, *row] for key, row in self._ids.items()],
            "received": [[*key, count] for key, count in self._received.items()],
        }

    def load(self, data: dict[str, Any]) -> None:
        """From the state file."""
        self.jobs = {row["msg_id"]: Job(**row) for row in data.get("jobs", ())}
        self._ids = {(row[0], row[1]): (row[2], row[3], row[4]) for row in data.get("ids", ())}
        self._received = {(row[0], row[1]): row[2] for row in data.get("received", ())}
