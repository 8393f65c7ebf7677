"""Calls out: one token holder, one healing, quotas first, nothing endless, no secret in any sink."""

import logging
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from accounts.tenancy import brand_scope
from tests.wechat_gateway import forge
from tests.wechat_gateway.conftest import NOW, make_account
from tests.wechat_gateway.fake_wechat import FakeWeChat
from wechat_gateway import calls, client, downloads, quotas, selectors, services, tokens
from wechat_gateway.answers import Outcome
from wechat_gateway.client import TEMPLATE_SEND, custom_text, template_message
from wechat_gateway.errcodes import Reaction
from wechat_gateway.errors import CallsParked, Disconnected, WeChatRefused
from wechat_gateway.models import AccessToken, OfficialAccount, QuotaLimit

pytestmark = pytest.mark.django_db
INFO = "/cgi-bin/user/info"


@pytest.fixture
def wechat(settings):
    fake = FakeWeChat()
    settings.WECHAT_BASE_URL = fake.url
    yield fake
    fake.close()


def later(**duration):
    """A later moment, as another process would see it: nothing remembered."""
    tokens.forget_cached()
    return NOW + timedelta(**duration)


def fresh(account):
    with brand_scope(account.brand_id):
        return OfficialAccount.objects.get(pk=account.pk)


def stored_token(account):
    with brand_scope(account.brand_id):
        return AccessToken.objects.get(appid=account.appid)


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_token_is_fetched_once_and_used_by_every_call(account, wechat):
    wechat.answers[INFO] = lambda payload, token: {"openid": "o1", "subscribe": 1}
    answers = [calls.get_user(account, "o1", at=NOW), calls.get_user(account, "o2", at=later(seconds=30))]
    assert [answer.data["openid"] for answer in answers] == ["o1", "o1"]
    assert wechat.fetches == 1
    assert wechat.calls[0][1] == {
        "grant_type": "client_credential", "appid": forge.APPID, "secret": "a" * 32, "force_refresh": False,
    }  # fmt: skip


def refreshed_by(callers, account, at):
    """What each of many threads gets that find no token at the same time."""
    found, failed = [], []

    def call():
        try:
            found.append(tokens._refresh(account, at, stale_generation=None).secret.reveal())
        except Exception as error:  # the thread's failure is the test's
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    return found


def test_fifty_cold_callers_fetch_once(transactional_db, wechat):
    account = make_account()
    wechat.token_delay = 0.3
    assert refreshed_by(50, account, NOW) == ["token-1"] * 50
    assert wechat.fetches == 1
    assert stored_token(account).generation == 1


def test_fifty_callers_of_an_expired_token_fetch_once(transactional_db, wechat):
    account = make_account()
    assert calls.get_user(account, "o", at=NOW).ok
    wechat.token_number, wechat.token_delay = 2, 0.3
    assert refreshed_by(50, account, later(hours=3)) == ["token-2"] * 50
    assert wechat.fetches == 2
    assert stored_token(account).generation == 2


def test_expired_token_is_replaced(account, wechat):
    calls.get_user(account, "o", at=NOW)
    wechat.token_number = 2
    assert calls.get_user(account, "o", at=later(hours=3)).ok
    assert (wechat.fetches, stored_token(account).generation) == (2, 2)


def test_token_near_its_end_is_used_while_a_task_fetches_the_next(account, wechat, monkeypatch):
    rung = []
    monkeypatch.setattr("accounts.tasks_base.ring", lambda task, *args: rung.append((task.name, *args)))
    calls.get_user(account, "o", at=NOW)
    assert calls.get_user(account, "o", at=later(minutes=100)).ok
    assert wechat.fetches == 1
    assert rung == [("wechat_gateway.tasks.refresh_token", account.brand_id, account.appid)]
    assert services.refresh_token(brand_id=account.brand_id, appid=account.appid, at=later(minutes=101))
    assert wechat.fetches == 2
    assert services.refresh_token(brand_id=account.brand_id, appid=account.appid, at=later(minutes=102))
    assert wechat.fetches == 2


