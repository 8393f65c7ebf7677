"""The documents: links lead somewhere, and what they promise to list is listed."""

import re
import subprocess
import sys
from importlib import import_module

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command, get_commands
from django.urls import get_resolver

from common import registry
from tests.sources import ROOT, python_files

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
#: Read by the tests' own tools only.
INTERNAL = {"PYTEST_XDIST_WORKER"}


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def prose_of(path):
    """The text without its code blocks."""
    return re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchor_of(heading):
    words = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return words.replace(" ", "-")


def links():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(path)):
            if not target.startswith(("http://", "https://", "mailto:")):
                yield pytest.param(path, target, id=f"{path.relative_to(ROOT)}->{target}")


@pytest.mark.parametrize(("path", "target"), list(links()))
def test_links_lead_somewhere(path, target):
    name, _, anchor = target.partition("#")
    goal = (path.parent / name).resolve() if name else path

    assert goal.exists()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", goal.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert anchor in {anchor_of(heading) for heading in headings}


def registries():
    for urlconf in (settings.ROOT_URLCONF, settings.CONSOLE_URLCONF):
        assert get_resolver(urlconf).url_patterns
    # Registries that tests make for themselves are not the product's.
    return [one for one in registry.ALL.values() if all("test" not in entry.where for entry in one.entries())]


def test_every_registry_is_described():
    page = text_of("docs/extending.md")

    assert [one.name for one in registries() if f"`{one.name}`" not in page] == []


def test_extensions_lists_registries_keys_and_places(capsys):
    call_command("extensions", no_color=True)
    lines = capsys.readouterr().out.splitlines()

    wanted = [
        "carriers: the ways a campaign's messages travel",
        "segment conditions: what a segment can ask about people",
    ]
    assert [line for line in lines if line in wanted] == wanted
    found = {
        line.split()[0]: line.split()[1].partition(":")[0] for line in lines if line.startswith("  ") and ":" in line
    }
    assert found["members.record_follow"] == "members.inbound"
    assert found["last_interaction"] == "members.segment_conditions.times"
    assert found["template"] in ("campaigns.carriers.template", "campaigns.apps")
    assert found["segment_new"] == "members.views"
    assert found["config.queues"] == "config.metrics"


def test_extensions_names_what_there_is_when_asked_for_nonsense():
    with pytest.raises(CommandError, match=r"There is no registry 'nonsense'.*carriers"):
        call_command("extensions", "nonsense")


def variables_in_code():
    read = re.compile(r"""(?:env\.\w+\(|environ(?:\.get)?[\[(]|getenv\()\s*["']([A-Z][A-Z_]+)["']""")
    found = set()
    for path in python_files(but=("tests",)):
        found.update(read.findall(path.read_text(encoding="utf-8")))
    return {
        name for name in found if name.startswith(("ZHIYIN_", "DATABASE_", "REDIS_", "PROMETHEUS_", "SSL_"))
    } - INTERNAL


def variables_in_example():
    return set(re.findall(r"^#? ?([A-Z][A-Z_]+)=", text_of(".env.example"), flags=re.MULTILINE))


def variables_in_page():
    return set(re.findall(r"^\| `([A-Z][A-Z_]+)` \|", text_of("docs/settings.md"), flags=re.MULTILINE))


def test_settings_page_has_every_variable_and_no_other():
    assert variables_in_page() >= variables_in_code() | variables_in_example()
    ports = {name for name in variables_in_page() if name.endswith("_PORT")}  # the launcher makes these names
    assert variables_in_page() - variables_in_code() - variables_in_example() - ports == set()


def test_example_has_every_variable_of_the_settings():
    read = set(re.findall(r'env\.\w+\("([A-Z_]+)"', text_of("config/settings.py")))

    assert read - variables_in_example() == set()


