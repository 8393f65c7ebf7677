"""The tables of people, and of the apps below, as `members.personal` wants them."""

from __future__ import annotations

from django.db.models import Q

from members.models import Doubt, Follower, Member, MergeUndo
from members.personal import GONE, LEDGER, PROOF, SUMS, Fate, by_follower, by_member, by_openid, register
from wechat_gateway.models import HandledEffect

NOTHING: dict[str, object] = {
    "name": "",
    "phone": None,
    "phone_index": None,
    "phone_tail": "",
    "phone_masked": "",
    "birth_mmdd": None,
    "gender": "",
    "city": "",
    "tag_ids": [],
}

register(
    "members.Member",
    lambda person: Member.objects.filter(pk__in=person.member_ids).order_by("pk"),
    "member_no", "name", "phone", "birth_mmdd", "gender", "city", "store__name", "joined_at", "created_at",
    "last_interaction_at",
    fate=Fate.ANONYMOUS, law=LEDGER, blank=NOTHING,
)  # fmt: skip
register(
    "members.Follower",
    lambda person: Follower.objects.filter(pk__in=person.follower_ids).order_by("pk"),
    "account__name", "openid", "unionid", "subscribed", "followed_at", "unfollowed_at", "follow_count", "follow_scene",
    fate=Fate.ANONYMOUS, law=SUMS, blank={"unionid": "", "follow_scene": "", "profile_due_at": None},
)  # fmt: skip
register("members.Identity", by_member("members.Identity"), "kind", "namespace", "value", "source", "since", "ended_at")
register("members.MiniProgramSession", by_member("members.MiniProgramSession"), "appid", "created_at", "expires_at")
register(
    "members.MergeRecord",
    lambda person: (
        by_member("members.MergeRecord", "kept_id")(person) | by_member("members.MergeRecord", "merged_id")(person)
    ).order_by("pk"),
    "evidence", "at",
    fate=Fate.KEPT, law=PROOF,
)  # fmt: skip
register(
    "members.Consent", by_member("members.Consent"),
    "purpose", "granted", "text_version", "channel", "source", "at",
    fate=Fate.KEPT, law=PROOF,
)  # fmt: skip
register("members.AccessEntry", by_member("members.AccessEntry"), "page", "at", fate=Fate.KEPT, law=PROOF)
register("members.OptOut", by_member("members.OptOut"), "purpose", "at", fate=Fate.KEPT, law=PROOF)
register("members.MemberTag", by_member("members.MemberTag"), "tag__name", "source", "at", "expires_at")
register("members.PreTag", by_member("members.PreTag"), "tag__name", "source", "at", "applied_at")
register("members.FactDue", by_member("members.FactDue"), "kind", "at")
register("members.FactChange", by_member("members.FactChange"), "what", "before", "after", "source", "at")
register("members.RemoteTagging", by_follower("members.RemoteTagging"), "remote_tag__tag__name")
register(
    "members.SnapshotMember", by_member("members.SnapshotMember"), "snapshot__grouping__name", "snapshot__at",
    fate=Fate.KEPT, law=SUMS,
)  # fmt: skip
register("members.Suppression", by_member("members.Suppression"), "reason", "at", "until")
register(
    "members.ErasureClock", by_follower("members.ErasureClock"), "reason", "started_at", "due_at", "state", "ended_at",
    fate=Fate.KEPT, law=PROOF,
)  # fmt: skip
register(
    "members.LegalHold", by_member("members.LegalHold"), "reason", "at", "ended_at",
    fate=Fate.ANONYMOUS, law=PROOF, blank={"reason": GONE},
)  # fmt: skip
register(
    "members.RightsRequest", by_member("members.RightsRequest"),
    "kind", "words", "asked_at", "due_at", "state", "answered_at", "refusal", "answer",
    fate=Fate.ANONYMOUS, law=PROOF, blank={"words": "", "answer": "", "refusal": GONE},
)  # fmt: skip
register("members.RequestFile", by_member("members.RequestFile", "request__member_id"), "made_at", "fetched_at")


register(
    "members.MergeUndo",
    lambda person: MergeUndo.objects.filter(
        Q(record__kept_id__in=person.member_ids) | Q(record__merged_id__in=person.member_ids)
    ).order_by("pk"),
    "at",
    fate=Fate.KEPT, law=PROOF,
)  # fmt: skip
register(
    "members.Doubt",
    lambda person: Doubt.objects.filter(
        Q(one_id__in=person.member_ids) | Q(other_id__in=person.member_ids)
    ).order_by("pk"),
    "evidence", "state", "found_at", "decided_at",
)  # fmt: skip
register("members.SegmentMember", by_member("members.SegmentMember"), "segment__name", "since")
register("members.SegmentDue", by_member("members.SegmentDue"))

_pushes = by_openid("wechat_gateway.InboundPush")
register("wechat_gateway.InboundPush", _pushes, "account__name", "kind", "event_at", "body", "reply")
register(
    "wechat_gateway.HandledEffect",
    lambda person: HandledEffect.objects.filter(push__in=_pushes(person)).order_by("pk"),
    "handler",
)
register("members.CodeUse", by_member("members.CodeUse"), "at")
register("members.Flag", by_member("members.Flag"), "kind", "since", "until", "reason", "at")
register("members.SmsCode", by_member("members.SmsCode"), "asked_at", "spent_at")
register("members.ProfileValue", by_member("members.ProfileValue"), "key", "source", "text", "at")
register("members.StageMember", by_member("members.StageMember"), "grouping__name", "since")
register("members.StageMove", by_member("members.StageMove"), "grouping__name", "at")
