"""Accounts that are connected by scanning: invitations, what comes back from WeChat, and what it takes back."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, every_brand
from wechat_gateway import incidents, platforms, tasks, tokens, transport
from wechat_gateway.answers import classify
from wechat_gateway.codec import Mode
from wechat_gateway.errors import (
    BadCredentials,
    CallsParked,
    InvitationGone,
    NoPlatform,
    NotReplayable,
    PushNotFound,
)
from wechat_gateway.models import (
    AccessToken,
    Incident,
    Invitation,
    InvitationState,
    OfficialAccount,
    Platform,
    PlatformPush,
    PushState,
)
from wechat_gateway.services.accounts import check_callback, check_secret, keep_previous
from wechat_gateway.services.health import start_checks
from wechat_gateway.wire import Unreadable

logger = logging.getLogger(__name__)

#: The other of the two ways, redirect and event, was quicker: both carry a code that works once.
_USED: Final = frozenset({61009, 61010})
_APPID: Final = re.compile(r"wx[0-9a-z]{16}")
_LEASE: Final = timedelta(seconds=60)
_MOST_ATTEMPTS: Final = 5
_PURGE_PIECE: Final = 1_000
_A_ROUND: Final = 50
_GONE: Final = 61003
_RING_AGAIN: Final = timedelta(minutes=1)
LOST_AFTER: Final = timedelta(minutes=5)
_LOST: Final = "LOST"


class _Unfinished(Exception):
    """A push could not be handled now; `reason` says why, and it is tried again."""


@transaction.atomic
def set_platform(
    *, name: str, appid: str, app_secret: str, callback_token: str, encoding_aes_key: str, at: datetime
) -> Platform:
    """Make (or change) the installation's third-party platform. Raises BadCredentials.

    With a new token or message key the old one is accepted for an hour.
    """
    if not _APPID.fullmatch(appid):
        raise BadCredentials(_("The AppID must be wx and 16 letters or digits."), field="appid")
    check_secret(app_secret)
    check_callback(callback_token, encoding_aes_key)
    platform = Platform.objects.select_for_update().filter(is_active=True).first() or Platform()
    keep_previous(platform, callback_token=callback_token, encoding_aes_key=encoding_aes_key, at=at)
    if platform.appid != appid:
        platform.ticket = platform.previous_ticket = platform.access_token = None
        platform.ticket_at = platform.expires_at = None
    platform.name, platform.appid, platform.app_secret = name, appid, app_secret
    platform.callback_token, platform.encoding_aes_key = callback_token, encoding_aes_key
    platform.healed_at = platform.parked_code = platform.parked_until = None
    platform.save()
    return platform


# -- inviting ---------------------------------------------------------------------------------------------------------


def invite(*, at: datetime) -> Invitation:
    """Begin to connect an account by scanning; the link is ready in a moment. Raises NoPlatform."""
    platforms.require()
    invitation = Invitation.objects.create(asked_at=at)
    ring(tasks.prepare_invitation, invitation.brand_id, invitation.pk)
    return invitation


def prepare_invitation(*, brand_id: int, invitation_id: int, at: datetime) -> None:
    """Ask WeChat for the code that the link carries."""
    invitation = _invitation(brand_id, invitation_id)
    if invitation is None or invitation.state != InvitationState.ASKED:
        return
    try:
        answer = platforms.call("api_create_preauthcode", {}, at=at)
    except (CallsParked, NoPlatform) as error:
        _fail(invitation, getattr(error, "wechat_code", None), "NO_TOKEN")
        return
    code, life = answer.data.get("pre_auth_code"), answer.data.get("expires_in")
    if not answer.ok or not isinstance(code, str) or not code:
        _fail(invitation, answer.code, "REFUSED")
        return
    seconds = life if type(life) is int and life > 0 else platforms.PRE_AUTH_SECONDS
    with brand_scope(brand_id):
        invitation.pre_auth_code, invitation.code_print = code, platforms.print_of(code)
        invitation.state, invitation.expires_at = InvitationState.READY, at + timedelta(seconds=seconds)
        invitation.save(update_fields=["pre_auth_code", "code_print", "state", "expires_at"])


def link_of(invitation: Invitation, *, back_to: str) -> str:
    """WeChat's page for an invitation that is ready; `back_to` is where the browser returns. Raises NoPlatform."""
    code = invitation.pre_auth_code
    return platforms.authorisation_url(
        platforms.require(), pre_auth_code=code.reveal() if code else "", redirect_uri=back_to
    )


