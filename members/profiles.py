"""Facts of a profile: the common ones and a brand's own, how values are read, and which of several counts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from common.registry import Registry
from members.errors import ProfileFieldInvalid, ProfileValueInvalid
from members.models import FieldKind, Gender, ProfileField

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

# Who can say something about a person. Apps above register theirs.
sources: Registry[StrOrPromise] = Registry("profile sources", purpose="who can say something about a person's profile")
MEMBER: Final = "member"
DIALOGUE: Final = "dialogue"
OPERATOR: Final = "operator"
IMPORT: Final = "import"
for _key, _label in (
    (MEMBER, gettext_lazy("the member")),
    (DIALOGUE, gettext_lazy("dialogue")),
    (OPERATOR, gettext_lazy("staff")),
    ("pos", gettext_lazy("till")),
    ("wecom", gettext_lazy("WeCom")),
    ("form", gettext_lazy("form")),
    (IMPORT, gettext_lazy("import")),
    ("api", gettext_lazy("API")),
):
    sources.register(_key, _label)
PRECEDENCE: Final = (MEMBER, DIALOGUE, OPERATOR, "pos", "wecom", "form", IMPORT, "api")

MOST_CHARACTERS: Final = 200
MOST_CHOICES: Final = 50
MOST_FRESH_DAYS: Final = 3650
_MOST_NUMBER: Final = 10**12
_NUMBER: Final = re.compile(r"-?[0-9]{1,13}")
_MMDD: Final = re.compile(r"(0[1-9]|1[0-2])-([0-2][0-9]|3[01])")


@dataclass(frozen=True)
class Common:
    """A fact that every brand keeps, in a column of the member."""

    key: str
    column: str
    label: StrOrPromise


COMMON: Final[Mapping[str, Common]] = {
    each.key: each
    for each in (
        Common("name", "name", pgettext_lazy("person", "Name")),
        Common("birthday", "birth_mmdd", gettext_lazy("Birthday")),
        Common("gender", "gender", gettext_lazy("Gender")),
        Common("city", "city", gettext_lazy("City")),
    )
}


def read_common(key: str, text: str) -> Any:
    """Give the column's value of what somebody wrote; an empty text forgets it. Raises `ProfileValueInvalid`."""
    text = unicodedata.normalize("NFC", text).strip()
    if key == "birthday":
        return _mmdd(text)
    if key == "gender":
        if text and text not in Gender.values:
            raise ProfileValueInvalid(key, _("Choose one of the list."))
        return text
    longest = 60 if key == "name" else 40
    if len(text) > longest:
        raise ProfileValueInvalid(key, _("At most %(most)s characters are possible.") % {"most": longest})
    return text


def said_common(key: str, value: Any) -> str:
    """Give the text of a column's value."""
    if key == "birthday":
        return "" if value is None else f"{value // 100:02d}-{value % 100:02d}"
    return str(value or "")


def _mmdd(text: str) -> int | None:
    if not text:
        return None
    found = _MMDD.fullmatch(text)
    try:
        day = date(2024, int(found[1]), int(found[2])) if found else None  # a leap year: 29 February is a birthday
    except ValueError:
        day = None
    if day is None:
        raise ProfileValueInvalid("birthday", _("Write the birthday as MM-DD, such as 08-17."))
    return day.month * 100 + day.day


def read_value(field: ProfileField, given: object) -> str:
    """Give the text of a value as it is kept; an empty one forgets it. Raises `ProfileValueInvalid`."""
    if given is None or given == "":
        return ""
    reader = {
        FieldKind.TEXT: _text,
        FieldKind.NUMBER: _number,
        FieldKind.DATE: _date,
        FieldKind.CHOICE: _choice,
        FieldKind.YES_NO: _yes_no,
    }[FieldKind(field.kind)]
    return reader(field, given)


def _text(field: ProfileField, given: object) -> str:
    if not isinstance(given, str):
        raise ProfileValueInvalid(field.key, _("A text is expected here."))
    text = unicodedata.normalize("NFC", given).strip()
    if len(text) > MOST_CHARACTERS or any(unicodedata.category(sign) == "Cc" for sign in text):
        raise ProfileValueInvalid(field.key, _("At most %(most)s characters are possible.") % {"most": MOST_CHARACTERS})
    return text


