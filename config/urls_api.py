"""Addresses of the REST API, of its description, and of what operators' machines ask."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from accounts.rest.views import NothingHere
from campaigns.api import effect as campaign_effects
from campaigns.api import progress as campaigns
from config import health, metrics
from coupons.api import centre as _coupons_of_the_centre  # noqa: F401 - registers its part
from coupons.api import gifts as coupon_gifts
from coupons.api import own as own_coupons
from coupons.api import purchases as coupon_purchases
from coupons.api import pushes as coupon_pushes
from coupons.api import systems as coupons
from guides import api as guides
from imports.api import exports
from imports.api import tables as imports
from library import api as library
from loyalty.api import birthdays, points
from loyalty.api import centre as _loyalty_in_the_centre  # noqa: F401 - registers its part
from loyalty.api import facts as loyalty_facts
from members.api import (
    centre,
    code,
    consents,
    explanations,
    flags,
    identities,
    joining,
    me,
    people,
    preferences,
    profile,
    requests,
    segment_people,
    segments,
    session,
    stages,
)
from referrals.api import own as own_referrals
from referrals.api import systems as referrals
from stores import api as stores
from touchpoints import api as touchpoints
from wechat_gateway import api as wechat_gateway

v1: list[URLPattern | URLResolver] = [
    path("session/", session.SessionGate.as_view()),
    path("me/", me.Me.as_view()),
    path("me/centre/", centre.OwnCentre.as_view()),
    path("me/profile/", profile.OwnProfile.as_view()),
    path("me/code/", code.OwnCode.as_view()),
    path("me/phone/", me.Phone.as_view()),
    path("me/phone/codes/", joining.PhoneCodes.as_view()),
    path("me/phone/sms/", joining.PhoneBySms.as_view()),
    path("me/consents/", consents.ConsentBook.as_view()),
    path("me/preferences/", preferences.PreferenceCentre.as_view()),
    path("me/explanations/", explanations.OwnExplanation.as_view()),
    path("me/requests/", requests.OwnRequests.as_view()),
    path("me/requests/<str:request_id>/copy/", requests.OwnCopy.as_view()),
    path("me/guide/", guides.MyGuide.as_view()),
    path("me/birthday/", birthdays.OwnBirthday.as_view()),
    path("me/points/", points.OwnPoints.as_view()),
    path("me/points/ledger/", points.OwnLedger.as_view()),
    path("me/points/gifts/", points.OwnGifts.as_view()),
    path("me/coupons/", own_coupons.OwnCoupons.as_view()),
    path("me/coupons/offers/", own_coupons.OwnOffers.as_view()),
    path("me/coupons/claim/", own_coupons.OwnClaims.as_view()),
    path("me/coupons/exchange/", own_coupons.OwnExchanges.as_view()),
    path("me/coupons/codes/", own_coupons.OwnCodes.as_view()),
    path("me/coupons/check/", own_coupons.OwnCheck.as_view()),
    path("me/coupons/<str:coupon_id>/counter-code/", own_coupons.OwnCounterCode.as_view()),
    path("me/coupons/<str:coupon_id>/cancel/", own_coupons.OwnCancel.as_view()),
    path("counter/joins/", guides.CounterJoins.as_view()),
    path("counter/joins/codes/", guides.CounterCodes.as_view()),
    path("counter/joins/shown/", guides.CounterJoinCode.as_view()),
    path("me/invitation/", own_referrals.OwnInvitation.as_view()),
    path("me/invitation/code/", own_referrals.OwnPicture.as_view()),
    path("me/invited-by/", own_referrals.OwnInviter.as_view()),
    path("counter/codes/", code.CodeTaking.as_view()),
    path("stores/", stores.StoreList.as_view()),
    path("stores/nearby/", stores.NearbyStores.as_view()),
    path("stores/<str:code>/", stores.StoreDetail.as_view()),
    path("channels/", touchpoints.ChannelList.as_view()),
    path("channels/<str:channel_id>/report/", touchpoints.ChannelReport.as_view()),
    path("js-config/", wechat_gateway.JsConfig.as_view()),
    path("scenes/<str:scene>/", touchpoints.SceneDetail.as_view()),
    path("scenes/<str:scene>/openings/", touchpoints.SceneOpenings.as_view()),
    path("guides/contacts/", guides.GuideContacts.as_view()),
    path("members/", people.PeopleList.as_view()),
    path("members/<str:member_no>/", people.PersonDetail.as_view()),
    path("members/<str:member_no>/flags/", flags.PersonFlags.as_view()),
    path("members/<str:member_no>/identities/", identities.PersonIdentities.as_view()),
    path("members/<str:member_no>/identities/end/", identities.IdentityEnd.as_view()),
    path("members/<str:member_no>/profile/", profile.PersonProfile.as_view()),
    path("members/<str:member_no>/stages/", stages.PersonStages.as_view()),
    path("members/<str:member_no>/tags/", people.PersonTags.as_view()),
    path("members/<str:member_no>/points/", points.MemberPoints.as_view()),
    path("members/<str:member_no>/points/ledger/", points.MemberLedger.as_view()),
    path("members/<str:member_no>/facts/", loyalty_facts.MemberFacts.as_view()),
    path("members/<str:member_no>/places/", loyalty_facts.MemberPlaces.as_view()),
    path("members/<str:member_no>/points/earn/", points.Earn.as_view()),
    path("members/<str:member_no>/points/burn/", points.Burn.as_view()),
    path("members/<str:member_no>/points/freeze/", points.Freeze.as_view()),
    path("members/<str:member_no>/benefits/", points.MemberBenefits.as_view()),
    path("members/<str:member_no>/signs/", referrals.MemberSigns.as_view()),
    path("referrals/", referrals.ReferralReport.as_view()),
    path("points/holds/<str:hold_id>/capture/", points.Capture.as_view()),
    path("points/holds/<str:hold_id>/release/", points.Release.as_view()),
    path("points/entries/<str:entry_id>/reverse/", points.Reverse.as_view()),
    path("members/<str:member_no>/coupons/", coupons.MemberCoupons.as_view()),
    path("members/<str:member_no>/coupons/check/", coupons.MemberCheck.as_view()),
    path("members/<str:member_no>/coupons/issue/", coupons.MemberIssue.as_view()),
    path("coupons/counter/", coupons.CounterRedeem.as_view()),
    path("coupons/purchases/", coupon_purchases.PurchaseCoupons.as_view()),
    path("coupons/tiers/", coupon_gifts.TierCoupons.as_view()),
    path("coupons/pushes/", coupon_pushes.CouponPushes.as_view()),
    path("coupons/pushes/plan/", coupon_pushes.CouponPushPlan.as_view()),
    path("coupons/pushes/<str:push_id>/", coupon_pushes.CouponPush.as_view()),
    path("coupons/pushes/<str:push_id>/stop/", coupon_pushes.CouponPushStop.as_view()),
    path("coupons/<str:coupon_id>/hold/", coupons.CouponHold.as_view()),
    path("coupons/<str:coupon_id>/redeem/", coupons.CouponRedeem.as_view()),
    path("coupons/<str:coupon_id>/release/", coupons.CouponRelease.as_view()),
    path("coupons/<str:coupon_id>/return/", coupons.CouponReturn.as_view()),
    path("facts/", loyalty_facts.FactReport.as_view()),
    path("exports/", exports.ExportList.as_view()),
    path("exports/<str:export_id>/", exports.ExportDetail.as_view()),
    path("exports/<str:export_id>/file/", exports.ExportFile.as_view()),
    path("imports/", imports.ImportList.as_view()),
    path("imports/<str:import_id>/", imports.ImportDetail.as_view()),
    path("imports/<str:import_id>/errors/", imports.ImportErrors.as_view()),
    path("imports/<str:import_id>/start/", imports.ImportStart.as_view()),
    path("imports/<str:import_id>/stop/", imports.ImportStop.as_view()),
    path("imports/<str:import_id>/undo/", imports.ImportUndo.as_view()),
    path("tags/", segments.TagList.as_view()),
    path("segments/", segments.SegmentList.as_view()),
    path("segments/conditions/", segments.ConditionList.as_view()),
    path("segments/preview/", segments.SegmentPreview.as_view()),
    path("segments/<str:segment_id>/", segment_people.SegmentDetail.as_view()),
    path("segments/<str:segment_id>/people/", segment_people.SegmentPeople.as_view()),
    path("segments/<str:segment_id>/why/", segments.SegmentWhy.as_view()),
    path("media/", library.MediaList.as_view()),
    path("media/<str:media_id>/", library.MediaDetail.as_view()),
    path("campaigns/", campaigns.CampaignList.as_view()),
    path("campaigns/<str:campaign_id>/progress/", campaigns.CampaignProgress.as_view()),
    path("campaigns/<str:campaign_id>/effect/", campaign_effects.CampaignEffect.as_view()),
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
