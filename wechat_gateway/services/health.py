"""Looking after connections: checks on request, and a watch that opens and closes incidents by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from django.db.models import Q

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, every_brand
from wechat_gateway import checks, incidents, pulse, quotas, refusals, tasks, tokens
from wechat_gateway.checks import Finding, Run
from wechat_gateway.errors import CallsParked
from wechat_gateway.models import (
    AccessToken,
    AccountCheck,
    CheckResult,
    Incident,
    MiniProgram,
    OfficialAccount,
    QuotaUse,
    QuotaWindow,
)

logger = logging.getLogger(__name__)

App: TypeAlias = OfficialAccount | MiniProgram

# A connection that is lost for moments is no incident.
TOKENLESS_FOR: Final = timedelta(minutes=5)
REFUSALS_THAT_COUNT: Final = 3
SILENT_FOR: Final = timedelta(hours=24)
BUSY_A_DAY: Final = 50  # pushes; whoever has fewer may well be silent for a day
PROBE_EVERY: Final = timedelta(minutes=10)
UNREFUSED_FOR: Final = timedelta(hours=24)  # nobody was refused for so long: what cannot be probed is taken to be well
QUIET_FOR: Final = timedelta(hours=1)  # without a push: only then it is worth asking whether any could come
REACH_AGAIN: Final = timedelta(minutes=5)  # after a failure; the second in a row opens the incident
_MOST_REACHED: Final = 3  # accounts of a brand in one round: each may take seconds
_REACH: Final = "watch.reach"  # the key under which the watch keeps what it found itself
_BY_OURSELVES: Final = ("OWN_ADDRESS", "UNREACHED")
_ABOUT_CREDENTIALS: Final = frozenset({"ip_list", "credentials"})
_PROBED: Final = {
    "/cgi-bin/user/": "/cgi-bin/user/get",
    "/cgi-bin/tags/": "/cgi-bin/user/get",
    "/cgi-bin/menu/": "/cgi-bin/menu/get",
    "/cgi-bin/template/": "/cgi-bin/template/get_all_private_template",
    "/cgi-bin/message/template/": "/cgi-bin/template/get_all_private_template",
}


def start_checks(*, app: App, at: datetime) -> None:
    """Check the connection of an app of the brand in scope: results come in seconds (`AccountCheck`)."""
    rows = [
        AccountCheck(appid=app.appid, key=each.key, result=CheckResult.RUNNING, at=at) for each in checks.checks_of(app)
    ]
    AccountCheck.objects.filter(appid=app.appid).delete()
    AccountCheck.objects.bulk_create(rows, ignore_conflicts=True)
    record_audit(action="check connection", obj=app)
    ring(tasks.check_app, app.brand_id, app.appid)


def run_checks(*, brand_id: int, appid: str, at: datetime) -> None:
    """Do the checks of an app one after another; each result is stored as soon as it is there.

    Nothing is asked inside a transaction. Credentials that are well let waiting calls go on, others park them.
    """
    app = _app(brand_id, appid)
    if app is None:
        return
    run = Run(app, at)
    for each in checks.checks_of(app):
        started = time.monotonic()
        finding = each.run(run)
        _keep(app, each.key, finding, time.monotonic() - started, at)
        if each.key in _ABOUT_CREDENTIALS:
            _settle_credentials(app, each.key, finding, at)
    _settle(app, _findings(app), at)


def watch_health(*, at: datetime) -> int:
    """Ring for every brand that has accounts; gives how many."""
    with every_brand(reason="watch over connections"):
        brands = sorted(
            set(
                OfficialAccount.objects.filter(is_active=True, brand__is_active=True).values_list("brand_id", flat=True)
            )
            | set(Incident.objects.filter(closed_at__isnull=True).values_list("brand_id", flat=True))
        )
    for brand_id in brands:
        ring(tasks.watch_brand, brand_id)
    return len(brands)


def watch_brand(*, brand_id: int, at: datetime) -> None:
    """Compare what is known of a brand's connections with its open incidents; ask WeChat where that takes asking."""
    with brand_scope(brand_id):
        apps: list[App] = [
            *OfficialAccount.objects.filter(is_active=True).order_by("pk"),
            *MiniProgram.objects.filter(is_active=True).order_by("pk"),
        ]
        _close_strangers({app.appid for app in apps}, at)
        _watch_tokens(apps, at)
        _watch_quotas(at)
        _watch_callbacks([app for app in apps if isinstance(app, OfficialAccount)], at)
        _close_unneeded(at)
        refusals.look_again(at=at)
        quiet = _quiet_accounts([app for app in apps if isinstance(app, OfficialAccount)], at)
        waiting = [app for app in apps if app.parked_until is not None and app.parked_until <= at]
        doubtful = list(
            Incident.objects.filter(
                kind=incidents.PERMISSION, closed_at__isnull=True, seen_at__lte=at - PROBE_EVERY
            ).order_by("pk")
        )
    for app in waiting:
        _try_token(app, at)
    by_appid = {app.appid: app for app in apps}
    for incident in doubtful:
        if incident.appid in by_appid:
            _probe(by_appid[incident.appid], incident, at)
    for account in quiet:
        _reach(account, at)


