"""Work in the background and by hand: every task and command with another brand's objects, and with no brand at all."""

import inspect
import json
from io import StringIO

import pytest
from celery.app.task import Task
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from accounts.tenancy import current_scope
from campaigns.models import Campaign
from coupons.models import CodeBatch, Push
from imports.models import Export, Import
from inbox.models import Attachment, Message
from library.models import MediaCopy
from members.figures import PEOPLE_PER_TAG
from members.models import SmsCode, Tag
from tests.isolation import surfaces
from tests.isolation.asking import Counter
from tests.isolation.matrix.console import MARKS, missing_like
from tests.isolation.world import InboundPush, Invitation, MiniProgram, OfficialAccount, brand_models, everything_of
from touchpoints.models import MiniCode, Touchpoint

# What an argument of a task names: of which row B's key is taken, and by which column.
ARGUMENTS = {
    "campaign_id": (Campaign, "pk"),
    "account_id": (OfficialAccount, "pk"),
    "appid": (OfficialAccount, "appid"),
    "message_id": (Message, "pk"),
    "attachment_id": (Attachment, "pk"),
    "batch_id": (CodeBatch, "pk"),
    "push_id": (Push, "pk"),
    "copy_id": (MediaCopy, "pk"),
    "code_id": (SmsCode, "pk"),
    "invitation_id": (Invitation, "pk"),
    "touchpoint_ids": (Touchpoint, "pk"),  # a list
    "mini_code_id": (MiniCode, "pk"),
    "import_id": (Import, "pk"),
    "export_id": (Export, "pk"),
    "lane": None,  # a number, no row
    "key": None,  # of a kept figure
    "params": (Tag, "pk"),  # of that figure
}
WRITTEN = {"key": lambda _value: PEOPLE_PER_TAG, "params": lambda value: json.dumps({"tags": [value]})}
LEFT_OUT = {"also", "anew"}  # further lanes of the brands that are rung, a switch; always given by name


def parameters_of(task):
    """What a task takes, the brand first; without what is only ever added by name."""
    named = inspect.signature(inspect.unwrap(task.run)).parameters
    return [name for name in named if name not in LEFT_OUT]


# Commands: which look at one brand, and with what arguments; the others say why they have none.
BRAND_COMMANDS = {
    "count_figures": {},
    "reconcile_coupons": {},
    "reconcile_points": {},
    "rotate_brand_keys": {},  # goes on with what was begun, and begins nothing
    "grant_role": {"user": "neighbour", "role": "ANALYST"},
    "replay_inbound": {},
    "tidy_library": {},
    "verify_audit": {},
}
GLOBAL_COMMANDS = {
    "demo": "loads invented brands into a development installation; refused in production",
    "extensions": "lists registries of code; asks the database nothing",
    "migrate": "changes tables as their owner",
    "purge_platform_events": "deletes events of the installation's platform, which belong to no brand",
    "rotate_master": "wraps keys of the installation anew, and changes nothing that is sealed under a brand's key",
    "set_platform": "stores keys of the installation, which belong to no brand",
}


def outcome(work, look=None):
    """What a run ended with, undone; before that, `look` sees what it has done."""
    said = ""
    try:
        with transaction.atomic():
            said = repr(work())
            if look is not None:
                look()
            transaction.set_rollback(True)
    except Exception as error:
        said = type(error).__name__
    return said


def tasks(matrix, cells, only=""):
    """A's brand with B's objects is like A's brand with objects that do not exist; B's rows stay as they are."""
    world = matrix.world
    a, before = world.a.brand.pk, everything_of(world.b.brand)
    for name, task in surfaces.tasks().items():
        if only not in name:
            continue
        parameters = parameters_of(task)
        if parameters[:1] != ["brand_id"]:
            ask_global(cells, name, task)
            continue
        unknown = [each for each in parameters[1:] if each not in ARGUMENTS]
        if unknown:
            cells.undeclare(f"{name}({', '.join(unknown)})")
            continue
        theirs, nobody = [], []
        for each in parameters[1:]:
            model, column = ARGUMENTS[each] or (None, "")
            value = getattr(world.b.far[model], column) if model else 0
            missing = value if model is None else missing_like(value) if column == "pk" else "wx0000000000000000"
            many = each.endswith("_ids")
            written = WRITTEN.get(each, lambda value, many=many: [value] if many else value)
            theirs.append(written(value))
            nobody.append(written(missing))
        left = []
        answers = [
            outcome(
                lambda args=args, task=task: task.run(a, *args),
                lambda left=left: left.append(everything_of(world.b.brand)),
            )
            for args in (theirs, nobody)
        ]
        cells.expect(answers[0] == answers[1], name, "object of B", saw=answers)
        cells.expect(current_scope() is None, name, "scope left open")
        cells.expect(all(each == before for each in left), name, "rows of B")


