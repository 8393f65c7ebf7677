"""What can be wrong with a cell or a row, why, and what to do about it: stored as codes, shown as sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True)
class Reason:
    """Why something cannot be taken, and what to do; `is_note`: the row is imported all the same."""

    why: StrOrPromise
    todo: StrOrPromise
    is_note: bool = False


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a row: in which field, the code of the reason, and a word about it."""

    field: str
    code: str
    about: str = ""

    def stored(self) -> dict[str, str]:
        """Give it as a row keeps it."""
        return {"field": self.field, "code": self.code} | ({"about": self.about} if self.about else {})


_AS_TEXT: Final = _("Format the column as text, enter the whole number and save again.")
_DAY: Final = _("Write it as 1990-08-17.")
_YUAN: Final = _("Write yuan with at most two decimals, such as 199.90.")
REASONS: Final[dict[str, Reason]] = {
    "formula": Reason(_("a formula, not a value"), _("Copy the column and paste it as values.")),
    "cell_error": Reason(_("an error of the spreadsheet"), _("Mend the cell or leave it empty.")),
    "scientific": Reason(_("scientific notation: digits are lost"), _AS_TEXT),
    "code_invalid": Reason(_("more than letters, digits and signs"), _("Correct it or leave it empty.")),
    "phone_invalid": Reason(
        _("no phone number"), _("Mainland numbers have 11 digits; others begin with + and the country code.")
    ),
    "phone_masked": Reason(
        _("masked, and no other column says who it is"), _("Give the whole number, or the member number.")
    ),
    "too_long": Reason(_("too long"), _("Shorten it.")),
    "too_many": Reason(_("too many in one cell"), _("Leave some out.")),
    "characters": Reason(_("characters that cannot be seen or kept"), _("Type it anew.")),
    "gender_unknown": Reason(_("neither male nor female"), _("Write 男 or 女, or leave it empty.")),
    "number_invalid": Reason(_("no whole number"), _("Write a whole number, such as 42.")),
    "choice_unknown": Reason(_("not one of the list: %(about)s"), _("Write one of the list, or leave it empty.")),
    "yes_no_unknown": Reason(_("neither yes nor no"), _("Write 是 or 否, or leave it empty.")),
    "field_changed": Reason(
        _("the profile field was changed since: it no longer takes this from a table"),
        _("Open the profile field, then try the table out again."),
    ),
    "points_invalid": Reason(_("no whole number of points"), _("Write a whole number from 0 on.")),
    "amount_invalid": Reason(_("no amount"), _YUAN),
    "amount_not_positive": Reason(
        _("0 or less; a table of orders has no refunds"), _("Report refunds by the interface, or leave the row out.")
    ),
    "amount_parts": Reason(_("parts of a fen"), _YUAN),
    "day_invalid": Reason(_("no day"), _DAY),
    "day_missing": Reason(_("a day that does not exist"), _DAY),
    "day_ambiguous": Reason(_("day and month can be taken for each other"), _DAY),
    "day_future": Reason(_("lies in the future"), _("Correct it.")),
    "items_invalid": Reason(_("no list of items"), _("Write LY-1024【shirts】=199.90；LY-2048=80.")),
    "items_more": Reason(_("more than the amount"), _("Give for each item what was paid for it.")),
    "nobody": Reason(
        _("nothing that says who it is"),
        _("Fill in phone, card number or member number. Of merged cells only the first has a value."),
    ),
    "number_missing": Reason(_("empty"), _("Every order needs its number.")),
    "amount_missing": Reason(_("empty"), _("Every order needs its amount.")),
    "at_missing": Reason(_("empty"), _("Every order needs its day.")),
    "twice": Reason(_("the same as row %(about)s"), _("Keep one of the rows.")),
    "two_people": Reason(
        _("leads to another record than the other columns"),
        _("If both are one person, merge the records on the member's page; else correct the row."),
    ),
    "member_unknown": Reason(_("no member has it"), _("Correct it, or import the member first.")),
    "member_gone": Reason(_("the personal data of this person was deleted"), _("Leave the row out.")),
    "phone_other": Reason(
        _("this person has another phone"), _("The phone on record stays. Change it together with the person.")
    ),
    "unionid_other": Reason(
        _("WeChat knows this person by another UnionID: the phone or card may have gone to somebody else"),
        _("Leave the UnionID out if it is the same person; else correct phone or card."),
    ),
    "tag_unknown": Reason(
        _("not in the dictionary: %(about)s"), _("Add the tag, correct the word, or let the import add tags.")
    ),
    "guide_unknown": Reason(_("no guide has this number"), _("Correct it, or leave it empty.")),
    "guide_gone": Reason(_("this guide no longer works here"), _("Choose another guide, or leave it empty.")),
    "points_given": Reason(
        _("another opening balance was given before: %(about)s"), _("Correct points on the member's page.")
    ),
    "unionid_alone": Reason(
        _("no service account is linked to an Open Platform account"), _("Link one, or leave the column out.")
    ),
    "store_unknown": Reason(_("no store has this code"), _("Correct it, or leave it empty.")),
    "order_changed": Reason(
        _("this order is known with other contents"), _("Orders are never changed; report a refund and a new order.")
    ),
    "order_undone": Reason(
        _("this order was imported and taken back too often"), _("Give it another number to import it again.")
    ),
    "row_refused": Reason(_("%(about)s"), _("Correct the row.")),
    "row_failed": Reason(
        _("the row cannot be kept (%(about)s); nothing of it was imported"),
        _("Try the table out again; if it is refused again, report it."),
    ),
    "left_changed": Reason(_("changed by somebody since; it stays as it is now"), _("Change it on the member's page.")),
    "left_used": Reason(
        _("used since: %(about)s"), _("The record stays. What is wrong can be changed on the member's page.")
    ),
    "left_spent": Reason(_("points of the opening balance were spent since"), _("Correct points by hand.")),
    "left_refunded": Reason(_("the order was refunded since"), _("Nothing: the rest of it stays.")),
    "left_failed": Reason(
        _("it could not be taken back (%(about)s); it stays as it is"), _("Change it on the member's page.")
    ),
    "kept": Reason(_("something else is on record and stays"), "", is_note=True),
    "ship_unread": Reason(_("no place is in the address that is known; the order is nowhere"), "", is_note=True),
    "ship_ambiguous": Reason(_("the address may be in several cities; the order is nowhere"), "", is_note=True),
    "ship_abroad": Reason(_("sent abroad; the order is nowhere"), "", is_note=True),
    "guide_kept": Reason(_("somebody else looks after this person and stays"), "", is_note=True),
}


def is_note(problem: dict[str, Any]) -> bool:
    """Say whether a stored problem only tells something."""
    reason = REASONS.get(str(problem.get("code")))
    return reason is not None and reason.is_note


def why(problem: dict[str, Any]) -> str:
    """Give the reason of a stored problem."""
    reason = REASONS.get(str(problem.get("code")))
    if reason is None:
        return str(problem.get("code"))
    said = str(reason.why)
    return said % {"about": problem.get("about", "")} if "%(" in said else said


def todo(problem: dict[str, Any]) -> str:
    """Give what to do about a stored problem."""
    reason = REASONS.get(str(problem.get("code")))
    return str(reason.todo) if reason else ""
