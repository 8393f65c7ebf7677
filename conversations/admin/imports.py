"""The page that takes rules from a spreadsheet and gives them as one: a file is looked at before it does anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.core import signing
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, ngettext

from common.clock import now
from common.errors import AppError
from common.spreadsheets import LARGEST, TableUnreadable, read_table, write_csv, write_xlsx
from console.http import brand_of, row_id
from console.registry import Page, pages
from console.site import page_response
from conversations import services, sheets
from conversations.admin.rules import link_of, not_compared, what_of
from conversations.models import Match, ReplyRule
from conversations.overlaps import NEVER, UNSURE
from conversations.services.imports import CHANGED, NEW, SAME
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from django.http import HttpRequest

    from conversations.overlaps import Pair
    from conversations.services.imports import Plan

SHOWN: Final = 100
_SALT: Final = "conversations.rules.import"
_VALID_SECONDS: Final = 86_400
_LONGEST: Final = 900_000  # of what travels through the page; forms take one megabyte
_KINDS: Final = {
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    "csv": ("text/csv; charset=utf-8", "csv"),
}


def import_page(request: HttpRequest) -> HttpResponse:
    """Take a file, show what it would do cell by cell and what overlaps, and do it when that was seen."""
    accounts = list(OfficialAccount.objects.filter(is_active=True).order_by("pk"))
    context: dict[str, Any] = {
        "title": gettext("Import and export rules"),
        "accounts": accounts,
        "columns": [sheets.label_of(column) for column in sheets.COLUMNS],
        "most": f"{sheets.MOST_LINES:,}",
    }
    if request.method != "POST":
        return page_response(request, "conversations/import.html", context)
    account = next((row for row in accounts if row.pk == row_id(request.POST.get("account"))), None)
    if account is None:
        raise Http404
    context["account"] = account
    try:
        if request.POST.get("act") == "import":
            table = _carried(request, account)
            plan = services.apply_import(
                account=account, table=table, digest=request.POST.get("digest", "")[:40], at=now()
            )
            messages.success(request, _done(plan))
            return HttpResponseRedirect(reverse("admin:conversations_replyrule_changelist"))
        table = _uploaded(request)
        carried = _carry(request, account, table)
    except services.ImportOutdated as error:
        messages.warning(request, f"{error.message} {error.hint}")
        carried = _carry(request, account, table)
    except AppError as error:
        context["problem"] = f"{error.message} {error.hint}".strip()
        return page_response(request, "conversations/import.html", context)
    context |= _shown(services.plan_import(account=account, table=table))
    return page_response(request, "conversations/import.html", context | {"carried": carried})


def export_rules(request: HttpRequest) -> HttpResponse:
    """Give the rules of an account as a file that can be imported again."""
    account = OfficialAccount.objects.filter(pk=row_id(request.GET.get("account")) or 0).first()
    kind = _KINDS.get(request.GET.get("as", "xlsx"))
    if account is None or kind is None:
        raise Http404
    rules = ReplyRule.objects.filter(account=account).order_by("trigger", "position", "pk")
    table = sheets.table_of(list(rules))
    body = write_csv(table) if kind[1] == "csv" else write_xlsx(table, sheet=gettext("Automatic replies"))
    response = HttpResponse(body, content_type=kind[0])
    response["Content-Disposition"] = f'attachment; filename="rules-{account.pk}.{kind[1]}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _uploaded(request: HttpRequest) -> list[list[str]]:
    upload = request.FILES.get("file")
    if upload is None:
        raise TableUnreadable(gettext("No file was chosen."), gettext("Choose an XLSX or CSV file."))
    if (upload.size or 0) > LARGEST:
        raise TableUnreadable(gettext("The file is larger than 2 MB."), gettext("Split it into several files."))
    return read_table(upload.read())


def _carry(request: HttpRequest, account: OfficialAccount, table: list[list[str]]) -> str:
    """What was read, sealed for this brand and account, so that what is shown is what is imported."""
    said = signing.dumps([brand_of(request).pk, account.pk, table], salt=_SALT, compress=True)
    if len(said) > _LONGEST:
        raise TableUnreadable(gettext("The file holds too much at once."), gettext("Split it into several files."))
    return said


def _carried(request: HttpRequest, account: OfficialAccount) -> list[list[str]]:
    try:
        brand_id, account_id, table = signing.loads(request.POST.get("carried", ""), salt=_SALT, max_age=_VALID_SECONDS)
    except (signing.BadSignature, ValueError):
        raise TableUnreadable(
            gettext("What you looked at is more than a day old."), gettext("Choose the file again.")
        ) from None
    if (brand_id, account_id) != (brand_of(request).pk, account.pk):
        raise Http404
    found: list[list[str]] = table
    return found


def _shown(plan: Plan) -> dict[str, Any]:
    steps = [step for step in plan.steps if step.does != SAME]
    return {
        "plan": plan,
        "faults": [
            {"row": fault.row, "column": sheets.label_of(fault.column), "message": fault.message}
            for fault in plan.faults[:SHOWN]
        ],
        "more_faults": max(0, len(plan.faults) - SHOWN),
        "made": len(plan.of(NEW)),
        "changed": len(plan.of(CHANGED)),
        "same": len(plan.of(SAME)),
        "steps": [
            {
                "row": step.row,
                "name": step.rule.name,
                "is_new": step.does == NEW,
                "columns": [sheets.label_of(column) for column in step.columns],
            }
            for step in steps[:SHOWN]
        ],
        "more_steps": max(0, len(steps) - SHOWN),
        "overlaps": [_said(pair) for pair in plan.overlaps[:SHOWN]],
        "more_overlaps": max(0, len(plan.overlaps) - SHOWN),
        "left_out": not_compared(plan.left_out),
    }


def _said(pair: Pair) -> dict[str, Any]:
    other, found = pair.found.other, pair.found
    theirs = found.winner is other
    return {
        "name": pair.rule.name,
        "match": Match(pair.rule.match).label,
        "other": other.name,
        "other_match": what_of(other),
        "is_dialogue": other.pk < 0,
        "link": link_of(other.pk) if other.pk else "",
        "example": found.example,
        "winner": found.winner.name,
        "loser": pair.rule.name if theirs else other.name,
        "never": found.share == NEVER,
        "unsure": found.share == UNSURE,
    }


def _done(plan: Plan) -> str:
    made, changed = len(plan.of(NEW)), len(plan.of(CHANGED))
    if not made and not changed:
        return gettext("Every rule of the file was there already; nothing was changed.")
    first = ngettext("%(count)s rule was added", "%(count)s rules were added", made) % {"count": made}
    second = ngettext("%(count)s was changed", "%(count)s were changed", changed) % {"count": changed}
    return gettext("%(added)s, %(changed)s. The gateway answers by them within a second.") % {
        "added": first,
        "changed": second,
    }


pages.register(
    "conversations.import",
    Page("conversations/rules/import/", import_page, "conversations_replyrule_import", "replies", "edit"),
)
pages.register(
    "conversations.export",
    Page("conversations/rules/export/", export_rules, "conversations_replyrule_export", "replies"),
)
