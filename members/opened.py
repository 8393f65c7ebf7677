"""What shows people: pages about one, lists of many, files, answers; how the access log names them, what they show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from common.registry import Registry

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

API: Final = "api:"  # before the part of the address below the person's
OWN: Final = "profile:"  # before the key of one of the brand's own fields


class Way(StrEnum):
    """How data left."""

    PAGE = "PAGE"
    LIST = "LIST"
    SEARCH = "SEARCH"
    REVEAL = "REVEAL"
    EXPORT = "EXPORT"
    API = "API"


WAYS: Final[dict[str, StrOrPromise]] = {
    Way.PAGE: gettext_lazy("Page about one person"),
    Way.LIST: gettext_lazy("List"),
    Way.SEARCH: gettext_lazy("Search"),
    Way.REVEAL: gettext_lazy("Shown in full"),
    Way.EXPORT: gettext_lazy("File"),
    Way.API: gettext_lazy("API answer"),
}

shown_fields: Registry[StrOrPromise] = Registry(
    "shown fields", purpose="kinds of personal data that a page can show, as the access log names them"
)
for _key, _label in (
    ("name", pgettext_lazy("person", "Name")),
    ("number", gettext_lazy("Member number")),
    ("phone_masked", gettext_lazy("Masked phone")),
    ("phone", gettext_lazy("Full phone number")),
    ("birthday", gettext_lazy("Birthday")),
    ("gender", gettext_lazy("Gender")),
    ("city", gettext_lazy("City")),
    ("wechat", gettext_lazy("WeChat ids")),
    ("card", gettext_lazy("Member card number")),
    ("tags", gettext_lazy("Tags")),
    ("profile", gettext_lazy("Profile fields of the brand")),
    ("words", gettext_lazy("What they wrote and were written")),
    ("behaviour", gettext_lazy("Contacts, scans and visits")),
    ("relations", gettext_lazy("Store, guide and invitations")),
    ("purchases", gettext_lazy("Purchases")),
    ("points", gettext_lazy("Points and tier")),
    ("coupons", gettext_lazy("Coupons")),
    ("consents", gettext_lazy("Consents and requests")),
):
    shown_fields.register(_key, _label)


@dataclass(frozen=True)
class Opened:
    """What shows people: its name, the fields it shows at most, and how."""

    label: StrOrPromise
    fields: tuple[str, ...]
    way: Way = Way.PAGE

    def __post_init__(self) -> None:
        """Refuse a field nobody has named."""
        for key in self.fields:
            shown_fields.get(key)


opened_pages: Registry[Opened] = Registry(
    "opened pages", purpose="pages that show people, as the access log names them, with the fields they show"
)


def shows(key: str, label: StrOrPromise, *fields: str, way: Way = Way.PAGE) -> None:
    """Name a page or a list that shows people, and the fields it shows."""
    opened_pages.register(key, Opened(label, fields, way))


_ALL: Final = (
    *("name", "number", "phone_masked", "birthday", "gender", "city", "wechat", "card", "tags", "profile", "words"),
    *("behaviour", "relations", "purchases", "points", "coupons", "consents"),
)
shows("card", gettext_lazy("Member card"), *_ALL)
shows("follower", gettext_lazy("Follower"), "name", "wechat", "tags", "profile", "words", "behaviour", "relations")
shows("history", gettext_lazy("History"), "name", "behaviour")
shows("profile", gettext_lazy("Profile"), "name", "birthday", "gender", "city", "profile")
shows("identity", gettext_lazy("Identity"), "name", "number", "wechat", "card", "phone_masked")
shows("flags", gettext_lazy("Leave out"), "name")
shows("privacy", gettext_lazy("Privacy"), "name", "consents")
shows("decisions", gettext_lazy("Automated decisions"), "name", "tags", "behaviour", "points", "coupons")
shows("why", gettext_lazy("Why in, why out"), "name", "behaviour", "tags")
shows("phone", gettext_lazy("Found by full phone number"), "phone", "name", way=Way.SEARCH)
shows("reveal.phone", gettext_lazy("Phone shown in full"), "phone", way=Way.REVEAL)
shows("reveal.profile", gettext_lazy("Profile field shown in full"), "profile", way=Way.REVEAL)
shows("copy", gettext_lazy("Copy of one person's data"), "phone", *_ALL, way=Way.EXPORT)
shows("search", gettext_lazy("Search"), "name", "number", "phone_masked", way=Way.SEARCH)
shows("whosaw", gettext_lazy("Who saw what"), "name", "number", way=Way.LIST)
shows("whosaw.file", gettext_lazy("File of who saw what"), "name", "number", way=Way.EXPORT)
shows("held_back", gettext_lazy("Held back"), "name", "number", way=Way.LIST)
shows("segment.sample", gettext_lazy("Sample of a segment"), "name", "phone_masked", way=Way.LIST)


def answers(path: str, *fields: str) -> None:
    """Name an answer of the API about one person, by its address below theirs, and the fields it tells."""
    shows(f"{API}{path}", f"members/…/{path}", *fields, way=Way.API)


_PERSON: Final = ("name", "number", "phone_masked", "birthday", "city", "tags", "behaviour", "relations")
answers("", *_PERSON)
answers("tags/", "tags")
answers("flags/", "behaviour")
answers("identities/", "wechat", "card", "phone_masked")
answers("profile/", "profile")
answers("stages/", "behaviour")
for _path in ("members/", "segments/…/people/"):
    shows(f"{API}/{_path}", _path, *_PERSON, way=Way.API)
shows(f"{API}/segments/preview/", "segments/preview/", "name", "number", "phone_masked", way=Way.API)
shows(f"{API}/segments/…/why/", "segments/…/why/", "number", "behaviour", way=Way.API)
shows(f"{API}/counter/codes/", "counter/codes/", *_PERSON, way=Way.API)


People = Callable[[Sequence[Any]], Iterable[int | None]]


@dataclass(frozen=True)
class ListOfPeople:
    """A list of the console whose rows lead to people: how, and which fields of them it and a row's own page show."""

    people: People
    fields: tuple[str, ...]
    page: tuple[str, ...] | None = None  # None: a row has no page, or one that writes down itself what it shows

    def __post_init__(self) -> None:
        """Refuse a field nobody has named."""
        for key in (*self.fields, *(self.page or ())):
            shown_fields.get(key)


