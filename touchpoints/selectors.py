"""Questions about channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Count, Q

from touchpoints.models import Touch, TouchKind, Touchpoint

if TYPE_CHECKING:
    from django.db.models import QuerySet


def touchpoint_of_scene(account_id: int, scene: str) -> Touchpoint | None:
    """Give the channel whose code carries a scene. Another brand's scene is unknown here."""
    if not scene:
        return None
    return Touchpoint.objects.select_related("store").filter(account_id=account_id, scene=scene).first()


def welcome_texts(account_id: int) -> dict[str, str]:
    """Give the welcome of every code of an account that has one, by scene."""
    rows = Touchpoint.objects.filter(account_id=account_id, is_active=True).exclude(scene="").exclude(welcome="")
    return dict(rows.order_by("pk").values_list("scene", "welcome"))


def scan_counts(touchpoint_ids: list[int]) -> dict[int, dict[str, int]]:
    """Give how often codes were scanned: {touchpoint: {"FOLLOW": n, "REFOLLOW": n, "SCAN": n}} in one query."""
    rows = (
        Touch.objects.filter(touchpoint_id__in=touchpoint_ids)
        .values("touchpoint_id")
        .annotate(**{kind: Count("pk", filter=Q(kind=kind)) for kind in TouchKind.values})
        .order_by("touchpoint_id")
    )
    counts: list[dict[str, int]] = list(rows)  # type: ignore[arg-type] # the names come from TouchKind
    return {row["touchpoint_id"]: {kind: row[kind] for kind in TouchKind.values} for row in counts}


def touches_of(member_id: int) -> QuerySet[Touch]:
    """Give a person's touches, newest first."""
    return Touch.objects.select_related("touchpoint").filter(member_id=member_id).order_by("-at", "-pk")
