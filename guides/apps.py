"""The guides app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class GuidesConfig(AppConfig):
    """Guides and who looks after whom."""

    name = "guides"
    verbose_name = _("Guides")

    def ready(self) -> None:
        """Take part in touches, merges and data scope."""
        from guides.selectors import GUIDES_AS_OWNERS, members_of_viewer
        from guides.services import assign_by_code, move_assignments
        from members.selectors import own_members
        from members.services.identity import on_merge
        from touchpoints.selectors import owners
        from touchpoints.services import on_touch

        owners.register("guide", GUIDES_AS_OWNERS)
        on_touch.register("guides.assign_by_code", assign_by_code)
        on_merge.register("guides.assignments", move_assignments)
        own_members.register("guides.assigned", members_of_viewer)
