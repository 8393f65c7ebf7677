"""Signing in from a mini program: who WeChat says it is, once per code, and out again."""

import base64
import json
import threading
import time
from datetime import timedelta

import jwt
import pytest
from django.conf import settings
from django.db import connection

from accounts.models import Brand
from accounts.rest.authentication import issue_member_token
from accounts.tenancy import brand_scope
from common import clock
from members.models import Identity, IdentityKind, Member, MiniProgramSession
from members.services import link_unionid, record_contact, record_follow
from tests.api.conftest import Caller, make_person
from tests.factories import AT, make_mini_program
from wechat_gateway.models import MiniProgram

CODE_REFUSED = b'"code":"code_refused"'


def log_in(caller, program, code):
    return caller.post("/session/", {"appid": program.appid, "code": code})


def code_for(wechat, person, program):
    return wechat.act(person, "login", program.appid)["code"]


def test_log_in_gives_a_token_for_the_person_wechat_names(a, wechat, stranger):
    wechat.know(a.program)
    person = make_person(wechat)

    answer = log_in(stranger, a.program, code_for(wechat, person, a.program))

    assert (answer.status_code, answer.json()["expires_in"]) == (201, 7200)
    card = Caller(f"Bearer {answer.json()['token']}").get("/me/").json()
    assert card == answer.json()["member"]
    openid = wechat.get(f"/_sim/people/{person}")["accounts"][a.program.appid]["openid"]
    with brand_scope(a.brand.pk):
        edge = Identity.objects.select_related("member").get(kind=IdentityKind.OPENID, namespace=a.program.appid)
        assert (edge.value, edge.member.member_no) == (openid, card["member_no"])


def test_log_in_again_is_the_same_person(a, wechat, stranger):
    wechat.know(a.program)
    person = make_person(wechat)

    answers = [log_in(stranger, a.program, code_for(wechat, person, a.program)).json() for _ in range(2)]

    assert answers[0]["member"] == answers[1]["member"]
    assert answers[0]["token"] != answers[1]["token"]
    assert [Caller(f"Bearer {each['token']}").get("/me/").status_code for each in answers] == [200, 200]


def test_follower_with_the_same_unionid_is_the_same_member(a, wechat, stranger):
    wechat.know(a.program)
    person = make_person(wechat)
    unionid = wechat.get(f"/_sim/people/{person}")["unionids"]["subject"]
    with brand_scope(a.brand.pk):
        follower = record_contact(account_id=a.account.pk, appid=a.account.appid, openid="oFollower", at=AT)
        record_follow(follower=follower, at=AT)
        link_unionid(member=follower.member, subject="subject", unionid=unionid, source="test", at=AT)

    answer = log_in(stranger, a.program, code_for(wechat, person, a.program)).json()

    assert (answer["member"]["member_no"], answer["member"]["following"]) == (follower.member.member_no, True)


def test_code_works_once(a, wechat, stranger):
    wechat.know(a.program)
    code = code_for(wechat, make_person(wechat), a.program)
    assert log_in(stranger, a.program, code).status_code == 201

    answer = log_in(stranger, a.program, code)

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "code_refused")
    with brand_scope(a.brand.pk):
        assert MiniProgramSession.objects.exclude(member=a.member).count() == 1


def test_refused_codes_look_alike_whatever_the_reason(a, b, wechat, stranger):
    wechat.know(a.program)
    wechat.know(b.program)
    person = make_person(wechat)
    unknown = MiniProgram(appid="wx00000000000000ff")
    phone_code = wechat.act(person, "phone", a.program.appid)["code"]

    answers = [
        log_in(stranger, a.program, "0123456789"),
        log_in(stranger, a.program, ""),
        log_in(stranger, a.program, "x" * 1024),
        log_in(stranger, a.program, phone_code),
        log_in(stranger, b.program, code_for(wechat, person, a.program)),
        log_in(stranger, unknown, code_for(wechat, person, a.program)),
    ]

    assert [answer.status_code for answer in answers] == [401] * 6
    assert len({answer.content for answer in answers}) == 1
    assert CODE_REFUSED in answers[0].content


