"""Orders from a table: each becomes a purchase of somebody who is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from django.utils.translation import gettext_lazy

from common.divisions import Located, Why, by_code, locate
from common.errors import AppError
from imports.columns import ORDER_COLUMNS
from imports.kinds import Done, Row, Run, Verdict, kinds, refused
from imports.models import RowState
from imports.problems import Problem
from loyalty.earn_rules import Line
from loyalty.models import Fact, FactKind
from loyalty.services import Report, record_fact
from loyalty.services.history import record_history
from loyalty.taken_back import UNDO, latest, next_number
from members.models import Member
from members.services import intake
from stores.models import Store
from stores.selectors import brand_zone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imports.kinds import Carried


class Orders:
    """What was bought before this product was there."""

    label = gettext_lazy("Orders")
    columns = ORDER_COLUMNS
    needs = (("number",), ("amount",), ("at",), ("phone", "card", "member_no"))

    def names_of(self, row: Row, member_id: int | None) -> list[tuple[str, str]]:
        """Name the order."""
        number = str(row.cells.get("number") or "")
        return [("number", number)] if number else []

    def lock(self, rows: Sequence[Row]) -> None:
        """Nobody else decides about the same people here; an order's number is unique in the database."""

    def judge(self, rows: Sequence[Row], run: Run, *, at: datetime) -> list[Verdict]:
        """Look people, stores and earlier reports up."""
        zone = ZoneInfo(brand_zone())
        known = intake.known_people(
            phones=[intake.phone_key(phone) for row in rows if (phone := _phone(row.cells))],
            cards=[str(row.cells["card"]) for row in rows if row.cells.get("card")],
            numbers=[str(row.cells["member_no"]) for row in rows if row.cells.get("member_no")],
        )
        ids = {pk for each in (known.phones, known.cards, known.numbers) for pk in each.values()}
        gone = set(Member.objects.filter(pk__in=ids, erased_at__isnull=False).values_list("pk", flat=True))
        codes = {str(row.cells["store"]) for row in rows if row.cells.get("store")}
        stores = dict(Store.objects.filter(code__in=codes).values_list("code", "pk"))
        numbers = [str(row.cells.get("number") or "") for row in rows]
        before = latest(run.system, numbers)
        undone = set(
            Fact.objects.filter(
                system=run.system,
                kind=FactKind.REFUND,
                number__in=[UNDO + fact.number for fact in before.values()],
            ).values_list("number", flat=True)
        )
        found = []
        for row in rows:
            problems, member_id = _unusable(row.cells, known, stores, gone, zone, at)
            if problems or member_id is None:
                found.append(refused(row, *problems))
                continue
            report = _report(row.cells, member_id, stores, run, zone)
            earlier = before.get(report.number)
            notes = _unplaced(report)
            if earlier is None:
                found.append(Verdict(row, RowState.NEW, notes, member_id, {"report": report}))
            elif UNDO + earlier.number in undone:
                number = next_number(report.number, earlier.number)
                if number is None:
                    found.append(refused(row, Problem("number", "order_undone"), state=RowState.CONFLICT))
                else:
                    again = replace(report, number=number)
                    found.append(Verdict(row, RowState.NEW, notes, member_id, {"report": again}))
            elif earlier.fingerprint in (report.asked(), _of_earlier(report, earlier)):
                found.append(Verdict(row, RowState.UNCHANGED, (), member_id))
            else:
                found.append(refused(row, Problem("number", "order_changed"), state=RowState.CONFLICT))
        return found

    def carry_out(self, verdicts: Sequence[Verdict], run: Run, *, at: datetime) -> list[Done]:
        """Keep them as purchases; with points only where the import is to give them."""
        reports: list[Report] = [each.plan["report"] for each in verdicts]
        if run.give_points:
            keys = [record_fact(report=report, at=at).fact.pk for report in reports]
        else:
            keys = record_history(reports=reports, at=at)
        return [Done(each.member_id, {"fact": key}) for each, key in zip(verdicts, keys, strict=True)]

    def take_back(self, rows: Sequence[Carried], run: Run, *, at: datetime) -> dict[int, Problem]:
        """Facts are only ever added: each order is refunded in full, which takes back what followed from it."""
        stays = {}
        for row in rows:
            fact = Fact.objects.get(pk=row.did["fact"])
            try:
                record_fact(
                    report=Report(
                        system=fact.system,
                        kind=FactKind.REFUND,
                        number=UNDO + fact.number,
                        happened_at=max(at, fact.happened_at),
                        amount=fact.amount,
                        refers=str(fact.number),
                    ),
                    at=at,
                )
            except AppError:
                stays[row.number] = Problem("number", "left_refunded")
        return stays


