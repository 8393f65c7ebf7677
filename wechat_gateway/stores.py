"""The rows of tokens and of the inbox, each method one statement; the simulation puts its own memory here."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from django.db import OperationalError, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from psycopg2 import errorcodes

from accounts.services import record_audit
from accounts.tenancy import brand_scope, every_brand
from common.secret import Secret
from wechat_gateway import incidents
from wechat_gateway.models import AccessToken, HandledEffect, InboundPush, MiniProgram, OfficialAccount, PushState

App: TypeAlias = OfficialAccount | MiniProgram

_TOKEN_WAIT_MS: Final = 8_000
# Longer than two questions to WeChat take: who holds a token for longer without a word is frozen.
_TOKEN_HOLD_MS: Final = 12_000
# "Still waits", said so that PostgreSQL does not read all that waits of a brand where an id leads to the row.
_STILL_NEW: Final = ~Q(state__in=[state for state in PushState if state is not PushState.NEW])
_BESIDE_OTHERS: Final = (
    "SAVEPOINT beside; SELECT pg_advisory_xact_lock_shared(%s); ROLLBACK TO SAVEPOINT beside; RELEASE SAVEPOINT beside"
)
_LANE_LOCKS: Final = 771_000  # first half of our advisory lock numbers


class Busy(Exception):
    """Somebody else has held a row for too long."""


class TokenStore:
    """Tokens and parked apps in PostgreSQL."""

    def scope(self, brand_id: int) -> AbstractContextManager[int]:
        """Open a transaction in which the brand's rows exist."""
        return brand_scope(brand_id)

    def parked(self, app: App) -> tuple[int | None, str, datetime | None, bool] | None:
        """Code, reason and end of an app's pause, and whether the app is connected."""
        rows = type(app).objects.filter(pk=app.pk)
        return rows.values_list("parked_code", "parked_reason", "parked_until", "is_active").first()

    def park(self, app: App, code: int | None, reason: str, until: datetime, at: datetime) -> None:
        """Let an app's calls wait; a cause that WeChat names is an incident, a lost connection not yet."""
        type(app).objects.filter(pk=app.pk).update(parked_code=code, parked_reason=reason, parked_until=until)
        if code is not None:
            kind = incidents.REVOKED if code in incidents.REVOKING else incidents.TOKEN
            incidents.open_incident(kind=kind, appid=app.appid, code=code, detail=reason, at=at)

    def unpark(self, app: App, at: datetime) -> None:
        """Let an app's calls go on."""
        parked = type(app).objects.filter(pk=app.pk, parked_until__isnull=False)
        if parked.update(parked_code=None, parked_reason="", parked_until=None):
            for kind in (incidents.REVOKED, incidents.TOKEN):
                incidents.close_incident(kind=kind, appid=app.appid, at=at)

    def read(self, app: App) -> AccessToken | None:
        """The app's token as it is."""
        return AccessToken.objects.filter(appid=app.appid).first()

    def lock(self, app: App, *, enough: Callable[[AccessToken], bool] | None = None) -> AccessToken:
        """The app's token, which nobody else may replace until the transaction ends. Raises Busy.

        Where somebody else is replacing it and leaves what is `enough`, it is given as they left it, not locked.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                f"SET LOCAL lock_timeout = {_TOKEN_WAIT_MS}; "
                f"SET LOCAL idle_in_transaction_session_timeout = {_TOKEN_HOLD_MS}"
            )
        rows = AccessToken.objects.select_for_update().filter(appid=app.appid)
        try:
            left = self._left_by_others(app, enough) if enough is not None else None
            if left is not None:
                return left
            self._turn(app, "SELECT pg_advisory_xact_lock(%s)")
            row = rows.first()
            if row is None:
                AccessToken.objects.bulk_create([AccessToken(appid=app.appid)], ignore_conflicts=True)
                row = rows.get()
        except OperationalError as error:
            if getattr(error.__cause__, "pgcode", None) != errorcodes.LOCK_NOT_AVAILABLE:
                raise
            raise Busy from None
        return row

    def _left_by_others(self, app: App, enough: Callable[[AccessToken], bool]) -> AccessToken | None:
        """Wait beside all others for whoever has the turn to fetch, and see what they left; None when it is ours.

        In line for the lock itself those who wait would go on one by one.
        """
        until = time.monotonic() + _TOKEN_WAIT_MS / 1000
        while time.monotonic() < until:
            if self._turn(app, "SELECT pg_try_advisory_xact_lock(%s)"):
                return None
            # One round trip, so that the shared lock is in nobody's way: it ends with the savepoint.
            self._turn(app, _BESIDE_OTHERS)
            row = self.read(app)
            if row is not None and enough(row):
                return row
            time.sleep(random.uniform(0.005, 0.02))  # where nothing was left, all come here at once and one goes on
        return None

    @staticmethod
    def _turn(app: App, statement: str) -> bool:
        """Run a statement about the lock of whoever may fetch the app's token; gives what it says."""
        key = blake2b(f"token of {app.brand_id} {app.appid}".encode(), digest_size=8).digest()
        with connection.cursor() as cursor:
            cursor.execute(statement, [int.from_bytes(key, signed=True)])
            return bool(cursor.description and cursor.fetchone()[0])

    def allow_healing(self, app: App) -> None:
        """Let the next refusal of the app's token replace it, however lately one did."""
        AccessToken.objects.filter(appid=app.appid).update(healed_at=None)

    def refresh_token(self, app: App) -> Secret | None:
        """What renews the token of an app that authorised the platform; the newest, for it changes."""
        account = OfficialAccount.objects.only("brand_id", "appid", "refresh_token").filter(pk=app.pk).first()
        found: Secret | None = account.refresh_token if account is not None else None
        return found

    def keep_refresh_token(self, app: App, token: str) -> None:
        """Store a new one."""
        account = OfficialAccount.objects.filter(pk=app.pk).first()
        if account is not None and account.refresh_token != Secret(token):
            account.refresh_token = token
            account.save(update_fields=["refresh_token"])

    def save(self, row: AccessToken, fields: Sequence[str]) -> None:
        """Write some fields of a token that is locked."""
        row.save(update_fields=fields)


