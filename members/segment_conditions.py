"""What segments can ask about people: one class a condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Count, Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console import formats
from members.happenings import happenings
from members.models import Consent, Follower, Member, Purpose, Tag
from members.reach import carriers
from members.segments import Field, condition, days_back
from stores.models import Store

if TYPE_CHECKING:
    from datetime import datetime

    from members.person import PersonAt

# Names read once for many rules (a list of segments); None: each condition asks for its own.
_remembered: ContextVar[Mapping[str, Mapping[int, str]] | None] = ContextVar("names_in_segments", default=None)


@contextmanager
def remembering(names: Mapping[str, Mapping[int, str]]) -> Iterator[None]:
    """Say rules with these names of tags and stores (kind to id to name) instead of asking for each condition's."""
    token = _remembered.set(names)
    try:
        yield
    finally:
        _remembered.reset(token)


def _names(kind: str, ids: tuple[int, ...]) -> Mapping[int, str]:
    remembered = _remembered.get()
    if remembered is not None:
        return {pk: remembered[kind][pk] for pk in ids if pk in remembered[kind]}
    rows: Any = Tag.objects if kind == "tags" else Store.objects
    return dict(rows.filter(pk__in=ids).values_list("pk", "name"))


YES_NO = (("yes", gettext_lazy("yes")), ("no", gettext_lazy("no")))


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

    def sentence(self, params: Params) -> str:
        """Say it."""
        return _("is following") if params.value == "yes" else _("is not following")

    def was(self, params: Params, person: PersonAt) -> bool | None:
        """Compare what was written down."""
        return person.subscribed == (params.value == "yes")

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say since when."""
        return _("follows") if person.subscribed else _("does not follow")


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

    def sentence(self, params: Params) -> str:
        """Say it."""
        return _("is a member") if params.value == "yes" else _("is not yet a member")

    def was(self, params: Params, person: PersonAt) -> bool | None:
        """Compare the day of joining."""
        return (person.joined_at is not None) == (params.value == "yes")

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say when."""
        return _("joined %(time)s") % {"time": _said(person.joined_at)} if person.joined_at else _("has not joined")


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
        known = _names("tags", params.tags)
        return None if len(known) == len(set(params.tags)) else _("This tag does not exist.")

    def to_q(self, params: Params, at: datetime) -> Q:
        """Search the array kept on the member (GIN, as the reports role)."""
        ids = list(params.tags)
        return Q(tag_ids__contains=ids) if params.how == "all" else Q(tag_ids__overlap=ids)

    def sentence(self, params: Params) -> str:
        """Say it."""
        names = _names("tags", params.tags)
        quoted = [_("“%(name)s”") % {"name": names.get(pk, "?")} for pk in params.tags]
        return _("has tag %(tags)s") % {"tags": (_(" and ") if params.how == "all" else _(" or ")).join(quoted)}

    def was(self, params: Params, person: PersonAt) -> bool | None:
        """Look at the tags of that time."""
        held = [pk in person.tags for pk in params.tags]
        return all(held) if params.how == "all" else any(held)

    def fact(self, params: Params, person: PersonAt) -> str:
        """Name those that are there, with the day and where they came from."""
        names = _names("tags", params.tags)
        found = [
            _("“%(name)s” since %(time)s (%(source)s)")
            % {"name": names.get(pk, "?"), "time": _said(person.tags[pk].since), "source": person.tags[pk].source}
            for pk in params.tags
            if pk in person.tags
        ]
        return _("; ").join(found) or _("carries none of them")


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
        known = _names("stores", params.stores)
        return None if len(known) == len(set(params.stores)) else _("This store does not exist.")

    def to_q(self, params: Params, at: datetime) -> Q:
        """Compare the member's store."""
        return Q(store_id__in=params.stores)

    def sentence(self, params: Params) -> str:
        """Say it."""
        names = _names("stores", params.stores)
        quoted = [_("“%(name)s”") % {"name": names.get(pk, "?")} for pk in params.stores]
        return _("belongs to store %(stores)s") % {"stores": _(" or ").join(quoted)}

    def fact(self, params: Params, person: PersonAt) -> str:
        """Name the store."""
        return str(person.member.store) if person.member.store_id else _("has no store")


