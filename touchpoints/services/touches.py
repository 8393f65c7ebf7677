"""What a scan does: a touch that is kept for ever, and an outcome that depends on who scanned."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils.translation import gettext as _

from accounts.services import record_audit
from common.registry import Registry
from members import services as member_services
from members.merging import Joined, Rows
from members.selectors import times_left_out
from touchpoints.errors import NoSuchScene, OddOpening
from touchpoints.models import StaffPerson, Touch, TouchCase, TouchKind, Unfollow
from touchpoints.selectors.benefits import benefit_kinds
from touchpoints.selectors.lookups import (
    Scanned,
    Standing,
    code_of,
    known_code,
    look_up_codes,
    standing_of,
    standings_of,
    tags_of_code,
    works_at,
)
from touchpoints.selectors.mini_codes import resolve_scene

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from members.models import Follower, Member
    from members.services.tags import Settled
    from touchpoints.models import Touchpoint
    from wechat_gateway.events import Push

_OPENING: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")

# What apps above do with a touch (guides assign): callable(touch), in the transaction that records it. A code that is
# not in use at that moment sets nothing off, so they hear of no such touch.
on_touch: Registry[Callable[[Touch], None]] = Registry("touch listeners", purpose="what a scan of a code sets off")


def record_touch(
    *,
    follower: Follower,
    scene: str,
    is_follow: bool,
    at: datetime,
    push_id: int | None = None,
    ticket: str = "",
    push: Push | None = None,
) -> Touch | None:
    """Keep one scan (or one follow without a code) and do what its code promises to this person.

    Five cases: new, returning, already following, member, staff. Everybody but staff gets the tags; the store and the
    guide of the code go to people who have none, so a member keeps theirs; a scan by staff is kept and sets nothing
    off, and so is every scan of a code that is paused, archived or over at that moment. A scan with an unknown scene
    is kept without a channel. A push that was recorded before changes nothing.
    """
    code = code_of(follower.account_id, scene, push)
    kind = _kind(follower, is_follow=is_follow, at=at)
    standing: Standing | None = push.found.get(_STANDING) if push is not None else None
    if standing is None:
        standing = standing_of(Scanned(follower.member_id, at, code.touchpoint.pk if code else None, ticket))
    touch = Touch(
        touchpoint=code.touchpoint if code else None,
        follower=follower,
        member_id=follower.member_id,
        kind=kind,
        **_cases(_case(kind, standing), standing),
        issue_id=standing.issue_id,
        scene=scene[:64],
        at=at,
        push_id=push_id,
    )
    if not Touch.objects.get_queryset().insert_new(touch):
        return None
    touch.push = push
    settled = push.found.get(_TAGS) if push is not None else None
    _keep_promises(touch, standing, code.tag_ids if code else (), settled)
    return touch


_TAGS: Final = "touchpoints.tags"
_STANDING: Final = "touchpoints.standing"


def look_up_scans(pushes: Sequence[Push]) -> None:
    """Look up once what scans among pushes ask for: their codes, the tags these give, and how the touches count.

    Of somebody with several pushes at once the latter is left to each of them: those before it may change it.
    """
    scans = [push for push in pushes if push.scene]
    look_up_codes(scans)
    codes = {push.push_id: code for push in scans if (code := known_code(push)) is not None}
    tag_ids = {tag_id for code in codes.values() for tag_id in code.tag_ids}
    settled = member_services.settled_tags(tag_ids) if tag_ids else {}
    people = {push.push_id: row.member_id for push in pushes if (row := member_services.known_follower(push))}
    often = Counter(people.values())
    alone = [push for push in scans if push.push_id in codes and often[people.get(push.push_id, 0)] == 1]
    standings = standings_of(
        [Scanned(people[push.push_id], push.event_at, codes[push.push_id].touchpoint.pk, push.ticket) for push in alone]
    )
    for push in scans:
        push.found[_TAGS] = settled
    for push, standing in zip(alone, standings, strict=True):
        push.found[_STANDING] = standing


def _keep_promises(touch: Touch, standing: Standing, tag_ids: Sequence[int], settled: Settled | None = None) -> None:
    """Do what a code promises to whoever scanned it; nothing for staff, and nothing by a code that is not in use."""
    touchpoint = touch.touchpoint
    if touchpoint is not None and not works_at(touchpoint, touch.at):
        return
    barred = touch.case == TouchCase.STAFF
    if touchpoint is not None and touchpoint.benefit_kind:
        kind = benefit_kinds.find(touchpoint.benefit_kind)
        if kind is not None:
            kind.give(touch, barred)
    if barred:
        return
    if touchpoint is not None:
        if tag_ids:
            member_services.tag_members(
                member_ids=[touch.member_id],
                tag_ids=tag_ids,
                source=f"code: {touchpoint.name}",
                at=touch.at,
                known=settled,
            )
        if touchpoint.store is not None and not standing.has_store:
            member_services.set_store(member_id=touch.member_id, store=touchpoint.store, at=touch.at)
    for _key, listener in on_touch.items():
        listener(touch)


def record_opening(*, member_id: int, appid: str, scene: str, opening: str, at: datetime) -> tuple[Touch, bool]:
    """Keep that a known person opened the mini program by a short scene; gives the touch, and whether it is new.

    `opening` is chosen by the mini program: the same one again, also at the same moment on two lines, gives the touch
    that is there. Promises of the code are kept as for a scan. Raises `NoSuchScene` also for another mini program's
    scene, and `OddOpening`.
    """
    if not _OPENING.fullmatch(opening):
        raise OddOpening(
            _("The id of an opening has 8 to 64 letters, digits, _ or -."),
            hint=_("Make a new random id for each opening, and send the same one when you repeat the call."),
            field="opening",
        )
    code = resolve_scene(scene, at=at)
    if code.program.appid != appid:
        raise NoSuchScene
    key = f"{member_id}:{opening}"
    known = Touch.objects.filter(opening=key).first()
    if known is not None:
        return known, False
    standing = standing_of(Scanned(member_id, at))
    try:
        with transaction.atomic():
            touch = Touch.objects.create(
                touchpoint=code.touchpoint,
                member_id=member_id,
                kind=TouchKind.OPEN,
                **_cases(_case_of_opening(standing), standing),
                mini_code=code,
                scene=code.code,
                at=at,
                opening=key,
            )
    except IntegrityError:
        return Touch.objects.get(opening=key), False
    _keep_promises(touch, standing, tags_of_code(code.touchpoint_id))
    return touch, True


def record_contact_added(*, member_id: int, touchpoint: Touchpoint, key: str, at: datetime) -> tuple[Touch, bool]:
    """Keep that a person added somebody who works here in WeCom; gives the touch, and whether it is new.

    `key` tells one contact from another: told again, it gives the touch that is there. Promises of the channel are kept
    as for a scan.
    """
    known = Touch.objects.filter(opening=key).first()
    if known is not None:
        return known, False
    standing = standing_of(Scanned(member_id, at))
    try:
        with transaction.atomic():
            touch = Touch.objects.create(
                touchpoint=touchpoint,
                member_id=member_id,
                kind=TouchKind.CONTACT,
                **_cases(_case_of_opening(standing), standing),
                at=at,
                opening=key,
            )
    except IntegrityError:
        return Touch.objects.get(opening=key), False
    _keep_promises(touch, standing, tags_of_code(touchpoint.pk))
    return touch, True


def _cases(case: str, standing: Standing) -> dict[str, str]:
    """Give the case as reports see it, and as it was for whoever is left out of them."""
    if case != TouchCase.STAFF and standing.left_out:
        return {"case": TouchCase.STAFF, "seen_as": case}
    return {"case": case}


def restate_touches(*, member_id: int, at: datetime) -> None:
    """Count what somebody did as their flags say today: left out while one held, and in again as it was before."""
    touches = Touch.objects.filter(member_id=member_id)
    inside = touches.filter(case=TouchCase.STAFF).exclude(seen_as="")
    meant = Q(pk__in=[])
    for since, until in times_left_out(member_id):
        meant |= Q(
            *([Q(at__gte=since)] if since is not None else []),
            *([Q(at__lt=until)] if until is not None else []),
            pk__isnull=False,
        )
    inside.exclude(meant).update(case=F("seen_as"), seen_as="")
    touches.exclude(case=TouchCase.STAFF).filter(meant).update(seen_as=F("case"), case=TouchCase.STAFF)


def _case_of_opening(standing: Standing) -> str:
    if standing.is_staff:
        return TouchCase.STAFF
    if standing.joined:
        return TouchCase.MEMBER
    return TouchCase.FOLLOWING if standing.subscribed else TouchCase.VISITOR


def _kind(follower: Follower, *, is_follow: bool, at: datetime) -> str:
    if not is_follow:
        return TouchKind.SCAN
    earlier = follower.follow_count - (1 if follower.followed_at == at else 0)
    return TouchKind.REFOLLOW if earlier > 0 else TouchKind.FOLLOW


def _case(kind: str, standing: Standing) -> str:
    if standing.is_staff:
        return TouchCase.STAFF
    if standing.joined:
        return TouchCase.MEMBER
    return {TouchKind.FOLLOW: TouchCase.NEW, TouchKind.REFOLLOW: TouchCase.RETURNING}.get(
        TouchKind(kind), TouchCase.FOLLOWING
    )


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


class _Touches(Rows):
    """Touches come along, and go back with those made since by a follower that goes back."""

    def give_back(self, *, kept: Member, merged: Member, moved: list[int], at: datetime) -> None:
        """Give back those that moved, and what the follower did since."""
        super().give_back(kept=kept, merged=merged, moved=moved, at=at)
        Touch.objects.filter(follower__member=merged, member=kept).update(member=merged)
        for member in (kept, merged):
            restate_touches(member_id=member.pk, at=at)


def _move_staff_marks(*, kept: Member, merged: Member, at: datetime) -> int:
    """When two records become one, it is staff's if one of them was."""
    rows = StaffPerson.objects.filter(member=merged)
    if StaffPerson.objects.filter(member=kept).exists():
        rows.delete()
        return 0
    return rows.update(member=kept)


TOUCHES: Final = _Touches(Touch)
STAFF_MARKS: Final = Joined((StaffPerson,), _move_staff_marks)
