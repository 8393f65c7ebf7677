"""Pages of automatic answers and of the menu."""

from conversations.admin import menus, records, rules, unmatched

__all__ = ["menus", "records", "rules", "unmatched"]
