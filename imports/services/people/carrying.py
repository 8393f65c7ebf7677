"""Carrying rows about people out: records opened at once, known ones added to; tags, guides and points for all."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from guides import services as guide_services
from guides.models import Guide
from imports.kinds import Done, Row, Run, Verdict
from imports.models import RowState
from imports.services.marks import marks_of
from imports.services.own_fields import PREFIX, own_keys
from imports.services.people.looking import opening_names, phone_index_of, phone_of, subject_of_brand
from loyalty.services import opening
from members import services as member_services
from members.errors import PhoneTaken
from members.models import Member
from members.profiles import IMPORT
from members.selectors import tags_by_name
from members.services import intake
from members.services.profile import standing, words_of
from stores.selectors import brand_zone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from members.services.profile import Earlier


def carry_out(verdicts: Sequence[Verdict], run: Run, at: datetime) -> list[Done]:
    """Open the records of those who are new at once, add to known ones, then tags, guides and points for all."""
    tags = _tags_for(verdicts, run, at)
    guides = {each.staff_no: each for each in Guide.objects.filter(staff_no__in=_said(verdicts, "staff_no"))}
    subject = subject_of_brand()
    fresh = [each for each in verdicts if each.state == RowState.NEW]
    newcomers = [_newcomer(each.row, run, guides, subject, at) for each in fresh]
    opened = dict(
        zip(
            (each.row.number for each in fresh),
            intake.admit(newcomers=newcomers, source=run.said, at=at),
            strict=True,
        )
    )
    whose: dict[int, int] = {}
    did: dict[int, dict[str, Any]] = {}
    for each in verdicts:
        number = each.row.number
        if number in opened:
            whose[number], did[number] = opened[number], {"new": True}
        else:
            whose[number], did[number] = _add_to(each, run, subject, at)
    _give_tags(verdicts, whose, did, tags, run, at)
    _give_guides(verdicts, whose, did, guides, run, at)
    _give_points(verdicts, whose, did, run, at)
    marks = marks_of(opened.values())
    for number, pk in opened.items():
        did[number]["mark"] = marks[pk]
    return [Done(whose[each.row.number], did[each.row.number]) for each in verdicts]


def _said(verdicts: Sequence[Verdict], key: str) -> set[str]:
    return {str(each.row.cells[key]) for each in verdicts if each.row.cells.get(key)}


def _words_of(verdict: Verdict) -> list[str]:
    if verdict.state == RowState.NEW:
        return list(verdict.row.cells.get("tags", []))
    return list(verdict.plan.get("tags", []))


def _tags_for(verdicts: Sequence[Verdict], run: Run, at: datetime) -> dict[str, int]:
    """Give the ids of all words; those that are missing enter the dictionary."""
    wanted = {word for each in verdicts for word in _words_of(each)}
    found = tags_by_name(wanted)
    for word in sorted(wanted - set(found)):
        found[word] = member_services.create_tag(name=word, meaning=_("as imported"), at=at).pk
    return found


def _newcomer(row: Row, run: Run, guides: dict[str, Guide], subject: str, at: datetime) -> intake.Newcomer:
    cells = row.cells
    guide = guides.get(str(cells.get("staff_no") or ""))
    return intake.Newcomer(
        joined_at=_midnight(cells.get("joined"), at),
        phone=phone_of(cells),
        phone_index=phone_index_of(row),
        card=str(cells.get("card") or ""),
        unionid=str(cells.get("unionid") or ""),
        subject=subject,
        name=str(cells.get("name") or ""),
        birth_mmdd=cells.get("birthday"),
        gender=str(cells.get("gender") or ""),
        city=str(cells.get("city") or ""),
        store_id=guide.store_id if guide else None,
        source=_source(cells, run),
        own={key: str(cells[PREFIX + key]) for key in own_keys(cells)},
    )


def _source(cells: dict[str, Any], run: Run) -> str:
    told = str(cells.get("source") or run.source)
    return f"{run.said}: {told}" if told else run.said


def _midnight(day: str | None, at: datetime) -> datetime:
    """Give the beginning of a day of the brand; without one, now."""
    if not day:
        return at
    from zoneinfo import ZoneInfo

    begins = datetime.combine(date.fromisoformat(day), time(0), tzinfo=ZoneInfo(brand_zone())).astimezone(UTC)
    return min(begins, at)


def _add_to(verdict: Verdict, run: Run, subject: str, at: datetime) -> tuple[int, dict[str, Any]]:
    """Add to a known record what it lacks; tags, guide and points follow for all rows at once."""
    cells, plan = verdict.row.cells, verdict.plan
    member = Member.objects.select_for_update().get(pk=verdict.member_id or 0)
    did: dict[str, Any] = {}
    if "says" in plan:
        before = standing(member, plan["says"])
        earlier = words_of(member.pk, source=IMPORT)
        member = member_services.say(member_id=member.pk, source=IMPORT, values=plan["says"], at=at, by=run.said)
        after = standing(member, plan["says"])
        did["said"] = {key: [_kept_word(earlier.get(key)), before[key], after[key]] for key in plan["says"]}
    if "join" in plan or "phone" in plan:
        did["joined"] = member.joined_at is None
    if "join" in plan:
        member_services.join(member=member, at=_midnight(cells.get("joined"), at))
    if "phone" in plan:
        try:
            member = member_services.bind_phone(member=member, number=phone_of(cells), source=run.said, at=at)
        except PhoneTaken:  # only a record that was merged away meanwhile has it
            did["phone_taken"] = True
        else:
            did["phone"] = True
    if "card" in plan:
        did["card"] = intake.tie_card(member_id=member.pk, card=str(cells["card"]), source=_source(cells, run), at=at)
    if "unionid" in plan:
        member = member_services.link_unionid(
            member=member, subject=subject, unionid=str(cells["unionid"]), source=run.said, at=at
        )
        did["unionid"] = True
    return member.pk, did


def _kept_word(word: Earlier | None) -> list[str] | None:
    """Give what an import said before as it is kept for undoing."""
    return None if word is None else [word.text, word.by, word.at.isoformat()]


def _give_tags(
    verdicts: Sequence[Verdict],
    whose: dict[int, int],
    did: dict[int, dict[str, Any]],
    tags: dict[str, int],
    run: Run,
    at: datetime,
) -> None:
    together: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for each in verdicts:
        ids = tuple(dict.fromkeys(tags[word] for word in _words_of(each)))
        if ids:
            together[ids].append(each.row.number)
            did[each.row.number]["tags"] = list(ids)
    for ids, numbers in together.items():
        people = [whose[number] for number in numbers]
        member_services.tag_members(member_ids=people, tag_ids=ids, source=run.said, at=at)


def _give_guides(
    verdicts: Sequence[Verdict],
    whose: dict[int, int],
    did: dict[int, dict[str, Any]],
    guides: dict[str, Guide],
    run: Run,
    at: datetime,
) -> None:
    together: dict[str, list[int]] = defaultdict(list)
    for each in verdicts:
        staff_no = str(each.row.cells.get("staff_no") or "")
        if staff_no and (each.state == RowState.NEW or "guide" in each.plan):
            together[staff_no].append(each.row.number)
    for staff_no, numbers in together.items():
        guide = guides[staff_no]
        made = guide_services.assign_members(
            member_ids=[whose[number] for number in numbers], guide=guide, reason=run.said, at=at
        )
        for number in numbers:
            key = made.get(whose[number])
            if key is None:  # the import is to replace who is there
                assignment = guide_services.assign_guide(
                    member_id=whose[number], guide=guide, reason=run.said, at=at, replace=True
                )
                key = assignment.pk
            did[number]["guide"] = key


def _give_points(
    verdicts: Sequence[Verdict], whose: dict[int, int], did: dict[int, dict[str, Any]], run: Run, at: datetime
) -> None:
    wanted = [
        each
        for each in verdicts
        if each.row.cells.get("points") and (each.state == RowState.NEW or "points" in each.plan)
    ]
    if not wanted:
        return
    names = {each.row.number: opening_names(each.row)[0] for each in wanted}
    made = opening.open_balances(
        openings=[
            opening.Opening(names[each.row.number], whose[each.row.number], int(each.row.cells["points"]))
            for each in wanted
        ],
        number=run.number,
        reason=_("Opening balance"),
        at=at,
    )
    for each in wanted:
        if names[each.row.number] in made:
            did[each.row.number]["points"] = made[names[each.row.number]]
