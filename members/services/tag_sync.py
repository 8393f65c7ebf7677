"""Tags in step with WeChat, in both directions, whatever is down for how long.

`RemoteTagging` remembers what both sides last agreed on. Comparing each side with it tells who changed what: what only
we changed is pushed (50 followers a call), what only WeChat changed is taken over. Nothing is queued, so nothing can be
lost: what could not be pushed today is still a difference tomorrow.

A tag whose group is kept only from WeChat to here is made at WeChat only when somebody says so: one that WeChat has no
more keeps its people here until somebody takes it off them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db.models import Q

from accounts.tenancy import brand_scope
from common.failpoints import point
from members.errors import TagFieldInvalid, TagNameTaken, TagNameTooLong
from members.models import Follower, MemberTag, RemoteTag, RemoteTagging, RemoteTagState, Tag, TagDirection, TagGroup
from members.services.people import record_contact
from members.services.tag_rolls import keep_roll, keep_trouble, note_made, say, wanted_again
from members.services.tags import change_tag, tag_members, untag_members
from wechat_gateway import calls
from wechat_gateway.answers import Outcome
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from wechat_gateway.answers import Answer

logger = logging.getLogger(__name__)

BATCH = calls.OPENIDS_PER_TAGGING
GROUP_FROM_WECHAT = "WeChat"


class WeChatAway(Exception):
    """WeChat did not answer a reading call; the run ends here and the next one starts afresh."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.cause)
        self.answer = answer


@dataclass
class SyncResult:
    """What one comparison did, in taggings."""

    pushed: int = 0
    taken_over: int = 0
    problems: list[str] = field(default_factory=list)


def sync_tags(brand_id: int, account_id: int, *, at: datetime) -> SyncResult:
    """Compare and settle every tag of an account that is kept in step. Safe to repeat and to end anywhere."""
    result = SyncResult()
    with brand_scope(brand_id):
        account = OfficialAccount.objects.get(pk=account_id)
    try:
        remote_tags = _match_dictionary(brand_id, account, at, result)
        for remote_tag in remote_tags:
            _settle(brand_id, account, remote_tag, at, result)
    except WeChatAway as away:
        result.problems.append(say(away.answer))
        with brand_scope(brand_id):
            RemoteTag.objects.filter(account=account).update(problem=say(away.answer)[:200])
            keep_trouble(account, away.answer)
    return result


def _match_dictionary(brand_id: int, account: OfficialAccount, at: datetime, result: SyncResult) -> list[RemoteTag]:
    """Pair our tags with WeChat's by id, then by name; make what is missing on either side, as the direction says."""
    answer = calls.list_tags(account, at=at)
    if not answer.ok:
        raise WeChatAway(answer)
    with brand_scope(brand_id):
        theirs = {each["id"]: each["name"] for each in keep_roll(account, answer, at).tags}
        again = wanted_again(account)
        RemoteTag.objects.filter(account=account).exclude(remote_id__in=theirs).delete()
        known = {row.remote_id: row for row in RemoteTag.objects.select_related("tag").filter(account=account)}
        by_name = {tag.name: tag for tag in Tag.objects.all()}
        paired = {row.tag_id for row in known.values()}
        for remote_id, name in theirs.items():
            tag = by_name.get(name)
            if remote_id in known or (tag is not None and (tag.pk in paired or not tag.sync)):
                continue
            if tag is None:
                tag = Tag.objects.create(name=name, group=GROUP_FROM_WECHAT, sync=True, created_at=at)
            known[remote_id] = RemoteTag.objects.create(account=account, tag=tag, remote_id=remote_id, agreed_name=name)
            paired.add(tag.pk)
        pulled = TagGroup.objects.filter(direction=TagDirection.PULL).values("name")
        wanted = Tag.objects.filter(Q(pk__in=again) | ~Q(group__in=pulled), sync=True).order_by("pk")
        missing = [tag for tag in wanted if tag.pk not in paired]
    for remote_id in [each for each, row in known.items() if row.tag.sync and each in theirs]:
        _agree_on_name(brand_id, account, known[remote_id], theirs[remote_id], at, result)
    for tag in missing:
        made = calls.create_tag(account, tag.name, at=at)
        point("tags: made at WeChat")
        remote_id = int((made.data.get("tag") or {}).get("id", 0)) if made.ok else 0
        if not remote_id:
            result.problems.append(f"{tag.name}: {say(made)}")
            continue
        with brand_scope(brand_id):
            known[remote_id] = RemoteTag.objects.create(
                account=account,
                tag=tag,
                remote_id=remote_id,
                agreed_name=tag.name,
                state=RemoteTagState.FILLING if tag.pk in again else "",
            )
            note_made(account, tag, remote_id)
    return [row for row in known.values() if row.tag.sync]


