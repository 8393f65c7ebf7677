"""The members app."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class MembersConfig(AppConfig):
    """People, tags, segments, consent."""

    name = "members"
    verbose_name = _("Members")

    def ready(self) -> None:
        """Collect what segments can ask, from every app; say whom a mini-program token stands for."""
        autodiscover_modules("segment_conditions")
        autodiscover_modules("personal_tables")
        autodiscover_modules("retention_classes")
        from accounts.rest.callers import sessions
        from members.selectors import principal_of_claim
        from members.services import assets
        from members.services.codes import forget_uses
        from members.services.erasure import on_erase
        from members.services.membership import forget_in_segments
        from members.services.merging import erase_merged
        from members.services.profile import forget_profile

        sessions.register("members.mini_program", principal_of_claim)
        assets.register()
        on_erase.register("members.merged", erase_merged)
        on_erase.register("members.kept_segments", forget_in_segments)
        on_erase.register("members.code_uses", forget_uses)
        on_erase.register("members.profile", forget_profile)
        if apps.is_installed("django.contrib.admin"):  # the gateway has no pages
            autodiscover_modules("explanations")
            from members import views  # noqa: F401 - puts the pages of segments into the console
