"""Console pages of the app, and what it adds to the home page, the search and a member's timeline."""

from members.admin import home, people, privacy, tags, timeline

__all__ = ["home", "people", "privacy", "tags", "timeline"]