lists_of_people: Registry[ListOfPeople] = Registry(
    "lists of people", purpose="lists of the console whose rows lead to people, by model, and what of them they show"
)


def lists(model: str, *fields: str, by: str | People = "member_id", page: tuple[str, ...] | None = None) -> None:
    """Name a list of the console that shows people; `by` is the path from a row to the person's key."""
    people = by if callable(by) else along(by)
    lists_of_people.register(model.lower(), ListOfPeople(people, fields, page))


def along(*paths: str) -> People:
    """Follow attributes from each row; a row that leads to nobody gives None."""

    def people(rows: Sequence[Any]) -> Iterable[int | None]:
        for row in rows:
            for path in paths:
                here = row
                for name in path.split("."):
                    here = getattr(here, name, None)
                yield here

    return people


PAGE: Final = "/page"  # after a list's model: a row's own page


def fields_of(key: str) -> tuple[str, ...]:
    """Give the fields that a page or list shows; one that nobody has named is a mistake."""
    model, slash, _rest = key.partition("/")
    if (known := lists_of_people.find(model)) is not None:
        return (known.page or ()) if slash else known.fields
    return opened_pages.get(key).fields


def page_label(key: str) -> str:
    """Say which page a row of the access log means."""
    if key.startswith(API):
        known = opened_pages.find(key)
        return _("API: %(path)s") % {"path": known.label if known else f"members/…/{key.removeprefix(API)}"}
    known = opened_pages.find(key)
    if known is not None:
        return str(known.label)
    model, _slash, page = key.partition("/")
    if lists_of_people.find(model) is None:
        return key
    options = apps.get_model(model)._meta
    return str(options.verbose_name if page else options.verbose_name_plural)


def way_of(key: str) -> Way:
    """Say how a row of the access log let data out."""
    known = opened_pages.find(key)
    if known is not None:
        return known.way
    return Way.PAGE if key.endswith(PAGE) else Way.LIST


def field_label(key: str) -> str:
    """Say which field a row of the access log means."""
    if key.startswith(OWN):
        return _("Profile field %(key)s") % {"key": key.removeprefix(OWN)}
    return str(shown_fields.find(key) or key)
