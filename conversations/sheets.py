"""Rules as a table for spreadsheets: rows of rules, and rules of rows with what is wrong in which cell."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import translation
from django.utils.dateparse import parse_date, parse_time
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

from common.errors import AppError
from conversations import answers, reasons
from conversations.audiences import audience_kinds
from conversations.engine import contents_of
from conversations.models import Match, Pick, ReplyRule, Trigger
from conversations.patterns import check_pattern
from wechat_gateway.replies import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

SEPARATORS: Final = re.compile(r"[\n,，、;；]+")
LINES: Final = re.compile(r"\n+")
MOST_LINES: Final = 1_000
MOST_LETTERS: Final = 2_000
EXTRA: Final = answers.MOST - 1
_LAST_ORDER: Final = 2_147_483_647
_FIRST_DAY: Final = date(1899, 12, 30)  # day 0 of spreadsheets, as they count since the year 1900
_DAYS: Final = (20_000, 80_000)
_CONTENT_COLUMN: Final = {"appid": "mini_appid", "page": "mini_page"}
_YES: Final = ("1", "true", "yes", "y", "是", "启用")
_NO: Final = ("0", "false", "no", "n", "否", "停用")

#: What stands in the first row: the key of a column is taken as well as its name in either language.
COLUMNS: Final[dict[str, Any]] = {
    "number": pgettext_lazy("column of rules", "Number"),
    "name": pgettext_lazy("column of rules", "Name"),
    "trigger": pgettext_lazy("column of rules", "Answers to"),
    "match": pgettext_lazy("column of rules", "Match"),
    "keywords": pgettext_lazy("column of rules", "Keywords"),
    "position": pgettext_lazy("column of rules", "Order"),
    "is_enabled": pgettext_lazy("column of rules", "Enabled"),
    "kind": pgettext_lazy("column of rules", "Kind of answer"),
    "text": pgettext_lazy("column of rules", "Text"),
    "title": pgettext_lazy("column of rules", "Title"),
    "url": pgettext_lazy("column of rules", "Link"),
    "picture_url": pgettext_lazy("column of rules", "Link of the picture"),
    "media_id": pgettext_lazy("column of rules", "File (media_id)"),
    "mini_appid": pgettext_lazy("column of rules", "Mini-program's AppID"),
    "mini_page": pgettext_lazy("column of rules", "Mini-program's page"),
    "audience": pgettext_lazy("column of rules", "Only for"),
    "weekdays": pgettext_lazy("column of rules", "Weekdays"),
    "from_time": pgettext_lazy("column of rules", "From (time)"),
    "until_time": pgettext_lazy("column of rules", "Until (time)"),
    "from_date": pgettext_lazy("column of rules", "First day"),
    "until_date": pgettext_lazy("column of rules", "Last day"),
    "pick": pgettext_lazy("column of rules", "Several answers"),
}
_PARTS: Final = ("kind", *answers.FIELDS)
_NOT_TYPED: Final = ["brand", "account", "updated_at", "more", "keywords", "weekdays", "trigger", "reply_kind"]
_NEEDED: Final = ("name", "trigger", "kind")
_CONTENT: Final = {"kind": "reply_kind", **{name: name for name in ("text", "title", "url", "picture_url", "media_id")}}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in one cell; `row` is the number a spreadsheet shows, `column` the key of the column."""

    row: int
    column: str
    message: str


@dataclass(slots=True)
class Line:
    """One row of a file: the number of the rule it names, and the values of a rule by field."""

    row: int
    number: int | None = None
    values: dict[str, Any] = field(default_factory=dict)


def label_of(column: str) -> str:
    """Give the name of a column in the language of the page."""
    further = re.fullmatch(r"a([2-9])_(\w+)", column)
    if further is None:
        return str(COLUMNS.get(column, column))
    name = str(COLUMNS[_CONTENT_COLUMN.get(further[2], further[2])])
    return _("Answer %(number)s: %(column)s") % {"number": further[1], "column": name}


def _all_columns() -> list[str]:
    return [*COLUMNS, *(f"a{number}_{name}" for number in range(2, EXTRA + 2) for name in _PARTS)]


# --- out -------------------------------------------------------------------------------------------------------------


def table_of(rules: Sequence[ReplyRule]) -> list[list[str]]:
    """Give rules as rows below the names of the columns; further answers take columns only where there are some."""
    further = max((len(rule.more[:EXTRA]) for rule in rules), default=0)
    columns = list(COLUMNS)
    columns += [f"a{number}_{name}" for number in range(2, further + 2) for name in _PARTS]
    names = reasons.names_of_audiences() if any(rule.audience_kind for rule in rules) else {}
    return [
        [label_of(column) for column in columns],
        *([_cell(rule, each, names) for each in columns] for rule in rules),
    ]


