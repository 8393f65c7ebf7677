"""The form of a template: its rule in fields of its own, money in yuan, and the sentence it makes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy, pgettext_lazy
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextInputWidget,
)

from console.forms import BrandModelForm
from coupons.rules import MOST_DAYS, MOST_FEN, MOST_PIECES, Kind, OnRefund, Stacks, Validity, faults, trimmed
from loyalty.models import Tier
from stores.models import Store

MONEY: Final = ("amount", "cap", "threshold")
NUMBERS: Final = ("percent", "pieces", "delay", "days", "grace_days")
CHOSEN: Final = ("kind", "validity", "on_refund", "stacks")
CODES: Final = ("products", "categories")
DAYS: Final = ("first_day", "last_day")
RULE_FIELDS: Final = (
    "kind",
    "amount",
    "percent",
    "cap",
    "pieces",
    "gift",
    "threshold",
    "products",
    "categories",
    "stores",
    "tiers",
    "stacks",
    "validity",
    "first_day",
    "last_day",
    "delay",
    "days",
    "on_refund",
    "grace_days",
)
SAID: Final = {
    "total": gettext_lazy("Given and printed together; empty means no limit."),
    "per_member": gettext_lazy("Empty means no limit."),
    "points_price": gettext_lazy("Empty: not to be had for points."),
}
FRESH: Final[dict[str, Any]] = {
    "kind": "AMOUNT",
    "validity": "RELATIVE",
    "days": 30,
    "on_refund": "RETURN",
    "grace_days": 7,
    "pieces": 1,
    "stacks": "ALONE",
}


def _number(label: Any, hint: Any = "", low: int = 0, high: int = MOST_DAYS) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, help_text=hint, required=False, min_value=low, max_value=high, widget=UnfoldAdminIntegerFieldWidget
    )


def _money(label: Any, hint: Any = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        help_text=hint,
        required=False,
        min_value=Decimal(0),
        max_value=Decimal(MOST_FEN) / 100,
        max_digits=12,
        decimal_places=2,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
    )


def _text(label: Any, hint: Any = "", length: int = 2000) -> forms.CharField:
    return forms.CharField(
        label=label, help_text=hint, required=False, max_length=length, widget=UnfoldAdminTextInputWidget
    )


def _choice(label: Any, choices: Any) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=choices, required=False, widget=UnfoldAdminSelectWidget)


def _several(label: Any, hint: Any) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label, help_text=hint, required=False, widget=forms.CheckboxSelectMultiple(attrs={"class": "zy-checks"})
    )


class TemplateForm(BrandModelForm):
    """A template with the settings of every kind; those its kind does not know are not kept."""

    kind = _choice(pgettext_lazy("coupon", "What it gives"), Kind.choices)
    amount = _money(gettext_lazy("Yuan off"), gettext_lazy("Amount off: never more than the goods cost."))
    percent = _number(
        pgettext_lazy("coupon", "Percent taken off"), gettext_lazy("Percent off: 15 makes 8.5 of ten."), 1, 99
    )
    cap = _money(gettext_lazy("At most, in yuan"), gettext_lazy("Percent off: empty means no limit."))
    pieces = _number(gettext_lazy("Pieces"), gettext_lazy("Certain goods free: so many at most."), 1, MOST_PIECES)
    gift = _text(pgettext_lazy("coupon", "Gift"), gettext_lazy("Gift: what is handed over."), 40)
    threshold = _money(gettext_lazy("From, in yuan"), gettext_lazy("Of the goods it is for; empty means no threshold."))
    products = _text(gettext_lazy("Product codes"), gettext_lazy("Separated by commas; empty means all goods."))
    categories = _text(gettext_lazy("Category codes"), gettext_lazy("Separated by commas; goods of any of them count."))
    stores = _several(gettext_lazy("Stores"), gettext_lazy("None chosen: every store and online."))
    tiers = _several(pgettext_lazy("coupon", "Tiers"), gettext_lazy("None chosen: everybody."))
    stacks = _choice(gettext_lazy("Other coupons for the same order"), Stacks.choices)
    validity = _choice(gettext_lazy("Can be used"), Validity.choices)
    first_day = forms.DateField(label=gettext_lazy("First day"), required=False, widget=UnfoldAdminSingleDateWidget)
    last_day = forms.DateField(
        label=pgettext_lazy("coupon", "Last day"), required=False, widget=UnfoldAdminSingleDateWidget
    )
    delay = _number(gettext_lazy("Starts after days"), gettext_lazy("0: at once."))
    days = _number(pgettext_lazy("coupon", "Days"), gettext_lazy("With the first one."), 1)
    on_refund = _choice(gettext_lazy("After a full refund"), OnRefund.choices)
    grace_days = _number(
        gettext_lazy("Days of grace"), gettext_lazy("For one that expired between the order and its refund."), 0, 365
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Show what is stored in the form's own fields."""
        super().__init__(*args, **kwargs)
        for name, text in SAID.items():
            if name in self.fields:  # a role that may only look gets the rule as a sentence
                self.fields[name].help_text = text
        self.named = {
            "stores": list(Store.objects.order_by("code").values_list("pk", "name")),
            "tiers": list(Tier.objects.order_by("threshold").values_list("pk", "name")),
        }
        stored = {**FRESH, **(self.instance.draft or {})}
        for name, rows in self.named.items():
            known = {pk for pk, _name in rows}
            rows += [(pk, label) for pk, label in stored.get(name, ()) if pk not in known]
            field: Any = self.fields[name]
            field.choices = [(str(pk), label) for pk, label in rows]
            self.initial[name] = [str(pk) for pk, _name in stored.get(name, ())]
        for name in MONEY:
            self.initial[name] = Decimal(stored[name]) / 100 if stored.get(name) else None
        for name in CODES:
            self.initial[name] = ", ".join(stored.get(name, ()))
        for name in (*NUMBERS, *CHOSEN, *DAYS, "gift"):
            self.initial[name] = stored.get(name)

    def clean(self) -> dict[str, Any]:
        """Make the rule of what was typed, and check it."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        rule = self.rule(cleaned)
        for name, message in faults(rule).items():
            self.add_error(name if name in self.fields else None, str(message))
        self.instance.draft = rule
        return cleaned

    def rule(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """Give the rule as it is stored."""
        data: dict[str, Any] = {name: cleaned.get(name) or FRESH.get(name, "") for name in CHOSEN}
        data |= {name: int((cleaned.get(name) or 0) * 100) for name in MONEY}
        data |= {name: self._whole(name, cleaned) for name in NUMBERS}
        data |= {name: _codes(cleaned.get(name) or "") for name in CODES}
        data |= {name: day.isoformat() for name in DAYS if (day := cleaned.get(name))}
        data["gift"] = (cleaned.get("gift") or "").strip()
        for name, rows in self.named.items():
            chosen = set(cleaned.get(name) or ())
            data[name] = [[pk, label] for pk, label in rows if str(pk) in chosen]
        return trimmed(data)

    @staticmethod
    def _whole(name: str, cleaned: dict[str, Any]) -> int:
        value = cleaned.get(name)
        return int(value if value is not None else FRESH.get(name, 0))


def _codes(text: str) -> list[str]:
    parts = text.replace("，", ",").replace("、", ",").split(",")
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))
