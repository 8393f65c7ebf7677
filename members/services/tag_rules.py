"""Automatic tags: whoever fits a rule carries its tag, and what a rule has given only the rule takes back.

People are looked at again when a fact of theirs changes (`note_fact`), and all of them when a rule changes and every
few hours, because time passes, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, current_brand_id, reporting
from common.failpoints import point
from members import tasks
from members.errors import RuleInvalid, TagRuleNameTaken
from members.models import FactDue, Member, MemberTag, TagRule
from members.segments import compile_rule, matching, mentioned
from members.selectors import objectors
from members.services.facts import TAG, log_facts
from members.services.tags import lock_people, refresh_tag_ids, settled_tags

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

CHUNK: Final = 5_000
FACTS_AT_ONCE: Final = 500
LOOKED_AT_EVERY: Final = timedelta(hours=6)


@dataclass(frozen=True)
class DryRun:
    """What a rule would do now: people newly tagged, people untagged, people who keep another tag of its group."""

    tagged: int
    untagged: int
    held_back: int


@transaction.atomic
def save_tag_rule(
    *, name: str, tag_id: int, rule: dict[str, Any], at: datetime, stays: bool = False, tag_rule: TagRule | None = None
) -> TagRule:
    """Make or change an automatic tag and have everybody looked at. Raises `RuleInvalid`, `TagRuleNameTaken`.

    A rule that asks for tags may not ask for one that a rule gives: the result would depend on who came first.
    """
    check_tag_rule(rule, tag_id=tag_id, at=at, but=tag_rule.pk if tag_rule else None)
    row = TagRule.objects.select_for_update().get(pk=tag_rule.pk) if tag_rule else TagRule(created_at=at)
    before = {key: getattr(row, key) for key in ("name", "tag_id", "rule", "stays")} if tag_rule else {}
    if before and before["tag_id"] != tag_id:
        _take_back_all(row, at)
    row.name, row.tag_id, row.rule, row.stays = name, tag_id, rule, stays
    row.updated_at, row.run_due_at, row.after, row.problem = at, at, None, ""
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        raise TagRuleNameTaken from None
    now = {"name": name, "tag_id": tag_id, "rule": rule, "stays": stays}
    changes = {key: [before.get(key), value] for key, value in now.items() if before.get(key) != value}
    record_audit(action="change tag rule" if before else "create tag rule", obj=row, changes=changes)
    ring(tasks.run_tag_rules, current_brand_id())
    return row


@transaction.atomic
def switch_tag_rule(*, tag_rule: TagRule, is_on: bool, at: datetime) -> TagRule:
    """Let a rule work or rest; at rest it neither gives nor takes."""
    row = TagRule.objects.select_for_update().get(pk=tag_rule.pk)
    if row.is_on != is_on:
        row.is_on = is_on
        row.run_due_at, row.after = (at, None) if is_on else (None, None)
        row.save(update_fields=["is_on", "run_due_at", "after"])
        record_audit(action="change tag rule", obj=row, changes={"is_on": [not is_on, is_on]})
        ring(tasks.run_tag_rules, current_brand_id())
    return row


@transaction.atomic
def remove_tag_rule(*, tag_rule: TagRule, at: datetime) -> None:
    """Take a rule away with exactly the tags it gave; what was also given otherwise stays. Done in the background."""
    row = TagRule.objects.select_for_update().get(pk=tag_rule.pk)
    row.is_on, row.removed_at, row.run_due_at, row.after = False, at, at, None
    row.save(update_fields=["is_on", "removed_at", "run_due_at", "after"])
    record_audit(action="remove tag rule", obj=row, changes={"name": [row.name, None]})
    ring(tasks.run_tag_rules, current_brand_id())


def check_tag_rule(rule: object, *, tag_id: int, at: datetime, but: int | None = None) -> None:
    """Refuse a rule that cannot be used, or that asks for tags which rules give. Raises `RuleInvalid`."""
    compile_rule(rule, at=at)
    asked = mentioned(rule, "tags")
    others = TagRule.objects.filter(removed_at=None).exclude(pk=but or 0).order_by("pk")
    given = {tag_id: ""} | {other.tag_id: other.name for other in others}
    for asked_id, path in asked.items():
        if asked_id in given:
            raise RuleInvalid(path, _("An automatic tag cannot depend on a tag that is itself automatic."))
    for other in others:
        if tag_id in mentioned(other.rule, "tags"):
            raise RuleInvalid(
                "rule",
                _("The automatic tag “%(name)s” depends on this tag; it cannot be automatic too.")
                % {"name": other.name},
            )


def dry_run(*, rule: object, tag_id: int, at: datetime, stays: bool = False, rule_id: int | None = None) -> DryRun:
    """Count what a rule would do if it were saved now; nothing is changed. Raises `RuleInvalid`."""
    check_tag_rule(rule, tag_id=tag_id, at=at, but=rule_id)
    with transaction.atomic():
        slot = settled_tags([tag_id])[tag_id][0]
    with reporting(current_brand_id()):
        fitting = matching(rule, at=at).exclude(pk__in=objectors().values("member_id"))
        carrying = MemberTag.objects.filter(tag_id=tag_id)
        fresh = fitting.exclude(pk__in=carrying.values("member_id"))
        held_back = 0
        if slot is not None:
            others = MemberTag.objects.filter(slot=slot).exclude(tag_id=tag_id)
            if rule_id is not None:
                others = others.exclude(given=False, rule_ids=[rule_id])
            held_back = fresh.filter(pk__in=others.values("member_id")).count()
        untagged = 0
        if rule_id is not None and not stays:
            only_mine = MemberTag.objects.filter(tag_id=tag_id, given=False, rule_ids=[rule_id])
            untagged = only_mine.exclude(member_id__in=fitting.values("pk")).count()
        return DryRun(fresh.count() - held_back, untagged, held_back)


def apply_due_facts(brand_id: int, *, at: datetime) -> int:
    """Look again at people whose facts changed, a batch; gives how many. Safe to run twice, at once, to be killed."""
    with brand_scope(brand_id):
        due = list(
            FactDue.objects.select_for_update(skip_locked=True)
            .order_by("pk")
            .values_list("pk", "member_id")[:FACTS_AT_ONCE]
        )
        if not due:
            return 0
        FactDue.objects.filter(pk__in=[pk for pk, _member_id in due]).delete()
        people = sorted({member_id for _pk, member_id in due})
        # Locked: a rule that is being removed must not give once more after its tags were taken back.
        rules = list(TagRule.objects.select_for_update().filter(is_on=True).order_by("pk"))
        apply_rules(rules=rules, member_ids=people, at=at)
        point("tags: facts applied, not committed")
    return len(due)


def run_rules(brand_id: int, *, at: datetime) -> bool:
    """Bring one rule of the brand a chunk further over all its people; gives whether more is due now."""
    with brand_scope(brand_id):
        row = (
            TagRule.objects.select_for_update(skip_locked=True)
            .filter(run_due_at__lte=at)
            .order_by("run_due_at", "pk")
            .first()
        )
        if row is None:
            return False
        if row.removed_at is not None:
            if not _take_back(row, at):
                row.delete()
            return True
        people = list(
            Member.objects.filter(pk__gt=row.after or 0, merged_into=None, erased_at=None)
            .order_by("pk")
            .values_list("pk", flat=True)[:CHUNK]
        )
        if row.after is None:
            row.blocked = 0
        row.blocked += apply_rules(rules=[row], member_ids=people, at=at)
        if len(people) < CHUNK:
            row.after, row.ran_at, row.run_due_at = None, at, at + LOOKED_AT_EVERY
            row.people = MemberTag.objects.filter(tag_id=row.tag_id, rule_ids__contains=[row.pk]).count()
        else:
            row.after = people[-1]
        row.save(update_fields=["after", "ran_at", "run_due_at", "people", "blocked", "problem"])
        point("tags: chunk done, not committed")
    return True


_GIVE = """
INSERT INTO members_membertag (brand_id, member_id, tag_id, source, at, given, rule_ids, slot)
SELECT %(brand)s, p.id, %(tag)s, %(source)s, %(at)s, false, ARRAY[%(rule)s::bigint], %(slot)s
FROM unnest(%(people)s::bigint[]) AS p(id)
ON CONFLICT (brand_id, member_id, tag_id) DO UPDATE
    SET rule_ids = array_append(array_remove(members_membertag.rule_ids, %(rule)s::bigint), %(rule)s::bigint)
