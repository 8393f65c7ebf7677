"""What code inside the product could do by mistake: every way to touch another brand's rows, for every table."""

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, connection, transaction

from accounts.errors import BrandMismatch, NoBrandInScope, ReadOnlyScope
from accounts.tenancy import BrandForeignKey, brand_scope
from tests.isolation import layers
from tests.isolation.world import brand_models, everything_of

REFUSED = (ObjectDoesNotExist, DatabaseError, BrandMismatch, NoBrandInScope, ReadOnlyScope)


def sql(model, key):
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT 1 FROM "{model._meta.db_table}" WHERE id = %s', [key])
        return cursor.fetchall()


def copied(model, row, **changes):
    fields = {each.attname: getattr(row, each.attname) for each in model._meta.local_fields if not each.primary_key}
    return model(**fields | changes)


def moved(row, brand_id):
    row.brand_id = brand_id
    row.save()
    return True


TOUCHES = {
    "get": lambda model, key: model.objects.get(pk=key),
    "filter": lambda model, key: list(model.objects.filter(pk=key)),
    "exists": lambda model, key: model.objects.filter(pk=key).exists(),
    "in_bulk": lambda model, key: model.objects.in_bulk([key]),
    "values": lambda model, key: list(model.objects.filter(pk=key).values()),
    "base manager": lambda model, key: list(model._base_manager.filter(pk=key)),
    "default manager": lambda model, key: list(model._default_manager.filter(pk=key)),
    "using": lambda model, key: list(model.objects.using("default").filter(pk=key)),
    "union": lambda model, key: list(model.objects.none().union(model.objects.filter(pk=key))),
    "refresh_from_db": lambda model, key: model(pk=key).refresh_from_db() or True,
    "update": lambda model, key: model.objects.filter(pk=key).update(id=key),
    "delete": lambda model, key: model.objects.filter(pk=key).delete()[0],
    "select_for_update": lambda model, key: list(model.objects.select_for_update().filter(pk=key)),
    "iterator": lambda model, key: list(model.objects.filter(pk=key).iterator()),
}


def outcome(work):
    """What a touch gave: something truthy is a leak; a refusal or nothing is not."""
    try:
        with transaction.atomic():
            found = work()
            transaction.set_rollback(True)
    except REFUSED as error:
        return "", type(error).__name__
    return found, "nothing"


def touches(matrix, cells, only=""):
    """Each way, for each table, in A's scope with B's ids; then without any scope."""
    world = matrix.world
    before = everything_of(world.b.brand)
    for model in brand_models():
        if only in model._meta.label:
            touch_one(matrix, cells, model)
    with brand_scope(world.a.brand.pk):
        for model in brand_models():
            if only in model._meta.label:
                write_one(cells, world, model)
    cells.expect(everything_of(world.b.brand) == before, "B", "rows after all of this")


def touch_one(matrix, cells, model):
    world, label = matrix.world, model._meta.label
    theirs = world.b.near[model]
    for name, touch in TOUCHES.items():
        with brand_scope(world.a.brand.pk):
            found, how = outcome(lambda touch=touch: touch(model, theirs.pk))
        cells.expect(not found, label, name, saw=found or how)
        found, how = outcome(lambda touch=touch: touch(model, theirs.pk))
        if matrix.layer == "rls-off" and name not in {"update", "delete"}:
            cells.expect(how == "NoBrandInScope", label, name, "without a scope", saw=found or how)
        else:
            cells.expect(not found, label, name, "without a scope", saw=found or how)
    if matrix.layer == "rls-off":
        cells.skip("plain SQL has no guard in Python: row security alone answers it")
    else:
        with brand_scope(world.a.brand.pk):
            found, how = outcome(lambda: sql(model, theirs.pk))
        cells.expect(not found, label, "SQL", saw=found)
        found, how = outcome(lambda: sql(model, world.a.near[model].pk))
        cells.expect(not found, label, "SQL", "without a scope", saw=found)


def write_one(cells, world, model):
    label, own, theirs = model._meta.label, world.a.near[model], world.b.near[model]
    other = world.b.brand.pk
    for name, write in {
        "create for B": lambda: copied(model, own, brand_id=other).save() or True,
        "bulk_create for B": lambda: model.objects.bulk_create([copied(model, own, brand_id=other)]),
        "move to B": lambda: moved(model.objects.get(pk=own.pk), other),
        "update to B": lambda: model.objects.filter(pk=own.pk).update(brand_id=other),
        "save B's row as A's": lambda: copied(model, theirs, brand_id=world.a.brand.pk, pk=theirs.pk).save() or False,
        "delete B's instance": lambda: copied(model, theirs, pk=theirs.pk).delete()[0],
    }.items():
        found, how = outcome(write)
        cells.expect(not found, label, name, saw=found or how)
    for field in model._meta.local_fields:
        if isinstance(field, BrandForeignKey):
            refer(cells, world, model, own, field)


def refer(cells, world, model, own, field):
    """References into B: following, writing, and joining over one."""
    label, target = model._meta.label, field.remote_field.model
    stranger = world.b.near[target].pk
    in_memory = copied(model, own, **{field.attname: stranger})
    found, how = outcome(lambda: getattr(in_memory, field.name))
    cells.expect(not found, label, field.name, "followed", saw=found or how)
    found, how = outcome(lambda: model.objects.filter(pk=own.pk).update(**{field.attname: stranger}))
    cells.expect(not found, label, field.name, "written", saw=found or how)
    for path in (f"{field.name}__id", f"{field.name}__brand_id"):
        wanted = stranger if path.endswith("__id") else world.b.brand.pk
        found, how = outcome(lambda path=path, wanted=wanted: model.objects.filter(**{path: wanted}).exists())
        cells.expect(not found, label, path, "asked", saw=found or how)


def nets(matrix, cells):
    """See which net is gone: PostgreSQL holds rows back that Python asked for, or the other way round."""
    world = matrix.world
    if matrix.layer == "guard-open":
        held = layers.rows_held_by_postgres(world)
        for label, count in held.items():
            cells.expect(count > 0, label, "rows blocked by row security", saw=count)
        cells.facts["rows blocked by row security in one look at every table"] = sum(held.values())
        cells.facts["statements that named no brand"] = sum(matrix.opened.statements.values())
        cells.expect(sum(matrix.opened.statements.values()) > 100, "statements without a brand")
    elif matrix.layer == "rls-off":
        held = layers.rows_held_by_python(world)
        for label, count in held.items():
            cells.expect(count > 0, label, "rows that only the guard kept away", saw=count)
        cells.facts["rows that only the guard kept away"] = sum(held.values())
    else:
        for count in (layers.rows_held_by_postgres(world), layers.rows_held_by_python(world)):
            for label, number in count.items():
                cells.expect(isinstance(number, int), label, saw=number)
        cells.expect(set(layers.rows_held_by_python(world).values()) == {0}, "both nets show the same rows")
