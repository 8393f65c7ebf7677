"""In which words people hear news of what they have, and by which template when they cannot be written to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from campaigns import services
from campaigns.carriers import carriers
from campaigns.models import NOTICES, Family, MessageTemplate, NewsPlan
from campaigns.selectors import consents_by_template
from campaigns.services.drafts import preview
from campaigns.services.news import draft_of, news_problems, proposed
from common.clock import now
from common.errors import AppError
from console.http import row_id, viewer_of
from console.site import page_response
from loyalty.models import NewsText
from loyalty.news import kinds
from loyalty.selectors import birthdays as birthday_selectors
from loyalty.selectors import points as point_selectors
from loyalty.services import save_news_text
from loyalty.services.notices import filled
from members.models import Member

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import QueryDict

_FIRST: Final = "points"
_MOST: Final = 100  # templates to choose from: WeChat allows 25 of each kind an account


def news(request: HttpRequest) -> HttpResponse:
    """Show what is set up, and the form of one kind of news and one template; save it, or show it filled in."""
    data = request.POST if request.method == "POST" else request.GET
    about = data.get("about", _FIRST)
    kind = kinds.find(about)
    if kind is None:
        raise Http404
    viewer = viewer_of(request)
    words = NewsText.objects.filter(about=about).first() or NewsText(about=about, text=kind.text)
    if request.method == "POST" and data.get("act") == "words" and kind.source is not None:
        viewer.require("points.edit")
        refusal = _save_words(words, data)
        if refusal is None:
            messages.success(request, _("Saved."))
            return HttpResponseRedirect(f"{reverse('admin:campaigns_news')}?about={about}")
    else:
        refusal = None
    families = [*NOTICES, Family.TEMPLATE] if kind.by_template else NOTICES
    known = MessageTemplate.objects.select_related("account").filter(
        family__in=families, is_active=True, account__is_active=True
    )
    usable = list(known.order_by("account", "family", "title", "pk")[:_MOST])
    plans = list(NewsPlan.objects.select_related("account", "template").order_by("about", "account", "way", "pk"))
    accounts = {each.account_id for each in usable} | {each.account_id for each in plans}
    stock = consents_by_template(accounts) if accounts else {}
    template, plan = _chosen(usable, plans, about, data)
    posted = request.method == "POST" and template is not None and data.get("act") != "words"
    content = _content(template, plan, about, data if posted else {})
    is_on = data.get("is_on") == "on" if posted else plan is None or plan.is_on
    context: dict[str, Any] = {
        "title": _("News of points, coupons and tiers"),
        "may": viewer.can("points.edit"),
        "about": about,
        "abouts": [(key, each.label) for key, each in kinds.items()],
        "templates": usable,
        "template": template,
        "plan": plan,
        "is_on": is_on,
        "words": kind.spelled().values(),
        "says_day": about == _FIRST,
        "plans": [_shown(each, stock) for each in plans if each.about in dict(kinds.items())],
        "texts": _texts(),
        "source": kind.source,
        "text": words,
        "shown": kind.shown(words.text),
        "in_advance": kind.in_advance,
        "filled": filled(words.text, about, kind.samples),
        "account": template.account.name if template else "",
    }
    if refusal is not None:
        context["refusal"] = refusal
    if posted and template is not None:
        viewer.require("points.edit")
        if data.get("act") != "preview":
            try:
                services.save_news_plan(about=about, template=template, content=content, is_on=is_on, at=now())
            except AppError as error:
                context["refusal"] = error
            else:
                messages.success(request, _("Saved."))
                there = reverse("admin:campaigns_news")
                return HttpResponseRedirect(f"{there}?about={about}&template={template.pk}")
    if template is not None:
        context |= _written(template, about, content)
        context["missing"] = _missing(template, plan, about, content, stock, words)
    return page_response(request, "campaigns/news.html", context, status=422 if "refusal" in context else 200)


def _chosen(
    usable: list[MessageTemplate], plans: list[NewsPlan], about: str, data: QueryDict
) -> tuple[MessageTemplate | None, NewsPlan | None]:
    """Give the template that is asked for, else the one that is set up, else the first."""
    wanted = row_id(data.get("template"))
    mine = {plan.template_id: plan for plan in plans if plan.about == about}
    found = next((row for row in usable if row.pk == wanted), None)
    if wanted is not None and found is None:
        raise Http404
    found = found or next((row for row in usable if row.pk in mine), usable[0] if usable else None)
    return found, mine.get(found.pk) if found is not None else None


def _content(
    template: MessageTemplate | None, plan: NewsPlan | None, about: str, data: Mapping[str, Any]
) -> dict[str, str]:
    """Give what stands in each field: what was typed, else what is set up, else what fits its type."""
    if template is None:
        return {}
    stored = plan.content if plan else proposed(template, about)
    found = {}
    for field in template.fields:
        text = data.get(f"content.{field['key']}", stored.get(field["key"], "")).strip()[:200]
        found[field["key"]] = kinds.get(about).shown(text)
    return found


def _written(template: MessageTemplate, about: str, content: dict[str, str]) -> dict[str, Any]:
    """Give the fields, and the message on a phone, filled in for somebody who does not exist."""
    draft = draft_of(template, about, content, kinds.get(about).samples)
    infos = carriers.get(draft.carrier).fields(draft)
    member = Member(name=_("Li Ming"), member_no="0000012345", phone_tail="8000", city=_("Shanghai"))
    rows = [{"label": field.label, "value": field.text} for field in preview(campaign=draft, member=member).fields]
    return {
        "fields": [{"info": info, "name": f"content.{info.key}", "text": content[info.key]} for info in infos],
        "phone": {
            "account": template.account.name,
            "bubbles": [{"kind": "card", "title": template.title, "rows": rows}],
        },
    }


def _missing(
    template: MessageTemplate,
    plan: NewsPlan | None,
    about: str,
    content: dict[str, str],
    stock: dict[tuple[int, str], tuple[int, int]],
    words: NewsText,
) -> list[dict[str, str]]:
    """Say what keeps people from hearing it, in words; empty when nothing does."""
    found = []
    if about == "points" and not point_selectors.policy().warn_text:
        found.append((_("Nobody is told: the text in the points settings is empty."), "admin:loyalty_settings"))
    programme = birthday_selectors.programme() if about == "birthday" else None
    if programme is not None and not (programme.is_on and programme.text):
        said = _("Nobody is told: the birthday benefit is off, or its text is empty.")
        found.append((said, "admin:loyalty_birthdays"))
    if kinds.get(about).source is not None and not words.is_on:
        found.append((_("Nobody is told: it is switched off above."), ""))
    found += [(f"{each.message} {each.hint}".strip(), "") for each in news_problems(template, about, content)]
    if template.family in NOTICES and not stock.get((template.account_id, template.template_id)):
        said = _("Nobody has agreed to this notification yet. People agree in an article or on a page of yours.")
        found.append((said, ""))
    if plan is None:
        found.append((_("This is not saved yet."), ""))
    elif not plan.is_on:
        found.append((_("It is switched off."), ""))
    return [{"text": text, "link": reverse(link) if link else ""} for text, link in found]


def _shown(plan: NewsPlan, stock: dict[tuple[int, str], tuple[int, int]]) -> dict[str, Any]:
    """Give what is set up, how many people it still reaches, and how it stands."""
    agreed = plan.template.family in NOTICES
    people, left = stock.get((plan.account_id, plan.template.template_id), (0, 0))
    state, tone = pgettext("news", "On"), "success"
    if not plan.is_on:
        state, tone = pgettext("news", "Off"), ""
    elif not plan.account.is_active:
        state, tone = _("This service account is not connected."), "danger"
    elif not plan.template.is_active:
        state, tone = _("The template is gone at WeChat"), "danger"
    elif news_problems(plan.template, plan.about, plan.content):
        state, tone = _("Fields do not fit"), "danger"
    elif agreed and not people:
        state, tone = _("Nobody has agreed"), "warning"
    return {
        "row": plan,
        "about": kinds.get(plan.about).label,
        "agreed": agreed,
        "people": people,
        "left": None if plan.template.family == Family.NOTICE_LONG else left,
        "state": state,
        "tone": tone,
        "link": f"?about={plan.about}&template={plan.template_id}" if plan.template.is_active else "",
    }


def _save_words(words: NewsText, data: QueryDict) -> AppError | None:
    """Save in which words people are told; gives why not, with what was typed left in place."""
    days = data.get("days", "")
    words.text, words.is_on = data.get("text", ""), data.get("is_on") == "on"
    words.days = int(days) if days.isascii() and days.isdigit() and len(days) < 4 else 0
    try:
        save_news_text(about=words.about, text=words.text, days=words.days, is_on=words.is_on, at=now())
    except AppError as error:
        return error
    return None


def _texts() -> list[dict[str, Any]]:
    """Give every kind of news with words of its own here: whether it is told, and in which words."""
    stored = {row.about: row for row in NewsText.objects.order_by("about")}
    return [
        {
            "key": key,
            "label": kind.label,
            "in_advance": kind.in_advance,
            "row": stored.get(key),
            "text": kind.shown(stored[key].text) if key in stored else "",
        }
        for key, kind in kinds.items()
        if kind.source is not None
    ]
