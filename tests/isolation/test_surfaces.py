"""Surfaces are discovered, not listed: an address, task, page or statement nobody thought about fails here."""

import ast
import inspect
import os
import re
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, get_resolver
from django.urls.resolvers import RegexPattern

from accounts.models import ApiKey
from accounts.tenancy import BrandOwned, brand_scope
from campaigns.models import Campaign
from campaigns.services import create_campaign
from config.celery import app as celery_app
from console.admin import ConsoleModelAdmin, ConsoleTabularInline
from console.site import site
from coupons.models import Push
from guides.models import Guide
from inbox.models import AgentTask, Conversation
from library.models import MediaItem
from members.models import AccessEntry, Grouping, ListAccess, Member, Segment, Tag, TagRule
from stores.models import Region
from tests.factories import AT, make_mini_program
from tests.isolation import surfaces
from tests.isolation.cells import REPORT
from tests.isolation.matrix import rest
from wechat_gateway.models import MiniProgram, OfficialAccount

MISSING = 999_999_999

# Addresses that answer people nobody knows, and why. Everything else sends them to the sign-in, or is not there.
PUBLIC = {
    "": "leads to the choice of brands",
    "login/": "the sign-in itself",
    "logout/": "ends a session; harmless without one",
    "language/": "a choice kept in a cookie; changes by POST only",
    "brands/menu/": "a part of a page: refuses with 403 instead of leading away",
    "healthz": "asked by machines: lives or not",
    "readyz": "asked by machines: ready or not, without names or versions",
    "api/schema/": "the description of the API names no brand",
    "api/docs/": "the description of the API names no brand",
    "api/v1/session/": "signing in of members: refuses what WeChat does not confirm",
}

# Statements that may look at brand tables without naming the brand, and why.
NO_BRAND_IN_SQL = {
    ("wechat_gateway/directory.py", "_STAMPS"): "the gateway's directory spans brands, inside every_brand",
    ("wechat_gateway/directory.py", "_SUMMARY"): "the gateway's directory spans brands, inside every_brand",
    ("accounts/selectors.py", "_KEY_SQL"): "a key names its brand; until it is found none is known, inside every_brand",
    ("wechat_gateway/stores.py", ""): "the sweep asks in which brands something waits, inside every_brand",
    ("conversations/known_due.py", "_ASKED"): "in triggers: row security shows the rules of the brand that changes",
    ("conversations/known.py", "_CHANGED"): "the gateway's memory of people spans brands, inside every_brand",
    ("members/watched.py", "_FUNCTION"): "a trigger: row security shows it the rows of the brand that makes the change",
    ("members/services/people.py", "_MEET"): "whole rows are put in, whose columns begin with brand_id",
    ("wechat_gateway/intake.py", "_INSERT"): "one insert of pushes of many brands: brand_id is a column of each row",
}


def patterns_of(resolver, prefix=()):
    """Every pattern as (the parts it is made of, callback)."""
    for entry in resolver.url_patterns:
        parts = (*prefix, entry.pattern)
        if isinstance(entry, URLPattern):
            yield parts
        else:
            yield from patterns_of(entry, parts)


def name_of(parts):
    return "".join(str(part) for part in parts)


def address_of(parts, key=MISSING):
    """An address that the pattern matches; numbers and keys become `key`."""
    text = ""
    for part in parts:
        if isinstance(part, RegexPattern):
            source = str(part).strip("^$")
            source = re.sub(r"\(\?P<\w+>([\w|]+)\)", lambda match: match[1].split("|")[0], source)
            text += re.sub(r"\(\?P<\w+>.*?\)", "x", source)
        else:
            text += re.sub(r"<(?:(\w+):)?(\w+)>", lambda match: _value(match[1] or "str", key), str(part))
    return text


def _value(converter, key):
    return "tags" if converter == "slug" else str(key)


OUTSIDE = {name_of(parts): address_of(parts) for parts in patterns_of(get_resolver(settings.ROOT_URLCONF))}
CONSOLE = {name_of(parts): parts for parts in patterns_of(get_resolver(settings.CONSOLE_URLCONF))}


