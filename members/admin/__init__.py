"""Console pages of the app, and what it adds to the home page, the search and a member's timeline."""

from members.admin import groupings, holds, home, people, pre_tags, privacy, tag_rules, tags, timeline

__all__ = ["groupings", "holds", "home", "people", "pre_tags", "privacy", "tag_rules", "tags", "timeline"]
