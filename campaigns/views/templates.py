"""Message templates as WeChat knows them, with what each of their fields takes."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from campaigns import on_screen, selectors, services, typed_keys
from campaigns.models import NOTICES, Family, MessageTemplate
from common.clock import now
from common.errors import AppError
from console import formats
from console.site import page_response
from wechat_gateway.models import OfficialAccount


def templates(request: HttpRequest) -> HttpResponse:
    """List the templates of every service account."""
    rows = MessageTemplate.objects.order_by("-is_active", "-family", "title", "pk")
    accounts = list(OfficialAccount.objects.order_by("-is_active", "pk"))
    by_account: dict[int, list[dict[str, Any]]] = {account.pk: [] for account in accounts}
    agreed = selectors.consents_by_template([account.pk for account in accounts])
    last: dict[int, Any] = {}
    for row in rows:
        people, left = agreed.get((row.account_id, row.template_id), (0, 0))
        by_account.setdefault(row.account_id, []).append(
            {
                "row": row,
                "fields": [_field(each) for each in row.fields],
                "is_notice": row.family in NOTICES,
                "is_long": row.family == Family.NOTICE_LONG,
                "people": people,
                "left": left,
            }
        )
        last[row.account_id] = max(row.synced_at, last.get(row.account_id, row.synced_at))
    context = {
        "title": _("Message templates"),
        "groups": [
            {"account": each, "templates": by_account[each.pk], "synced_at": last.get(each.pk)} for each in accounts
        ],
        "can_edit": on_screen.may_edit(request),
    }
    return page_response(request, "campaigns/templates.html", context)


def sync(request: HttpRequest, account_id: int) -> HttpResponse:
    """Fetch the templates of one service account from WeChat."""
    on_screen.require_post(request, "campaigns.edit")
    account = OfficialAccount.objects.filter(pk=account_id).first()
    if account is None:
        raise Http404
    try:
        count = services.sync_templates(account=account, at=now())
    except AppError as error:
        messages.error(request, " ".join(part for part in (error.message, error.hint) if part))
    else:
        said = ngettext(
            "%(count)s template of “%(name)s” is up to date.",
            "%(count)s templates of “%(name)s” are up to date.",
            count,
        )
        messages.success(request, said % {"count": formats.count(count), "name": account.name})
    return HttpResponseRedirect(reverse("admin:campaigns_messagetemplate_list"))


def _field(each: dict[str, str]) -> dict[str, str]:
    kind = typed_keys.type_of(each["key"])
    return {
        "key": each["key"],
        "label": each["label"],
        "type": str(kind.label) if kind else "",
        "rule": str(kind.rule) if kind else "",
    }
