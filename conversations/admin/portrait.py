"""Which buttons of the menu a person uses most, at the head of their page."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Max, OuterRef, Sum
from django.db.models.functions import JSONObject
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _

from common.clock import now
from console import formats
from console.columns import excerpt
from console.person import brought
from console.registry import BEHAVIOUR, Portrait, Trait, person_marks, portraits
from conversations.models import ButtonUse
from conversations.selectors import button_names
from conversations.services.retention import TAPS_KEPT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from members.models import Member

_SHOWN: Final = 3
_LONGEST: Final = 20


def _uses() -> ArraySubquery:
    since = (now() - TAPS_KEPT + timedelta(days=1)).date()
    rows = ButtonUse.objects.filter(follower__member=OuterRef("pk"), day__gte=since)
    counted: Any = rows.order_by().values("key").annotate(times=Sum("taps"), last=Max("day"))
    told = JSONObject(key="key", times="times", last="last")
    return ArraySubquery(counted.annotate(told=told).order_by("-times", "key").values("told")[:_SHOWN])


person_marks.register("conversations.buttons", _uses)


def _buttons(member: Member) -> Iterable[Trait]:
    """Tell the buttons tapped most often, by their names of today; asks for names only of who tapped any."""
    uses: list[dict[str, Any]] = brought(member, "conversations.buttons") or []
    if not uses:
        return
    names = button_names()
    said = []
    for use in uses:
        name = names.get(use["key"]) or excerpt(use["key"], _LONGEST)
        said.append(_("%(what)s ×%(times)s") % {"what": name, "times": use["times"]})
    last = max(day for use in uses if (day := parse_date(use["last"])) is not None)
    words = {"days": TAPS_KEPT.days, "day": formats.local_time(last)}
    source = _("taps on the menu in %(days)s days, the last one on %(day)s") % words
    yield Trait(BEHAVIOUR, _("Menu buttons"), _(", ").join(said), source, order=30)


portraits.register("conversations.buttons", Portrait(_buttons, area="inbox"))
