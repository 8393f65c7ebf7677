"""Changes to campaigns: drafting, launching, steering, sending, settling."""

from __future__ import annotations

from campaigns.services.drafts import create_campaign, preview, send_test, update_campaign
from campaigns.services.launch import freeze_audience, launch, start_scheduled, unschedule
from campaigns.services.news import carry_by_subscription, carry_by_template, news_problems, save_news_plan
from campaigns.services.notices import ABOUTS, notice_problems, send_notice
from campaigns.services.results import record_result, settle_results
from campaigns.services.sending import finish_if_done, probe, send_slice
from campaigns.services.steering import close_stopped, park, pause, resume, retry_failed, ring_lanes, stop
from campaigns.services.subscriptions import record_subscriptions
from campaigns.services.templates import sync_templates

__all__ = [
    "ABOUTS",
    "carry_by_subscription",
    "carry_by_template",
    "close_stopped",
    "create_campaign",
    "finish_if_done",
    "freeze_audience",
    "launch",
    "news_problems",
    "notice_problems",
    "park",
    "pause",
    "preview",
    "probe",
    "record_result",
    "record_subscriptions",
    "resume",
    "retry_failed",
    "ring_lanes",
    "save_news_plan",
    "send_notice",
    "send_slice",
    "send_test",
    "settle_results",
    "start_scheduled",
    "stop",
    "sync_templates",
    "unschedule",
    "update_campaign",
]
