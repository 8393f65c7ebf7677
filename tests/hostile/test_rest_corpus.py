"""The requests of `corpus/rest.yaml`: each has its answer, and all together change nothing."""

import itertools
import json
import re

import pytest

from accounts.tenancy import brand_scope
from members.services import save_segment
from tests.api.conftest import Caller, a, b, rates  # noqa: F401 - fixtures
from tests.factories import AT
from tests.hostile.rows import CORPUS
from tests.hostile.test_api import NOWHERE, rows_of
from tests.sources import load_yaml

pytestmark = pytest.mark.django_db
ROWS = load_yaml((CORPUS / "rest.yaml").read_text())
DEEP = '{"all": [' * 50
MADE = {
    "nul": "a\0b",
    "long": "x" * 1_025,
    "wide": "x" * 10_240,
    "forty": "9" * 40,
    "nowhere": NOWHERE,
    "deep": '{"a":' * 1_000 + "1" + "}" * 1_000,
    "huge": json.dumps({"name": "x" * 10_000_000}),
    "deep_rule": '{"rule": ' + DEEP + "]}" * 50 + "}",
    "wide_rule": json.dumps({"rule": {"all": [{"condition": "city", "params": {"cities": ["上海"]}}] * 1_000}}),
}
CALLERS = ("nobody", "me", "system", "narrow", "their_me", "their_system")


def filled(value, names):
    """Put what there is into a row; a text that is nothing but a name becomes the thing itself."""
    if isinstance(value, dict):
        return {filled(key, names): filled(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, names) for each in value]
    if not isinstance(value, str):
        return value
    if value.startswith("{") and value[1:-1] in names:
        return names[value[1:-1]]
    for name, thing in names.items():
        if "{" + name + "}" in value:
            value = value.replace("{" + name + "}", str(thing))
    return value


@pytest.fixture
def there(a, b):  # noqa: F811
    found = MADE | {"appid": a.program.appid, "official": a.account.appid, "their_appid": b.program.appid}
    for prefix, side in (("", a), ("their_", b)):
        with brand_scope(side.brand.pk):
            segment = save_segment(name="全部", rule={"all": []}, at=AT)
        found |= {f"{prefix}tag": f"{side.tag.name}{prefix}", f"{prefix}segment": segment.pk}
    callers = {
        "nobody": Caller(), "me": a.me, "system": a.system, "narrow": a.key(), "their_me": b.me, "their_system": b.system,
    }  # fmt: skip
    return callers, found | {"me": a.member.member_no, "theirs": b.member.member_no}


def play(row, callers, names):
    """Ask as the row says; gives how the answer differs from it, nothing when it does not."""
    who = filled(row["as"], names)
    caller = callers[who] if who in callers else Caller(who)
    method, _, path = filled(row["do"], names).partition(" ")
    data = filled(row["raw"], names) if "raw" in row else ""
    if "body" in row:
        data = json.dumps(filled(row["body"], names))
    more = {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in filled(row.get("headers", {}), names).items()
    }
    path, _, query = path.partition("?")
    answer = caller.send(
        method,
        path,
        data,
        content_type=filled(row.get("type", "application/json"), names),
        QUERY_STRING=query.encode().decode("latin-1"),
        **more,
    )
    wanted = row["status"] if isinstance(row["status"], list) else [row["status"]]
    if answer.status_code not in wanted:
        return f"{answer.status_code} {answer.content[:120].decode()}"
    if answer.status_code >= 400 and method not in ("HEAD", "TRACE"):
        fault = answer.json()["error"]
        if not fault["message"]:
            return "says nothing"
        if "field" in row and filled(row["field"], names) not in {
            re.split(r"[.\[]", each["field"])[0] for each in fault["fields"]
        }:
            return f"finds fault with {fault['fields']}"
    if row.get("empty") and answer.status_code == 200 and answer.json()["results"]:
        return "found somebody"
    return ", ".join(name for name in row.get("without", ()) if name in answer.headers)


@pytest.mark.long(15)
def test_every_request_of_the_corpus_has_its_answer_and_changes_nothing(a, b, there):  # noqa: F811
    callers, names = there
    before = [rows_of(side.brand) for side in (a, b)]
    wrong, asked = {}, 0
    for row in ROWS:
        for x, y in itertools.product(row.get("each", [""]), row.get("in", [""])):
            asked += 1
            try:
                differs = play(row, callers, names | {"x": filled(x, names), "y": y})
            except AssertionError as undeclared:  # the answer is none that the API describes
                differs = str(undeclared)
            if differs:
                wrong[f"{row['id']} {row['case']}: {str(x)[:60]} {y}"] = differs
    assert not wrong, "\n".join(f"{row}: {what}" for row, what in wrong.items())
    assert asked > 300
    after = [rows_of(side.brand) for side in (a, b)]
    assert [{name for name in one if one[name] != other[name]} for one, other in zip(before, after, strict=True)] == [
        set(),
        set(),
    ]
