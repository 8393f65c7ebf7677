"""The gateway app: the only place that speaks to Tencent."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class WechatGatewayConfig(AppConfig):
    """Callbacks in, API calls out."""

    name = "wechat_gateway"
    verbose_name = _("WeChat gateway")

    def ready(self) -> None:
        """Collect what the apps above react to and answer."""
        from wechat_gateway import refusals  # noqa: F401 - registers by being imported

        autodiscover_modules("inbound")
