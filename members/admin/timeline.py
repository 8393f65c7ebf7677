"""What people did, as sentences on a member's timeline: pushes of WeChat, tags, joining, consent."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from common.clock import now
from console.columns import excerpt
from console.labels import source_label
from console.person import ENTRIES, marked, once
from console.registry import Moment, TimelineKind, person_marks, timeline_kinds, timelines
from members.admin.doubts import evidence_words
from members.models import Consent, Follower, Member, MergeRecord
from members.selectors import TagOnPerson, purpose_words, tags_of
from wechat_gateway.events import Push, read_push
from wechat_gateway.models import InboundPush, PushState
from wechat_gateway.sentences import sentence_of
from wechat_gateway.wire import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django_stubs_ext import StrOrPromise

# Follows and scans are told by their touches; results of sendings by the deliveries.
TOLD_ELSEWHERE = ("subscribe", "SCAN", "TEMPLATESENDJOBFINISH", "MASSSENDJOBFINISH")


timeline_kinds.register(
    "members.pushes", TimelineKind(gettext_lazy("Messages and taps"), area="inbox", link_area="quarantine", order=20)
)
timeline_kinds.register("members.tags", TimelineKind(gettext_lazy("Tags"), link_area="tags", order=60))
timeline_kinds.register("members.life", TimelineKind(gettext_lazy("Membership and consent"), order=70))


person_marks.register("members.merges", lambda: Exists(MergeRecord.objects.filter(kept=OuterRef("pk"))))


def followers_of(member: Member) -> list[Follower]:
    """Give how the service accounts know a person; asked once a page."""
    rows = Follower.objects.select_related("account").filter(member=member).order_by("pk")
    return once(member, "followers", lambda: list(rows))


def tags_on(member: Member) -> list[TagOnPerson]:
    """Give the tags of a person, newest first; asked once a page."""
    return once(member, "tags", lambda: tags_of(member.pk, at=now()))


def statements_of(member: Member, limit: int = ENTRIES) -> list[Consent]:
    """Give the newest statements of a person about their data; asked once a page."""
    rows = Consent.objects.filter(member=member).order_by("-at", "-pk")
    return once(member, f"statements {limit}", lambda: list(rows[:limit]))


@timelines.add("members.pushes")
def pushes(member: Member, limit: int) -> list[Moment]:
    """Give what WeChat told about the person: what they wrote, tapped and sent."""
    openids = [follower.openid for follower in followers_of(member)]
    rows = (
        InboundPush.objects.select_related("account")
        .filter(openid__in=openids)
        .exclude(kind__in=TOLD_ELSEWHERE)
        .exclude(state=PushState.QUARANTINED)
        .order_by("-received_at", "-pk")[:limit]
    )
    return [
        Moment(at=row.event_at, sentence=_sentence(row), kind=gettext("WeChat"), tone=_tone(row), link=_push_page(row))
        for row in rows
    ]


def _push_page(row: InboundPush) -> str:
    return reverse("admin:wechat_gateway_inboundpush_change", args=[row.pk])


def _tone(row: InboundPush) -> str:
    return "danger" if row.state == PushState.FAILED else ""


def _sentence(row: InboundPush) -> StrOrPromise:
    try:
        push = _read(row)
    except Unreadable:
        return gettext("Sent something that cannot be read")
    told = {
        "unsubscribe": gettext("Unfollowed the account"),
        "image": gettext("Sent a picture"),
        "voice": gettext("Sent a voice message"),
        "video": gettext("Sent a video"),
        "shortvideo": gettext("Sent a video"),
        "link": gettext("Sent a link"),
        "LOCATION": gettext("Shared the place when opening the account"),
        "text": gettext("Said “%(text)s”") % {"text": excerpt(push.content, 60)},
        "location": gettext("Sent the place “%(name)s”") % {"name": push.label or gettext("without a name")},
        "CLICK": gettext("Tapped the menu button “%(key)s”") % {"key": push.key},
        "VIEW": gettext("Opened a link of the menu: %(link)s") % {"link": excerpt(push.key, 60)},
    }
    return told.get(push.kind) or sentence_of(push)


def _read(row: InboundPush) -> Push:
    body = base64.b64decode(row.body) if row.is_binary else row.body.encode()
    return read_push(
        body,
        brand_id=row.brand_id,
        account_id=row.account_id,
        appid=row.account.appid,
        original_id=row.account.original_id,
        received_at=row.received_at,
        push_id=row.pk,
    )


@timelines.add("members.tags")
def taggings(member: Member, limit: int) -> list[Moment]:
    """Give when the person got which tag."""
    rows = tags_on(member)[:limit]
    return [
        Moment(
            at=row.at,
            sentence=gettext("Got the tag “%(name)s”") % {"name": row.name},
            kind=gettext("Tag"),
            link=reverse("admin:members_tag_change", args=[row.tag_id]),
            detail=source_label(row.source or next((f"rule: {name}" for name in row.rules), "")),
        )
        for row in rows
    ]


@timelines.add("members.life")
def life(member: Member, limit: int) -> list[Moment]:
    """Give joining, consent and merges."""
    said = statements_of(member, limit)
    words = purpose_words({row.purpose for row in said})
    found = [
        Moment(
            at=row.at,
            sentence=(
                gettext("Agreed to: %(purpose)s") if row.granted else gettext("Withdrew the consent to: %(purpose)s")
            )
            % {"purpose": words[row.purpose]},
            kind=gettext("Consent"),
            detail=source_label(row.source),
        )
        for row in said
    ]
    if member.joined_at:
        found.append(Moment(at=member.joined_at, sentence=gettext("Became a member"), kind=gettext("Member")))
    merges: Iterable[MergeRecord] = ()
    if marked(member, "members.merges"):
        merges = MergeRecord.objects.filter(kept=member).order_by("-at")[:limit]
    for record in merges:
        text = gettext("Another record of the same person was merged into this one")
        page = reverse("admin:members_member_identity", args=[member.pk])
        detail = evidence_words(record.evidence)
        found.append(Moment(at=record.at, sentence=text, kind=gettext("Identity"), detail=detail, link=page))
    return found
