"""Identities over the API: a system links a card, a contact or a phone, hears what came of it, and ends its own."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from common import clock
from members import services
from members.models import Doubt, Identity, Member, MergeRecord
from members.services import Known
from members.services.people import new_member
from tests.api.conftest import Caller
from tests.factories import AT, make_follower

CARD = {"kind": "CARD", "value": "88000001"}
WECOM = {"kind": "EXTERNAL", "issuer": "wwcorp", "value": "wmAAAABBBBCCCC"}
PHONE = {"kind": "PHONE", "value": "13900139001"}


def at(member, more=""):
    return f"/members/{member.member_no}/identities/{more}"


def outcome(answer):
    assert answer.status_code == 200, answer.content
    return answer.json()["outcome"]


def refused(answer):
    return answer.status_code, answer.json()["error"]["code"]


def edges(side, member=None, **wanted):
    with brand_scope(side.brand.pk):
        rows = Identity.objects.filter(member=member or side.member, ended_at=None, **wanted).order_by("pk")
        return list(rows.values_list("kind", "namespace", "value", "source", "since"))


def somebody(side, **fields):
    """A record of the brand that nothing is known of but `fields`."""
    with brand_scope(side.brand.pk):
        member = new_member(at=AT)
        Member.objects.filter(pk=member.pk).update(**fields)
        return Member.objects.get(pk=member.pk)


def holder(side, known, source="shop", **fields):
    """Somebody else of the brand who has something."""
    member = somebody(side, **fields)
    with brand_scope(side.brand.pk):
        if known.kind == "PHONE":
            return services.bind_phone(member=member, number=known.value, source=source, at=AT)
        services.link_identity(member=member, known=known, source=source, at=AT)
    return member


def counts(side):
    with brand_scope(side.brand.pk):
        return Identity.objects.count(), Doubt.objects.count(), MergeRecord.objects.count(), Member.objects.count()


def test_two_brands_link_the_same_and_neither_hears_of_the_other(a, b):
    said = "2025-06-02T00:00:00+08:00"
    for side in (a, b):
        assert [outcome(side.system.post(at(side.member), each)) for each in (CARD | {"since": said}, WECOM)] == (
            ["LINKED"] * 2
        )
    before = counts(a), counts(b)
    for side in (a, b):  # a retry after a broken line
        assert outcome(side.system.post(at(side.member), CARD | {"since": said})) == "ALREADY_LINKED"
    assert (counts(a), counts(b)) == before
    for side in (a, b):
        kind, issuer, value, source, since = edges(side, kind="CARD")[0]
        assert (kind, issuer, value, source) == ("CARD", "", CARD["value"], "API: shop system")
        assert since.isoformat() == "2025-06-01T16:00:00+00:00"
    for method, more in (("GET", ""), ("POST", ""), ("POST", "end/")):
        assert refused(b.system.send(method, at(a.member, more), '{"kind": "CARD", "value": "x"}')) == (
            404,
            "not_found",
        )


def test_older_news_dates_an_edge_back_and_only_its_own(a):
    a.system.post(at(a.member), CARD | {"since": "2025-06-02T00:00:00Z"})
    for said in ("2025-01-01T00:00:00Z", "2025-09-01T00:00:00Z"):
        assert outcome(a.system.post(at(a.member), CARD | {"since": said})) == "ALREADY_LINKED"
    own = a.system.post(at(a.member), {"kind": "PHONE", "value": "13800138000", "since": "2020-01-01T00:00:00Z"})
    assert outcome(own) == "ALREADY_LINKED"
    since = {kind: since for kind, _issuer, _value, _source, since in edges(a, kind__in=["CARD", "PHONE"])}
    assert (since["CARD"].isoformat(), since["PHONE"]) == ("2025-01-01T00:00:00+00:00", AT)


def test_each_scope_opens_its_own(a):
    reads, writes = a.key("members.read"), a.key("members.write")
    assert outcome(writes.post(at(a.member), CARD)) == "LINKED"
    assert reads.get(at(a.member)).status_code == 200
    for answer in (
        reads.post(at(a.member), CARD),
        reads.post(at(a.member, "end/"), CARD),
        writes.get(at(a.member)),
        a.me.get(at(a.member)),
        a.me.post(at(a.member), CARD),
        a.me.post(at(a.member, "end/"), CARD),
    ):
        assert refused(answer) == (403, "forbidden")
    assert refused(Caller().post(at(a.member), CARD)) == (401, "not_authenticated")


def test_values_are_masked_and_what_has_ended_is_left_out(a):
    with brand_scope(a.brand.pk):
        passing = Known("PENDING", "pendingAAAABBBB", "wwcorp")
        services.link_identity(member=a.member, known=passing, source="wecom", at=clock.now() - timedelta(days=91))
    for body in (CARD, {"kind": "CARD", "issuer": "pos", "value": "77"}, WECOM):
        a.system.post(at(a.member), body)
    answer = a.system.get(at(a.member))
    lines = answer.json()["results"]
    assert [(line["kind"], line["issuer"], line["masked"], line["own"]) for line in lines if line["own"]] == [
        ("EXTERNAL", "wwcorp", "****CCCC", True),
        ("CARD", "pos", "****", True),
        ("CARD", "", "****01", True),
    ]
    phone, openid = (next(line for line in lines if line["kind"] == kind) for kind in ("PHONE", "OPENID"))
    assert (phone["masked"], phone["source"], phone["since"], phone["own"]) == (
        "138****8000",
        "test",
        AT.isoformat().replace("+00:00", "Z"),
        False,
    )
    assert (openid["issuer"], openid["own"]) == (a.account.appid, False)
    assert {line["kind"] for line in lines} == {"CARD", "EXTERNAL", "PHONE", "OPENID"}
    whole = [value for _kind, _issuer, value, _source, _since in edges(a) if len(value) > 2]
    assert [value for value in [*whole, "13800138000"] if value in answer.content.decode()] == []


@pytest.mark.parametrize("rows", [1, 3])
def test_list_takes_the_same_queries_whatever_its_length(a, rows):
    person = somebody(a)
    for number in range(rows):
        a.system.post(at(person), {"kind": "CARD", "value": f"C{number}"})
    a.system.get(at(person))
    with CaptureQueriesContext(connection) as queries:
        answer = a.system.get(at(person))
    assert (len(answer.json()["results"]), len(queries)) == (rows, 9)  # one of them writes down who looked


def test_a_list_is_paged(a):
    for number in range(3):
        a.system.post(at(a.member), {"kind": "CARD", "value": f"CARD-{number:05d}"})
    first = a.system.get(at(a.member), page_size=2).json()
    second = a.system.get(at(a.member), page_size=2, cursor=first["next"]).json()
    assert [line["masked"] for line in first["results"] + second["results"]][:3] == ["****002", "****001", "****000"]
    assert a.system.get(at(a.member), nonsense=1).status_code == 422


def test_what_another_record_has_makes_both_one_when_nothing_speaks_against_it(a):
    other, stranger, shown = holder(a, Known("CARD", CARD["value"])), somebody(a), somebody(a)
    with brand_scope(a.brand.pk):  # a phone whose owner has just shown it; a till types it
        services.bind_phone(member=shown, number=PHONE["value"], source="mini program", at=clock.now())
    for person, body in ((other, PHONE), (stranger, CARD)):
        answer = a.system.post(at(person), body)
        assert (outcome(answer), answer.json()["member_no"]) == ("MERGED", shown.member_no)
    for person in (other, stranger, shown):  # a retry: their numbers lead to who they became
        assert outcome(a.system.post(at(person), CARD)) == "ALREADY_LINKED"
    assert counts(a)[1:3] == (0, 2)
    with brand_scope(a.brand.pk):
        assert set(Member.objects.filter(pk__in=[other.pk, stranger.pk]).values_list("merged_into_id", flat=True)) == {
            shown.pk
        }


@pytest.mark.parametrize("why", ["names", "wechat", "birthdays", "cards", "typed"])
def test_a_doubt_is_opened_once_and_nothing_is_said_of_the_other(a, b, why):
    known, body, person = Known("EXTERNAL", WECOM["value"], WECOM["issuer"]), WECOM, a.member
    if why == "names":
        other = holder(a, known, name="林晓")
    elif why == "birthdays":
        other = holder(a, known, birth_mmdd=506)
    elif why == "wechat":
        with brand_scope(a.brand.pk):
            other = make_follower(a.account).member
            services.link_identity(member=other, known=known, source="wecom", at=AT)
    elif why == "cards":
        other = holder(a, known)
        for each, card in ((person, "C1"), (other, "C2")):
            assert outcome(a.system.post(at(each), {"kind": "CARD", "value": card})) == "LINKED"
    else:
        person, body, other = somebody(a), PHONE, holder(a, Known("PHONE", PHONE["value"]))
    before = counts(a)
    answers = [a.system.post(at(person), body) for _retry in range(2)]
    assert [outcome(answer) for answer in answers] == ["IN_REVIEW"] * 2
    assert all(answer.json()["member_no"] == person.member_no for answer in answers)
    assert other.member_no not in answers[0].content.decode()
    with brand_scope(a.brand.pk):
        doubt = Doubt.objects.get()
        assert ({doubt.one_id, doubt.other_id}, why in doubt.reasons) == ({person.pk, other.pk}, True)
        assert doubt.evidence == f"{body['kind'].lower()} (API: shop system)"
        services.decide_doubt(doubt_id=doubt.pk, merge=False, reason="是两个人", by="林澄", at=clock.now())
    assert counts(a) == (before[0], 1, *before[2:])
    assert counts(b)[1] == 0
    assert outcome(a.system.post(at(person), body)) == "KEPT_APART"


def test_a_phone_makes_a_member_and_never_takes_the_place_of_another(a):
    person = somebody(a)
    assert outcome(a.system.post(at(person), PHONE | {"value": "+8613900139001"})) == "LINKED"
    assert outcome(a.system.post(at(person), PHONE)) == "ALREADY_LINKED"
    assert refused(a.system.post(at(person), PHONE | {"value": "13900139002"})) == (409, "other_phone")
    with brand_scope(a.brand.pk):
        person.refresh_from_db()
    assert (person.phone_masked, person.joined_at is None) == ("139****9001", False)

    assert outcome(a.system.post(at(person, "end/"), PHONE)) == "ENDED"
    with brand_scope(a.brand.pk):
        person.refresh_from_db()
    assert (person.phone, person.phone_index, person.phone_tail, person.phone_masked) == (None, None, "", "")
    assert outcome(a.system.post(at(person), PHONE | {"value": "13900139002"})) == "LINKED"


def test_a_system_ends_what_it_has_linked_and_nothing_else(a):
    other = holder(a, Known("CARD", "99000009"))
    for body in (CARD, WECOM):
        a.system.post(at(a.member), body)
    assert outcome(a.system.post(at(a.member, "end/"), {"kind": "CARD", "value": "99000009"})) == "NOT_LINKED"
    assert refused(a.system.post(at(other, "end/"), {"kind": "CARD", "value": "99000009"})) == (409, "not_yours")
    own = {"kind": "PHONE", "value": "13800138000"}
    assert refused(a.system.post(at(a.member, "end/"), own)) == (409, "not_yours")
    assert [outcome(a.system.post(at(a.member, "end/"), CARD)) for _retry in range(2)] == ["ENDED", "NOT_LINKED"]
    assert [kind for kind, *_rest in edges(a)] == ["OPENID", "PHONE", "EXTERNAL"]
    assert len(edges(a, other)) == 1
    assert outcome(a.system.post(at(other), CARD | {"issuer": "till-2"})) == "LINKED"  # free, and another issuer's
    with brand_scope(a.brand.pk):
        log = AuditEntry.objects.filter(action__in=["link identity", "end identity"]).order_by("pk")
        assert [(row.action, row.actor_label, row.changes["identity"]) for row in log] == [
            ("link identity", "shop system", [None, "CARD"]),
            ("link identity", "shop system", [None, "EXTERNAL"]),
            ("end identity", "shop system", ["CARD", None]),
            ("link identity", "shop system", [None, "CARD"]),
        ]


def test_tills_that_link_one_card_at_the_same_moment(transactional_db, a):
    work = [(somebody(a), a.key("members.write")) for _till in range(3)]
    start = threading.Barrier(len(work))

    def link(person, till):
        try:
            start.wait(30)
            return outcome(till.post(at(person), CARD))
        finally:
            connection.close()

    with ThreadPoolExecutor(len(work)) as pool:
        found = sorted(pool.map(link, *zip(*work, strict=True)))
    assert found == ["LINKED", "MERGED", "MERGED"]
    with brand_scope(a.brand.pk):
        people = Member.objects.filter(pk__in=[person.pk for person, _till in work])
        assert Identity.objects.get(kind="CARD").member_id == people.get(merged_into=None).pk


def test_nothing_is_linked_to_somebody_whose_data_was_deleted(a):
    gone = somebody(a, erased_at=AT)
    assert refused(a.system.post(at(gone), CARD)) == (409, "member_gone")
    assert edges(a, gone) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (CARD | {"kind": "OPENID"}, "kind"),
        (CARD | {"value": ""}, "value"),
        (CARD | {"value": "88 01"}, "value"),
        (CARD | {"value": 88000001}, "value"),
        (CARD | {"value": "x" * 65}, "value"),
        (CARD | {"issuer": "x" * 65}, "issuer"),
        (CARD | {"source": "mini program"}, "source"),
        (CARD | {"since": "2025-06-01"}, "since"),
        (CARD | {"since": "1999-12-31T23:59:59Z"}, "since"),
        (CARD | {"since": "2999-01-01T00:00:00Z"}, "since"),
        ({"kind": "EXTERNAL", "value": "wmA"}, "issuer"),
        (PHONE | {"value": "12345"}, "value"),
        (PHONE | {"issuer": "pos"}, "issuer"),
        ({"kind": "CARD"}, "value"),
    ],
)
def test_bodies_that_cannot_be_used(a, body, field):
    before = counts(a)
    answer = a.system.post(at(a.member), body)
    assert (answer.status_code, [row["field"] for row in answer.json()["error"]["fields"]]) == (422, [field])
    assert counts(a) == before