def _agree_on_name(
    brand_id: int, account: OfficialAccount, row: RemoteTag, theirs: str, at: datetime, result: SyncResult
) -> None:
    """A new name goes to the other side, as the group's direction says; where both are new, ours counts."""
    ours, agreed = row.tag.name, row.agreed_name or theirs
    if ours != theirs:
        with brand_scope(brand_id):
            direction = _direction(row.tag)
        only_theirs_is_new = ours == agreed
        if direction == TagDirection.PULL or (direction == TagDirection.BOTH and only_theirs_is_new):
            try:
                with brand_scope(brand_id):
                    row.tag = change_tag(tag=row.tag, name=theirs, at=at)
            except (TagNameTaken, TagNameTooLong, TagFieldInvalid) as error:
                result.problems.append(f"{ours}: {error.message}")
                return
        else:
            answer = calls.rename_tag(account, row.remote_id, ours, at=at)
            point("tags: renamed at WeChat")
            if not answer.ok:
                result.problems.append(f"{ours}: {say(answer)}")
                return
    if row.agreed_name != row.tag.name:
        with brand_scope(brand_id):
            RemoteTag.objects.filter(pk=row.pk).update(agreed_name=row.tag.name)


def _settle(brand_id: int, account: OfficialAccount, remote_tag: RemoteTag, at: datetime, result: SyncResult) -> None:
    at_wechat = _openids_at_wechat(account, remote_tag.remote_id, at)
    point("tags: read at WeChat")
    with brand_scope(brand_id):
        followers = {
            row.openid: row
            for row in Follower.objects.filter(account=account, openid__in=at_wechat).only("openid", "member")
        }
        for openid in at_wechat - set(followers):
            followers[openid] = record_contact(account_id=account.pk, appid=account.appid, openid=openid, at=at)
        theirs = {followers[openid].pk for openid in at_wechat}
        agreed = set(
            RemoteTagging.objects.filter(remote_tag=remote_tag, follower__subscribed=True).values_list(
                "follower_id", flat=True
            ),
        )
        tagged = MemberTag.objects.filter(tag_id=remote_tag.tag_id).values("member_id")
        ours = set(
            Follower.objects.filter(account=account, subscribed=True, member_id__in=tagged).values_list(
                "pk", flat=True
            ),
        )
        direction = TagDirection.PUSH if remote_tag.state == RemoteTagState.FILLING else _direction(remote_tag.tag)
        added, removed = _to_take_over(direction, theirs, agreed, ours)
        _take_over(remote_tag, added, removed, at)
        result.taken_over += len(added) + len(removed)
        ours = (ours | added) - removed
        RemoteTagging.objects.filter(remote_tag=remote_tag).exclude(follower_id__in=theirs & ours).delete()
        RemoteTagging.objects.bulk_create(
            (RemoteTagging(remote_tag=remote_tag, follower_id=pk) for pk in sorted(theirs & ours)),
            ignore_conflicts=True,
        )
        differing = set() if direction == TagDirection.PULL else ours ^ theirs
        openids = dict(Follower.objects.filter(pk__in=differing).values_list("pk", "openid"))
    point("tags: compared")
    problems: list[str] = []
    tagging = [(pk, openids[pk]) for pk in sorted(ours - theirs) if pk in openids]
    untagging = [(pk, openids[pk]) for pk in sorted(theirs - ours) if pk in openids]
    put = _in_batches(account, remote_tag, tagging, calls.tag_followers, at, problems)
    gone = _in_batches(account, remote_tag, untagging, calls.untag_followers, at, problems)
    point("tags: pushed")
    with brand_scope(brand_id):
        RemoteTagging.objects.bulk_create(
            (RemoteTagging(remote_tag=remote_tag, follower_id=pk) for pk in put),
            ignore_conflicts=True,
        )
        RemoteTagging.objects.filter(remote_tag=remote_tag, follower_id__in=gone).delete()
        RemoteTag.objects.filter(pk=remote_tag.pk).update(
            synced_at=None if problems else at,
            problem="; ".join(problems)[:200],
        )
        if not problems:
            RemoteTag.objects.filter(pk=remote_tag.pk, state=RemoteTagState.FILLING).update(state="")
    result.pushed += len(put) + len(gone)
    result.problems += [f"{remote_tag.tag.name}: {problem}" for problem in problems]


