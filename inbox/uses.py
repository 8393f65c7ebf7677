"""Which replies and menus name a file of the library by WeChat's id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils.translation import gettext as _

from conversations.models import Menu, ReplyRule
from library.models import MediaCopy
from library.uses import Use

if TYPE_CHECKING:
    from collections.abc import Sequence


def by_wechats_id(item_ids: Sequence[int]) -> dict[int, list[Use]]:
    """Give where the permanent copies of files are named: in replies, and in buttons of the menu; three queries."""
    copies = MediaCopy.objects.filter(item_id__in=list(item_ids), permanent=True).exclude(media_id="")
    item_of = dict(copies.order_by("pk").values_list("media_id", "item_id"))
    found: dict[int, list[Use]] = {}
    if not item_of:
        return found
    rules = ReplyRule.objects.filter(media_id__in=list(item_of)).order_by("position", "pk")
    for pk, name, media_id in rules.values_list("pk", "name", "media_id"):
        link = reverse("admin:conversations_replyrule_change", args=[pk])
        found.setdefault(item_of[media_id], []).append(Use(_("Automatic reply"), name, link))
    for menu in Menu.objects.select_related("account").order_by("pk"):
        said = f"{menu.draft} {menu.published}"
        for media_id, item_id in item_of.items():
            if media_id in said:
                link = f"{reverse('admin:conversations_menu')}?account={menu.account_id}"
                found.setdefault(item_id, []).append(Use(_("Menu"), menu.account.name, link))
    return found
