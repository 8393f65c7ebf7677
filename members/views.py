"""The pages of segments: the list, and the builder that counts before anything is saved."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from common.clock import now
from console import formats
from console.http import row_id, viewer_of
from console.registry import Hit, Page, SearchGroup, Tab, nav, pages, search_groups
from console.site import page_response
from members import rule_form, segment_preview, selectors
from members import services as member_services
from members.errors import LimitInvalid, RuleInvalid, SegmentNameTaken
from members.freshness import Age, age_of, span
from members.models import ONE_IN, Freshness, Segment, SegmentMember
from members.picks import picks, remembering
from members.segments import compile_rule, sentence
from members.why import explain

if TYPE_CHECKING:
    from accounts.viewer import Viewer

PER_PAGE = 50
CHOICES = 20
NAME_LENGTH = 60
LONGEST_RULE = 6_000  # in an address
EARLIEST = datetime(2011, 1, 1, tzinfo=UTC)  # before WeChat
FIRST_RULE: dict[str, Any] = {"all": [{"condition": "subscribed", "params": {"value": "yes"}}]}


def segment_list(request: HttpRequest) -> HttpResponse:
    """Show the brand's segments, the one changed last on top."""
    term = request.GET.get("q", "").strip()[:NAME_LENGTH]
    page = _number(request.GET.get("p"), 1, 200)
    rows = selectors.segments()
    if term:
        rows = rows.filter(name__icontains=term)
    first = (page - 1) * PER_PAGE
    found = list(rows[first : first + PER_PAGE + 1])
    with remembering(rule_form.names_in(row.rule for row in found)):
        at = now()
        shown = [{"row": row, "sentence": _said(row.rule), "age": age_of(row, at=at)} for row in found[:PER_PAGE]]
    context = {
        "title": _("Segments"),
        "segments": shown,
        "term": term,
        "can_edit": viewer_of(request).can("segments.edit"),
        "previous": page - 1 if page > 1 else None,
        "next": page + 1 if len(found) > PER_PAGE else None,
    }
    return page_response(request, "members/segments/list.html", context)


def segment_new(request: HttpRequest) -> HttpResponse:
    """Build a segment."""
    viewer_of(request).require("segments.edit")
    if request.method == "POST":
        return _save(request, None)
    return _builder(request, None, _asked_for(request), name=request.GET.get("name", ""))


def _asked_for(request: HttpRequest) -> object:
    """Give the rule that another page begins a segment with, such as a cell of a table; else the usual one."""
    text = request.GET.get("rule", "")
    if not text or len(text) > LONGEST_RULE:
        return FIRST_RULE
    try:
        rule = json.loads(text)
        compile_rule(rule, at=now())
    except (ValueError, RecursionError, RuleInvalid):
        return FIRST_RULE
    return rule


