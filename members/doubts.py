"""Why two records may not be one person after all, in words; and which sources of a phone WeChat vouches for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

WECHAT: Final = "wechat"
PHONES: Final = "phones"
BIRTHDAYS: Final = "birthdays"
CARDS: Final = "cards"
UNIONIDS: Final = "unionids"
CONTACTS: Final = "contacts"
NAMES: Final = "names"
OLD_PHONE: Final = "old-phone"
TYPED: Final = "typed"
ASKED: Final = "asked"

REASONS: Final[Mapping[str, StrOrPromise]] = {
    WECHAT: _("Each has a WeChat user of their own under the same account: the phone may have gone to somebody else"),
    PHONES: _("They have different phones"),
    BIRTHDAYS: _("They have different birthdays"),
    CARDS: _("They have different cards of the same issuer"),
    UNIONIDS: _("WeChat knows them as two users: their UnionIDs differ"),
    CONTACTS: _("They are two contacts of the same WeCom company"),
    NAMES: _("They have different names"),
    OLD_PHONE: _("Nothing was heard of the older record for a year: the phone may have gone to somebody else"),
    TYPED: _("The phone was typed both times; nobody has confirmed it"),
    ASKED: _("Somebody of the staff asks for it"),
}

# A phone that nobody has confirmed since may belong to somebody else by now.
PHONE_HOLDS_FOR: Final = timedelta(days=365)
# Where a phone was typed by somebody: the first word of a source ("import 12: till").
# Elsewhere (the phone button, a code by message) its owner has shown it.
_TYPED_BY: Final = frozenset({"API", "api", "import", "shop", "staff", "typed"})


def is_confirmed(source: str) -> bool:
    """Say whether the owner of a phone has shown that it is theirs."""
    return source.replace(":", " ").partition(" ")[0] not in _TYPED_BY
