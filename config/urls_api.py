"""Addresses of the REST API, of its description, and of what operators' machines ask."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from accounts.rest.views import NothingHere
from campaigns import api as campaigns
from config import health, metrics
from guides import api as guides
from library import api as library
from loyalty.api import facts as loyalty_facts
from loyalty.api import points
from members.api import me, people, segments, session
from stores import api as stores
from touchpoints import api as touchpoints
from wechat_gateway import api as wechat_gateway

v1: list[URLPattern | URLResolver] = [
    path("session/", session.SessionGate.as_view()),
    path("me/", me.Me.as_view()),
    path("me/phone/", me.Phone.as_view()),
    path("me/consents/", me.ConsentBook.as_view()),
    path("me/guide/", guides.MyGuide.as_view()),
    path("me/points/", points.OwnPoints.as_view()),
    path("me/points/ledger/", points.OwnLedger.as_view()),
    path("me/points/gifts/", points.OwnGifts.as_view()),
    path("stores/", stores.StoreList.as_view()),
    path("stores/nearby/", stores.NearbyStores.as_view()),
    path("stores/<str:code>/", stores.StoreDetail.as_view()),
    path("channels/", touchpoints.ChannelList.as_view()),
    path("channels/<str:channel_id>/report/", touchpoints.ChannelReport.as_view()),
    path("js-config/", wechat_gateway.JsConfig.as_view()),
    path("scenes/<str:scene>/", touchpoints.SceneDetail.as_view()),
    path("scenes/<str:scene>/openings/", touchpoints.SceneOpenings.as_view()),
    path("members/", people.PeopleList.as_view()),
    path("members/<str:member_no>/", people.PersonDetail.as_view()),
    path("members/<str:member_no>/tags/", people.PersonTags.as_view()),
    path("members/<str:member_no>/points/", points.MemberPoints.as_view()),
    path("members/<str:member_no>/points/ledger/", points.MemberLedger.as_view()),
    path("members/<str:member_no>/points/earn/", points.Earn.as_view()),
    path("members/<str:member_no>/points/burn/", points.Burn.as_view()),
    path("members/<str:member_no>/points/freeze/", points.Freeze.as_view()),
    path("members/<str:member_no>/benefits/", points.MemberBenefits.as_view()),
    path("points/holds/<str:hold_id>/capture/", points.Capture.as_view()),
    path("points/holds/<str:hold_id>/release/", points.Release.as_view()),
    path("points/entries/<str:entry_id>/reverse/", points.Reverse.as_view()),
    path("facts/", loyalty_facts.FactReport.as_view()),
    path("tags/", segments.TagList.as_view()),
    path("segments/", segments.SegmentList.as_view()),
    path("segments/conditions/", segments.ConditionList.as_view()),
    path("segments/preview/", segments.SegmentPreview.as_view()),
    path("segments/<str:segment_id>/why/", segments.SegmentWhy.as_view()),
    path("media/", library.MediaList.as_view()),
    path("media/<str:media_id>/", library.MediaDetail.as_view()),
    path("campaigns/", campaigns.CampaignList.as_view()),
    path("campaigns/<str:campaign_id>/progress/", campaigns.CampaignProgress.as_view()),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include(v1)),
    path("api/schema/", SpectacularAPIView.as_view(metadata_class=None), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(metadata_class=None), name="api_docs"),
    re_path(r"^api/", NothingHere.as_view()),
    path("healthz", health.alive),
    path("readyz", health.ready),
    path("metrics", metrics.scrape),
]
