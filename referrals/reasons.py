"""Why an invitation is held or refused, as whole sentences: what is stored is a key with its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext_lazy as _

from referrals.models import SignKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django_stubs_ext import StrOrPromise

REASONS: Final[dict[str, StrOrPromise]] = {
    "ring": _("%(people)s people invited each other in a circle."),
    "inviter_sign": _("Both used %(what)s."),
    "shared_sign": _("%(people)s invited people used %(what)s."),
    "phone": _("Both have had the same phone number."),
    "fast": _("%(people)s people came by the same inviter within an hour."),
    "quiet": _("None of the %(people)s people this inviter brought has done anything since they came."),
    "same_person": _("Both turned out to be one person."),
    "known_before": _("The brand knew this person before the invitation."),
    "twice": _("This person was invited before under another record."),
    "left_out": _("One of the two works here, is a test person or is blocked."),
    "refunded": _("The order was sent back."),
    "gone": _("The personal data of one of the two was deleted."),
    "rejected": _("Somebody looked at it and refused it."),
}


def sentences(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say each reason in words; unknown ones are left out."""
    return [sentence(row) for row in rows if row.get("key") in REASONS]


def sentence(row: Mapping[str, Any]) -> str:
    """Say one reason."""
    values = dict(row)
    if "what" in values:
        values["what"] = SignKind(values["what"]).label
    return str(REASONS[row["key"]]) % values
