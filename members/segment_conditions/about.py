"""Conditions about who somebody is: following, membership, tags, store, city, birthday."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import ZoneInfo

from django.db.models import Case, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.labels import source_label
from members.models import FactChange, Gender, Member
from members.person import CITY, GENDER, STORE
from members.picks import names_of, unknown
from members.segment_conditions.shapes import YES_NO, moment
from members.segments import Field, condition
from stores.selectors import brand_zone

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime

    from django.db.models import QuerySet

    from members.person import PersonAt


@condition
class Subscribed:
    """Follows a service account of the brand now."""

    key: ClassVar[str] = "subscribed"
    label = gettext_lazy("Following")
    fields = (Field("value", gettext_lazy("is"), "choice", YES_NO, "yes"),)

    @dataclass(frozen=True)
    class Params:
        """`value`: yes or no."""

        value: str

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Compare the flag kept on the member."""
        return Q(subscribed=params.value == "yes")

    def was_q(self, params: Params, at: datetime) -> Q:
        """Take the last word up to then, what the next found, or what is true now."""
        changes = FactChange.objects.filter(member=OuterRef("pk"), what="subscribed", ref=0)
        said = Coalesce(
            Subquery(changes.filter(at__lte=at).order_by("-at", "-pk").values("after")[:1]),
            Subquery(changes.filter(at__gt=at).order_by("at", "pk").values("before")[:1]),
            Case(When(subscribed=True, then=Value("yes")), default=Value("")),
        )
        return Q(Exact(said, Value("yes" if params.value == "yes" else "")))

    def sentence(self, params: Params) -> str:
        """Say it."""
        return _("is following") if params.value == "yes" else _("is not following")

    def was(self, params: Params, person: PersonAt) -> bool | None:
        """Compare what was written down."""
        return person.subscribed == (params.value == "yes")

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say since when."""
        return _("follows") if person.subscribed else _("does not follow")

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Time alone changes nothing."""
        return []