def test_code_of_six_minutes_ago_is_refused(a, wechat, stranger):
    wechat.know(a.program)
    code = code_for(wechat, make_person(wechat), a.program)
    wechat.post("/_sim/clock", advance=360)

    answer = log_in(stranger, a.program, code)

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "code_refused")


@pytest.mark.parametrize(
    ("errcode", "status", "code"),
    [
        (40226, 403, "person_blocked"),
        (45011, 429, "throttled"),
        (-1, 503, "wechat_away"),
        (40125, 503, "wechat_away"),
    ],
)
def test_refusals_of_wechat_become_the_right_status(a, wechat, stranger, errcode, status, code):
    wechat.know(a.program)
    wechat.fault(kind="errcode", errcode=errcode, path="/sns/jscode2session", appid=a.program.appid)

    answer = log_in(stranger, a.program, code_for(wechat, make_person(wechat), a.program))

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    waits = answer.headers.get("Retry-After")
    assert waits == {403: None, 429: "60", 503: "5"}[status]


@pytest.mark.parametrize("kind", ["html", "empty", "truncate", "json_array", "reset"])
def test_broken_answer_of_wechat_is_503_and_records_nobody(a, wechat, stranger, kind):
    wechat.know(a.program)
    wechat.fault(kind=kind, path="/sns/jscode2session", appid=a.program.appid)
    with brand_scope(a.brand.pk):
        before = Member.objects.count()

    answer = log_in(stranger, a.program, code_for(wechat, make_person(wechat), a.program))

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "wechat_away")
    with brand_scope(a.brand.pk):
        assert Member.objects.count() == before


def test_brand_with_a_made_up_secret_cannot_take_another_brands_log_ins(a, b, wechat, stranger):
    wechat.know(a.program)
    with brand_scope(b.brand.pk):
        make_mini_program(pk=-1, appid=a.program.appid, app_secret="0" * 32)
    assert a.program.pk > 0  # so the other brand's row is asked first

    answer = log_in(stranger, a.program, code_for(wechat, make_person(wechat), a.program))

    assert answer.status_code == 201
    with brand_scope(a.brand.pk):
        assert Member.objects.filter(member_no=answer.json()["member"]["member_no"]).count() == 1


def test_session_key_is_sealed_and_never_answered(a, wechat, stranger, caplog):
    wechat.know(a.program)
    answer = log_in(stranger, a.program, code_for(wechat, make_person(wechat), a.program))

    with brand_scope(a.brand.pk):
        session = MiniProgramSession.objects.exclude(member=a.member).get()
        key = session.session_key.reveal()
        with connection.cursor() as cursor:
            cursor.execute("SELECT session_key FROM members_miniprogramsession WHERE id = %s", [session.pk])
            stored = bytes(cursor.fetchone()[0])

    assert len(key) == 24
    assert key.encode() not in stored
    assert key not in answer.content.decode() + caplog.text
    assert session.expires_at - session.created_at == timedelta(minutes=120)


def test_what_the_client_says_about_itself_is_refused(a, wechat, stranger):
    wechat.know(a.program)
    code = code_for(wechat, make_person(wechat), a.program)
    body = {"appid": a.program.appid, "code": code}

    for field in ("openid", "unionid", "member_id", "brand_id", "brand", "session_key", "is_staff"):
        answer = stranger.post("/session/", body | {field: "1"})
        assert answer.status_code == 422
        assert [row["field"] for row in answer.json()["error"]["fields"]] == [field]

    assert stranger.post("/session/", body).status_code == 201


def test_sign_out_ends_the_session_and_erases_the_key(a):
    _session_id, other = a.session()

    assert a.me.delete("/session/").status_code == 204

    assert (a.me.get("/me/").status_code, other.get("/me/").status_code) == (401, 200)
    with brand_scope(a.brand.pk):
        assert MiniProgramSession.objects.filter(public_id=a.session_id).count() == 0
    assert a.me.delete("/session/").status_code == 401


def test_api_key_has_no_session_to_end(a):
    assert a.system.delete("/session/").status_code == 403


