"""The search of the frame: every registered kind of thing, inside the brand and the person's capabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from console.registry import search_groups

if TYPE_CHECKING:
    from accounts.viewer import Viewer

LIMIT = 8


def search_results(viewer: Viewer, term: str) -> list[dict[str, Any]]:
    """Give the groups that found something, at most eight hits each. Never cached."""
    found = []
    groups = sorted((group for _key, group in search_groups.items()), key=lambda group: group.order)
    for group in groups:
        if not viewer.can(f"{group.area}.view"):
            continue
        hits = group.find(viewer, term)[:LIMIT]
        if hits:
            found.append({"label": group.label, "hits": hits})
    return found
