"""No import-time trap in our code, and the rule itself sees each of them."""

import gc

import pytest

from tests.isolation import lint
from tests.isolation.test_surfaces import APPS, BASE

# Findings that are right as they are, and why.
REASONS = {
    ("accounts/management/commands/migrate.py", ".using("): "migrations run as the owner",
    ("conversations/overlaps.py", "lru_cache on _either: a cache outlives the brand"): "of automata, no rows",
    ("conversations/patterns.py", "lru_cache on _pick: a cache outlives the brand"): "of a set of letters, no rows",
    (
        "conversations/patterns.py",
        "lru_cache on automaton_of: a cache outlives the brand",
    ): "of a pattern's text, no rows",
    ("conversations/patterns.py", "lru_cache on compiled: a cache outlives the brand"): "of a pattern's text, no rows",
    ("coupons/codes.py", "cache on _threes: a cache outlives the brand"): "every three letters there are, no rows",
    **{
        ("members/person.py", f"cached_property on {name}: a cache outlives the brand"): "of a person, for one answer"
        for name in ("_changes", "_later_act", "last_act", "subscribed", "tags")
    },
}
MODULE_MEMORY = {
    "accounts/sealing.py": "wrapped keys of a brand, by brand",
    "accounts/tenancy.py": "the condition of a brand for a table, by (table, brand): no rows",
    "campaigns/services/results.py": "when a brand's matcher was rung, by brand",
    "campaigns/services/sending.py": "how many odd answers came in a row, by (campaign, lane): no rows",
    "config/patience.py": "connections that wait for headers: no brand is known yet, and they go with them",
    "demo/checks.py": "functions that register themselves",
    "conversations/selectors.py": "compiled answers, by (brand, account), with the version they are of",
    "wechat_gateway/checks.py": "functions that register themselves",
    "wechat_gateway/client.py": "when a refresh was rung, by (brand, AppID)",
    "wechat_gateway/errcodes.py": "WeChat's error codes, filled while the module is imported",
    "wechat_gateway/refusals.py": "when a value that does not open was told, by (brand, table, column, row)",
    "wechat_gateway/registries.py": "functions that register themselves",
    "wechat_gateway/tokens.py": "access tokens, by (brand, AppID)",
}


@pytest.fixture(autouse=True)
def nothing_is_collected():
    """CPython 3.11's parser fails when it is entered again by whatever a collection makes it tell (gh-106905)."""
    gc.disable()
    yield
    gc.enable()


def test_no_import_time_trap():
    found = {
        (name, what): line for name, source in lint.files(BASE, APPS) for line, what in lint.findings(source, name)
    }
    assert {key: line for key, line in found.items() if key not in REASONS} == {}


def test_memory_of_a_process_is_declared():
    found = {name: what for name, source in lint.files(BASE, APPS) for _line, what in lint.module_caches(source)}
    assert {name: what for name, what in found.items() if name not in MODULE_MEMORY} == {}
    assert set(MODULE_MEMORY) - set(found) == set()  # nothing stale is declared


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("ALL = Tag.objects.all()", "a query while the module is imported"),
        ("class Form:\n    tags = Tag.objects.filter(name='x')", "a query while the module is imported"),
        ("def choose(among=Tag.objects.all()):\n    pass", "a query while the module is imported"),
        ("def choose(*, among=Tag.objects.count()):\n    pass", "a query while the module is imported"),
        ("work = lambda rows=Tag.objects.all(): rows", "a query while the module is imported"),
        ("field = ModelChoiceField(queryset=Tag.objects.none())", "ModelChoiceField(queryset=…)"),
        (
            "@lru_cache\ndef tags():\n    return list(Tag.objects.all())",
            "lru_cache on tags: a cache outlives the brand",
        ),
        ("@functools.cache\ndef tags():\n    return 1", "cache on tags: a cache outlives the brand"),
        ("def rows():\n    return Tag._base_manager.all()", "_base_manager"),
        ("def rows():\n    return Tag.objects.using('owner')", ".using("),
        ("def rows():\n    return Tag.objects.raw('SELECT 1')", "raw"),
        ("def rows():\n    return Tag.objects.extra(where=['1'])", "extra"),
        ("def rows():\n    return RawSQL('1', [])", "RawSQL"),
        ("from celery import chord, shared_task", "celery's chord"),
        ("from celery.canvas import group", "celery's group"),
        ("def later():\n    return work.si(1)", "a call of a task put by: .si("),
        ("def later():\n    work.apply_async((1,), link=more)", "apply_async with link="),
    ],
)
def test_rule_sees(source, what):
    assert what in [found for _line, found in lint.findings(source, "x.py")]


@pytest.mark.parametrize(
    "source",
    [
        "def rows():\n    return Tag.objects.all()",
        "class Form:\n    def rows(self):\n        return Tag.objects.all()",
        "field = ModelChoiceField(queryset=None)",
        "ALL = Tag.objects.all()  # brand: a reason",
    ],
)
def test_rule_lets_pass(source):
    assert list(lint.findings(source, "x.py")) == []


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("_kept = {}\ndef keep(key, row):\n    _kept[key] = row", True),
        ("_kept: dict[int, str] = {}\ndef keep(key, row):\n    _kept[key] = row", True),
        ("_kept = {'a': 1}\ndef look(key):\n    return _kept[key]", False),
    ],
)
def test_rule_sees_memory(source, seen):
    assert bool(list(lint.module_caches(source))) is seen
