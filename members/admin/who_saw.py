"""Who saw what: after a leak, everybody whose data one operator or API key was shown, and the draft of the report."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from accounts.models import ApiKey, StaffUser
from accounts.roles import DataScope
from accounts.services import record_audit
from common.clock import now
from common.spreadsheets import write_csv
from console import formats
from console.http import brand_of, row_id, viewer_of
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from members.breach_report import draft
from members.models import AccessEntry, ListAccess, Member
from members.opened import WAYS, Way, field_label, page_label, way_of
from members.services import note_listed
from members.services.who_saw import (
    A_PAGE,
    Looker,
    Seen,
    everyone_seen_by,
    measures_taken,
    note_file_of_seen,
    overview_of,
    seen_by,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_KEY: Final = "key-"
_DAYS: Final = 7
_LONGEST: Final = 200_000  # characters of a report


def who_saw(request: HttpRequest) -> HttpResponse:
    """Choose who and when; show everybody they saw; hand it out as a file."""
    _require(request)
    looker = _looker(request)
    if request.method == "POST":
        viewer_of(request).require("privacy.edit")
        if looker is None:
            raise Http404
        return _file(request, looker)
    since, until = _days(request)
    context: dict[str, Any] = {
        "title": _("Who saw what"),
        "offered": _offered(),
        "who": request.GET.get("who", ""),
        "since": since.isoformat(),
        "until": until.isoformat(),
        "today": formats.local(now()).date().isoformat(),
        "log_link": reverse("admin:members_accessentry_changelist"),
    }
    if looker is not None:
        context |= _found(request, looker)
    return page_response(request, "members/privacy/who_saw.html", context)


def report(request: HttpRequest) -> HttpResponse:
    """Show the draft of the report to work on; give what it has become as a file."""
    _require(request)
    looker = _looker(request)
    if looker is None:
        raise Http404
    if request.method == "POST":
        viewer_of(request).require("privacy.edit")
        text = request.POST.get("text", "")[:_LONGEST]
        record_audit(action="download breach report", obj=brand_of(request), label=looker.label[:200])
        return _attached(text.encode("utf-8", "replace"), "text/markdown; charset=utf-8", f"breach-{now():%Y%m%d}.md")
    context = {
        "title": _("Draft of the report"),
        "zy_deeper": True,
        "text": draft(
            brand=brand_of(request).name,
            looker=looker,
            found=overview_of(looker),
            access=measures_taken(looker),
            at=now(),
        ),
        "may_take": viewer_of(request).can("privacy.edit"),
        "back": f"{reverse('admin:members_who_saw')}?{_asked(request)}",
    }
    return page_response(request, "members/privacy/breach_report.html", context)


def _require(request: HttpRequest) -> None:
    if viewer_of(request).scope != DataScope.BRAND:
        raise PermissionDenied  # what somebody saw is told whole, or not at all


def _offered() -> list[tuple[str, str]]:
    """Give everybody of whom the log has lines, also those who have left, and every key."""
    known = StaffUser.objects.filter(pk__in=_actors()).order_by("username")
    people = [(str(each.pk), str(each)) for each in known]
    keys = ApiKey.objects.order_by("label", "pk").values_list("pk", "label", "prefix")[:200]
    return people + [
        (f"{_KEY}{pk}", _("API key %(label)s") % {"label": f"{label} ({prefix}…)"}) for pk, label, prefix in keys
    ]


def _actors() -> set[int]:
    """Give who is in the log, by one step of its index for each of them."""
    found: set[int] = set()
    for model in (AccessEntry, ListAccess):
        actors, last = model.objects.order_by("actor_id").values_list("actor_id", flat=True), 0
        while (pk := actors.filter(actor_id__gt=last).first()) is not None:
            found.add(pk)
            last = pk
    return found


def _looker(request: HttpRequest) -> Looker | None:
    asked = request.GET.get("who", "")
    pk = row_id(asked.removeprefix(_KEY))
    if pk is None:
        return None
    first, last = _days(request)
    begins, ends = _midnight(first), _midnight(last + timedelta(days=1))
    if asked.startswith(_KEY):
        label = ApiKey.objects.filter(pk=pk).values_list("label", flat=True).first()
        return None if label is None else Looker(None, pk, label, begins, ends)
    if pk not in _actors():
        return None
    return Looker(pk, None, str(StaffUser.objects.get(pk=pk)), begins, ends)


def _days(request: HttpRequest) -> tuple[date, date]:
    """Give the first and the last day that are asked for: a week that ends today, unless they say otherwise."""
    today = formats.local(now()).date()
    last = _day(request.GET.get("until", "")) or today
    first = _day(request.GET.get("since", "")) or last - timedelta(days=_DAYS - 1)
    return min(first, last), max(first, last)


def _day(text: str) -> date | None:
    try:
        found = date.fromisoformat(text[:10])
    except ValueError:
        return None
    return found if 2000 < found.year < 2200 else None


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time()))


def _asked(request: HttpRequest) -> str:
    since, until = _days(request)
    return urlencode({"who": request.GET.get("who", ""), "since": since.isoformat(), "until": until.isoformat()})


def _found(request: HttpRequest, looker: Looker) -> dict[str, Any]:
    overview = overview_of(looker)
    rows = seen_by(looker, after=row_id(request.GET.get("after")) or 0, people=A_PAGE)
    people = _people(rows)
    note_listed(people=people, page="whosaw", at=now())
    asked = _asked(request)
    return {
        "looker": looker,
        "overview": overview,
        "fields": [(field_label(key), count) for key, count in _most(overview.fields)],
        "pages": [(WAYS[way_of(key)], page_label(key), count) for key, count in _most(overview.pages)],
        "people": [(people[pk], lines) for pk, lines in _by_person(rows) if pk in people],
        "next": f"?{asked}&after={rows[-1].member_id}" if len(people) == A_PAGE else "",
        "first": f"?{asked}" if request.GET.get("after") else "",
        "here": f"?{asked}",
        "report_link": f"{reverse('admin:members_breach_report')}?{asked}",
        "may_take": viewer_of(request).can("privacy.edit"),
        "stands": measures_taken(looker)[0] == "STANDS",
    }


def _most(counts: Any) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _people(rows: Sequence[Seen]) -> dict[int, Member]:
    return Member.objects.only("name", "member_no", "erased_at").in_bulk({row.member_id for row in rows})


def _by_person(rows: Sequence[Seen]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    lines: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        line = {"row": row, "page": page_label(row.page), "way": WAYS[way_of(row.page)], "fields": _fields(row)}
        lines.setdefault(row.member_id, []).append(line)
    yield from lines.items()


def _fields(row: Seen) -> str:
    return _(", ").join(field_label(key) for key in row.fields)


def _file(request: HttpRequest, looker: Looker) -> HttpResponse:
    at, told = now(), set[int]()
    mark = _("%(who)s, %(when)s") % {"who": viewer_of(request).label, "when": formats.full_time(at)}

    def table() -> Iterator[list[str]]:
        yield [
            *(
                _("Member number"),
                pgettext("person", "Name"),
                _("Way"),
                _("Page"),
                _("Fields"),
                _("Times"),
                _("First"),
                _("Last"),
            ),
            _("Taken out by"),
        ]
        for rows in _pieces(everyone_seen_by(looker)):
            people = _people(rows)
            told.update(people)
            for row in rows:
                if (member := people.get(row.member_id)) is None:
                    continue
                yield [
                    *(member.member_no, member.name, str(WAYS[Way(way_of(row.page))]), page_label(row.page)),
                    *(_fields(row), str(row.times), formats.full_time(row.first), formats.full_time(row.last), mark),
                ]

    body = write_csv(table())
    note_listed(people=told, page="whosaw.file", at=at)
    note_file_of_seen(looker, people=len(told), brand=brand_of(request))
    return _attached(body, "text/csv; charset=utf-8", f"who-saw-{at:%Y%m%d}.csv")


def _pieces(rows: Iterator[Seen]) -> Iterator[list[Seen]]:
    piece: list[Seen] = []
    for row in rows:
        piece.append(row)
        if len(piece) == 1_000:
            yield piece
            piece = []
    yield piece


def _attached(body: bytes, kind: str, name: str) -> HttpResponse:
    answer = HttpResponse(body, content_type=kind)
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["Cache-Control"] = "private, no-store"
    return answer


for _page in (
    Page("members/who-saw/", who_saw, "members_who_saw", "audit"),
    Page("members/who-saw/report/", report, "members_breach_report", "audit"),
):
    pages.register(_page.name, _page)
nav.register("settings.who_saw", Tab("settings", gettext_lazy("Who saw what"), "members_who_saw", "audit", 42))
