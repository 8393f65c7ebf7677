"""What a row about a person is: new, an addition to a known record, a contradiction, or nothing new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imports.kinds import Row, Run, Verdict, refused
from imports.models import RowState
from imports.problems import Problem
from imports.services.own_fields import PREFIX, own_keys, still_fits
from imports.services.people.looking import phone_index_of, standing_of, ties_of
from members.models import IdentityKind
from members.profiles import COMMON, said_common
from members.services import intake

if TYPE_CHECKING:
    from imports.services.people.looking import World
    from members.models import Member


def verdict_on(row: Row, run: Run, world: World) -> Verdict:
    """Say what a row is."""
    problems = _unusable(row, run, world)
    if problems:
        return refused(row, *problems)
    led = _led_to(row, world)
    if len(set(led.values())) > 1:
        first = next(iter(led.values()))
        other = next(key for key, pk in led.items() if pk != first)
        return refused(row, Problem(other, "two_people"), state=RowState.CONFLICT)
    if not led:
        return Verdict(row, RowState.NEW)
    return _against(row, run, world, world.members[next(iter(led.values()))])


def _unusable(row: Row, run: Run, world: World) -> list[Problem]:
    """Name what cannot be taken whoever it is about."""
    found = []
    cells = row.cells
    if not ties_of(row) and not cells.get("member_no"):
        found.append(Problem("phone", "phone_masked" if cells.get("phone") else "nobody"))
    if cells.get("member_no") and str(cells["member_no"]) not in world.known.numbers:
        found.append(Problem("member_no", "member_unknown"))
    if cells.get("unionid") and not world.subject:
        found.append(Problem("unionid", "unionid_alone"))
    if str(cells.get("joined") or "") > world.today:
        found.append(Problem("joined", "day_future"))
    missing = [word for word in cells.get("tags", []) if word not in world.tags]
    if missing and not run.create_tags:
        found.append(Problem("tags", "tag_unknown", "、".join(missing)[:60]))
    if cells.get("staff_no"):
        guide = world.guides.get(str(cells["staff_no"]))
        if guide is None:
            found.append(Problem("staff_no", "guide_unknown"))
        elif not guide.is_active:
            found.append(Problem("staff_no", "guide_gone"))
    found += [
        Problem(PREFIX + key, "field_changed")
        for key in own_keys(cells)
        if not still_fits(world.own.get(key), cells[PREFIX + key])
    ]
    return found


def _led_to(row: Row, world: World) -> dict[str, int]:
    known, cells = world.known, row.cells
    tables = {
        IdentityKind.PHONE.value: ("phone", known.phones),
        intake.CARD: ("card", known.cards),
        IdentityKind.UNIONID.value: ("unionid", known.unionids),
    }
    led = {}
    if cells.get("member_no"):
        led["member_no"] = known.numbers[str(cells["member_no"])]
    for kind, value in ties_of(row):
        name, table = tables[kind]
        if value in table:
            led[name] = table[value]
    return led


def _against(row: Row, run: Run, world: World, member: Member) -> Verdict:
    """Compare a row with the record it is about."""
    cells = row.cells
    plan: dict[str, Any] = {}
    problems: list[Problem] = []
    against = _contradiction(row, world, member)
    if against is not None:
        return refused(row, against, state=RowState.CONFLICT)
    _compare_ties(row, world, plan)
    _compare_profile(cells, run, world, member, plan, problems)
    if member.joined_at is None:
        plan["join"] = True
    _compare_tags(cells, run, world, member.pk, plan, problems)
    _compare_guide(cells, run, world, member, plan, problems)
    if cells.get("points") and standing_of(row, world, member.pk) is None:
        plan["points"] = True
    state = RowState.MATCHED if plan else RowState.UNCHANGED
    return Verdict(row, state, tuple(problems), member.pk, plan)


def _contradiction(row: Row, world: World, member: Member) -> Problem | None:
    """Give what of a row cannot be true of a known person."""
    if member.erased_at is not None:
        return Problem("phone", "member_gone")
    cells, phone = row.cells, phone_index_of(row)
    if phone and member.phone_index is not None and phone not in world.known.phones:
        return Problem("phone", "phone_other")
    if cells.get("unionid") and cells["unionid"] not in world.unionids.get(member.pk, {cells["unionid"]}):
        return Problem("unionid", "unionid_other")
    standing = standing_of(row, world, member.pk)
    if cells.get("points") and standing is not None and standing.points != cells["points"]:
        return Problem("points", "points_given", f"{standing.points:,}")
    return None


def _compare_ties(row: Row, world: World, plan: dict[str, Any]) -> None:
    known, cells, phone = world.known, row.cells, phone_index_of(row)
    if phone and phone not in known.phones:
        plan["phone"] = True
    if cells.get("card") and cells["card"] not in known.cards:
        plan["card"] = True
    if cells.get("unionid") and cells["unionid"] not in known.unionids:
        plan["unionid"] = True


def _compare_profile(
    cells: dict[str, Any], run: Run, world: World, member: Member, plan: dict[str, Any], problems: list[Problem]
) -> None:
    """Say what is not known yet; with `overwrite` also the rest, and then who comes first decides which word counts."""
    before = world.words.get(member.pk, {})
    for key, common in COMMON.items():
        value, current = cells.get(key), getattr(member, common.column)
        if value is None or value == current:
            continue
        text = said_common(key, value)
        if current in (None, "") or (run.overwrite and before.get(key) != text):
            plan.setdefault("says", {})[key] = text
        else:
            problems.append(Problem(key, "kept"))
    counting = world.counting.get(member.pk, {})
    for key in own_keys(cells):
        text, current = cells[PREFIX + key], counting.get(key, "")
        if text == current:
            continue
        if not current or (run.overwrite and before.get(key) != text):
            plan.setdefault("says", {})[key] = text
        else:
            problems.append(Problem(PREFIX + key, "kept"))


def _compare_tags(
    cells: dict[str, Any], run: Run, world: World, member_id: int, plan: dict[str, Any], problems: list[Problem]
) -> None:
    has = world.carried.get(member_id, {})
    taken = {slot for slot in has.values() if slot is not None}
    adding = []
    for word in cells.get("tags", []):
        tag_id = world.tags.get(word)
        if tag_id is not None and tag_id in has:
            continue
        if tag_id is not None and world.slots.get(tag_id) in taken and not run.overwrite:
            problems.append(Problem("tags", "kept"))
            continue
        adding.append(word)
    if adding:
        plan["tags"] = adding


def _compare_guide(
    cells: dict[str, Any], run: Run, world: World, member: Member, plan: dict[str, Any], problems: list[Problem]
) -> None:
    guide = world.guides.get(str(cells.get("staff_no") or ""))
    if guide is None:
        return
    now = world.assigned.get(member.pk)
    if now is None or (now != guide.pk and run.overwrite):
        plan["guide"] = True
    elif now != guide.pk:
        problems.append(Problem("staff_no", "guide_kept"))
