"""How checks and incidents are worded on pages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from django.utils.translation import gettext, gettext_lazy

from console import formats
from wechat_gateway.checks import (
    PERMISSION_LABELS,
    REASONS,
    SETS,
    Finding,
    callback_finding,
    checks_of,
    words_of,
)
from wechat_gateway.incidents import action_of, cause_of, kinds
from wechat_gateway.models import AccountCheck, CheckResult, Incident, Invitation, MiniProgram, OfficialAccount

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

App: TypeAlias = OfficialAccount | MiniProgram

# After that a check has been lost with its worker; and how long somebody watches WeChat's first visit.
_LOST_AFTER: Final = timedelta(seconds=45)
_WATCHED_FOR: Final = timedelta(minutes=15)
_TONES: Final = {
    CheckResult.PASSED: ("success", "check_circle"),
    CheckResult.FAILED: ("danger", "cancel"),
    CheckResult.UNKNOWN: ("", "help"),
    CheckResult.RUNNING: ("info", "progress_activity"),
}


INVITATION_REASONS: Final[dict[str, tuple[StrOrPromise, StrOrPromise]]] = {
    "NO_TOKEN": (
        gettext_lazy("The third-party platform itself gets no access from WeChat."),
        gettext_lazy("Whoever runs the installation looks at the platform's ticket and secret; then begin again."),
    ),
    "MINI_PROGRAM": (
        gettext_lazy("This is a mini program."),
        gettext_lazy("Choose a service account on WeChat's page; connect mini programs with their AppSecret."),
    ),
    "LOST": (
        gettext_lazy("The account was not taken over within five minutes."),
        gettext_lazy("Make a new link and scan again."),
    ),
    "NOT_PREPARED": (
        gettext_lazy("The link was not prepared within five minutes: no worker is running."),
        gettext_lazy("Whoever runs the installation looks at its workers; then begin again."),
    ),
    "REFUSED": (gettext_lazy("WeChat did not accept the authorisation."), gettext_lazy("Begin again.")),
}


@dataclass(frozen=True)
class CheckLine:
    """One line of the connection page."""

    key: str
    label: str
    state: str
    tone: str
    icon: str
    fact: str = ""
    why: str = ""
    action: str = ""
    code: int | None = None
    seconds: float | None = None
    at: datetime | None = None
    is_live: bool = False


def check_lines(app: App, *, at: datetime) -> list[CheckLine]:
    """Every check of an app with what it found last; whether WeChat's pushes arrive is looked up now."""
    asked = checks_of(app)
    rows = AccountCheck.objects.filter(appid=app.appid, key__in=[each.key for each in asked])
    stored = {row.key: row for row in rows}
    if not stored:
        return []
    return [_line(app, each.key, str(each.label), stored.get(each.key), at) for each in asked]


def app_of(appid: str) -> App | None:
    """The app of the brand in scope with an appid."""
    return (
        OfficialAccount.objects.filter(appid=appid).first() or MiniProgram.objects.filter(appid=appid).first()
        if appid
        else None
    )


def app_names(appids: Iterable[str]) -> dict[str, str]:
    """Names by appid."""
    wanted = set(appids)
    return {
        **dict(MiniProgram.objects.filter(appid__in=wanted).values_list("appid", "name")),
        **dict(OfficialAccount.objects.filter(appid__in=wanted).values_list("appid", "name")),
    }


def title_of(incident: Incident, name: str) -> str:
    """What happened, in one sentence without a full stop."""
    return str(kinds.get(incident.kind).title) % {"name": name, "subject": incident.subject}


def cause_shown(incident: Incident) -> StrOrPromise:
    """Why it happened: of callbacks the gateway noted a reason of its own."""
    if incident.code is None and incident.detail in REASONS:
        return REASONS[incident.detail][0]
    return cause_of(incident)


def action_shown(incident: Incident) -> StrOrPromise:
    """What a person can do about it."""
    if incident.code is None and incident.detail in REASONS:
        return REASONS[incident.detail][1]
    return action_of(incident)


def granted_names(account: OfficialAccount) -> list[str]:
    """The permission sets an account has granted the platform, in words."""
    return [str(SETS.get(number, number)) for number in account.granted_sets]


def invitation_words(invitation: Invitation) -> tuple[StrOrPromise, StrOrPromise]:
    """(why, what to do) of an authorisation that did not come about."""
    return INVITATION_REASONS.get(invitation.reason, INVITATION_REASONS["REFUSED"])


def _line(app: App, key: str, label: str, row: AccountCheck | None, at: datetime) -> CheckLine:
    if row is None:
        tone, icon = _TONES[CheckResult.UNKNOWN]
        return CheckLine(key, label, gettext("not checked yet"), tone, icon)
    result, code, reason, fact = CheckResult(row.result), row.code, row.reason, str(row.fact)
    watched = False
    if result == CheckResult.RUNNING and at - row.at > _LOST_AFTER:
        tone, icon = _TONES[CheckResult.UNKNOWN]
        lost = gettext("The check was not done: no worker is running.")
        return CheckLine(key, label, gettext("not checked yet"), tone, icon, why=lost, at=row.at)
    if key == "callback" and result != CheckResult.RUNNING:
        found: Finding = callback_finding(app)
        result, code, reason, fact = found.result, found.code, found.reason, found.fact
        watched = result != CheckResult.PASSED and at - row.at < _WATCHED_FOR
    tone, icon = _TONES[result]
    why, action = words_of(code, reason)
    shows_why = result in (CheckResult.FAILED, CheckResult.UNKNOWN)
    return CheckLine(
        key,
        label,
        str(result.label),
        tone,
        icon,
        fact=_fact(key, result, fact),
        why=str(why) if shows_why else "",
        action=str(action) if shows_why else "",
        code=code or None,
        seconds=row.seconds if result != CheckResult.RUNNING else None,
        at=row.at,
        is_live=result == CheckResult.RUNNING or watched,
    )


def _fact(key: str, result: CheckResult, fact: str) -> str:
    """What a check saw, in words; many facts are figures or addresses and need none."""
    say = {
        ("ip_list", CheckResult.FAILED): lambda: gettext("WeChat sees this server as %(address)s.") % {"address": fact},
        ("callback", CheckResult.PASSED): lambda: _last(fact),
        ("permissions", CheckResult.FAILED): lambda: _missing(fact),
        ("granted", CheckResult.FAILED): lambda: _missing(fact),
        ("templates", CheckResult.PASSED): lambda: gettext("%(count)s templates") % {"count": fact},
        ("quota", CheckResult.PASSED): lambda: (
            gettext("template and customer-service messages, used of allowed: %(figures)s") % {"figures": fact}
        ),
    }.get((key, result))
    return say() if fact and say else fact


def _last(moment: str) -> str:
    return gettext("last at %(when)s") % {"when": formats.local_time(datetime.fromisoformat(moment))}


def _missing(names: str) -> str:
    labels = ", ".join(str(PERMISSION_LABELS.get(name) or _set_name(name)) for name in names.split(","))
    return gettext("missing: %(names)s") % {"names": labels}


def _set_name(number: str) -> str:
    return str(SETS.get(int(number), number)) if number.isdigit() else number
