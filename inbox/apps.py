"""The inbox app."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class InboxConfig(AppConfig):
    """People of the brand talking with its followers."""

    name = "inbox"
    verbose_name = _("Inbox")

    def ready(self) -> None:
        """Listen to automatic answers and erasures, and put the pages into the console; the gateway has none."""
        from conversations.services.records import on_hand_over, on_service_messages
        from conversations.windows import Ledger, ledgers
        from inbox.channel_figures import TALKED
        from inbox.services.erasure import forget_kinds, forget_person
        from inbox.services.ledger import reserve_sends, settle_sends
        from inbox.services.lines import hold, hold_people
        from inbox.services.recording import record_service_messages, take_over
        from inbox.services.warnings import carry_notice
        from inbox.uses import by_wechats_id
        from library.uses import media_users
        from loyalty.services import before_notices, on_notice
        from members.services.erasure import on_erase, on_withdraw
        from members.watched import watched
        from touchpoints.selectors import BargainSign, bargain_signs

        on_erase.register("inbox.conversations", forget_person)
        on_withdraw.register("inbox.conversations", forget_kinds)
        bargain_signs.register("inbox.talked", BargainSign(_("talked with us"), TALKED))
        watched.register("inbox_replyledger", "follower_id")
        before_notices.register("inbox.people", hold_people)
        on_notice.register("inbox.window", carry_notice)
        on_hand_over.register("inbox.take_over", take_over)
        ledgers.register("inbox.ledger", Ledger(reserve_sends, settle_sends, hold))
        on_service_messages.register("inbox.record", record_service_messages)
        media_users.register("inbox.by_wechats_id", by_wechats_id)
        if apps.is_installed("django.contrib.admin"):
            from inbox import views  # noqa: F401 - puts the pages into the console
