"""Contacts: somebody follows, writes, leaves. The time of the event decides, not the order of arrival."""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING, Any

from django.db import connection

from accounts.tenancy import columns_of, current_brand_id, now_stored
from members import facts
from members.models import ErasureReason, Follower, Identity, IdentityKind, Member
from members.person import STORE
from members.services.erasure import start_clocks, stop_clock
from members.services.facts import SUBSCRIBED, log_facts, note_fact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from stores.models import Store
    from wechat_gateway.events import Push

MEMBER_NO_DIGITS = 10


def new_member_no() -> str:
    """Make a member number: ten random digits, so that it tells nothing of volume."""
    return str(secrets.randbelow(9 * 10 ** (MEMBER_NO_DIGITS - 1)) + 10 ** (MEMBER_NO_DIGITS - 1))


def lock_standing(*, member_id: int) -> Member:
    """Lock the record that stands for a person now: it may have become part of another since it was read."""
    member = Member.objects.select_for_update().get(pk=member_id)
    while member.merged_into_id is not None:
        member = Member.objects.select_for_update().get(pk=member.merged_into_id)
    return member


def new_member(*, at: datetime) -> Member:
    """Open a record for a person met for the first time."""
    for _attempt in range(5):
        member = Member(public_id=uuid.uuid4(), member_no=new_member_no(), created_at=at)
        if Member.objects.get_queryset().insert_new(member):
            return member
    message = "no free member number in five tries"
    raise RuntimeError(message)


def record_contact(*, account_id: int, appid: str, openid: str, at: datetime) -> Follower:
    """Give the follower behind an openid, locked; opens the person's record at first contact."""
    known = Follower.objects.select_for_update().filter(account_id=account_id, openid=openid)
    return known.first() or _meet(account_id=account_id, appid=appid, openid=openid, at=at)


# The follower first: where another transaction was quicker, nothing else is written either.
_MEET = """
WITH chosen AS (
    SELECT nextval(pg_get_serial_sequence('members_member', 'id')) AS id, no FROM unnest(%(numbers)s) AS no
    WHERE NOT EXISTS (SELECT FROM members_member m WHERE m.brand_id = %(brand)s AND m.member_no = no) LIMIT 1
), follower AS (
    INSERT INTO members_follower (member_id, {follower}) SELECT id, {a_follower} FROM chosen
    ON CONFLICT DO NOTHING RETURNING id, member_id
), member AS (
    INSERT INTO members_member (id, member_no, {member}) SELECT chosen.id, no, {a_member} FROM chosen, follower
), identity AS (
    INSERT INTO members_identity (member_id, {identity}) SELECT member_id, {an_identity} FROM follower
)
SELECT follower.id, member_id, no FROM follower, chosen
"""
_TRIES = 5


