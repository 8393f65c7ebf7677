"""How lists are paged."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination


class KeysetPagination(CursorPagination):
    """Pages by key, stable while rows arrive; no counts."""

    ordering = "-id"
    page_size = 20
    max_page_size = 200
    page_size_query_param = "page_size"
