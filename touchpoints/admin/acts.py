"""The buttons on the page of a channel: each act does its work and says in a sentence what it did."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from django.http import Http404, HttpRequest
from django.utils.translation import gettext, ngettext

from accounts.services import record_audit
from common.clock import now
from console.http import row_id, viewer_of
from members.selectors import visible_members
from touchpoints import services
from touchpoints.admin.forms import MoveForm
from touchpoints.errors import NotInTree
from touchpoints.models import Cost, MiniCode
from wechat_gateway.models import MiniProgram

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from members.models import Member
    from touchpoints.models import Touchpoint


def act(request: HttpRequest, row: Touchpoint, name: str) -> str:
    """Do what a button says, for those who may change channels. Gives the sentence for the person, or nothing."""
    viewer_of(request).require("touchpoints.edit")
    if name not in ACTS:
        raise Http404
    return ACTS[name](request, row)


def _renew(request: HttpRequest, row: Touchpoint) -> str:
    if row.account_id is None:
        raise Http404
    services.make_codes(row.brand_id, [row.pk], anew=True)  # a worker asks WeChat: this request is a transaction
    record_audit(action="renew code", obj=row, changes={})
    return ""


def _move(request: HttpRequest, row: Touchpoint) -> str:
    form = MoveForm(request.POST)
    if not form.is_valid():
        raise Http404
    move = services.move_branch(
        touchpoint=row,
        parent=form.cleaned_data["parent"],
        at=now(),
        restates=form.cleaned_data["past"] == "restate",
    )
    return gettext("“%(name)s” was moved.") % {"name": row.name} if move else ""


def _archive(request: HttpRequest, row: Touchpoint) -> str:
    gone = services.archive_branch(touchpoint=row, at=now())
    said = ngettext("%(number)s channel was archived.", "%(number)s channels were archived.", gone)
    return said % {"number": gone}


def _restore(request: HttpRequest, row: Touchpoint) -> str:
    back = services.restore_branch(touchpoint=row, at=now())
    return ngettext("%(number)s channel is back.", "%(number)s channels are back.", back) % {"number": back}


def _add_cost(request: HttpRequest, row: Touchpoint) -> str:
    try:
        amount = _fen(request.POST.get("amount", ""))
        first = date.fromisoformat(request.POST.get("starts_on", ""))
        last = date.fromisoformat(request.POST.get("ends_on", ""))
    except (InvalidOperation, ValueError, OverflowError):
        raise NotInTree(gettext("The cost was not noted: amount and both days are needed.")) from None
    services.add_cost(
        touchpoint=row, amount=amount, starts_on=first, ends_on=last, at=now(), note=request.POST.get("note", "")
    )
    return gettext("The cost was noted.")


def _remove_cost(request: HttpRequest, row: Touchpoint) -> str:
    cost = Cost.objects.filter(touchpoint=row, pk=row_id(request.POST.get("cost")) or 0).first()
    if cost is None:
        raise Http404
    services.remove_cost(cost=cost)
    return gettext("The cost was taken out.")


def _add_mini(request: HttpRequest, row: Touchpoint) -> str:
    program = MiniProgram.objects.filter(is_active=True, pk=row_id(request.POST.get("program")) or 0).first()
    if program is None or not row.scene:
        raise Http404
    services.create_mini_code(touchpoint=row, program=program, page=request.POST.get("page", "")[:200], at=now())
    return gettext("The mini-program code was created. WeChat is drawing it.")


def _draw_mini(request: HttpRequest, row: Touchpoint) -> str:
    code = _mini_code(request, row)
    services.redraw_mini_code(mini_code=code)
    return gettext("WeChat is drawing the code.")


def _revoke_mini(request: HttpRequest, row: Touchpoint) -> str:
    code = _mini_code(request, row)
    services.revoke_mini_code(mini_code=code, at=now())
    return gettext("“%(code)s” no longer leads anywhere.") % {"code": code.code}


def _mini_code(request: HttpRequest, row: Touchpoint) -> MiniCode:
    found = MiniCode.objects.defer("picture").filter(touchpoint=row, pk=row_id(request.POST.get("mini")) or 0)
    code = found.first()
    if code is None:
        raise Http404
    return code


def _staff(request: HttpRequest, row: Touchpoint) -> str:
    people = visible_members(viewer_of(request)).filter(pk=row_id(request.POST.get("member")) or 0)
    member: Member | None = people.first()
    if member is None:
        raise Http404
    if request.POST["act"] == "not-staff":
        services.unmark_staff(member=member)
        return gettext("“%(name)s” is no longer staff. Scans from now on count.") % {"name": member}
    services.mark_staff(member=member, at=now())
    return gettext("“%(name)s” is staff now. Their scans no longer count.") % {"name": member}


def _fen(text: str) -> int:
    """Read an amount in yuan; raises ValueError for anything finer than fen."""
    amount = Decimal(text) * 100
    if not amount.is_finite() or amount != amount.to_integral_value():
        raise ValueError(text)
    return int(amount)


ACTS: Final[Mapping[str, Callable[[HttpRequest, Touchpoint], str]]] = {
    "renew": _renew,
    "move": _move,
    "archive": _archive,
    "restore": _restore,
    "add-cost": _add_cost,
    "remove-cost": _remove_cost,
    "staff": _staff,
    "not-staff": _staff,
    "add-mini": _add_mini,
    "draw-mini": _draw_mini,
    "revoke-mini": _revoke_mini,
}
