"""What a scan does: a touch that is kept for ever, and an outcome that depends on who scanned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.services import record_audit
from common.registry import Registry
from members import services as member_services
from members.models import Member
from touchpoints.models import CodeIssue, StaffPerson, Touch, TouchCase, TouchKind, TouchpointTag, Unfollow
from touchpoints.selectors.lookups import is_staff, touchpoint_of_scene

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from members.models import Follower
    from touchpoints.models import Touchpoint

# What apps above do with a touch (guides assign): callable(touch), in the transaction that records it.
on_touch: Registry[Callable[[Touch], None]] = Registry("touch listeners", purpose="what a scan of a code sets off")


def record_touch(
    *,
    follower: Follower,
    scene: str,
    is_follow: bool,
    at: datetime,
    push_id: int | None = None,
    ticket: str = "",
) -> Touch | None:
    """Keep one scan (or one follow without a code) and do what its code promises to this person.

    Five cases: new, returning, already following, member, staff. Everybody but staff gets the tags; the store and the
    guide of the code go to people who have none, so a member keeps theirs; a scan by staff is kept and sets nothing
    off. A scan with an unknown scene is kept without a channel. A push that was recorded before changes nothing.
    """
    if push_id is not None and Touch.objects.filter(push_id=push_id).exists():
        return None
    touchpoint = touchpoint_of_scene(follower.account_id, scene)
    kind = _kind(follower, is_follow=is_follow, at=at)
    touch = Touch.objects.create(
        touchpoint=touchpoint,
        follower=follower,
        member_id=follower.member_id,
        kind=kind,
        case=_case(follower.member_id, kind, at),
        issue=_issue(touchpoint, ticket),
        scene=scene[:64],
        at=at,
        push_id=push_id,
    )
    if touch.case == TouchCase.STAFF:
        return touch
    if touchpoint is not None and touchpoint.is_active and not (touchpoint.ends_at and touchpoint.ends_at <= at):
        tag_ids = list(TouchpointTag.objects.filter(touchpoint=touchpoint).values_list("tag_id", flat=True))
        if tag_ids:
            member_services.tag_members(
                member_ids=[follower.member_id],
                tag_ids=tag_ids,
                source=f"code: {touchpoint.name}",
                at=at,
            )
        if touchpoint.store is not None:
            member_services.set_store(member_id=follower.member_id, store=touchpoint.store)
    for _key, listener in on_touch.items():
        listener(touch)
    return touch


def _kind(follower: Follower, *, is_follow: bool, at: datetime) -> str:
    if not is_follow:
        return TouchKind.SCAN
    earlier = follower.follow_count - (1 if follower.followed_at == at else 0)
    return TouchKind.REFOLLOW if earlier > 0 else TouchKind.FOLLOW


def _case(member_id: int, kind: str, at: datetime) -> str:
    if is_staff(member_id):
        return TouchCase.STAFF
    if Member.objects.filter(pk=member_id, joined_at__lt=at).exists():
        return TouchCase.MEMBER
    return {TouchKind.FOLLOW: TouchCase.NEW, TouchKind.REFOLLOW: TouchCase.RETURNING}.get(
        TouchKind(kind), TouchCase.FOLLOWING
    )


def _issue(touchpoint: Touchpoint | None, ticket: str) -> CodeIssue | None:
    """Give the picture that was scanned: an older print carries an older ticket."""
    if touchpoint is None or not ticket:
        return None
    return CodeIssue.objects.filter(touchpoint=touchpoint, ticket=ticket[:200]).first()


def record_unfollow(*, follower: Follower, at: datetime, push_id: int | None = None) -> Unfollow | None:
    """Keep the moment somebody left. A push that was recorded before changes nothing."""
    if push_id is not None and Unfollow.objects.filter(push_id=push_id).exists():
        return None
    return Unfollow.objects.create(follower=follower, at=at, push_id=push_id)


def mark_staff(*, member: Member, at: datetime) -> StaffPerson:
    """Say that a person works here: their scans count nowhere from the beginning."""
    mark, made = StaffPerson.objects.get_or_create(member=member, defaults={"since": at})
    if made:
        Touch.objects.filter(member=member).update(case=TouchCase.STAFF)
        record_audit(action="mark staff", obj=member, changes={"staff": [False, True]})
    return mark


def unmark_staff(*, member: Member) -> None:
    """Say that a person does not work here any more; scans from now on count again, earlier ones stay staff's."""
    if StaffPerson.objects.filter(member=member).delete()[0]:
        record_audit(action="unmark staff", obj=member, changes={"staff": [True, False]})


def move_touches(*, kept: Member, merged: Member, at: datetime) -> int:
    """When two records become one, its touches come along."""
    return Touch.objects.filter(member=merged).update(member=kept)


def move_staff_marks(*, kept: Member, merged: Member, at: datetime) -> int:
    """When two records become one, it is staff's if one of them was."""
    rows = StaffPerson.objects.filter(member=merged)
    if StaffPerson.objects.filter(member=kept).exists():
        rows.delete()
        return 0
    return rows.update(member=kept)