def accept_return(*, public_id: UUID, auth_code: str, at: datetime) -> Invitation:
    """Take what the browser brings back from WeChat's page. Raises InvitationGone."""
    invitation = Invitation.objects.select_for_update().filter(public_id=public_id).first()
    if invitation is None or (invitation.expires_at is not None and invitation.expires_at + _LEASE < at):
        raise InvitationGone
    if invitation.state == InvitationState.READY:
        invitation.auth_code, invitation.state, invitation.returned_at = auth_code, InvitationState.RETURNED, at
        invitation.save(update_fields=["auth_code", "state", "returned_at"])
        ring(tasks.complete_invitation, invitation.brand_id, invitation.pk)
    return invitation


def complete_invitation(*, brand_id: int, invitation_id: int, at: datetime) -> None:
    """Connect the account whose administrator came back in a browser."""
    invitation = _invitation(brand_id, invitation_id)
    if invitation is None or invitation.auth_code is None:
        return
    # One that was given up may still be finished by a worker that comes late.
    if invitation.state != InvitationState.RETURNED and invitation.reason != _LOST:
        return
    try:
        _take_over(brand_id, invitation.auth_code.reveal(), invitation, at)
    except _Unfinished as error:
        _fail(invitation, None, str(error))
    except CallsParked as parked:
        _fail(invitation, parked.wechat_code, "NO_TOKEN")


def give_up_invitations(*, at: datetime) -> int:
    """Tell people whose authorisation hangs to scan again; gives how many. Young ones are handed to a worker once more.

    A worker that was lost, or the other way that spent the code and then failed, leaves nobody who would say so.
    """
    with every_brand(reason="authorisations that hang"):
        hanging = Invitation.objects.filter(state__in=(InvitationState.ASKED, InvitationState.RETURNED)).annotate(
            since=Coalesce("returned_at", "asked_at")
        )
        found = list(hanging.filter(since__lte=at - _RING_AGAIN).values_list("brand_id", "pk", "state", "since"))
    lost = 0
    for brand_id, pk, state, since in found:
        was_asked = state == InvitationState.ASKED
        if since > at - LOST_AFTER:
            ring(tasks.prepare_invitation if was_asked else tasks.complete_invitation, brand_id, pk)
            continue
        with brand_scope(brand_id):
            lost += Invitation.objects.filter(pk=pk, state=state).update(
                state=InvitationState.FAILED, code=None, reason="NOT_PREPARED" if was_asked else _LOST
            )
    return lost


# -- what WeChat tells the platform -----------------------------------------------------------------------------------


def handle_platform_pushes(*, at: datetime) -> int:
    """Handle authorisation events that wait, oldest first; gives how many were settled. Safe to run twice at once."""
    settled = 0
    for push in _claim(at):
        try:
            _handle(push, at)
        except Exception as error:  # one event that nobody can handle keeps none of the others waiting
            if isinstance(error, _Unfinished | CallsParked | NoPlatform):
                logger.warning("authorisation event %s waits: %s", push.pk, error)
                reason = str(error)[:200] or type(error).__name__
            else:
                logger.exception("authorisation event %s could not be handled", push.pk)
                reason = f"ERROR {type(error).__name__}"
            is_last = push.attempts >= _MOST_ATTEMPTS
            PlatformPush.objects.filter(pk=push.pk).update(
                reason=reason,
                state=PushState.FAILED if is_last else PushState.NEW,
                retry_at=at + _LEASE,
            )
        else:
            PlatformPush.objects.filter(pk=push.pk).update(state=PushState.HANDLED, reason="", retry_at=None)
            settled += 1
    return settled


def replay_platform_push(*, push_id: int, at: datetime) -> None:
    """Handle an authorisation event once more that nobody could handle. Raises PushNotFound, NotReplayable."""
    with transaction.atomic():
        push = PlatformPush.objects.select_for_update().filter(pk=push_id).first()
        if push is None:
            raise PushNotFound
        if push.state != PushState.FAILED:
            raise NotReplayable
        push.state, push.attempts, push.retry_at = PushState.NEW, 0, None
        push.save(update_fields=["state", "attempts", "retry_at"])
    ring(tasks.handle_platform_pushes)


def purge_platform_pushes(*, at: datetime, days: int | None = None, dry_run: bool = False) -> int:
    """Delete handled authorisation events older than KEEP_PUSHES_DAYS (or `days`); gives how many go.

    Those that still wait, or that nobody could handle, stay for people.
    """
    old = at - timedelta(days=settings.KEEP_PUSHES_DAYS if days is None else days)
    rows = PlatformPush.objects.filter(state=PushState.HANDLED, received_at__lt=old)
    if dry_run:
        return rows.count()
    gone = 0
    while True:
        piece = list(rows.order_by("pk").values_list("pk", flat=True)[:_PURGE_PIECE])
        gone += PlatformPush.objects.filter(pk__in=piece).delete()[0]
        if len(piece) < _PURGE_PIECE:
            return gone


def ask_for_ticket() -> None:
    """Have WeChat asked to push a ticket now. Raises NoPlatform."""
    platforms.require()
    ring(tasks.start_platform_tickets)


