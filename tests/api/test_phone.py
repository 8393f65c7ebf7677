"""Binding a phone: once per code, the same member whatever is tapped twice, consent in the same transaction."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test import TestCase

from accounts.tenancy import brand_scope
from common import clock
from members.models import Consent, Doubt, Member, MergeRecord, MiniProgramSession
from members.services import bind_phone, purge_sessions, record_contact
from members.services.people import new_member
from tests.api.conftest import Caller, make_person, make_side
from tests.factories import AT


def signed_in(wechat, side, phone="13900139000"):
    """Somebody new who has signed in: (their id in WeChat, their caller)."""
    wechat.know(side.program)
    person = make_person(wechat, phone)
    code = wechat.act(person, "login", side.program.appid)["code"]
    answer = Caller().post("/session/", {"appid": side.program.appid, "code": code})
    return person, Caller(f"Bearer {answer.json()['token']}")


def phone_code(wechat, person, side):
    return wechat.act(person, "phone", side.program.appid)["code"]


def people(side):
    with brand_scope(side.brand.pk):
        return Member.objects.filter(merged_into__isnull=True).count()


def test_phone_button_makes_a_member(a, wechat):
    person, caller = signed_in(wechat, a)
    assert (caller.get("/me/").json()["phone"], caller.get("/me/").json()["joined_at"]) == (None, None)

    answer = caller.post("/me/phone/", {"code": phone_code(wechat, person, a)})

    assert (answer.status_code, answer.json()["phone"]) == (200, "139****9000")
    assert answer.json() == caller.get("/me/").json()
    with brand_scope(a.brand.pk):
        member = Member.objects.get(member_no=answer.json()["member_no"])
        assert (member.phone.reveal(), member.joined_at is None) == ("+8613900139000", False)


def test_same_phone_again_gives_the_same_answer(a, wechat):
    person, caller = signed_in(wechat, a)
    first = caller.post("/me/phone/", {"code": phone_code(wechat, person, a)})

    second = caller.post("/me/phone/", {"code": phone_code(wechat, person, a)})

    assert (second.status_code, second.json()) == (200, first.json())
    assert people(a) == 2


def test_same_code_again_is_409_and_wechat_is_not_asked(a, wechat):
    person, caller = signed_in(wechat, a)
    code = phone_code(wechat, person, a)
    assert caller.post("/me/phone/", {"code": code}).status_code == 200
    wechat.fault(kind="http_status", status=500, path="/wxa/business/getuserphonenumber")

    answer = caller.post("/me/phone/", {"code": code})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "phone_code_used")
    assert caller.get("/me/").json()["phone"] == "139****9000"


def test_code_of_another_person_is_refused_by_wechat(a, wechat):
    _person, caller = signed_in(wechat, a)
    other, _caller = signed_in(wechat, a, phone="13700137000")

    answer = caller.post("/me/phone/", {"code": phone_code(wechat, other, a)})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "phone_code_used")
    assert caller.get("/me/").json()["phone"] is None


def test_code_of_six_minutes_ago_is_refused(a, wechat):
    person, caller = signed_in(wechat, a)
    code = phone_code(wechat, person, a)
    wechat.post("/_sim/clock", advance=360)

    assert caller.post("/me/phone/", {"code": code}).status_code == 409


def test_code_may_be_sent_again_when_wechat_was_away(a, wechat):
    person, caller = signed_in(wechat, a)
    code = phone_code(wechat, person, a)
    wechat.fault(kind="errcode", errcode=-1, path="/wxa/business/getuserphonenumber", count=1)
    away = caller.post("/me/phone/", {"code": code})

    again = caller.post("/me/phone/", {"code": code})

    assert (away.status_code, away.json()["error"]["code"], away.headers["Retry-After"]) == (503, "wechat_away", "5")
    assert (again.status_code, again.json()["phone"]) == (200, "139****9000")


def test_answer_with_another_apps_watermark_binds_nothing(a, wechat):
    person, caller = signed_in(wechat, a)
    info = {
        "phoneNumber": "13600136000",
        "purePhoneNumber": "13600136000",
        "countryCode": "86",
        "watermark": {"timestamp": 1, "appid": "wx00000000000000ff"},
    }
    wechat.fault(
        kind="body",
        body={"errcode": 0, "errmsg": "ok", "phone_info": info},
        path="/wxa/business/getuserphonenumber",
    )

    assert caller.post("/me/phone/", {"code": phone_code(wechat, person, a)}).status_code == 503
    assert caller.get("/me/").json()["phone"] is None


def test_phone_of_another_member_is_409_and_changes_nothing(a, wechat):
    person, caller = signed_in(wechat, a)
    with brand_scope(a.brand.pk):
        other = record_contact(account_id=a.account.pk, appid=a.program.appid, openid="oOther", at=AT).member
        bind_phone(member=other, number="13900139000", source="test", at=AT)
    body = {"code": phone_code(wechat, person, a), "consent": {"text_version": "2026-11", "purposes": ["SERVICE"]}}

    answer = caller.post("/me/phone/", body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "phone_taken")
    assert caller.get("/me/").json()["phone"] is None
    with brand_scope(a.brand.pk):
        assert Consent.objects.count() == 0
        doubt = Doubt.objects.get()  # somebody looks at both
        assert (other.pk in {doubt.one_id, doubt.other_id}, doubt.state, "wechat" in doubt.reasons) == (
            True,
            "OPEN",
            True,
        )


def test_phone_of_another_brands_member_is_free(a, b, wechat):
    person, caller = signed_in(wechat, a, phone="13611136111")
    with brand_scope(b.brand.pk):
        bind_phone(member=new_member(at=AT), number="13611136111", source="test", at=AT)

    answer = caller.post("/me/phone/", {"code": phone_code(wechat, person, a)})

    assert (answer.status_code, answer.json()["phone"]) == (200, "136****6111")


def test_card_from_the_shop_and_the_session_become_one_member(a, wechat):
    person, caller = signed_in(wechat, a)
    with brand_scope(a.brand.pk):
        at = clock.now()
        card = bind_phone(member=new_member(at=at), number="13900139000", source="shop", at=at)

    answer = caller.post("/me/phone/", {"code": phone_code(wechat, person, a)})

    assert (answer.status_code, answer.json()["member_no"]) == (200, card.member_no)
    assert caller.get("/me/").json()["member_no"] == card.member_no
    with brand_scope(a.brand.pk):
        assert MergeRecord.objects.filter(kept=card).count() == 1


def test_consent_is_recorded_with_the_phone(a, wechat):
    person, caller = signed_in(wechat, a)
    consent = {"text_version": "2026-11", "purposes": ["MARKETING", "SERVICE"]}

    caller.post("/me/phone/", {"code": phone_code(wechat, person, a), "consent": consent})

    states = {
        row["purpose"]: (row["granted"], row["text_version"]) for row in caller.get("/me/consents/").json()["results"]
    }
    assert states == {"SERVICE": (True, "2026-11"), "MARKETING": (True, "2026-11")}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"code": ""},
        {"code": 5},
        {"code": "x" * 129},
        {"code": "x", "phone": "13800138000"},
        {"code": "x", "openid": "oA"},
        {"code": "x", "consent": {"text_version": "1"}},
        {"code": "x", "consent": {"text_version": "1", "purposes": ["SPAM"]}},
        {"code": "x", "consent": {"text_version": "1", "purposes": []}},
        {"code": "x", "consent": {"text_version": "1", "purposes": ["SERVICE", "SERVICE", "SERVICE"]}},
        {"code": "x", "consent": "yes"},
    ],
)
def test_bodies_that_are_refused(a, body):
    assert a.me.post("/me/phone/", body).status_code == 422


def test_only_members_bind_phones(a):
    assert a.system.post("/me/phone/", {"code": "x"}).status_code == 403
    assert Caller().post("/me/phone/", {"code": "x"}).status_code == 401


def test_sessions_that_are_over_are_purged(a):
    a.session(at=clock.now() - timedelta(minutes=121))
    with brand_scope(a.brand.pk):
        assert [purge_sessions(at=clock.now()) for _ in range(2)] == [1, 0]
        assert purge_sessions(at=clock.now() + timedelta(hours=3)) == 1
        assert MiniProgramSession.objects.count() == 0


def in_parallel(*works):
    answers = []

    def run(work):
        try:
            answers.append(work())
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.django_db(transaction=True)
def test_double_tap_binds_once(wechat):
    side = make_side("lanyu", "澜屿", "上海")
    person, caller = signed_in(wechat, side)
    token = caller._headers["authorization"]
    code = phone_code(wechat, person, side)

    answers = in_parallel(*[lambda: Caller(token).post("/me/phone/", {"code": code})] * 3)

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert caller.get("/me/").json()["phone"] == "139****9000"


@pytest.mark.django_db(transaction=True)
def test_two_sessions_with_one_phone_at_once_are_never_two_members(wechat):
    side = make_side("lanyu", "澜屿", "上海")
    one, first = signed_in(wechat, side, "13922213922")
    two, second = signed_in(wechat, side, "13922213922")
    codes = [phone_code(wechat, one, side), phone_code(wechat, two, side)]

    answers = in_parallel(
        lambda: first.post("/me/phone/", {"code": codes[0]}),
        lambda: second.post("/me/phone/", {"code": codes[1]}),
    )

    # Two WeChat users of one mini program are two people: the phone belongs to whoever came first.
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    with brand_scope(side.brand.pk):
        assert Member.objects.filter(phone_tail="3922").count() == 1


def test_clockwork_rings_for_brands_with_sessions_that_are_over(a, b, monkeypatch):
    from members import tasks

    with brand_scope(b.brand.pk):
        MiniProgramSession.objects.update(expires_at=clock.now())
    rung = []
    monkeypatch.setattr(tasks.purge_brand_sessions, "apply_async", lambda args, kwargs, **_: rung.append(args))

    with TestCase.captureOnCommitCallbacks(execute=True):
        tasks.purge_sessions()
    for (brand_id,) in rung:
        tasks.purge_brand_sessions(brand_id)

    assert rung == [(b.brand.pk,)]
    assert [a.me.get("/me/").status_code, b.me.get("/me/").status_code] == [200, 401]
    with brand_scope(b.brand.pk):
        assert MiniProgramSession.objects.count() == 0
