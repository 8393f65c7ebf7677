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
        from accounts.rest.callers import sessions
        from members.selectors import principal_of_claim

        sessions.register("members.mini_program", principal_of_claim)
        if apps.is_installed("django.contrib.admin"):  # the gateway has no pages
            from members import views  # noqa: F401 - puts the pages of segments into the console
