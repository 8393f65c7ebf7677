"""By what one person is known, since when and from where; which records became theirs, and how to undo that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext

from common.clock import now
from common.errors import AppError
from console.admin import site
from console.formats import tail
from console.http import row_id, viewer_of
from console.labels import source_label
from console.registry import Page, pages
from members import services
from members.admin.doubts import evidence_words, reason_words
from members.models import Doubt, DoubtState, Identity, IdentityKind, Member, MergeRecord, MergeUndo
from members.selectors import records_within, visible_members
from wechat_gateway.models import MiniProgram, OfficialAccount

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase


def member_identity(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Show the edges of a person and the merges; undo one, or propose one."""
    viewer = viewer_of(request)
    member = records_within(viewer).filter(pk=pk).first()
    if member is None:
        raise Http404
    services.note_opened(member_id=member.pk, page="identity", at=now())
    if request.method == "POST":
        return _act(request, member)
    context = {
        **site.each_context(request),
        "title": gettext("Identity"),
        "zy_object": str(member),
        "zy_deeper": True,
        "member": member,
        "edges": edges_of(member),
        "merges": _merges(member),
        "doubts": _doubts(request, member),
        "may_merge": viewer.can("members.merge"),
        "may_propose": viewer.can("members.edit"),
        "member_link": reverse("admin:members_member_change", args=[member.pk]),
    }
    return TemplateResponse(request, "members/identity.html", context)


def edges_of(member: Member) -> list[dict[str, Any]]:
    """Give every edge, also those that have ended: kind, issuer, value, source, since, until."""
    rows = list(Identity.objects.filter(member=member).order_by("ended_at", "kind", "pk"))
    issuers = dict(OfficialAccount.objects.values_list("appid", "name"))
    issuers |= dict(MiniProgram.objects.values_list("appid", "name"))
    return [
        {
            "label": row.get_kind_display(),
            "issuer": issuers.get(row.namespace, row.namespace),
            "value": _value(member, row),
            "source": source_label(row.source),
            "since": row.since,
            "until": row.ended_at or row.expires_at,
            "ended": row.ended_at is not None,
        }
        for row in sorted(rows, key=lambda row: row.ended_at is not None)
    ]


def _value(member: Member, row: Identity) -> str:
    if row.kind != IdentityKind.PHONE:
        return tail(row.value)
    shown = row.ended_at is None and row.value == str(member.phone_index)
    return member.phone_masked if shown else gettext("an earlier number")


def _merges(member: Member) -> list[dict[str, Any]]:
    rows = list(MergeRecord.objects.select_related("merged").filter(kept=member).order_by("-pk"))
    undone = {row.record_id: row for row in MergeUndo.objects.filter(record__in=rows)}
    standing = [row.pk for row in rows if row.pk not in undone]
    return [
        {
            "row": row,
            "evidence": evidence_words(row.evidence),
            "undone": undone.get(row.pk),
            "may_undo": bool(standing) and row.pk == standing[0] and "person" in row.moved,
        }
        for row in rows
    ]


def _doubts(request: HttpRequest, member: Member) -> list[dict[str, Any]]:
    rows = Doubt.objects.select_related("one", "other").filter(one=member).order_by()
    rows = rows.union(Doubt.objects.select_related("one", "other").filter(other=member).order_by())
    seen = set(visible_members(viewer_of(request)).filter(pk__in=_others(member)).values_list("pk", flat=True))
    found = []
    for row in sorted(rows, key=lambda row: row.pk, reverse=True):
        other = row.other if row.one_id == member.pk else row.one
        if other.pk in seen and row.state != DoubtState.MERGED:
            found.append({"row": row, "other": other, "reasons": reason_words(row)})
    return found


def _others(member: Member) -> list[int]:
    pairs = [
        *Doubt.objects.filter(one=member).values_list("other_id", flat=True),
        *Doubt.objects.filter(other=member).values_list("one_id", flat=True),
    ]
    return sorted(pairs)


def _act(request: HttpRequest, member: Member) -> HttpResponseRedirect:
    acts = {"undo": ("members.merge", _undo), "propose": ("members.edit", _propose)}
    capability, act = acts.get(request.POST.get("act", ""), ("", None))
    if act is None:
        raise Http404
    if not viewer_of(request).can(capability):
        raise PermissionDenied
    try:
        messages.success(request, act(request, member))
    except AppError as error:
        messages.error(request, f"{error.message} {error.hint}".strip())
    return HttpResponseRedirect(reverse("admin:members_member_identity", args=[member.pk]))


def _undo(request: HttpRequest, member: Member) -> str:
    record = MergeRecord.objects.filter(kept=member, pk=row_id(request.POST.get("merge")) or 0).first()
    if record is None:
        raise Http404
    by = viewer_of(request).label
    _kept, back = services.undo_merge(record=record, reason=request.POST.get("reason", ""), by=by, at=now())
    return gettext("Undone: record %(number)s is back, and the two are kept apart from now on.") % {
        "number": back.member_no
    }


def _propose(request: HttpRequest, member: Member) -> str:
    viewer = viewer_of(request)
    number = request.POST.get("number", "").strip()[:20]
    if not visible_members(viewer).filter(member_no=number).exists():
        number = ""  # a record out of reach is one that does not exist
    services.propose_merge(member=member, member_no=number, by=viewer.label, at=now())
    return gettext("Proposed. Both records wait for a decision under “Possible merges”.")


_PAGE = Page("members/identity/<int:pk>/", member_identity, "members_member_identity", "members")
pages.register(_PAGE.name, _PAGE)
