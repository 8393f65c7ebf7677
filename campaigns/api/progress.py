"""Campaigns and how far they are, for the brand's other systems."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.http import Http404
from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.pagination import PAGE_PARAMETERS, Keyset, page_body
from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import StrictSerializer, read_query
from accounts.rest.views import BrandAPIView
from campaigns import selectors
from campaigns.models import CampaignState
from common import clock
from members.models import Purpose

if TYPE_CHECKING:
    from rest_framework.request import Request

    from campaigns.models import Campaign
    from campaigns.selectors import Progress

_COUNTS = ("waiting", "sent", "delivered", "refused", "failed", "unknown", "suppressed")


class CampaignLine(serializers.Serializer[Any]):
    """A campaign."""

    id = serializers.UUIDField(help_text="Id of the campaign.")
    name = serializers.CharField(help_text="Name.")
    purpose = serializers.ChoiceField(choices=Purpose.choices, help_text="What it is sent for.")
    carrier = serializers.CharField(help_text="Key of the carrier it travels by.")
    account = serializers.CharField(help_text="AppID of the service account.")
    state = serializers.ChoiceField(choices=CampaignState.choices, help_text="How far it is.")
    audience = serializers.IntegerField(allow_null=True, help_text="How many people; null before the launch.")
    scheduled_at = serializers.DateTimeField(allow_null=True, help_text="Planned for.")
    launched_at = serializers.DateTimeField(allow_null=True, help_text="Launched.")
    finished_at = serializers.DateTimeField(allow_null=True, help_text="Nothing is left to do since.")
    created_at = serializers.DateTimeField(help_text="Created.")


class CampaignPage(serializers.Serializer[Any]):
    """A page of campaigns, newest first."""

    results = CampaignLine(many=True)
    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page; null on the last.")


class ProblemSlice(serializers.Serializer[Any]):
    """People whose message is not fine, by reason."""

    state = serializers.CharField(help_text="State of their messages.")
    reason = serializers.CharField(allow_blank=True, help_text="WeChat's error code, or a key; empty when unknown.")
    cause = serializers.CharField(allow_blank=True, help_text="The reason in words.")
    count = serializers.IntegerField(help_text="People.")


class ProgressShape(serializers.Serializer[Any]):
    """How far a campaign is. The seven counts of people sum to `total`."""

    state = serializers.ChoiceField(choices=CampaignState.choices, help_text="How far it is.")
    total = serializers.IntegerField(help_text="The frozen audience.")
    percent = serializers.IntegerField(help_text="How much is done, 0 to 100.")
    waiting = serializers.IntegerField(help_text="Not sent yet.")
    sent = serializers.IntegerField(help_text="Accepted by WeChat, result not yet reported.")
    delivered = serializers.IntegerField(help_text="Reported as delivered.")
    refused = serializers.IntegerField(help_text="Refused by the person.")
    failed = serializers.IntegerField(help_text="Failed.")
    unknown = serializers.IntegerField(help_text="Nobody can say whether it was sent.")
    suppressed = serializers.IntegerField(help_text="Left out on purpose.")
    rate = serializers.FloatField(help_text="Messages a second since the launch.")
    eta_seconds = serializers.IntegerField(allow_null=True, help_text="Seconds the rest takes; null while unknown.")
    problems = ProblemSlice(many=True, help_text="The largest groups that are not fine.")


class NoQuery(StrictSerializer):
    """No parameters."""


class CampaignList(BrandAPIView):
    """`/api/v1/campaigns/`: campaigns, newest first."""

    permission_classes = (needs_scope("campaigns.read"),)
    keyset = Keyset("campaigns")

    @endpoint(
        "list_campaigns",
        "List campaigns",
        tag="campaigns",
        auth=SYSTEM,
        parameters=PAGE_PARAMETERS,
        answer=CampaignPage,
        example={
            "results": [
                {
                    "id": "5f0c6f0e-8a55-4a5a-9d7e-0b1f7f4f2c11",
                    "name": "秋季新品",
                    "purpose": "MARKETING",
                    "carrier": "template",
                    "account": "wx0123456789abcdef",
                    "state": "SENDING",
                    "audience": 200000,
                    "scheduled_at": None,
                    "launched_at": "2026-11-21T05:00:00Z",
                    "finished_at": None,
                    "created_at": "2026-11-20T05:00:00Z",
                },
            ],
            "next": None,
        },
        errors=problems(422),
        description="Needs the scope `campaigns.read`.",
    )
    def get(self, request: Request) -> Response:
        """Show a page."""
        read_query(NoQuery, request.query_params, paging=True)
        campaigns, cursor = self.keyset.page(selectors.campaigns(), request.query_params)
        return Response(page_body([_line(campaign) for campaign in campaigns], cursor))


class CampaignProgress(BrandAPIView):
    """`/api/v1/campaigns/{id}/progress/`: how far a campaign is."""

    permission_classes = (needs_scope("campaigns.read"),)

    @endpoint(
        "get_campaign_progress",
        "Get the progress of a campaign",
        tag="campaigns",
        auth=SYSTEM,
        answer=ProgressShape,
        example={
            "state": "SENDING",
            "total": 200000,
            "percent": 41,
            "waiting": 118000,
            "sent": 60000,
            "delivered": 21000,
            "refused": 700,
            "failed": 200,
            "unknown": 0,
            "suppressed": 100,
            "rate": 1250.0,
            "eta_seconds": 94,
            "problems": [{"state": "REFUSED", "reason": "43004", "cause": "此人未关注", "count": 700}],
        },
        errors=problems(404),
        description="Needs the scope `campaigns.read`. One query whatever the size of the campaign.",
    )
    def get(self, request: Request, campaign_id: str) -> Response:
        """Show the progress."""
        campaign = selectors.campaigns().filter(public_id=as_uuid(campaign_id)).first()
        if campaign is None:
            raise Http404
        return Response(_progress(selectors.progress(campaign, at=clock.now())))


def as_uuid(text: str) -> uuid.UUID:
    """Read an id; what is none is looked up like one that does not exist."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.UUID(int=0)


def _line(campaign: Campaign) -> dict[str, Any]:
    return {
        "id": campaign.public_id,
        "name": campaign.name,
        "purpose": campaign.purpose,
        "carrier": campaign.carrier,
        "account": campaign.account.appid,
        "state": campaign.state,
        "audience": campaign.audience_count,
        "scheduled_at": campaign.scheduled_at,
        "launched_at": campaign.launched_at,
        "finished_at": campaign.finished_at,
        "created_at": campaign.created_at,
    }


def _progress(progress: Progress) -> dict[str, Any]:
    return {
        "state": progress.state,
        "total": progress.total,
        "percent": progress.percent,
        **{name: getattr(progress, name) for name in _COUNTS},
        "rate": progress.rate,
        "eta_seconds": progress.eta_seconds,
        "problems": [
            {"state": each.state, "reason": each.reason, "cause": each.cause, "count": each.count}
            for each in progress.problems
        ],
    }
