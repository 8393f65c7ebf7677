"""The welcomes app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class WelcomesConfig(AppConfig):
    """The first 48 hours of new followers."""

    name = "welcomes"
    verbose_name = _("First 48 hours")

    def ready(self) -> None:
        """Forget what is known of somebody's first 48 hours with the person; say which files sequences send."""
        from library.uses import media_users
        from members.services.erasure import on_erase
        from welcomes.services import forget_enrolments
        from welcomes.uses import by_steps

        media_users.register("welcomes.steps", by_steps)
        on_erase.register("welcomes.enrolments", forget_enrolments)