kinds.register("orders", Orders())


def _phone(cells: dict[str, Any]) -> str:
    phone = str(cells.get("phone") or "")
    return "" if "*" in phone else phone


def _unusable(
    cells: dict[str, Any],
    known: intake.Known,
    stores: dict[str, int],
    gone: set[int],
    zone: ZoneInfo,
    at: datetime,
) -> tuple[list[Problem], int | None]:
    found = [Problem(key, f"{key}_missing") for key in ("number", "amount", "at") if not cells.get(key)]
    problem, member_id = _whose(cells, known, gone)
    if problem is not None:
        found.append(problem)
    if cells.get("store") and str(cells["store"]) not in stores:
        found.append(Problem("store", "store_unknown"))
    if cells.get("at") and _moment(cells["at"], zone) > at:
        found.append(Problem("at", "day_future"))
    if cells.get("amount") and sum(line[1] for line in cells.get("items", [])) > cells["amount"]:
        found.append(Problem("items", "items_more"))
    return found, member_id


def _whose(cells: dict[str, Any], known: intake.Known, gone: set[int]) -> tuple[Problem | None, int | None]:
    """Find whose order it is: everything that is said must lead to one person."""
    led: dict[str, int | None] = {}
    if phone := _phone(cells):
        led["phone"] = known.phones.get(intake.phone_key(phone))
    if cells.get("card"):
        led["card"] = known.cards.get(str(cells["card"]))
    if cells.get("member_no"):
        led["member_no"] = known.numbers.get(str(cells["member_no"]))
    people = {pk for pk in led.values() if pk is not None}
    if not led:
        return Problem("phone", "phone_masked" if cells.get("phone") else "nobody"), None
    if not people:
        return Problem(next(iter(led)), "member_unknown"), None
    if len(people) > 1:
        return Problem(list(led)[-1], "two_people"), None
    if people & gone:
        return Problem(next(iter(led)), "member_gone"), None
    return None, people.pop()


def _moment(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def _report(cells: dict[str, Any], member_id: int, stores: dict[str, int], run: Run, zone: ZoneInfo) -> Report:
    return Report(
        system=run.system,
        kind=FactKind.PURCHASE,
        number=str(cells["number"]),
        happened_at=_moment(cells["at"], zone),
        member_id=member_id,
        amount=int(cells["amount"]),
        lines=tuple(Line(sku, "".join(category), amount) for sku, amount, *category in cells.get("items", [])),
        store_id=stores.get(str(cells.get("store") or "")),
        ship_to=_ship_to(cells),
    )


def _ship_to(cells: dict[str, Any]) -> Located | None:
    """Say where an order was sent to: by the columns of province, city and district, otherwise by the address."""
    apart = " ".join(str(cells[key]) for key in ("ship_province", "ship_city", "ship_district") if cells.get(key))
    by_columns = locate(apart) if apart else None
    codes = cells.get("ship_to")
    place = by_code(codes[-1]) if codes else None
    by_address = Located(place, Why.FOUND if place else Why(codes[0])) if codes else None
    if by_columns is None:
        return by_address
    above = by_columns.place.codes if by_columns.place else ()
    # The address may say more than the columns; where they differ, the columns were filled in on purpose.
    return by_address if place is not None and place.codes[: len(above)] == above else by_columns


_UNREAD: Final = {
    Why.UNKNOWN: "ship_unread",
    Why.AMBIGUOUS: "ship_ambiguous",
    Why.ABROAD: "ship_abroad",
}


def _unplaced(report: Report) -> tuple[Problem, ...]:
    code = _UNREAD.get(report.ship_to.why) if report.ship_to is not None else None
    return (Problem("ship_to", code),) if code else ()


def _of_earlier(report: Report, earlier: Fact) -> Any:
    """The fingerprint of the same report about whom it was first about: they may have been merged since."""
    return replace(report, member_id=earlier.member_id).asked()
