"""What leaves with a person: where messages went, what stood in them, and their name in the audit log."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from accounts.models import AuditEntry
from accounts.services import forget_in_audit
from campaigns.models import Campaign, Delivery, DeliveryState, FinishEvent, SubscriptionStock, TestSend
from campaigns.reasons import UNFOLLOWED
from campaigns.services import tallies
from guides.models import Assignment
from members.models import Follower, Member
from members.selectors import records_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


def forget_messages(*, follower: Follower, whole: bool, at: datetime) -> int:
    """Take OpenID and contents out of a person's messages; one that still waits is not sent. Gives how many rows."""
    merged = Member.objects.filter(merged_into_id=follower.member_id).values_list("pk", flat=True)
    rows = Delivery.objects.filter(
        # Campaign by campaign the index finds a person's one row; by OpenID alone none does.
        campaign_id__in=list(Campaign.objects.order_by("pk").values_list("pk", flat=True)),
        member_id__in=[follower.member_id, *merged],
        account_id=follower.account_id,
        openid=follower.openid,
    )
    waiting = list(
        rows.select_for_update().filter(state=DeliveryState.PENDING).order_by("pk").values_list("pk", "campaign_id")
    )
    Delivery.objects.filter(pk__in=[pk for pk, _campaign in waiting]).update(
        state=DeliveryState.SUPPRESSED, reason=UNFOLLOWED, due_at=None, final_at=at
    )
    gone = rows.update(openid="", variables={})
    known = {"account_id": follower.account_id, "openid": follower.openid}
    gone += TestSend.objects.filter(**known).update(openid="")
    gone += FinishEvent.objects.filter(**known).delete()[0]
    gone += SubscriptionStock.objects.filter(follower=follower).delete()[0]
    moved = Counter[tuple[int, str, str]]()
    for _pk, campaign_id in waiting:
        moved[campaign_id, DeliveryState.PENDING.value, ""] -= 1
        moved[campaign_id, DeliveryState.SUPPRESSED.value, UNFOLLOWED] += 1
    tallies.add(follower.brand_id, tallies.STEERING_SHARD, moved)
    return gone


def forget_names(*, follower: Follower, whole: bool, at: datetime) -> int:
    """Take the name of somebody who goes altogether out of the audit log; what was done, and by whom, stays."""
    if not whole:
        return 0
    ids = records_of(follower.member_id)
    people = list(Member.objects.filter(pk__in=ids).order_by("pk"))
    followers = list(Follower.objects.filter(member_id__in=ids).order_by("pk"))
    assignments = Assignment.objects.filter(member_id__in=ids).order_by("pk").values_list("pk", flat=True)
    words = {text for person in people for text in (person.name, person.phone_masked, person.city)}
    words |= {text for each in followers for text in (each.openid, each.unionid)}
    words |= _earlier_words(ids)
    return forget_in_audit(
        objects=[
            *(("members.member", pk) for pk in ids),
            *(("members.follower", each.pk) for each in followers),
            *(("guides.assignment", pk) for pk in assignments),
        ],
        words=words,
    )


def _earlier_words(ids: Sequence[int]) -> set[str]:
    """Give the names and cities that people had before, as the log itself says: they may stand in a reason, too."""
    entries = AuditEntry.objects.filter(
        object_type="members.member", object_id__in=[str(pk) for pk in ids], action="change profile"
    )
    told = entries.order_by().values_list("changes", flat=True)
    return {text for changes in told for key in ("name", "city") for text in changes.get(key) or () if text}
