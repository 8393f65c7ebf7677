"""Two records become one person, and two again when that was wrong: what `members.merging` registers moves."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction

from accounts.services import record_audit
from common.registry import Registry
from members.errors import MergeNotUndone
from members.facts import PROFILE, TAGS
from members.merging import in_order
from members.models import Doubt, DoubtState, Member, MergeRecord, MergeUndo
from members.services.facts import note_fact
from members.services.people import refresh_subscribed
from members.services.tags import refresh_tag_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from members.models import Follower

# Steps without a way back: callable(kept=Member, merged=Member, at=datetime) -> how many rows. New ones are assets.
on_merge: Registry[Callable[..., int]] = Registry(
    "merge steps", purpose="what follows when two records become one person and needs no way back"
)

# What the one who stays takes over when they have none of their own.
_FILLED: Final = ("name", "store_id", "birth_mmdd", "gender", "city")
_PHONE: Final = ("phone_index", "phone_tail", "phone_masked")
_MOMENTS: Final = {"created_at": min, "joined_at": min, "last_interaction_at": max}


@transaction.atomic
def merge_members(*, kept: Member, merged: Member, evidence: str, at: datetime) -> Member:
    """Make two records one person: everything of `merged` moves to `kept`, and a record says what moved."""
    kept, merged = _locked(kept.pk, merged.pk)
    if kept.merged_into_id is not None or merged.merged_into_id is not None:
        raise ValueError("a record that has become part of another is merged no further: lock_standing gives the other")
    moved: dict[str, Any] = {
        key: done for key, asset in in_order() if (done := asset.move(kept=kept, merged=merged, at=at))
    }
    moved |= {key: rows for key, step in on_merge.items() if (rows := step(kept=kept, merged=merged, at=at))}
    kept.refresh_from_db()
    moved["person"] = _take_over(kept, merged)
    merged.merged_into = kept
    merged.subscribed = False
    merged.save(update_fields=["merged_into", "subscribed"])
    kept.save()
    refresh_subscribed(member_ids=[kept.pk], at=at)
    refresh_tag_ids(member_ids=[kept.pk, merged.pk])
    MergeRecord.objects.create(kept=kept, merged=merged, evidence=evidence[:60], moved=moved, at=at)
    record_audit(action="merge members", obj=kept, changes={"merged": [None, merged.member_no]}, reason=evidence)
    kept.refresh_from_db()
    return kept


def _take_over(kept: Member, merged: Member) -> dict[str, Any]:
    """Fill what the one who stays lacks; gives what that changed, without the values themselves."""
    filled = [name for name in _FILLED if not getattr(kept, name) and getattr(merged, name)]
    for name in filled:
        setattr(kept, name, getattr(merged, name))
    if merged.phone_index and not kept.phone_index:
        filled.append("phone")
        kept.phone = merged.phone
        for name in _PHONE:
            setattr(kept, name, getattr(merged, name))
    moments = {}
    for name, better in _MOMENTS.items():
        before = getattr(kept, name)
        after = better(filter(None, [before, getattr(merged, name)]), default=None)
        if after != before:
            setattr(kept, name, after)
            moments[name] = [_written(before), _written(after)]
    return {"filled": filled, "moments": moments}


@transaction.atomic
def undo_merge(*, record: MergeRecord, reason: str, by: str, at: datetime) -> tuple[Member, Member]:
    """Take a merge back: what moved returns as far as nobody changed it since. The two are kept apart from then on.

    Gives both records. Raises `MergeNotUndone`.
    """
    kept, merged = _locked(record.kept_id, record.merged_id)
    reason = reason.strip()
    _check_undo(record, kept, merged, reason)
    moved = record.moved
    _give_back_person(kept, merged, moved.get("person", {}))
    if merged.phone_index and _shown_by_another(merged):
        clear_phone(merged)
    merged.merged_into = None
    merged.save(update_fields=["merged_into"])
    for key, asset in reversed(in_order()):
        if key in moved:
            asset.give_back(kept=kept, merged=merged, moved=moved[key], at=at)
    MergeUndo.objects.create(record=record, reason=reason[:200], by=by[:60], at=at)
    _keep_apart(kept, merged, record.evidence, reason, by, at)
    people = [kept.pk, merged.pk]
    refresh_subscribed(member_ids=people, at=at)
    refresh_tag_ids(member_ids=people)
    for kind in (TAGS, PROFILE):
        note_fact(kind=kind, member_ids=people)
    record_audit(action="undo merge", obj=kept, changes={"merged": [merged.member_no, None]}, reason=reason)
    for each in (kept, merged):
        each.refresh_from_db()
    return kept, merged


def _shown_by_another(merged: Member) -> bool:
    """Say whether somebody else has shown since that a phone is theirs."""
    others = Member.objects.filter(phone_index=merged.phone_index, merged_into__isnull=True)
    return others.exclude(pk=merged.pk).exists()


def clear_phone(member: Member) -> None:
    """Take the phone from a record whose edge to it has ended."""
    member.phone, member.phone_index, member.phone_tail, member.phone_masked = None, None, "", ""
    member.save(update_fields=["phone", "phone_index", "phone_tail", "phone_masked"])
    record_audit(action="free phone", obj=member, changes={"phone": ["***", None]})


def _check_undo(record: MergeRecord, kept: Member, merged: Member, reason: str) -> None:
    if MergeUndo.objects.filter(record=record).exists():
        raise MergeNotUndone("done")
    if kept.merged_into_id is not None or merged.merged_into_id != kept.pk:
        raise MergeNotUndone("later")
    later = MergeRecord.objects.filter(kept=kept, pk__gt=record.pk).exclude(pk__in=MergeUndo.objects.values("record"))
    if later.exists():
        raise MergeNotUndone("later")
    if kept.erased_at is not None:
        raise MergeNotUndone("erased")
    if len(reason) < 2:
        raise MergeNotUndone("reason")


def _give_back_person(kept: Member, merged: Member, moved: dict[str, Any]) -> None:
    """Take from the one who stayed what they had got from the other and still have as it came."""
    changed = []
    for name in moved.get("filled", []):
        columns = ("phone_index",) if name == "phone" else (name,)
        if any(getattr(kept, column) != getattr(merged, column) for column in columns):
            continue
        if name == "phone":
            kept.phone, kept.phone_index, kept.phone_tail, kept.phone_masked = None, None, "", ""
            changed += ["phone", *_PHONE]
        else:
            setattr(kept, name, None if name in ("store_id", "birth_mmdd") else "")
            changed.append(name.removesuffix("_id"))
    for name, (before, after) in moved.get("moments", {}).items():
        if _written(getattr(kept, name)) == after:
            setattr(kept, name, None if before is None else datetime.fromisoformat(before))
            changed.append(name)
    if changed:
        kept.save(update_fields=changed)


def _keep_apart(kept: Member, merged: Member, evidence: str, reason: str, by: str, at: datetime) -> None:
    one, other = sorted((kept.pk, merged.pk))
    Doubt.objects.update_or_create(
        one_id=one,
        other_id=other,
        defaults={"state": DoubtState.APART, "decided_at": at, "decided_by": by[:60], "note": reason[:200]},
        create_defaults={
            "evidence": evidence,
            "found_at": at,
            "state": DoubtState.APART,
            "decided_at": at,
            "decided_by": by[:60],
            "note": reason[:200],
        },
    )


def _locked(kept_id: int, merged_id: int) -> tuple[Member, Member]:
    found = Member.objects.select_for_update().filter(pk__in=[kept_id, merged_id]).order_by("pk")
    rows = {row.pk: row for row in found}
    return rows[kept_id], rows[merged_id]


def _written(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def take_back_copies(consent_ids: list[int]) -> int:
    """Take copies of consents away again that a merge had made: the only rows of that ledger that ever go."""
    if not consent_ids:
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT members_take_back_copies(%s::bigint[])", [consent_ids])
        return int(cursor.fetchone()[0])


def erase_merged(*, follower: Follower, whole: bool, at: datetime) -> int:
    """When a person's data is deleted: the records that became theirs kept name and phone for an undo; they go too."""
    if not whole:
        return 0
    gone, wave = 0, [follower.member_id]
    while wave:
        wave = list(Member.objects.filter(merged_into_id__in=wave).order_by("pk").values_list("pk", flat=True))
        gone += Member.objects.filter(pk__in=wave).update(
            name="",
            phone=None,
            phone_index=None,
            phone_tail="",
            phone_masked="",
            birth_mmdd=None,
            gender="",
            city="",
            erased_at=at,
        )
    return gone
