"""The pages of campaigns, as they are put into the console."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from campaigns.views import composer, news, notices, progress, templates
from console.registry import Page, Tab, nav, pages

_AREA = "campaigns"
_ONE = "campaigns/<int:pk>/"

# Names begin like those of the campaign's list, so that its entry of the navigation is lit.
for _page in (
    Page("campaigns/new/", composer.new, "campaigns_campaign_new", _AREA, "edit"),
    Page(_ONE, progress.show, "campaigns_campaign_show", _AREA),
    Page(f"{_ONE}draft/", composer.draft, "campaigns_campaign_draft", _AREA, "edit"),
    Page(f"{_ONE}audience/", composer.audience, "campaigns_campaign_audience", _AREA),
    Page(f"{_ONE}recipients/", composer.recipients, "campaigns_campaign_recipients", _AREA, "edit"),
    Page(f"{_ONE}test/", composer.send_test, "campaigns_campaign_test", _AREA, "edit"),
    Page(f"{_ONE}test/<int:test_id>/", composer.test_receipt, "campaigns_campaign_receipt", _AREA, "edit"),
    Page(f"{_ONE}copy/", composer.copy, "campaigns_campaign_copy", _AREA, "edit"),
    Page(f"{_ONE}launch/", progress.launch, "campaigns_campaign_launch", _AREA, "launch"),
    Page(f"{_ONE}steer/", progress.steer, "campaigns_campaign_steer", _AREA, "launch"),
    Page(f"{_ONE}progress/", progress.poll, "campaigns_campaign_progress", _AREA),
    Page(f"{_ONE}messages/", progress.deliveries, "campaigns_campaign_messages", _AREA),
    Page(f"{_ONE}messages/<int:delivery_id>/", progress.attempts, "campaigns_campaign_attempts", _AREA),
    Page("campaigns/templates/", templates.templates, "campaigns_messagetemplate_list", _AREA),
    Page("campaigns/templates/<int:account_id>/sync/", templates.sync, "campaigns_messagetemplate_sync", _AREA, "edit"),
    # Stands with the rewards it tells of.
    Page("rewards/notices/", news.news, "campaigns_news", "points"),
    # Stands with the conversation it belongs to: who may answer there may send it.
    Page("inbox/<int:pk>/notice/", notices.notice, "inbox_notice", "inbox", "edit"),
):
    pages.register(_page.name, _page)
nav.register(
    "campaigns.templates",
    Tab(
        "campaigns",
        _("Message templates"),
        "campaigns_messagetemplate_list",
        _AREA,
        50,
        prefix="campaigns_messagetemplate_",
    ),
)
nav.register("rewards.news", Tab("rewards", _("Notices"), "campaigns_news", "points", 62))
