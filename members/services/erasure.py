"""Erasure: whoever unfollows or withdraws starts a clock, and when it has run out what they left is deleted.

Members who joined, or who still follow another account of the brand, stay; only what the one account knew goes. Ledgers
(orders, points, consents) stay without name, phone or OpenID.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tenancy import brand_scope
from common.errors import Invalid
from common.failpoints import point
from common.registry import Registry
from members.models import (
    ErasureClock,
    ErasureReason,
    ErasureState,
    FactChange,
    FactDue,
    Follower,
    Identity,
    IdentityKind,
    Member,
    MemberTag,
    MiniProgramSession,
    PreTag,
    PrivacyPolicy,
    RemoteTagging,
)
from wechat_gateway import services as gateway_services

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_GRACE_DAYS: Final = 90
#: What WeChat names in RevokeInfo (reference: service account 3.7); anything else means all of it.
KNOWN_REVOCATIONS: Final[Mapping[str, frozenset[str]]] = {
    "201": frozenset({"address"}),
    "202": frozenset({"invoice"}),
    "203": frozenset({"card"}),
    "204": frozenset({"microphone"}),
    "205": frozenset({"name"}),
    "206": frozenset({"location"}),
    "207": frozenset({"media"}),
}
_A_ROUND: Final = 200

on_erase: Registry[Callable[..., int]] = Registry(
    "erasure steps",
    purpose="what an app deletes of a person whose clock has run out: callable(*, follower, whole, at) -> rows",
)


def privacy_policy() -> PrivacyPolicy:
    """How long the brand in scope waits; what the product proposes where it has not chosen."""
    return PrivacyPolicy.objects.first() or PrivacyPolicy()


def set_privacy_policy(*, unfollow_grace_days: int, at: datetime) -> PrivacyPolicy:
    """Choose for how many days what somebody left is kept after an unfollow; clocks that run follow. Raises Invalid."""
    if not 0 <= unfollow_grace_days <= MOST_GRACE_DAYS:
        raise Invalid(
            _("The grace has 0 to %(days)s days.") % {"days": MOST_GRACE_DAYS}, hint="", field="unfollow_grace_days"
        )
    policy = privacy_policy()
    before, policy.unfollow_grace_days, policy.updated_at = policy.unfollow_grace_days, unfollow_grace_days, at
    policy.save()
    running = ErasureClock.objects.filter(state=ErasureState.RUNNING, reason=ErasureReason.UNFOLLOWED)
    for clock in running.iterator(chunk_size=1000):
        ErasureClock.objects.filter(pk=clock.pk).update(due_at=clock.started_at + timedelta(days=unfollow_grace_days))
    record_audit(
        action="change erasure grace", obj=policy, changes={"unfollow_grace_days": [before, unfollow_grace_days]}
    )
    return policy


def start_clocks(*, followers: Iterable[Follower], reason: str, at: datetime, what: str = "") -> None:
    """Let what these people left be deleted when its time has come; a clock that runs already goes on as it is."""
    policy = privacy_policy()
    days = policy.unfollow_grace_days if reason == ErasureReason.UNFOLLOWED else policy.withdrawal_days
    ErasureClock.objects.bulk_create(
        [
            ErasureClock(
                follower=follower, reason=reason, what=what[:40], started_at=at, due_at=at + timedelta(days=days)
            )
            for follower in followers
        ],
        ignore_conflicts=True,
    )


def stop_clock(*, follower: Follower, at: datetime) -> int:
    """Somebody follows again within the grace: nothing is deleted. Withdrawals go on."""
    return ErasureClock.objects.filter(
        follower=follower, reason=ErasureReason.UNFOLLOWED, state=ErasureState.RUNNING
    ).update(state=ErasureState.STOPPED, ended_at=at)


def erase_due(brand_id: int, *, at: datetime, limit: int = _A_ROUND) -> int:
    """Delete what is due in a brand, each person in a transaction of their own; gives how many clocks ended."""
    ended = 0
    while ended < limit:
        with brand_scope(brand_id):
            clock = (
                ErasureClock.objects.select_for_update(skip_locked=True, of=("self",))
                .select_related("follower")
                .filter(state=ErasureState.RUNNING, due_at__lte=at)
                .order_by("due_at", "pk")
                .first()
            )
            if clock is None:
                return ended
            _run_out(clock, at)
            point("erasure: done, not committed")
        ended += 1
    return ended


def _run_out(clock: ErasureClock, at: datetime) -> None:
    follower = Follower.objects.select_for_update().get(pk=clock.follower_id)
    state, erased = ErasureState.DONE, {}
    if clock.reason == ErasureReason.UNFOLLOWED and follower.subscribed:
        state = ErasureState.STOPPED
    elif clock.reason in (ErasureReason.UNFOLLOWED, ErasureReason.CANCELLED):
        erased = _erase(follower, whole=clock.reason == ErasureReason.CANCELLED, at=at)
    elif clock.reason == ErasureReason.REVOKED:
        erased = _erase_kinds(follower, clock.what)
    else:
        Follower.objects.filter(pk=follower.pk).update(profile_due_at=at)  # what changed is read anew
    ErasureClock.objects.filter(pk=clock.pk).update(state=state, ended_at=at, erased=erased)
    if erased:
        record_audit(action="erase person", obj=follower, changes={"erased": [None, erased]}, reason=clock.reason)


def _erase(follower: Follower, *, whole: bool, at: datetime) -> dict[str, int]:
    """Delete what one account knew of a person, and the person where nothing else ties them to the brand."""
    member = Member.objects.select_for_update().get(pk=follower.member_id)
    others = Follower.objects.filter(member=member, subscribed=True).exclude(pk=follower.pk).exists()
    gone = whole or not (others or member.joined_at is not None)
    erased = {key: step(follower=follower, whole=gone, at=at) for key, step in on_erase.items()}
    erased["pushes"] = gateway_services.erase_pushes(account_id=follower.account_id, openid=follower.openid)
    erased["taggings"] = RemoteTagging.objects.filter(follower=follower).delete()[0]
    ties = Identity.objects.filter(member=member)
    if not gone:
        ties = ties.filter(kind=IdentityKind.OPENID, namespace=follower.account.appid, value=follower.openid)
    erased["identities"] = ties.delete()[0]
    if gone:
        erased["tags"] = MemberTag.objects.filter(member=member).delete()[0]
        FactChange.objects.filter(member=member).delete()
        FactDue.objects.filter(member=member).delete()
        PreTag.objects.filter(member=member).delete()
        erased["sessions"] = MiniProgramSession.objects.filter(member=member).delete()[0]
        Member.objects.filter(pk=member.pk).update(
            name="",
            phone=None,
            phone_index=None,
            phone_tail="",
            phone_masked="",
            birth_mmdd=None,
            city="",
            tag_ids=[],
            erased_at=at,
        )
    Follower.objects.filter(pk=follower.pk).update(
        openid=f"erased-{follower.pk}", unionid="", follow_scene="", profile_due_at=None
    )
    return {key: rows for key, rows in erased.items() if rows} | {"member": int(gone)}


def _erase_kinds(follower: Follower, what: str) -> dict[str, int]:
    """Delete the kinds of data that were withdrawn; of the ones WeChat names, name and place are kept here."""
    kinds = KNOWN_REVOCATIONS.get(what, frozenset({"name", "location"}))
    member = Member.objects.filter(pk=follower.member_id)
    erased: dict[str, int] = {}
    if "name" in kinds:
        erased["name"] = member.exclude(name="").update(name="")
    if "location" in kinds:
        erased["city"] = member.exclude(city="").update(city="")
    return erased