RETURNING member_id, xmax = 0
"""
_LET_GO = """
UPDATE members_membertag SET rule_ids = array_remove(rule_ids, %(rule)s::bigint)
WHERE brand_id = %(brand)s AND tag_id = %(tag)s AND member_id = ANY(%(people)s)
    AND %(rule)s = ANY(rule_ids) AND (given OR cardinality(rule_ids) > 1)
"""
_TAKE = """
DELETE FROM members_membertag
WHERE brand_id = %(brand)s AND tag_id = %(tag)s AND member_id = ANY(%(people)s)
    AND NOT given AND rule_ids = ARRAY[%(rule)s::bigint]
RETURNING member_id
"""


def apply_rules(*, rules: Sequence[TagRule], member_ids: Sequence[int], at: datetime) -> int:
    """Bring people's tags in line with rules: first what goes, then what comes. Gives how many were held back.

    A rule whose words no longer mean anything (a tag or store that is gone) changes nothing and says so.
    """
    if not rules or not member_ids:
        return 0
    known = settled_tags([row.tag_id for row in rules])
    if any(slot is not None for slot, _days in known.values()):
        lock_people(member_ids)
    objecting = set(objectors().filter(member_id__in=member_ids).values_list("member_id", flat=True))
    changed: set[int] = set()
    coming: list[tuple[TagRule, list[int]]] = []
    for row in rules:
        try:
            with reporting(current_brand_id()):
                fitting = set(matching(row.rule, at=at).filter(pk__in=member_ids).values_list("pk", flat=True))
            fitting -= objecting
        except RuleInvalid as error:
            row.problem = error.message[:200]
            TagRule.objects.filter(pk=row.pk).update(problem=row.problem)
            continue
        mine = MemberTag.objects.filter(tag_id=row.tag_id, member_id__in=member_ids, rule_ids__contains=[row.pk])
        held = set(mine.values_list("member_id", flat=True))
        if not row.stays:
            changed |= set(_withdraw(row, sorted(held - fitting), at))
        coming.append((row, sorted(fitting - held)))
    held_back = 0
    for row, people in coming:
        slot = known[row.tag_id][0]
        free = people
        if slot is not None and people:
            others = MemberTag.objects.filter(slot=slot, member_id__in=people).exclude(tag_id=row.tag_id)
            blocked = set(others.values_list("member_id", flat=True))
            held_back += len(blocked)
            free = [member_id for member_id in people if member_id not in blocked]
        changed |= set(_give(row, free, slot, at))
    refresh_tag_ids(member_ids=sorted(changed))
    return held_back


def _give(row: TagRule, people: list[int], slot: int | None, at: datetime) -> list[int]:
    if not people:
        return []
    source = f"rule: {row.name}"
    values: dict[str, Any] = {"brand": current_brand_id(), "rule": row.pk, "tag": row.tag_id, "people": people}
    with connection.cursor() as cursor:
        cursor.execute(_GIVE, {**values, "source": source, "at": at, "slot": slot})
        new = [member_id for member_id, is_new in cursor.fetchall() if is_new]
    log_facts(what=TAG, pairs=[(pk, row.tag_id) for pk in new], before="", after="yes", source=source, at=at)
    return new


def _withdraw(row: TagRule, people: list[int], at: datetime) -> list[int]:
    if not people:
        return []
    values: dict[str, Any] = {"brand": current_brand_id(), "rule": row.pk, "tag": row.tag_id, "people": people}
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, values)
        gone = [member_id for (member_id,) in cursor.fetchall()]
        cursor.execute(_LET_GO, values)
    log_facts(
        what=TAG,
        pairs=[(pk, row.tag_id) for pk in gone],
        before="yes",
        after="",
        source=f"rule: {row.name}",
        at=at,
    )
    return gone


def _take_back(row: TagRule, at: datetime) -> bool:
    """Take back a chunk of what a rule gave; gives whether there was anything."""
    mine = MemberTag.objects.filter(tag_id=row.tag_id, rule_ids__contains=[row.pk])
    people = list(mine.order_by("member_id").values_list("member_id", flat=True)[:CHUNK])
    refresh_tag_ids(member_ids=_withdraw(row, people, at))
    return bool(people)


def _take_back_all(row: TagRule, at: datetime) -> None:
    while _take_back(row, at):
        pass
