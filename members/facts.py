"""What can happen to a person that automatic tags look at: apps above register kinds and note that they happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

from common.registry import Registry

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

TAGS: Final = "members.tags"
FOLLOW: Final = "members.follow"
ACT: Final = "members.act"
JOIN: Final = "members.join"
PROFILE: Final = "members.profile"
CONSENT: Final = "members.consent"


@dataclass(frozen=True)
class FactKind:
    """One kind of fact, in words. Whoever changes such a fact calls `members.services.note_fact` with its key."""

    label: StrOrPromise


kinds: Registry[FactKind] = Registry("fact kinds", purpose="what makes automatic tags look at a person again")

kinds.register(TAGS, FactKind(_("a tag was put on or taken off")))
kinds.register(FOLLOW, FactKind(_("followed or unfollowed")))
kinds.register(ACT, FactKind(_("wrote, tapped or scanned")))
kinds.register(JOIN, FactKind(_("joined as a member")))
kinds.register(PROFILE, FactKind(_("changed the profile")))
kinds.register(CONSENT, FactKind(_("agreed or withdrew")))
