"""What people agreed to, when they took it back, and who else must not be written to for marketing."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from django.db import connection, transaction

from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from members.errors import ShareInvalid, SuppressionInvalid
from members.facts import CONSENT
from members.models import Consent, ControlGroup, Flag, Member, OptOut, Purpose, Suppression
from members.services.facts import note_fact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

MOST_PER_MILLE: Final = 500
REASON_LENGTH: Final = 120
ENDED_AT_ONCE: Final = 1000


@transaction.atomic
def give_consent(
    *, member: Member, purpose: str, text_version: str, source: str, at: datetime, channel: str = ""
) -> Consent:
    """Note that a person agrees to a purpose. The brand's list, the control group, age are not theirs to leave."""
    rows = OptOut.objects.filter(member=member, purpose=purpose)
    rows.filter(listed=False, control=False, minor=False).delete()
    rows.update(withdrawn=False)
    note_fact(kind=CONSENT, member_ids=[member.pk])
    return Consent.objects.create(
        member=member,
        purpose=purpose,
        granted=True,
        text_version=text_version,
        channel=channel,
        source=source,
        at=at,
    )


@transaction.atomic
def withdraw_consent(*, member: Member, purpose: str, source: str, at: datetime, channel: str = "") -> Consent:
    """Note that a person takes a purpose back; nothing that is not yet claimed is sent any more. Safe to repeat."""
    with (
        connection.cursor() as cursor
    ):  # one statement: who lets go of the row at the same moment comes before or after
        cursor.execute(
            "INSERT INTO members_optout (brand_id, member_id, purpose, at) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (brand_id, member_id, purpose) DO UPDATE SET withdrawn = true, "
            "at = CASE WHEN members_optout.withdrawn THEN members_optout.at ELSE excluded.at END",
            [current_brand_id(), member.pk, purpose, at],
        )
    note_fact(kind=CONSENT, member_ids=[member.pk])
    return Consent.objects.create(
        member=member, purpose=purpose, granted=False, text_version="", channel=channel, source=source, at=at
    )


@transaction.atomic
def suppress_members(
    *, member_ids: Sequence[int], reason: str, by: str, at: datetime, until: datetime | None = None
) -> int:
    """Put people on the list of those who get no marketing, whoever sends it. Gives how many are new on it.

    Who is on it already keeps the entry, with this reason and end. Raises `SuppressionInvalid`.
    """
    reason = reason.strip()
    if not reason or len(reason) > REASON_LENGTH:
        raise SuppressionInvalid("reason")
    if until is not None and until <= at:
        raise SuppressionInvalid("until")
    found = list(Member.objects.filter(pk__in=member_ids, merged_into=None).order_by("pk"))
    people = [member.pk for member in found]
    known = set(Suppression.objects.filter(member_id__in=people).values_list("member_id", flat=True))
    Suppression.objects.bulk_create(
        [Suppression(member_id=pk, reason=reason, by=by[:60], at=at, until=until) for pk in people],
        update_conflicts=True,
        unique_fields=["brand", "member"],
        update_fields=["reason", "by", "until"],
    )
    _hold(people, "listed", at)
    for member in found:
        record_audit(action="suppress member", obj=member, reason=reason)
    return len(set(people) - known)


@transaction.atomic
def release_members(*, member_ids: Sequence[int]) -> int:
    """Take people off the list. Gives how many were on it."""
    rows = list(Suppression.objects.select_related("member").filter(member_id__in=list(member_ids)).order_by("pk"))
    Suppression.objects.filter(pk__in=[row.pk for row in rows]).delete()
    _let_go([row.member_id for row in rows], "listed")
    for row in rows:
        record_audit(action="release member", obj=row.member, reason=row.reason)
    return len(rows)


@transaction.atomic
def end_suppressions(*, at: datetime) -> int:
    """Take off the list whose time is over, a thousand at once; gives how many."""
    due = list(
        Suppression.objects.select_for_update(skip_locked=True)
        .filter(until__lte=at)
        .order_by("until", "pk")
        .values_list("pk", "member_id")[:ENDED_AT_ONCE]
    )
    Suppression.objects.filter(pk__in=[pk for pk, _member_id in due]).delete()
    _let_go([member_id for _pk, member_id in due], "listed")
    return len(due)