def segment_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Look at a segment, or build on it."""
    segment = Segment.objects.filter(pk=pk).first()
    if segment is None:
        raise Http404
    if request.method == "POST":
        viewer_of(request).require("segments.edit")
        return _save(request, segment)
    return _builder(request, segment, segment.rule)


def segment_why(request: HttpRequest, pk: int) -> HttpResponse:
    """Say why one person is in a segment or not, now or at a past time."""
    segment = Segment.objects.filter(pk=pk).first()
    if segment is None:
        raise Http404
    viewer = viewer_of(request)
    at, term = now(), request.GET.get("who", "").strip()[:60]
    then, problem = _moment(request.GET.get("at", ""), at)
    context: dict[str, Any] = {
        "title": _("Why in, why out"),
        "zy_object": segment,
        "zy_deeper": True,
        "segment": segment,
        "sentence": _said(segment.rule),
        "who": term,
        "at": request.GET.get("at", "")[:20],
        "latest": formats.local(at).strftime("%Y-%m-%dT%H:%M"),
        "problem": problem,
    }
    chosen = row_id(request.GET.get("member", ""))
    if chosen is not None:
        member = selectors.visible_members(viewer).filter(pk=chosen).first()
        if member is None:
            raise Http404
    else:
        found = member_services.look_up_members(viewer, term, at=at) if term else []
        context["found"] = found
        member_services.note_listed(people=[person.pk for person in found], page="search", at=at)
        member = found[0] if len(found) == 1 else None
    if member is not None and not problem:
        context["member"] = member
        member_services.note_opened(member_id=member.pk, page="why", at=at)
        if then is None and segment.freshness != Freshness.LIVE and segment.refreshed_at is not None:
            context["kept"] = SegmentMember.objects.filter(segment=segment, member_id=member.pk).first()
            context["kept_as_of"] = segment.refreshed_at
        try:
            context["why"] = explain(segment.rule, member=member, at=at, then=then)
        except RuleInvalid as error:
            context["problem"] = error.message
    return page_response(request, "members/segments/why.html", context)


def segment_refresh(request: HttpRequest, pk: int) -> HttpResponse:
    """Find the people of a kept segment anew, now."""
    _require_post(request)
    segment = Segment.objects.filter(pk=pk).first()
    if segment is None:
        raise Http404
    try:
        found = member_services.refresh_segment(segment=segment, at=now())
        messages.success(
            request, _("Brought up to date: %(count)s people.") % {"count": formats.count(found.counted or 0)}
        )
    except RuleInvalid as error:
        messages.error(request, _("Not brought up to date. %(why)s") % {"why": error.message})
    return HttpResponseRedirect(reverse("admin:segment_edit", args=[pk]))


def segment_tree(request: HttpRequest) -> HttpResponse:
    """Make one edit of the tree that was posted, and give the tree."""
    _require_post(request)
    fresh, fault = "", None
    rule = rule_form.rule_of(request.POST)
    path = request.POST.get("at", "")
    try:
        if request.POST.get("op") == "condition":
            fresh = rule_form.add_condition(rule, path, request.POST.get("key", ""))
        elif request.POST.get("op") == "group":
            fresh = rule_form.add_group(rule, path)
        else:
            fresh = rule_form.remove(rule, path)
    except RuleInvalid as error:
        fault = rule_form.fault_of(error)
    context = _tree_context(request, rule, fault, fresh)
    return TemplateResponse(request, "members/segments/_tree.html", context)


def segment_preview_part(request: HttpRequest) -> HttpResponse:
    """Count what was posted: people, reach, a sample, one sentence. Nothing is saved."""
    _require_post(request, "segments.view")
    draw = _number(request.POST.get("draw"), 0, 10_000)
    try:
        rule = _stored_or_posted(request)
        context = _counted(viewer_of(request), rule, draw)
    except RuleInvalid as error:
        context = {"fault": rule_form.fault_of(error)}
    response = TemplateResponse(request, "members/segments/_preview.html", {**context, "draw": draw})
    response["X-Version"] = request.POST.get("version", "")[:12]
    return response


def segment_choices(request: HttpRequest, kind: str) -> HttpResponse:
    """Find tags or stores of the brand by name, for a field that picks them."""
    pick = picks.find(kind)
    if pick is None:
        raise Http404
    term = request.GET.get("q", "").strip()[:30]
    rows = pick.model._default_manager.filter(pick.find(term)).order_by(pick.name, "pk")
    found = list(rows[: CHOICES + 1])
    names = dict(pick.names(rows[:CHOICES])) if pick.within else {}
    shown = [
        {"pk": row.pk, "name": names.get(row.pk) or pick.shown(getattr(row, pick.name)), "hint": _hint(row)}
        for row in found[:CHOICES]
    ]
    context = {"rows": shown, "more": len(found) > CHOICES, "term": term, "none": pick.none}
    return TemplateResponse(request, "members/segments/_choices.html", context)


def _hint(row: Any) -> str:
    """Give what tells rows of one name apart: the code of a store, the group of a tag."""
    return str(getattr(row, "code", "") or getattr(row, "group", "") or getattr(row, "staff_no", ""))


def _save(request: HttpRequest, segment: Segment | None) -> HttpResponse:
    at = now()
    copy = "copy" in request.POST
    name = request.POST.get("copy_name" if copy else "name", "").strip()
    errors: dict[str, str] = {}
    fault: rule_form.Fault | None = None
    rule: dict[str, Any] = FIRST_RULE
    if not name or len(name) > NAME_LENGTH:
        errors["name"] = _("Give the segment a name of 1 to %(count)s characters.") % {"count": NAME_LENGTH}
    if segment is not None and not copy and request.POST.get("seen", "") != segment.updated_at.isoformat():
        errors["seen"] = _("Somebody changed this segment at %(time)s. Reload to see it, or save yours as a copy.") % {
            "time": formats.local_time(segment.updated_at),
        }
    limit = _limit(request, errors)
    try:
        rule = rule_form.rule_of(request.POST)
        count = selectors.how_many(rule, at=at)
        if not errors:
            saved = member_services.save_segment(
                name=name,
                rule=rule,
                at=at,
                segment=None if copy else segment,
                counted=count,
                freshness=request.POST.get("freshness") or None,
                limit_minutes=limit,
            )
            said = ngettext("Saved “%(name)s”: %(count)s person.", "Saved “%(name)s”: %(count)s people.", count)
            messages.success(request, said % {"name": saved.name, "count": formats.count(count)})
            return HttpResponseRedirect(reverse("admin:segment_edit", args=[saved.pk]))
    except RuleInvalid as error:
        fault = rule_form.fault_of(error)
        errors["rule"] = error.message
    except SegmentNameTaken as error:
        errors["name"] = f"{error.message} {error.hint}"
    except LimitInvalid as error:
        errors[error.field] = error.message
    return _builder(request, segment, rule, errors=errors, fault=fault)


def _limit(request: HttpRequest, errors: dict[str, str]) -> int | None:
    text = request.POST.get("limit_minutes", "").strip()
    if not text:
        return 0 if "freshness" in request.POST else None
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        errors["limit_minutes"] = _("A whole number of minutes is expected here.")
        return None
    return int(text)


def _builder(
    request: HttpRequest,
    segment: Segment | None,
    rule: object,
    *,
    name: str = "",
    errors: dict[str, str] | None = None,
    fault: rule_form.Fault | None = None,
) -> HttpResponse:
    can_edit = viewer_of(request).can("segments.edit")
    name = request.POST.get("name", segment.name if segment else name)[: NAME_LENGTH * 2]
    context = {
        "title": segment.name if segment else _("New segment"),
        "zy_object": segment or _("New segment"),
        "segment": segment,
        "can_edit": can_edit,
        "name": name,
        "copy_name": request.POST.get("copy_name") or (_("%(name)s, copy") % {"name": name[:50]} if name else ""),
        "name_length": NAME_LENGTH,
        "errors": errors or {},
        "rule_json": json.dumps(rule, ensure_ascii=False),
        **_freshness_context(request, segment),
        **_tree_context(request, rule, fault, ""),
    }
    status = 422 if errors else 200
    return page_response(request, "members/segments/builder.html", context, status=status)


def _freshness_context(request: HttpRequest, segment: Segment | None) -> dict[str, Any]:
    chosen = request.POST.get("freshness") or (segment.freshness if segment else Freshness.LIVE.value)
    limit = request.POST.get("limit_minutes", str(segment.limit_minutes or "") if segment else "")
    age: Age | None = age_of(segment, at=now()) if segment and segment.freshness != Freshness.LIVE else None
    return {
        "freshness": [
            {"key": key, "label": label, "hint": _HINTS[key], "chosen": key == chosen}
            for key, label in Freshness.choices
        ],
        "limit_minutes": limit[:8],
        "age": age,
        "age_limit": span(age.limit) if age and age.limit else "",
    }


_HINTS = {
    Freshness.LIVE.value: gettext_lazy("Whoever fits at the moment of use. Best for most segments."),
    Freshness.MINUTES.value: gettext_lazy("Kept, and brought up to date by what changes: quick even when it is large."),
    Freshness.DAILY.value: gettext_lazy("Kept, and found anew once a day: for rules that take long."),
}


def _tree_context(request: HttpRequest, rule: object, fault: rule_form.Fault | None, fresh: str) -> dict[str, Any]:
    return rule_form.tree_context(rule, fault=fault, fresh=fresh, can_edit=viewer_of(request).can("segments.edit"))


def _counted(viewer: Viewer, rule: object, draw: int) -> dict[str, Any]:
    at, started = now(), time.monotonic()
    found = selectors.preview(rule, at=at, viewer=viewer)
    people = found.sample
    if draw:
        people = segment_preview.sample(rule, at=at, shown=found, draw=draw, viewer=viewer)
    numbers = ["number"] if any(not person.phone_masked for person in people) else []  # stand in for phones
    member_services.note_listed(people=[person.id for person in people], page="segment.sample", fields=numbers, at=at)
    context: dict[str, Any] = {
        "preview": found,
        "people": people,
        "has_more": found.found > len(found.sample),
        "one_in": ONE_IN,
        "sentence": sentence(rule),
        "at": at,
    }
    if not found.count and not found.is_estimated:
        context["emptied"] = segment_preview.emptied_by(rule, at=at)
    context["seconds"] = max(round(time.monotonic() - started, 1), 0.1)
    return context


def _stored_or_posted(request: HttpRequest) -> object:
    if "rule" in request.POST:  # a page that may only be read posts the rule as it is stored
        try:
            return json.loads(request.POST["rule"])
        except (ValueError, RecursionError):  # brackets without end, thousands deep
            raise RuleInvalid("rule", _("A group or a condition is expected here.")) from None
    return rule_form.rule_of(request.POST)


def _said(rule: object) -> str:
    try:
        return sentence(rule)
    except RuleInvalid as error:
        return error.message


def _require_post(request: HttpRequest, capability: str = "segments.edit") -> None:
    viewer_of(request).require(capability)
    if request.method != "POST":
        raise Http404


def _moment(text: str, at: datetime) -> tuple[datetime | None, str]:
    """Read a moment in the brand's zone; gives it, or what is wrong with it."""
    if not text:
        return None, ""
    try:
        given = parse_datetime(text[:20])
    except ValueError:
        given = None
    if given is None:
        return None, _("Write a date and time such as 2026-05-20 12:00.")
    try:
        moment = timezone.make_aware(given) if timezone.is_naive(given) else given
    except (ValueError, OverflowError):
        return None, _("Write a date and time such as 2026-05-20 12:00.")
    if not EARLIEST <= moment <= at:
        return None, _("Choose a time in the past; before it the rule cannot be asked.")
    return moment, ""