def _number(field: ProfileField, given: object) -> str:
    text = str(given).strip() if isinstance(given, (int, str)) and not isinstance(given, bool) else ""
    if not _NUMBER.fullmatch(text) or abs(int(text)) > _MOST_NUMBER:
        raise ProfileValueInvalid(field.key, _("A whole number is expected here."))
    return str(int(text))


def _date(field: ProfileField, given: object) -> str:
    try:
        return date.fromisoformat(str(given).strip() if len(str(given).strip()) == 10 else "").isoformat()
    except ValueError:
        raise ProfileValueInvalid(field.key, _("Write the date as 2026-05-20.")) from None


def _choice(field: ProfileField, given: object) -> str:
    if not isinstance(given, str) or given.strip() not in field.choices:
        raise ProfileValueInvalid(field.key, _("Choose one of the list."))
    return given.strip()


def _yes_no(field: ProfileField, given: object) -> str:
    known = {True: "yes", False: "no", "yes": "yes", "no": "no"}
    if not isinstance(given, (bool, str)) or given not in known:
        raise ProfileValueInvalid(field.key, _("Yes or no is expected here."))
    return known[given]


@dataclass(frozen=True)
class Said:
    """What one source says, and when it said so."""

    source: str
    at: datetime
    empty: bool = False


def winner(said: Iterable[Said], *, precedence: Iterable[str], fresh_days: int | None, at: datetime) -> str | None:
    """Give the source whose value counts: fresh before stale, then by precedence, then the newest; None for nobody."""
    rank = {source: number for number, source in enumerate(precedence)}
    since = None if fresh_days is None else at - timedelta(days=fresh_days)
    standing = [each for each in said if not each.empty]
    if not standing:
        return None
    best = min(
        standing,
        key=lambda each: (
            since is not None and each.at < since,
            rank.get(each.source, len(rank)),
            -each.at.timestamp(),
            each.source,
        ),
    )
    return best.source


def masked(text: str) -> str:
    """Show the first letter."""
    return f"{text[:1]}***" if text else ""


def check_field(field: ProfileField) -> None:
    """Raise `ProfileFieldInvalid` when a field cannot be used."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,39}", field.key) or field.key in COMMON:
        raise ProfileFieldInvalid(
            "key", _("A key has 2 to 40 small letters, digits and _, and is none of the common facts.")
        )
    if not field.label.strip():
        raise ProfileFieldInvalid("label", _("A name is needed."))
    if field.kind == FieldKind.CHOICE and not 1 <= len(set(field.choices)) == len(field.choices) <= MOST_CHOICES:
        raise ProfileFieldInvalid("choices", _("Give 1 to %(most)s different choices.") % {"most": MOST_CHOICES})
    if not field.sources or len(set(field.sources)) != len(field.sources):
        raise ProfileFieldInvalid("sources", _("Name at least one source, each once."))
    if any(source not in sources for source in field.sources):
        raise ProfileFieldInvalid("sources", _("One of the sources is unknown."))
    if field.fresh_days is not None and not 1 <= field.fresh_days <= MOST_FRESH_DAYS:
        raise ProfileFieldInvalid("fresh_days", _("From 1 to %(most)s days are possible.") % {"most": MOST_FRESH_DAYS})
    if field.by_member and MEMBER not in field.sources:
        raise ProfileFieldInvalid("by_member", _("Put the member among the sources first."))


def unknown_field() -> str:
    """Say that there is no such field."""
    return _("This field does not exist.")


def not_from(source: str) -> str:
    """Say that a source may not speak here."""
    return _("Nothing is taken from “%(source)s” for this field.") % {"source": sources.get(source)}


def fixed_field() -> str:
    """Say what of a field stays."""
    return _("Key, type and who sees it stay as they are. Make another field instead.")


def taken_field() -> str:
    """Say that there is such a field already."""
    return _("Another field has this key or name.")