# -- checks -----------------------------------------------------------------------------------------------------------


def _keep(app: App, key: str, finding: Finding, seconds: float, at: datetime) -> None:
    with brand_scope(app.brand_id):
        AccountCheck.objects.update_or_create(
            appid=app.appid,
            key=key,
            defaults={
                "result": finding.result,
                "code": finding.code or None,
                "reason": finding.reason,
                "fact": finding.fact[:200],
                "seconds": seconds,
                "at": at,
            },
        )


def _settle_credentials(app: App, key: str, finding: Finding, at: datetime) -> None:
    """Let calls go on, or wait, as the credentials turned out."""
    if finding.result == CheckResult.FAILED:
        detail = f"invalid ip {finding.fact}" if key == "ip_list" else finding.fact
        tokens.park(app, code=finding.code, at=at, detail=detail)
    elif finding.result == CheckResult.PASSED and key == "credentials":
        tokens.repaired(app)


def _findings(app: App) -> dict[str, AccountCheck]:
    with brand_scope(app.brand_id):
        return {row.key: row for row in AccountCheck.objects.filter(appid=app.appid)}


def _settle(app: App, found: dict[str, AccountCheck], at: datetime) -> None:
    """Open and close what the other checks show."""
    with brand_scope(app.brand_id):
        permissions = found.get("permissions")
        if permissions is not None and permissions.result == CheckResult.PASSED:
            for prefix in _PROBED:
                Incident.objects.filter(
                    kind=incidents.PERMISSION, appid=app.appid, subject__startswith=prefix, closed_at__isnull=True
                ).update(closed_at=at)
        if isinstance(app, OfficialAccount):
            _watch_callbacks([app], at)


# -- the watch --------------------------------------------------------------------------------------------------------


def _close_strangers(appids: Iterable[str], at: datetime) -> None:
    """What is disconnected is nobody's concern any more."""
    Incident.objects.filter(closed_at__isnull=True).exclude(appid__in=[*appids, ""]).update(closed_at=at)


def _watch_tokens(apps: Iterable[App], at: datetime) -> None:
    rows = {row.appid: row for row in AccessToken.objects.all()}
    for app in apps:
        row = rows.get(app.appid)
        is_parked = app.parked_until is not None
        if is_parked and app.parked_code is None and row is not None and row.expires_at is not None:
            if row.expires_at <= at - TOKENLESS_FOR:
                incidents.open_incident(kind=incidents.TOKEN, appid=app.appid, detail=app.parked_reason, at=at)
        elif not is_parked:
            for kind in (incidents.TOKEN, incidents.REVOKED):
                incidents.close_incident(kind=kind, appid=app.appid, at=at)


def _watch_quotas(at: datetime) -> None:
    today = QuotaUse.objects.filter(window=QuotaWindow.DAY, window_start=quotas.day_start(at))
    spent = {
        (row.appid, row.api) for row in today.filter(Q(used__gt=0) | Q(blocked_until__gt=at)) if _is_spent(row, at)
    }
    open_ones = Incident.objects.filter(kind=incidents.QUOTA, closed_at__isnull=True)
    over = [row.pk for row in open_ones if (row.appid, row.subject) not in spent]
    open_ones.filter(pk__in=over).update(closed_at=at)
    for appid, api in sorted(spent):
        incidents.open_incident(kind=incidents.QUOTA, appid=appid, subject=api, code=45009, at=at)


def _is_spent(row: QuotaUse, at: datetime) -> bool:
    if row.blocked_until is not None and row.blocked_until > at:
        return True
    limit = row.limit if row.limit is not None else quotas.limit_of(row.api, at)
    return limit is not None and row.used >= limit


