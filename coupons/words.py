"""A rule in words, made from the rule itself: what is printed on a coupon is what the till decides by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from console import formats
from coupons.rules import Kind, OnRefund, Rule, Stacks, Validity

if TYPE_CHECKING:
    from collections.abc import Iterable


def joined(names: Iterable[str]) -> str:
    """Join names as the language lists them."""
    return pgettext("between names", ", ").join(names)


def rule_sentence(rule: Rule) -> str:
    """Give everything a rule decides, in one sentence."""
    parts = [benefit(rule), *_limits(rule), stacking(rule), validity(rule), refund(rule)]
    return pgettext("between parts of a rule", "; ").join(part for part in parts if part)


def benefit(rule: Rule) -> str:
    """Give what a coupon takes off or gives, and from which amount."""
    given = _given(rule)
    if not rule.threshold:
        return given
    words = {"threshold": formats.fen(rule.threshold), "given": given}
    if rule.products or rule.categories:
        return _("from %(threshold)s of these goods: %(given)s") % words
    return _("from %(threshold)s: %(given)s") % words


def _given(rule: Rule) -> str:
    if rule.kind == Kind.AMOUNT:
        return _("%(amount)s off") % {"amount": formats.fen(rule.amount)}
    if rule.kind == Kind.PERCENT:
        return _percent(rule)
    if rule.kind == Kind.EXCHANGE:
        text = ngettext(
            "%(count)s piece of these goods free, the dearest first",
            "up to %(count)s pieces of these goods free, the dearest first",
            rule.pieces,
        )
        return text % {"count": rule.pieces}
    return _("a gift: %(gift)s") % {"gift": rule.gift}


def _percent(rule: Rule) -> str:
    whole, part = divmod(100 - rule.percent, 10)
    words = {"percent": rule.percent, "fold": f"{whole}.{part}" if part else f"{whole}"}
    # Translators: Chinese counts what is paid (fold, of ten), English what is taken off (percent).
    text = _("%(percent)s%% off (%(fold)s tenths are paid)") % words
    if rule.cap:
        text += _(", at most %(cap)s") % {"cap": formats.fen(rule.cap)}
    return text


def _limits(rule: Rule) -> list[str]:
    parts = []
    if rule.products:
        parts.append(_("goods %(names)s") % {"names": joined(rule.products)})
    if rule.categories:
        parts.append(_("categories %(names)s") % {"names": joined(rule.categories)})
    if rule.products and rule.categories:
        parts = [pgettext("goods or categories", " or ").join(parts)]
    if parts:
        parts = [_("only for %(goods)s") % {"goods": parts[0]}]
    if rule.stores:
        parts.append(_("only in %(names)s") % {"names": joined(each.name for each in rule.stores)})
    if rule.tiers:
        parts.append(_("only for the tiers %(names)s") % {"names": joined(each.name for each in rule.tiers)})
    return parts


def stacking(rule: Rule) -> str:
    """Give which other coupons an order may use beside this one."""
    texts = {
        Stacks.ALONE: _("not together with other coupons"),
        Stacks.OTHERS: _("together with other coupons that allow it"),
        Stacks.ANY: _("together with other coupons that allow it, and more of the same"),
    }
    return texts[Stacks(rule.stacks)]


def validity(rule: Rule) -> str:
    """Give how long a coupon can be used."""
    if rule.validity == Validity.FIXED:
        return _("from %(first)s to %(last)s, both days included") % {"first": rule.first_day, "last": rule.last_day}
    if rule.delay:
        words = {"delay": rule.delay, "days": rule.days}
        return _("from %(delay)s days after it is given, for %(days)s days") % words
    text = ngettext("for %(days)s day, today included", "for %(days)s days, the first one included", rule.days)
    return text % {"days": rule.days}


def refund(rule: Rule) -> str:
    """Give what becomes of a used coupon when everything is refunded."""
    if rule.on_refund == OnRefund.VOID:
        return _("not returned after a refund")
    if rule.on_refund == OnRefund.EXTEND:
        return _("returned after a full refund, longer by the time it was away")
    text = _("returned after a full refund")
    if rule.grace_days:
        grace = ngettext(
            ", for %(days)s more day if it has expired", ", for %(days)s more days if it has expired", rule.grace_days
        )
        return text + grace % {"days": rule.grace_days}
    return text + _(", but not if it has expired")


def short(rule: Rule) -> str:
    """Give the benefit and the goods it is for: one line of a list."""
    return pgettext("between parts of a rule", "; ").join([benefit(rule), *_limits(rule)[:1]])
