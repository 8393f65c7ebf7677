"""Connecting a brand's accounts and changing how they prove themselves."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from accounts.services import record_audit
from common.secret import Secret
from wechat_gateway import tokens
from wechat_gateway.codec import Mode
from wechat_gateway.errors import AccountTaken, BadCredentials, SetByWeChat
from wechat_gateway.models import MiniProgram, OfficialAccount, Platform, new_path_token

_LONGEST_NAME: Final = 60
KEY_OVERLAP: Final = timedelta(hours=1)
_APPID: Final = re.compile(r"wx[0-9a-f]{16}")
_ORIGINAL_ID: Final = re.compile(r"gh_[0-9A-Za-z]{4,29}")
_TOKEN: Final = re.compile(r"[0-9A-Za-z]{3,32}")
_AES_KEY: Final = re.compile(r"[0-9A-Za-z+/]{43}")
_SECRET: Final = re.compile(r"[0-9A-Za-z_-]{16,128}")


@transaction.atomic
def connect_official_account(
    *,
    name: str,
    appid: str,
    original_id: str,
    app_secret: str,
    callback_token: str,
    encoding_aes_key: str,
    at: datetime,
    mode: str = Mode.SAFE,
    open_platform_subject: str = "",
) -> OfficialAccount:
    """Connect a service account to the brand in scope. Raises AccountTaken, BadCredentials."""
    _check_appid(appid)
    _check_original_id(original_id)
    check_secret(app_secret)
    check_callback(callback_token, encoding_aes_key)
    if OfficialAccount.objects.filter(appid=appid).exists():
        raise AccountTaken
    account = OfficialAccount.objects.create(
        name=name,
        appid=appid,
        original_id=original_id,
        app_secret=app_secret,
        callback_token=callback_token,
        encoding_aes_key=encoding_aes_key,
        mode=mode,
        open_platform_subject=open_platform_subject,
        connected_at=at,
    )
    record_audit(action="connect account", obj=account, changes={"appid": [None, appid], "mode": [None, str(mode)]})
    return account


@transaction.atomic
def connect_mini_program(
    *,
    name: str,
    appid: str,
    app_secret: str,
    open_platform_subject: str = "",
) -> MiniProgram:
    """Connect a mini program to the brand in scope. Raises AccountTaken, BadCredentials."""
    _check_appid(appid)
    check_secret(app_secret)
    if MiniProgram.objects.filter(appid=appid).exists():
        raise AccountTaken
    program = MiniProgram.objects.create(
        name=name,
        appid=appid,
        app_secret=app_secret,
        open_platform_subject=open_platform_subject,
    )
    record_audit(action="connect mini program", obj=program, changes={"appid": [None, appid]})
    return program


@transaction.atomic
def change_app_secret(*, account: OfficialAccount | MiniProgram, app_secret: str) -> None:
    """Store a new AppSecret and let parked calls go on. Raises BadCredentials."""
    check_secret(app_secret)
    tokens.repaired(account)
    account.app_secret = app_secret
    account.save(update_fields=["app_secret"])
    record_audit(action="change AppSecret", obj=account, changes={"app_secret": ["***", "***"]})


@transaction.atomic
def change_callback_keys(
    *,
    account: OfficialAccount,
    callback_token: str,
    encoding_aes_key: str,
    at: datetime,
    overlap: timedelta = KEY_OVERLAP,
) -> None:
    """Store a new token and message key. Pushes under the old ones are accepted for `overlap` (reference: 1.3).

    Raises BadCredentials.
    """
    check_callback(callback_token, encoding_aes_key)
    keep_previous(account, callback_token=callback_token, encoding_aes_key=encoding_aes_key, at=at, overlap=overlap)
    account.callback_token, account.encoding_aes_key = callback_token, encoding_aes_key
    account.save(
        update_fields=[
            "callback_token",
            "encoding_aes_key",
            "previous_callback_token",
            "previous_encoding_aes_key",
            "previous_key_until",
        ],
    )
    record_audit(action="change message keys", obj=account, changes={"encoding_aes_key": ["***", "***"]})


def keep_previous(
    row: OfficialAccount | Platform,
    *,
    callback_token: str,
    encoding_aes_key: str,
    at: datetime,
    overlap: timedelta = KEY_OVERLAP,
) -> None:
    """Let the token and key that are about to be replaced hold for a while; the caller saves.

    What is not replaced keeps its predecessor only while that still holds: the new end must not revive an old secret.
    """
    over = row.previous_key_until is None or row.previous_key_until <= at
    changed = False
    for field, new in (("callback_token", callback_token), ("encoding_aes_key", encoding_aes_key)):
        present = getattr(row, field)
        if present is not None and present != Secret(new):
            setattr(row, f"previous_{field}", present)
            changed = True
        elif over:
            setattr(row, f"previous_{field}", None)
    if changed:
        row.previous_key_until = at + overlap


@transaction.atomic
def change_details(
    *, app: OfficialAccount | MiniProgram, name: str, original_id: str | None = None, mode: str | None = None
) -> None:
    """Correct what was typed when an app was connected; None leaves it as it is.

    What an account has authorised by scanning comes from WeChat. Raises BadCredentials, SetByWeChat.
    """
    wanted: dict[str, str] = {"name": name.strip()}
    if not 0 < len(wanted["name"]) <= _LONGEST_NAME:
        raise BadCredentials(_("The name must have 1 to 60 characters."), field="name")
    if isinstance(app, OfficialAccount) and (original_id is not None or mode is not None):
        if app.platform_appid:
            raise SetByWeChat
        if original_id is not None:
            wanted["original_id"] = original_id.strip()
            _check_original_id(wanted["original_id"])
        if mode is not None:
            if mode not in Mode.__members__:
                raise BadCredentials(_("There is no such message encryption."), field="mode")
            wanted["mode"] = mode
    changes = {field: [getattr(app, field), value] for field, value in wanted.items() if getattr(app, field) != value}
    if not changes:
        return
    for field, value in wanted.items():
        setattr(app, field, value)
    app.save(update_fields=list(wanted))
    record_audit(action="change", obj=app, changes=changes)


@transaction.atomic
def change_path(*, account: OfficialAccount) -> str:
    """Give the account a new callback path (the old one stops at once); gives the path token."""
    account.path_token = new_path_token()
    account.save(update_fields=["path_token"])
    record_audit(action="change callback address", obj=account)
    return account.path_token


@transaction.atomic
def set_subject(*, app: OfficialAccount | MiniProgram, subject: str) -> None:
    """Name the Open Platform account an app is bound to: within it a person has one UnionID."""
    before, app.open_platform_subject = app.open_platform_subject, subject[:60]
    app.save(update_fields=["open_platform_subject"])
    record_audit(action="change", obj=app, changes={"open_platform_subject": [before, app.open_platform_subject]})


@transaction.atomic
def set_active(*, account: OfficialAccount | MiniProgram, is_active: bool) -> None:
    """Connect or disconnect an account; callbacks of a disconnected one are refused within about a second."""
    before, account.is_active = account.is_active, is_active
    account.save(update_fields=["is_active"])
    record_audit(action="connect account" if is_active else "disconnect account", obj=account,
                 changes={"is_active": [before, is_active]})  # fmt: skip


def bump_replies_version(*, account_id: int) -> None:
    """Say that the account's reply rules have changed: gateways compile them anew within about a second."""
    OfficialAccount.objects.filter(pk=account_id).update(replies_version=F("replies_version") + 1)


