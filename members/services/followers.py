"""Keeping followers in step with WeChat: the full list when an account is connected, profiles as they come due.

Each function opens short scopes of its own and calls WeChat between them, never inside a transaction.
"""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from accounts.tenancy import brand_scope
from common.failpoints import point
from common.registry import Registry
from members.models import ErasureReason, Follower, Identity, IdentityKind, Member
from members.services.erasure import start_clocks, stop_clock
from members.services.identity import link_unionid
from members.services.people import new_member_no, record_contact, refresh_subscribed
from members.services.pre_tags import awaited
from wechat_gateway import calls
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wechat_gateway.answers import Answer

logger = logging.getLogger(__name__)

# What apps above do once WeChat has said how a follower came (channels): callable(*, follower, at), in the transaction
# that keeps the profile.
on_profile: Registry[Callable[..., Any]] = Registry(
    "profile listeners", purpose="what happens once WeChat has told how a follower came: callable(*, follower, at)"
)

RETRY_AFTER = timedelta(minutes=5)
MAX_PAGES = 5_000  # fifty million followers: a list that is longer does not end
MAX_ID = 64
MAX_MOMENT = 2**32
_FOLLOWING = {"1": 1, "True": 1, "0": 0, "False": 0}


def fetch_followers(brand_id: int, account_id: int, *, at: datetime) -> int:
    """Take over every follower an account has (pages of 10,000, profiles in hundreds). Gives how many are new.

    Safe to repeat; a page that fails ends the run and the next one goes on with what is missing. So does a cursor that
    was there before: WeChat's list would never end.
    """
    with brand_scope(brand_id):
        account = OfficialAccount.objects.get(pk=account_id)
    after, new = "", 0
    seen = {after}
    for _ in range(MAX_PAGES):
        answer = calls.list_followers(account, after=after, at=at)
        openids, after = _listed(answer) if answer.ok else ([], "")
        with brand_scope(brand_id):
            known = set(
                Follower.objects.filter(account=account, openid__in=openids).values_list("openid", flat=True),
            )
        point("followers: page read")
        missing = [openid for openid in openids if openid not in known]
        for start in range(0, len(missing), calls.USERS_PER_CALL):
            new += refresh_profiles(brand_id, account, missing[start : start + calls.USERS_PER_CALL], at=at)
        if not openids or after in seen:
            break
        seen.add(after)
    return new


def _listed(answer: Answer) -> tuple[list[str], str]:
    """The openids of a page, each once, and where the next page begins."""
    data = answer.data.get("data")
    openids = data.get("openid") if isinstance(data, dict) else None
    told = openids if isinstance(openids, list) else []
    return [openid for openid in dict.fromkeys(map(_plain, told)) if openid], _plain(answer.data.get("next_openid"))


def _plain(value: object) -> str:
    """An id that can be one: anything else stands for nothing."""
    return value if isinstance(value, str) and len(value) <= MAX_ID and value.isprintable() else ""


def _profiles(answer: Answer) -> dict[str, dict[str, Any]]:
    """What WeChat says of each follower, in the shape of its documents; what has another says nothing."""
    told = answer.data.get("user_info_list")
    found = {}
    for row in told if isinstance(told, list) else []:
        following = _FOLLOWING.get(str(row.get("subscribe"))) if isinstance(row, dict) else None
        openid = _plain(row.get("openid")) if following is not None else ""
        if openid:
            followed, scene = row.get("subscribe_time"), row.get("subscribe_scene")
            found[openid] = {
                "openid": openid,
                "subscribe": following,
                "subscribe_time": followed if type(followed) is int and 0 < followed <= MAX_MOMENT else 0,
                "subscribe_scene": "".join(filter(str.isprintable, scene)) if isinstance(scene, str) else "",
                "unionid": _plain(row.get("unionid")),
            }
    return found


def refresh_due(brand_id: int, *, at: datetime, limit: int = 1000) -> int:
    """Ask WeChat about the followers whose profile is due (new ones, doubtful ones). Gives how many were asked."""
    with brand_scope(brand_id):
        due = list(
            Follower.objects.filter(profile_due_at__lte=at)
            .order_by("profile_due_at", "pk")
            .values_list("account_id", "openid")[:limit],
        )
        accounts = OfficialAccount.objects.in_bulk({account_id for account_id, _ in due})
    for account_id, account in accounts.items():
        openids = [openid for owner, openid in due if owner == account_id]
        for start in range(0, len(openids), calls.USERS_PER_CALL):
            refresh_profiles(brand_id, account, openids[start : start + calls.USERS_PER_CALL], at=at)
    return len(due)


def refresh_profiles(brand_id: int, account: OfficialAccount, openids: Sequence[str], *, at: datetime) -> int:
    """Ask WeChat about up to 100 followers and keep what it says. Gives how many were met for the first time."""
    answer: Answer = calls.get_users(account, openids, at=at)
    point("followers: profiles read")
    if not answer.ok:
        with brand_scope(brand_id):
            held = [follower.pk for follower in _hold(account, openids)]
            Follower.objects.filter(pk__in=held).update(profile_due_at=at + RETRY_AFTER)
        logger.warning("profiles of %s were not read: %s", account.appid, answer.cause)
        return 0
    rows = _profiles(answer)
    with brand_scope(brand_id):
        known = {follower.openid for follower in _hold(account, openids)}
        strangers = [
            rows[openid] for openid in openids if openid not in known and rows.get(openid, {}).get("subscribe")
        ]
        met = _meet(account, strangers, at)
        # Two accounts know one person by two openids: by unionid, which they lock as well, all go in one order.
        for openid in sorted(openids, key=lambda each: str(rows.get(each, {}).get("unionid") or "")):
            if openid in met:
                continue
            follower = record_contact(account_id=account.pk, appid=account.appid, openid=openid, at=at)
            keep_profile(account=account, follower=follower, profile=rows.get(openid, {}), at=at)
        point("followers: kept, not committed")
    return len(set(openids) - known)


