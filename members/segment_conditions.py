"""What segments can ask about people: one class a condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from members.models import Tag
from members.segments import Field, condition, days_back
from stores.models import Store

if TYPE_CHECKING:
    from datetime import datetime

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
