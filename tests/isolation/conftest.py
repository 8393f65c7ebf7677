"""Two furnished brands, and people whose data scope is narrower than their role's pages."""

import logging
import os
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction

from accounts.models import RoleGrant
from accounts.roles import DataScope, Role
from accounts.sealing import forget_keys
from accounts.tenancy import brand_scope
from common import clock
from members.services import save_segment
from stores.models import StoreGrant
from tests.console.conftest import (  # noqa: F401 - fixtures of the console's tests serve here too
    as_guide,
    as_manager,
    as_marketer,
    as_owner,
    guide_user,
    manager,
    marketer,
    ours,
    owner,
    signed_in,
    theirs,
)
from tests.factories import AT, make_member, make_staff, make_store
from tests.isolation import layers
from tests.isolation import world as worlds
from tests.isolation.asking import Asker
from tests.isolation.cells import Cells
from tests.isolation.keys import Watch, strangers
from tests.isolation.matrix.console import THOROUGH

# What takes minutes is run by `python -m tests.isolation` alone, which sets the variable; or by naming the file.
LONG = ["test_red.py", "test_two_worlds.py", "test_worker.py", "test_pooled.py", "test_timing.py"]
collect_ignore = [] if THOROUGH else LONG


@pytest.fixture
def far(ours):  # noqa: F811
    """A member of another store of the same brand."""
    with brand_scope(ours.brand.pk):
        store = make_store(code="BJ1", name="北京三里屯店")
        return make_member(ours.account, name="远方的人", store=store, phone_masked="139****0001", phone_tail="0001")


@pytest.fixture
def everybody(ours):  # noqa: F811
    with brand_scope(ours.brand.pk):
        return save_segment(name="全部", rule={"all": []}, at=AT)


def of_one_store(ours, role):  # noqa: F811
    """Somebody with a role whose data scope is one store."""
    with brand_scope(ours.brand.pk):
        user = make_staff(f"{role.lower()}-of-one-store", role, scope=DataScope.STORES)
        StoreGrant.objects.create(grant=RoleGrant.objects.get(staff_user=user), store=ours.store)
    return signed_in(user)


@pytest.fixture
def narrow_marketer(ours):  # noqa: F811
    return of_one_store(ours, Role.MARKETER)


@pytest.fixture
def narrow_analyst(ours):  # noqa: F811
    return of_one_store(ours, Role.ANALYST)


@pytest.fixture(autouse=True)
def no_keys_of_earlier_brands(request):
    """The matrix forgets keys itself, once: its first question must cost what the next one costs."""
    if "matrix" not in request.fixturenames:
        forget_keys()


def keep_files_in(settings, folder):
    """Let private storage be a folder of the test's own."""
    options = {"location": str(folder), "base_url": None}
    private = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "private": private}


@pytest.fixture(scope="module", autouse=True)
def watched(request):
    """While the whole proof runs, whatever a module does is watched for keys without a brand."""
    if not THOROUGH or request.module.__name__.endswith(("test_red", "test_keys")):  # which use wrong keys on purpose
        yield
        return
    with Watch() as watch:
        yield
    cells = Cells(f"keys in Redis · {request.module.__name__.rpartition('.')[2]}")
    unknown = strangers(watch.keys)
    for key in sorted(watch.keys):
        cells.expect(key not in unknown, "key", key)
    cells.facts["keys"] = len(watch.keys)
    cells.expect(True, "whatever was asked of Redis was seen")
    cells.close()


@pytest.fixture(scope="module")
def layer():
    """Which net is taken away: `real` (none), `guard-open` or `rls-off`; the runner says."""
    return os.environ.get("ZHIYIN_ISOLATION_PASS", "real")


@pytest.fixture(scope="module")
def matrix(django_db_setup, django_db_blocker, layer):
    """The three brands and who asks, in one transaction that the tests of a module share and that is rolled back."""
    with ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        if layer == "rls-off":
            stack.enter_context(layers.row_security_off())
        layers.spread_sequences(5_000_000)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        logging.disable(logging.CRITICAL)  # thousands of refusals would only cost time
        stack.callback(logging.disable, logging.NOTSET)
        stands = clock.timestamp()
        patch.setattr(clock, "timestamp", lambda: stands)  # pages tell the time; two that are compared must agree
        patch.setattr(settings, "API_RATES", dict.fromkeys(settings.API_RATES, (10_000_000, 10_000_000.0)))
        forget_keys()
        ContentType.objects.get_for_models(*apps.get_models())  # looked up once a process: no question may be the first
        stack.enter_context(transaction.atomic())
        stack.callback(transaction.set_rollback, True)
        world = worlds.build()
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what a commit would refuse is refused at the statement
        opened = stack.enter_context(layers.guard_open()) if layer == "guard-open" else None
        neighbour = Asker("key of B", authorization=f"Key {world.b.keys['full']}")
        yield SimpleNamespace(
            world=world, askers=askers_of(world), opened=opened, layer=layer, foreign_key_holder=neighbour
        )
    forget_keys()


def askers_of(world):
    """Everybody who asks: the roles of A, the platform's administrator, keys of every scope, a member, nobody."""
    askers = {name: Asker(name, user=user) for name, user in world.a.people.items()}
    askers |= {f"key {name}": Asker(f"key {name}", authorization=f"Key {key}") for name, key in world.a.keys.items()}
    askers["member"] = Asker("member", authorization=f"Bearer {world.a.token}")
    askers["nobody"] = Asker("nobody")
    return askers
