"""The guides app."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class GuidesConfig(AppConfig):
    """Guides and who looks after whom."""

    name = "guides"
    verbose_name = _("Guides")

    def ready(self) -> None:
        """Take part in touches, merges and data scope."""
        from guides.selectors import GUIDES_AS_OWNERS, members_of_viewer
        from guides.services import ASSIGNMENTS, assign_by_code, guide_of_join_code, join_by_code, shown_guide
        from members.joining import JoinCodes, join_codes
        from members.merging import Asset, assets
        from members.selectors import own_members
        from touchpoints.selectors import owners
        from touchpoints.services import on_touch

        join_codes.register(
            "guides.join_codes",
            JoinCodes(lambda code, at: guide_of_join_code(code, at=at) is not None, join_by_code),
        )
        owners.register("guide", GUIDES_AS_OWNERS)
        on_touch.register("guides.assign_by_code", assign_by_code)
        assets.register(
            "guides.assignments", Asset(_("Guide"), ASSIGNMENTS.move, ASSIGNMENTS.give_back, shown_guide, 80)
        )
        if apps.is_installed("django.contrib.admin"):  # the gateway has no pages
            from guides import views  # noqa: F401 - puts the pages of guides into the console
        own_members.register("guides.assigned", members_of_viewer)
