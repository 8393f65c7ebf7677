"""Joining by text message: within limits, spent once, one answer to whatever is wrong, consent with the phone."""

from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope
from common import clock
from common.secret import Secret
from guides.models import Joining
from guides.services import join_code
from members import services, sms
from members.errors import SmsSettingsInvalid
from members.models import Consent, Member, SmsCode, SmsSettings
from members.services import people
from tests.api.conftest import Caller, make_side
from tests.api.test_phone import in_parallel

CONSENT = {"text_version": "2026-11", "purposes": ["SERVICE"]}
PHONE = "13700137000"


@pytest.fixture
def sent(monkeypatch):
    """What left, as (phone, words, code): a provider that takes everything."""
    left = []

    class Provider:
        label, needs_address = "test", False

        def offered(self):
            return True

        def send(self, text, provider):
            left.append((text.phone.reveal(), text.words.reveal(), text.code.reveal()))

    monkeypatch.setattr(sms.ways, "get", lambda _key: Provider())
    return left


@pytest.fixture
def side(a, sent):
    with brand_scope(a.brand.pk):
        SmsSettings.objects.create(way="http", url="https://sms.example", signature="澜屿")
    return a


def test_a_kept_secret_goes_to_no_other_place_not_even_in_two_steps(a):
    def save(way, url, secret=""):
        return services.set_sms(
            way=way, url=url, secret=secret, signature="", template="", daily_limit=10, at=clock.now()
        )

    with brand_scope(a.brand.pk):
        save("http", "https://sms.example/send", "s3cret")
        assert save("http", "https://sms.example/other").secret.reveal() == "s3cret"
        for url in ("https://evil.example", "https://sms.example:8443/send", "http://sms.example/send"):
            with pytest.raises(SmsSettingsInvalid):
                save("http", url)
        for url in ("https://[x", "https://a:b/", "ftp://sms.example", ""):
            with pytest.raises(SmsSettingsInvalid):
                save("http", url, "s3cret")
        assert save("", "https://evil.example").secret is None
        with pytest.raises(SmsSettingsInvalid):
            save("http", "https://evil.example")


def visitor(side):
    with brand_scope(side.brand.pk):
        member = people.new_member(at=clock.now())
        _session, caller = side.session(member)
    return member, caller


def deliver(side):
    """What the worker does."""
    with brand_scope(side.brand.pk):
        waiting = list(SmsCode.objects.filter(state="WAITING").values_list("pk", flat=True))
    for pk in waiting:
        services.send_code(side.brand.pk, pk, at=clock.now())


def later(side, seconds=61):
    """Let a minute pass: what was asked for was asked for earlier."""
    with brand_scope(side.brand.pk):
        for row in SmsCode.objects.all():
            row.asked_at -= timedelta(seconds=seconds)
            row.save(update_fields=["asked_at"])


def code_of(answer):
    return answer.status_code, answer.json()["error"]["code"]


def test_phone_membership_and_consent_come_together_and_the_code_is_spent_once(side, sent):
    member, caller = visitor(side)
    assert caller.post("/me/phone/codes/", {"phone": PHONE}).status_code == 202
    deliver(side)
    ((phone, words, code),) = sent
    assert (phone, words.startswith(f"【澜屿】{code}")) == ("+8613700137000", True)

    body = {"phone": PHONE, "code": code, "consent": CONSENT}
    first, again = caller.post("/me/phone/sms/", body), caller.post("/me/phone/sms/", body)

    assert (first.status_code, first.json()["phone"]) == (200, "137****7000")
    assert first.json() == again.json()
    with brand_scope(side.brand.pk):
        kept = Member.objects.get(pk=member.pk)
        assert kept.joined_at is not None
        assert Consent.objects.filter(member=kept, purpose="SERVICE", granted=True).count() == 1
        row = SmsCode.objects.get()
        assert (row.member_id, row.message, row.state) == (kept.pk, None, "SENT")
    _other, stranger = visitor(side)
    assert code_of(stranger.post("/me/phone/sms/", body)) == (409, "sms_code_refused")


