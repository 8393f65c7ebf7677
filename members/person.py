"""One person as they were at a moment: what was written down of them up to then, and what is not known any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from members.happenings import happenings
from members.models import FactChange, MemberTag

if TYPE_CHECKING:
    from members.models import Member

ACT = "act"
STORE, CITY, BIRTHDAY, GENDER = "store", "city", "birthday", "gender"


@dataclass(frozen=True)
class Carried:
    """A tag somebody carried: since when and from where."""

    since: datetime
    source: str


class PersonAt:
    """The facts of a person at `at`. Each kind is read once, when it is first asked for."""

    def __init__(self, member: Member, at: datetime) -> None:
        self.member = member
        self.at = at

    @property
    def was_known(self) -> bool:
        """Whether the brand had met the person by then."""
        return self.member.created_at <= self.at

    @property
    def joined_at(self) -> datetime | None:
        """When they joined, if they had by then."""
        joined = self.member.joined_at
        return joined if joined is not None and joined <= self.at else None

    @cached_property
    def subscribed(self) -> bool:
        """Whether they followed."""
        changes = [change for change in self._changes if change.what == "subscribed"]
        before = [change for change in changes if change.at <= self.at]
        if before:
            return before[-1].after == "yes"
        after = [change for change in changes if change.at > self.at]
        return after[0].before == "yes" if after else self.member.subscribed

    @cached_property
    def tags(self) -> dict[int, Carried]:
        """Which tags they carried."""
        found: dict[int, Carried] = {}
        decided: set[int] = set()
        for change in (each for each in self._changes if each.what == "tag"):
            if change.at <= self.at:
                decided.add(change.ref)
                found.pop(change.ref, None)
                if change.after == "yes":
                    found[change.ref] = Carried(change.at, change.source)
            elif change.ref not in decided:  # nothing is known before: what the first change found was there
                decided.add(change.ref)
                if change.before == "yes":
                    found[change.ref] = Carried(self.member.created_at, "")
        rows = MemberTag.objects.filter(member=self.member, at__lte=self.at).exclude(tag_id__in=decided)
        found.update({row.tag_id: Carried(row.at, row.source) for row in rows.order_by("pk")})
        return found

    def before(self, what: str, now: str) -> str:
        """What a fact that changes now and then said, as it was written down; `now` is what it says today."""
        changes = [change for change in self._changes if change.what == what]
        earlier = [change for change in changes if change.at <= self.at]
        if earlier:
            return earlier[-1].after
        return changes[0].before if changes else now

    def mmdd(self) -> int:
        """Their birthday as month × 100 + day, as it was known; 0 without one."""
        return int(self.before(BIRTHDAY, f"{self.member.birth_mmdd or ''}") or 0)

    @cached_property
    def last_act(self) -> datetime | None:
        """When they last did something themselves before that time, as far as it is known."""
        last = self.member.last_interaction_at
        if last is None or last <= self.at:
            return last
        if self._later_act is not None:
            before = self._later_act.before
            return min(datetime.fromisoformat(before), self.at) if before else None
        known = []
        for _key, item in happenings.items():
            if item.is_act:
                rows = item.rows().filter(**{item.member: self.member.pk, f"{item.at}__lte": self.at})
                known.append(rows.order_by(f"-{item.at}").values_list(item.at, flat=True).first())
        return max(filter(None, known), default=None)

    @property
    def acts_are_complete(self) -> bool:
        """Whether nothing can be missing between `last_act` and that time."""
        last = self.member.last_interaction_at
        return last is None or last <= self.at or self._later_act is not None

    @cached_property
    def _later_act(self) -> FactChange | None:
        """The first act that was written down later; None when older ones are forgotten, or there was none."""
        later = next((change for change in self._changes if change.what == ACT and change.at > self.at), None)
        is_next = later is not None and later.before[:10] <= self.at.astimezone(UTC).date().isoformat()
        return later if is_next else None

    @cached_property
    def _changes(self) -> list[FactChange]:
        return list(FactChange.objects.filter(member=self.member).order_by("at", "pk"))
