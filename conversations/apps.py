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
        from conversations.services.dialogues import fields_changed
        from conversations.services.menus import menus_with_tag
        from conversations.services.records import forget_talks, note_scan
        from conversations.services.rules import file_is_there, look_again, rules_that_use
        from library.uses import media_listeners, media_users
        from members.services.erasure import on_erase
        from members.services.profile import on_field
        from members.services.segments import on_segment
        from members.uses import tag_users
        from touchpoints.services.touches import on_touch

        on_segment.register("conversations.rules", look_again)
        on_field.register("conversations.dialogues", fields_changed)
        on_touch.register("conversations.welcomes", note_scan)
        on_erase.register("conversations.talks", forget_talks)
        tag_users.register("conversations.menus", menus_with_tag)
        media_users.register("conversations.rules", rules_that_use)
        media_listeners.register("conversations.rules", file_is_there)