def test_settings_page_gives_the_defaults_of_the_code():
    code = dict(re.findall(r'env\.(?:str|int)\("([A-Z_]+)", "?([^")]*)"?\)', text_of("config/settings.py")))
    page = dict(re.findall(r"^\| `([A-Z_]+)` \| `([^`]*)`", text_of("docs/settings.md"), flags=re.MULTILINE))

    assert {name: page[name] for name in page.keys() & code.keys()} == {
        name: code[name] for name in page.keys() & code.keys()
    }


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "CONTRIBUTING.md"])
def test_commands_exist_in_the_makefile(name):
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), flags=re.MULTILINE))

    assert set(re.findall(r"(?:`|^)make ([a-z][a-z-]+)", text_of(name), flags=re.MULTILINE)) <= targets


def test_readme_lists_every_command_of_the_makefile():
    shown = set(re.findall(r"^([a-z-]+):.*## ", text_of("Makefile"), flags=re.MULTILINE)) - {
        "help",
        "lint",
        "types",
        "layers",
    }

    assert shown <= set(re.findall(r"^\| `make ([a-z-]+)", text_of("README.md"), flags=re.MULTILINE))


def test_chinese_readme_has_the_same_shape():
    def shape(name):
        text = text_of(name)
        return (
            re.findall(r"^(#+) ", text, flags=re.MULTILINE),
            len(re.findall(r"^\|", text, flags=re.MULTILINE)),
            re.findall(r"^\d+\. ", text, flags=re.MULTILINE),
            re.findall(r"\]\((docs/[^)]+)\)", text),
        )

    assert shape("README.zh-CN.md") == shape("README.md")


