"""The counter page: type or scan a code, see what it is worth, redeem it; a manager takes a slip back."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, pgettext_lazy

from common.clock import now
from common.errors import AppError
from console import formats
from console.admin import site
from console.http import row_id, viewer_of
from console.registry import Page, Tab, nav, pages
from coupons import codes, on_screen, reasons, services
from coupons.errors import BillNumberInvalid, CartNeeded
from coupons.models import Coupon, Move
from coupons.rules import MOST_FEN, Kind, read
from coupons.selectors import coupons as selectors
from coupons.services.counter import UNDO_MINUTES
from coupons.words import rule_sentence
from loyalty.services import Operation
from stores.selectors import visible_stores

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponseBase

    from stores.models import Store


def counter(request: HttpRequest) -> HttpResponseBase:
    """Look a code up, redeem it in a store, take a redemption back."""
    viewer, at = viewer_of(request), now()
    stores = _stores(request)
    shown: dict[str, Any] = {"code": "", "amount": "", "number": "", "store": _last_store(request)}
    if request.method == "POST":
        act = request.POST.get("act", "")
        if act == "undo":
            return _undo(request, stores)
        shown = {
            "code": request.POST.get("code", "")[:64],
            "amount": request.POST.get("amount", "")[:16],
            "number": request.POST.get("number", "").strip()[:65],
            "store": row_id(request.POST.get("store")),
        }
        try:
            if act == "redeem":
                return _redeem(request, stores, shown)
            shown |= _look_up(stores, shown)
        except AppError as error:
            shown["error"], shown["hint"] = error.message, error.hint
    within = None if viewer.scope == "BRAND" else [store.pk for store in stores]
    recent = selectors.redeemed_at_counters(within, since=at - timedelta(days=1))
    context = {
        **site.each_context(request),
        "title": gettext("Redeem a coupon"),
        "stores": stores,
        "shown": shown,
        "key": f"{viewer.staff_id}:{at.isoformat()}",
        "recent": [_line(move, at) for move in recent],
        "may_undo": viewer.can("counter.undo"),
        "undo_minutes": UNDO_MINUTES,
    }
    return TemplateResponse(request, "coupons/counter.html", context)


def _stores(request: HttpRequest) -> list[Store]:
    rows: QuerySet[Store] = visible_stores(viewer_of(request)).filter(is_active=True)
    return list(rows.order_by("name", "pk")[:500])


def _last_store(request: HttpRequest) -> int | None:
    return row_id(request.GET.get("store"))


def _chosen(stores: list[Store], shown: dict[str, Any]) -> Store:
    found = next((store for store in stores if store.pk == shown["store"]), None)
    if found is None:
        raise Http404
    return found


def _fen(text: str) -> int | None:
    """Read yuan as people type them; nothing is None."""
    plain = text.strip().replace(",", "").replace("，", "").removeprefix("¥").removeprefix("￥")
    if not plain:
        return None
    try:
        fen = Decimal(plain) * 100
    except InvalidOperation:
        raise CartNeeded from None
    if not fen.is_finite() or fen != fen.to_integral_value() or not 0 <= fen <= MOST_FEN:
        raise CartNeeded
    return int(fen)


def _bill_number(text: str) -> str:
    if len(text) > 64 or any(not "!" <= character <= "~" for character in text):
        raise BillNumberInvalid
    return text


def _look_up(stores: list[Store], shown: dict[str, Any]) -> dict[str, Any]:
    """Give what a code is worth in a store."""
    at, store = now(), _chosen(stores, shown)
    coupon = services.coupon_of_code(shown["code"], at=at)
    rule, amount = read(coupon.version.rule), _fen(shown["amount"])
    needs_amount = rule.kind != Kind.GIFT or bool(rule.threshold)
    cart = services.bill(amount or 0, store_id=store.pk)
    found = services.at_counter(coupon, cart, vouched=True, at=at, number=_bill_number(shown["number"]))
    waits = needs_amount and amount is None and (found.refusal is None or found.refusal.code in _ASK_AMOUNT)
    return {
        "coupon": coupon,
        "plain": codes.folded(shown["code"]),
        "name": coupon.version.name,
        "sentence": rule_sentence(rule),
        "member": coupon.member,
        "gift": rule.gift if rule.kind == Kind.GIFT else "",
        "saving": found.saving,
        "pays": (amount or 0) - found.saving,
        "needs_amount": needs_amount,
        "waits": waits,
        "why": reasons.sentence(found.refusal) if found.refusal and not waits else "",
        "fix": reasons.fix(found.refusal) if found.refusal and not waits else "",
        "usable": found.refusal is None and not waits,
    }


_ASK_AMOUNT = frozenset({"cart_empty", "wrong_goods", "below_threshold", "nothing_saved"})


def _redeem(request: HttpRequest, stores: list[Store], shown: dict[str, Any]) -> HttpResponseRedirect:
    viewer, store = viewer_of(request), _chosen(stores, shown)
    move = services.redeem_at_counter(
        operation=Operation(f"staff:{viewer.staff_id}", f"counter:{request.POST.get('key', '')[:90]}"),
        code=shown["code"],
        cart=services.bill(_fen(shown["amount"]) or 0, store_id=store.pk),
        vouched=True,
        number=_bill_number(shown["number"]),
        staff_id=viewer.staff_id,
        at=now(),
    )
    name = move.coupon.version.name
    words = {"name": name, "saved": formats.fen(move.saved)}
    said = (
        gettext("“%(name)s” redeemed: %(saved)s off.") if move.saved else gettext("“%(name)s” redeemed: hand it over.")
    )
    messages.success(request, said % words)
    return HttpResponseRedirect(f"{reverse('admin:coupons_counter')}?store={store.pk}")


def _undo(request: HttpRequest, stores: list[Store]) -> HttpResponseRedirect:
    viewer = viewer_of(request)
    if not viewer.can("counter.undo"):
        raise PermissionDenied
    rows = Coupon.objects.filter(pk=row_id(request.POST.get("coupon")) or 0)
    if viewer.scope != "BRAND":
        rows = rows.filter(store__in=stores)
    coupon = rows.first()
    if coupon is None:
        raise Http404
    try:
        services.undo_redemption(
            operation=Operation(f"staff:{viewer.staff_id}", f"undo:{coupon.pk}:{request.POST.get('key', '')[:80]}"),
            coupon_id=coupon.pk,
            reason=request.POST.get("reason", ""),
            staff_id=viewer.staff_id,
            at=now(),
        )
    except AppError as error:
        messages.error(request, f"{error.message} {error.hint}".strip())
    else:
        messages.success(request, gettext("Undone: the coupon can be used again."))
    return HttpResponseRedirect(reverse("admin:coupons_counter"))


def _line(move: Move, at: Any) -> dict[str, Any]:
    still = move.coupon.state == "USED" and move.coupon.used_at is not None
    return {
        "row": move,
        "name": move.coupon.version.name,
        "because": on_screen.because(move),
        "undone": not still,
        "may_undo": still and move.at > at - timedelta(minutes=UNDO_MINUTES),
    }


_COUNTER = Page("coupons/counter/", counter, "coupons_counter", "counter")
pages.register(_COUNTER.name, _COUNTER)
nav.register("rewards.counter", Tab("rewards", pgettext_lazy("coupons", "Redeem"), "coupons_counter", "counter", 70))
