"""The conversations app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ConversationsConfig(AppConfig):
    """Registers what the app adds to others."""

    name = "conversations"
    verbose_name = _("Conversations")

    def ready(self) -> None:
        """Compile answers anew when a segment has another rule; forget talks with the person."""
        from conversations.services.records import forget_talks
        from conversations.services.rules import look_again
        from members.services.erasure import on_erase
        from members.services.segments import on_segment

        on_segment.register("conversations.rules", look_again)
        on_erase.register("conversations.talks", forget_talks)