def _cell(rule: ReplyRule, column: str, names: Mapping[str, str]) -> str:
    writer = _WRITERS.get(column)
    if writer is not None:
        return writer(rule, names)
    if column in COLUMNS:
        value = getattr(rule, column)
        return "" if value is None else str(value)
    number, _separator, name = column.removeprefix("a").partition("_")
    content = rule.more[int(number) - 2] if len(rule.more) > int(number) - 2 else {}
    value = content.get(name, "") if name != "kind" or not content else content.get("kind", "TEXT")
    return _kind_label(value) if name == "kind" else str(value)


def _kind_label(key: str) -> str:
    return str(dict(answers.kind_choices()).get(key, key)) if key else ""


def _say_audience(rule: ReplyRule, names: Mapping[str, str]) -> str:
    kind = audience_kinds.find(rule.audience_kind) if rule.audience_kind else None
    if kind is None:
        return ""
    name = names.get(f"{rule.audience_kind}:{rule.audience_id}", "")
    return f"{kind.label}{_(': ')}{name or rule.audience_id}"


def _say_words(rule: ReplyRule) -> str:
    return "\n".join(str(word) for word in rule.keywords)


_WRITERS: Final[dict[str, Callable[[ReplyRule, Mapping[str, str]], str]]] = {
    "number": lambda rule, _names: str(rule.pk or ""),
    "trigger": lambda rule, _names: str(Trigger(rule.trigger).label),
    "match": lambda rule, _names: str(Match(rule.match).label) if rule.trigger == Trigger.KEYWORD else "",
    "keywords": lambda rule, _names: _say_words(rule),
    "is_enabled": lambda rule, _names: _("yes") if rule.is_enabled else _("no"),
    "kind": lambda rule, _names: _kind_label(rule.reply_kind),
    "audience": _say_audience,
    "weekdays": lambda rule, _names: _(", ").join(str(reasons.WEEKDAYS[int(day)]) for day in rule.weekdays),
    "from_time": lambda rule, _names: rule.from_time.isoformat("minutes") if rule.from_time else "",
    "until_time": lambda rule, _names: rule.until_time.isoformat("minutes") if rule.until_time else "",
    "pick": lambda rule, _names: str(Pick(rule.pick).label) if rule.more else "",
}


# --- in --------------------------------------------------------------------------------------------------------------


def split_words(text: str, *, expression: bool) -> list[str]:
    """Give the keywords of a field, each once; expressions stand one on a line, for they may hold commas."""
    parts = (LINES if expression else SEPARATORS).split(text.replace("\r", ""))
    return list(dict.fromkeys(word.strip() for word in parts if word.strip()))


def read_lines(table: Sequence[Sequence[str]]) -> tuple[list[Line], list[Fault]]:
    """Give the rules of a file and what is wrong with it, cell by cell. Empty rows are left out."""
    if not table:
        return [], [Fault(1, "name", _("The file is empty."))]
    columns, faults = _columns_of(table[0])
    if faults:
        return [], faults
    rows = [(number, row) for number, row in enumerate(table[1:], 2) if any(row)]
    if not rows:
        return [], [Fault(2, "name", _("Below the names of the columns stands no rule."))]
    if len(rows) > MOST_LINES:
        said = _("The file has %(count)s rules; at most 1,000 are taken at once.") % {"count": f"{len(rows):,}"}
        return [], [Fault(rows[MOST_LINES][0], "name", said)]
    reader = _Reader()
    lines = [reader.line(number, dict(zip(columns, row, strict=False))) for number, row in rows]
    return lines, reader.faults


def _columns_of(head: Sequence[str]) -> tuple[list[str], list[Fault]]:
    known = _in_every_language({column: partial(label_of, column) for column in _all_columns()})
    columns = [known.get(_folded(cell), "") for cell in head]
    faults = [
        Fault(1, cell[:40], _("There is no such column."))
        for cell, column in zip(head, columns, strict=True)
        if cell and not column
    ]
    twice = {column for column in columns if column and columns.count(column) > 1}
    faults += [Fault(1, column, _("The column stands twice.")) for column in sorted(twice)]
    faults += [Fault(1, column, _("The column is missing.")) for column in _NEEDED if column not in columns]
    return columns, faults


def _folded(text: str) -> str:
    return " ".join(text.replace("：", ":").split()).casefold()


