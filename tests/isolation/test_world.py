"""The fixture of the matrix is what it says: a row of every table, a canary in every text, the same keys in the twin."""

import pytest

from accounts.roles import Role
from accounts.tenancy import brand_scope
from tests.isolation import world as worlds

pytestmark = pytest.mark.django_db


def test_every_table_has_rows_and_every_text_of_the_twin_a_canary():
    world = worlds.build()
    for model in worlds.brand_models():
        for furnished in (world.a, world.b, world.c):
            for side in (furnished.near, furnished.far):
                assert model in side.rows, f"{model.__name__}: say in world.py what a row of it looks like"
    with brand_scope(world.b.brand.pk):
        for model in worlds.brand_models():
            row = model.objects.get(pk=world.b.near[model].pk)
            for column in worlds.free_texts(model):
                assert worlds.CANARY.lower() in getattr(row, column.name).lower(), f"{model.__name__}.{column.name}"
    stale = set(worlds.MEANT) - {
        f"{model._meta.label_lower}.{each.name}" for model in worlds.brand_models() for each in model._meta.fields
    }
    assert stale == set()


def test_every_role_there_is_asks():
    assert {role for role, _scope in worlds.ROLES.values()} == set(Role), "give the new role a person in world.py"
