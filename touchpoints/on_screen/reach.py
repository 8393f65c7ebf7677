"""Which channels a person may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.http import viewer_of
from stores.selectors import store_ids_of_grant
from touchpoints.models import Touchpoint

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from accounts.viewer import Viewer


def in_reach(viewer: Viewer, queryset: QuerySet[Touchpoint]) -> QuerySet[Touchpoint]:
    """Narrow channels to those of a store manager's stores."""
    if viewer.scope == "STORES":
        return queryset.filter(store_id__in=store_ids_of_grant(viewer.grant_id))
    return queryset


def reachable_ids(request: HttpRequest) -> frozenset[int] | None:
    """Give the channels the person may see; None means all."""
    viewer = viewer_of(request)
    if viewer.scope == "BRAND":
        return None
    return frozenset(in_reach(viewer, Touchpoint.objects.order_by("pk")).values_list("pk", flat=True))