def _number(text: str | None, least: int, most: int) -> int:
    return min(max(int(text), least), most) if text and text.isascii() and text.isdigit() and len(text) < 9 else least


def _find_segments(viewer: Viewer, term: str) -> list[Hit]:
    return [
        Hit(
            row.name,
            _("%(count)s people") % {"count": formats.wan(row.counted)},
            reverse("admin:segment_edit", args=[row.pk]),
        )
        for row in selectors.segments().filter(name__icontains=term)[:8]
    ]


nav.register(
    "segments.segments", Tab("segments", gettext_lazy("Segments"), "segments", "segments", 10, prefix="segment_")
)
for _page in (
    Page("segments/", segment_list, "segments", "segments"),
    Page("segments/new/", segment_new, "segment_new", "segments", "edit"),
    Page("segments/tree/", segment_tree, "segment_tree", "segments", "edit"),
    Page("segments/preview/", segment_preview_part, "segment_preview", "segments"),
    Page("segments/choices/<slug:kind>/", segment_choices, "segment_choices", "segments", "edit"),
    Page("segments/<int:pk>/", segment_edit, "segment_edit", "segments"),
    Page("segments/<int:pk>/why/", segment_why, "segment_why", "segments"),
    Page("segments/<int:pk>/refresh/", segment_refresh, "segment_refresh", "segments", "edit"),
):
    pages.register(_page.name, _page)
search_groups.register("segments", SearchGroup(gettext_lazy("Segments"), "segments", _find_segments, 40))
