"""A notice to one person, from their conversation: choose a template, fill it in, look at it, send it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import selectors, services
from campaigns.carriers import carriers
from campaigns.errors import NoticeRefused
from campaigns.models import NOTICES, Family
from campaigns.services.drafts import preview
from campaigns.services.notices import draft_of
from common.clock import now
from common.errors import AppError
from console.http import row_id, viewer_of
from console.site import page_response
from inbox.errors import ConversationMissing
from inbox.models import SendState
from inbox.selectors import conversation_seen_by, was_sent
from members.opened import shows
from members.services import note_opened

if TYPE_CHECKING:
    from django.http import QueryDict

    from campaigns.models import MessageTemplate
    from inbox.models import Conversation


def notice(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the form, or send what was filled in."""
    conversation = conversation_seen_by(viewer_of(request), pk)
    if conversation is None:
        raise ConversationMissing
    data = request.POST if request.method == "POST" else request.GET
    agreed = selectors.agreed_notices(conversation.follower_id, conversation.account_id)
    usable = [template for template, _left in agreed]
    lefts = {template.pk: left for template, left in agreed if template.family == Family.NOTICE_ONCE}
    if conversation.follower.subscribed:
        usable += selectors.templates(conversation.account_id)
    if request.method == "POST" and _was_sent(conversation, data):
        return HttpResponseRedirect(reverse("admin:inbox_conversation", args=[pk]))
    template = _chosen(usable, data)
    content = _content(template, data)
    context: dict[str, Any] = {
        "title": _("Notice to %(name)s") % {"name": conversation.follower.member},
        "conversation": conversation,
        "back": reverse("admin:inbox_conversation", args=[pk]),
        "templates": [{"row": each, "left": lefts.get(each.pk)} for each in usable],
        "template": template,
        "agreed_to": template is not None and template.family in NOTICES,
        "abouts": services.ABOUTS.items(),
        "about": data.get("about", ""),
        "client_key": uuid4(),
    }
    if request.method == "POST" and template is not None:
        try:
            line = services.send_notice(
                conversation=conversation,
                staff_id=_staff_id(request),
                template=template,
                content=content,
                about=data.get("about", ""),
                client_key=_key(data),
                at=now(),
            )
        except AppError as error:
            context |= {"refusal": error, "client_key": data.get("client_key", "")}
        else:
            if line.state == SendState.REFUSED:
                messages.error(request, _("WeChat did not take the notice. The reason stands below it."))
            else:
                on_its_way = line.state in (SendState.QUEUED, SendState.SENDING)
                messages.success(request, _("The notice is on its way.") if on_its_way else _("The notice was sent."))
            return HttpResponseRedirect(context["back"])
    note_opened(member_id=conversation.follower.member_id, page="campaigns.notice", at=now())
    if template is not None:
        context |= _written(conversation, template, content)
    return page_response(request, "campaigns/notice.html", context)


def _was_sent(conversation: Conversation, data: QueryDict) -> bool:
    """Whether this was pressed before: the last notification that somebody agreed to can no longer be chosen."""
    known = selectors.templates(conversation.account_id, NOTICES).filter(pk=row_id(data.get("template")) or 0)
    return known.exists() and was_sent(conversation.pk, _key(data))


def _chosen(usable: list[MessageTemplate], data: QueryDict) -> MessageTemplate | None:
    wanted = row_id(data.get("template"))
    found = next((row for row in usable if row.pk == wanted), None)
    if wanted is not None and found is None:
        raise Http404
    return found or (usable[0] if usable else None)


def _content(template: MessageTemplate | None, data: QueryDict) -> dict[str, str]:
    fields = template.fields if template else []
    return {field["key"]: data.get(f"content.{field['key']}", "").strip()[:200] for field in fields}


def _written(conversation: Conversation, template: MessageTemplate, content: dict[str, str]) -> dict[str, Any]:
    draft = draft_of(conversation, template, content)
    shown = preview(campaign=draft, member=conversation.follower.member)
    rows = [{"label": field.label, "value": field.text} for field in shown.fields]
    infos = carriers.get(draft.carrier).fields(draft)
    return {
        "fields": [{"info": info, "name": f"content.{info.key}", "text": content[info.key]} for info in infos],
        "phone": {
            "account": conversation.account.name,
            "bubbles": [{"kind": "card", "title": template.title, "rows": rows}],
        },
    }


def _staff_id(request: HttpRequest) -> int:
    staff_id = viewer_of(request).staff_id
    if staff_id is None:
        raise NoticeRefused(_("Only people of the brand can write to somebody."))
    return staff_id


def _key(data: QueryDict) -> UUID:
    try:
        return UUID(data.get("client_key", ""))
    except ValueError as error:
        raise Http404 from error


shows("campaigns.notice", gettext_lazy("Notice to one person"), "name")