def ask_global(cells, name, task):
    """A sweeper rings only for a brand and objects of that brand."""
    rung = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "apply_async", lambda self, args=(), kwargs=None, **_: rung.append((self.name, args)))
        with transaction.atomic():
            waiting = len(connection.run_on_commit)
            task.run()
            for _ids, work, _robust in connection.run_on_commit[waiting:]:
                work()
            transaction.set_rollback(True)
    for called, args in rung:
        fine = bool(args) and isinstance(args[0], int) and belongs(called, args)
        cells.expect(fine, name, f"rings {called}{args}")
    cells.expect(current_scope() is None, name, "scope left open")
    cells.facts[f"{name} rang"] = len(rung)


def belongs(called, args):
    """Whether the objects a call names are the brand's."""
    parameters = parameters_of(surfaces.tasks()[called])
    for parameter, value in zip(parameters[1:], args[1:], strict=False):
        named = ARGUMENTS.get(parameter)
        if named is None:
            continue
        model, column = named
        values = value if isinstance(value, list) else [value]
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('app.brand_id', %s, true)", [str(args[0])])
            column = "id" if column == "pk" else column
            tables = [model, MiniProgram] if column == "appid" else [model]
            found = False
            for each in tables:
                cursor.execute(
                    f'SELECT count(*) FROM "{each._meta.db_table}" WHERE brand_id = %s AND {column} = ANY(%s)',
                    [args[0], values],
                )
                found = found or cursor.fetchone()[0] == len(set(values))
            cursor.execute("SELECT set_config('app.brand_id', '', true)")
        if not found:
            return False
    return True


def tasks_without_a_brand(matrix, cells, only=""):
    """Stopped before the first query, whatever stands in the place of the brand."""
    for name, task in surfaces.tasks().items():
        if only not in name or not parameters_of(task):
            continue
        # All else is given, so that the task stops for want of a brand and of nothing else.
        others = tuple("wx0000000000000000" if each == "appid" else 1 for each in parameters_of(task)[1:])
        for wrong in ((), (None,), ("1",), (True,)):
            counter = Counter()
            with connection.execute_wrapper(counter):
                said = outcome(lambda given=wrong + others if wrong else (), task=task: task.run(*given))
            cells.expect(said == "TypeError" and counter.asked == 0, name, f"called with {wrong}", saw=said)


def commands(matrix, cells):
    """Commands of one brand leave the others alone; a push of another brand is no push of this one."""
    world = matrix.world
    before = [everything_of(world.b.brand), everything_of(world.c.brand)]
    for name in surfaces.commands():
        if name in GLOBAL_COMMANDS:
            cells.skip(f"command {name}: {GLOBAL_COMMANDS[name]}")
            continue
        if name not in BRAND_COMMANDS:
            cells.undeclare(f"command {name}")
            continue
        answers, left = [], []
        for slug in ("lanyu", "nowhere"):
            said = StringIO()
            how = outcome(
                lambda slug=slug, name=name, said=said: call_command(
                    name, brand=slug, stdout=said, stderr=said, **BRAND_COMMANDS[name]
                ),
                lambda left=left: left.append([everything_of(world.b.brand), everything_of(world.c.brand)]),
            )
            answers.append(how)
            cells.expect(not any(mark in said.getvalue() for mark in MARKS[:2]), name, slug, saw=said.getvalue())
        cells.expect(all(each == before for each in left), name, "rows of B and C")
        cells.expect(answers[1] == "CommandError", name, "unknown brand", saw=answers)
        counter = Counter()
        with connection.execute_wrapper(counter), pytest.raises(CommandError):
            call_command(name, *[f"--{key}={value}" for key, value in BRAND_COMMANDS[name].items()])
        cells.expect(counter.asked == 0, name, "without --brand", saw=counter.statements)
    replayed = []
    for key in (world.b.near[InboundPush].pk, missing_like(world.b.near[InboundPush].pk)):
        said = StringIO()
        outcome(
            lambda key=key, said=said: call_command(
                "replay_inbound", brand="lanyu", push=[key], stdout=said, stderr=said
            )
        )
        replayed.append(said.getvalue().replace(str(key), "#"))
    cells.expect(replayed[0] == replayed[1], "replay_inbound", "push of B", saw=replayed)
    cells.facts["tables compared"] = len(brand_models())


PARTS = {"tasks": tasks, "tasks without a brand": tasks_without_a_brand, "commands": commands}
