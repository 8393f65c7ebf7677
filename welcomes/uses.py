"""Which sequences send a file of the library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils.translation import gettext as _

from library.uses import Use
from welcomes.models import Sequence
from welcomes.plan import read_steps

if TYPE_CHECKING:
    from collections.abc import Sequence as Several


def by_steps(item_ids: Several[int]) -> dict[int, list[Use]]:
    """Give the sequences whose steps send each of these files; one query."""
    wanted, found = set(item_ids), dict[int, list[Use]]()
    for row in Sequence.objects.order_by("name", "pk"):
        for item_id in {step.item for step in read_steps(row.steps)} & wanted:
            if item_id is not None:
                link = reverse("admin:welcomes_sequence_change", args=[row.pk])
                found.setdefault(item_id, []).append(Use(_("Welcome sequence"), row.name, link))
    return found
