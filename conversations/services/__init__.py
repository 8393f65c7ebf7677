"""Changes to automatic answers and to the menu."""

from conversations.services.dialogues import answer_fields, save_dialogue, talk
from conversations.services.imports import ImportOutdated, apply_import, plan_import
from conversations.services.menus import (
    ask_to_compare,
    ask_to_publish,
    cancel_publishing,
    compare_menu,
    count_buttons,
    draft_of,
    files_of,
    planned_for,
    publish_due_menus,
    publish_menu,
    restore_version,
    save_menu,
    save_tag_menu,
    settle_again,
    settle_menus,
    sweep_menus,
)
from conversations.services.phrases import ignore_suggestion, note_unmatched, suggest_rules
from conversations.services.records import note_answer, on_hand_over, purge_records, send_replies, sweep_replies
from conversations.services.retention import forget_old_answers, purge_known_due, purge_taps
from conversations.services.rules import save_rule
from conversations.services.taps import note_tap

__all__ = [
    "ImportOutdated",
    "answer_fields",
    "apply_import",
    "ask_to_compare",
    "ask_to_publish",
    "cancel_publishing",
    "compare_menu",
    "count_buttons",
    "draft_of",
    "files_of",
    "forget_old_answers",
    "ignore_suggestion",
    "note_answer",
    "note_tap",
    "note_unmatched",
    "on_hand_over",
    "plan_import",
    "planned_for",
    "publish_due_menus",
    "publish_menu",
    "purge_known_due",
    "purge_records",
    "purge_taps",
    "restore_version",
    "save_dialogue",
    "save_menu",
    "save_rule",
    "save_tag_menu",
    "send_replies",
    "settle_again",
    "settle_menus",
    "suggest_rules",
    "sweep_menus",
    "sweep_replies",
    "talk",
]
