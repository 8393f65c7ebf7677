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
        from members.merging import Asset, assets
        from members.services.flags import on_flag
        from members.services.followers import on_profile
        from touchpoints.services import STAFF_MARKS, TOUCHES, note_origin, restate_touches

        on_flag.register("touchpoints.touches", restate_touches)
        on_profile.register("touchpoints.origin", note_origin)
        # Touches go back last: by then it is known which followers have gone back.
        assets.register("touchpoints.touches", Asset(_("Touches"), TOUCHES.move, TOUCHES.give_back, order=5))
        assets.register("touchpoints.staff_marks", Asset(_("Staff"), STAFF_MARKS.move, STAFF_MARKS.give_back, order=90))
        if apps.is_installed("django.contrib.admin"):  # the gateway has no pages
            from touchpoints import views  # noqa: F401 - puts the pages of channels into the console