def revoke_account(*, brand_id: int, appid: str, at: datetime) -> bool:
    """The account took its authorisation back: drop its tokens and let its work wait; says whether it was connected."""
    with brand_scope(brand_id):
        account = OfficialAccount.objects.select_for_update().filter(appid=appid).exclude(platform_appid="").first()
        if account is None or account.revoked_at is not None:
            return False
        # WeChat's times are whole seconds.
        if account.authorized_at is not None and account.authorized_at.replace(microsecond=0) > at:
            return False
        account.refresh_token, account.revoked_at = None, at
        account.save(update_fields=["refresh_token", "revoked_at"])
        AccessToken.objects.filter(appid=appid).update(expires_at=at)
        record_audit(action="authorisation taken back", obj=account)
    tokens.park(account, code=_GONE, at=at, pause=timedelta(days=3650))
    with brand_scope(brand_id):
        start_checks(app=account, at=at)
    return True


def watch_platform(*, at: datetime) -> bool:
    """While the ticket stays away, open an incident in every brand that needs it; says whether it does.

    It is over wherever nothing needs the ticket any more, too: its last account was disconnected, or the platform.
    """
    platform = platforms.current()
    is_late = platform is not None and (platform.ticket_at is None or platform.ticket_at <= at - platforms.TICKET_ALARM)
    with every_brand(reason="brands that depend on the platform, and those that did"):
        accounts = OfficialAccount.objects.filter(is_active=True, revoked_at=None, brand__is_active=True)
        accounts = accounts.filter(platform_appid=platform.appid) if platform is not None else accounts.none()
        waiting = set(accounts.values_list("brand_id", flat=True)) if is_late else set()
        ill = Incident.objects.filter(kind=incidents.PLATFORM, closed_at=None)
        over = set(ill.values_list("brand_id", flat=True)) - waiting
    for brand_id in sorted(waiting | over):
        with brand_scope(brand_id):
            if brand_id in waiting:
                incidents.open_incident(kind=incidents.PLATFORM, at=at)
            else:
                incidents.close_incident(kind=incidents.PLATFORM, at=at)
    return is_late


def _claim(at: datetime) -> list[PlatformPush]:
    with transaction.atomic():
        waiting = PlatformPush.objects.select_for_update(skip_locked=True).filter(
            Q(retry_at=None) | Q(retry_at__lte=at), state=PushState.NEW
        )
        rows = list(waiting.order_by("received_at", "pk")[:_A_ROUND])
        ids = [row.pk for row in rows]
        PlatformPush.objects.filter(pk__in=ids).update(attempts=F("attempts") + 1, retry_at=at + _LEASE)
    for row in rows:
        row.attempts += 1
    return rows


def _handle(push: PlatformPush, at: datetime) -> None:
    fields: dict[str, Any] = json.loads(push.body.reveal()) if push.body else {}
    if push.info_type in ("authorized", "updateauthorized"):
        code = str(fields.get("AuthorizationCode", ""))
        invitation = _invited(str(fields.get("PreAuthCode", "")))
        brand_id = invitation.brand_id if invitation is not None else _brand_of(push.appid)
        if brand_id is None:
            reason = "NO_INVITATION"
            raise _Unfinished(reason)
        _take_over(brand_id, code, invitation, at)
        if invitation is not None and _hangs(invitation):
            reason = "CODE_USED"  # whoever used it may be about to finish; if not, somebody has to know
            raise _Unfinished(reason)
    elif push.info_type == "unauthorized":
        for brand_id in _brands_of(push.appid):
            revoke_account(brand_id=brand_id, appid=push.appid, at=push.event_at)
    elif push.info_type == platforms.RELEASE_CHECK:
        _answer_release_check(str(fields.get("code", "")), str(fields.get("openid", "")), at)
    elif push.info_type == platforms.UNREADABLE:
        try:
            platforms.read_again(str(fields.get("raw", "")), now=push.received_at.timestamp())
        except Unreadable as found:
            reason = f"{platforms.UNREADABLE} {found.reason}"
            raise _Unfinished(reason) from None
    # Anything else is kept as it came.


def _hangs(invitation: Invitation) -> bool:
    with brand_scope(invitation.brand_id):
        waiting = (InvitationState.READY, InvitationState.RETURNED)
        return Invitation.objects.filter(pk=invitation.pk, state__in=waiting).exists()


def _invited(pre_auth_code: str) -> Invitation | None:
    if not pre_auth_code:
        return None
    with every_brand(reason="an authorisation event names its invitation"):
        return Invitation.objects.filter(code_print=platforms.print_of(pre_auth_code)).first()