class InboxStore:
    """Stored pushes in PostgreSQL."""

    def scope(self, brand_id: int) -> AbstractContextManager[int]:
        """Open a transaction in which the brand's rows exist."""
        return brand_scope(brand_id)

    def savepoint(self) -> AbstractContextManager[None]:
        """Open a part of a transaction that can be undone by itself."""
        return transaction.atomic()

    def waiting_lanes(self) -> list[tuple[int, int]]:
        """Every (brand, lane) in which something waits."""
        with every_brand(reason="sweep of the inbox"), connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT brand_id, lane FROM wechat_gateway_inboundpush "
                "WHERE state = 'NEW' AND (retry_at IS NULL OR retry_at <= now()) LIMIT 2000",
            )
            found: list[tuple[int, int]] = cursor.fetchall()
        return found

    def try_lane(self, brand_id: int, lane: int) -> bool:
        """Take the lane for this transaction unless somebody has it. It is free when transaction or worker end."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LANE_LOCKS + lane, brand_id])
            return bool((cursor.fetchone() or (False,))[0])

    def wait_for_lane(self, brand_id: int, lane: int) -> None:
        """Take the lane for this transaction, waiting a little for whoever has it."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SET LOCAL lock_timeout = '5s'; SELECT pg_advisory_xact_lock(%s, %s); SET LOCAL lock_timeout = 0",
                [_LANE_LOCKS + lane, brand_id],
            )

    def waiting(self, brand_id: int, lane: int, most: int) -> list[tuple[int, str, int, bool]]:
        """(id, openid, attempts, has to wait) of the oldest pushes of a lane."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id, openid, attempts, coalesce(retry_at > now(), false) FROM wechat_gateway_inboundpush "
                "WHERE brand_id = %s AND lane = %s AND state = 'NEW' ORDER BY event_at, id LIMIT %s",
                [brand_id, lane, most],
            )
            found: list[tuple[int, str, int, bool]] = cursor.fetchall()
        return found

    def count_attempts(self, ids: Sequence[int], by: int) -> None:
        """Count attempts up, or down when one did not take place."""
        InboundPush.objects.filter(pk__in=ids).update(attempts=F("attempts") + by)

    def hold(self, ids: Sequence[int], seconds: int) -> None:
        """Keep pushes from everybody for a while."""
        InboundPush.objects.filter(_STILL_NEW, pk__in=ids).update(retry_at=Now() + timedelta(seconds=seconds))

    def lock_new(self, ids: Sequence[int]) -> list[InboundPush]:
        """Those of some pushes that still wait and that nobody else is at, in the order of their events."""
        rows = InboundPush.objects.select_for_update(skip_locked=True).filter(_STILL_NEW, pk__in=ids)
        return list(rows.order_by("event_at", "pk"))

    def lock_push(self, push_id: int) -> InboundPush | None:
        """One push, kept from others."""
        return InboundPush.objects.select_for_update().filter(pk=push_id).first()

    def save_push(self, row: InboundPush, fields: Sequence[str]) -> None:
        """Write some fields of a push."""
        row.save(update_fields=fields)

    def accounts(self, ids: Collection[int]) -> dict[int, OfficialAccount]:
        """Accounts by id."""
        return {account.pk: account for account in OfficialAccount.objects.filter(pk__in=ids)}

    def effects(self, push_ids: Sequence[int]) -> list[tuple[int, str]]:
        """(push, handler) of what was done of pushes before."""
        return list(HandledEffect.objects.filter(push_id__in=push_ids).values_list("push_id", "handler"))

    def keep_effects(self, push_id: int, handlers: Sequence[str]) -> None:
        """Note which handlers have done their part."""
        effects = [HandledEffect(push_id=push_id, handler=key) for key in handlers]
        HandledEffect.objects.bulk_create(effects, ignore_conflicts=True)

    def mark_handled(self, ids: Sequence[int], at: datetime) -> None:
        """Note that pushes are done."""
        InboundPush.objects.filter(pk__in=ids).update(state=PushState.HANDLED, handled_at=at, retry_at=None)

    def set_aside(self, ids: Sequence[int], reason: str) -> None:
        """Let a person look at pushes."""
        InboundPush.objects.filter(pk__in=ids).update(state=PushState.FAILED, reason=reason)

    def fail(self, push_id: int, reason: str) -> None:
        """Let a person look at a push that was tried often enough."""
        rows = InboundPush.objects.filter(_STILL_NEW, pk=push_id)
        rows.update(state=PushState.FAILED, reason=reason, retry_at=None)

    def try_later(self, push_id: int, reason: str, *, seconds: int) -> None:
        """Let a push wait; leases and waits use one clock."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT now() + make_interval(secs => %s)", [seconds])
            retry_at = (cursor.fetchone() or (None,))[0]
        InboundPush.objects.filter(_STILL_NEW, pk=push_id).update(reason=reason, retry_at=retry_at)

    def audit(self, action: str, push: InboundPush, changes: dict[str, Any], reason: str) -> None:
        """Note who did what."""
        record_audit(action=action, obj=push, changes=changes, reason=reason)