@pytest.mark.parametrize(
    "name", ["README.md", "README.zh-CN.md", "docs/architecture.md", "docs/operations.md", "docs/extending.md"]
)
def test_files_that_are_named_exist(name):
    code = [path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.py"), *python_files())]
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", prose_of(ROOT / name)))
    to_come = {"services.py", "selectors.py", "tasks.py", "admin.py", "views.py"}

    assert (
        sorted(path for path in named - to_come if not any(each == path or each.endswith(f"/{path}") for each in code))
        == []
    )


def test_decisions_are_listed():
    page = text_of("docs/decisions/README.md")

    assert [path.name for path in sorted((ROOT / "docs/decisions").glob("0*.md")) if f"({path.name})" not in page] == []


def test_screenshots_are_small_pictures():
    for path in (ROOT / "docs/images").iterdir():
        assert (path.suffix, path.read_bytes()[:8]) == (".png", b"\x89PNG\r\n\x1a\n")
        assert path.stat().st_size < 150_000


def test_limits_are_those_of_the_code():
    page = text_of("docs/operations.md")
    from accounts.rest import pagination, parsers
    from campaigns import pacing
    from campaigns.services import results, sending
    from campaigns.services.launch import LANES, PER_LANE_PER_SECOND
    from console import reveal
    from members import segments
    from members.services import sessions
    from wechat_gateway import asgi, calls, curl, events, intake, ringing, tokens, transport, wire
    from wechat_gateway.services import accounts, inbox

    for row in (
        f"| body of a push | {asgi.MAX_BODY:,} bytes |",
        f"| pushes waiting in the gateway, then 503 | {intake.MAX_WAITING:,} |",
        f"| rows per insert | {intake.MAX_GROUP} |",
        f"| tries of a push | {inbox.MAX_ATTEMPTS}, ",
        f"| handled pushes kept | {settings.KEEP_PUSHES_DAYS} days |",
        f"| one call | {transport.TOTAL_SECONDS:.0f} s, connecting {transport.CONNECT_SECONDS:.0f} s |",
        f"| token cached in a process | {tokens.CACHE_SECONDS:.0f} s |",
        f"| lanes of a campaign | {LANES}, fewer below {PER_LANE_PER_SECOND} ",
        f"| lease | {settings.SEND_LEASE_SECONDS} s; ",
        f"| tries of a faulty message | {sending.MAX_FAULTY_ATTEMPTS} |",
        f"| backoff | 2^attempt, at most {sending.MAX_BACKOFF_SECONDS} s |",
        f"| share of a day's quota for marketing | {sending.MARKETING_SHARE:.0%} |".replace("%", " %"),
        f"| results matched at once, kept unmatched | {results.BATCH:,}, {results.KEEP_HOURS} h |",
        f"{pacing.PROBE_EVERY.total_seconds() / 60:.0f} min | `pacing.py` |",
        f"| nesting, tags of a push's XML | {wire.MAX_DEPTH}, {wire.MAX_TAGS:,} |",
        f"| rings per second | {ringing._RINGS_PER_SECOND} |",
        f"| previous token and message key accepted | {accounts.KEY_OVERLAP.total_seconds() / 3600:.0f} h |",
        f"| lanes per brand | {events.LANES} |",
        f"| pushes per transaction, looked at | {inbox.CHUNK}, {inbox._LOOK_AHEAD} |",
        f"| a task on one lane | {inbox.BUDGET_SECONDS:.0f} s, killed after {inbox.LAST_ATTEMPT_SECONDS} s |",
        f"| idle connections per thread | {curl._IDLE_CONNECTIONS} |",
        f"| fetching a token | {tokens.FETCH_SECONDS:.0f} s; ",
        f"forced every {tokens.FORCE_EVERY.total_seconds() / 60:.0f} min, {tokens.FORCED_A_DAY} a day |",
        f"| users, OpenIDs, per call | {calls.USERS_PER_CALL}, {calls.OPENIDS_PER_TAGGING} |",
        f"| a dead worker's lane comes free | {sending.LANE_SECONDS:.0f} s |",
        f"| wait for a result before sending under a new id | {sending.SETTLE_SECONDS} s |",
        f"| body of an API request, nesting | {parsers.MAX_BYTES // 1024} KiB, {parsers.MAX_DEPTH} |",
        f"| page of an API list | {pagination.PAGE_SIZE}, at most {pagination.MAX_PAGE_SIZE} |",
        f"| session of a person | {settings.SESSION_COOKIE_AGE // 3600} h |",
        f"| wrong passwords per name and address | {settings.AXES_FAILURE_LIMIT}, then ",
        f"| values revealed per person and day | {reveal.PER_DAY} |",
        f"| sessions of a member | {sessions.SESSIONS_A_PERSON} |",
        f"| depth, leaves of a rule | {segments.MAX_DEPTH}, {segments.MAX_LEAVES} |",
    ):
        assert row in page


def test_role_table_is_the_code():
    from accounts.roles import CAPABILITIES, Role

    page = text_of("docs/security.md")
    row = next(line for line in page.splitlines() if line.startswith("| campaigns |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")][1:]

    def words(role):
        can = CAPABILITIES[role]
        said = [
            word
            for act, word in (("view", "see"), ("edit", "change"), ("launch", "launch"))
            if f"campaigns.{act}" in can
        ]
        return ", ".join(said) or "–"

    assert cells == [words(role) for role in Role]


def test_launcher_commands_of_the_documents_exist():
    told = {
        word
        for path in DOCUMENTS
        for word in re.findall(r"python -m launcher ([a-z]+)", path.read_text(encoding="utf-8"))
    }
    helped = subprocess.run(
        [sys.executable, "-m", "launcher", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert {word for word in told if not re.search(rf"^\s+{word}\s", helped.stdout, flags=re.MULTILINE)} == set()


def examples():
    """Imports and `manage.py` commands of the documents, those in code blocks too."""
    known = set(get_commands()) | {"demo"}
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        yield from (f"manage.py {word}" for word in re.findall(r"manage\.py ([a-z_]+)", text) if word not in known)
        for module, names in re.findall(r"^ *from ([a-z_.]+) import ([A-Za-z_, ]+)", text, flags=re.MULTILINE):
            found = import_module(module)
            yield from (f"{module}.{name}" for name in names.split(", ") if not hasattr(found, name.strip()))


def test_commands_and_imports_of_the_documents_exist():
    assert sorted(set(examples())) == []