def steady(answer):
    """What an answer says, without what differs from request to request."""
    text = answer.content.decode()
    text = re.sub(r'(csrfmiddlewaretoken" value=|X-CSRFToken": )"\w+"', "", text)
    return answer.status_code, answer.headers.get("Location", ""), text


def test_discovery_sees_the_product():
    assert len(OUTSIDE) > 35
    assert len(CONSOLE) > 100
    assert set(PUBLIC) <= set(OUTSIDE)  # nothing stale is declared


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "post"])
def test_nobody_knows_an_address_outside_brands_without_signing_in(brand, method):
    open_to_all = {}
    for name, address in OUTSIDE.items():
        if name in PUBLIC:
            continue
        answer = getattr(Client(), method)(f"/{address}", {}, **_json(address, method))
        sent_to_sign_in = answer.status_code == 302 and answer["Location"].startswith("/login/")
        if not sent_to_sign_in and answer.status_code not in {401, 404}:
            open_to_all[name] = (answer.status_code, answer.headers.get("Location"))
    assert {name: found for name, found in open_to_all.items() if not _only_other_methods(name, found)} == {}


def _json(address, method):
    return {"content_type": "application/json"} if method == "post" and address.startswith("api/") else {}


def _only_other_methods(name, found):
    return found[0] == 405 and name == "metrics"


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "post"])
def test_nobody_knows_a_page_of_a_brand_without_signing_in(brand, method):
    client = Client()
    for name, parts in CONSOLE.items():
        for slug in (brand.slug, "nobody"):
            answer = getattr(client, method)(f"/b/{slug}/{address_of(parts)}")
            assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/login/"), name


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "post"])
def test_every_page_of_another_brand_looks_like_one_of_no_brand(as_owner, theirs, method):
    missing = steady(as_owner.get("/b/nobody/"))
    assert missing[0] == 404
    for name, parts in CONSOLE.items():
        assert steady(getattr(as_owner, method)(f"/b/{theirs.brand.slug}/{address_of(parts)}")) == missing, name


def model_behind(name, rows):
    """Which model's row the numbers of an address name."""
    label = next(
        (model for model in rows if name.startswith(f"{model._meta.app_label}/{model._meta.model_name}/")),
        None,
    )
    own = {
        "campaigns/templates/": OfficialAccount,
        "campaigns/": Campaign,
        "loyalty/member/": Member,
        "members/decisions/": Member,
        "members/privacy/": Member,
        "coupons/member/": Member,
        "guides/member/": Member,
        "guides/hand-over/": Guide,
        "coupons/pushes/": Push,
        "members/flags/": Member,
        "members/identity/": Member,
        "members/profile/": Member,
        "segments/groupings/": Grouping,
        "segments/": Segment,
        "tags/automatic/": TagRule,
        "tags/": Tag,
        "inbox/tasks/": AgentTask,
        "library/file/": MediaItem,
        "inbox/": Conversation,
    }
    return label or next((model for prefix, model in own.items() if name.startswith(prefix)), None)


ADDRESSED = sorted(name for name in CONSOLE if "<int:" in name or "object_id" in name)


def some(names, roles, who):
    """Give the addresses a role looks at: all in `make isolation`, else they are shared out among the roles."""
    return [name for turn, name in enumerate(names) if REPORT in os.environ or roles[turn % len(roles)] == who]


SMALL_ROLES = ["as_guide", "as_manager", "narrow_analyst"]


@pytest.mark.django_db
@pytest.mark.parametrize("who", SMALL_ROLES)
@pytest.mark.parametrize("method", ["get", "post"])
def test_no_address_breaks_for_a_small_role(request, who, method, ours):
    client = request.getfixturevalue(who)
    for name in some(CONSOLE, SMALL_ROLES, who):
        answer = getattr(client, method)(f"/b/lanyu/{address_of(CONSOLE[name])}")
        assert answer.status_code < 500, name


ROLES = ["as_guide", "as_manager", "as_marketer", "narrow_analyst"]


