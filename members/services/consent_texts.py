"""What people can agree to: the purposes, the brand's own among them, and the wordings they are shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from django.db import IntegrityError, transaction

from accounts.services import record_audit
from members.errors import ConsentTextInvalid
from members.models import ConsentPurpose, ConsentText, Purpose

if TYPE_CHECKING:
    from datetime import datetime

_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,19}")
_RESERVED: Final = frozenset({*Purpose.values, "PERSONAL", "QUIET"})
LONGEST: Final = 20_000


@transaction.atomic
def add_purpose(*, code: str, name: str, meaning: str, at: datetime) -> ConsentPurpose:
    """Add a purpose of the brand's own. Raises `ConsentTextInvalid`."""
    code, name, meaning = code.strip().upper(), name.strip(), meaning.strip()
    if not _CODE.fullmatch(code) or code in _RESERVED:
        raise ConsentTextInvalid("code")
    if not name or len(name) > 30:
        raise ConsentTextInvalid("name")
    if not meaning or len(meaning) > 200:
        raise ConsentTextInvalid("meaning")
    try:
        with transaction.atomic():
            row = ConsentPurpose.objects.create(code=code, name=name, meaning=meaning, created_at=at)
    except IntegrityError:
        raise ConsentTextInvalid("code") from None
    record_audit(action="add purpose", obj=row, changes={"code": [None, code]})
    return row


@transaction.atomic
def write_text(*, purpose: str, version: str, body: str, by: str, effective_at: datetime, at: datetime) -> ConsentText:
    """Write the text that people are shown from a moment on; nobody can change it afterwards.

    Raises `ConsentTextInvalid`.
    """
    if not is_purpose(purpose):
        raise ConsentTextInvalid("purpose")
    version, body = version.strip(), body.strip()
    if not version or len(version) > 20 or not version.isascii() or " " in version:
        raise ConsentTextInvalid("version", "text_version")
    if not body or len(body) > LONGEST:
        raise ConsentTextInvalid("body")
    try:
        with transaction.atomic():
            row = ConsentText.objects.create(
                purpose=purpose,
                version=version,
                body=body,
                written_by=by[:60],
                effective_at=effective_at,
                created_at=at,
            )
    except IntegrityError:
        raise ConsentTextInvalid("version") from None
    record_audit(action="write consent text", obj=row, changes={"version": [None, version]})
    return row


def is_purpose(purpose: str) -> bool:
    """Say whether the brand in scope uses data for this purpose."""
    return purpose in Purpose.values or ConsentPurpose.objects.filter(code=purpose, is_active=True).exists()


def check_statement(*, purpose: str, text_version: str | None) -> None:
    """Refuse a purpose the brand does not have, and a text it has never shown. Raises `ConsentTextInvalid`.

    A brand that keeps its texts elsewhere has none here; then every version is taken as given.
    """
    if not is_purpose(purpose):
        raise ConsentTextInvalid("purpose")
    if text_version is None:
        return
    texts = ConsentText.objects.filter(purpose=purpose)
    if texts.exists() and not texts.filter(version=text_version).exists():
        raise ConsentTextInvalid("text_version")