@condition
class LastInteraction:
    """Wrote, tapped or scanned within (or not within) some days."""

    key: ClassVar[str] = "last_interaction"
    label = gettext_lazy("Last interaction")
    fields = (
        Field(
            "how",
            gettext_lazy("was"),
            "choice",
            (("within", gettext_lazy("within the last")), ("before", gettext_lazy("longer ago than"))),
            "within",
        ),
        Field("days", gettext_lazy("days"), "number", default=30, minimum=1, maximum=3650),
    )

    @dataclass(frozen=True)
    class Params:
        """`how`: within or before; `days`: 1 to 3650."""

        how: str
        days: int

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Compare the moment kept on the member; somebody who never interacted was longer ago."""
        moment = days_back(at, params.days)
        if params.how == "within":
            return Q(last_interaction_at__gte=moment)
        return Q(last_interaction_at__lt=moment) | Q(last_interaction_at__isnull=True)

    def sentence(self, params: Params) -> str:
        """Say it."""
        if params.how == "within":
            return ngettext(
                "interacted within the last day", "interacted within the last %(days)s days", params.days
            ) % {
                "days": params.days,
            }
        return ngettext("has not interacted for a day", "has not interacted for %(days)s days", params.days) % {
            "days": params.days,
        }

    def was(self, params: Params, person: PersonAt) -> bool | None:
        """Compare the last act before that time, where it is known."""
        moment = days_back(person.at, params.days)
        known = person.last_act
        recent = True if known is not None and known >= moment else (False if person.acts_are_complete else None)
        return recent if params.how == "within" or recent is None else not recent

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say when it was."""
        if person.last_act is None:
            return _("no interaction is known")
        return _("last interaction %(time)s") % {"time": _said(person.last_act)}


def _said(moment: datetime) -> str:
    return formats.local_time(moment)


_HOW_LONG = (("within", gettext_lazy("within the last")), ("before", gettext_lazy("longer ago than")))
_DAYS = Field("days", gettext_lazy("days"), "number", default=30, minimum=1, maximum=3650)


@dataclass(frozen=True)
class _Days:
    """`how`: within or before; `days`: 1 to 3650."""

    how: str
    days: int


@condition
class JoinedWhen:
    """Joined within, or longer ago than, some days."""

    key: ClassVar[str] = "joined_when"
    label = gettext_lazy("Day of joining")
    fields = (Field("how", gettext_lazy("was"), "choice", _HOW_LONG, "within"), _DAYS)
    Params = _Days
    exact_past: ClassVar[bool] = True

    def clean(self, params: _Days) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: _Days, at: datetime) -> Q:
        """Compare the day of joining; who has not joined is in neither."""
        moment = days_back(at, params.days)
        if params.how == "within":
            return Q(joined_at__gte=moment, joined_at__lte=at)
        return Q(joined_at__lt=moment)

    def sentence(self, params: _Days) -> str:
        """Say it."""
        if params.how == "within":
            said = ngettext("joined within the last day", "joined within the last %(days)s days", params.days)
        else:
            said = ngettext("joined more than a day ago", "joined more than %(days)s days ago", params.days)
        return said % {"days": params.days}

    def fact(self, params: _Days, person: PersonAt) -> str:
        """Say when."""
        return _("joined %(time)s") % {"time": _said(person.joined_at)} if person.joined_at else _("has not joined")


