"""Drafts of the menu and what WeChat is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tenancy import brand_scope
from conversations.errors import MenuInvalid, MenuRefused
from conversations.menus import faults
from conversations.models import Menu
from wechat_gateway import calls
from wechat_gateway.errcodes import explain
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from datetime import datetime


def save_menu(*, account: OfficialAccount, buttons: list[dict[str, Any]]) -> Menu:
    """Keep a draft; it may be incomplete. Publishing checks it."""
    menu, _created = Menu.objects.get_or_create(account=account)
    record_audit(action="change menu draft", obj=menu, changes={"draft": [menu.draft, buttons]})
    menu.draft = buttons
    menu.save(update_fields=["draft"])
    return menu


def publish_menu(brand_id: int, account_id: int, *, at: datetime) -> Menu:
    """Give WeChat the draft as the default menu. Raises `MenuInvalid` before the call, `MenuRefused` after it.

    Opens its own scopes: the call to WeChat happens outside any transaction.
    """
    with brand_scope(brand_id):
        account = OfficialAccount.objects.get(pk=account_id)
        menu, _created = Menu.objects.get_or_create(account=account)
        draft = menu.draft
    for fault in faults(draft):
        raise MenuInvalid(fault.path, fault.message)
    answer = calls.create_menu(account, draft, at=at)
    if not answer.ok:
        said = explain(answer.code) if answer.code else None
        cause = str(said.cause) if said else _("WeChat could not be reached (%(cause)s)") % {"cause": answer.cause}
        raise MenuRefused(cause, str(said.action) if said else _("Try again in a few minutes."))
    with brand_scope(brand_id):
        menu = Menu.objects.select_for_update().get(pk=menu.pk)
        record_audit(action="publish menu", obj=menu, changes={"published": [menu.published, draft]})
        menu.published, menu.published_at = draft, at
        menu.save(update_fields=["published", "published_at"])
    return menu