def _check_appid(appid: str) -> None:
    if not _APPID.fullmatch(appid):
        raise BadCredentials(_("The AppID must be wx and 16 letters or digits."), field="appid")


def _check_original_id(original_id: str) -> None:
    if not _ORIGINAL_ID.fullmatch(original_id):
        raise BadCredentials(_("The original id must begin with gh_."), field="original_id")


def check_secret(app_secret: str) -> None:
    """Raise BadCredentials unless an AppSecret has the form WeChat gives it."""
    if not _SECRET.fullmatch(app_secret):
        raise BadCredentials(_("The AppSecret does not have the right form."), field="app_secret")


def check_callback(callback_token: str, encoding_aes_key: str) -> None:
    """Raise BadCredentials unless token and message key have the form WeChat gives them."""
    _check_token(callback_token)
    _check_message_key(encoding_aes_key)


def _check_token(callback_token: str) -> None:
    if not _TOKEN.fullmatch(callback_token):
        raise BadCredentials(_("The token must have 3 to 32 letters or digits."), field="callback_token")


def _check_message_key(encoding_aes_key: str) -> None:
    try:
        good = bool(_AES_KEY.fullmatch(encoding_aes_key)) and len(base64.b64decode(encoding_aes_key + "=")) == 32
    except binascii.Error:
        good = False
    if not good:
        raise BadCredentials(_("The message key must have 43 letters or digits."), field="encoding_aes_key")


_CHECKS: Final[dict[str, Callable[[str], None]]] = {
    "appid": _check_appid,
    "original_id": _check_original_id,
    "app_secret": check_secret,
    "callback_token": _check_token,
    "encoding_aes_key": _check_message_key,
}


def malformed(values: Mapping[str, str]) -> list[BadCredentials]:
    """All that does not have the form WeChat gives it, so that a person hears of everything at once."""
    found: list[BadCredentials] = []
    for name, check in _CHECKS.items():
        try:
            check(values[name]) if name in values else None
        except BadCredentials as error:
            found.append(error)
    return found