@condition
class FollowedWhen:
    """Follows, and has done so since within, or longer than, some days."""

    key: ClassVar[str] = "followed_when"
    label = gettext_lazy("Following since")
    fields = (Field("how", gettext_lazy("was"), "choice", _HOW_LONG, "within"), _DAYS)
    Params = _Days

    def clean(self, params: _Days) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: _Days, at: datetime) -> Q:
        """Look at the followers behind the person; only those that follow now."""
        rows = Follower.objects.filter(member=OuterRef("pk"), subscribed=True)
        moment = days_back(at, params.days)
        if params.how == "within":
            return Q(Exists(rows.filter(followed_at__gte=moment, followed_at__lte=at)))
        return Q(Exists(rows.filter(followed_at__lt=moment)))

    def sentence(self, params: _Days) -> str:
        """Say it."""
        if params.how == "within":
            said = ngettext("has followed for less than a day", "has followed for less than %(days)s days", params.days)
        else:
            said = ngettext("has followed for more than a day", "has followed for more than %(days)s days", params.days)
        return said % {"days": params.days}

    def fact(self, params: _Days, person: PersonAt) -> str:
        """Say since when."""
        since = Follower.objects.filter(member=person.member, subscribed=True).order_by("-followed_at", "pk")
        days = [_said(row.followed_at) for row in since if row.followed_at]
        return _("follows since %(time)s") % {"time": _("; ").join(days)} if days else _("does not follow")


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
        names = {name for city in params.cities for name in (city, f"{city}市", city.removesuffix("市"))}
        return Q(city__in=sorted(name for name in names if name))

    def sentence(self, params: Params) -> str:
        """Say it."""
        return _("lives in %(cities)s") % {"cities": _(" or ").join(params.cities)}

    def fact(self, params: Params, person: PersonAt) -> str:
        """Name the city."""
        return person.member.city or _("no city is known")


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
        today = timezone.localtime(at).date()
        days = {_mmdd(today + timedelta(days=number)) for number in range(min(params.days, 366) + 1)}
        if any(
            (today + timedelta(days=number)).month == 2
            and (today + timedelta(days=number)).day == 28
            and (today + timedelta(days=number + 1)).month == 3
            for number in range(min(params.days, 366) + 1)
        ):
            days.add(229)
        return Q(birth_mmdd__in=sorted(days))

    def sentence(self, params: Params) -> str:
        """Say it."""
        if not params.days:
            return _("has a birthday today")
        said = ngettext("has a birthday today or tomorrow", "has a birthday within the next %(days)s days", params.days)
        return said % {"days": params.days}

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say the day."""
        day = person.member.birth_mmdd
        return f"{day // 100:02d}-{day % 100:02d}" if day else _("no birthday is known")


def _mmdd(day: date) -> int:
    return day.month * 100 + day.day


@condition
class HasConsent:
    """Agreed to a use of their data, took it back, or was never asked."""

    key: ClassVar[str] = "consent"
    label = gettext_lazy("Consent")
    fields = (
        Field("purpose", gettext_lazy("to"), "choice", tuple(Purpose.choices), Purpose.MARKETING.value),
        Field(
            "state",
            gettext_lazy("is"),
            "choice",
            (
                ("given", gettext_lazy("given")),
                ("withdrawn", gettext_lazy("taken back")),
                ("unasked", gettext_lazy("not asked")),
            ),
            "given",
        ),
    )
    exact_past: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Params:
        """`purpose`: of `Purpose`; `state`: given, withdrawn or unasked."""

        purpose: str
        state: str

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Compare the newest statement up to the moment."""
        said = Consent.objects.filter(member=OuterRef("pk"), purpose=params.purpose, at__lte=at)
        if params.state == "unasked":
            return ~Q(Exists(said))
        newest = Consent.objects.filter(purpose=params.purpose, at__lte=at)
        newest = newest.order_by("member_id", "-at", "-pk").distinct("member_id")
        granted = params.state == "given"
        wanted = Consent.objects.filter(pk__in=newest.values("pk"), granted=granted)
        return Q(pk__in=wanted.values("member_id"))

    def sentence(self, params: Params) -> str:
        """Say it."""
        purpose = Purpose(params.purpose).label
        said = {
            "given": _("has agreed to “%(purpose)s”"),
            "withdrawn": _("has withdrawn “%(purpose)s”"),
            "unasked": _("was never asked about “%(purpose)s”"),
        }
        return said[params.state] % {"purpose": purpose}

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say what was said last, and when."""
        rows = Consent.objects.filter(member=person.member, purpose=params.purpose, at__lte=person.at)
        newest = rows.order_by("-at", "-pk").first()
        if newest is None:
            return _("never asked")
        return f"{_('agreed') if newest.granted else _('withdrew')} {_said(newest.at)}"


@condition
class Reachable:
    """Can be reached by a way of sending now."""

    key: ClassVar[str] = "reachable"
    label = gettext_lazy("Reachable")

    @property
    def fields(self) -> tuple[Field, ...]:
        """Offer the ways that the apps above have registered."""
        ways = tuple((key, way.label) for key, way in carriers.items())
        return (
            Field("way", gettext_lazy("by"), "choice", ways, ways[0][0] if ways else None),
            Field("value", gettext_lazy("is"), "choice", YES_NO, "yes"),
        )

    @dataclass(frozen=True)
    class Params:
        """`way`: key of a way of reaching; `value`: yes or no."""

        way: str
        value: str

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Ask the way."""
        reached = Q(pk__in=carriers.get(params.way).narrow(Member.objects.all(), at).values("pk"))
        return reached if params.value == "yes" else ~reached

    def sentence(self, params: Params) -> str:
        """Say it."""
        way = str(carriers.get(params.way).label)
        if params.value == "yes":
            return _("can be reached by “%(way)s”") % {"way": way}
        return _("cannot be reached by “%(way)s”") % {"way": way}


