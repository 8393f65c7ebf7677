"""The campaigns app."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet


class CampaignsConfig(AppConfig):
    """Registers what the app adds to others."""

    name = "campaigns"
    verbose_name = _("Campaigns")

    def ready(self) -> None:
        """Find the carriers, and tell segments how many each of them reaches."""
        from campaigns import carriers
        from campaigns.services.erasure import forget_messages
        from campaigns.services.news import carry_by_subscription, carry_by_template
        from campaigns.services.steering import try_parked
        from inbox.selectors import allowances_ending
        from loyalty.services import on_notice
        from members import reach
        from members.services.erasure import on_erase
        from members.watched import watched
        from wechat_gateway.registries import repair_listeners

        on_erase.register("campaigns.messages", forget_messages)
        repair_listeners.register("campaigns.parked", try_parked)
        # Asked in this order, after the free message within the window ("inbox.window").
        on_notice.register("subscribe.notification", carry_by_subscription)
        on_notice.register("template.message", carry_by_template)
        watched.register("campaigns_subscriptionstock", "follower_id")

        for module in pkgutil.iter_modules(carriers.__path__):
            import_module(f"campaigns.carriers.{module.name}")
        for key, carrier in carriers.carriers.items():
            # What people's own acts allow ends by time; following and agreeing do not.
            turns = allowances_ending if carrier.uses_allowance else _nobody
            way = reach.Way(key, carrier.label, carrier.reachable, turns)
            reach.carriers.register(key, way)
        if apps.is_installed("django.contrib.admin"):  # the gateway has no pages
            from campaigns import (
                fallbacks,  # noqa: F401 - tells the inbox what campaigns' channels offer
                views,  # noqa: F401 - puts the pages of campaigns into the console
            )


def _nobody(_since: datetime, _until: datetime) -> list[QuerySet[Any]]:
    return []
