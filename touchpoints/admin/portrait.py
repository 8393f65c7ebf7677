"""Where a person came from and what they scanned lately, at the head of their page."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Max, OuterRef, Subquery
from django.db.models.functions import JSONObject
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from common.clock import now
from console.person import brought
from console.registry import BEHAVIOUR, Portrait, Trait, person_marks, portraits
from touchpoints.models import Touch, TouchKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from members.models import Member

_DAYS: Final = 90


def _first() -> Subquery:
    rows = Touch.objects.filter(member=OuterRef("pk"), touchpoint__isnull=False).order_by("at", "pk")
    told = JSONObject(id="touchpoint_id", name="touchpoint__name", kind="kind", at="at")
    return Subquery(rows.annotate(told=told).values("told")[:1])


def _lately() -> ArraySubquery:
    rows = Touch.objects.filter(member=OuterRef("pk"), at__gt=now() - timedelta(days=_DAYS))
    counted: Any = rows.order_by().values("kind").annotate(times=Count("pk"), last=Max("at"))
    told = JSONObject(kind="kind", times="times", last="last")
    return ArraySubquery(counted.annotate(told=told).order_by("-times", "kind").values("told"))


person_marks.register("touchpoints.first", _first)
person_marks.register("touchpoints.lately", _lately)


def _did(kind: str) -> str:
    return {
        TouchKind.FOLLOW: pgettext("what somebody did", "followed"),
        TouchKind.REFOLLOW: pgettext("what somebody did", "followed again"),
        TouchKind.SCAN: pgettext("what somebody did", "scanned while following"),
        TouchKind.OPEN: pgettext("what somebody did", "opened the mini program"),
        TouchKind.CONTACT: pgettext("what somebody did", "added a guide in WeCom"),
    }[TouchKind(kind)]


def _came(member: Member) -> Iterable[Trait]:
    """Tell the first channel and, by kind, what happened in the last days."""
    first: dict[str, Any] | None = brought(member, "touchpoints.first")
    if first:
        link = reverse("admin:touchpoints_touchpoint_change", args=[first["id"]])
        source = _("scans and follows: %(what)s") % {"what": _did(first["kind"])}
        at = datetime.fromisoformat(first["at"])
        yield Trait(BEHAVIOUR, _("First channel"), first["name"], source, at, link, 10)
    lately: list[dict[str, Any]] = brought(member, "touchpoints.lately") or []
    if lately:
        did = [_("%(what)s ×%(times)s") % {"what": _did(each["kind"]), "times": each["times"]} for each in lately]
        label = _("Last %(days)s days") % {"days": _DAYS}
        last = max(datetime.fromisoformat(each["last"]) for each in lately)
        yield Trait(BEHAVIOUR, label, _(", ").join(did), _("scans and follows, the last one"), last, order=20)


portraits.register("touchpoints.came", Portrait(_came, link_area="touchpoints"))
