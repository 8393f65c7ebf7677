"""Lists, page by page: stable while rows arrive, no counts; a cursor cannot be read, changed or used elsewhere."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError

from accounts.errors import Unsealable
from accounts.sealing import open_sealed, seal
from accounts.tenancy import current_brand_id

T = TypeVar("T")

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import QueryDict

    M = TypeVar("M", bound=Model)

PAGE_SIZE: Final = 20
MAX_PAGE_SIZE: Final = 200
MAX_CURSOR: Final = 300

PAGE_PARAMETERS: Final = [
    OpenApiParameter(
        "cursor",
        {"type": "string", "minLength": 1, "maxLength": MAX_CURSOR},
        description="`next` of the page before; leave out for the first page.",
    ),
    OpenApiParameter(
        "page_size",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": PAGE_SIZE},
        description=f"Rows a page, 1 to {MAX_PAGE_SIZE}.",
    ),
]


@dataclass(frozen=True)
class Keyset:
    """How one list is paged: its name, and the unique column it is ordered by (`-` for descending)."""

    name: str
    column: str = "-pk"

    def page(self, rows: QuerySet[M], query: QueryDict) -> tuple[list[M], str | None]:
        """Give the page a request asks for and the cursor of the next one, None on the last."""
        size, position = self.wanted(query)
        column = self.column.removeprefix("-")
        if position is not None:
            rows = rows.filter(**{f"{column}__{'lt' if self.column.startswith('-') else 'gt'}": position})
        return self.cut(list(rows.order_by(self.column)[: size + 1]), size, attrgetter(column))

    def wanted(self, query: QueryDict) -> tuple[int, str | None]:
        """Give how many rows a request asks for, and after which value of the column (None: from the first)."""
        return _page_size(query), self._position(query)

    def cut(self, found: list[T], size: int, value: Callable[[T], object]) -> tuple[list[T], str | None]:
        """Give a page, and the cursor of the next one if `found` has a row more than the page."""
        if len(found) <= size:
            return found, None
        return found[:size], self._cursor(str(value(found[size - 1])))

    def _context(self) -> bytes:
        return f"cursor\x1f{self.name}\x1f{current_brand_id()}".encode()

    def _cursor(self, position: str) -> str:
        sealed = seal(current_brand_id(), position, self._context(), lasting=False)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def _position(self, query: QueryDict) -> str | None:
        given = query.getlist("cursor")
        if not given:
            return None
        if len(given) > 1 or not given[0] or len(given[0]) > MAX_CURSOR:
            raise _unknown_cursor()
        try:
            sealed = base64.b64decode(given[0] + "=" * (-len(given[0]) % 4), altchars=b"-_", validate=True)
            return open_sealed(current_brand_id(), sealed, self._context())
        except (Unsealable, binascii.Error, ValueError):
            raise _unknown_cursor() from None


def _unknown_cursor() -> ValidationError:
    return ValidationError({"cursor": [_("This cursor is unknown. Start from the first page.")]})


def _page_size(query: QueryDict) -> int:
    given = query.getlist("page_size")
    if not given:
        return PAGE_SIZE
    text = given[0]
    if len(given) == 1 and text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MAX_PAGE_SIZE:
        return int(text)
    message = _("A number from %(low)s to %(high)s is expected here.") % {"low": 1, "high": MAX_PAGE_SIZE}
    raise ValidationError({"page_size": [message]})


def page_body(results: list[Any], cursor: str | None) -> dict[str, Any]:
    """Build the one page shape: `{"results": […], "next": cursor or null}`."""
    return {"results": results, "next": cursor}
