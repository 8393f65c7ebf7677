"""What apps add to the console: places of the navigation, own pages, home figures, search groups, timelines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from common.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from django.http import HttpRequest, HttpResponseBase
    from django_stubs_ext import StrOrPromise

    from accounts.viewer import Viewer


@dataclass(frozen=True)
class Place:
    """An entry of the sidebar. It shows when at least one of its tabs may be seen."""

    key: str
    label: StrOrPromise
    icon: str  # a name of the Material Symbols font
    order: int
    block: int = 1  # entries of one block stand together; a line separates blocks


@dataclass(frozen=True)
class Tab:
    """A list or page below a place. `name` is its URL name without `admin:`, pages under `prefix` light it up."""

    place: str
    label: StrOrPromise
    name: str
    area: str  # the tab shows for roles with the capability "<area>.view"
    order: int = 100
    prefix: str = ""

    def covers(self, url_name: str) -> bool:
        """Say whether a page belongs to this tab."""
        return url_name == self.name or bool(self.prefix and url_name.startswith(self.prefix))


@dataclass(frozen=True)
class Page:
    """A page that is no model's list or form: `path` below the brand, URL name `admin:<name>`.

    The view gets the request (with `brand` and `viewer`); it is called only for roles with "<area>.<act>".
    An empty `area` means every role.
    """

    path: str
    view: Callable[..., HttpResponseBase]
    name: str
    area: str
    act: str = "view"


@dataclass(frozen=True)
class Figure:
    """A number of the home page: what, how much, over which time, and the rows behind it."""

    label: StrOrPromise
    value: int | float | None
    link: str
    window: StrOrPromise
    kind: str = "count"  # count | rate | money (fen)
    detail: StrOrPromise = ""
    order: int = 100


@dataclass(frozen=True)
class Todo:
    """Something that waits for a decision: how many, the worst case, one verb. A count of 0 hides it."""

    label: StrOrPromise
    count: int
    link: str
    verb: StrOrPromise
    detail: StrOrPromise = ""
    order: int = 100


@dataclass(frozen=True)
class Incident:
    """Something is wrong now: what, why, what happens to whom, one way out."""

    title: StrOrPromise
    reason: StrOrPromise
    link: str
    verb: StrOrPromise
    since: datetime | None = None
    order: int = 100


@dataclass(frozen=True)
class Running:
    """Work in progress: `done` of `total` (both counts of people)."""

    label: StrOrPromise
    state: StrOrPromise
    done: int
    total: int
    link: str
    detail: StrOrPromise = ""
    tone: str = "info"
    order: int = 100


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    label: StrOrPromise
    values: list[float | None]


@dataclass(frozen=True)
class Chart:
    """A chart of the home page; `kind` is line or bar. The window says which days and whether today counts."""

    title: StrOrPromise
    window: StrOrPromise
    labels: list[str]
    series: list[Series]
    kind: str = "bar"
    link: str = ""
    order: int = 100


@dataclass(frozen=True)
class Step:
    """A first-day step: shown on the home page of a new brand until every step is done."""

    label: StrOrPromise
    detail: StrOrPromise
    done: bool
    link: str
    verb: StrOrPromise
    order: int = 100


Card = Figure | Todo | Incident | Running | Chart | Step


@dataclass(frozen=True)
class Hit:
    """A search result."""

    title: str
    detail: str
    link: str


@dataclass(frozen=True)
class SearchGroup:
    """A kind of thing the search finds. `find(viewer, term)` gives at most eight hits of the brand in scope."""

    label: StrOrPromise
    area: str
    find: Callable[[Viewer, str], list[Hit]]
    order: int = 100


@dataclass(frozen=True)
class Moment:
    """One entry of a member's timeline: a sentence a shop manager understands, who or what did it, and its source."""

    at: datetime
    sentence: StrOrPromise
    kind: StrOrPromise
    actor: StrOrPromise = ""
    link: str = ""
    detail: StrOrPromise = ""
    tone: str = ""


