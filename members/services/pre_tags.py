"""Tags that wait for people who have not come yet: applied when their phone or UnionID is first met, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Q

from accounts.sealing import blind_index
from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from members.errors import PreTagInvalid
from members.models import Identity, IdentityKind, PreTag, Tag
from members.services.locks import lock_identities
from members.services.tags import tag_members
from wechat_gateway.models import MiniProgram, OfficialAccount

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

MOST_AT_ONCE: Final = 1000
SOURCE_LENGTH: Final = 40


@dataclass(frozen=True)
class PreTagged:
    """What came of a list: people who were known and tagged at once, identities that wait, repeats."""

    tagged: int
    waiting: int
    repeated: int


@transaction.atomic
def pre_tag(
    *,
    kind: str,
    values: Sequence[str],
    tag_ids: Sequence[int],
    source: str,
    at: datetime,
    valid_until: datetime | None = None,
    tag_until: datetime | None = None,
) -> PreTagged:
    """Tag whoever has these phones (E.164) or UnionIDs: those who are known at once, the others when they come.

    A list entry that waits already keeps its place with these ends. Raises `PreTagInvalid`.
    """
    source = source.strip()
    if kind not in (IdentityKind.PHONE, IdentityKind.UNIONID) or not source or len(source) > SOURCE_LENGTH:
        raise PreTagInvalid("source")
    if not values or len(set(values)) > MOST_AT_ONCE:
        raise PreTagInvalid("values")
    if Tag.objects.filter(pk__in=tag_ids).count() != len(set(tag_ids)) or not tag_ids:
        raise PreTagInvalid("tags")
    if any(end is not None and end <= at for end in (valid_until, tag_until)):
        raise PreTagInvalid("until")
    keys = sorted({_key(kind, value) for value in values})
    # Whoever shows one of them in this very moment is known before, or finds what waits here afterwards.
    lock_identities((kind, issuer, key) for issuer in _issuers(kind) for key in keys)
    ties = Identity.objects.filter(
        kind=kind, value__in=keys, ended_at=None, member__merged_into=None, member__erased_at=None
    )
    known = dict(ties.values_list("value", "member_id"))
    said = f"list: {source}"
    tag_members(member_ids=known.values(), tag_ids=tag_ids, source=said, at=at, expires_at=tag_until)
    coming = [key for key in keys if key not in known]
    there = set(
        PreTag.objects.filter(kind=kind, value__in=coming, tag_id__in=tag_ids, applied_at=None).values_list(
            "value", flat=True
        )
    )
    PreTag.objects.filter(kind=kind, value__in=there, tag_id__in=tag_ids, applied_at=None).update(
        source=said, valid_until=valid_until, tag_until=tag_until
    )
    PreTag.objects.bulk_create(
        [
            PreTag(kind=kind, value=key, tag_id=pk, source=said, at=at, valid_until=valid_until, tag_until=tag_until)
            for key in coming
            for pk in dict.fromkeys(tag_ids)
        ],
        ignore_conflicts=True,
    )
    for tag in Tag.objects.filter(pk__in=tag_ids).order_by("pk"):
        record_audit(action="pre-tag", obj=tag, changes={"identities": [None, len(keys)]}, reason=source)
    return PreTagged(len(set(known.values())), len(coming) - len(there), len(there))


def apply_pre_tags(*, member_id: int, kind: str, value: str, at: datetime) -> int:
    """Give somebody the tags that waited for their phone or UnionID; each is given once. Gives how many."""
    rows = list(
        PreTag.objects.select_for_update()
        .filter(Q(valid_until=None) | Q(valid_until__gt=at), Q(tag_until=None) | Q(tag_until__gt=at))
        .filter(kind=kind, value=value, applied_at=None)
        .order_by("pk")
    )
    for row in rows:
        tag_members(member_ids=[member_id], tag_ids=[row.tag_id], source=row.source, at=at, expires_at=row.tag_until)
    PreTag.objects.filter(pk__in=[row.pk for row in rows]).update(applied_at=at, member_id=member_id)
    return len(rows)


def awaited(kind: str, values: Sequence[str]) -> set[str]:
    """Give those of some UnionIDs for which tags wait."""
    return set(PreTag.objects.filter(kind=kind, value__in=values, applied_at=None).values_list("value", flat=True))


def _issuers(kind: str) -> set[str]:
    """Give who may have issued it: phones nobody, UnionIDs the Open Platform accounts of the brand."""
    if kind == IdentityKind.PHONE:
        return {""}
    return {
        subject
        for model in (OfficialAccount, MiniProgram)
        for subject in model._default_manager.values_list("open_platform_subject", flat=True)
    }


def _key(kind: str, value: str) -> str:
    return str(blind_index(current_brand_id(), "phone", value)) if kind == IdentityKind.PHONE else value
