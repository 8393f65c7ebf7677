"""The whole REST API by its own description: every kind of caller, every check, also step by step (A6, A5)."""

import json
from collections import Counter

import pytest
import schemathesis
from django.apps import apps
from django.core.wsgi import get_wsgi_application
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from jsonschema import ValidationError
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.engine import Status, events, from_schema

from accounts.models import ApiKey
from accounts.services import revoke_api_key
from accounts.tenancy import BrandOwned, brand_scope
from campaigns.services import create_campaign
from common import clock
from coupons.services import create_push
from imports.services import ask_for_export_as_system, take_file, write_export
from library.models import MediaItem
from members.services import save_segment
from tests.api import contract
from tests.api.conftest import a, b, rates, session_of, wechat  # noqa: F401 - fixtures
from tests.coupons.conftest import make_template, once
from tests.factories import AT
from tests.hostile.sizes import figure, is_full, size
from touchpoints.services import create_mini_code, create_touchpoint

pytestmark = [pytest.mark.timeout(3600), pytest.mark.long(30)]  # sizes are chosen from outside

# What the description allows may still name a tag that does not exist or a position on no shore: 422, never 400 or 5xx.
ALLOWED_REFUSALS = ["2xx", "401", "403", "404", "409", "422"]
# What the phases that try each boundary once send, whatever number is asked for.
PHASES_REQUESTS, OPERATIONS = 600, 22


@schemathesis.check
def only_declared_keys(ctx, response, case):
    """The description does not forbid further keys in answers; we do."""
    try:
        contract.check(case.formatted_path, case.method, AsDjango(response))
    except (AssertionError, ValidationError) as error:
        raise Failure(operation=case.operation.label, message=str(error)[:500]) from None


class AsDjango:
    def __init__(self, response):
        self.status_code, self.content, self.json = response.status_code, response.content, response.json


class Callers:
    """Signs requests in as the description asks, or (`swapped`) as the other kind of caller."""

    side, swapped = None, False

    def __init__(self):
        self.turn = 0
        self.key = self.side.system._headers["authorization"]

    def get(self, case, ctx):
        kinds = [name for one in case.operation.definition.raw.get("security", []) for name in one]
        if not kinds:
            return None
        self.turn += 1
        as_member = kinds[self.turn % len(kinds)] == "memberToken"
        if as_member is self.swapped:
            return self.key
        # A new session each time: signing out is one of the operations.
        return session_of(self.side, self.side.member)[1]._headers["authorization"]

    def set(self, case, data, ctx):
        case.headers = {**(case.headers or {}), "Authorization": data}