def _in_every_language(labels: Mapping[str, Callable[[], Any]]) -> dict[str, str]:
    """Give what may be written for each key: the key itself and its name in every language of the product."""
    found = {_folded(key): key for key in labels}
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            found |= {_folded(str(label())): key for key, label in labels.items()}
    return found


def _choices(pairs: Iterable[tuple[str, Any]]) -> dict[str, str]:
    return _in_every_language({key: partial(str, label) for key, label in pairs})


class _Reader:
    """Reads rows; what can be chosen is looked up once for a whole file."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._row = 0
        self._cells: dict[str, str] = {}
        self._triggers = _choices(Trigger.choices)
        self._matches = _choices(Match.choices)
        self._kinds = _choices(answers.kind_choices())
        self._picks = _choices(Pick.choices)
        days = {str(number): label for number, label in enumerate(reasons.WEEKDAYS)}
        self._days = _choices(days.items())
        self._audiences: dict[str, list[tuple[str, int]]] | None = None

    def line(self, row: int, cells: dict[str, str]) -> Line:
        """Read one row."""
        self._row, self._cells = row, cells
        line = Line(row, self._whole("number", 10**15))
        trigger = self._choice("trigger", self._triggers, "")
        match = self._choice("match", self._matches, Match.EXACT)
        values: dict[str, Any] = {
            "name": cells.get("name", ""),
            "trigger": trigger,
            "match": match if trigger == Trigger.KEYWORD else Match.EXACT,
            "keywords": [],
            "pick": self._choice("pick", self._picks, Pick.ALL),
            "weekdays": self._weekdays(),
            "from_time": self._time("from_time"),
            "until_time": self._time("until_time"),
            "from_date": self._date("from_date"),
            "until_date": self._date("until_date"),
            "is_enabled": self._yes_or_no("is_enabled"),
            "mini_appid": cells.get("mini_appid", ""),
            "mini_page": cells.get("mini_page", ""),
            "more": self._more(),
        }
        if trigger in {Trigger.KEYWORD, Trigger.CLICK}:
            expression = trigger == Trigger.KEYWORD and match == Match.REGEX
            values["keywords"] = split_words(cells.get("keywords", ""), expression=expression)
        for column, name in _CONTENT.items():
            if column != "kind":
                values[name] = clean(cells.get(column, "")).strip()
        values["reply_kind"] = self._choice("kind", self._kinds, "")
        order = self._whole("position", _LAST_ORDER)
        values["position"] = 100 if order is None else order
        values["audience_kind"], values["audience_id"] = self._audience()
        line.values = values
        return line

    def _wrong(self, column: str, message: str) -> None:
        self.faults.append(Fault(self._row, column, message))

    def _choice(self, column: str, known: Mapping[str, str], default: str) -> str:
        text = self._cells.get(column, "")
        if not text and default:
            return default
        found = known.get(_folded(text), "") if text else ""
        if not found:
            said = _("“%(value)s” is none of the choices.") % {"value": text[:40]} if text else _("This cell is empty.")
            self._wrong(column, said)
        return found or default

    def _whole(self, column: str, most: int) -> int | None:
        text = self._cells.get(column, "")
        found = re.fullmatch(r"([0-9]{1,15})(?:\.0*)?", text)
        if text and (found is None or int(found[1]) > most):
            self._wrong(column, _("“%(value)s” is no whole number.") % {"value": text[:40]})
            return None
        return int(found[1]) if found else None

    def _yes_or_no(self, column: str) -> bool:
        text = _folded(self._cells.get(column, ""))
        if text and text not in _YES + _NO:
            self._wrong(column, _("Write yes or no."))
        return text not in _NO

    def _weekdays(self) -> list[int]:
        found: set[int] = set()
        for part in SEPARATORS.split(self._cells.get("weekdays", "")):
            if part.strip():
                # Written as a number, Monday is 1 as people count; the key of the product is one less.
                known = str(int(part) - 1) if part.strip() in "1234567" else self._days.get(_folded(part), "")
                if not known:
                    self._wrong("weekdays", _("“%(value)s” is no weekday.") % {"value": part.strip()[:20]})
                    continue
                found.add(int(known))
        return sorted(found)

    def _time(self, column: str) -> time | None:
        text = self._cells.get(column, "")
        if not text:
            return None
        try:
            if re.fullmatch(r"0?\.[0-9]+|0", text):  # a spreadsheet keeps times as parts of a day
                minutes = round(float(text) * 1440)
                return time(minutes // 60 % 24, minutes % 60)
            found = parse_time(text)
        except ValueError:
            found = None
        if found is None or found.tzinfo is not None:
            self._wrong(column, _("“%(value)s” is no time; write 22:00.") % {"value": text[:20]})
            return None
        return found.replace(microsecond=0)

    def _date(self, column: str) -> date | None:
        text = self._cells.get(column, "").replace("/", "-").partition(" ")[0]
        if not text:
            return None
        if re.fullmatch(r"[0-9]{5}(\.0*)?", text) and _DAYS[0] <= float(text) <= _DAYS[1]:
            return _FIRST_DAY + timedelta(days=int(float(text)))
        try:
            found = parse_date(text)
        except ValueError:
            found = None
        if found is None:
            self._wrong(column, _("“%(value)s” is no day; write 2025-06-01.") % {"value": text[:20]})
        return found

    def _more(self) -> list[dict[str, str]]:
        found = []
        for number in range(2, EXTRA + 2):
            cells = {name: self._cells.get(f"a{number}_{name}", "") for name in _PARTS}
            if not any(cells.values()):
                continue
            kind = self._choice(f"a{number}_kind", self._kinds, "")
            content = answers.read_content({**cells, "kind": kind or "TEXT"})
            if kind:
                for name, problem in answers.faults_of(content).items():
                    self._wrong(f"a{number}_{name}", problem)
            found.append(answers.kept(content))
        return found

    def _audience(self) -> tuple[str, int | None]:
        text = self._cells.get("audience", "")
        if not text:
            return "", None
        if self._audiences is None:
            self._audiences = _audiences()
        found = self._audiences.get(_folded(text), [])
        if len(found) == 1:
            return found[0]
        if found:
            said = _("Several are called “%(value)s”; write its number after the colon.")
        else:
            said = _("“%(value)s” is not there. Write it like “Tag: its name”.")
        self._wrong("audience", said % {"value": text[:60]})
        return "", None


def _audiences() -> dict[str, list[tuple[str, int]]]:
    """Everything a rule can be for, by what may be written: “Tag: name” in every language, by name and by number."""
    found: dict[str, list[tuple[str, int]]] = {}
    for key, kind in audience_kinds.items():
        labels = [label for label, known in _choices([(key, kind.label)]).items() if known == key]
        for pk, name in kind.options():
            for label in labels:
                for written in {
                    _folded(f"{label}:{name}"),
                    _folded(f"{label}: {name}"),
                    f"{label}:{pk}",
                    f"{label}: {pk}",
                }:
                    found.setdefault(written, []).append((key, pk))
    return found


def fill(rule: ReplyRule, line: Line) -> ReplyRule:
    """Give a rule the values of a line."""
    for name, value in line.values.items():
        setattr(rule, name, value)
    return rule


def faults_of(rule: ReplyRule, row: int) -> list[Fault]:
    """Give what keeps a rule from being saved, one fault a column: the same that its form refuses."""
    found: dict[str, str] = {}
    for column, message in (*_faults_of_fields(rule), *_faults_of_words(rule), *_faults_of_answer(rule)):
        found.setdefault(column, message)
    if (rule.from_time is None) != (rule.until_time is None):
        found.setdefault("until_time", _("Give both hours or none."))
    if rule.from_date and rule.until_date and rule.until_date < rule.from_date:
        found.setdefault("until_date", _("The last day is before the first."))
    return [Fault(row, column, message) for column, message in found.items()]


def _faults_of_fields(rule: ReplyRule) -> Iterator[tuple[str, str]]:
    try:
        rule.clean_fields(exclude=_NOT_TYPED)
    except ValidationError as error:
        for name, said in error.message_dict.items():
            yield name, " ".join(said)


def _faults_of_words(rule: ReplyRule) -> Iterator[tuple[str, str]]:
    if rule.trigger in {Trigger.KEYWORD, Trigger.CLICK} and not rule.keywords:
        yield "keywords", _("Write at least one keyword (for a menu button: its key).")
    if sum(len(word) for word in rule.keywords) > MOST_LETTERS:
        yield "keywords", _("The keywords of a rule have at most 2,000 characters.")
    if rule.trigger == Trigger.KEYWORD and rule.match == Match.REGEX:
        for word in rule.keywords:
            try:
                check_pattern(word)
            except AppError as error:
                yield "keywords", f"{word[:60]}: {error.message} {error.hint}".strip()


def _faults_of_answer(rule: ReplyRule) -> Iterator[tuple[str, str]]:
    if rule.reply_kind:
        first = contents_of(rule)[0]
        for name, problem in answers.faults_of(first).items():
            yield _CONTENT_COLUMN.get(name, name), problem
