"""Pages of automatic tags: the list, and the builder that says what a rule would do before it is saved."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.clock import now
from console.http import row_id, viewer_of
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from members import rule_form, services
from members.errors import RuleInvalid, TagRuleNameTaken
from members.models import Tag, TagRule
from members.picks import remembering
from members.segments import sentence

if TYPE_CHECKING:
    from django.db.models import QuerySet

MOST_SHOWN = 200
NAME_LENGTH = 40
FIRST_RULE: dict[str, Any] = {"all": [{"condition": "last_interaction", "params": {"how": "within", "days": 30}}]}


def tag_rules(request: HttpRequest) -> HttpResponse:
    """Show the brand's automatic tags, by name."""
    rows = list(TagRule.objects.select_related("tag").order_by("name", "pk")[:MOST_SHOWN])
    with remembering(rule_form.names_in(row.rule for row in rows)):
        shown = [{"row": row, "sentence": _said(row.rule)} for row in rows]
    context = {"title": _("Automatic tags"), "rules": shown, "can_edit": viewer_of(request).can("tags.edit")}
    return page_response(request, "members/tags/rules.html", context)


def tag_rule_new(request: HttpRequest) -> HttpResponse:
    """Build an automatic tag."""
    viewer_of(request).require("tags.edit")
    return _save(request, None) if request.method == "POST" else _builder(request, None, FIRST_RULE)


def tag_rule_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Look at an automatic tag, change it, switch it, or take it away with its tags."""
    row = TagRule.objects.select_related("tag").filter(pk=pk, removed_at=None).first()
    if row is None:
        raise Http404
    if request.method != "POST":
        return _builder(request, row, row.rule)
    viewer_of(request).require("tags.edit")
    act = request.POST.get("act", "")
    if act == "remove":
        services.remove_tag_rule(tag_rule=row, at=now())
        messages.success(request, _("“%(name)s” is being removed with the tags it gave.") % {"name": row.name})
        return HttpResponseRedirect(reverse("admin:tag_rules"))
    if act in {"on", "off"}:
        services.switch_tag_rule(tag_rule=row, is_on=act == "on", at=now())
        return HttpResponseRedirect(request.path)
    return _save(request, row)


def tag_rule_preview(request: HttpRequest) -> HttpResponse:
    """Say what the rule on screen would do: tag so many, untag so many. Nothing is changed."""
    viewer_of(request).require("tags.edit")
    if request.method != "POST":
        raise Http404
    started = time.monotonic()
    context: dict[str, Any] = {}
    try:
        rule = rule_form.rule_of(request.POST)
        tag = _tag_of(request)
        context["sentence"] = sentence(rule)
        context["tag"] = tag
        if tag is not None:
            context["run"] = services.dry_run(
                rule=rule,
                tag_id=tag.pk,
                at=now(),
                stays="stays" in request.POST,
                rule_id=row_id(request.POST.get("rule_id", "")),
            )
        context["seconds"] = max(round(time.monotonic() - started, 1), 0.1)
    except RuleInvalid as error:
        context = {"fault": rule_form.fault_of(error)}
    response = TemplateResponse(request, "members/tags/_preview.html", context)
    response["X-Version"] = request.POST.get("version", "")[:12]
    return response


def _save(request: HttpRequest, row: TagRule | None) -> HttpResponse:
    name = request.POST.get("name", "").strip()
    errors: dict[str, str] = {}
    fault: rule_form.Fault | None = None
    rule: dict[str, Any] = FIRST_RULE
    tag = _tag_of(request)
    if not name or len(name) > NAME_LENGTH:
        errors["name"] = _("Give the automatic tag a name of 1 to %(count)s characters.") % {"count": NAME_LENGTH}
    if tag is None:
        errors["tag"] = _("Choose the tag that it gives.")
    try:
        rule = rule_form.rule_of(request.POST)
        if not errors and tag is not None:
            saved = services.save_tag_rule(
                name=name, tag_id=tag.pk, rule=rule, stays="stays" in request.POST, at=now(), tag_rule=row
            )
            messages.success(request, _("Saved. Everybody is being looked at; this page shows how far it is."))
            return HttpResponseRedirect(reverse("admin:tag_rule_edit", args=[saved.pk]))
    except RuleInvalid as error:
        fault = rule_form.fault_of(error)
        errors["rule"] = error.message
    except TagRuleNameTaken as error:
        errors["name"] = f"{error.message} {error.hint}"
    return _builder(request, row, rule, errors=errors, fault=fault)


def _builder(
    request: HttpRequest,
    row: TagRule | None,
    rule: object,
    *,
    errors: dict[str, str] | None = None,
    fault: rule_form.Fault | None = None,
) -> HttpResponse:
    can_edit = viewer_of(request).can("tags.edit")
    posted = request.method == "POST"
    context = {
        "title": row.name if row else _("New automatic tag"),
        "zy_object": row or _("New automatic tag"),
        "tag_rule": row,
        "name": request.POST.get("name", row.name if row else "")[: NAME_LENGTH * 2],
        "name_length": NAME_LENGTH,
        "chosen": _tag_of(request) if posted else (row.tag if row else None),
        "stays": "stays" in request.POST if posted else bool(row and row.stays),
        "tags": _offered(),
        "errors": errors or {},
        "rule_json": json.dumps(rule, ensure_ascii=False),
        "said": _said(row.rule) if row else "",
        **rule_form.tree_context(rule, fault=fault, can_edit=can_edit),
    }
    return page_response(request, "members/tags/rule.html", context, status=422 if errors else 200)


def _offered() -> QuerySet[Tag]:
    return Tag.objects.order_by("group", "name", "pk")[:500]


def _tag_of(request: HttpRequest) -> Tag | None:
    pk = row_id(request.POST.get("tag", ""))
    return Tag.objects.filter(pk=pk).first() if pk is not None else None


def _said(rule: object) -> str:
    try:
        return sentence(rule)
    except RuleInvalid as error:
        return error.message


nav.register(
    "members.tag_rules", Tab("members", gettext_lazy("Automatic tags"), "tag_rules", "tags", 32, prefix="tag_rule_")
)
for _page in (
    Page("tags/automatic/", tag_rules, "tag_rules", "tags"),
    Page("tags/automatic/new/", tag_rule_new, "tag_rule_new", "tags", "edit"),
    Page("tags/automatic/preview/", tag_rule_preview, "tag_rule_preview", "tags", "edit"),
    Page("tags/automatic/<int:pk>/", tag_rule_edit, "tag_rule_edit", "tags"),
):
    pages.register(_page.name, _page)
