"""Sealed values that do not open: said once, outside of the transaction that failed, and looked at until they open."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from django.apps import apps
from django.db import connection
from django.utils.translation import gettext_lazy as _

from accounts.errors import Unsealable
from accounts.fields import Refused, refused_values
from accounts.services import record_audit
from accounts.tenancy import brand_scope
from accounts.viewer import current_viewer, viewing
from common import clock
from wechat_gateway import incidents
from wechat_gateway.models import Incident

if TYPE_CHECKING:
    from datetime import datetime

    from accounts.viewer import Viewer

logger = logging.getLogger(__name__)

SEALED: Final = "sealed.refused"
#: A process says the same of the same value so many seconds later at the earliest.
AGAIN: Final = 600.0
#: Of a brand whose key is gone no value opens: so many are named.
MOST: Final = 50

incidents.kinds.register(
    SEALED,
    incidents.Kind(
        _("A sealed value cannot be opened: %(subject)s"),
        _("Nothing is shown or used in its place. What needs it fails until it is put right; everything else works."),
        cause=_("The value was changed or copied from another place in the database, or its key is gone."),
        action=_(
            "Find out who writes to the database beside the application, then enter the value anew, or have it "
            "restored from a backup. It is looked at every minute and closes when the value opens."
        ),
        by_hand=True,
    ),
)

_told: dict[Refused, float] = {}
_lock = threading.Lock()
_writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="refused-values")


@refused_values.add("wechat_gateway.incident")
def tell(value: Refused) -> None:
    """Open an incident about a value, in another transaction than that of whoever wanted to read it."""
    moment = time.monotonic()
    with _lock:
        if (last := _told.get(value)) is not None and moment - last < AGAIN:
            return
        if len(_told) >= 1_000:
            _told.clear()
        _told[value] = moment
    logger.error("brand %s: a sealed value does not open: %s", value.brand_id, value)
    _writer.submit(_write, value, current_viewer())


def forget_told() -> None:
    """Drop what was noticed: the next time anybody meets it, it is told again."""
    with _lock:
        _told.clear()


def until_told() -> None:
    """Wait until everything that was noticed so far is written down."""
    _writer.submit(lambda: None).result()


def _write(value: Refused, viewer: Viewer | None) -> None:
    try:
        with brand_scope(value.brand_id):
            open_ones = Incident.objects.filter(kind=SEALED, closed_at__isnull=True)
            if open_ones.count() >= MOST and not open_ones.filter(subject=str(value)).exists():
                return
            if incidents.open_incident(kind=SEALED, subject=str(value), at=clock.now()):
                _note(value, viewer)
    except Exception:
        logger.exception("brand %s: nobody could be told that a sealed value does not open", value.brand_id)
        with _lock:
            _told.pop(value, None)
    finally:
        connection.close()


def _note(value: Refused, viewer: Viewer | None) -> None:
    row = apps.get_model(value.model)(pk=value.row)
    if viewer is None:
        record_audit(action="sealed value refused", obj=row, label=str(value))
        return
    with viewing(viewer):
        record_audit(action="sealed value refused", obj=row, label=str(value))


def look_again(*, at: datetime) -> int:
    """Close the incidents of the brand in scope whose value opens again, or is gone; gives how many."""
    rows = list(Incident.objects.filter(kind=SEALED, closed_at__isnull=True).order_by("pk"))
    over = [row.pk for row in rows if _opens(row.subject)]
    return Incident.objects.filter(pk__in=over).update(closed_at=at) if over else 0


def _opens(subject: str) -> bool:
    place, _space, row = subject.partition(" #")
    table, _dot, column = place.partition(".")
    model = next((each for each in apps.get_models() if each._meta.db_table == table), None)
    fields = model._meta.concrete_fields if model is not None else ()
    attribute = next((each.attname for each in fields if each.column == column), None)
    if model is None or attribute is None or not row.isdecimal():  # it was renamed, or is gone
        return True
    found = model._default_manager.filter(pk=int(row)).first()
    if found is None:
        return True
    try:
        getattr(found, attribute)
    except Unsealable:
        return False
    return True