@pytest.mark.django_db
@pytest.mark.parametrize("who", ROLES)
def test_own_rows_open_or_are_refused_for_every_role(request, who, ours, everybody):
    """A page that a role may only read is another page than the one its writers see."""
    client = request.getfixturevalue(who)
    with brand_scope(ours.brand.pk):
        make_mini_program()
        Region.objects.create(name="华东")
        create_campaign(name="澜活动", account=ours.account, at=AT, segment=everybody)
        rows = {model: model.objects.order_by("pk").first() for model in {*site._registry, Segment}}
    opened = 0
    for name in some(ADDRESSED, ROLES, who):
        row = rows.get(model_behind(name, rows))
        if row is None:
            continue
        answer = client.get(f"/b/lanyu/{address_of(CONSOLE[name], row.pk)}")
        assert answer.status_code in {200, 204, 302, 403, 404}, name
        opened += answer.status_code == 200
    assert opened


@pytest.mark.django_db
@pytest.mark.long(15)
def test_reading_role_changes_nothing_whatever_it_posts(narrow_analyst, ours, everybody):
    """Posts to every address, with the brand's own ids; all rows stay as they are."""
    with brand_scope(ours.brand.pk):
        campaign = create_campaign(name="澜活动", account=ours.account, at=AT, segment=everybody)
        rows = {model: model.objects.order_by("pk").first() for model in {*site._registry, Segment}}
    rows[Campaign] = campaign
    before = everything_of(ours.brand)
    for name, parts in CONSOLE.items():
        if name.startswith("password_change"):
            continue
        model = model_behind(name, rows)
        row = rows.get(model)
        address = address_of(parts, row.pk if row is not None else MISSING)
        fields = {"name": "changed", "act": "pause", "tag": ours.tag.pk, "text": "x", "cause": "change", "launch": "1"}
        narrow_analyst.post(f"/b/lanyu/{address}", fields)
    assert everything_of(ours.brand) == before


def everything_of(brand):
    with brand_scope(brand.pk):
        return {
            model._meta.label: list(model.objects.order_by("pk").values_list())
            for model in apps.get_models()
            if issubclass(model, BrandOwned)
            and model not in (AccessEntry, ListAccess)  # looking is what it writes down
        }


# --- what is registered ----------------------------------------------------------------------------------------------


def test_every_page_of_the_console_is_brand_safe():
    for model, admin in site._registry.items():
        assert issubclass(model, BrandOwned), model
        assert isinstance(admin, ConsoleModelAdmin), model
        assert admin.area, model
        for inline in admin.inlines:
            assert issubclass(inline, ConsoleTabularInline), inline
            assert issubclass(inline.model, BrandOwned), inline


def test_every_own_page_says_for_whom_it_is():
    from accounts.roles import CAPABILITIES
    from console.registry import pages

    known = frozenset().union(*CAPABILITIES.values())
    for key, page in pages.items():
        assert f"{page.area}.{page.act}" in known, key


def test_platform_holds_no_brand_rows():
    from console.platform import platform

    # The third-party platform belongs to the installation; its page names accounts and brands, and nothing of theirs.
    expected = {"accounts.Brand", "accounts.StaffUser", "wechat_gateway.Platform"}
    assert {model._meta.label for model in platform._registry} == expected


def test_every_task_has_its_brand_first_or_is_global():
    celery_app.loader.import_default_modules()
    ours = {name: task for name, task in celery_app.tasks.items() if not name.startswith("celery.")}
    assert len(ours) > 8
    for name, task in ours.items():
        outer, body = task.run, inspect.unwrap(task.run)
        made_by = Path(inspect.getsourcefile(outer.__code__)).as_posix()
        assert made_by.endswith("accounts/tasks_base.py"), f"{name}: use brand_task or global_task"
        parameters = list(inspect.signature(body).parameters)
        assert parameters[:1] in ([], ["brand_id"]), name
        if parameters:
            for wrong in ((), (None,), ("1",)):
                with pytest.raises(TypeError):
                    task.run(*wrong)


# --- statements in SQL -----------------------------------------------------------------------------------------------