def _hold(account: OfficialAccount, openids: Sequence[str]) -> list[Follower]:
    """Lock who is known of `openids`, in one order: two workers with the same followers never wait in a ring."""
    return list(
        Follower.objects.select_for_update()
        .filter(account=account, openid__in=openids)
        .order_by("pk")
        .only("pk", "brand_id", "openid")
    )


def _meet(account: OfficialAccount, profiles: Sequence[dict[str, Any]], at: datetime) -> set[str]:
    """Open records for many followers at once, as connecting an account with a million of them needs.

    Only those whose unionid nobody has yet; the others take the careful path. Gives the openids that are done.
    """
    unionids = {str(row["unionid"]) for row in profiles if row.get("unionid")}
    subject = account.open_platform_subject
    taken = set(
        Identity.objects.filter(
            kind=IdentityKind.UNIONID, namespace=subject, value__in=unionids, ended_at__isnull=True
        ).values_list("value", flat=True),
    )
    taken |= awaited(IdentityKind.UNIONID, sorted(unionids))  # tags wait for them: the careful path gives them
    fresh = [row for row in profiles if str(row.get("unionid", "")) not in taken]
    moments = [_followed_at(row) or at for row in fresh]
    members = Member.objects.bulk_create(
        Member(public_id=uuid.uuid4(), member_no=new_member_no(), created_at=moment, subscribed=True)
        for moment in moments
    )
    edges = []
    followers = []
    for row, member, moment in zip(fresh, members, moments, strict=True):
        openid, unionid = str(row["openid"]), str(row.get("unionid") or "")[:64]
        followers.append(
            Follower(
                account=account,
                openid=openid,
                unionid=unionid,
                member=member,
                subscribed=True,
                followed_at=moment,
                follow_count=1,
                follow_scene=str(row.get("subscribe_scene", ""))[:40],
            ),
        )
        ties = [(IdentityKind.OPENID, account.appid, openid)]
        if unionid and subject:
            ties.append((IdentityKind.UNIONID, subject, unionid))
        edges += [
            Identity(member=member, kind=kind, namespace=space, value=value, source="user info", since=at)
            for kind, space, value in ties
        ]
    Follower.objects.bulk_create(followers)
    Identity.objects.bulk_create(edges)
    return {str(row["openid"]) for row in fresh}


def _tell_listeners(follower: Follower, at: datetime, *, said: bool = True) -> None:
    if follower.subscribed and said:  # an answer that says nothing leaves what an earlier one has said
        for _key, listener in on_profile.items():
            listener(follower=follower, at=at)


def _followed_at(profile: dict[str, Any]) -> datetime | None:
    seconds = int(profile.get("subscribe_time") or 0)
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def _keep_unionid(follower: Follower, profile: dict[str, Any]) -> str:
    unionid = str(profile.get("unionid") or "")[:64]
    if unionid:
        if follower.unionid not in ("", unionid):  # as after a move to another open platform account, or a mix-up
            logger.error("the unionid of a follower has changed", extra={"follower": follower.pk})
        follower.unionid = unionid
    return unionid


def keep_profile(*, account: OfficialAccount, follower: Follower, profile: dict[str, Any], at: datetime) -> Member:
    """Keep what user/info said (reference: service account 5.2); with `subscribe` 0 everything else is absent."""
    following = bool(profile.get("subscribe"))
    was_following = follower.subscribed
    followed = _followed_at(profile)
    follower.profile_due_at = None
    if following:
        follower.subscribed = True
        if followed and (follower.followed_at is None or follower.follow_count == 0):
            follower.followed_at = followed
        follower.follow_count = max(follower.follow_count, 1)
        follower.follow_scene = str(profile.get("subscribe_scene", ""))[:40]
    elif profile:
        follower.subscribed = False
        if was_following or follower.unfollowed_at is None:
            follower.unfollowed_at = at  # not the day on which they had left before they came back
    unionid = _keep_unionid(follower, profile)
    follower.save()
    refresh_subscribed(member_ids=[follower.member_id], at=at)
    _tell_listeners(follower, at, said=following)
    if follower.subscribed and not was_following:
        stop_clock(follower=follower, at=at)
    elif was_following and not follower.subscribed:
        start_clocks(followers=[follower], reason=ErasureReason.UNFOLLOWED, at=at)
    member: Member = follower.member
    if followed and followed < member.created_at:
        Member.objects.filter(pk=member.pk).update(created_at=followed)
    if not unionid or not account.open_platform_subject:
        return member
    return link_unionid(
        member=member,
        subject=account.open_platform_subject,
        unionid=unionid,
        source="user info",
        at=at,
    )
