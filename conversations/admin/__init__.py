"""Pages of automatic answers, dialogues and menus."""

from conversations.admin import dialogues, menus, records, rules, unmatched

__all__ = ["dialogues", "menus", "records", "rules", "unmatched"]
