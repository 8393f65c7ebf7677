"""Work that time brings: relations to guides that are valid no more."""

from __future__ import annotations

from accounts.tasks_base import brand_task, global_task, ring
from accounts.tenancy import brand_scope, every_brand
from common import clock


@global_task(name="guides.tasks.end_all_lapsed")
def end_all_lapsed() -> None:
    """Find the brands whose relations end by time, and ring for them."""
    from guides.models import GuidePolicy

    with every_brand(reason="relations to guides that are over"):
        rows = GuidePolicy.objects.filter(valid_days__isnull=False).order_by("brand_id")
        brands = list(rows.values_list("brand_id", flat=True))
    for brand_id in brands:
        ring(end_lapsed, brand_id)


@brand_task(name="guides.tasks.end_lapsed")
def end_lapsed(brand_id: int) -> None:
    """End what is over in a brand, a part at a time."""
    from guides import services

    more = 1
    while more:
        with brand_scope(brand_id):
            more = services.end_lapsed(at=clock.now())