def _meet(*, account_id: int, appid: str, openid: str, at: datetime) -> Follower:
    """Open the record of somebody who was not there a moment ago, in one statement; they may be there by now."""
    member = Member(public_id=uuid.uuid4(), created_at=at)
    follower = Follower(account_id=account_id, openid=openid, profile_due_at=at)
    identity = Identity(kind=IdentityKind.OPENID, namespace=appid, value=openid, source="push", since=at)
    rows = [columns_of(row) for row in (follower, member, identity)]
    for row in rows:
        row.pop("member_id", None)
        row.pop("member_no", None)
    names = [", ".join(f'"{name}"' for name in row) for row in rows]
    values: dict[str, Any] = {
        "brand": current_brand_id(),
        "numbers": [new_member_no() for _ in range(_TRIES)],
        **{f"{place}{name}": value for place, row in enumerate(rows) for name, value in row.items()},
    }
    holders = [", ".join(f"%({place}{name})s" for name in row) for place, row in enumerate(rows)]
    statement = _MEET.format(
        follower=names[0], a_follower=holders[0], member=names[1], a_member=holders[1],
        identity=names[2], an_identity=holders[2],
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found = cursor.fetchone()
    if found is None:
        return Follower.objects.select_for_update().get(account_id=account_id, openid=openid)
    follower_id, member_id, member.member_no = found
    now_stored(member, member_id)
    now_stored(follower, follower_id)
    follower.member = member
    return follower


_FOLLOWERS = "members.followers"  # by account and OpenID; one dictionary for all pushes that were looked up together


def follower_of(push: Push) -> Follower:
    """Give the follower behind a push as `record_contact` does: whoever asks first looks, for all who handle it."""
    looked_up = _FOLLOWERS in push.found
    followers: dict[tuple[int, str], Follower] = push.found.setdefault(_FOLLOWERS, {})
    key = push.account_id, push.openid
    if key not in followers:
        meet = _meet if looked_up else record_contact
        followers[key] = meet(account_id=push.account_id, appid=push.appid, openid=push.openid, at=push.event_at)
    return followers[key]


def known_follower(push: Push) -> Follower | None:
    """Give the follower behind a push if somebody has looked already."""
    followers: dict[tuple[int, str], Follower] = push.found.get(_FOLLOWERS, {})
    return followers.get((push.account_id, push.openid))


def look_up_followers(pushes: Sequence[Push]) -> None:
    """Lock the followers behind pushes, all at once; who is met for the first time is left to `follower_of`."""
    rows = Follower.objects.select_for_update().filter(
        account_id__in={push.account_id for push in pushes}, openid__in={push.openid for push in pushes}
    )
    followers = {(row.account_id, row.openid): row for row in rows.order_by("pk")}
    for push in pushes:
        push.found[_FOLLOWERS] = followers


_SUBSCRIBED = """
changed AS (
    UPDATE members_member SET subscribed = %(now)s
    WHERE brand_id = %(brand)s AND id = ANY(%(people)s) AND subscribed <> %(now)s RETURNING id
), logged AS (
    INSERT INTO members_factchange (brand_id, member_id, what, ref, before, after, source, at)
    SELECT %(brand)s, id, %(what)s, 0, %(before)s, %(after)s, '', %(at)s FROM changed
)
"""
_FOLLOWED = f"""
WITH follower AS (
    UPDATE members_follower
    SET subscribed = true, followed_at = %(at)s, follow_count = %(count)s, profile_due_at = %(at)s
    WHERE brand_id = %(brand)s AND id = %(follower)s
), {_SUBSCRIBED}
"""  # noqa: S608 - constants


def record_follow(*, follower: Follower, at: datetime) -> bool:
    """Note that somebody follows since `at`. Gives whether they came back after leaving. Older news changes nothing."""
    if follower.followed_at is not None and follower.followed_at >= at:
        return False
    if follower.unfollowed_at is not None and follower.unfollowed_at > at:
        follower.followed_at = at  # the unfollow that came after is already known
        follower.follow_count += 1
        follower.save(update_fields=["followed_at", "follow_count"])
        return False
    came_back = follower.unfollowed_at is not None
    follower.subscribed = True
    follower.followed_at = at
    follower.follow_count += 1
    follower.profile_due_at = at
    known = {"follower": follower.pk, "count": follower.follow_count} | _subscribed([follower.member_id], True, at)
    note_fact(kind=facts.FOLLOW, member_ids=[follower.member_id], having=_FOLLOWED, known=known)
    if came_back:
        stop_clock(follower=follower, at=at)
    return came_back


def record_unfollow(*, follower: Follower, at: datetime) -> None:
    """Note that somebody left at `at`. Older news than the last follow changes nothing."""
    if follower.unfollowed_at is not None and follower.unfollowed_at >= at:
        return
    follower.unfollowed_at = at
    # A tie in the same second is settled by asking WeChat (profile_due_at); until then they count as gone.
    if follower.followed_at is None or follower.followed_at <= at:
        follower.subscribed = False
    follower.profile_due_at = at if follower.followed_at == at else follower.profile_due_at
    follower.save(update_fields=["unfollowed_at", "subscribed", "profile_due_at"])
    refresh_subscribed(member_ids=[follower.member_id], at=at)
    note_fact(kind=facts.FOLLOW, member_ids=[follower.member_id])
    if not follower.subscribed:
        start_clocks(followers=[follower], reason=ErasureReason.UNFOLLOWED, at=at)


# All of it in one statement: this happens with nearly every push.
_ACTED = """
WITH follower AS (
    UPDATE members_follower SET last_interaction_at = %(at)s
    WHERE brand_id = %(brand)s AND id = %(follower)s AND coalesce(last_interaction_at < %(at)s, true)
), member AS (
    UPDATE members_member SET last_interaction_at = %(at)s
    WHERE brand_id = %(brand)s AND id = %(member)s AND coalesce(last_interaction_at < %(at)s, true)
)
"""


def record_interaction(*, follower: Follower, at: datetime) -> None:
    """Note that a person did something themselves at `at`."""
    known = {"follower": follower.pk, "member": follower.member_id, "at": at}
    note_fact(kind=facts.ACT, member_ids=[follower.member_id], having=_ACTED, known=known)


def mark_unfollowed(*, account_id: int, openids: Sequence[str], at: datetime) -> int:
    """WeChat said these people do not follow: note it and have it confirmed. Gives how many changed."""
    followers = list(
        Follower.objects.select_for_update()
        .filter(account_id=account_id, openid__in=list(openids), subscribed=True)
        .order_by("pk"),
    )
    Follower.objects.filter(pk__in=[follower.pk for follower in followers]).update(
        subscribed=False,
        unfollowed_at=at,
        profile_due_at=at,
    )
    refresh_subscribed(member_ids=[follower.member_id for follower in followers], at=at)
    start_clocks(followers=followers, reason=ErasureReason.UNFOLLOWED, at=at)
    return len(followers)


def refresh_subscribed(*, member_ids: Sequence[int], at: datetime) -> None:
    """Make the flag on members equal to their followers again, and write down whom that changed."""
    if not member_ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(_FOLLOWING, {"brand": current_brand_id(), "people": sorted(set(member_ids))})
        following = {member_id for (member_id,) in cursor.fetchall()}
    _note_subscribed(set(member_ids) - following, subscribed=False, at=at)
    _note_subscribed(following, subscribed=True, at=at)


# Two statements in one journey: somebody who leaves two accounts at once waits here, and then sees both.
_FOLLOWING = """
SELECT FROM members_member WHERE brand_id = %(brand)s AND id = ANY(%(people)s) ORDER BY id FOR NO KEY UPDATE;
SELECT DISTINCT member_id FROM members_follower
WHERE brand_id = %(brand)s AND member_id = ANY(%(people)s) AND subscribed
"""


def _note_subscribed(people: set[int], *, subscribed: bool, at: datetime) -> None:
    if people:
        with connection.cursor() as cursor:
            cursor.execute(f"WITH {_SUBSCRIBED} SELECT", _subscribed(sorted(people), subscribed, at))


def _subscribed(people: list[int], now: bool, at: datetime) -> dict[str, Any]:
    before, after = ("", "yes") if now else ("yes", "")
    values = {"brand": current_brand_id(), "people": people, "now": now, "what": SUBSCRIBED, "at": at}
    return values | {"before": before, "after": after}


def set_store(*, member_id: int, store: Store, at: datetime) -> None:
    """Give a person a home store unless they have one."""
    if Member.objects.filter(pk=member_id, store__isnull=True).update(store=store):
        log_facts(what=STORE, pairs=[(member_id, 0)], before="", after=f"{store.pk}", source="", at=at)


def join(*, member: Member, at: datetime, name: str = "") -> Member:
    """Make a person a member (入会). Doing it again changes nothing."""
    if member.joined_at is None or at < member.joined_at:  # older news may come later
        member.joined_at = at
    if name and not member.name:
        member.name = name[:60]
    member.save(update_fields=["joined_at", "name"])
    note_fact(kind=facts.JOIN, member_ids=[member.pk])
    return member