def test_a_second_tap_sends_nothing_more_and_another_caller_waits(side, sent):
    _member, caller = visitor(side)
    first, again = (caller.post("/me/phone/codes/", {"phone": PHONE}) for _ in range(2))
    assert first.json() == again.json()
    deliver(side)
    assert len(sent) == 1
    _other, stranger = visitor(side)
    refused = stranger.post("/me/phone/codes/", {"phone": PHONE})
    assert (code_of(refused), int(refused.headers["Retry-After"]) <= 61) == ((429, "throttled"), True)


def test_asking_tells_nothing_of_who_is_known(side):
    with brand_scope(side.brand.pk):
        before = services.bind_phone(
            member=people.new_member(at=clock.now()), number="13600136000", source="t", at=clock.now()
        )
    _member, caller = visitor(side)
    known, unknown = (caller.post("/me/phone/codes/", {"phone": phone}) for phone in ("13600136000", PHONE))
    assert before.phone_masked
    assert (known.status_code, sorted(known.json())) == (unknown.status_code, sorted(unknown.json()))


def wrong(code):
    return f"{(int(code) + 1) % 10**6:06d}"


def test_five_wrong_codes_end_it_and_every_refusal_reads_alike(side, sent):
    _member, caller = visitor(side)
    caller.post("/me/phone/codes/", {"phone": PHONE})
    deliver(side)
    code = sent[0][2]
    refusals = [caller.post("/me/phone/sms/", {"phone": PHONE, "code": wrong(code)}) for _ in range(5)]
    refusals.append(caller.post("/me/phone/sms/", {"phone": PHONE, "code": code}))
    refusals.append(caller.post("/me/phone/sms/", {"phone": "13700137001", "code": code}))
    later(side)
    with brand_scope(side.brand.pk):
        SmsCode.objects.update(tries=0, expires_at=clock.now())
    refusals.append(caller.post("/me/phone/sms/", {"phone": PHONE, "code": code}))
    assert {code_of(each) for each in refusals} == {(409, "sms_code_refused")}
    assert len({each.content for each in refusals}) == 1
    assert caller.get("/me/").json()["joined_at"] is None


def test_a_phone_gets_so_many_an_hour_a_brand_so_many_a_day_and_an_address_too(side):
    _member, caller = visitor(side)
    for _ in range(5):
        assert caller.post("/me/phone/codes/", {"phone": PHONE}).status_code == 202
        later(side)
    assert code_of(caller.post("/me/phone/codes/", {"phone": PHONE})) == (429, "throttled")
    with brand_scope(side.brand.pk):
        SmsSettings.objects.update(daily_limit=6)
    _other, stranger = visitor(side)
    assert stranger.post("/me/phone/codes/", {"phone": "13700137001"}).status_code == 202
    assert code_of(stranger.post("/me/phone/codes/", {"phone": "13700137002"})) == (429, "throttled")
    with brand_scope(side.brand.pk):
        SmsSettings.objects.update(daily_limit=1000)
        row = SmsCode.objects.order_by("-pk").first()
        SmsCode.objects.bulk_create(
            SmsCode(phone_index=row.public_id, asker="x", address=row.address, digest=row.digest, state="SENT",
                    asked_at=row.asked_at, expires_at=row.expires_at)
            for _ in range(30)
        )  # fmt: skip
    assert code_of(stranger.post("/me/phone/codes/", {"phone": "13700137003"})) == (429, "throttled")


def test_a_session_asks_for_five_phones_an_hour_and_a_till_for_more(side):
    _member, caller = visitor(side)
    phones = [f"1370013710{number}" for number in range(6)]
    heard = [caller.post("/me/phone/codes/", {"phone": phone}).status_code for phone in phones]
    assert heard == [202] * 5 + [429]
    later(side, 3601)
    assert caller.post("/me/phone/codes/", {"phone": phones[5]}).status_code == 202
    later(side)
    guide = side.guide.staff_no
    heard = [
        side.system.post("/counter/joins/codes/", {"phone": phone, "guide": guide}).status_code for phone in phones
    ]
    assert heard == [202] * 6


def test_without_a_way_nothing_is_sent_and_no_phone_is_none(a):
    _member, caller = visitor(a)
    assert code_of(caller.post("/me/phone/codes/", {"phone": PHONE})) == (409, "sms_off")
    for phone in ("12", "abc", "", "+", "1380013800x"):
        assert caller.post("/me/phone/codes/", {"phone": phone}).status_code == 422


