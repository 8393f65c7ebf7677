"""The page of a tag at WeChat: what is there, room for others, deleting it there and making it again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from common.clock import now
from common.errors import AppError
from console.http import brand_of, row_id, viewer_of
from console.registry import Page, pages
from console.site import page_response
from members import services
from members.models import RemoteTag, RemoteTagState, Tag, TagDirection, TagGroup, TagRoll
from members.services.tag_rolls import MOST_TAGS
from members.uses import uses_of
from wechat_gateway.errcodes import explain
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from datetime import datetime

STALE = timedelta(minutes=2)  # older than what keeping tags in step reads by itself


def tag_at_wechat(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a tag as an account has it at WeChat, among all that the account has there; delete it or make it again."""
    tag = Tag.objects.filter(pk=pk).first()
    if tag is None:
        raise Http404
    accounts = list(OfficialAccount.objects.filter(is_active=True).order_by("pk"))
    account = _chosen(request, accounts)
    if request.method == "POST":
        viewer_of(request).require("tags.edit")
        if account is None:
            raise Http404
        try:
            said = _do(tag, account, request.POST.get("act", ""))
        except AppError as error:
            messages.error(request, " ".join(part for part in (error.message, error.hint) if part))
        else:
            messages.success(request, said)
        return HttpResponseRedirect(f"{reverse('admin:tag_at_wechat', args=[pk])}?account={account.pk}")
    context: dict[str, Any] = {
        "title": _("“%(name)s” at WeChat") % {"name": tag.name},
        "tag": tag,
        "accounts": accounts,
        "account": account,
        "may_edit": viewer_of(request).can("tags.edit"),
    }
    if account is not None:
        context |= _there(tag, account, at=now())
        if context["reading"] or context["moving"]:
            services.look_at_rolls(account_ids=[account.pk], brand_id=brand_of(request).pk)
    return page_response(request, "members/tags/at_wechat.html", context)


def _chosen(request: HttpRequest, accounts: list[OfficialAccount]) -> OfficialAccount | None:
    wanted = request.POST.get("account") or request.GET.get("account")
    if not wanted:
        return accounts[0] if accounts else None
    found = next((row for row in accounts if row.pk == row_id(wanted)), None)
    if found is None:
        raise Http404
    return found


def _do(tag: Tag, account: OfficialAccount, act: str) -> str:
    if act == "delete":
        there = services.delete_at_wechat(tag=tag, account_id=account.pk)
        return _("The tag is being deleted at WeChat. People here keep it.") if there else _("WeChat has it no more.")
    if act == "make":
        services.make_again(tag=tag, account=account, at=now())
        return _("The tag is being made at WeChat again, with the people who carry it here.")
    if act == "drop":
        services.set_tag_sync(tag=tag, sync=False)
        return _("The tag stays here alone.")
    raise Http404


def _there(tag: Tag, account: OfficialAccount, *, at: datetime) -> dict[str, Any]:
    """Give what WeChat has, what of it is ours, and what may be done with this tag."""
    roll = TagRoll.objects.filter(account=account).first() or TagRoll(account=account)
    linked = {row.remote_id: row for row in RemoteTag.objects.filter(account=account).select_related("tag")}
    own = next((row for row in linked.values() if row.tag_id == tag.pk), None)
    if own is not None:
        own.account, own.tag = account, tag
    refusal, hint = services.why_not_deleted(own) if own is not None else ("", "")
    rows = [{**each, "ours": linked[each["id"]].tag if each["id"] in linked else None} for each in roll.tags]
    pulled = TagGroup.objects.filter(name=tag.group, direction=TagDirection.PULL).exists()
    wanted = tag.pk in roll.wanted
    return {
        "own": own,
        "listed": next((each for each in rows if own is not None and each["id"] == own.remote_id), None),
        "leaving": own is not None and own.state == RemoteTagState.LEAVING,
        "filling": wanted or (own is not None and own.state == RemoteTagState.FILLING),
        "lost": own is None and tag.sync and pulled and not wanted,
        "waits": own is None and tag.sync and not pulled,
        "refusal": refusal,
        "hint": hint,
        "uses": uses_of(own) if own is not None and not tag.sync else [],
        "refused": explain(own.refused_code) if own is not None and own.refused_code else None,
        "roll": roll,
        "rows": sorted(rows, key=lambda each: (each["ours"] != tag, each["name"])),
        "left": max(0, MOST_TAGS - len(rows)),
        "most": MOST_TAGS,
        "reading": not roll.problem and (roll.read_at is None or at - roll.read_at > STALE),
        "moving": own is not None and own.state == RemoteTagState.LEAVING,
    }


pages.register("tag_at_wechat", Page("tags/<int:pk>/wechat/", tag_at_wechat, "tag_at_wechat", "tags"))
