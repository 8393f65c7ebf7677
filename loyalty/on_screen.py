"""Points and tiers in words: why an entry is there, what a rule says, what a tier gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from common.divisions import said
from console import formats
from loyalty.earn_rules import PERIODS, earn_kinds
from loyalty.models import BenefitKind, FactKind, JournalKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loyalty.models import Benefit, Fact, Journal
    from loyalty.selectors.points import Liability

TONES = {JournalKind.EARN: "success", JournalKind.EXPIRE: "warning"}
_LOWER = {
    JournalKind.BURN,
    JournalKind.CAPTURE,
    JournalKind.CLAWBACK,
    JournalKind.EXPIRE,
    JournalKind.ERASE,
    JournalKind.GIFT,
    JournalKind.FREEZE,
}


def signed(journal: Journal) -> str:
    """Give the points of an entry as they change what can be spent."""
    if journal.kind == JournalKind.CAPTURE:
        return formats.count(journal.detail.get("frozen", journal.points) - journal.points) or "0"
    points = -journal.points if journal.kind in _LOWER else journal.points
    return f"{points:+,}"


def sentence(journal: Journal) -> str:
    """Give what an entry is about."""
    words = {
        "points": formats.count(abs(journal.points)),
        "number": journal.number or formats.NOTHING,
        "reason": journal.reason,
        "other": str(journal.other) if journal.other_id else "",
    }
    kind = JournalKind(journal.kind)
    if kind == JournalKind.EARN:
        return _("Earned %(points)s points by the rule “%(reason)s”") % words if journal.reason else _earned(words)
    texts = {
        JournalKind.BURN: _("Spent %(points)s points, order %(number)s"),
        JournalKind.FREEZE: _("%(points)s points frozen, order %(number)s"),
        JournalKind.CAPTURE: _("Spent %(points)s frozen points, order %(number)s"),
        JournalKind.RELEASE: _("%(points)s frozen points released"),
        JournalKind.RETURN: _("%(points)s points returned, refund %(number)s"),
        JournalKind.CLAWBACK: _("%(points)s points taken back, refund %(number)s"),
        JournalKind.EXPIRE: _("%(points)s points expired"),
        JournalKind.REINSTATE: _("%(points)s expired points came back"),
        JournalKind.ADJUST: _("Adjusted by hand: %(reason)s"),
        JournalKind.GIFT: _("%(points)s points given to %(other)s"),
        JournalKind.MERGE: _("%(points)s points came from the merged record of %(other)s"),
        JournalKind.UNMERGE: _("%(points)s points went back when the merge was undone"),
        JournalKind.ERASE: _("%(points)s points lapsed with the personal data"),
    }
    return texts[kind] % words


def _earned(words: dict[str, str]) -> str:
    return _("Earned %(points)s points") % words


def because(journal: Journal) -> str:
    """Give how the points of a rule came about, and what is worth knowing of any other entry."""
    detail: dict[str, Any] = journal.detail
    parts = []
    kind = earn_kinds.find(str(detail.get("kind", "")))
    if kind is not None and "values" in detail:
        values = dict(detail["values"])
        values |= {
            name.removesuffix("_fen"): formats.fen(value) for name, value in values.items() if name.endswith("_fen")
        }
        parts.append(str(kind.says) % values)
        parts.append(_("version %(number)s") % {"number": detail["version"]})
    parts += [
        _("%(tier)s: +%(percent)s%%") % {"tier": each["tier"], "percent": each["percent"]}
        for each in detail.get("extra", ())
    ]
    if "limit" in detail:
        words = {"points": detail["limit"]["points"], "period": PERIODS[detail["limit"]["period"]]}
        parts.append(_("at most %(points)s points %(period)s") % words)
    if detail.get("expired"):
        parts.append(_("%(points)s of them had expired unused") % {"points": formats.count(detail["expired"])})
    if detail.get("missing"):
        parts.append(_("%(points)s points were no longer there") % {"points": formats.count(detail["missing"])})
    if journal.number and journal.kind == JournalKind.EARN:
        parts.append(journal.number)
    return " · ".join(parts)


SHOWN_LINES = 3


def fact_sentence(fact: Fact) -> str:
    """Give what somebody did, as it was reported."""
    words = {"amount": formats.fen(fact.amount), "store": str(fact.store or ""), "name": str(fact.body.get("name", ""))}
    kind = FactKind(fact.kind)
    if fact.store_id is not None and kind in (FactKind.PURCHASE, FactKind.REFUND, FactKind.VISIT):
        there = {
            FactKind.PURCHASE: _("Bought for %(amount)s at %(store)s"),
            FactKind.REFUND: _("Sent goods for %(amount)s back at %(store)s"),
            FactKind.VISIT: _("Came to %(store)s"),
        }
        return there[kind] % words
    texts = {
        FactKind.PURCHASE: _("Bought for %(amount)s"),
        FactKind.REFUND: _("Sent goods for %(amount)s back"),
        FactKind.VISIT: _("Came to a store"),
        FactKind.CHECK_IN: _("Checked in for the day"),
        FactKind.PROFILE: _("Completed the profile"),
        FactKind.REFERRAL: _("Brought somebody"),
        FactKind.EVENT: _("Took part in “%(name)s”"),
    }
    return texts[kind] % words


def fact_detail(fact: Any) -> str:
    """Give the lines of a fact, its number and system, and what was sent back of it or what it sends back."""
    lines = fact.body.get("lines", ())
    parts = [f"{line['sku']} {formats.fen(line['amount'])}" for line in lines[:SHOWN_LINES]]
    if len(lines) > SHOWN_LINES:
        more = len(lines) - SHOWN_LINES
        parts.append(ngettext("%(count)s more line", "%(count)s more lines", more) % {"count": more})
    parts.append(_("number %(number)s, reported by %(system)s") % {"number": fact.number, "system": fact.system})
    if fact.body.get("place"):
        parts.append(_("sent to %(place)s") % {"place": said(fact.body["place"])})
    if fact.refers is not None:
        parts.append(_("of the purchase %(number)s") % {"number": fact.refers.number})
    if fact.back:
        words = {"amount": formats.fen(fact.back), "numbers": ", ".join(fact.refunds)}
        parts.append(_("%(amount)s of it was sent back (%(numbers)s)") % words)
    return " · ".join(parts)


def rule_sentence(kind_key: str, params: Mapping[str, Any]) -> str:
    """Give what a rule says, as a sentence."""
    words = {
        "points": formats.count(_number(params.get("points"))),
        "unit": formats.fen(_number(params.get("per_fen"))),
        "from": formats.fen(_number(params.get("from_fen"))),
        "codes": str(params.get("codes", "")),
        "name": str(params.get("name", "")),
    }
    texts = {
        "spend": _("%(points)s points for every %(unit)s paid"),
        "category": _("%(points)s points for every %(unit)s paid for %(codes)s"),
        "first_purchase": _("%(points)s points for the first purchase from %(from)s"),
        "visit": _("%(points)s points for a visit to a store"),
        "check_in": _("%(points)s points for the daily check-in"),
        "profile": _("%(points)s points for a complete profile"),
        "referral": _("%(points)s points for bringing somebody"),
        "event": _("%(points)s points for the event “%(name)s”"),
    }
    text = texts[kind_key] % words if kind_key in texts else pgettext("earn rule", "Unknown kind")
    if params.get("limit_period"):
        limit = {
            "points": formats.count(_number(params.get("limit_points"))),
            "period": PERIODS[params["limit_period"]],
        }
        text = _("%(rule)s, at most %(limit)s") % {
            "rule": text,
            "limit": _("%(points)s points %(period)s") % limit,
        }
    return text


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def benefit_sentence(benefit: Benefit) -> str:
    """Give what a benefit is."""
    value = {"value": formats.count(benefit.value), "amount": formats.fen(benefit.value)}
    texts = {
        BenefitKind.PRICE: _("%(value)s%% off"),
        BenefitKind.FREE_SHIPPING: _("free shipping from %(amount)s"),
        BenefitKind.EARLY_ACCESS: _("%(value)s hours earlier"),
        BenefitKind.EXCLUSIVE_GUIDE: _("exclusive guide"),
        BenefitKind.BIRTHDAY: _("%(value)s%% more points in the month of birth"),
        BenefitKind.POINTS: _("%(value)s%% more points"),
    }
    return texts[BenefitKind(benefit.kind)] % value


def liability_rows(found: Liability) -> list[dict[str, Any]]:
    """Give the lines of the liability report; the last one is the sum of those above it."""
    lines = [
        (_("Issued by rules and systems"), found.issued),
        (_("Adjusted by hand"), found.adjusted),
        (_("Redeemed, less what was returned"), -found.redeemed),
        (_("Expired, less what was reinstated"), -found.expired),
        (_("Spent before a refund: the brand's cost"), found.forgiven),
    ]
    rows = [{"label": label, "points": points, "cost": found.cost(points)} for label, points in lines]
    total = sum(points for _label, points in lines)
    rows.append({"label": _("Outstanding"), "points": total, "cost": found.cost(total), "total": True})
    return rows
