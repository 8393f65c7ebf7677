"""Channels that no code leads to: WeChat says of a follower how they came, WeCom whom a guide got to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import IntegrityError, transaction
from django.utils import translation
from django.utils.translation import gettext

from touchpoints.models import Touch, TouchKind, Touchpoint
from touchpoints.origins import CONTACTS, LANGUAGE, NAMES, TOP

if TYPE_CHECKING:
    from datetime import datetime

    from members.models import Follower

_PREFIX: Final = "ADD_SCENE_"


def note_origin(*, follower: Follower, at: datetime) -> Touch | None:
    """Put somebody's last follow below "WeChat itself" by what user/info says of it, if they scanned no code.

    Scans of codes keep their channel, and those of unknown codes have none. Said again it changes nothing.
    """
    if not follower.follow_scene:
        return None
    follows = Touch.objects.filter(
        member_id=follower.member_id, follower=follower, kind__in=(TouchKind.FOLLOW, TouchKind.REFOLLOW)
    )
    touch = follows.order_by("-at", "-pk").first()
    if touch is None or touch.touchpoint_id is not None or touch.scene:
        return None
    touch.touchpoint = origin_node(follower.follow_scene, at=at)
    touch.save(update_fields=["touchpoint"])
    return touch


def origin_node(origin: str, *, at: datetime) -> Touchpoint:
    """Give the channel of an origin, made when somebody comes that way for the first time. It may be renamed."""
    known = Touchpoint.objects.filter(origin=origin).first()
    if known is not None:
        return known
    parent = None if origin in (TOP, CONTACTS) else origin_node(TOP, at=at)
    with translation.override(LANGUAGE):
        name = gettext(NAMES[origin]) if origin in NAMES else origin.removeprefix(_PREFIX)
    try:
        with transaction.atomic():
            return Touchpoint.objects.create(name=name[:60], parent=parent, origin=origin, created_at=at)
    except IntegrityError:  # somebody else came that way at the same moment
        return Touchpoint.objects.get(origin=origin)
