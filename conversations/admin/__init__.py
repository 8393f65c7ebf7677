"""Pages of automatic answers, dialogues and menus."""

from conversations.admin import dialogues, imports, menus, portrait, records, rules, timeline, unmatched

__all__ = ["dialogues", "imports", "menus", "portrait", "records", "rules", "timeline", "unmatched"]