def test_failed_early_refresh_leaves_the_present_token(account, wechat):
    calls.get_user(account, "o", at=NOW)
    wechat.token_answer = {"errcode": -1}
    assert services.refresh_token(brand_id=account.brand_id, appid=account.appid, at=later(minutes=100))
    wechat.token_answer = None
    assert fresh(account).parked_until is None
    assert calls.get_user(account, "o", at=later(minutes=101)).ok


def test_refused_token_is_replaced_once_and_the_call_made_again(account, wechat):
    calls.get_user(account, "o", at=NOW)
    wechat.token_number = 2  # WeChat has given the account another token since
    assert calls.get_user(account, "o", at=later(seconds=10)).ok
    assert (wechat.fetches, wechat.count(INFO)) == (2, 3)


def test_token_that_wechat_hands_out_and_refuses_is_forced_anew(account, wechat):
    wechat.valid = {"token-2"}
    assert calls.get_user(account, "o", at=NOW).ok
    assert [call[1]["force_refresh"] for call in wechat.calls if "stable_token" in call[0]] == [False, False, True]
    assert stored_token(account).forced_count == 1


def test_refusal_of_an_older_token_only_means_read_again(account, wechat):
    tokens.current(account, at=NOW)
    wechat.token_number = 2
    newer = tokens.refused(account, 1, at=NOW)
    assert newer.generation == 2
    assert tokens.refused(account, 1, at=NOW) == newer
    assert wechat.fetches == 2


def test_lasting_refusal_costs_a_bounded_number_of_calls(account, wechat):
    wechat.valid = set()
    outcomes = []
    for second in range(0, 600, 5):
        answer = calls.get_user(account, "o", at=later(seconds=second))
        outcomes.append((answer.outcome, answer.reaction))
    assert set(outcomes) == {(Outcome.NOT_SENT, Reaction.PARK_BRAND)}
    # The first refusal: two calls, three fetches. Then a fetch a minute, a call to notice it, and a try in between.
    assert (wechat.count(INFO), wechat.fetches) == (2 + 9 + 10, 3 + 9)
    wechat.valid = None
    assert calls.get_user(account, "o", at=later(seconds=660)).ok
    assert fresh(account).parked_until is None


@pytest.mark.parametrize("repaired", [1, 20, 44, 46, 59, 61, 100])
def test_calls_go_on_within_a_minute_of_a_repair_that_only_wechat_knows_of(account, wechat, repaired):
    wechat.valid = set()
    went_on = None
    for second in range(0, 200, 5):  # as the sweeper comes
        if second >= repaired:
            wechat.valid = None
        if calls.get_user(account, "o", at=later(seconds=second)).ok:
            went_on = second
            break
    assert went_on is not None
    assert went_on - repaired <= 50


def test_a_repair_by_people_lets_the_token_be_replaced_at_once(account, wechat):
    wechat.valid = set()
    assert not calls.get_user(account, "o", at=NOW).ok
    wechat.token_number, wechat.valid = 9, {"token-9"}
    assert not calls.get_user(account, "o", at=later(seconds=1)).ok
    tokens.repaired(account)
    assert calls.get_user(account, "o", at=later(seconds=2)).ok
    assert stored_token(account).token.reveal() == "token-9"


def test_lasting_refusal_of_one_brand_does_not_touch_another(account, wechat):
    other = make_account(appid="wxaaaaaaaaaaaaaaaa")
    wechat.valid = set()
    calls.get_user(account, "o", at=NOW)
    wechat.valid = None
    assert calls.get_user(other, "o", at=NOW).ok
    assert not calls.get_user(account, "o", at=later(seconds=5)).ok


