"""Members from a table: matched by what identifies them, opened by the hundred, taken back as they came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy

from imports.columns import MEMBER_COLUMNS
from imports.kinds import Done, Row, Run, Verdict, kinds
from imports.services.own_fields import own_columns
from imports.services.people.carrying import carry_out
from imports.services.people.judging import verdict_on
from imports.services.people.looking import locks_of, look_up, names_of, subject_of_brand
from imports.services.taking_back import take_members_back
from members.services import intake

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from imports.columns import Column
    from imports.kinds import Carried
    from imports.problems import Problem


class Members:
    """People of a till, a shop system or a list."""

    label = gettext_lazy("Members")
    needs = (("phone", "card", "member_no", "unionid"),)

    @property
    def columns(self) -> Sequence[Column]:
        """Give the common columns and one for each of the brand's own fields."""
        return (*MEMBER_COLUMNS, *own_columns())

    def names_of(self, row: Row, member_id: int | None) -> list[tuple[str, str]]:
        """Name the person by everything that identifies them, and by the record it leads to."""
        return names_of(row, member_id)

    def lock(self, rows: Sequence[Row]) -> None:
        """Lock every identity the rows name."""
        subject = subject_of_brand()
        intake.lock_identities(tie for row in rows for tie in locks_of(row, subject))

    def judge(self, rows: Sequence[Row], run: Run, *, at: datetime) -> list[Verdict]:
        """Compare with what is known."""
        world = look_up(rows, at)
        return [verdict_on(row, run, world) for row in rows]

    def carry_out(self, verdicts: Sequence[Verdict], run: Run, *, at: datetime) -> list[Done]:
        """Open new records at once, add to known ones."""
        return carry_out(verdicts, run, at)

    def take_back(self, rows: Sequence[Carried], run: Run, *, at: datetime) -> dict[int, Problem]:
        """Undo what rows did."""
        return take_members_back(rows, run, at=at)


kinds.register("members", Members())