@condition
class Joined:
    """Has become a member."""

    key: ClassVar[str] = "joined"
    label = gettext_lazy("Joined as a member")
    fields = (Field("value", gettext_lazy("is"), "choice", YES_NO, "yes"),)

    @dataclass(frozen=True)
    class Params:
        """`value`: yes or no."""

        value: str

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Look at the day of joining."""
        return Q(joined_at__isnull=params.value == "no")

    def was_q(self, params: Params, at: datetime) -> Q:
        """Compare the day of joining."""
        return Q(joined_at__lte=at) if params.value == "yes" else Q(joined_at__isnull=True) | Q(joined_at__gt=at)

    def sentence(self, params: Params) -> str:
        """Say it."""
        return _("is a member") if params.value == "yes" else _("is not yet a member")

    def was(self, params: Params, person: PersonAt) -> bool | None:
        """Compare the day of joining."""
        return (person.joined_at is not None) == (params.value == "yes")

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say when."""
        return _("joined %(time)s") % {"time": moment(person.joined_at)} if person.joined_at else _("has not joined")

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Time alone changes nothing."""
        return []


@condition
class HasTag:
    """Carries at least one (or every one) of some tags."""

    key: ClassVar[str] = "tag"
    label = gettext_lazy("Tag")
    fields = (
        Field(
            "how",
            gettext_lazy("has"),
            "choice",
            (("any", gettext_lazy("any of")), ("all", gettext_lazy("all of"))),
            "any",
        ),
        Field("tags", gettext_lazy("tags"), "tags"),
    )

    @dataclass(frozen=True)
    class Params:
        """`how`: any or all; `tags`: ids of tags of the brand."""

        how: str
        tags: tuple[int, ...]

    def clean(self, params: Params) -> str | None:
        """Every tag must be the brand's; a foreign id looks like one that does not exist."""
        return unknown("tags", params.tags)

    def to_q(self, params: Params, at: datetime) -> Q:
        """Search the array kept on the member (GIN, as the reports role)."""
        ids = list(params.tags)
        return Q(tag_ids__contains=ids) if params.how == "all" else Q(tag_ids__overlap=ids)

    def sentence(self, params: Params) -> str:
        """Say it."""
        names = names_of("tags", params.tags)
        quoted = [_("“%(name)s”") % {"name": names.get(pk, "?")} for pk in params.tags]
        return _("has tag %(tags)s") % {"tags": (_(" and ") if params.how == "all" else _(" or ")).join(quoted)}

    def was(self, params: Params, person: PersonAt) -> bool | None:
        """Look at the tags of that time."""
        held = [pk in person.tags for pk in params.tags]
        return all(held) if params.how == "all" else any(held)

    def fact(self, params: Params, person: PersonAt) -> str:
        """Name those that are there, with the day and where they came from."""
        names = names_of("tags", params.tags)
        found = [
            _("“%(name)s” since %(time)s (%(source)s)")
            % {
                "name": names.get(pk, "?"),
                "time": moment(person.tags[pk].since),
                "source": source_label(person.tags[pk].source),
            }
            for pk in params.tags
            if pk in person.tags
        ]
        return _("; ").join(found) or _("carries none of them")

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Time alone changes nothing."""
        return []


@condition
class InStore:
    """Belongs to one of some stores."""

    key: ClassVar[str] = "store"
    label = gettext_lazy("Store")
    fields = (Field("stores", gettext_lazy("is one of"), "stores"),)

    @dataclass(frozen=True)
    class Params:
        """`stores`: ids of stores of the brand."""

        stores: tuple[int, ...]

    def clean(self, params: Params) -> str | None:
        """Every store must be the brand's."""
        return unknown("stores", params.stores)

    def to_q(self, params: Params, at: datetime) -> Q:
        """Compare the member's store."""
        return Q(store_id__in=params.stores)

    def sentence(self, params: Params) -> str:
        """Say it."""
        names = names_of("stores", params.stores)
        quoted = [_("“%(name)s”") % {"name": names.get(pk, "?")} for pk in params.stores]
        return _("belongs to store %(stores)s") % {"stores": _(" or ").join(quoted)}

    def was(self, params: Params, person: PersonAt) -> bool:
        """Compare the store they had."""
        return person.before(STORE, f"{person.member.store_id or ''}") in {f"{pk}" for pk in params.stores}

    def fact(self, params: Params, person: PersonAt) -> str:
        """Name the store."""
        known = person.before(STORE, f"{person.member.store_id or ''}")
        return names_of("stores", [int(known)]).get(int(known), "?") if known else _("has no store")

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Time alone changes nothing."""
        return []


@condition
class InCity:
    """Lives in one of some cities, as they said or as a parcel was sent."""

    key: ClassVar[str] = "city"
    label = gettext_lazy("City")
    fields = (Field("cities", gettext_lazy("is one of"), "words"),)

    @dataclass(frozen=True)
    class Params:
        """`cities`: names as they stand on the member."""

        cities: tuple[str, ...]

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Compare the city; “上海市” and “上海” are the same."""
        return Q(city__in=_names_of_cities(params.cities))

    def sentence(self, params: Params) -> str:
        """Say it."""
        return _("lives in %(cities)s") % {"cities": _(" or ").join(params.cities)}

    def was(self, params: Params, person: PersonAt) -> bool:
        """Compare the city that was known."""
        return person.before(CITY, person.member.city) in _names_of_cities(params.cities)

    def fact(self, params: Params, person: PersonAt) -> str:
        """Name the city."""
        return person.before(CITY, person.member.city) or _("no city is known")

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Time alone changes nothing."""
        return []


def _names_of_cities(cities: Iterable[str]) -> list[str]:
    names = {name for city in cities for name in (city, f"{city}市", city.removesuffix("市"))}
    return sorted(name for name in names if name)


@condition
class OfGender:
    """Has said to be of one of some genders, or has said nothing."""

    key: ClassVar[str] = "gender"
    label = gettext_lazy("Gender")
    fields = (
        Field("value", gettext_lazy("is"), "choice", (*Gender.choices, ("none", gettext_lazy("not given"))), "F"),
    )

    @dataclass(frozen=True)
    class Params:
        """`value`: F, M or X as people say of themselves; none: they have not said."""

        value: str

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Compare what they said."""
        return Q(gender="" if params.value == "none" else params.value)

    def sentence(self, params: Params) -> str:
        """Say it."""
        if params.value == "none":
            return _("has not given a gender")
        return _("is of gender “%(gender)s”") % {"gender": Gender(params.value).label}

    def was(self, params: Params, person: PersonAt) -> bool:
        """Compare what they had said."""
        return person.before(GENDER, person.member.gender) == ("" if params.value == "none" else params.value)

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say what they said."""
        known = person.before(GENDER, person.member.gender)
        return str(Gender(known).label) if known else _("no gender is known")

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Time alone changes nothing."""
        return []


