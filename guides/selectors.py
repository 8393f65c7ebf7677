"""Questions about guides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import connection
from django.db.models import Count, Q
from django.utils.translation import gettext_lazy

from accounts.tenancy import current_brand_id
from guides.models import Assignment, Guide, GuidePolicy, Joining
from members.selectors import visible_members
from stores.selectors import store_ids_of_grant
from touchpoints.selectors import OwnerKind
from touchpoints.selectors.lookups import known_code

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from accounts.viewer import Viewer
    from touchpoints.models import Touch, Touchpoint
    from wechat_gateway.events import Push


@dataclass(frozen=True)
class OwnGuide:
    """A member's guide, and why it is them."""

    staff_no: str
    name: str
    store_name: str
    since: datetime
    reason: str


# Every member's card asks this, so it is plain SQL: building the query costs the ORM more than running it.
_GUIDE_SQL = """
SELECT g.staff_no, g.name, s.name, a.since, a.reason FROM guides_assignment a
JOIN guides_guide g ON g.brand_id = a.brand_id AND g.id = a.guide_id
JOIN stores_store s ON s.brand_id = g.brand_id AND s.id = g.store_id
WHERE a.brand_id = %s AND a.member_id = %s AND a.until IS NULL AND g.is_active
"""


def in_reach(viewer: Viewer, queryset: QuerySet[Guide]) -> QuerySet[Guide]:
    """Narrow guides to those of a store manager's stores, or to oneself."""
    if viewer.scope == "STORES":
        return queryset.filter(store_id__in=store_ids_of_grant(viewer.grant_id))
    if viewer.scope == "OWN":
        return queryset.filter(staff_user_id=viewer.staff_id)
    return queryset


def guide_of_code(touchpoint_id: int | None) -> Guide | None:
    """Give the working guide a code belongs to."""
    if touchpoint_id is None:
        return None
    return Guide.objects.select_related("store").filter(touchpoint_id=touchpoint_id, is_active=True).first()


_OF_PUSH: Final = "guides.guide"


def look_up_guides(pushes: Iterable[Push]) -> None:
    """Look up once for scans whose codes belong to working guides."""
    scanned = {push.push_id: code.touchpoint.pk for push in pushes if (code := known_code(push)) is not None}
    rows = Guide.objects.select_related("store").filter(touchpoint_id__in=set(scanned.values()), is_active=True)
    guides = {row.touchpoint_id: row for row in rows.order_by("-pk")}
    for push in pushes:
        if push.push_id in scanned:
            push.found[_OF_PUSH] = guides.get(scanned[push.push_id])


def guide_of_scan(touch: Touch) -> Guide | None:
    """Give the working guide whom a scanned code belongs to, or who answers for it."""
    if touch.touchpoint is None:
        return None
    push = touch.push
    if push is not None and _OF_PUSH in push.found:
        guide: Guide | None = push.found[_OF_PUSH]
    else:
        guide = guide_of_code(touch.touchpoint_id)
    return guide or owning_guide(touch.touchpoint)


def owning_guide(touchpoint: Touchpoint) -> Guide | None:
    """Give the working guide who answers for a code."""
    if touchpoint.owner_kind != "guide" or touchpoint.owner_id is None:
        return None
    return Guide.objects.select_related("store").filter(pk=touchpoint.owner_id, is_active=True).first()


def _guide_choices() -> list[tuple[int, str]]:
    return [(guide.pk, str(guide)) for guide in Guide.objects.filter(is_active=True).order_by("staff_no", "pk")[:500]]


def _guide_names(ids: Iterable[int]) -> dict[int, str]:
    return {guide.pk: str(guide) for guide in Guide.objects.filter(pk__in=list(ids)).order_by("pk")}


GUIDES_AS_OWNERS = OwnerKind(gettext_lazy("Guide"), _guide_choices, _guide_names)


def policy() -> GuidePolicy:
    """Give how long guides keep members in the brand in scope."""
    return GuidePolicy.objects.first() or GuidePolicy()


def protected_until(since: datetime, rules: GuidePolicy) -> datetime | None:
    """Say from when on another guide's code takes somebody over; None for never."""
    days = [each for each in (rules.protected_days, rules.valid_days) if each is not None]
    return since + timedelta(days=min(days)) if days else None


def valid_until(since: datetime, rules: GuidePolicy) -> datetime | None:
    """Say when somebody is looked after no more; None for never."""
    return since + timedelta(days=rules.valid_days) if rules.valid_days is not None else None


def guide_of(member_id: int) -> OwnGuide | None:
    """Give a member's guide now; somebody who has left is nobody's guide."""
    with connection.cursor() as cursor:
        cursor.execute(_GUIDE_SQL, [current_brand_id(), member_id])
        row = cursor.fetchone()
    return OwnGuide(*row) if row else None


def member_counts(guide_ids: list[int]) -> dict[int, int]:
    """Give how many members each guide looks after now."""
    rows = (
        Assignment.objects.filter(guide_id__in=guide_ids, until__isnull=True)
        .values("guide_id")
        .annotate(people=Count("pk"))
        .order_by("guide_id")
    )
    return {row["guide_id"]: row["people"] for row in rows}


def members_of_viewer(viewer: Viewer) -> Q:
    """Narrow members to those the viewer looks after as a guide."""
    mine = Assignment.objects.filter(guide__staff_user_id=viewer.staff_id, guide__is_active=True, until__isnull=True)
    return Q(pk__in=mine.values("member_id"))


def joinings_in_reach(viewer: Viewer, *, limit: int = 20) -> list[Joining]:
    """Give the newest joinings with guides a viewer may see, of people they may see."""
    rows = Joining.objects.select_related("guide", "store", "member")
    rows = rows.filter(guide__in=in_reach(viewer, Guide.objects.all()), member__in=visible_members(viewer))
    return list(rows.order_by("-at", "-pk")[:limit])
