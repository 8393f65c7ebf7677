"""The explanation of automated decisions: in plain values, and as a page to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Brand
from accounts.tenancy import current_brand_id
from members.choices import PERSONAL
from members.decisions import decisions_about
from members.explanations import profile_in_words
from members.models import OptOut

if TYPE_CHECKING:
    from datetime import datetime

    from members.models import Member


def explanation_of(member: Member, *, at: datetime, answer: str = "") -> dict[str, Any]:
    """Give what programs decided about a person, why, and how they get out of it, in the language of whoever asks."""
    brand = Brand.objects.get(pk=current_brand_id())
    with timezone.override(ZoneInfo(brand.timezone)):
        return {
            "brand": brand.name,
            "made_at": at.isoformat(),
            "member_no": member.member_no,
            "answer": answer,
            "personalised": not OptOut.objects.filter(member=member, purpose=PERSONAL).exists(),
            "profile": profile_in_words(member, at=at),
            "kinds": [
                {
                    "code": kind.key,
                    "name": kind.label,
                    "refusing": kind.refusing,
                    "ends_with_switch": kind.ends_with_switch,
                    "results": [
                        {
                            "what": each.what,
                            "because": list(each.because),
                            "at": _stamp(each.at),
                        }
                        for each in kind.decisions
                    ],
                }
                for kind in decisions_about(member, at=at)
            ],
            "rights": rights_in_words(),
        }


def _stamp(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def rights_in_words() -> list[str]:
    """Say what anybody may do about such decisions (PIPL 24)."""
    return [
        _("Whoever turns personalised messages off is not chosen by what they are or did, and no rule tags them."),
        _("Whoever thinks a decision is wrong may ask for an explanation; a person answers within 15 working days."),
        _("Service notices and what was earned (points, tier, coupons) stay as they are."),
    ]


def explanation_page(document: dict[str, Any]) -> str:
    """Give the same as a page that can be read without a program."""
    return render_to_string("members/privacy/explanation.html", {"document": document})