@condition
class Did:
    """Did (or did not do) something, at least so many times, within some days."""

    key: ClassVar[str] = "event"
    label = gettext_lazy("Event")
    exact_past: ClassVar[bool] = True

    @property
    def fields(self) -> tuple[Field, ...]:
        """Offer the events that apps have registered."""
        kinds = tuple((key, item.label) for key, item in happenings.items())
        return (
            Field(
                "how",
                gettext_lazy("the person"),
                "choice",
                (("did", gettext_lazy("has done")), ("not", gettext_lazy("has not done"))),
                "did",
            ),
            Field("event", "", "choice", kinds, kinds[0][0]),
            Field("times", gettext_lazy("times at least"), "number", default=1, minimum=1, maximum=1000),
            Field("days", gettext_lazy("days back"), "number", default=30, minimum=1, maximum=3650),
        )

    @dataclass(frozen=True)
    class Params:
        """`how`: did or not; `event`: key of a countable event; `times`: at least; `days`: how far back."""

        how: str
        event: str
        times: int
        days: int

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Count the rows of the window that ends at the moment."""
        item = happenings.get(params.event)
        window = {f"{item.at}__gt": days_back(at, params.days), f"{item.at}__lte": at}
        rows = item.rows().filter(**window)
        if params.times == 1:
            did = Q(Exists(rows.filter(**{item.member: OuterRef("pk")})))
        else:
            often = rows.order_by().values(item.member).annotate(times=Count("pk")).filter(times__gte=params.times)
            did = Q(pk__in=often.values(item.member))
        return did if params.how == "did" else ~did

    def sentence(self, params: Params) -> str:
        """Say it."""
        label = str(happenings.get(params.event).label)
        facts = {"event": label, "days": params.days, "times": params.times}
        if params.times == 1:
            said = (
                _("has %(event)s within %(days)s days")
                if params.how == "did"
                else _("has not %(event)s within %(days)s days")
            )
        else:
            said = (
                _("has %(event)s at least %(times)s times within %(days)s days")
                if params.how == "did"
                else _("has %(event)s less than %(times)s times within %(days)s days")
            )
        return said % facts

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say how often and when last."""
        item = happenings.get(params.event)
        window = {f"{item.at}__gt": days_back(person.at, params.days), f"{item.at}__lte": person.at}
        moments = item.rows().filter(**window, **{item.member: person.member.pk}).order_by(f"-{item.at}")
        found = list(moments.values_list(item.at, flat=True)[:1001])
        if not found:
            return _("never in these days")
        said = ngettext("once, %(time)s", "%(count)s times, last %(time)s", len(found))
        return said % {"count": len(found), "time": _said(found[0])}