def _watch_callbacks(accounts: Iterable[OfficialAccount], at: datetime) -> None:
    by_who = {(account.brand_id, account.pk): account for account in accounts}
    open_ones = Incident.objects.filter(kind=incidents.CALLBACK, closed_at__isnull=True)
    named = set(open_ones.filter(detail__in=_BY_OURSELVES).values_list("appid", flat=True))
    for who, seen in pulse.read(by_who).items():
        account = by_who[who]
        is_silent = (
            seen.verified_at is not None and seen.most_a_day >= BUSY_A_DAY and at - seen.verified_at >= SILENT_FOR
        )
        if seen.is_refused and seen.refusals >= REFUSALS_THAT_COUNT:
            incidents.open_incident(kind=incidents.CALLBACK, appid=account.appid, detail=seen.reason, at=at)
        elif is_silent:
            known = "" if account.appid in named else "SILENT"
            incidents.open_incident(kind=incidents.CALLBACK, appid=account.appid, detail=known, at=at)
        elif not seen.is_refused and seen.verified_at is not None:
            over = open_ones.filter(appid=account.appid)  # what we found ourselves ends with a push that came since
            over.exclude(detail__in=_BY_OURSELVES, opened_at__gte=seen.verified_at).update(closed_at=at)


def _close_unneeded(at: datetime) -> None:
    """A template that nothing needs any more troubles nobody; nor does a permission that nobody was refused for long.

    What is refused again opens a new incident.
    """
    templates = Incident.objects.filter(
        kind=incidents.TEMPLATE, closed_at__isnull=True, seen_at__lte=at - PROBE_EVERY
    ).order_by("pk")
    gone = [row.pk for row in templates if not incidents.is_needed(row)]
    permissions = Incident.objects.filter(
        kind=incidents.PERMISSION, closed_at__isnull=True, seen_at__lte=at - UNREFUSED_FOR
    )
    gone += [pk for pk, subject in permissions.values_list("pk", "subject") if not _probe_for(subject)]
    if gone:
        Incident.objects.filter(pk__in=gone, closed_at__isnull=True).update(closed_at=at)


def _quiet_accounts(accounts: Iterable[OfficialAccount], at: datetime) -> list[OfficialAccount]:
    """Give accounts with own keys whose pushes came once and not for a while, when it is time to ask why."""
    by_who = {(account.brand_id, account.pk): account for account in accounts if not tokens.is_authorised(account)}
    quiet = [
        by_who[who]
        for who, seen in pulse.read(by_who).items()
        if seen.verified_at is not None and seen.verified_at <= at - QUIET_FOR and not seen.is_refused
    ]
    last = {row.appid: row for row in AccountCheck.objects.filter(key=_REACH)} if quiet else {}
    due = []
    for account in quiet:
        row = last.get(account.appid)
        every = REACH_AGAIN if row is not None and row.result == CheckResult.FAILED else QUIET_FOR
        if row is None or row.at <= at - every:
            due.append((row.at if row is not None else datetime.min.replace(tzinfo=UTC), account.pk, account))
    return [account for _at, _pk, account in sorted(due, key=lambda each: each[:2])[:_MOST_REACHED]]


def _reach(account: OfficialAccount, at: datetime) -> None:
    """Ask whether WeChat's pushes could come; a failure that is confirmed opens the incident, a success ends it."""
    with brand_scope(account.brand_id):
        before = AccountCheck.objects.filter(appid=account.appid, key=_REACH).first()
    started = time.monotonic()
    finding = checks.reach(account, at=at)
    _keep(account, _REACH, finding, time.monotonic() - started, at)
    with brand_scope(account.brand_id):
        if finding.result == CheckResult.FAILED and before is not None and before.result == CheckResult.FAILED:
            incidents.open_incident(kind=incidents.CALLBACK, appid=account.appid, detail=finding.reason, at=at)
        elif finding.result == CheckResult.PASSED:
            Incident.objects.filter(
                kind=incidents.CALLBACK, appid=account.appid, closed_at__isnull=True, detail__in=_BY_OURSELVES
            ).update(closed_at=at)


def _try_token(app: App, at: datetime) -> None:
    """The pause of a parked app is over: look whether there is a token now, so that it ends without anybody's call."""
    try:
        tokens.current(app, at=at)
    except CallsParked as parked:
        logger.info("app %s still waits: code %s", app.appid, parked.wechat_code)
    else:
        tokens.unpark(app, at=at)


def _probe(app: App, incident: Incident, at: datetime) -> None:
    """Ask for something harmless under the permission that was refused."""
    path = _probe_for(incident.subject)
    if not path:
        return
    answer = Run(app, at).ask(path)
    with brand_scope(app.brand_id):
        if answer.ok:
            incidents.close_incident(kind=incidents.PERMISSION, appid=app.appid, subject=incident.subject, at=at)
        else:
            Incident.objects.filter(pk=incident.pk, closed_at__isnull=True).update(seen_at=at)


def _probe_for(subject: str) -> str:
    """Give something harmless under the same permission as a path, '' where nothing is known."""
    return next((probe for prefix, probe in _PROBED.items() if subject.startswith(prefix)), "")


def _app(brand_id: int, appid: str) -> App | None:
    with brand_scope(brand_id):
        return OfficialAccount.objects.filter(appid=appid).first() or MiniProgram.objects.filter(appid=appid).first()
