"""What this app itself moves when two records become one, and how each of it comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console.formats import local_time
from members.facts import TAGS
from members.merging import Asset, Joined, Rows, assets
from members.models import (
    Consent,
    Doubt,
    DoubtState,
    Flag,
    Follower,
    Identity,
    IdentityKind,
    Member,
    MemberTag,
    MiniProgramSession,
    OptOut,
    PreTag,
    Suppression,
)
from members.selectors import consents_in_force, purpose_words
from members.services.consent import move_holds
from members.services.facts import TAG, log_facts, note_fact
from members.services.flags import move_flags, on_flag
from members.services.merging import take_back_copies
from members.services.profile import move_profile, return_profile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


def _move_tags(*, kept: Member, merged: Member, at: datetime) -> int:
    """Give the one who stays the other's tags; what both have, or what an exclusive group forbids, stays as it is."""
    mine = {row.tag_id: row for row in MemberTag.objects.filter(member=kept)}
    slots = {row.slot for row in mine.values() if row.slot is not None}
    theirs = list(MemberTag.objects.filter(member=merged).order_by("pk"))
    moving = [row for row in theirs if row.tag_id not in mine and (row.slot is None or row.slot not in slots)]
    for row in theirs:
        known = mine.get(row.tag_id)
        if known is not None and row.given and not known.given:
            known.given, known.source, known.expires_at = True, row.source, row.expires_at
            known.save(update_fields=["given", "source", "expires_at"])
    MemberTag.objects.filter(pk__in=[row.pk for row in theirs if row not in moving]).delete()
    MemberTag.objects.filter(pk__in=[row.pk for row in moving]).update(member=kept)
    gone, came = [(merged.pk, row.tag_id) for row in theirs], [(kept.pk, row.tag_id) for row in moving]
    log_facts(what=TAG, pairs=gone, before="yes", after="", source="merge", at=at)
    log_facts(what=TAG, pairs=came, before="", after="yes", source="merge", at=at)
    note_fact(kind=TAGS, member_ids=[kept.pk])
    return len(moving)


_tags = Joined((MemberTag,), _move_tags)


def _return_tags(*, kept: Member, merged: Member, moved: dict[str, Any], at: datetime) -> None:
    people = [kept.pk, merged.pk]
    before = set(MemberTag.objects.filter(member_id__in=people).values_list("member_id", "tag_id"))
    _tags.give_back(kept=kept, merged=merged, moved=moved, at=at)
    after = set(MemberTag.objects.filter(member_id__in=people).values_list("member_id", "tag_id"))
    log_facts(what=TAG, pairs=sorted(before - after), before="yes", after="", source="merge undone", at=at)
    log_facts(what=TAG, pairs=sorted(after - before), before="", after="yes", source="merge undone", at=at)


def _move_holds(*, kept: Member, merged: Member, at: datetime) -> int:
    return move_holds(kept=kept, merged=merged)


def _move_flags(*, kept: Member, merged: Member, at: datetime) -> int:
    moved = move_flags(kept=kept, merged=merged, at=at)
    if moved or Flag.objects.filter(member=kept).exists():  # what the other did counts as it does for the one who stays
        for _key, listener in on_flag.items():
            listener(member_id=kept.pk, at=at)
    return moved


_flags = Joined((Flag,), _move_flags)
_holds = Joined((OptOut, Suppression), _move_holds)


def _copy_consents(*, kept: Member, merged: Member, at: datetime) -> list[int]:
    rows = list(Consent.objects.filter(member=merged).order_by("at", "pk"))
    copies = Consent.objects.bulk_create(
        Consent(
            member=kept,
            purpose=row.purpose,
            granted=row.granted,
            text_version=row.text_version,
            channel=row.channel,
            source=f"merge: {row.source}"[:40],
            at=row.at,
        )
        for row in rows
    )
    return [row.pk for row in copies]


def _return_consents(*, kept: Member, merged: Member, moved: list[int], at: datetime) -> None:
    take_back_copies(moved)


def _move_doubts(*, kept: Member, merged: Member, at: datetime) -> dict[str, Any]:
    """What was said about the one that goes is said about the one that stays; between the two it is decided."""
    settled: list[list[Any]] = []
    made: list[int] = []
    for row in Doubt.objects.filter(one=merged).union(Doubt.objects.filter(other=merged)).order_by("id"):
        third = row.other_id if row.one_id == merged.pk else row.one_id
        if third == kept.pk:
            settled.append([row.pk, row.state])
            Doubt.objects.filter(pk=row.pk).update(state=DoubtState.MERGED, decided_at=at)
            continue
        one, other = sorted((kept.pk, third))
        copy, is_new = Doubt.objects.get_or_create(
            one_id=one,
            other_id=other,
            defaults={
                "reasons": row.reasons,
                "evidence": row.evidence,
                "state": row.state,
                "found_at": row.found_at,
                "decided_at": row.decided_at,
                "decided_by": row.decided_by,
                "note": row.note,
            },
        )
        if is_new:
            made.append(copy.pk)
    return {"settled": settled, "made": made} if settled or made else {}


