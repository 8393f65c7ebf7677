"""Changes to automatic answers and to the menu."""

from conversations.services.menus import publish_menu, save_menu
from conversations.services.phrases import ignore_suggestion, note_unmatched, suggest_rules
from conversations.services.records import note_answer, on_hand_over, purge_records, send_replies, sweep_replies
from conversations.services.rules import save_rule

__all__ = [
    "ignore_suggestion",
    "note_answer",
    "note_unmatched",
    "on_hand_over",
    "publish_menu",
    "purge_records",
    "save_menu",
    "save_rule",
    "send_replies",
    "suggest_rules",
    "sweep_replies",
]
