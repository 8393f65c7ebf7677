"""Erasure: whoever unfollows or withdraws starts a clock, and when it has run out what they left is deleted.

Members who joined, or who still follow another account of the brand, stay; only what the one account knew goes. Ledgers
(orders, points, consents) stay without name, phone or OpenID.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import AuditEntry
from accounts.services import forget_in_audit, record_audit
from accounts.tenancy import brand_scope
from common.errors import Invalid
from common.failpoints import point
from common.registry import Registry
from members.errors import ErasureHeld, RequestInvalid
from members.models import (
    ErasureClock,
    ErasureReason,
    ErasureState,
    FactChange,
    FactDue,
    Follower,
    Identity,
    IdentityKind,
    LegalHold,
    Member,
    MemberTag,
    MiniProgramSession,
    PreTag,
    PrivacyPolicy,
    ProfileValue,
    RemoteTagging,
)
from members.person import CITY
from members.personal import Fate, Person
from members.selectors import person_of
from members.services.proof import look, settle
from wechat_gateway import services as gateway_services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from members.services.proof import Held

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
#: Which pushes hold a kind of data.
_PUSHES: Final[Mapping[str, frozenset[str]]] = {
    "location": frozenset({"location", "LOCATION", "location_select"}),
    "media": frozenset({"image", "video", "shortvideo"}),
    "microphone": frozenset({"voice"}),
}
_A_ROUND: Final = 200
_REASON: Final = 120

_HELD_ON = timedelta(days=1)

on_erase: Registry[Callable[..., int]] = Registry(
    "erasure steps",
    purpose="what an app deletes of a person whose clock has run out: callable(*, follower, whole, at) -> rows",
)
on_withdraw: Registry[Callable[..., int]] = Registry(
    "withdrawal steps",
    purpose="what an app deletes when kinds of data are withdrawn: callable(*, follower, kinds, until) -> rows",
)
exceptions: Registry[Callable[[int], list[str]]] = Registry(
    "erasure exceptions",
    purpose="what must be settled before a person is deleted: callable(member_id) -> sentences",
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
    """Let what these people left be deleted when its time has come; a clock that runs already goes on as it is.

    Whoever withdraws one thing and then another has two clocks: what is withdrawn first does not stand for the rest.
    """
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


def erase_member(*, member: Member, reason: str, at: datetime) -> dict[str, Any]:
    """Delete everything about a person that no law keeps, whoever they still follow; gives the proof.

    Raises `ErasureHeld` while something must be settled first.
    """
    member = Member.objects.select_for_update().get(pk=member.pk)
    held = reasons_to_wait(member.pk)
    if held:
        raise ErasureHeld(held)
    person = person_of(member.pk)
    before = look(person)
    followers = list(Follower.objects.select_for_update().filter(pk__in=person.follower_ids).order_by("pk"))
    _forget_names(person, before)
    nobody = Follower(pk=0, brand_id=member.brand_id, account_id=0, member=member, openid="")
    erased: Counter[str] = Counter()
    for follower in followers or [nobody]:
        erased.update({key: step(follower=follower, whole=True, at=at) for key, step in on_erase.items()})
        _blank(follower)
    Member.objects.filter(pk__in=person.member_ids).update(erased_at=at, subscribed=False)
    proof = settle(before, at=at)
    ErasureClock.objects.filter(follower_id__in=person.follower_ids, state=ErasureState.RUNNING).update(
        state=ErasureState.DONE, ended_at=at, held_for=""
    )
    counts = {line["table"]: line["before"] for line in proof["lines"] if line["fate"] == Fate.DELETED}
    record_audit(action="erase person", obj=member, changes={"erased": [None, counts]}, reason=reason, label="***")
    return proof


def reasons_to_wait(member_id: int) -> list[str]:
    """Say what keeps a person from being deleted now: legal holds, and what apps have registered."""
    holds = LegalHold.objects.filter(member_id=member_id, ended_at=None).order_by("pk")
    found = [_("legal hold: %(reason)s") % {"reason": hold.reason} for hold in holds]
    for _key, ask in exceptions.items():
        found += ask(member_id)
    return found


@transaction.atomic
def hold_member(*, member: Member, reason: str, by: str, at: datetime) -> LegalHold:
    """Keep everything of a person for a dispute or an inquiry, whatever clocks run. Raises `RequestInvalid`."""
    reason = reason.strip()
    if not reason or len(reason) > _REASON:
        raise RequestInvalid("reason")
    row, created = LegalHold.objects.get_or_create(
        member=member, ended_at=None, defaults={"reason": reason, "by": by[:60], "at": at}
    )
    if created:
        record_audit(action="hold person", obj=member, reason=reason)
    return row


@transaction.atomic
def end_hold(*, member: Member, at: datetime) -> int:
    """End a legal hold: clocks that have run out meanwhile go on in the next round."""
    ended = LegalHold.objects.filter(member=member, ended_at=None).update(ended_at=at)
    if ended:
        followers = Follower.objects.filter(member=member).values("pk")
        ErasureClock.objects.filter(follower__in=followers, state=ErasureState.RUNNING).exclude(held_for="").update(
            due_at=at, held_for=""
        )
        record_audit(action="end hold", obj=member)
    return ended


def _run_out(clock: ErasureClock, at: datetime) -> None:
    Member.objects.select_for_update().get(pk=clock.follower.member_id)  # first: two clocks of a person take turns
    follower = Follower.objects.select_for_update().get(pk=clock.follower_id)
    held = reasons_to_wait(follower.member_id)
    if held and clock.reason != ErasureReason.MODIFIED:
        ErasureClock.objects.filter(pk=clock.pk).update(due_at=at + _HELD_ON, held_for="; ".join(held)[:200])
        return
    state = ErasureState.DONE
    erased: dict[str, int] = {}
    proof: dict[str, Any] = {}
    if clock.reason == ErasureReason.UNFOLLOWED and follower.subscribed:
        state = ErasureState.STOPPED
    elif clock.reason in (ErasureReason.UNFOLLOWED, ErasureReason.CANCELLED):
        erased, proof = _erase(follower, whole=clock.reason == ErasureReason.CANCELLED, at=at)
    elif clock.reason == ErasureReason.REVOKED:
        erased = _erase_kinds(follower, clock.what, until=clock.started_at)
    else:
        Follower.objects.filter(pk=follower.pk).update(profile_due_at=at)  # what changed is read anew
    ErasureClock.objects.filter(pk=clock.pk).update(state=state, ended_at=at, erased=erased, proof=proof, held_for="")
    if erased:
        record_audit(action="erase person", obj=follower, changes={"erased": [None, erased]}, reason=clock.reason)


def _erase(follower: Follower, *, whole: bool, at: datetime) -> tuple[dict[str, int], dict[str, Any]]:
    """Delete what one account knew of a person, and the person where nothing else ties them to the brand."""
    member = Member.objects.select_for_update().get(pk=follower.member_id)
    others = Follower.objects.filter(member=member, subscribed=True).exclude(pk=follower.pk).exists()
    gone = whole or not (others or member.joined_at is not None)
    if gone:  # of every account of the brand, whether they still follow it or left it before
        known = person_of(member.pk)
        followers = list(Follower.objects.select_for_update().filter(pk__in=known.follower_ids).order_by("pk"))
    else:
        known, followers = Person((member.pk,), (follower.pk,)), [follower]
    before = look(known) if gone else []
    erased: Counter[str] = Counter({"names": _forget_names(known, before)})
    for each in followers:
        erased.update({key: step(follower=each, whole=gone, at=at) for key, step in on_erase.items()})
        erased["pushes"] += gateway_services.erase_pushes(account_id=each.account_id, openid=each.openid)
        erased["taggings"] += RemoteTagging.objects.filter(follower=each).delete()[0]
    ties = Identity.objects.filter(member_id__in=known.member_ids)
    if not gone:
        ties = ties.filter(kind=IdentityKind.OPENID, namespace=follower.account.appid, value=follower.openid)
    erased["identities"] = ties.delete()[0]
    if gone:
        erased["tags"] = MemberTag.objects.filter(member_id__in=known.member_ids).delete()[0]
        FactChange.objects.filter(member_id__in=known.member_ids).delete()
        FactDue.objects.filter(member_id__in=known.member_ids).delete()
        PreTag.objects.filter(member_id__in=known.member_ids).delete()
        erased["sessions"] = MiniProgramSession.objects.filter(member_id__in=known.member_ids).delete()[0]
        Member.objects.filter(pk__in=known.member_ids).update(
            name="",
            phone=None,
            phone_index=None,
            phone_tail="",
            phone_masked="",
            birth_mmdd=None,
            gender="",
            city="",
            tag_ids=[],
            subscribed=False,
            erased_at=at,
        )
        # A clock that another worker holds waits for this person: it will find nothing left, and end by itself.
        running = ErasureClock.objects.filter(follower_id__in=known.follower_ids, state=ErasureState.RUNNING)
        free = list(running.select_for_update(skip_locked=True).order_by("pk").values_list("pk", flat=True))
        ErasureClock.objects.filter(pk__in=free).update(state=ErasureState.DONE, ended_at=at, held_for="")
    for each in followers:
        _blank(each)
    counts = {key: rows for key, rows in erased.items() if rows} | {"member": int(gone)}
    return counts, settle(before, at=at) if gone else {}


def _forget_names(person: Person, held: Iterable[Held]) -> int:
    """Take who it was out of what the audit log says of anything of theirs; what was done, and by whom, stays."""
    objects = [(each.key, pk) for each in held for pk in each.ids]
    words = set()
    for member in Member.objects.filter(pk__in=person.member_ids).order_by("pk"):
        words |= {member.name, member.phone_masked, member.city}
        if member.phone is not None:
            phone = member.phone.reveal()
            words |= {phone, phone.removeprefix("+86")}
    for follower in Follower.objects.filter(pk__in=person.follower_ids).order_by("pk"):
        words |= {follower.openid, follower.unionid}
    # The names and cities they had before, as the log itself says: they may stand in a reason, too.
    told = AuditEntry.objects.filter(
        object_type="members.member", object_id__in=[str(pk) for pk in person.member_ids], action="change profile"
    )
    for changes in told.order_by().values_list("changes", flat=True):
        words |= {text for key in ("name", "city") for text in changes.get(key) or () if text}
    return forget_in_audit(objects=objects, words=words)


def _blank(follower: Follower) -> None:
    Follower.objects.filter(pk=follower.pk).update(
        openid=f"erased-{follower.pk}", unionid="", follow_scene="", profile_due_at=None, subscribed=False
    )


def _erase_kinds(follower: Follower, what: str, *, until: datetime) -> dict[str, int]:
    """Delete the kinds of data that were withdrawn; what was sent after the withdrawal was given anew, and stays."""
    kinds = KNOWN_REVOCATIONS.get(what, frozenset[str]().union(*KNOWN_REVOCATIONS.values()))
    member = Member.objects.filter(pk=follower.member_id)
    erased: dict[str, int] = {}
    if "name" in kinds:
        erased["name"] = member.exclude(name="").update(name="")
        ProfileValue.objects.filter(member_id=follower.member_id, key="name").delete()
    if "location" in kinds:
        erased["city"] = member.exclude(city="").update(city="")
        ProfileValue.objects.filter(member_id=follower.member_id, key="city").delete()
        FactChange.objects.filter(member_id=follower.member_id, what=CITY).delete()
    erased |= {key: step(follower=follower, kinds=kinds, until=until) for key, step in on_withdraw.items()}
    erased["pushes"] = gateway_services.erase_pushes(
        account_id=follower.account_id,
        openid=follower.openid,
        kinds=[push for kind in kinds for push in _PUSHES.get(kind, ())],
        until=until,
    )
    return {key: rows for key, rows in erased.items() if rows}
