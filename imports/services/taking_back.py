"""Taking imported members back: what nobody has touched goes as it came, everything else stays and is named."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.db import connection

from accounts.tenancy import BrandForeignKey, BrandOwned, current_brand_id
from guides.models import Assignment
from imports.problems import Problem
from imports.services.marks import marks_of
from imports.services.own_fields import PREFIX
from loyalty.models import Account, Fact, FactKind, Journal, Standing, TierChange, TierChangeKind
from loyalty.services import opening
from loyalty.services.ledger import SYSTEM
from loyalty.taken_back import UNDO, undone
from members import services as member_services
from members.models import AccessEntry, Identity, IdentityKind, Member, MemberTag, OptOut, ProfileValue, SnapshotMember
from members.profiles import COMMON, IMPORT
from members.services import intake
from members.services.profile import Earlier, standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imports.kinds import Carried, Run

# What follows from a record by itself, or is looked at one by one below; any other reference means it is in use.
_FOLLOWS: Final = frozenset(
    {
        "members.AccessEntry",
        "members.FactDue",
        "members.FactChange",
        "members.Identity",
        "members.MemberTag",
        "members.OptOut",
        "members.PreTag",
        "members.ProfileValue",
        "members.SnapshotMember",
        "guides.Assignment",
        "loyalty.Account",
        "loyalty.Fact",
        "loyalty.Standing",
        "loyalty.TierChange",
        "loyalty.Journal",
        "loyalty.Entry",
        "loyalty.Lot",
        "imports.ImportRow",
    }
)


def take_members_back(rows: Sequence[Carried], run: Run, *, at: datetime) -> dict[int, Problem]:
    """Undo rows; gives for each that stays (by number) why."""
    stays: dict[int, Problem] = {}
    fresh = [row for row in rows if row.did.get("new")]
    _drop_new(fresh, run, stays, at)
    for row in rows:
        if not row.did.get("new"):
            problem = _revert(row, run, at)
            if problem is not None:
                stays[row.number] = problem
    return stays


# --- records the import opened ---------------------------------------------------------------------------------------


def _drop_new(rows: Sequence[Carried], run: Run, stays: dict[int, Problem], at: datetime) -> None:
    ids = [row.member_id for row in rows if row.member_id is not None]
    members = set(Member.objects.select_for_update().filter(pk__in=ids).order_by("pk").values_list("pk", flat=True))
    marks = marks_of(members)
    used = _in_use(rows, run)
    journals = {row.did["points"]: row for row in rows if row.did.get("points")}
    going = []
    for row in rows:
        if row.member_id not in members:
            continue
        if marks.get(row.member_id) != row.did.get("mark"):
            stays[row.number] = Problem("name", "left_changed")
        elif row.member_id in used:
            stays[row.number] = Problem("phone", "left_used", used[row.member_id])
        else:
            going.append(row)
    wanted = [row.did["points"] for row in going if row.did.get("points")]
    back = opening.take_openings_back(journal_ids=wanted, number=run.number, reason="", at=at) if wanted else set()
    for key in wanted:
        if key not in back:
            stays[journals[key].number] = Problem("points", "left_spent")
    gone = [row.member_id for row in going if row.number not in stays and row.member_id is not None]
    Assignment.objects.filter(member_id__in=gone).delete()
    Standing.objects.filter(member_id__in=gone).delete()
    booked = {
        pk
        for model in (Journal, Fact, TierChange, SnapshotMember, AccessEntry)
        for pk in model._default_manager.filter(member_id__in=gone).order_by().values_list("member_id", flat=True)
    }
    _forget_rows(gone)
    intake.blank(member_ids=[pk for pk in gone if pk in booked], at=at)
    whole = [pk for pk in gone if pk not in booked]
    Account.objects.filter(member_id__in=whole).delete()
    intake.withdraw(member_ids=whole)


def _forget_rows(member_ids: Sequence[int]) -> None:
    from imports.models import ImportRow

    ImportRow.objects.filter(member_id__in=member_ids).update(member=None)


def _in_use(rows: Sequence[Carried], run: Run) -> dict[int, str]:
    """Give the people something refers to that the import did not bring, with what it is."""
    ids = {row.member_id for row in rows if row.member_id is not None}
    found: dict[int, str] = {}
    references = _references()
    for pk, number in _pointing(references, sorted(ids)):
        found.setdefault(pk, str(references[number][0]._meta.verbose_name))
    by_hand = _by_hand(rows, ids, run)
    for pk, said in by_hand:
        found.setdefault(pk, said)
    return found


def _references() -> list[tuple[type[BrandOwned], str]]:
    """Give every column of every app that names a member."""
    found: list[tuple[type[BrandOwned], str]] = []
    for model in apps.get_models():
        if not issubclass(model, BrandOwned) or model._meta.label in _FOLLOWS:
            continue
        found += [
            (model, each.attname)
            for each in model._meta.local_fields
            if isinstance(each, BrandForeignKey) and each.remote_field.model is Member
        ]
    return found


def _pointing(references: Sequence[tuple[type[BrandOwned], str]], ids: list[int]) -> list[tuple[int, int]]:
    """Give who is named by which of the references, in one statement."""
    parts = []
    for number, (model, column) in enumerate(references):
        table = connection.ops.quote_name(model._meta.db_table)
        named = connection.ops.quote_name(column)
        parts.append(
            f"SELECT p.id, {number} AS n FROM p WHERE EXISTS "  # noqa: S608 - names of models, no values
            f"(SELECT FROM {table} r WHERE r.brand_id = %(brand)s AND r.{named} = p.id)"
        )
    asked = "WITH p AS MATERIALIZED (SELECT unnest(%(ids)s::bigint[]) AS id) " + " UNION ALL ".join(parts)
    with connection.cursor() as cursor:
        cursor.execute(f"{asked} ORDER BY n", {"brand": current_brand_id(), "ids": ids})
        found: list[tuple[int, int]] = cursor.fetchall()
    return found


def _by_hand(rows: Sequence[Carried], ids: set[int], run: Run) -> list[tuple[int, str]]:
    """Look at what the import brings as well as others do."""
    tied = Identity.objects.filter(member_id__in=ids).exclude(source__startswith=run.said).order_by()
    told = ProfileValue.objects.filter(member_id__in=ids).exclude(source=IMPORT, by=run.said).order_by()
    tagged = MemberTag.objects.filter(member_id__in=ids, given=True).exclude(source=run.said).order_by()
    guided = (
        Assignment.objects.filter(member_id__in=ids)
        .exclude(pk__in=[row.did["guide"] for row in rows if row.did.get("guide")])
        .order_by()
    )
    ended = Assignment.objects.filter(member_id__in=ids, until__isnull=False).order_by()
    booked = (
        Journal.objects.filter(member_id__in=ids)
        .exclude(pk__in=[row.did["points"] for row in rows if row.did.get("points")])
        .exclude(actor=opening.IMPORT)
        .order_by()
    )
    facts = Fact.objects.filter(member_id__in=ids).order_by()
    bought = facts.exclude(kind=FactKind.REFUND).filter(~undone())
    numbers = set(facts.filter(undone()).values_list("number", flat=True))
    numbers |= {UNDO + number for number in numbers}
    booked = booked.exclude(actor=SYSTEM, number__in=numbers)  # what followed from orders that were taken back
    locked = TierChange.objects.filter(
        member_id__in=ids, kind__in=[TierChangeKind.LOCK, TierChangeKind.UNLOCK]
    ).order_by()
    refused = OptOut.objects.filter(member_id__in=ids).exclude(withdrawn=False, listed=False).order_by()
    parts: list[Any] = [tied, told, tagged, guided, ended, booked, bought, locked, refused]
    return [
        (pk, str(part.model._meta.verbose_name)) for part in parts for pk in part.values_list("member_id", flat=True)
    ]


# --- records it added to ---------------------------------------------------------------------------------------------


def _revert(row: Carried, run: Run, at: datetime) -> Problem | None:
    """Take back what a row added to a known record, as far as nobody has changed it since; gives what stays."""
    member = Member.objects.select_for_update().filter(pk=row.member_id or 0).first()
    if member is None or member.merged_into_id is not None or member.erased_at is not None:
        return Problem("phone", "left_changed")
    problem: Problem | None = None
    did = row.did
    if did.get("points"):
        done = opening.take_openings_back(journal_ids=[did["points"]], number=run.number, reason="", at=at)
        if did["points"] not in done:
            problem = Problem("points", "left_spent")
    said = did.get("said", {})
    now = standing(member, said)
    for key, (_word, _before, after) in said.items():
        if now[key] != after:
            problem = Problem(key if key in COMMON else PREFIX + key, "left_changed")
    if said:
        member_services.unsay(
            member_id=member.pk,
            source=IMPORT,
            by=run.said,
            words={key: _earlier(word) for key, (word, _before, _after) in said.items()},
            columns={key: before for key, (_word, before, _after) in said.items()},
            at=at,
        )
    _take_ties_off(member, did, run, at)
    return problem


def _earlier(word: list[str] | None) -> Earlier | None:
    return None if word is None else Earlier(word[0], word[1], datetime.fromisoformat(word[2]))


def _take_ties_off(member: Member, did: dict[str, Any], run: Run, at: datetime) -> None:
    _untag(member.pk, did.get("tags", []), run, at)
    if did.get("guide"):
        _unassign(did["guide"])
    if did.get("card"):
        Identity.objects.filter(pk=did["card"], member=member).delete()
    for name, kind in (("unionid", IdentityKind.UNIONID), ("phone", IdentityKind.PHONE)):
        if did.get(name):
            _untie(member, kind, run)
    if did.get("joined"):
        Member.objects.filter(pk=member.pk).update(joined_at=None)


def _untag(member_id: int, tag_ids: Sequence[int], run: Run, at: datetime) -> None:
    mine = MemberTag.objects.filter(member_id=member_id, tag_id__in=tag_ids, given=True, source=run.said)
    ids = list(mine.order_by("tag_id").values_list("tag_id", flat=True))
    if ids:
        member_services.untag_members(member_ids=[member_id], tag_ids=ids, source=run.said, at=at)


def _unassign(assignment_id: int) -> None:
    """Take an assignment back; who looked after the person right before does so again."""
    made = Assignment.objects.filter(pk=assignment_id, until__isnull=True).first()
    if made is None:
        return
    earlier = Assignment.objects.filter(member_id=made.member_id, until=made.since).order_by("-pk")
    before = earlier.first()
    made.delete()
    if before is not None:
        before.until = None
        before.save(update_fields=["until"])


def _untie(member: Member, kind: str, run: Run) -> None:
    edges = Identity.objects.filter(member=member, kind=kind, source=run.said, ended_at=None)
    if kind == IdentityKind.PHONE and edges.exists():
        Member.objects.filter(pk=member.pk).update(phone=None, phone_index=None, phone_tail="", phone_masked="")
    edges.delete()