@pytest.mark.parametrize(
    ("answer", "code", "minutes"),
    [
        ({"errcode": 40125, "errmsg": "x"}, 40125, 60),
        ({"errcode": 40001, "errmsg": "x"}, 40001, 60),
        ({"errcode": 40164, "errmsg": "invalid ip 203.0.113.9 rid: 1"}, 40164, 5),
        ({"errcode": -1}, -1, 1 / 12),
        ({"access_token": "", "expires_in": 7200}, None, 1 / 12),
        ({"access_token": "a\nb", "expires_in": 7200}, None, 1 / 12),
        ({"access_token": "a" * 2048, "expires_in": 7200}, None, 1 / 12),
        ({"access_token": "abc"}, None, 1 / 12),
        ({"access_token": "abc", "expires_in": 0}, None, 1 / 12),
        ({"access_token": "abc", "expires_in": "7200"}, None, 1 / 12),
    ],
)
def test_token_that_cannot_be_had_parks_the_app_with_a_reason(account, wechat, answer, code, minutes):
    wechat.token_answer = answer
    with pytest.raises(CallsParked) as caught:
        tokens.current(account, at=NOW)
    assert (caught.value.wechat_code, caught.value.until) == (code, NOW + timedelta(minutes=minutes))
    with pytest.raises(CallsParked):
        tokens.current(account, at=NOW + timedelta(seconds=1))
    assert wechat.fetches == 1
    assert (fresh(account).parked_code, fresh(account).parked_until) == (code, caught.value.until)


def test_reason_for_parking_names_the_address_to_allow(account, wechat):
    wechat.token_answer = {"errcode": 40164, "errmsg": "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9 rid: 66"}
    calls.get_user(account, "o", at=NOW)
    assert "203.0.113.9" in fresh(account).parked_reason
    assert selectors.parked_explanation(fresh(account), at=NOW).code == 40164


@pytest.mark.parametrize(("told", "kept"), [(10**9, 7200), (7200, 7200), (1, 60)])
def test_life_of_a_token_is_kept_within_reason(account, wechat, told, kept):
    wechat.token_answer = {"access_token": "abc", "expires_in": told}
    assert tokens.current(account, at=NOW).expires_at == NOW + timedelta(seconds=kept)


def test_new_secret_lets_calls_go_on(account, wechat):
    wechat.token_answer = {"errcode": 40125}
    assert not calls.get_user(account, "o", at=NOW).ok
    wechat.token_answer = None
    with brand_scope(account.brand_id):
        services.change_app_secret(account=fresh(account), app_secret="b" * 32)
    assert calls.get_user(fresh(account), "o", at=later(seconds=1)).ok


# -- batches ----------------------------------------------------------------------------------------------------------


def messages(count):
    return [
        template_message(openid=f"o{n}", template_id="t", data={"thing1": "会员"}, client_msg_id=f"c-{n}")
        for n in range(count)
    ]


def send(account, count, **how):
    return dict(client.send_many(account, messages(count), **{"concurrency": 10, "at": NOW, **how}))


def accepted(payload, token):
    return {"errcode": 0, "errmsg": "ok", "msgid": 10_000 + int(payload["touser"][1:])}


def test_batch_gives_each_message_its_own_answer(account, wechat):
    wechat.answers[TEMPLATE_SEND] = accepted
    answers = send(account, 30)
    assert {index: answer.msgid for index, answer in answers.items()} == {n: str(10_000 + n) for n in range(30)}
    assert wechat.calls[1][1] == {
        "touser": "o0", "template_id": "t", "data": {"thing1": {"value": "会员"}}, "client_msg_id": "c-0",
    }  # fmt: skip


def test_refused_token_in_a_batch_is_healed_once(account, wechat):
    wechat.answers[TEMPLATE_SEND] = accepted
    send(account, 5)
    wechat.token_number = 2
    answers = send(account, 30)
    assert [answer.outcome for answer in answers.values()] == [Outcome.ACCEPTED] * 30
    assert wechat.fetches == 2


def test_lasting_refusal_wastes_hardly_a_call_of_a_batch(account, wechat):
    wechat.valid = set()
    answers = send(account, 50)
    assert {(a.outcome, a.reaction) for a in answers.values()} == {(Outcome.NOT_SENT, Reaction.PARK_BRAND)}
    assert len(answers) == 50
    assert wechat.count(TEMPLATE_SEND) <= 3


