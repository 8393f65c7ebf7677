"""A matrix that was never red proves nothing: each net is broken in one place, and the matrix must name the surface."""

import re
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.db import connection, transaction

from accounts.tasks_base import brand_task
from accounts.tenancy import BrandManager, BrandQuerySet, brand_scope
from members.models import Tag
from tests.accounts import test_catalogue as catalogue
from tests.isolation import layers, lint, surfaces
from tests.isolation import world as worlds
from tests.isolation.cells import Cells
from tests.isolation.conftest import askers_of
from tests.isolation.matrix import console, forms, modelling, rest, working

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]


@contextmanager
def world_of(layer, *owner_statements, undo=()):
    """A world for a broken product: what the owner breaks is mended afterwards."""
    with ExitStack() as stack:
        if layer == "rls-off":
            stack.enter_context(layers.row_security_off())
        layers.owner_statements(*owner_statements)
        stack.callback(layers.owner_statements, *undo)
        layers.spread_sequences(5_000_000)
        stack.enter_context(transaction.atomic())
        stack.callback(transaction.set_rollback, True)
        world = worlds.build()
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        opened = stack.enter_context(layers.guard_open()) if layer == "guard-open" else None
        yield SimpleNamespace(world=world, askers=askers_of(world), opened=opened, layer=layer)


def leaks_of(section, matrix, *arguments, **more):
    cells = Cells("broken on purpose")
    section(matrix, cells, *arguments, **more)
    return cells.leaks


def open_tags(self):
    if self.model is Tag:
        return BrandQuerySet(self.model, using=self._db)
    return GUARDED(self)


GUARDED = BrandManager.get_queryset


class TestWithoutATransaction:
    """Tests that change tables as their owner."""

    pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

    def test_one_filter_removed(self, monkeypatch):
        with world_of("rls-off") as matrix:
            assert leaks_of(console.addresses, matrix, "owner", only="members/tag/") == []
            monkeypatch.setattr(BrandManager, "get_queryset", open_tags)
            red = leaks_of(console.addresses, matrix, "owner", only="members/tag/")
            assert any("members/tag/<path:object_id>/change/" in each for each in red), red
            red = leaks_of(modelling.touches, matrix, only="members.Tag")
            assert any("members.Tag · get" in each for each in red), red
            monkeypatch.undo()

    def test_one_policy_removed(self):
        table = Tag._meta.db_table
        opened = f'ALTER POLICY brand_rows ON "{table}" USING (true) WITH CHECK (true)'
        closed = f'ALTER POLICY brand_rows ON "{table}" USING (brand_id = {BRAND}) WITH CHECK (brand_id = {BRAND})'
        with world_of("guard-open", opened, undo=(closed,)) as matrix:
            red = leaks_of(console.addresses, matrix, "owner", only="members/tag/")
            assert any("members/tag/<path:object_id>/change/" in each for each in red), red
            red = leaks_of(forms.forms_and_links, matrix, "owner", only="segments/choices/")
            assert any("segments/choices" in each for each in red), red

    @pytest.mark.parametrize(
        ("breaks", "mends", "check"),
        [
            (
                "NO FORCE ROW LEVEL SECURITY",
                "FORCE ROW LEVEL SECURITY",
                catalogue.test_every_brand_table_has_forced_row_security,
            ),
            (
                "DISABLE ROW LEVEL SECURITY",
                "ENABLE ROW LEVEL SECURITY",
                catalogue.test_every_brand_table_has_forced_row_security,
            ),
            (
                'DROP CONSTRAINT "members_membertag_tag_id_same_brand"',
                (
                    'ADD CONSTRAINT "members_membertag_tag_id_same_brand" FOREIGN KEY (brand_id, tag_id) '
                    "REFERENCES members_tag (brand_id, id) DEFERRABLE INITIALLY DEFERRED"
                ),
                catalogue.test_every_reference_between_brand_tables_carries_the_brand,
            ),
        ],
    )
    def test_shape_of_a_table_broken(self, breaks, mends, check):
        tables = {model._meta.db_table: model for model in worlds.brand_models()}
        check(tables)
        layers.owner_statements(f'ALTER TABLE "members_membertag" {breaks}')
        try:
            with pytest.raises(AssertionError, match="members_membertag"):
                check(tables)
        finally:
            layers.owner_statements(f'ALTER TABLE "members_membertag" {mends}')

    def test_composite_key_removed(self):
        name = "members_membertag_tag_id_same_brand"
        mend = (
            f'ALTER TABLE "members_membertag" ADD CONSTRAINT "{name}" FOREIGN KEY (brand_id, tag_id) '
            "REFERENCES members_tag (brand_id, id) DEFERRABLE INITIALLY DEFERRED"
        )
        with world_of("real", f'ALTER TABLE "members_membertag" DROP CONSTRAINT "{name}"', undo=(mend,)) as matrix:
            red = leaks_of(modelling.touches, matrix, only="members.MemberTag")
            assert any("members.MemberTag · tag · written" in each for each in red), red


