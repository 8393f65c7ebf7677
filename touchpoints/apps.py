"""The touchpoints app."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class TouchpointsConfig(AppConfig):
    """The channel tree, codes and touches."""

    name = "touchpoints"
    verbose_name = _("Channels")

    def ready(self) -> None:
        """Say what moves when two records become one."""
        from members.services.identity import on_merge
        from touchpoints.services import move_staff_marks, move_touches

        on_merge.register("touchpoints.touches", move_touches)
        on_merge.register("touchpoints.staff_marks", move_staff_marks)
        if apps.is_installed("django.contrib.admin"):  # the gateway has no pages
            from touchpoints import views  # noqa: F401 - puts the pages of channels into the console