def test_used_up_quota_stops_the_batch_and_the_next_one(account, wechat):
    sent = []

    def quota(payload, token):
        sent.append(payload["touser"])
        return {"errcode": 45009} if len(sent) > 5 else accepted(payload, token)

    wechat.answers[TEMPLATE_SEND] = quota
    answers = send(account, 50, concurrency=1)
    assert sum(answer.ok for answer in answers.values()) == 5
    assert {a.reaction for a in answers.values() if not a.ok} == {Reaction.PARK_UNTIL_RESET}
    assert len(sent) == 6
    assert {a.cause for a in send(account, 10).values()} == {"QUOTA"}
    assert len(sent) == 6
    with brand_scope(account.brand_id):
        state = selectors.quota_of(account, TEMPLATE_SEND, at=NOW)
    assert (state.left, state.blocked_until, state.used) == (0, quotas.next_reset(NOW), 6)


def test_every_call_is_counted_and_stops_before_wechat_refuses(account, wechat):
    with brand_scope(account.brand_id):
        QuotaLimit.objects.update_or_create(api="/cgi-bin/tags/get", window="DAY", defaults={"limit": 2})
    quotas.forget_limits()

    answers = [calls.list_tags(account, at=NOW) for _ in range(4)]

    assert [answer.ok for answer in answers] == [True, True, False, False]
    left = int((quotas.next_reset(NOW) - NOW).total_seconds())
    refused = answers[-1]
    assert (refused.outcome, refused.reaction, refused.cause) == (
        Outcome.NOT_SENT, Reaction.PARK_UNTIL_RESET, "QUOTA",
    )  # fmt: skip
    assert refused.retry_after == left
    with translation.override("en"), pytest.raises(WeChatRefused, match="used up"):
        refused.require()
    assert wechat.count("/cgi-bin/tags/get") == 2
    with brand_scope(account.brand_id):
        shown = {state.api: (state.used, state.left) for state in selectors.quota_state(account, at=NOW)}
    assert shown == {"/cgi-bin/tags/get": (2, 0)}
    assert calls.list_tags(account, at=quotas.next_reset(NOW)).ok
    quotas.forget_limits()


def test_a_disconnected_app_makes_no_call_and_says_why(account, wechat):
    wechat.answers[TEMPLATE_SEND] = accepted
    assert calls.list_tags(account, at=NOW).ok
    assert all(answer.ok for answer in send(account, 2).values())
    known = len(wechat.calls)
    with brand_scope(account.brand_id):
        services.set_active(account=account, is_active=False)

    # With the token still in memory, and without.
    for at in (NOW, later(hours=3)):
        answer = calls.list_tags(account, at=at)
        assert (answer.outcome, answer.reaction, answer.cause) == (
            Outcome.NOT_SENT, Reaction.PARK_BRAND, "DISCONNECTED",
        )  # fmt: skip
        with translation.override("en"), pytest.raises(WeChatRefused, match="disconnected") as refused:
            answer.require()
        assert "Connect it again" in refused.value.hint
        assert {a.cause for a in send(account, 2, at=at).values()} == {"DISCONNECTED"}
        assert downloads.download_media(account, "m", at=at).cause == "DISCONNECTED"
    with pytest.raises(Disconnected):
        tokens.current(account, at=later(hours=3))
    assert len(wechat.calls) == known

    with brand_scope(account.brand_id):
        services.set_active(account=account, is_active=True)
    assert all(answer.ok for answer in send(account, 2).values())


def test_one_quota_of_a_call_costs_one_short_statement(account, wechat, django_assert_max_num_queries):
    calls.list_tags(account, at=NOW)
    with CaptureQueriesContext(connection) as caught:
        calls.list_tags(account, at=NOW)
    said = [each["sql"] for each in caught if "quotause" in each["sql"]]
    assert len(said) == 1
    assert len(caught) <= 6


