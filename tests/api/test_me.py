"""What members see and change about themselves."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from common import clock
from guides.models import Assignment
from loyalty import services as loyalty
from loyalty.models import Lot, Tier
from loyalty.selectors.points import balance_of
from loyalty.services import Operation
from members import services
from members.card import sections
from members.models import Consent, Member, OptOut, Tag
from members.services import merge_members
from members.services.people import new_member
from tests.factories import AT, make_tag


def test_card_shows_the_member_the_store_and_the_guide(a, b):
    card = a.me.get("/me/").json()

    assert card == {
        "member_no": a.member.member_no,
        "name": "澜屿会员",
        "phone": "138****8000",
        "birthday": "08-17",
        "city": "上海",
        "joined_at": "2025-06-01T00:00:00Z",
        "following": True,
        "store": {"code": "S1", "name": "澜屿店"},
        "guide": {"staff_no": "LY0007", "name": "澜屿导购", "store_name": "澜屿店", "since": "2025-06-01T00:00:00Z"},
        "tags": {"results": []},
        "consents": {"results": [{"purpose": "SERVICE", "granted": None}, {"purpose": "MARKETING", "granted": None}]},
        "points": {
            "spendable": 0, "held": 0, "owed": 0, "ending": None, "ends_at": None,
            "tier": None, "value": 0, "next_tier": None, "missing": None,
        },
    }  # fmt: skip
    assert b.me.get("/me/").json()["name"] == "灶山会员"


def test_every_number_on_the_card_is_the_ledgers(a, b):
    with brand_scope(a.brand.pk):
        at = clock.now()
        Tier.objects.create(name="知音", threshold=0)
        shown, hidden = make_tag("品鉴会"), make_tag("难缠")
        Tag.objects.filter(pk=shown.pk).update(is_shown=True)
        services.tag_members(member_ids=[a.member.pk], tag_ids=[shown.pk, hidden.pk], source="t", at=at)
        services.give_consent(member=a.member, purpose="SERVICE", text_version="1", source="t", at=at)
        for number, points in enumerate((70, 50)):
            loyalty.earn_points(
                operation=Operation("t", str(number)), member_id=a.member.pk, points=points, source="t", at=at
            )
        Lot.objects.filter(remaining=50).update(expires_at=at + timedelta(days=3))
        loyalty.freeze_points(operation=Operation("t", "f"), member_id=a.member.pk, points=20, source="t", at=at)
        balance = balance_of(a.member.pk)

    card = a.me.get("/me/").json()

    assert card["tags"] == {"results": [{"name": "品鉴会", "group": ""}]}
    assert card["consents"]["results"][0] == {"purpose": "SERVICE", "granted": True}
    assert (card["points"]["spendable"], card["points"]["held"]) == (balance.spendable, balance.held) == (100, 20)
    assert (card["points"]["ending"], card["points"]["tier"]) == (30, "知音")
    assert b.me.get("/me/").json()["points"]["spendable"] == 0


def test_card_takes_a_query_a_part_in_one_transaction(a):
    a.me.get("/me/")

    with CaptureQueriesContext(
        connection,
    ) as queries:
        a.me.get("/me/")

    kinds = [query["sql"].split()[0].replace("WITH", "SELECT") for query in queries]
    # the savepoints stand for the transaction: the test itself runs in one
    assert kinds == ["SAVEPOINT", *["SELECT"] * (2 + len(list(sections.items()))), "RELEASE"]


def test_answers_are_never_kept_in_between(a):
    answer = a.me.get("/me/")

    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "Set-Cookie" not in answer.headers


def test_member_without_store_and_guide_has_a_card(a):
    with brand_scope(a.brand.pk):
        _id, caller = a.session(new_member(at=AT))

    card = caller.get("/me/").json()

    assert (card["store"], card["guide"], card["birthday"], card["phone"], card["following"]) == (None,) * 4 + (False,)


def test_session_follows_its_member_through_a_merge(a):
    with brand_scope(a.brand.pk):
        kept = new_member(at=AT)
        merge_members(kept=kept, merged=a.member, evidence="test", at=AT)

    assert a.me.get("/me/").json()["member_no"] == kept.member_no


def test_profile_changes_only_what_is_given(a):
    assert a.me.patch("/me/", {"name": "陈悦"}).json()["name"] == "陈悦"
    assert a.me.patch("/me/", {"birthday": "02-29", "city": ""}).json()["birthday"] == "02-29"
    card = a.me.patch("/me/", {"birthday": None}).json()

    assert (card["name"], card["birthday"], card["city"]) == ("陈悦", None, "")
    with brand_scope(a.brand.pk):
        entry = AuditEntry.objects.filter(action="change profile").order_by("pk").last()
        assert (entry.via, entry.actor_label, entry.changes) == (
            "api",
            f"member {a.member.pk}",
            {"birth_mmdd": [229, None]},
        )


def every_other_field():
    named = {field.name for field in Member._meta.get_fields()} | {
        field.attname for field in Member._meta.concrete_fields
    }
    inventions = {
        "is_staff",
        "points",
        "level",
        "openid",
        "unionid",
        "birth_mmdd",
        "phone_number",
        "role",
        "scope",
        "token",
    }
    return sorted((named | inventions) - {"name", "city"})


def test_no_other_field_can_be_written(a):
    with brand_scope(a.brand.pk):
        before = Member.objects.filter(pk=a.member.pk).values().get()

    for field in every_other_field():
        answer = a.me.patch("/me/", {field: 1, "name": "changed"})
        assert (answer.status_code, [row["field"] for row in answer.json()["error"]["fields"]]) == (422, [field])

    with brand_scope(a.brand.pk):
        assert Member.objects.filter(pk=a.member.pk).values().get() == before


NAMES = {
    "名": "名",
    "x" * 60: "x" * 60,
    "x" * 61: None,
    "": "",
    "   ": "",
    " 陈悦 ": "陈悦",
    "a\x00b": None,
    "a\x1bb": None,
    "a\nb": None,
    "a\u202eb": None,
    "a\ufeffb": None,
    "Zoe\u0308": "Zo\u00eb",
    "Z" + "\u0335" * 8: None,
    "\U0001f469\u200d\U0001f467": "\U0001f469\u200d\U0001f467",
    "<script>alert(1)</script>": "<script>alert(1)</script>",
    "=1+1": "=1+1",
}


@pytest.mark.parametrize(("given", "kept"), NAMES.items(), ids=[repr(name)[:30] for name in NAMES])
def test_names(a, given, kept):
    answer = a.me.patch("/me/", {"name": given})

    assert answer.status_code == (422 if kept is None else 200)
    assert a.me.get("/me/").json()["name"] == ("澜屿会员" if kept is None else kept)


@pytest.mark.parametrize("name", [1, True, None, [], {}, 1.5])
def test_names_are_texts(a, name):
    assert a.me.patch("/me/", {"name": name}).status_code == 422


@pytest.mark.parametrize(
    "birthday",
    [
        "02-30",
        "13-01",
        "00-10",
        "10-00",
        "8-17",
        "0817",
        "2000-08-17",
        "08-17T00:00",
        "０8-17",
        817,
        True,
        "",
        [],
        "08-17\n",
    ],
)
def test_birthdays_that_do_not_exist(a, birthday):
    assert a.me.patch("/me/", {"birthday": birthday}).status_code == 422


def test_own_guide(a, b):
    assert a.me.get("/me/guide/").json()["guide"]["name"] == "澜屿导购"

    with brand_scope(a.brand.pk):
        Assignment.objects.update(until=AT)

    assert (a.me.get("/me/guide/").json(), b.me.get("/me/guide/").json()["guide"]["name"]) == (
        {"guide": None},
        "灶山导购",
    )


def test_consents_are_given_and_withdrawn(a, b):
    def states():
        return {
            row["purpose"]: (row["granted"], row["text_version"]) for row in a.me.get("/me/consents/").json()["results"]
        }

    assert states() == {"SERVICE": (None, ""), "MARKETING": (None, "")}
    give = {"purpose": "MARKETING", "granted": True, "text_version": "2026-11"}
    assert a.me.post("/me/consents/", give).status_code == 200
    assert states() == {"SERVICE": (None, ""), "MARKETING": (True, "2026-11")}

    for _ in range(2):
        assert a.me.post("/me/consents/", {"purpose": "MARKETING", "granted": False}).status_code == 200

    assert states() == {"SERVICE": (None, ""), "MARKETING": (False, "")}
    with brand_scope(a.brand.pk):
        assert list(Consent.objects.order_by("pk").values_list("granted", flat=True)) == [True, False]
        assert OptOut.objects.count() == 1
    assert {row["granted"] for row in b.me.get("/me/consents/").json()["results"]} == {None}


def test_withdrawing_what_was_never_given_counts(a):
    a.me.post("/me/consents/", {"purpose": "MARKETING", "granted": False})

    with brand_scope(a.brand.pk):
        assert OptOut.objects.filter(member=a.member, purpose="MARKETING").count() == 1


@pytest.mark.parametrize(
    "body",
    [
        {"purpose": "MARKETING", "granted": True},
        {"purpose": "SPAM", "granted": False},
        {"purpose": "MARKETING", "granted": "false"},
        {"purpose": "MARKETING", "granted": 0},
        {"purpose": "MARKETING", "granted": False, "member_id": 1},
        {"purpose": "MARKETING", "granted": True, "text_version": "x" * 21},
        {"granted": False},
    ],
)
def test_statements_that_are_refused(a, body):
    assert a.me.post("/me/consents/", body).status_code == 422
    with brand_scope(a.brand.pk):
        assert (Consent.objects.count(), OptOut.objects.count()) == (0, 0)


@pytest.mark.parametrize("path", ["/me/", "/me/guide/", "/me/consents/"])
def test_keys_are_no_members(a, path):
    assert a.system.get(path).status_code == 403
