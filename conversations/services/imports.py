"""Rules of a file: what it would make and change, what overlaps with what, and doing it once all of that was seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.services import record_audit
from common.errors import Conflict
from conversations import sheets
from conversations.engine import contents_of, in_order, rule_of
from conversations.models import ReplyRule, Trigger
from conversations.overlaps import Pair, overlaps_among
from conversations.selectors import MOST_COMPARED, dialogues_to_compare, file_fault
from conversations.services.rules import keep_files, plain_value
from touchpoints.services import replies_changed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from conversations.engine import Rule
    from conversations.sheets import Fault, Line
    from wechat_gateway.models import OfficialAccount

NEW: Final = "NEW"
CHANGED: Final = "CHANGED"
SAME: Final = "SAME"
_MOST_HARD: Final = 2_000  # pairs with expressions; each costs up to some milliseconds
_FIELDS: Final = (
    "name", "trigger", "match", "keywords", "position", "is_enabled", "reply_kind", "text", "title", "url",
    "picture_url", "media_id", "mini_appid", "mini_page", "more", "pick", "audience_kind", "audience_id", "weekdays",
    "from_time", "until_time", "from_date", "until_date",
)  # fmt: skip
_COLUMN_OF: Final = {"reply_kind": "kind", "audience_kind": "audience", "audience_id": "audience"}


class ImportOutdated(Conflict):
    """Rules have changed since the file was looked at."""

    code = "import_outdated"


@dataclass(frozen=True, slots=True)
class Step:
    """What a row of the file does. `changes` holds before and after of what becomes another, by field."""

    row: int
    rule: ReplyRule
    does: str
    changes: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Name the columns in which a rule becomes another."""
        return list(dict.fromkeys(_COLUMN_OF.get(name, name) for name in self.changes))


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import would do. With faults nothing is done; `uncompared` pairs were too costly to compare.

    `left_out` standing rules were compared with none of the file's: there are too many.
    """

    steps: tuple[Step, ...] = ()
    faults: tuple[Fault, ...] = ()
    overlaps: tuple[Pair, ...] = ()
    uncompared: int = 0
    left_out: int = 0
    digest: str = field(default="", compare=False)

    def of(self, does: str) -> list[Step]:
        """Give the steps of one kind."""
        return [step for step in self.steps if step.does == does]


def plan_import(*, account: OfficialAccount, table: Sequence[Sequence[str]]) -> Plan:
    """Say what a file would do to the rules of an account; changes nothing.

    A row belongs to the rule whose number it names, else to the one with its name and trigger; so a file that was
    imported once does nothing when it is imported again.
    """
    lines, faults = sheets.read_lines(table)
    if not lines:
        return Plan(faults=tuple(faults))
    standing = list(ReplyRule.objects.filter(account=account).order_by("position", "pk"))
    steps, more = _steps(lines, standing, account)
    faults = sorted([*faults, *more], key=lambda fault: fault.row)
    if faults:
        one_a_cell = {(fault.row, fault.column): fault for fault in reversed(faults)}
        return Plan(faults=tuple(reversed(one_a_cell.values())))
    pairs, uncompared, left_out = _overlaps(steps, standing, dialogues_to_compare(account.pk))
    return Plan(tuple(steps), (), tuple(pairs), uncompared, left_out, _digest(steps, pairs))


@transaction.atomic
def apply_import(*, account: OfficialAccount, table: Sequence[Sequence[str]], digest: str, at: datetime) -> Plan:
    """Do what was shown. Raises `ImportOutdated` when it would be something else by now, and saves nothing then."""
    list(ReplyRule.objects.select_for_update().filter(account=account).order_by("pk").values_list("pk", flat=True))
    plan = plan_import(account=account, table=table)
    if plan.faults or plan.digest != digest:
        raise ImportOutdated(
            _("Nothing was imported: the rules have changed since you looked at the file."),
            hint=_("Look at what it would do now, and import it again."),
        )
    made, changed = plan.of(NEW), plan.of(CHANGED)
    for step in made + changed:
        step.rule.updated_at = at
        keep_files(rule=step.rule, at=at)
    ReplyRule.objects.bulk_create([step.rule for step in made])
    for step in changed:
        step.rule.save()
        said = {name: [plain_value(value) for value in pair] for name, pair in step.changes.items()}
        record_audit(action="change rule", obj=step.rule, changes=said)
    if made or changed:
        names = [step.rule.name for step in made]
        record_audit(
            action="import rules", obj=account, changes={"created": [None, names], "changed": [0, len(changed)]}
        )
        replies_changed(account_id=account.pk)
    return plan


def _steps(
    lines: Sequence[Line], standing: Sequence[ReplyRule], account: OfficialAccount
) -> tuple[list[Step], list[Fault]]:
    by_number = {rule.pk: rule for rule in standing}
    by_name: dict[tuple[str, str], list[ReplyRule]] = {}
    for rule in standing:
        by_name.setdefault((rule.name, rule.trigger), []).append(rule)
    steps: list[Step] = []
    faults: list[Fault] = []
    taken: dict[object, int] = {}
    for line in lines:
        name = (line.values["name"], line.values["trigger"])
        named = by_name.get(name, [])
        known = by_number.get(line.number) if line.number is not None else (named[0] if len(named) == 1 else None)
        if line.number is not None and known is None:
            said = _("No rule of this account has the number %(number)s. Leave the cell empty to make a new one.")
            faults.append(sheets.Fault(line.row, "number", said % {"number": line.number}))
            continue
        if line.number is None and len(named) > 1:
            said = _("Several rules are called so; name the number of the one that is meant.")
            faults.append(sheets.Fault(line.row, "number", said))
            continue
        key: object = known.pk if known is not None else name
        if key in taken:
            said = _("Row %(row)s is the same rule.") % {"row": taken[key]}
            faults.append(sheets.Fault(line.row, "name", said))
            continue
        taken[key] = line.row
        step = _step(line, known, account)
        steps.append(step)
        if step.does != SAME:
            faults += sheets.faults_of(step.rule, line.row) or _file_faults(step.rule, line.row)
    return steps, faults


def _file_faults(rule: ReplyRule, row: int) -> list[Fault]:
    found: list[Fault] = []
    for number, content in enumerate(contents_of(rule), 1):
        column = "media_id" if number == 1 else f"a{number}_media_id"
        found += [sheets.Fault(row, column, said) for said in file_fault(content, rule.account).values()]
    return found


def _step(line: Line, known: ReplyRule | None, account: OfficialAccount) -> Step:
    if known is None:
        return Step(line.row, sheets.fill(ReplyRule(account=account), line), NEW)
    before = {name: getattr(known, name) for name in _FIELDS}
    rule = sheets.fill(known, line)
    changes = {
        name: [value, getattr(rule, name)]
        for name, value in before.items()
        if not _equal(name, value, getattr(rule, name))
    }
    return Step(line.row, rule, CHANGED if changes else SAME, changes)


def _equal(name: str, before: object, after: object) -> bool:
    if name == "more" and isinstance(before, list) and isinstance(after, list):
        # As they were saved, some may carry empty parts.
        return [_filled(each) for each in before] == [_filled(each) for each in after]
    return before == after


def _filled(content: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in content.items() if value}


def _overlaps(
    steps: Sequence[Step], standing: Sequence[ReplyRule], dialogues: Sequence[Rule]
) -> tuple[list[Pair], int, int]:
    """Compare what the file makes or changes with itself, with rules that stay and with what begins dialogues."""
    mine = {step.rule.pk for step in steps if step.rule.pk is not None}
    fresh = [step.rule for step in steps if step.does != SAME]
    others = [step.rule for step in steps if step.does == SAME] + [rule for rule in standing if rule.pk not in mine]
    ready = [
        [
            made
            for rule in rules
            if rule.is_enabled and rule.trigger == Trigger.KEYWORD and (made := rule_of(rule)) is not None
        ]
        for rules in (fresh, in_order(others))
    ]
    left_out = max(0, len(ready[1]) - MOST_COMPARED) if ready[0] else 0
    return *overlaps_among(ready[0], [*dialogues, *ready[1][:MOST_COMPARED]], most_hard=_MOST_HARD), left_out


def _digest(steps: Sequence[Step], pairs: Sequence[Pair]) -> str:
    """What was looked at: the steps with what they change, and the overlaps."""
    said = repr(
        (
            [(step.row, step.does, step.rule.pk, step.columns) for step in steps],
            [
                (pair.rule.name, pair.found.other.name, pair.found.other.pk, pair.found.share, pair.found.example)
                for pair in pairs
            ],
        )
    )
    return blake2b(said.encode(), digest_size=12).hexdigest()