@dataclass(frozen=True)
class TimelineKind:
    """How the filter of a timeline calls one source of entries.

    Entries are there for roles that may see `area` (empty: whoever sees the person); their links lead somewhere for
    roles that may see `link_area`.
    """

    label: StrOrPromise
    area: str = ""
    link_area: str = ""
    order: int = 100


@dataclass(frozen=True)
class Panel:
    """A block in the card of a member: a title and (label, value, why) rows, or a template with its context."""

    title: StrOrPromise
    template: str
    context: dict[str, Any] = field(default_factory=dict)
    order: int = 100


# The three blocks at the head of a person's page.
BASICS: Final = "basics"
BEHAVIOUR: Final = "behaviour"
WORTH: Final = "worth"


@dataclass(frozen=True)
class Trait:
    """A fact at the head of a person's page: in which block, what it says, who says so and since when."""

    block: str
    label: StrOrPromise
    value: StrOrPromise
    source: StrOrPromise
    at: datetime | None = None
    link: str = ""
    order: int = 100


@dataclass(frozen=True)
class Portrait:
    """What an app tells at the head of a person's page; what is not known is left out.

    Traits are there for roles that may see `area` (empty: whoever sees the person); their links lead somewhere for
    roles that may see `link_area`.
    """

    tell: Callable[[Any], Iterable[Trait]]
    area: str = ""
    link_area: str = ""


class BulkColumn:
    """A column loaded for a whole page at once: `load(ids)` gives {id: value}. Put it in `list_display`."""

    def __init__(
        self,
        name: str,
        label: StrOrPromise,
        load: Callable[[list[int]], Mapping[int, Any]],
        *,
        number: bool = False,
        show: Callable[[Any, Any], Any] | None = None,
        missing: Any = None,
    ) -> None:
        """`show(value, row)` gives the cell; without it the value is shown, numbers with commas."""
        self.__name__ = name
        self.short_description = label
        self.load = load
        self.number = number
        self.show = show
        self.missing = missing

    def __call__(self, row: Any) -> Any:
        """Give the cell of a row whose page was loaded."""
        value = getattr(row, "zy_bulk", {}).get(self.__name__, {}).get(row.pk, self.missing)
        if self.show is not None:
            return self.show(value, row)
        if self.number and value is not None:
            return f"{value:,}"
        return value


@dataclass(frozen=True)
class Column:
    """A column for another app's list, shown before its last column to roles that may see `area`."""

    model: str  # "app.model", lower case
    column: BulkColumn
    area: str
    order: int = 100


nav: Registry[Tab] = Registry("console.nav", purpose="a list or page in the console's navigation")
places: Registry[Place] = Registry("console.places", purpose="an entry of the console's sidebar")
pages: Registry[Page] = Registry("console.pages", purpose="a page of the console that is no model's list or form")
home_cards: Registry[Callable[[Viewer], Card | Iterable[Card] | None]] = Registry(
    "console.home_cards",
    purpose="figures, todos, incidents, charts, running work and first-day steps of the home page",
)
search_groups: Registry[SearchGroup] = Registry("console.search_groups", purpose="a kind of thing the search finds")
timelines: Registry[Callable[[Any, int], list[Moment]]] = Registry(
    "console.timelines",
    purpose="entries of a member's timeline: callable(member, limit), newest first",
)
timeline_kinds: Registry[TimelineKind] = Registry(
    "console.timeline_kinds",
    purpose="how a source of the timeline is called, and who may see it: same key as the timeline",
)
panels: Registry[Callable[[Any, HttpRequest], Panel | None]] = Registry(
    "console.panels",
    purpose="blocks in the card of a member: callable(member, request)",
)
portraits: Registry[Portrait] = Registry(
    "console.portraits",
    purpose="facts with their sources in the three blocks at the head of a person's page",
)
person_marks: Registry[Callable[[], Any]] = Registry(
    "console.person_marks",
    purpose="what the query for a person's page brings along, so that a block with nothing to show asks nothing",
)
columns: Registry[Column] = Registry("console.columns", purpose="a column that an app adds to another app's list")
shown_rows: Registry[Callable[[str, Sequence[Any], bool], None]] = Registry(
    "console.shown_rows",
    purpose="who is told which rows a list shows, or whose page is opened: callable(model, rows, is_page)",
)