def test_a_provider_that_refuses_opens_an_incident_and_the_phone_may_ask_again(side, sent, monkeypatch):
    from wechat_gateway.models import Incident

    class Refuses:
        def send(self, text, provider):
            raise sms.SmsFailed("HTTP 402")

    fine = sms.ways.get
    monkeypatch.setattr(sms.ways, "get", lambda _key: Refuses())
    _member, caller = visitor(side)
    caller.post("/me/phone/codes/", {"phone": PHONE})
    deliver(side)
    with brand_scope(side.brand.pk):
        assert SmsCode.objects.get().problem == "HTTP 402"
        assert Incident.objects.filter(kind="members.sms", closed_at=None).count() == 1
    monkeypatch.setattr(sms.ways, "get", fine)
    assert caller.post("/me/phone/codes/", {"phone": PHONE}).status_code == 202
    deliver(side)
    assert len(sent) == 1
    with brand_scope(side.brand.pk):
        assert not Incident.objects.filter(kind="members.sms", closed_at=None).exists()


def test_phone_and_code_are_nowhere_once_it_has_left(side, sent):
    _member, caller = visitor(side)
    caller.post("/me/phone/codes/", {"phone": PHONE})
    deliver(side)
    with brand_scope(side.brand.pk):
        kept = {key: str(value) for key, value in SmsCode.objects.values().get().items()}
    assert kept["message"] == "None"
    assert not [key for key, value in kept.items() if PHONE in value or value == sent[0][2]]


def counter(side, sent, phone=PHONE, **more):
    guide = side.guide.staff_no
    asked = side.system.post("/counter/joins/codes/", {"phone": phone, "guide": guide})
    assert asked.status_code == 202, asked.json()
    deliver(side)
    body = {"phone": phone, "guide": guide, "code": sent[-1][2], "name": "陈悦", "consent": CONSENT}
    return body | more


def test_a_guide_makes_somebody_a_member_with_consent_who_and_where(side, sent, b):
    body = counter(side, sent)
    first, again = side.system.post("/counter/joins/", body), side.system.post("/counter/joins/", body)

    assert (first.status_code, first.json()) == (201, again.json())
    assert (first.json()["is_new"], first.json()["guide"], first.json()["store"]["code"]) == (True, "LY0007", "S1")
    with brand_scope(side.brand.pk):
        member = Member.objects.get(member_no=first.json()["member_no"])
        assert (member.name, member.phone_masked, member.store) == ("陈悦", "137****7000", side.store)
        joined = Joining.objects.get(member=member)
        assert (joined.guide, joined.store, joined.way, joined.by) == (side.guide, side.store, "SMS", "shop system")
        consent = Consent.objects.get(member=member)
        assert (consent.channel, consent.source, consent.text_version) == ("STORE", "guide: LY0007 S1", "2026-11")
        assert member.assignments.get(until=None).guide == side.guide
    assert code_of(b.system.post("/counter/joins/", body)) == (409, "sms_code_refused")


def test_who_is_a_member_keeps_their_guide_and_how_they_joined(side, sent):
    from guides.models import Guide

    with brand_scope(side.brand.pk):
        other = Guide.objects.create(staff_no="LY9", name="别人", store=side.store, created_at=clock.now())
    body = counter(side, sent, phone="13800138000") | {"guide": other.staff_no}
    assert code_of(side.system.post("/counter/joins/", body)) == (409, "phone_taken")  # not heard of for a year
    with brand_scope(side.brand.pk):
        Member.objects.filter(pk=side.member.pk).update(last_interaction_at=clock.now())
    joined = side.system.post("/counter/joins/", body).json()
    assert (joined["member_no"], joined["is_new"]) == (side.member.member_no, False)
    with brand_scope(side.brand.pk):
        assert not Joining.objects.exists()
        assert side.member.assignments.get(until=None).guide == side.guide
        assert Member.objects.get(pk=side.member.pk).name == "澜屿会员"