def test_wechats_word_about_a_call_blocks_it_until_its_own_count_says_otherwise(account, wechat):
    path = "/cgi-bin/user/info"
    wechat.answers[path] = lambda payload, token: {"errcode": 45009}
    assert calls.get_user(account, "o", at=NOW).code == 45009
    wechat.answers[path] = lambda payload, token: {"openid": "o"}
    assert calls.get_user(account, "o", at=NOW).cause == "QUOTA"
    assert wechat.count(path) == 1

    wechat.answers["/cgi-bin/openapi/quota/get"] = lambda payload, token: {
        "errcode": 0, "quota": {"daily_limit": 100, "used": 1, "remain": 99},
    }  # fmt: skip
    with brand_scope(account.brand_id):
        services.start_checks(app=account, at=NOW)
    services.run_checks(brand_id=account.brand_id, appid=account.appid, at=NOW)
    assert calls.get_user(account, "o", at=NOW).ok


def test_a_minute_that_is_used_up_waits_for_the_next_one(account, wechat):
    with brand_scope(account.brand_id):
        QuotaLimit.objects.create(api="/cgi-bin/tags/get", window="MINUTE", limit=1, valid_from=NOW.date())
    quotas.forget_limits()
    assert calls.list_tags(account, at=NOW).ok
    refused = calls.list_tags(account, at=NOW)
    assert (refused.reaction, refused.cause) == (Reaction.PAUSE_MINUTE, "QUOTA")
    assert 0 < refused.retry_after <= 60
    assert calls.list_tags(account, at=NOW + timedelta(minutes=1)).ok
    quotas.forget_limits()


def test_too_many_in_a_minute_pauses_the_rest(account, wechat):
    wechat.answers[TEMPLATE_SEND] = lambda payload, token: {"errcode": 45011}
    answers = send(account, 20, concurrency=1)
    assert {(a.outcome, a.reaction) for a in answers.values()} == {(Outcome.NOT_SENT, Reaction.PAUSE_MINUTE)}
    assert wechat.count(TEMPLATE_SEND) == 1


def stream(account, portions, **how):
    found = list(client.send_stream(account, portions, **{"concurrency": 1, **how}))
    assert len(found) == len(dict(found))
    return dict(found)


def portion(calls, starts_until=60.0):
    now = time.monotonic()
    return client.Portion(calls, NOW, now + starts_until, now + 60)


def portions_of(count, asked, size=10):
    for number in range(count):
        asked.append(number)
        calls = messages(size * (number + 1))[size * number :]
        yield portion(calls)


def test_stream_numbers_calls_across_its_portions(account, wechat):
    wechat.answers[TEMPLATE_SEND] = accepted
    answers = stream(account, portions_of(3, []), concurrency=4)
    assert {number: answer.msgid for number, answer in answers.items()} == {n: str(10_000 + n) for n in range(30)}


def test_next_portion_is_asked_for_while_calls_are_under_way(account, wechat):
    wechat.answers[TEMPLATE_SEND] = accepted
    send(account, 1)  # the token is known to work
    second = threading.Event()
    wechat.answers[TEMPLATE_SEND] = lambda payload, token: accepted(payload, token) if second.wait(60) else {}

    def portions():
        yield portion(messages(16))
        second.set()

    assert all(answer.ok for answer in stream(account, portions(), concurrency=16).values())


def test_stream_asks_for_nothing_more_once_nothing_can_succeed(account, wechat):
    wechat.answers[TEMPLATE_SEND] = lambda payload, token: {"errcode": 45009}
    asked = []
    answers = stream(account, portions_of(3, asked))
    assert (asked, sorted(answers)) == ([0], list(range(10)))


def test_stream_sends_what_quota_allows_and_asks_for_nothing_more(account, wechat):
    QuotaLimit.objects.create(api=TEMPLATE_SEND, window="DAY", limit=12, valid_from=NOW.date())
    wechat.answers[TEMPLATE_SEND] = accepted
    asked = []
    answers = stream(account, portions_of(3, asked))
    assert (asked, sorted(answers)) == ([0, 1], list(range(20)))
    assert sum(answer.ok for answer in answers.values()) == wechat.count(TEMPLATE_SEND) == 12
    assert {answer.cause for answer in answers.values() if not answer.ok} == {"QUOTA"}