def play(side, *, swapped, requests):
    """Let schemathesis loose; gives counts, failures and faults of its own."""
    examples = max(3, (requests - PHASES_REQUESTS) // OPERATIONS)
    config = SchemathesisConfig.from_dict(
        {
            "seed": 20261122,
            "suppress-health-check": ["all"],
            "generation": {"max-examples": examples, "allow-x00": True, "database": "none"},
            "phases": {
                "stateful": {"generation": {"max-examples": min(examples, 30)}},
                # Callers who are refused anyway meet every boundary in `make hostile` only.
                "coverage": {"enabled": not swapped or is_full()},
            },
            "checks": {"positive_data_acceptance": {"expected-statuses": ALLOWED_REFUSALS}},
        }
    )
    schema = schemathesis.openapi.from_wsgi("/api/schema/?format=json", get_wsgi_application(), config=config)
    schema.auth(refresh_interval=None)(type("Callers", (Callers,), {"side": side, "swapped": swapped}))
    counts, failures, errors = Counter(), {}, []
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            count(event.recorder, event.phase.value, counts, failures)
        elif isinstance(event, events.NonFatalError):
            errors.append(f"{event.label}: {event.value!r}"[:500])
        elif isinstance(event, events.FatalError):
            raise event.exception
    return counts, failures, errors


def count(recorder, phase, counts, failures):
    for interaction in recorder.interactions.values():
        counts["requests"] += 1
        counts[phase] += 1
        if interaction.response is not None:
            counts[interaction.response.status_code] += 1
    for case_id, checks in recorder.checks.items():
        for check in checks:
            counts["checks"] += 1
            if check.status is Status.FAILURE:
                case = recorder.cases[case_id].value
                failure = check.failure_info.failure
                key = (check.name, case.operation.label, failure.title)
                failures.setdefault(key, f"{failure.message[:300]} <- {case.as_curl_command()[:600]}")


@pytest.fixture
def furnished(transactional_db, a, b, wechat):  # noqa: F811
    """A brand with something behind every address; WeChat knows its mini program."""
    wechat.know(a.program)
    with brand_scope(a.brand.pk):
        a.segment = save_segment(name="全部", rule={"all": []}, at=AT)
        a.campaign = create_campaign(name="秋季新品", account=a.account, at=AT, segment=a.segment)
        a.channel = create_touchpoint(name="澜屿门口", account=a.account, store=a.store, at=AT)
        a.media = MediaItem.objects.create(
            name="x", content_type="image/png", size=1, sha256="x", path="x", created_at=AT
        )
        a.push = create_push(operation=once(), template=make_template(), segment=a.segment, reason="春季回馈", at=AT)
        a.job = take_file(name="x.csv", body="手机\n1".encode(), kind="members", at=AT)
        a.mini_code = create_mini_code(touchpoint=a.channel, program=a.program, page="pages/index", at=AT)
        key = ApiKey.objects.get()
        a.export = ask_for_export_as_system(key_id=key.pk, label=key.label, at=AT)
    write_export(brand_id=a.brand.pk, export_id=a.export.pk)
    return a


@pytest.mark.parametrize("swapped", [False, True], ids=["right callers", "wrong callers"])
def test_api_keeps_its_description(furnished, swapped):
    counts, failures, errors = play(furnished, swapped=swapped, requests=size("cases") // 2)
    who = "wrong" if swapped else "right"
    figure("A6", f"{who} callers: requests (steps of chains), checks", f"{counts['requests']} ({counts['stateful']}), {counts['checks']}")  # fmt: skip
    figure("A6", f"{who} callers: checks that failed, answers 5xx", f"{len(failures)}, {sum(n for status, n in counts.items() if type(status) is int and status >= 500)}", "0, 0")  # fmt: skip
    assert failures == {}
    assert errors == []
    assert counts["requests"] > size("cases") // 5
    assert min(counts[phase] for phase in ("examples", "fuzzing", "stateful")) > 0
    assert (counts["coverage"] > 0) is (not swapped or is_full())
    assert counts[200] > (0 if swapped else 10)
    assert counts[403 if swapped else 404] > 10


# --- What is over is over ---------------------------------------------------------------------------------------------

PATHS = {"{code}": "S1", "{campaign_id}": "{campaign}", "{member_no}": "{member}"}


def operations():
    return [
        (path, method, operation)
        for path, methods in contract.description()["paths"].items()
        for method, operation in methods.items()
    ]


NOWHERE = "00000000-0000-4000-8000-000000000000"


def address(path, side):
    real = path.removeprefix("/api/v1").replace("{code}", side.store.code)
    real = real.replace("{media_id}", str(side.media.pk)).replace("{segment_id}", str(side.segment.pk))
    real = real.replace("{push_id}", str(side.push.public_id))
    for nobodys in ("{entry_id}", "{hold_id}", "{coupon_id}", "{request_id}", "{push_id}"):
        real = real.replace(nobodys, NOWHERE)
    real = real.replace("{import_id}", str(side.job.public_id)).replace("{export_id}", str(side.export.public_id))
    real = real.replace("{channel_id}", str(side.channel.pk)).replace("{scene}", side.mini_code.code)
    return real.replace("{campaign_id}", str(side.campaign.public_id)).replace("{member_no}", side.member.member_no)


def guarded(kind):
    return [(path, method) for path, method, each in operations() if {kind: []} in each.get("security", [])]


def test_session_is_over_everywhere_at_once(furnished):
    assert len(guarded("memberToken")) >= 9
    for path, method in guarded("memberToken"):
        _, caller = furnished.session()
        assert caller.delete("/session/").status_code == 204
        answer = caller.send(method.upper(), address(path, furnished), "{}")
        assert answer.status_code == 401, (method, path)


def test_key_is_over_everywhere_at_once(furnished):
    with brand_scope(furnished.brand.pk):
        revoke_api_key(key=ApiKey.objects.get(), at=clock.now())
    assert len(guarded("apiKey")) >= 10
    for path, method in guarded("apiKey"):
        assert furnished.system.send(method.upper(), address(path, furnished), "{}").status_code == 401, (method, path)


# --- Mass assignment and extra keys (A5) -----------------------------------------------------------------------------

INVENTED = [
    "is_staff", "is_superuser", "is_active", "role", "scopes", "brand", "brand_id", "member", "member_id", "openid", "unionid", "points",
    "balance", "password", "__class__", "$where", "constructor", "id[]", "_method", "consent.purposes",
]  # fmt: skip
QUERIES = {"lat": "31.2", "lng": "121.4", "amount": "1"}
BODIES = {
    "open_session": {"appid": "wx0123456789abcdef", "code": "x"},
    "change_profile": {"name": "新名"},
    "bind_phone": {"code": "x"},
    "ask_for_sms_code": {"phone": "13700137000"},
    "join_by_sms": {"phone": "13700137000", "code": "048213"},
    "ask_for_counter_code": {"phone": "13700137000", "guide": "LY0007"},
    "join_at_counter": {
        "phone": "13700137000",
        "guide": "LY0007",
        "code": "048213",
        "consent": {"text_version": "2026-11", "purposes": ["SERVICE"]},
    },
    "record_guide_contact": {"staff_no": "LY0007", "corp": "ww0123456789abcdef", "external_userid": "wm1"},
    "state_consent": {"purpose": "MARKETING", "granted": False},
    "change_preferences": {"personalised": False},
    "ask_about_data": {"kind": "COPY"},
    "tag_member": {"add": [], "remove": []},
    "preview_segment": {"rule": {"all": []}},
    "sign_page": {"appid": "wx0123456789abcdef", "url": "https://crm.example.com/h5"},
    "record_scene_opening": {"opening": "0f5b3c1e9a7d4428"},
    "use_benefits": {"key": "x", "number": "x", "amount": 100},
    "add_media": {"kind": "IMAGE", "name": "x", "content": ""},
    "report_fact": {"system": "pos", "kind": "PURCHASE", "number": "x", "happened_at": "2025-06-01T10:00:00+08:00"},
    "give_points": {"key": "x", "to": "0", "points": 1},
    "burn_points": {"key": "x", "points": 1},
    "earn_points": {"key": "x", "points": 1},
    "freeze_points": {"key": "x", "points": 1},
    "reverse_points": {"key": "x"},
    "capture_points": {"key": "x"},
    "release_points": {"key": "x"},
    "take_member_code": {"code": "0" * 20, "key": "x"},
    "hold_coupon": {"key": "x", "order": "x", "lines": [], "store": ""},
    "redeem_coupon": {"key": "x", "order": "x"},
    "release_coupon": {"key": "x", "order": "x"},
    "return_coupon": {"key": "x", "order": "x"},
    "redeem_at_counter": {"key": "x", "code": "x", "store": "x"},
    "upload_table": {"kind": "members"},
    "ask_for_export": {"search": "x"},
    "cancel_exchange": {"key": "x"},
    "show_counter_code": {},
    "check_own_coupons": {"lines": []},
    "claim_coupon": {"key": "x", "template": NOWHERE},
    "enter_coupon_code": {"key": "x", "code": "x"},
    "exchange_points": {"key": "x", "template": NOWHERE},
    "say_own_profile": {"values": []},
    "check_member_coupons": {"lines": []},
    "issue_coupon": {"key": "x", "template": NOWHERE},
    "set_tier_coupon": {"tier": "x", "template": NOWHERE, "period": "MONTH", "is_on": False},
    "push_coupon": {"key": "x", "template": NOWHERE, "segment": 1, "reason": "xx"},
    "stop_coupon_push": {},
    "make_invitation_picture": {},
    "accept_invitation": {"code": "x"},
    "report_sign": {"kind": "DEVICE", "value": "x"},
    "flag_member": {"flag": "STAFF", "on": True, "reason": "x"},
    "say_member_profile": {"values": []},
    "link_identity": {"kind": "CARD", "value": "x"},
    "end_identity": {"kind": "CARD", "value": "x"},
}


def names_of_columns():
    """Every field of every model, by name and by column."""
    fields = [field for model in apps.get_models() for field in model._meta.get_fields()]
    return sorted({each.name for each in fields} | {each.column for each in fields if getattr(each, "column", None)})


def rows_of(brand):
    with brand_scope(brand.pk):
        ApiKey.objects.update(last_used_at=None)  # the one thing that any call may change
        return {
            model._meta.label: list(model.objects.order_by("pk").values_list())
            for model in apps.get_models()
            if issubclass(model, BrandOwned)
        }


def test_every_body_has_a_right_one_here():
    assert set(BODIES) == {each["operationId"] for _, _, each in operations() if "requestBody" in each}


def test_no_column_can_be_assigned(furnished):
    names = [*names_of_columns(), *INVENTED]
    assert len(names) > 200
    before, taken = rows_of(furnished.brand), []
    for path, method, operation in operations():
        if "requestBody" not in operation:
            continue
        right = BODIES[operation["operationId"]]
        ((kind, content),) = operation["requestBody"]["content"].items()
        declared = contract.description()["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        caller = furnished.system if {"apiKey": []} in operation.get("security", []) else furnished.me
        undeclared = [name for name in names if name not in declared.get("properties", {})]
        for begin in range(0, len(undeclared), 100):
            some = undeclared[begin : begin + 100]
            body = right | dict.fromkeys(some, 1)
            if kind == "multipart/form-data":
                form = {"data": encode_multipart(BOUNDARY, body), "content_type": MULTIPART_CONTENT}
            else:
                form = {"data": json.dumps(body)}
            answer = caller.send(method.upper(), address(path, furnished), **form)
            refused = {row["field"] for row in answer.json()["error"]["fields"]} if answer.status_code == 422 else set()
            taken += [(operation["operationId"], name, answer.status_code) for name in some if name[:60] not in refused]
    assert taken == []
    assert rows_of(furnished.brand) == before
    figure("A5", "names of columns and inventions assigned", f"0 of {len(names)} in {len(BODIES)} bodies", "0")


def test_no_read_answers_an_undeclared_key_or_parameter(furnished):
    """`Caller` holds every answer against the description, keys and types."""
    read = 0
    for path, method, operation in operations():
        if method != "get":
            continue
        caller = furnished.system if {"apiKey": []} in operation["security"] else furnished.me
        wanted = (each for each in operation.get("parameters", []) if each["in"] == "query" and each.get("required"))
        known = QUERIES | {
            "member_no": furnished.member.member_no,
            "template": str(furnished.push.template.public_id),
            "segment": str(furnished.segment.pk),
            "guide": furnished.guide.staff_no,
        }
        query = {each["name"]: known[each["name"]] for each in wanted}
        assert caller.get(address(path, furnished), **query).status_code == 200, path
        if any(each["in"] == "query" for each in operation.get("parameters", [])):
            for name in INVENTED:
                assert caller.get(address(path, furnished), **query, **{name: "1"}).status_code == 422, (path, name)
        read += 1
    assert read >= 12
    figure("A5", "read endpoints with undeclared keys", f"0 of {read}", "0")
