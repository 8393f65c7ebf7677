"""Long lists cut into pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from console.http import row_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest

T = TypeVar("T")
MOST_LINES: Final = 100  # at once: a page of thousands takes seconds to build and to read


class Pages:
    """A long list cut into pages, with the links between them; one page too far is the last one."""

    def __init__(self, request: HttpRequest, total: int, *, size: int = 0) -> None:
        size = size or MOST_LINES
        self._query = request.GET.copy()
        self.total, self._size = total, size
        last = max(1, -(-total // size))
        self.number = min(max(row_id(request.GET.get("page")) or 1, 1), last)
        self.last = last

    def of(self, found: Sequence[T]) -> list[T]:
        """Give the part of the list that this page shows."""
        return list(found[(self.number - 1) * self._size : self.number * self._size])

    @property
    def first_shown(self) -> int:
        """Give the number of the first line shown."""
        return (self.number - 1) * self._size + 1

    @property
    def last_shown(self) -> int:
        """Give the number of the last line shown."""
        return min(self.number * self._size, self.total)

    @property
    def before(self) -> str:
        """Give the address of the page before, nothing on the first."""
        return self._link(self.number - 1) if self.number > 1 else ""

    @property
    def after(self) -> str:
        """Give the address of the page after, nothing on the last."""
        return self._link(self.number + 1) if self.number < self.last else ""

    def _link(self, number: int) -> str:
        self._query["page"] = str(number)
        return "?" + self._query.urlencode()