@condition
class BirthdaySoon:
    """Has a birthday today or within the next days. Who was born on 29 February has it on the 28th in other years."""

    key: ClassVar[str] = "birthday"
    label = gettext_lazy("Birthday")
    fields = (Field("days", gettext_lazy("within the next days"), "number", default=7, minimum=0, maximum=366),)

    @dataclass(frozen=True)
    class Params:
        """`days`: 0 is today."""

        days: int

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """List the days in the brand's zone."""
        return Q(birth_mmdd__in=sorted(_birthdays(_day(at), params.days)))

    def sentence(self, params: Params) -> str:
        """Say it."""
        if not params.days:
            return _("has a birthday today")
        said = ngettext("has a birthday today or tomorrow", "has a birthday within the next %(days)s days", params.days)
        return said % {"days": params.days}

    def was(self, params: Params, person: PersonAt) -> bool:
        """Compare the birthday that was known."""
        return person.mmdd() in _birthdays(_day(person.at), params.days)

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say the day."""
        day = person.mmdd()
        return f"{day // 100:02d}-{day % 100:02d}" if day else _("no birthday is known")

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """At midnight, those whose day comes into sight and those whose day is over."""
        days = _birthdays(_day(since), params.days) ^ _birthdays(_day(until), params.days)
        return [Member.objects.filter(birth_mmdd__in=sorted(days)).values_list("pk", flat=True)] if days else []


def _day(at: datetime) -> date:
    """The day it is for the brand: workers and the API have the zone of the settings."""
    return at.astimezone(ZoneInfo(brand_zone())).date()


def _birthdays(today: date, days: int) -> set[int]:
    coming = [today + timedelta(days=number) for number in range(min(days, 366) + 1)]
    found = {day.month * 100 + day.day for day in coming}
    if any(day.month == 2 and day.day == 28 and (day + timedelta(days=1)).month == 3 for day in coming):
        found.add(229)
    return found


@condition
class BirthdayMonth:
    """Has a birthday in this month of the brand's zone, or in the next."""

    key: ClassVar[str] = "birthday_month"
    label = gettext_lazy("Month of birth")
    fields = (
        Field(
            "month",
            gettext_lazy("is"),
            "choice",
            (("this", gettext_lazy("this month")), ("next", gettext_lazy("next month"))),
            "this",
        ),
    )

    @dataclass(frozen=True)
    class Params:
        """`month`: this or next."""

        month: str

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Compare the month kept on the member."""
        first = _month(_day(at), params.month) * 100
        return Q(birth_mmdd__gt=first, birth_mmdd__lt=first + 100)

    def sentence(self, params: Params) -> str:
        """Say it."""
        return _("has a birthday this month") if params.month == "this" else _("has a birthday next month")

    def was(self, params: Params, person: PersonAt) -> bool:
        """Compare the month that was known."""
        return person.mmdd() // 100 == _month(_day(person.at), params.month)

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say the day."""
        day = person.mmdd()
        return f"{day // 100:02d}-{day % 100:02d}" if day else _("no birthday is known")

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """At the end of a month, those of the month that is over and those of the month that comes."""
        months = {_month(_day(since), params.month), _month(_day(until), params.month)}
        if len(months) == 1:
            return []
        born = Q()
        for month in sorted(months):
            born |= Q(birth_mmdd__gt=month * 100, birth_mmdd__lt=month * 100 + 100)
        return [Member.objects.filter(born).values_list("pk", flat=True)]


def _month(today: date, which: str) -> int:
    return today.month if which == "this" else today.month % 12 + 1