BRAND = "nullif(current_setting('app.brand_id', true), '')::bigint"


def test_scope_narrower_than_the_brand_lost(monkeypatch):
    with world_of("real") as matrix:
        monkeypatch.setattr(
            "members.admin.people.visible_members", lambda viewer: worlds.Member.objects.filter(merged_into=None)
        )
        red = leaks_of(console.addresses, matrix, "manager", only="members/member/<path:object_id>/change/")
        assert any("other store" in each for each in red), red


def test_missing_row_that_costs_another_query(monkeypatch):
    """A look-up without the brand first, and the check afterwards: equal answers, unequal work."""
    with world_of("real") as matrix:
        real = console.site._registry[Tag].get_object

        def get_object(request, object_id, from_field=None):
            if object_id == str(matrix.world.b.near[Tag].pk):
                Tag.objects.exists()
            return real(request, object_id, from_field)

        monkeypatch.setattr(console.site._registry[Tag], "get_object", get_object)
        red = leaks_of(console.addresses, matrix, "owner", only="members/tag/<path:object_id>/change/")
        assert any("queries instead of" in each for each in red), red


def test_cache_key_without_brand(monkeypatch, brand, other_brand):
    monkeypatch.setattr(cache, "key_func", lambda key, prefix, version: f"{prefix}{key}:{version}")
    with brand_scope(brand.pk):
        cache.set("figures", "ours")
    with brand_scope(other_brand.pk):
        assert cache.get("figures") == "ours"  # what the audit of keys guards against
        cache.delete("figures")
    from tests.isolation.test_keys import GLOBAL, OF_A_BRAND

    assert not OF_A_BRAND.search("figures:1")
    assert not any(re.search(pattern, "figures:1") for pattern in GLOBAL)


def test_task_without_brand(monkeypatch):
    ran = []

    @brand_task(name="probe_of_the_matrix")
    def careless(brand_id, campaign_id=0, secret_id=0):
        ran.append(brand_id)

    monkeypatch.setattr(careless, "run", lambda *args: ran.append(args))
    monkeypatch.setattr(surfaces, "tasks", lambda: {"members.tasks.careless": careless})
    red = leaks_of(working.tasks_without_a_brand, None)
    assert any("members.tasks.careless · called with (None,)" in each for each in red), red


def test_exporter_past_the_guard_is_seen():
    source = "def export():\n    return Member._base_manager.all()"
    assert [what for _line, what in lint.findings(source, "members/export.py")] == ["_base_manager"]


@pytest.mark.parametrize("kind", ["address", "serializer field", "task", "command"])
def test_undeclared_surface_is_named(kind, monkeypatch):
    cells = Cells("undeclared")
    with world_of("real") as matrix:
        matrix.foreign_key_holder = matrix.askers["key full"]
        if kind == "address":
            new = surfaces.Address("vouchers/<int:voucher_id>/", ("vouchers/", "<voucher_id>", "/"))
            monkeypatch.setattr(surfaces, "console", lambda: [(new, None)])
            console.addresses(matrix, cells, "owner")
        elif kind == "serializer field":
            monkeypatch.setattr(surfaces, "input_fields", lambda: {"Voucher.code": None})
            monkeypatch.setattr(rest, "rows", lambda world: {})
            monkeypatch.setattr(rest, "ask_conditions", lambda *_: None)
            monkeypatch.setattr(rest, "cursor_of_another_brand", lambda *_: None)
            rest.inputs(matrix, cells)
        elif kind == "task":
            task = SimpleNamespace(run=lambda brand_id, voucher_id: None)
            monkeypatch.setattr(surfaces, "tasks", lambda: {"vouchers.tasks.expire": task})
            working.tasks(matrix, cells)
        else:
            monkeypatch.setattr(surfaces, "commands", lambda: {"expire_vouchers": "vouchers"})
            working.commands(matrix, cells)
    assert any("oucher" in each for each in cells.undeclared)
    with pytest.raises(AssertionError, match="undeclared"):
        cells.close()
