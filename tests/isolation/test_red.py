"""A matrix that was never red proves nothing: each net is broken in one place, and the matrix must name the surface."""

import inspect
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import pytest
from django.core.cache import cache, caches
from django.db import connection, transaction

from accounts.rest.throttling import PerKey
from accounts.tenancy import BrandManager, BrandQuerySet, brand_scope
from members.models import Tag
from tests.accounts import test_catalogue as catalogue
from tests.isolation import layers, lint, surfaces
from tests.isolation import test_keys as keys
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
            "members.admin.people.records_within", lambda viewer: worlds.Member.objects.filter(merged_into=None)
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


def test_cache_key_without_brand(monkeypatch, brand):
    """The audit of Redis names a key that the product's cache has written without its brand."""
    with keys.Watch() as watch, brand_scope(brand.pk):
        cache.set("figures", "ours")
    assert [key for key in watch.keys if "figures" in key] != []
    assert keys.strangers(watch.keys) == []
    monkeypatch.setattr(caches["default"], "key_func", lambda key, prefix, version: f"{prefix}:{version}:{key}")
    with keys.Watch() as watch, brand_scope(brand.pk):
        cache.set("figures", "ours")
        cache.delete("figures")
    assert [key for key in keys.strangers(watch.keys) if key.endswith(":figures")] != [], watch.keys


def test_rate_counter_without_brand(monkeypatch):
    """So does a counter of calls that brands would share."""
    with world_of("real") as matrix:
        asker = matrix.askers["key full"]
        with keys.Watch() as watch:
            asker.ask("GET", "/api/v1/stores/")
        assert keys.strangers(watch.keys) == []
        monkeypatch.setattr(PerKey, "key", lambda self, request: f"zhiyin:bucket:key:{request.user.key_id}")
        with keys.Watch() as watch:
            asker.ask("GET", "/api/v1/stores/")
    assert [key for key in keys.strangers(watch.keys) if key.startswith("zhiyin:bucket:key:")] != [], watch.keys


@pytest.mark.parametrize(
    "name", ["campaigns.tasks.settle_results", "wechat_gateway.tasks.handle_inbound", "members.tasks.sync_account_tags"]
)
def test_task_without_brand(monkeypatch, name):
    """A task of the product that has lost the check of its first argument."""
    task = surfaces.tasks()[name]
    assert leaks_of(working.tasks_without_a_brand, None, only=name) == []
    monkeypatch.setattr(task, "run", inspect.unwrap(task.run))
    red = leaks_of(working.tasks_without_a_brand, None, only=name)
    assert any(f"{name} · called with (True,)" in each for each in red), red


def test_task_of_another_brands_object(monkeypatch):
    """A task of the product that takes the object's brand for its own."""
    with world_of("real") as matrix:
        task = surfaces.tasks()["wechat_gateway.tasks.refresh_token"]
        theirs = matrix.world.b.far[worlds.OfficialAccount]

        def careless(brand_id, appid):
            if appid == theirs.appid:
                with brand_scope(theirs.brand_id):
                    worlds.OfficialAccount.objects.filter(appid=appid).update(name="changed")

        monkeypatch.setattr(task, "run", careless)
        red = leaks_of(working.tasks, matrix, only="refresh_token")
    assert any("refresh_token · rows of B" in each for each in red), red


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