def _brands_of(appid: str) -> list[int]:
    with every_brand(reason="an authorisation event names an account"):
        accounts = OfficialAccount.objects.filter(appid=appid).exclude(platform_appid="")
        return list(accounts.order_by(F("authorized_at").desc(nulls_last=True)).values_list("brand_id", flat=True))


def _brand_of(appid: str) -> int | None:
    return next(iter(_brands_of(appid)), None)


def _answer_release_check(code: str, openid: str, at: datetime) -> None:
    """WeChat's test account wants to hear from us through the API; nothing of it is kept as an account."""
    answer = platforms.call("api_query_auth", {"authorization_code": code}, at=at)
    info = answer.data.get("authorization_info")
    token = info.get("authorizer_access_token") if isinstance(info, dict) else None
    if not isinstance(token, str):
        reason = f"RELEASE_CHECK {answer.code or answer.cause}"
        raise _Unfinished(reason)
    message = {"touser": openid, "msgtype": "text", "text": {"content": f"{code}_from_api"}}
    url = f"{settings.WECHAT_BASE_URL}/cgi-bin/message/custom/send?access_token={token}"
    body = json.dumps(message, ensure_ascii=False).encode()
    said = classify(transport.perform(transport.HttpRequest(url, body)), sends=True)
    if not said.ok:
        reason = f"RELEASE_CHECK {said.code or said.cause}"
        raise _Unfinished(reason)


# -- taking an account over -------------------------------------------------------------------------------------------


def _take_over(brand_id: int, auth_code: str, invitation: Invitation | None, at: datetime) -> None:
    """Exchange a code for the account and connect it to the brand. Safe against the other way doing the same."""
    answer = platforms.call("api_query_auth", {"authorization_code": auth_code}, at=at)
    if answer.code in _USED:
        return
    info = answer.data.get("authorization_info")
    if not answer.ok or not isinstance(info, dict):
        reason = f"QUERY_AUTH {answer.code or answer.cause}"
        raise _Unfinished(reason)
    appid = str(info.get("authorizer_appid", ""))
    told = platforms.call("api_get_authorizer_info", {"authorizer_appid": appid}, at=at)
    details = told.data.get("authorizer_info")
    if not told.ok or not isinstance(details, dict):
        details = {}
    if "MiniProgramInfo" in details:
        reason = "MINI_PROGRAM"
        raise _Unfinished(reason)
    with brand_scope(brand_id):
        account = _connect(appid, info, details, at)
        if invitation is not None:
            Invitation.objects.filter(pk=invitation.pk).update(
                state=InvitationState.DONE, account_id=account.pk, code=None, reason=""
            )
    tokens.take_over(account, str(info.get("authorizer_access_token", "")), _seconds(info), at=at)
    for other in _brands_of(appid):
        if other != brand_id:
            ring(tasks.release_account, other, appid)
    with brand_scope(brand_id):
        incidents.close_incident(kind=incidents.REVOKED, appid=appid, at=at)
        start_checks(app=account, at=at)


def _connect(appid: str, info: Mapping[str, Any], details: Mapping[str, Any], at: datetime) -> OfficialAccount:
    platform = platforms.require()
    account = OfficialAccount.objects.select_for_update().filter(appid=appid).first()
    is_new = account is None
    if account is None:
        account = OfficialAccount(appid=appid, connected_at=at, mode=Mode.SAFE.value)
    before = sorted(account.granted_sets)
    account.name = str(details.get("nick_name") or account.name or appid)[:60]
    account.original_id = str(details.get("user_name") or account.original_id)[:64]
    account.platform_appid = platform.appid
    account.refresh_token = str(info.get("authorizer_refresh_token", ""))
    account.granted_sets = _granted(info)
    account.authorized_at, account.revoked_at, account.is_active = at, None, True
    account.save()
    changes = {"appid": [None if is_new else appid, appid], "granted_sets": [before, account.granted_sets]}
    record_audit(action="authorise account", obj=account, changes=changes)
    return account


def _granted(info: Mapping[str, Any]) -> list[int]:
    found = info.get("func_info")
    rows = found if isinstance(found, list) else []
    ids = [row.get("funcscope_category", {}).get("id") for row in rows if isinstance(row, dict)]
    return sorted({each for each in ids if type(each) is int})


def _seconds(info: Mapping[str, Any]) -> int:
    life = info.get("expires_in")
    return life if type(life) is int and life > 0 else 0


def _invitation(brand_id: int, invitation_id: int) -> Invitation | None:
    with brand_scope(brand_id):
        return Invitation.objects.filter(pk=invitation_id).first()


def _fail(invitation: Invitation, code: int | None, reason: str) -> None:
    with brand_scope(invitation.brand_id):
        Invitation.objects.filter(pk=invitation.pk).exclude(state=InvitationState.DONE).update(
            state=InvitationState.FAILED, code=code, reason=reason[:40]
        )