def test_at_the_counter_a_wrong_code_a_guide_who_left_and_no_consent_are_refused(side, sent):
    body = counter(side, sent)
    assert code_of(side.system.post("/counter/joins/", body | {"code": wrong(body["code"])})) == (
        409,
        "sms_code_refused",
    )
    assert side.system.post("/counter/joins/", body | {"consent": CONSENT | {"purposes": []}}).status_code == 422
    unknown = side.system.post("/counter/joins/", body | {"consent": CONSENT | {"purposes": ["NOTHING"]}})
    assert code_of(unknown) == (422, "consent_text_invalid")
    assert side.system.post("/counter/joins/", body | {"guide": "LY404"}).status_code == 422
    assert side.key("counter.use").post("/counter/joins/", body).status_code == 403
    with brand_scope(side.brand.pk):
        assert (SmsCode.objects.get().tries, Joining.objects.count()) == (1, 0)
    assert side.system.post("/counter/joins/", body).status_code == 201


def test_a_scanned_join_code_names_the_guide_until_it_ends(side, sent):
    member, caller = visitor(side)
    shown = side.system.get("/counter/joins/shown/", guide="LY0007").json()
    assert 0 < shown["seconds_left"] <= 300
    with brand_scope(side.brand.pk):
        old = join_code(guide=side.guide, at=clock.now() - timedelta(minutes=6)).code
    caller.post("/me/phone/codes/", {"phone": PHONE})
    deliver(side)
    body = {"phone": PHONE, "code": sent[-1][2], "consent": CONSENT}
    for bad in (old, "1", "x" * 12, shown["code"][:-1] + "999999"):
        assert code_of(caller.post("/me/phone/sms/", body | {"join_code": bad})) == (409, "join_code_refused"), bad
    assert caller.post("/me/phone/sms/", body | {"join_code": shown["code"]}).status_code == 200
    with brand_scope(side.brand.pk):
        joined = Joining.objects.get()
        assert (joined.member_id, joined.guide, joined.way) == (member.pk, side.guide, "SCAN")
        assert Member.objects.get(pk=member.pk).assignments.get(until=None).guide == side.guide


def test_the_http_way_sends_json_with_the_secret_and_reads_nothing(monkeypatch, settings):
    asked = []
    monkeypatch.setattr(sms, "post", lambda url, body, headers: asked.append((url, body, headers)) or 202)
    text = sms.Text("k", Secret("+8613700137000"), Secret("048213"), Secret("【澜屿】048213"))
    sms.ByHttp().send(text, sms.Provider("https://sms.example/send", Secret("s3"), "澜屿", "T1"))
    ((url, body, headers),) = asked
    assert (url, body["phone"], body["template"], headers["Authorization"]) == (
        "https://sms.example/send", "+8613700137000", "T1", "Bearer s3",
    )  # fmt: skip
    monkeypatch.setattr(sms, "post", lambda *_args: 302)
    with pytest.raises(sms.SmsFailed, match="HTTP 302"):
        sms.ByHttp().send(text, sms.Provider("https://sms.example/send", None, "", ""))
    settings.IS_PRODUCTION = True
    for inside in (
        "http://sms.example/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.8/",
        "https://169.254.169.254/",
    ):
        assert not sms.is_public(inside), inside
    with pytest.raises(sms.SmsFailed, match="ADDRESS"):
        sms.ByHttp().send(text, sms.Provider("https://127.0.0.1/", None, "", ""))
    assert not sms.ToSimulator().offered()


def test_the_simulated_phone_rings(simulator, settings):
    settings.SIMULATOR_URL = simulator.url
    text = sms.Text("k", Secret("+8613700137999"), Secret("048213"), Secret("【澜屿】048213 是验证码"))
    sms.ToSimulator().send(text, sms.Provider("", None, "", ""))
    assert simulator.get("/_sim/texts?phone=%2B8613700137999")["texts"][0]["text"] == "【澜屿】048213 是验证码"


@pytest.mark.django_db(transaction=True)
def test_three_taps_at_once_join_once(sent):
    side = make_side("lanyu", "澜屿", "上海")
    with brand_scope(side.brand.pk):
        SmsSettings.objects.create(way="http", url="https://sms.example")
    _member, caller = visitor(side)
    caller.post("/me/phone/codes/", {"phone": PHONE})
    deliver(side)
    token, body = caller._headers["authorization"], {"phone": PHONE, "code": sent[0][2], "consent": CONSENT}

    answers = in_parallel(*[lambda: Caller(token).post("/me/phone/sms/", body)] * 3)

    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.content for answer in answers}) == 1
    with brand_scope(side.brand.pk):
        assert Consent.objects.count() == 1