def test_portion_whose_time_has_passed_does_not_leave(account, wechat):
    answers = stream(account, [portion(messages(3), starts_until=-1)])
    assert {(answer.outcome, answer.cause) for answer in answers.values()} == {(Outcome.NOT_SENT, "DEADLINE")}
    assert wechat.count(TEMPLATE_SEND) == 0


def test_quota_is_taken_for_the_batch_and_never_exceeded(account, wechat):
    QuotaLimit.objects.create(api=TEMPLATE_SEND, window="DAY", limit=12, valid_from=NOW.date())
    wechat.answers[TEMPLATE_SEND] = accepted
    assert sum(answer.ok for answer in send(account, 10).values()) == 10
    second = send(account, 10)
    assert sum(answer.ok for answer in second.values()) == 2
    assert {a.reaction for a in second.values() if not a.ok} == {Reaction.PARK_UNTIL_RESET}
    assert wechat.count(TEMPLATE_SEND) == 12
    assert sum(answer.ok for answer in send(account, 10, at=later(days=1)).values()) == 10


def test_share_of_the_quota_is_left_for_others(account, wechat):
    QuotaLimit.objects.create(api=TEMPLATE_SEND, window="DAY", limit=10, valid_from=NOW.date())
    wechat.answers[TEMPLATE_SEND] = accepted
    assert sum(answer.ok for answer in send(account, 10, share=0.8).values()) == 8
    assert sum(answer.ok for answer in send(account, 10).values()) == 2


def test_wrong_secret_found_in_a_batch_stops_it(account, wechat):
    wechat.answers[TEMPLATE_SEND] = lambda payload, token: {"errcode": 40164, "errmsg": "invalid ip 1.2.3.4"}
    answers = send(account, 20, concurrency=1)
    assert {(a.outcome, a.reaction, a.code) for a in answers.values()} == {
        (Outcome.NOT_SENT, Reaction.PARK_BRAND, 40164),
    }
    assert wechat.count(TEMPLATE_SEND) == 1
    assert fresh(account).parked_code == 40164


def test_batch_deadline_hands_back_the_rest(account, wechat):
    wechat.answers[TEMPLATE_SEND] = accepted
    send(account, 1)
    answers = send(account, 10, deadline=0.0)
    assert {(a.outcome, a.cause) for a in answers.values()} == {(Outcome.NOT_SENT, "DEADLINE")}


def test_text_goes_out_unescaped(account, wechat):
    seen = []
    wechat.answers["/cgi-bin/message/custom/send"] = lambda payload, token: seen.append(payload) or {"errcode": 0}
    (answer,) = dict(
        client.send_many(account, [custom_text(openid="o1", text="你好 👍", kf_account="kf@x")], concurrency=1, at=NOW),
    ).values()
    assert answer.ok
    assert seen == [
        {"touser": "o1", "msgtype": "text", "text": {"content": "你好 👍"}, "customservice": {"kf_account": "kf@x"}},
    ]


def test_batch_costs_a_constant_number_of_queries(account, wechat, django_assert_num_queries):
    wechat.answers[TEMPLATE_SEND] = accepted
    send(account, 1)
    with django_assert_num_queries(3):
        send(account, 2)
    with django_assert_num_queries(3):
        send(account, 60)


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_no_secret_reaches_logs_answers_or_errors(account, wechat, caplog, settings):
    caplog.set_level(logging.DEBUG)
    wechat.token_answer = {"errcode": 40125, "errmsg": "invalid appsecret"}
    printed = [repr(calls.get_user(account, "o", at=NOW))]
    wechat.token_answer = None
    tokens.repaired(account)
    printed.append(repr(calls.get_user(account, "o", at=later(seconds=1))))
    settings.WECHAT_BASE_URL = "http://127.0.0.1:9"
    printed.append(repr(calls.get_user(account, "o", at=NOW)))
    printed.append(repr(tokens.current(account, at=NOW)))
    sink = " ".join([*printed, caplog.text, *(str(record.__dict__) for record in caplog.records)])
    assert "parked" in caplog.text
    assert "a" * 32 not in sink
    assert "token-1" not in sink
