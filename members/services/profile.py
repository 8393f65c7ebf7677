"""What people say about themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from accounts.services import record_audit
from members.facts import PROFILE
from members.models import Member
from members.services.facts import note_fact

if TYPE_CHECKING:
    from typing import TypedDict, Unpack

    class Profile(TypedDict, total=False):
        """The facts a person may set: name, birthday as month × 100 + day, city. Those left out stay."""

        name: str
        birth_mmdd: int | None
        city: str


@transaction.atomic
def change_profile(*, member_id: int, **profile: Unpack[Profile]) -> Member:
    """Change what a person says about themselves; only the given facts change."""
    member = Member.objects.select_for_update().get(pk=member_id)
    changes = {
        name: [getattr(member, name), value] for name, value in profile.items() if getattr(member, name) != value
    }
    for name, (_before, after) in changes.items():
        setattr(member, name, after)
    if changes:
        member.save(update_fields=list(changes))
        record_audit(action="change profile", obj=member, changes=changes)
        note_fact(kind=PROFILE, member_ids=[member.pk])
    return member