def _return_doubts(*, kept: Member, merged: Member, moved: dict[str, Any], at: datetime) -> None:
    Doubt.objects.filter(pk__in=moved["made"], state=DoubtState.OPEN).delete()


def _shown_followers(member_id: int) -> Sequence[str]:
    rows = Follower.objects.select_related("account").filter(member_id=member_id).order_by("pk")
    return [str(row.account) for row in rows]


def _shown_tags(member_id: int) -> Sequence[str]:
    rows = MemberTag.objects.filter(member_id=member_id).order_by("-at", "-pk")
    return list(rows.values_list("tag__name", flat=True))


def _shown_consents(member_id: int) -> Sequence[str]:
    known = consents_in_force(member_id)
    labels = purpose_words(known)
    said = {True: _("agreed"), False: _("withdrawn")}
    return [f"{labels.get(key, key)}: {said[row.granted]}" for key, row in sorted(known.items())]


def _shown_holds(member_id: int) -> Sequence[str]:
    said = []
    for row in Suppression.objects.filter(member_id=member_id):
        until = local_time(row.until) if row.until else gettext("until taken off")
        said.append(f"{gettext('On the do-not-send list')}: {row.reason} ({until})")
    return said


def _shown_flags(member_id: int) -> Sequence[str]:
    return [
        f"{row.get_kind_display()} ({local_time(row.since) if row.since else gettext('from the start')}"
        f"{' – ' + local_time(row.until) if row.until else ''})"
        for row in Flag.objects.filter(member_id=member_id).order_by("kind", "pk")
    ]


def _move_identities(*, kept: Member, merged: Member, at: datetime) -> dict[str, Any] | None:
    """Bring the edges along. A person shows one phone: the edge to the other's ends, so that it may change hands."""
    rows = _identities.move(kept=kept, merged=merged, at=at)
    ended: list[int] = []
    if kept.phone_index and merged.phone_index and kept.phone_index != merged.phone_index:
        losing = Identity.objects.filter(
            member=kept, kind=IdentityKind.PHONE, value=str(merged.phone_index), ended_at__isnull=True
        )
        ended = list(losing.values_list("pk", flat=True))
        Identity.objects.filter(pk__in=ended).update(ended_at=at)
    return {"rows": rows, "ended": ended} if rows else None


def _return_identities(*, kept: Member, merged: Member, moved: Any, at: datetime) -> None:
    rows, ended = (moved, []) if isinstance(moved, list) else (moved["rows"], moved["ended"])
    _identities.give_back(kept=kept, merged=merged, moved=rows, at=at)
    if merged.phone_index is not None:  # else somebody else has shown it since
        Identity.objects.filter(pk__in=ended, member=merged).update(ended_at=None)


_followers, _identities, _sessions = Rows(Follower), Rows(Identity), Rows(MiniProgramSession)
_waiting = Rows(PreTag)


def register() -> None:
    """Take part in merges. Followers and identities move first: what follows may look at them."""
    own = {
        "members.followers": Asset(_("Followers"), _followers.move, _followers.give_back, _shown_followers, 10),
        "members.identities": Asset(_("Identity"), _move_identities, _return_identities, order=20),
        "members.waiting_tags": Asset(_("Waiting tags"), _waiting.move, _waiting.give_back, order=45),
        "members.sessions": Asset(_("Mini-program sessions"), _sessions.move, _sessions.give_back, order=30),
        "members.tags": Asset(_("Tags"), _tags.move, _return_tags, _shown_tags, 40),
        "members.holds": Asset(_("Held back from marketing"), _holds.move, _holds.give_back, _shown_holds, 50),
        "members.flags": Asset(
            _("Left out of rewards, marketing and reports"), _flags.move, _flags.give_back, _shown_flags, 55
        ),
        "members.consents": Asset(_("Consent"), _copy_consents, _return_consents, _shown_consents, 60),
        "members.profile": Asset(_("Profile"), move_profile, return_profile, order=65),
        "members.doubts": Asset(_("Possible merges"), _move_doubts, _return_doubts, order=70),
    }
    for key, asset in own.items():
        if key not in assets:
            assets.register(key, asset)
