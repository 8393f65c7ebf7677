"""Changes to the channel tree, its codes, and what a scan does."""

from __future__ import annotations

import logging
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import F, Q
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tenancy import brand_scope
from common.registry import Registry
from members import services as member_services
from touchpoints.errors import CodeNotIssued
from touchpoints.models import Touch, TouchKind, Touchpoint, TouchpointTag
from touchpoints.selectors import touchpoint_of_scene
from wechat_gateway import calls
from wechat_gateway.errcodes import explain
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from members.models import Follower, Member, Tag
    from stores.models import Store

logger = logging.getLogger(__name__)

TEMPORARY_DAYS = 30

# What apps above do with a touch (guides assign): callable(touch), in the transaction that records it.
on_touch: Registry[Callable[[Touch], None]] = Registry("touch listeners", purpose="what a scan of a code sets off")


def create_touchpoint(
    *,
    name: str,
    at: datetime,
    account: OfficialAccount | None = None,
    parent: Touchpoint | None = None,
    store: Store | None = None,
    tags: Sequence[Tag] = (),
    welcome: str = "",
    is_permanent: bool = False,
    scene: str = "",
) -> Touchpoint:
    """Add a node to the tree. With an account it is a leaf with a scene (short and opaque) that a code can carry."""
    touchpoint = Touchpoint.objects.create(
        name=name,
        parent=parent,
        account=account,
        store=store,
        welcome=welcome,
        is_permanent=is_permanent,
        scene=scene or (new_scene() if account else ""),
        created_at=at,
    )
    set_tags(touchpoint=touchpoint, tags=tags)
    if account is not None:
        replies_changed(account_id=account.pk)
    record_audit(action="create channel", obj=touchpoint, changes={"name": [None, name]})
    return touchpoint


def new_scene() -> str:
    """Make a short opaque scene; it tells nothing and fits mini-program codes too (≤ 32 characters)."""
    return "t" + secrets.token_hex(5)


def set_tags(*, touchpoint: Touchpoint, tags: Sequence[Tag]) -> None:
    """Say which tags a code puts on whoever scans it."""
    TouchpointTag.objects.filter(touchpoint=touchpoint).exclude(tag__in=tags).delete()
    TouchpointTag.objects.bulk_create(
        (TouchpointTag(touchpoint=touchpoint, tag=tag) for tag in tags),
        ignore_conflicts=True,
    )


def replies_changed(*, account_id: int) -> None:
    """Let the gateway compile the account's answers anew (within a second)."""
    OfficialAccount.objects.filter(pk=account_id).update(replies_version=F("replies_version") + 1)


def keep_code(*, touchpoint: Touchpoint, ticket: str, url: str, at: datetime) -> Touchpoint:
    """Keep the code WeChat made for a channel; a temporary one lives 30 days (reference: service account 5.5)."""
    touchpoint.ticket, touchpoint.code_url, touchpoint.problem = ticket, url, ""
    touchpoint.expires_at = None if touchpoint.is_permanent else at + timedelta(days=TEMPORARY_DAYS)
    touchpoint.save(update_fields=["ticket", "code_url", "problem", "expires_at"])
    return touchpoint


def record_touch(
    *,
    follower: Follower,
    scene: str,
    is_follow: bool,
    at: datetime,
    push_id: int | None = None,
) -> Touch | None:
    """Keep one scan (or one follow without a code) and do what its code promises: tags, store, listeners.

    A scan with an unknown scene is kept without a channel. A push that was recorded before changes nothing.
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
        scene=scene[:64],
        at=at,
        push_id=push_id,
    )
    if touchpoint is not None and touchpoint.is_active:
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


def move_touches(*, kept: Member, merged: Member, at: datetime) -> int:
    """When two records become one, its touches come along."""
    return Touch.objects.filter(member=merged).update(member=kept)


def issue_code(brand_id: int, touchpoint_id: int, *, at: datetime) -> Touchpoint:
    """Have WeChat make (or renew) the code of a channel. Raises `CodeNotIssued` with the cause and what to do.

    Opens its own scopes: the call to WeChat happens outside any transaction.
    """
    with brand_scope(brand_id):
        touchpoint = Touchpoint.objects.select_related("account").get(pk=touchpoint_id)
        account = touchpoint.account
    if account is None:
        raise CodeNotIssued(_("This channel has no service account."), _("Only leaves of the tree carry a code."))
    make = calls.create_permanent_code if touchpoint.is_permanent else calls.create_code
    answer = make(account, touchpoint.scene, at=at)
    ticket, url = str(answer.data.get("ticket", "")), str(answer.data.get("url", ""))
    with brand_scope(brand_id):
        touchpoint = Touchpoint.objects.select_for_update().get(pk=touchpoint_id)
        if answer.ok and ticket and url:
            return keep_code(touchpoint=touchpoint, ticket=ticket, url=url, at=at)
        said = explain(answer.code) if answer.code else None
        cause = str(said.cause) if said else _("WeChat could not be reached (%(cause)s)") % {"cause": answer.cause}
        touchpoint.problem = cause[:200]
        touchpoint.save(update_fields=["problem"])
    raise CodeNotIssued(cause, str(said.action) if said else _("Try again in a few minutes."))


def renew_codes(brand_id: int, *, at: datetime) -> int:
    """Renew the temporary codes that end within five days, and those that were never made. Gives how many are new."""
    soon = at + timedelta(days=5)
    with brand_scope(brand_id):
        due = list(
            Touchpoint.objects.filter(is_active=True, account__isnull=False)
            .exclude(scene="")
            .filter(Q(ticket="") | Q(is_permanent=False, expires_at__lt=soon))
            .order_by("pk")
            .values_list("pk", flat=True)[:500],
        )
    made = 0
    for touchpoint_id in due:
        try:
            issue_code(brand_id, touchpoint_id, at=at)
            made += 1
        except CodeNotIssued as error:
            logger.warning("no code for channel %s: %s", touchpoint_id, error.message)
            break
    return made
