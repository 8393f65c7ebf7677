"""Channels for the brand's other systems: the tree, the report of a channel, and what a short scene stands for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from django.http import Http404
from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.pagination import PAGE_PARAMETERS, Keyset, page_body
from accounts.rest.permissions import MembersOnly, needs_scope
from accounts.rest.schema import EITHER, MEMBER, SYSTEM, endpoint, problems
from accounts.rest.serializers import (
    StrictSerializer,
    TextField,
    WholeNumberParameter,
    YesNoParameter,
    read_body,
    read_query,
)
from accounts.rest.views import BrandAPIView, known_text
from common import clock
from stores.selectors import brand_zone
from touchpoints import selectors, services
from touchpoints.models import SentBy, TouchCase, Touchpoint
from touchpoints.selectors import WHOLE, Figures, Window

if TYPE_CHECKING:
    from rest_framework.request import Request

MOST_DAYS: Final = 366
LONGEST_ID: Final = 19
_SCOPE: Final = "channels.read"


class CodeGiftShape(serializers.Serializer[Any]):
    """What scanning a code gives."""

    kind = serializers.CharField(help_text="`coupon` …")
    id = serializers.CharField(help_text="Its id: of a coupon, the template's.")
    name = serializers.CharField(help_text="Name.")


class ChannelShape(serializers.Serializer[Any]):
    """A node of the channel tree."""

    id = serializers.IntegerField(help_text="Number of the channel.")
    name = serializers.CharField(help_text="Name.")
    parent = serializers.IntegerField(  # type: ignore[assignment] # a field called so
        allow_null=True, help_text="Channel it stands below; null at the top."
    )
    scene = serializers.CharField(allow_blank=True, help_text="Parameter of its code; empty for folders.")
    origin = serializers.CharField(
        allow_blank=True,
        help_text="Of people without a code: what WeChat calls the way they came (`ADD_SCENE_SEARCH` …), `WECHAT` "
        "above all of these, `WECOM` for contacts of guides; else empty.",
    )
    url = serializers.CharField(allow_blank=True, help_text="What the code carries; draw it as a QR code.")
    is_permanent = serializers.BooleanField(help_text="Whether the picture never expires.")
    expires_at = serializers.DateTimeField(allow_null=True, help_text="When the picture of a temporary code ends.")
    store = serializers.CharField(allow_null=True, help_text="Code of its store.")
    benefit = serializers.CharField(allow_blank=True, help_text="What the code promises.")
    gives = CodeGiftShape(allow_null=True, help_text="What scanning it gives, once to each person; null for nothing.")
    archived_at = serializers.DateTimeField(allow_null=True, help_text="When it was taken out of use.")


class ChannelPage(serializers.Serializer[Any]):
    """A page of channels, oldest first."""

    results = ChannelShape(many=True)
    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page; null on the last.")


class ChannelQuery(StrictSerializer):
    """By what channels can be picked."""

    archived = YesNoParameter(required=False, default=False, help_text="Also those taken out of use.")


class StageShape(serializers.Serializer[Any]):
    """A step after the scan."""

    key = serializers.CharField(help_text="`people`, `follow`, `join` …")
    people = serializers.FloatField(help_text="How many people, in the chosen model; shares add up over channels.")
    cost = serializers.IntegerField(allow_null=True, help_text="Cost of each in fen; null without cost or people.")


class StayShape(serializers.Serializer[Any]):
    """How many of the followers are still there."""

    days = serializers.IntegerField(help_text="After how many days.")
    followers = serializers.FloatField(help_text="Who followed at least that long ago.")
    kept = serializers.FloatField(help_text="Who of them never left within those days.")


class ValueShape(serializers.Serializer[Any]):
    """What people bought within so many days of their follow, less what they sent back whenever."""

    days = serializers.IntegerField(help_text="Days after the follow: 30 or 90.")
    followers = serializers.FloatField(help_text="Followers whose days are over.")
    bought = serializers.FloatField(help_text="Those of them who bought something.")
    amount = serializers.IntegerField(help_text="What all of them paid, in fen.")
    each = serializers.IntegerField(allow_null=True, help_text="The same for each follower, in fen.")


class BargainShape(serializers.Serializer[Any]):
    """How many of the followers came for a benefit only."""

    days = serializers.IntegerField(help_text="Days after the follow that are looked at: 30.")
    followers = serializers.FloatField(help_text="Followers whose days are over.")
    people = serializers.FloatField(
        help_text="Those of them who took a coupon (claimed, by a code, by the scan) and did nothing else: bought "
        "nothing without a coupon, came into no store, talked with nobody."
    )


class CodeBenefitShape(serializers.Serializer[Any]):
    """What came of the benefit of a code since it has one, whatever days the report looks at."""

    given = serializers.IntegerField(help_text="People who got it.")
    waiting = serializers.IntegerField(help_text="People who get it within seconds.")
    refused = serializers.DictField(
        child=serializers.IntegerField(), help_text="People who got nothing, by reason: `FLAGGED`, `NONE_LEFT` …"
    )


class ReportShape(serializers.Serializer[Any]):
    """What a channel and everything below it brought."""

    id = serializers.IntegerField(help_text="Number of the channel.")
    model = serializers.CharField(help_text="How people are shared among their touches.")
    since = serializers.DateTimeField(allow_null=True, help_text="First moment that is looked at.")
    until = serializers.DateTimeField(help_text="Last moment.")
    as_of = serializers.DateTimeField(help_text="Everything that was known at this moment is counted.")
    scans = serializers.IntegerField(help_text="Every scan, without those of staff.")
    cases = serializers.DictField(child=serializers.IntegerField(), help_text="Scans by who scanned.")
    stages = StageShape(many=True)
    stays = StayShape(many=True)
    values = ValueShape(many=True)
    bargain = BargainShape()
    cost = serializers.IntegerField(help_text="Cost in fen.")
    benefit = CodeBenefitShape(
        allow_null=True, help_text="Whom the code's benefit was given to so far; null without one."
    )


class ReportQuery(StrictSerializer):
    """What a report looks at."""

    days = WholeNumberParameter(
        required=False, default=30, min_value=1, max_value=MOST_DAYS, help_text="The last days, today included."
    )
    model = serializers.ChoiceField(
        choices=["first", "last", "position"], required=False, default="first", help_text="Attribution."
    )


class StorePart(serializers.Serializer[Any]):
    """The store a code stands in."""

    code = serializers.CharField(help_text="Store code.")
    name = serializers.CharField(help_text="Name.")


class SceneShape(serializers.Serializer[Any]):
    """What a short scene stands for."""

    scene = serializers.CharField(help_text="The scene as it is printed.")
    channel = serializers.IntegerField(help_text="Number of the channel.")
    name = serializers.CharField(help_text="Name of the channel.")
    appid = serializers.CharField(help_text="AppID of the mini program.")
    page = serializers.CharField(allow_blank=True, help_text="Page to show.")
    benefit = serializers.CharField(allow_blank=True, help_text="What the code promises.")
    store = StorePart(allow_null=True)
    sent_by = serializers.ChoiceField(
        choices=["CODE", *SentBy.values],
        help_text="What brought the scene: a printed `CODE`, or the card or button of a `KEYWORD` reply, a `WELCOME`, "
        "the `MENU` or another automatic `REPLY`.",
    )
    sender = serializers.CharField(allow_blank=True, help_text="Name of that reply or button; empty for a code.")


_CHANNEL_EXAMPLE = {
    "id": 12,
    "name": "上海静安店 · 门口",
    "parent": 4,
    "scene": "t5f0c2a91b3",
    "origin": "",
    "url": "http://weixin.qq.com/q/02aBcDeFgHiJkLmNoPqR",
    "is_permanent": True,
    "expires_at": None,
    "store": "SH004",
    "benefit": "入会立减 20 元",
    "gives": {"kind": "coupon", "id": "0d7c1b52-6c1f-4d6e-9a0f-2b8f5a1c9e33", "name": "满 200 减 20"},
    "archived_at": None,
}
_REPORT_EXAMPLE = {
    "id": 12,
    "model": "first",
    "since": "2026-10-24T16:00:00Z",
    "until": "2026-11-22T09:00:00Z",
    "as_of": "2026-11-22T09:00:00Z",
    "scans": 4210,
    "cases": {"NEW": 2305, "RETURNING": 120, "FOLLOWING": 1400, "MEMBER": 385},
    "stages": [
        {"key": "people", "people": 3980.0, "cost": 30},
        {"key": "follow", "people": 2425.0, "cost": 49},
        {"key": "join", "people": 1204.0, "cost": 100},
        {"key": "order", "people": 388.0, "cost": 309},
    ],
    "stays": [{"days": 7, "followers": 1900.0, "kept": 1655.0}],
    "values": [{"days": 30, "followers": 1400.0, "bought": 210.0, "amount": 8190000, "each": 5850}],
    "bargain": {"days": 30, "followers": 1400.0, "people": 266.0},
    "cost": 120000,
    "benefit": {"given": 1840, "waiting": 0, "refused": {"FLAGGED": 5}},
}
_SCENE_EXAMPLE = {
    "scene": "7K3QX9TM",
    "channel": 12,
    "name": "上海静安店 · 门口",
    "appid": "wx0123456789abcdef",
    "page": "pages/store/index",
    "benefit": "入会立减 20 元",
    "store": {"code": "SH004", "name": "上海静安店"},
    "sent_by": "KEYWORD",
    "sender": "门店",
}


class OpeningBody(StrictSerializer):
    """Somebody opened the mini program by a code."""

    opening = TextField(
        max_length=64,
        help_text="A random id of the opening: 8 to 64 letters, digits, `_` or `-`. Send the same when you repeat.",
    )


class OpeningShape(serializers.Serializer[Any]):
    """What was kept."""

    scene = serializers.CharField(help_text="The scene as it is printed.")
    channel = serializers.IntegerField(help_text="Number of the channel.")
    case = serializers.ChoiceField(choices=TouchCase.values, help_text="Who opened it, as it was known then.")
    at = serializers.DateTimeField(help_text="When it was kept first.")


class ChannelList(BrandAPIView):
    """`/api/v1/channels/`: the channel tree, node by node."""

    permission_classes = (needs_scope(_SCOPE),)
    keyset = Keyset("channels", "pk")

    @endpoint(
        "list_channels",
        "List channels",
        tag="channels",
        auth=SYSTEM,
        parameters=[ChannelQuery, *PAGE_PARAMETERS],
        answer=ChannelPage,
        example={"results": [_CHANNEL_EXAMPLE], "next": None},
        errors=problems(422),
        description="The channel tree, oldest first. Needs the scope `channels.read`.",
    )
    def get(self, request: Request) -> Response:
        """Show a page."""
        wanted = read_query(ChannelQuery, request.query_params, paging=True)
        rows = Touchpoint.objects.select_related("store")
        if not wanted["archived"]:
            rows = rows.filter(archived_at__isnull=True)
        channels, cursor = self.keyset.page(rows, request.query_params)
        offers = selectors.offers_of(channels)
        return Response(page_body([_channel(row, offers.get(row.pk)) for row in channels], cursor))


class ChannelReport(BrandAPIView):
    """`/api/v1/channels/{channel_id}/report/`: what a channel brought."""

    permission_classes = (needs_scope(_SCOPE),)

    @endpoint(
        "get_channel_report",
        "Get the report of a channel",
        tag="channels",
        auth=SYSTEM,
        parameters=[ReportQuery],
        answer=ReportShape,
        example=_REPORT_EXAMPLE,
        errors=problems(404, 422),
        description=(
            "The channel and everything below it. Each person is shared among their touches of the chosen days by the "
            "model, so that figures of channels add up. Needs the scope `channels.read`."
        ),
    )
    def get(self, request: Request, channel_id: str) -> Response:
        """Show the report."""
        wanted = read_query(ReportQuery, request.query_params)
        text = known_text(channel_id)
        row = None
        if text.isascii() and text.isdigit() and len(text) < LONGEST_ID:
            row = Touchpoint.objects.filter(pk=int(text)).first()
        if row is None:
            raise Http404
        now, zone = clock.now(), ZoneInfo(brand_zone())
        midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        window = Window(midnight - timedelta(days=wanted["days"] - 1), now + timedelta(seconds=1))
        fresh = services.catch_up(at=now, zone=zone)
        figures = selectors.tree_figures(
            window,
            model=wanted["model"],
            now=now,
            zone=zone,
            below=row.pk,
            credited=selectors.summed_credits if fresh.is_ready else selectors.counted_credits,
        ).nodes[row.pk]
        return Response(_report(row, figures, wanted["model"], window) | {"as_of": fresh.as_of or now})


class SceneDetail(BrandAPIView):
    """`/api/v1/scenes/{scene}/`: what a short scene stands for."""

    permission_classes = (needs_scope(_SCOPE, or_member=True),)

    @endpoint(
        "resolve_scene",
        "Resolve a short scene",
        tag="channels",
        auth=EITHER,
        answer=SceneShape,
        example=_SCENE_EXAMPLE,
        errors=problems(404),
        description=(
            "The eight characters that a mini program gets as `scene`: of a scanned code, or in the query of a page "
            "that a card or a menu button has opened. Unknown, forged, revoked and ended scenes and those of other "
            "brands look alike: 404. Keys need the scope `channels.read`."
        ),
    )
    def get(self, request: Request, scene: str) -> Response:
        """Show what it stands for."""
        row = selectors.resolve_scene(known_text(scene), at=clock.now())
        store = row.touchpoint.store
        return Response(
            {
                "scene": row.code,
                "channel": row.touchpoint_id,
                "name": row.touchpoint.name,
                "appid": row.program.appid,
                "page": row.page,
                "benefit": row.touchpoint.benefit,
                "store": {"code": store.code, "name": store.name} if store else None,
                "sent_by": row.sent_by or "CODE",
                "sender": row.sender,
            }
        )


class SceneOpenings(BrandAPIView):
    """`/api/v1/scenes/{scene}/openings/`: a person of the mini program came by a code."""

    permission_classes = (MembersOnly,)

    @endpoint(
        "record_scene_opening",
        "Record an opening by a short scene",
        tag="channels",
        auth=MEMBER,
        body=OpeningBody,
        body_example={"opening": "0f5b3c1e9a7d4428"},
        answer=OpeningShape,
        example={"scene": "7K3QX9TM", "channel": 12, "case": "MEMBER", "at": "2026-11-22T09:00:00Z"},
        errors=problems(404, 422),
        description=(
            "Keeps a touch of the person who is signed in, so that reports and attribution know by which code they "
            "came. Safe to repeat: the same `opening` gives the same answer and is kept once. The scene must belong "
            "to the mini program of the session."
        ),
    )
    def post(self, request: Request, scene: str) -> Response:
        """Keep it."""
        body = read_body(OpeningBody, request.data)
        caller: Any = request.user
        touch, _new = services.record_opening(
            member_id=caller.member_id,
            appid=caller.appid,
            scene=known_text(scene),
            opening=body["opening"],
            at=clock.now(),
        )
        return Response(
            {"scene": touch.scene, "channel": touch.touchpoint_id, "case": touch.case, "at": touch.at},
        )


def _channel(row: Touchpoint, offer: selectors.Offer | None) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "parent": row.parent_id,
        "scene": row.scene,
        "origin": row.origin,
        "url": row.code_url,
        "is_permanent": row.is_permanent,
        "expires_at": row.expires_at,
        "store": row.store.code if row.store else None,
        "benefit": row.benefit,
        "gives": {"kind": row.benefit_kind, "id": offer.public_id, "name": offer.name} if offer else None,
        "archived_at": row.archived_at,
    }


def _report(row: Touchpoint, figures: Figures, model: str, window: Window) -> dict[str, Any]:
    return {
        "id": row.pk,
        "model": model,
        "since": window.since,
        "until": window.until,
        "scans": figures.scans,
        "cases": {case: figures.cases[case] for case in TouchCase.values if case != TouchCase.STAFF},
        "stages": [
            {"key": key, "people": figures.parts[key] / WHOLE, "cost": figures.cost_of_each(key)}
            for key in ("people", *(key for key, _stage in selectors.stages()))
        ],
        "stays": [
            {
                "days": days,
                "followers": figures.parts[f"old_{days}"] / WHOLE,
                "kept": figures.parts[f"kept_{days}"] / WHOLE,
            }
            for days in selectors.STAYS
        ],
        "values": [
            {
                "days": days,
                "followers": figures.parts[f"old_{days}"] / WHOLE,
                "bought": figures.parts[f"bought_{days}"] / WHOLE,
                "amount": figures.value(days),
                "each": figures.value_of_each(days),
            }
            for days in selectors.VALUES
        ],
        "bargain": {
            "days": selectors.BARGAIN_DAYS,
            "followers": figures.parts[f"old_{selectors.BARGAIN_DAYS}"] / WHOLE,
            "people": figures.parts[f"bargain_{selectors.BARGAIN_DAYS}"] / WHOLE,
        },
        "cost": figures.cost,
        "benefit": _benefit(row),
    }


def _benefit(row: Touchpoint) -> dict[str, Any] | None:
    if not row.benefit_kind:
        return None
    tally = selectors.tally_of(row)
    return {"given": tally.given, "waiting": tally.waiting, "refused": dict(tally.refused)}