BASE = Path(settings.BASE_DIR)
APPS = sorted({Path(config.path) for config in apps.get_app_configs() if BASE in Path(config.path).parents})
APPS = [path for path in APPS if ".venv" not in path.parts] + [BASE / "config"]
TABLES = sorted(model._meta.db_table for model in apps.get_models() if issubclass(model, BrandOwned))
USES = re.compile(rf"\b(?:from|join|update|into)\s+(?:only\s+)?\"?(?:{'|'.join(TABLES)})\b", re.IGNORECASE)


BRAND = re.compile(r"\bbrand_id\s*(?:=|IN\b)|\bINTO \w+ \(\s*brand_id\b", re.IGNORECASE)


def texts_of(tree):
    """Every text of a module: (the name it is given, text)."""
    named = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            for child in ast.walk(node.value):
                named[id(child)] = getattr(target, "id", "")
    inside = {id(child) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for child in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [each.value if isinstance(each, ast.Constant) else " ? " for each in node.values]
            yield named.get(id(node), ""), "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield named.get(id(node), ""), node.value


def statements():
    for folder in APPS:
        for path in sorted(folder.rglob("*.py")):
            if "migrations" in path.parts:
                continue
            for name, text in texts_of(ast.parse(path.read_text())):
                if USES.search(text):
                    yield path.relative_to(BASE).as_posix(), name, text


def names_the_brand(text):
    """Each brand table of a statement comes with a brand of its own: in a condition, a join, or the inserted columns."""
    return len(BRAND.findall(text)) >= len(USES.findall(text))


def test_every_statement_in_sql_names_the_brand():
    found = list(statements())
    assert len(found) > 10
    nameless = {(path, name) for path, name, text in found if not names_the_brand(text)}
    assert nameless == set(NO_BRAND_IN_SQL)


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("SELECT 1 FROM members_member WHERE brand_id = %s", True),
        ("SELECT 1 FROM members_member WHERE id = %s", False),
        ("SELECT 1 FROM members_member m JOIN stores_store s ON s.id = m.store_id WHERE m.brand_id = %s", False),
        ("SELECT 1 FROM members_member m JOIN stores_store s ON s.brand_id = m.brand_id WHERE m.id = 1", False),
        ("SELECT brand_id FROM members_member", False),
        ("SELECT 1 FROM members_member m JOIN accounts_brand b ON b.id = m.brand_id", False),
        ("UPDATE members_member SET name = ''", False),
        ("INSERT INTO members_member (brand_id, name) VALUES (%s, %s)", True),
    ],
)
def test_rule_for_statements_sees_a_missing_brand(text, fine):
    assert USES.search(text)
    assert names_the_brand(text) is fine


def test_no_model_hides_a_way_around_the_brand():
    """Class-level look-ups that skip the guarded manager, outside the module that makes the guard."""
    loose = re.compile(r"_base_manager|\.using\(|_raw_delete|\.extra\(|RawSQL\(|\.raw\(")
    allowed = {"accounts/management/commands/migrate.py": "migrations run as the owner"}
    for folder in APPS:
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(BASE).as_posix()
            if "migrations" not in path.parts and name not in allowed:
                assert loose.search(path.read_text()) is None, name


def test_models_used_here_are_registered():
    assert {ApiKey, MiniProgram, Region} <= set(site._registry)


def test_tests_that_declarations_name_are_there():
    """Whoever says that something is shown elsewhere says where: a file and a test of it that exists."""
    said = rest.NO_ROW | surfaces.BRAND_WIDE | surfaces.SEEN_BY_GUIDES
    named = {what: re.findall(r"[\w/]*test_\w+\.py(?:::\w+)?", why) for what, why in said.items()}
    wrong = {what: each for what, found in named.items() for each in found if not _is_test(each)}
    assert wrong == {}
    silent = [what for what, why in rest.NO_ROW.items() if "brand" in why and not named[what]]
    assert silent == [], "a field of which the brand's rows are asked is either played or names its test"


def _is_test(named):
    path, _, function = named.partition("::")
    if not function or not (Path(settings.BASE_DIR) / path).is_file():
        return False
    tree = ast.parse((Path(settings.BASE_DIR) / path).read_text())
    return function in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