# In a statement: whose bucket lies below the share. The trigger on new members (first migration) says the same.
_IN_CONTROL = "(('x' || substr(md5(g.salt || m.public_id::text), 1, 8))::bit(32)::bigint %% 1000) < g.per_mille"
_ENTER = f"""
INSERT INTO members_optout (brand_id, member_id, purpose, at, withdrawn, listed, control)
SELECT m.brand_id, m.id, '{Purpose.MARKETING.value}', %s, false, false, true
FROM members_member m JOIN members_controlgroup g ON g.brand_id = m.brand_id
WHERE m.brand_id = %s AND {_IN_CONTROL}
ON CONFLICT (brand_id, member_id, purpose) DO UPDATE SET control = true
"""  # noqa: S608 - constants of ours
_LEAVE = f"""
UPDATE members_optout o SET control = false
FROM members_member m JOIN members_controlgroup g ON g.brand_id = m.brand_id
WHERE o.brand_id = %s AND m.brand_id = o.brand_id AND m.id = o.member_id AND o.control
    AND (o.withdrawn OR o.listed OR o.minor) AND NOT {_IN_CONTROL}
"""  # noqa: S608
_GO = f"""
DELETE FROM members_optout o
USING members_member m JOIN members_controlgroup g ON g.brand_id = m.brand_id
WHERE o.brand_id = %s AND m.brand_id = o.brand_id AND m.id = o.member_id AND o.control
    AND NOT o.withdrawn AND NOT o.listed AND NOT o.minor AND NOT {_IN_CONTROL}
"""  # noqa: S608


@transaction.atomic
def set_control_group(*, per_mille: int, at: datetime) -> ControlGroup:
    """Set which share of people gets no marketing, in thousandths; 0 ends it. Raises `ShareInvalid`."""
    if not 0 <= per_mille <= MOST_PER_MILLE:
        raise ShareInvalid(MOST_PER_MILLE // 10)
    ControlGroup.objects.get_or_create(defaults={"salt": secrets.token_hex(16), "changed_at": at})
    row = ControlGroup.objects.select_for_update().get()
    if row.per_mille != per_mille:
        record_audit(action="change control group", obj=row, changes={"per_mille": [row.per_mille, per_mille]})
        row.per_mille, row.changed_at = per_mille, at
        row.save(update_fields=["per_mille", "changed_at"])
    brand_id = current_brand_id()
    with connection.cursor() as cursor:
        cursor.execute(_ENTER, [at, brand_id])
        cursor.execute(_LEAVE, [brand_id])
        cursor.execute(_GO, [brand_id])
    return row


def move_holds(*, kept: Member, merged: Member) -> int:
    """Let the one who stays have what held for the other; the control group goes by the one who stays alone."""
    moved = 0
    for row in OptOut.objects.filter(member=merged):
        if row.withdrawn or row.listed or row.minor:
            mine, created = OptOut.objects.get_or_create(
                member=kept,
                purpose=row.purpose,
                defaults={
                    "at": row.at,
                    "withdrawn": row.withdrawn,
                    "listed": row.listed,
                    "minor": row.minor,
                    "quiet_from": row.quiet_from,
                    "quiet_until": row.quiet_until,
                },
            )
            if not created:
                mine.withdrawn, mine.listed = mine.withdrawn or row.withdrawn, mine.listed or row.listed
                mine.minor = mine.minor or row.minor
                mine.save(update_fields=["withdrawn", "listed", "minor"])
            moved += 1
    OptOut.objects.filter(member=merged).delete()
    theirs = Suppression.objects.filter(member=merged).first()
    if theirs is not None:
        known = Suppression.objects.filter(member=kept).first()
        if known is None:
            Suppression.objects.filter(pk=theirs.pk).update(member=kept)
        else:
            known.until = None if None in (known.until, theirs.until) else max(known.until, theirs.until)  # type: ignore[type-var] # neither is None
            known.save(update_fields=["until"])
            theirs.delete()
    return moved


def _hold(people: Sequence[int], why: str, at: datetime) -> None:
    holds = {"withdrawn": False, "listed": False, "control": False, "minor": False, why: True}
    OptOut.objects.bulk_create(
        [OptOut(member_id=pk, purpose=Purpose.MARKETING, at=at, **holds) for pk in people],
        update_conflicts=True,
        unique_fields=["brand", "member", "purpose"],
        update_fields=[why],
    )


@transaction.atomic
def hold_flagged(*, member_id: int, at: datetime) -> None:
    """Keep marketing from somebody who is left out, whatever the list says of them."""
    _hold([member_id], "listed", at)


@transaction.atomic
def let_flagged_go(*, member_id: int) -> None:
    """Let marketing reach somebody again who is left out no more, unless they are on the list."""
    if not Suppression.objects.filter(member_id=member_id).exists():
        _let_go([member_id], "listed")


def _let_go(people: Sequence[int], why: str) -> None:
    rows = OptOut.objects.filter(member_id__in=people, purpose=Purpose.MARKETING)
    if why == "listed":  # who is left out by a flag gets no marketing for as long as that holds
        rows = rows.exclude(member_id__in=Flag.objects.filter(member_id__in=people, until=None).values("member_id"))
    others = {name: False for name in ("withdrawn", "listed", "control", "minor") if name != why}
    rows.filter(**others).delete()
    rows.update(**{why: False})
