"""Questions about accounts, pushes and quotas that several callers ask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from django.conf import settings
from django.db.models import Count, F, Max, QuerySet

from accounts.tenancy import every_brand
from wechat_gateway import quotas
from wechat_gateway.errcodes import Explanation, explain
from wechat_gateway.models import (
    AccessToken,
    InboundPush,
    Incident,
    MiniProgram,
    OfficialAccount,
    PushState,
    QuotaUse,
    QuotaWindow,
)


@dataclass(frozen=True, slots=True)
class QuotaState:
    """One path's quota today. `limit` is None when nobody has said one; `blocked_until` when WeChat said "used up"."""

    api: str
    used: int
    limit: int | None
    blocked_until: datetime | None
    resets_at: datetime
    minute_used: int = 0
    minute_limit: int | None = None

    @property
    def left(self) -> int | None:
        """Calls left today, None when there is no known limit."""
        if self.blocked_until is not None:
            return 0
        return None if self.limit is None else max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class TokenState:
    """An app's access token, without the token: its number, when it was fetched, when it ends."""

    generation: int
    fetched_at: datetime
    expires_at: datetime
    is_valid: bool


@dataclass(frozen=True, slots=True)
class AuthorisedAccount:
    """An account that was authorised to the third-party platform, of whichever brand. No data of the brand."""

    brand: str
    name: str
    appid: str
    granted_sets: tuple[int, ...]
    authorised_at: datetime | None
    revoked_at: datetime | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class InboxState:
    """What of a brand's inbox needs attention."""

    waiting: int
    failed: int
    quarantined: int
    newest: datetime | None


def official_accounts() -> QuerySet[OfficialAccount]:
    """The connected service accounts of the brand in scope."""
    return OfficialAccount.objects.filter(is_active=True).order_by("pk")


def mini_programs() -> QuerySet[MiniProgram]:
    """The connected mini programs of the brand in scope."""
    return MiniProgram.objects.filter(is_active=True).order_by("pk")


def programs_with_appid(appid: str) -> list[MiniProgram]:
    """The connected mini programs of any brand that have this appid: those whose calls work first, at most five."""
    with every_brand(reason="an appid names the brand a person signs in to"):
        found = MiniProgram.objects.filter(appid=appid, is_active=True, brand__is_active=True)
        return list(found.order_by(F("parked_until").asc(nulls_first=True), "pk")[:5])


def program_of(appid: str) -> MiniProgram | None:
    """The connected mini program of the brand in scope that has an appid."""
    return MiniProgram.objects.filter(appid=appid, is_active=True).first()


def only_subject() -> str:
    """Give the Open Platform account UnionIDs of the brand come from; empty when there is none or several."""
    found = set(
        OfficialAccount.objects.exclude(open_platform_subject="").values_list("open_platform_subject", flat=True)
    )
    return found.pop() if len(found) == 1 else ""


def open_incidents() -> QuerySet[Incident]:
    """What is wrong now in the brand in scope, newest first."""
    return Incident.objects.filter(closed_at__isnull=True).order_by("-opened_at", "-pk")


def callback_url(account: OfficialAccount) -> str:
    """The server address to enter in the WeChat console."""
    return f"{settings.PUBLIC_URL.rstrip('/')}/wx/{account.path_token}"


def parked_explanation(app: OfficialAccount | MiniProgram, *, at: datetime) -> Explanation | None:
    """Why the app's calls wait, in the reader's language; None when they do not."""
    if app.parked_until is None or app.parked_until <= at or app.parked_code is None:
        return None
    return explain(app.parked_code)


def quota_state(app: OfficialAccount | MiniProgram, *, at: datetime) -> list[QuotaState]:
    """Today's use of every path the app has called, by path, with what this minute has used of it."""
    minute = at.replace(second=0, microsecond=0)
    rows = QuotaUse.objects.filter(appid=app.appid, window=QuotaWindow.MINUTE, window_start=minute)
    now = dict(rows.values_list("api", "used"))
    return [
        replace(
            _quota_state(row, at), minute_used=now.get(row.api, 0), minute_limit=quotas.minute_limit_of(row.api, at)
        )
        for row in _uses_today(app, at)
    ]


def token_state(app: OfficialAccount | MiniProgram, *, at: datetime) -> TokenState | None:
    """How the app's access token stands, None when it has never had one. The token itself stays where it is."""
    row = AccessToken.objects.defer("token").filter(appid=app.appid).first()
    if row is None or row.fetched_at is None or row.expires_at is None:
        return None
    return TokenState(row.generation, row.fetched_at, row.expires_at, is_valid=row.expires_at > at)


def quota_of(app: OfficialAccount | MiniProgram, api: str, *, at: datetime) -> QuotaState:
    """Today's use of one path."""
    row = _uses_today(app, at).filter(api=api).first()
    if row is not None:
        return _quota_state(row, at)
    return QuotaState(api, 0, quotas.limit_of(api, at), None, quotas.next_reset(at))


def inbox_state() -> InboxState:
    """Counts of the inbox of the brand in scope."""
    counts = dict(
        InboundPush.objects.exclude(state=PushState.HANDLED)
        .order_by()
        .values_list("state")
        .annotate(count=Count("pk")),
    )
    newest = InboundPush.objects.aggregate(newest=Max("received_at"))["newest"]
    return InboxState(
        waiting=counts.get(PushState.NEW, 0),
        failed=counts.get(PushState.FAILED, 0),
        quarantined=counts.get(PushState.QUARANTINED, 0),
        newest=newest,
    )


def pushes_for_people() -> QuerySet[InboundPush]:
    """Failed and quarantined pushes of the brand in scope, newest first."""
    return (
        InboundPush.objects.filter(state__in=[PushState.FAILED, PushState.QUARANTINED])
        .select_related("account")
        .order_by("-received_at", "-pk")
    )


def _uses_today(app: OfficialAccount | MiniProgram, at: datetime) -> QuerySet[QuotaUse]:
    return QuotaUse.objects.filter(
        appid=app.appid,
        window=QuotaWindow.DAY,
        window_start=quotas.day_start(at),
    ).order_by("api")


def _quota_state(row: QuotaUse, at: datetime) -> QuotaState:
    limit = row.limit if row.limit is not None else quotas.limit_of(row.api, at)
    blocked = row.blocked_until if row.blocked_until is not None and row.blocked_until > at else None
    return QuotaState(row.api, row.used, limit, blocked, quotas.next_reset(at))


def authorised_accounts(platform_appid: str) -> list[AuthorisedAccount]:
    """Every account that was authorised to the platform, those that took it back last."""
    with every_brand(reason="accounts of the third-party platform, for whoever runs the installation"):
        rows = OfficialAccount.objects.filter(platform_appid=platform_appid).order_by(
            F("revoked_at").desc(nulls_first=True), "brand_id", "pk"
        )
        return [
            AuthorisedAccount(brand, name, appid, tuple(granted), authorised_at, revoked_at, is_active)
            for brand, name, appid, granted, authorised_at, revoked_at, is_active in rows.values_list(
                "brand__name", "name", "appid", "granted_sets", "authorized_at", "revoked_at", "is_active"
            )[:1000]
        ]