def test_session_ends_with_its_time_and_with_the_brand(a):
    _id, old = a.session(at=clock.now() - timedelta(minutes=121))
    assert old.get("/me/").status_code == 401

    Brand.objects.filter(pk=a.brand.pk).update(is_active=False)

    answers = [a.me.get("/me/"), a.system.get("/members/")]
    assert [answer.status_code for answer in answers] == [401, 401]


def test_bad_tokens_all_answer_the_same(a, b):
    with brand_scope(b.brand.pk):
        session_of_b = MiniProgramSession.objects.get(member=b.member).public_id
    crossed, _ = issue_member_token(brand_id=a.brand.pk, session_id=session_of_b)
    good = a.me._headers["authorization"]
    head, body, signature = good.removeprefix("Bearer ").split(".")
    callers = [
        Caller(),
        Caller("Bearer "),
        Caller("Bearer abc"),
        Caller(f"Bearer {head}.{body}."),
        Caller(f"Bearer {head}.{body}.{signature[::-1]}"),
        Caller(f"Bearer {crossed}"),
        Caller("Key zyabcdef12.nothing"),
        Caller(a.system._headers["authorization"] + "x"),
        Caller("Basic YTpi"),
    ]

    answers = [caller.get("/me/") for caller in callers]

    assert [answer.status_code for answer in answers] == [401] * len(callers)
    assert len({answer.content for answer in answers}) == 1
    assert Caller().get("/me/", token=good.removeprefix("Bearer ")).status_code == 401


def _signed(claims, *, header=None, key=None, algorithm="HS256"):
    return jwt.encode(claims, settings.SECRET_KEY if key is None else key, algorithm=algorithm, headers=header)


def _tokens(claims):
    return {
        "over": _signed(claims | {"exp": int(time.time()) - 1}),
        "without an end": _signed({name: value for name, value in claims.items() if name != "exp"}),
        "of another kind": _signed(claims | {"token_type": "refresh"}),
        "without a brand": _signed({name: value for name, value in claims.items() if name != "brand"}),
        "a brand that is no number": _signed(claims | {"brand": None}),
        "a session that is no text": _signed(claims | {"session": 7}),
        "a session that is no id": _signed(claims | {"session": "x" * 32}),
        "another key": _signed(claims, key="k" * 50),
        "not signed": _signed(claims, key="", algorithm="none"),
        "signed more strongly": _signed(claims, algorithm="HS512"),
        "longer than any": _signed(claims | {"more": "x" * 700}),
        "no claims": _part({"alg": "HS256", "typ": "JWT"}) + "." + _part([1]) + ".AAAA",
        "nested deeply": base64.urlsafe_b64encode(b"[" * 360).decode() + ".e30.AAAA",
        "not base64": "!!!.???.###",
        "four parts": "a.b.c.d",
        "letters beyond ASCII": _signed(claims)[:-1] + "\u00e9",
    }


def _part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_only_a_token_of_ours_unchanged_and_not_over_is_taken(a):
    good = a.me._headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(good, options={"verify_signature": False})
    assert Caller(f"Bearer {_signed(claims)}").get("/me/").status_code == 200

    answers = {name: Caller(f"Bearer {token}").get("/me/").status_code for name, token in _tokens(claims).items()}

    assert answers == dict.fromkeys(answers, 401)


def test_eleventh_session_ends_the_oldest(a):
    callers = [a.session()[1] for _ in range(10)]

    assert a.me.get("/me/").status_code == 401
    assert {caller.get("/me/").status_code for caller in callers} == {200}


@pytest.mark.django_db(transaction=True)
def test_parallel_log_ins_of_one_person_are_one_member(wechat):
    from tests.api.conftest import make_side

    side = make_side("lanyu", "澜屿", "上海")
    wechat.know(side.program)
    person = make_person(wechat)
    codes = [code_for(wechat, person, side.program) for _ in range(4)]
    answers = []

    def run(code):
        try:
            answers.append(log_in(Caller(), side.program, code))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(code,)) for code in codes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["member"]["member_no"] for answer in answers}) == 1