def _direction(tag: Tag) -> str:
    """Whose word counts: what the tag's group declares, both ways without one."""
    declared = TagGroup.objects.filter(name=tag.group).values_list("direction", flat=True).first()
    return declared or TagDirection.BOTH


def _to_take_over(direction: str, theirs: set[int], agreed: set[int], ours: set[int]) -> tuple[set[int], set[int]]:
    """Give who shall get and lose the tag here: what only WeChat changed since we agreed, all of it, or nothing."""
    if direction == TagDirection.PUSH:
        return set(), set()
    if direction == TagDirection.PULL:
        return theirs - ours, ours - theirs
    return (theirs - agreed) - ours, (agreed - theirs) & ours


def _take_over(remote_tag: RemoteTag, added: set[int], removed: set[int], at: datetime) -> None:
    people = dict(Follower.objects.filter(pk__in=added | removed).values_list("pk", "member_id"))
    if added:
        member_ids = [people[pk] for pk in added]
        tag_members(member_ids=member_ids, tag_ids=[remote_tag.tag_id], source=GROUP_FROM_WECHAT, at=at)
    if removed:
        member_ids = [people[pk] for pk in removed]
        untag_members(member_ids=member_ids, tag_ids=[remote_tag.tag_id], source=GROUP_FROM_WECHAT, at=at)


def _openids_at_wechat(account: OfficialAccount, remote_id: int, at: datetime) -> set[str]:
    found: set[str] = set()
    after = ""
    while True:
        answer = calls.followers_of_tag(account, remote_id, after=after, at=at)
        if not answer.ok:
            raise WeChatAway(answer)
        page = set((answer.data.get("data") or {}).get("openid", []))
        before = len(found)
        found |= page
        after = str(answer.data.get("next_openid") or "")
        if not page or not after or len(found) == before:
            return found


def _in_batches(
    account: OfficialAccount,
    remote_tag: RemoteTag,
    people: Sequence[tuple[int, str]],
    push: Callable[..., Answer],
    at: datetime,
    problems: list[str],
) -> list[int]:
    """Push followers 50 at a time; a batch that is refused is halved until the follower at fault stands alone."""
    done: list[int] = []
    waiting = [people[start : start + BATCH] for start in range(0, len(people), BATCH)]
    while waiting:
        batch = waiting.pop(0)
        answer = push(account, remote_tag.remote_id, [openid for _pk, openid in batch], at=at)
        if answer.ok:
            done += [pk for pk, _openid in batch]
        elif answer.outcome is Outcome.REFUSED and len(batch) > 1:
            half = len(batch) // 2
            waiting[:0] = [batch[:half], batch[half:]]
        else:
            _note(answer, problems)
    return done


def _note(answer: Answer, problems: list[str]) -> None:
    # The difference stays, so the next run tries again.
    note = say(answer)
    if note not in problems:
        problems.append(note)
