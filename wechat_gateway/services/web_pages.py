"""Web pages that use WeChat's JS-SDK: which hosts may, and the signature each page asks for."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tenancy import brand_scope
from common.errors import Invalid
from wechat_gateway import js_tickets
from wechat_gateway.errors import AccountNotFound
from wechat_gateway.models import OfficialAccount

MOST_DOMAINS: Final = 5  # reference: 5.14
LONGEST_URL: Final = 2_000
_DOMAIN: Final = re.compile(r"(?=.{4,100}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,24}")
_ODD: Final = re.compile(r"[\s\x00-\x1f\x7f<>\"\\^`{|}]")


class DomainInvalid(Invalid):
    """A host cannot be one of the JS-safe domains."""

    code = "domain_invalid"


class PageNotSigned(Invalid):
    """An address gets no signature: it is none, or its host is not in the account's list."""

    code = "page_not_signed"


@dataclass(frozen=True, slots=True)
class PageSignature:
    """What a page gives to `wx.config`."""

    appid: str
    timestamp: int
    nonce: str
    signature: str
    expires_at: datetime


@transaction.atomic
def set_js_domains(*, account: OfficialAccount, domains: Sequence[str]) -> None:
    """Name the hosts whose pages may use the JS-SDK, as in WeChat's console. Raises DomainInvalid."""
    wanted = list(dict.fromkeys(each.strip().lower() for each in domains if each.strip()))
    if len(wanted) > MOST_DOMAINS:
        raise DomainInvalid(
            _("An account has at most five JS-safe domains."), hint=_("Take some out."), field="js_domains"
        )
    for each in wanted:
        if not _DOMAIN.fullmatch(each):
            raise DomainInvalid(
                _("“%(domain)s” is no domain.") % {"domain": each[:60]},
                hint=_("Write it like www.example.com, without https://, port or path."),
                field="js_domains",
            )
    before, account.js_domains = account.js_domains, wanted
    account.save(update_fields=["js_domains"])
    record_audit(action="change JS-safe domains", obj=account, changes={"js_domains": [before, wanted]})


def sign_page(*, brand_id: int, appid: str, url: str, at: datetime) -> PageSignature:
    """Sign the address of a page of the brand. Raises AccountNotFound, PageNotSigned, CallsParked.

    Only hosts in the account's list are signed, or anybody could have any page signed. Opens its own scopes.
    """
    with brand_scope(brand_id):
        account = OfficialAccount.objects.filter(appid=appid, is_active=True).first()
    if account is None:
        raise AccountNotFound
    page = _checked(url, account)
    ticket = js_tickets.current(account, at=at)
    nonce, timestamp = secrets.token_hex(8), int(at.timestamp())
    signature = js_tickets.sign(ticket.secret, nonce=nonce, timestamp=timestamp, url=page)
    return PageSignature(account.appid, timestamp, nonce, signature, ticket.expires_at)


def _checked(url: str, account: OfficialAccount) -> str:
    """Give the address without its fragment, which WeChat does not sign."""
    page = url.partition("#")[0]
    try:
        parts = urlsplit(page)
        host, _port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc or _ODD.search(page):
        raise PageNotSigned(
            _("This is no address of a page."), hint=_("Send location.href as the browser has it."), field="url"
        )
    if len(page) > LONGEST_URL:
        raise PageNotSigned(_("The address has more than 2,000 characters."), hint="", field="url")
    if host not in account.js_domains:
        raise PageNotSigned(
            _("“%(host)s” is not one of the account's JS-safe domains.") % {"host": host[:60]},
            hint=_("Name it on the page of the service account, and in WeChat's console."),
            field="url",
        )
    return page
