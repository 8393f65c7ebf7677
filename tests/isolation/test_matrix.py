"""The matrix: every discovered surface, asked by everybody about rows of their own, of another store, of another brand,
and about rows that do not exist. Another brand's row must be answered like one that does not exist, byte for byte.
"""

import pytest

from tests.isolation.cells import Cells
from tests.isolation.matrix import console, forms, modelling, probes, rest, working

# Within `make test` a part of each section is asked; all of it by `python -m tests.isolation`.
THOROUGH = console.THOROUGH
APPS = sorted({f"{model._meta.app_label}." for model in console.site._registry}) if THOROUGH else ["stores."]

pytestmark = [pytest.mark.timeout(2400 if THOROUGH else 300), pytest.mark.long(8, together=True)]


@pytest.mark.parametrize("role", console.STAFF)
def test_console_addresses(matrix, role):
    cells = Cells(f"console addresses · {role}")
    console.addresses(matrix, cells, role)
    cells.close()


@pytest.mark.parametrize("role", console.STAFF[:2])
def test_malformed_ids(matrix, role):
    cells = Cells(f"console malformed ids · {role}")
    console.malformed(matrix, cells, role)
    cells.close()


@pytest.mark.parametrize("role", forms.ASKERS)
def test_console_forms_and_links(matrix, role):
    cells = Cells(f"console forms and links · {role}")
    forms.forms_and_links(matrix, cells, role, only="" if THOROUGH else "segments/")
    cells.close()


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("role", probes.ASKERS)
def test_admin_probes(matrix, role, app):
    cells = Cells(f"admin probes · {role} · {app[:-1]}")
    probes.every_probe(matrix, cells, role, only=app)
    cells.close()


@pytest.mark.parametrize("part", rest.PARTS)
def test_rest(matrix, part):
    cells = Cells(f"REST · {part}")
    rest.PARTS[part](matrix, cells)
    cells.close()


def test_models(matrix):
    cells = Cells("models and managers")
    modelling.touches(matrix, cells, only="" if THOROUGH else "members.Member")
    cells.close()


@pytest.mark.parametrize("part", working.PARTS)
def test_work(matrix, part):
    cells = Cells(f"work · {part}")
    working.PARTS[part](matrix, cells)
    cells.close()


def test_net_that_was_taken_away_is_seen_to_be_gone(matrix):
    """With one net open the other holds rows back; with both closed neither has anything to hold back."""
    cells = Cells("nets")
    modelling.nets(matrix, cells)
    cells.close()
