"""What people agreed to, and when they took it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from members.models import Consent, OptOut

if TYPE_CHECKING:
    from datetime import datetime

    from members.models import Member


def give_consent(*, member: Member, purpose: str, text_version: str, source: str, at: datetime) -> Consent:
    """Note that a person agrees to a purpose."""
    OptOut.objects.filter(member=member, purpose=purpose).delete()
    return Consent.objects.create(
        member=member,
        purpose=purpose,
        granted=True,
        text_version=text_version,
        source=source,
        at=at,
    )


def withdraw_consent(*, member: Member, purpose: str, source: str, at: datetime) -> Consent:
    """Note that a person takes a purpose back; nothing that is not yet claimed is sent any more. Safe to repeat."""
    OptOut.objects.get_or_create(member=member, purpose=purpose, defaults={"at": at})
    return Consent.objects.create(member=member, purpose=purpose, granted=False, text_version="", source=source, at=at)
