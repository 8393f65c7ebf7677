"""The brand's other systems say by what people are known; what a system has linked itself, it can end again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.services import record_audit
from members.errors import IdentityOfAnother, MemberErased, OtherPhone
from members.models import Doubt, DoubtState, Identity, IdentityKind, Member
from members.services.doubts import against_by_phone, against_by_word, is_apart, open_doubt, who_stays
from members.services.identity import Known, holder_of, link_identity, link_phone, stored_value
from members.services.merging import clear_phone, merge_members
from members.services.people import lock_standing

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet


class LinkOutcome(models.TextChoices):
    """What came of a link that a system asked for."""

    LINKED = "LINKED", pgettext_lazy("identity", "Linked")
    ALREADY_LINKED = "ALREADY_LINKED", _("Was linked already")
    MERGED = "MERGED", _("Another record had it; nothing spoke against one person, so both are one now")
    IN_REVIEW = "IN_REVIEW", _("Another record has it; somebody looks at both, nothing was linked")
    KEPT_APART = "KEPT_APART", _("Another record has it, and somebody decided that these are two people")


class EndOutcome(models.TextChoices):
    """What came of the end of a link."""

    ENDED = "ENDED", pgettext_lazy("identity", "Ended")
    NOT_LINKED = "NOT_LINKED", _("This member is not known by it (any more)")


@dataclass(frozen=True)
class Reported:
    """What came of it, and the record that stands for the person now."""

    outcome: LinkOutcome
    member: Member


def source_of(system: str) -> str:
    """Give the source of what a system links, by the name of its key: a renewed key of the same name is the same."""
    return f"API: {system}"[:40]


def report_identity(
    *, member_id: int, known: Known, system: str, at: datetime, since: datetime | None = None
) -> Reported:
    """Tie a person to a card, a WeCom contact or a phone that a system says is theirs; saying it again changes nothing.

    If another record has it, both become one when nothing speaks against it, else somebody looks at them. A phone
    never takes the place of another. Raises `PhoneInvalid`, `OtherPhone`, `MemberErased`.
    """
    holder = holder_of(known=known, at=at)
    pair = [member_id] if holder is None else [member_id, holder.pk]
    # In one order, so that two systems that say the opposite at once do not wait for each other for ever.
    list(Member.objects.select_for_update().filter(pk__in=pair).order_by("pk").values_list("pk"))
    member = lock_standing(member_id=member_id)
    if member.erased_at is not None:
        raise MemberErased
    if holder is not None:
        holder = lock_standing(member_id=holder.pk)
    if holder is None:
        reported = _tie(member, known, system, at)
    elif holder.pk == member.pk:
        reported = Reported(LinkOutcome.ALREADY_LINKED, member)
    else:
        reported = _settle(member, holder, known, source_of(system), at)
    if since is not None:  # only an edge of its own: how long another system knows it is that one's word
        _edges(reported.member, known).filter(source=source_of(system), since__gt=since).update(since=since)
    return reported


def end_identity(*, member_id: int, known: Known, system: str, at: datetime) -> EndOutcome:
    """End an edge that the same system has set; again it changes nothing. Raises `IdentityOfAnother`."""
    member = lock_standing(member_id=member_id)
    edge = _edges(member, known).first()
    if edge is None:
        return EndOutcome.NOT_LINKED
    if edge.source != source_of(system):
        raise IdentityOfAnother
    _edges(member, known).update(ended_at=at)
    if edge.kind == IdentityKind.PHONE and edge.value == str(member.phone_index):
        clear_phone(member)
    else:
        record_audit(
            action="end identity", obj=member, changes={"identity": [edge.kind, None]}, reason=source_of(system)
        )
    return EndOutcome.ENDED


def _tie(member: Member, known: Known, system: str, at: datetime) -> Reported:
    source = source_of(system)
    if known.kind == IdentityKind.PHONE:
        if member.phone_index is not None:
            raise OtherPhone
        linked = link_phone(member=member, number=known.value, source=source, at=at)
        return _in_doubt(member, linked.doubts[0]) if linked.doubts else Reported(LinkOutcome.LINKED, linked.member)
    linked = link_identity(member=member, known=known, source=source, at=at)
    record_audit(action="link identity", obj=member, changes={"identity": [None, known.kind]}, reason=source)
    return Reported(LinkOutcome.LINKED, linked.member)


def _settle(member: Member, holder: Member, known: Known, source: str, at: datetime) -> Reported:
    """Make both one if nothing speaks against it. A system's word may be a slip of the hand: it is weighed like one."""
    evidence = f"{known.kind.lower()} ({source})"
    if known.kind == IdentityKind.PHONE:
        reasons = against_by_phone(asking=member, holder=holder, source=source, at=at)
    else:
        reasons = against_by_word(member, holder)
    if reasons or is_apart(member, holder):
        return _in_doubt(
            member, open_doubt(one_id=member.pk, other_id=holder.pk, reasons=reasons, evidence=evidence, at=at)
        )
    kept, merged = who_stays(member, holder)
    return Reported(LinkOutcome.MERGED, merge_members(kept=kept, merged=merged, evidence=evidence, at=at))


def _in_doubt(member: Member, doubt: Doubt) -> Reported:
    is_decided = doubt.state == DoubtState.APART
    return Reported(LinkOutcome.KEPT_APART if is_decided else LinkOutcome.IN_REVIEW, member)


def _edges(member: Member, known: Known) -> QuerySet[Identity]:
    return Identity.objects.filter(
        member=member,
        kind=known.kind,
        namespace=known.namespace,
        value=stored_value(known),
        ended_at__isnull=True,
    )
