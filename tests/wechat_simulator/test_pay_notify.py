"""Notifications of WeChat Pay: the schedule, the seal, and every fault by name (pay reference 3.3, 3.5, 3.8, 5.2)."""

import json
import threading
from pathlib import Path

import pytest
import requests
from cryptography.exceptions import InvalidTag

from tests.wechat_simulator.conftest import APPID, MINI, wait_until
from tests.wechat_simulator.pay import MCHID, Forged, Shop
from wechat_simulator.pay import kinds, notify
from wechat_simulator.pay.notify import SCHEDULE

REFUSED = 500, b'{"code":"FAIL","message":"no"}'


class Till:
    """A shop's notification address that checks what it is given: 204 for what is right, 500 for the rest."""

    def __init__(self, shop, callback):
        self.shop, self.callback = shop, callback
        self.opened = []
        self.refused = []
        self.lock = threading.Lock()
        callback.reply = self.take

    def take(self, request):
        try:
            plain = self.shop.open(request)
        except (Forged, InvalidTag, KeyError, TypeError, ValueError, AssertionError) as error:
            with self.lock:
                self.refused.append(f"{type(error).__name__}: {error}")
            return REFUSED
        with self.lock:
            self.opened.append(plain)
        return 204, b""


@pytest.fixture
def shop(simulator, callback):
    simulator.control("/clock", {"set": "2025-06-01T08:00", "rate": 0})
    shop = Shop(simulator)
    shop.notify_url = callback.url
    return shop


@pytest.fixture
def till(shop, callback):
    return Till(shop, callback)


def test_a_payment_is_told_sealed_and_signed(shop, till, callback):
    done = shop.paid(attach="x")
    (plain,) = till.opened
    assert plain == done_fields(shop)
    envelope = json.loads(callback.requests[0]["body"])
    assert list(envelope) == ["id", "create_time", "resource_type", "event_type", "summary", "resource"]
    assert (envelope["event_type"], envelope["resource_type"]) == ("TRANSACTION.SUCCESS", "encrypt-resource")
    assert envelope["resource"]["associated_data"] == envelope["resource"]["original_type"] == "transaction"
    assert len(envelope["resource"]["nonce"]) == 12
    (note,) = shop.notes(key=done["out_trade_no"])
    assert (note["outcome"], note["tries"][0]["status"]) == ("acknowledged", 204)
    assert "sealed_with" not in note


def done_fields(shop):
    return shop.query()[1]


def test_a_refund_is_told_with_refund_status(shop, till):
    shop.paid()
    shop.refund(refund=40, notify_url=shop.notify_url)
    assert len(till.opened) == 1
    shop.advance(60)
    plain = till.opened[1]
    assert (plain["refund_status"], plain["out_refund_no"]) == ("SUCCESS", "R1")
    assert "status" not in plain
    assert plain["amount"] == {"total": 100, "refund": 40, "payer_total": 100, "payer_refund": 40}
    (note,) = shop.notes(key="R1")
    assert (note["event_type"], note["associated"]) == ("REFUND.SUCCESS", "refund")


def test_without_an_address_a_refund_is_not_told(shop, till):
    shop.paid()
    shop.refund()
    shop.advance(60)
    assert len(till.opened) == 1
    assert shop.notes(key="R1")[0]["outcome"] == "no_url"


@pytest.mark.parametrize("status", ["ABNORMAL", "CLOSED"])
def test_a_refund_may_end_otherwise(shop, till, status):
    shop.paid()
    shop.fault("pay_refund_status", status=status)
    shop.refund(notify_url=shop.notify_url)
    shop.advance(60)
    assert till.opened[1]["refund_status"] == status
    assert shop.notes(key="R1")[0]["event_type"] == f"REFUND.{status}"


# --- the schedule (3.8) -----------------------------------------------------------------------------------------------


def test_the_schedule_has_fifteen_tries_in_24_hours_and_4_minutes(shop, callback):
    callback.reply = lambda _request: REFUSED
    shop.paid()
    due = [sum(SCHEDULE[:number]) for number in range(16)]
    assert due[-1] == 24 * 3600 + 4 * 60
    for number in range(1, 16):
        shop.advance(due[number] - due[number - 1] - 1)
        assert len(callback.requests) == number
        shop.advance(1)
        assert len(callback.requests) == number + 1
    (note,) = shop.notes()
    assert note["outcome"] == "failed"
    shop.advance(30 * 86400)
    assert len(callback.requests) == 16
    assert shop.query()[1]["trade_state"] == "SUCCESS"


def test_a_jump_of_the_clock_catches_up(shop, callback):
    callback.reply = lambda _request: REFUSED
    shop.paid()
    shop.advance(25 * 3600)
    wait_until(lambda: shop.notes()[0]["outcome"] == "failed")
    assert len(callback.requests) == 16


@pytest.mark.parametrize(("status", "enough"), [(200, True), (204, True), (201, False), (301, False), (404, False)])
def test_only_200_and_204_end_it(shop, callback, status, enough):
    callback.reply = lambda _request: (status, b'{"code":"FAIL"}' if status == 200 else b"")
    shop.paid()
    shop.advance(15)
    assert len(callback.requests) == (1 if enough else 2)


def test_each_try_is_signed_anew_and_sealed_once(shop, till, callback):
    answers = iter([REFUSED, (204, b"")])
    callback.reply = lambda request: (shop.open(request), next(answers))[1]
    shop.paid()
    shop.simulator.control("/world", {"merchants": [{"mchid": MCHID, "api_v3_key": "n" * 32}]})
    shop.advance(15)
    first, second = callback.requests
    assert first["body"] == second["body"]  # still under the key of the moment it was made
    assert first["headers"]["Wechatpay-Nonce"] != second["headers"]["Wechatpay-Nonce"]
    stamps = [int(row["headers"]["Wechatpay-Timestamp"]) for row in callback.requests]
    assert stamps[1] - stamps[0] == 15


def test_an_answer_after_the_limit_is_none(shop, callback):
    shop.simulator.switch(push_timeout_seconds=0.2)
    gate = threading.Event()
    callback.reply = lambda _request: (gate.wait(20), (204, b""))[1]
    shop.paid()
    assert shop.notes()[0]["tries"][0]["outcome"] == "timeout"
    gate.set()
    shop.advance(15)
    assert shop.notes()[0]["outcome"] == "acknowledged"


def test_an_address_that_is_not_here_is_never_called(shop):
    shop.notify_url = "https://pay.example.com/notify"
    shop.paid()
    assert shop.notes()[0]["tries"][0]["outcome"] == "callback is not http on loopback"


def test_what_waits_survives_a_restart(simulator, shop, callback, tmp_path):
    callback.reply = lambda _request: REFUSED
    shop.paid()
    simulator.sim.save(tmp_path)
    simulator.sim.pay.notifications.log.clear()
    assert simulator.sim.restore(tmp_path)
    Till(shop, callback)
    shop.advance(15)
    assert shop.notes()[0]["outcome"] == "acknowledged"


def test_an_older_one_that_waits_survives_a_restart(simulator, shop, till, tmp_path, monkeypatch):
    monkeypatch.setattr(notify, "KEPT_ENDED", 1)
    till.callback.reply = lambda _request: REFUSED
    shop.paid()
    Till(shop, till.callback)
    for number in ("T20260101000002", "T20260101000003"):
        shop.paid(number)
    simulator.sim.save(tmp_path)
    assert simulator.sim.restore(tmp_path)
    assert [row["outcome"] for row in shop.notes()] == ["waiting", "acknowledged"]
    shop.advance(15)
    assert [row["outcome"] for row in shop.notes()] == ["acknowledged"] * 2


def test_a_try_that_a_shutdown_cut_off_is_made_again(simulator, shop, callback, tmp_path):
    gate = threading.Event()
    callback.reply = lambda _request: (gate.wait(20), REFUSED)[1]
    paying = threading.Thread(target=shop.paid)
    paying.start()
    wait_until(lambda: callback.requests)
    simulator.sim.save(tmp_path)  # while it waits for the answer: the file knows of no timer
    gate.set()
    paying.join()
    simulator.settle()
    assert simulator.sim.restore(tmp_path)
    Till(shop, callback)
    shop.advance(1)
    assert shop.notes()[0]["outcome"] == "acknowledged"


def test_the_same_notification_again_and_many_at_once(simulator, shop, till, callback):
    shop.paid()
    shop.advance(86400)
    number = shop.notes()[0]["n"]
    assert simulator.control(f"/pay/notifications/{number}/replay", {"copies": 20})["answers"] == [204] * 20
    assert len(till.opened) == 21
    assert len({json.loads(row["body"])["id"] for row in callback.requests}) == 1
    answer = simulator.http.post(simulator.url + "/_sim/pay/notifications/999/replay", timeout=30)
    assert answer.status_code == 404


# --- faults by name ---------------------------------------------------------------------------------------------------


def fault_hits(shop):
    return [row["hits"] for row in shop.simulator.look("/faults")["faults"]]


def test_late(shop, till):
    shop.fault("pay_late", seconds=3600, count=1)
    done = shop.pay_now()
    assert (done["paid"], done["notification"]["late"]) == (True, True)
    assert shop.query()[1]["trade_state"] == "SUCCESS"
    shop.advance(3599)
    assert till.opened == []
    shop.advance(1)
    assert len(till.opened) == 1


def test_a_refund_may_be_told_before_its_payment(shop, till):
    shop.fault("pay_late", seconds=3600, event="TRANSACTION")
    shop.pay_now()
    shop.refund(notify_url=shop.notify_url)
    shop.advance(60)
    shop.advance(3600)
    assert [("refund_status" in plain) for plain in till.opened] == [True, False]


@pytest.mark.parametrize("concurrent", [False, True])
def test_duplicate(shop, till, concurrent):
    shop.fault("pay_duplicate", copies=5, concurrent=concurrent, count=1)
    shop.pay_now()
    shop.simulator.settle()
    assert len(till.opened) == 6
    assert all(plain == till.opened[0] for plain in till.opened)


def test_duplicate_with_other_contents_under_the_same_id(shop, till, callback):
    shop.fault("pay_duplicate", set={"amount": {"total": 1}}, count=1)
    shop.pay_now()
    shop.simulator.settle()
    assert [plain["amount"]["total"] for plain in till.opened] == [100, 1]
    assert len({json.loads(row["body"])["id"] for row in callback.requests}) == 1


@pytest.mark.parametrize("how", kinds.FORGERIES)
def test_forged_is_refused_and_the_real_one_follows(simulator, shop, till, how):
    if how == "old_certificate":
        simulator.control("/pay/rotate")
        shop.advance(86400)
        shop.keys.clear()
        shop.learn()
        shop.keys.pop(simulator.sim.pay.platform.certificates[0].serial)
    shop.fault("pay_forged", how=how, count=1)
    shop.pay_now()
    assert (len(till.refused), till.opened) == (1, [])
    assert till.refused[0].startswith("Forged")
    shop.advance(15)
    assert len(till.opened) == 1
    (note,) = shop.notes()
    assert [row["kind"] for row in note["tries"]] == [f"forged: {how}", "sent"]
    assert note["problem"] == ""


@pytest.mark.parametrize("how", kinds.DAMAGES)
def test_damaged_is_signed_well_but_does_not_open(shop, till, callback, how):
    shop.fault("pay_damaged", how=how, count=1)
    shop.pay_now()
    shop.check(callback.requests[0]["headers"], callback.requests[0]["body"])
    if how == "duplicate_keys":
        assert callback.requests[0]["body"].count(b'"event_type"') == 2
    elif how == "megabyte":
        assert len(callback.requests[0]["body"]) > 1_000_000
    elif how not in ("short_nonce", "long_nonce"):  # these open with a cipher that takes any nonce
        assert (len(till.refused), till.opened) == (1, [])
        shop.advance(15)
        assert len(till.opened) == 1
    else:
        nonce = json.loads(callback.requests[0]["body"])["resource"]["nonce"]
        assert len(nonce) == {"short_nonce": 11, "long_nonce": 13}[how]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {"total": 99, "payer_total": 99}),
        ({"by": 1}, {"total": 101, "payer_total": 101}),
        ({"total": 1}, {"total": 1, "payer_total": 1}),
        ({"total": 100, "payer_total": 50}, {"total": 100, "payer_total": 50}),
        ({"total": 100, "currency": "USD"}, {"total": 100, "currency": "USD"}),
    ],
)
def test_amount_changed_under_a_valid_wrapping(shop, till, callback, more, expected):
    shop.fault("pay_amount", count=1, **more)
    shop.pay_now()
    (plain,) = till.opened  # signature and seal are right: only the amount tells
    assert expected.items() <= plain["amount"].items()
    assert shop.query()[1]["amount"]["total"] == 100
    assert shop.notes()[0]["tries"][0]["kind"] == "changed"


def test_a_changed_amount_that_is_refused_is_followed_by_the_real_one(shop, callback):
    totals = []

    def take(request):
        totals.append(shop.open(request)["amount"]["total"])
        return (204, b"") if totals[-1] == 100 else REFUSED

    callback.reply = take
    shop.fault("pay_amount", count=1)
    shop.pay_now()
    shop.advance(15)
    assert totals == [99, 100]


def test_any_other_field_may_be_changed(shop, till):
    shop.fault(
        "pay_changed", set={"mchid": "1900000099", "payer": {"openid": "oOther"}, "new_field": 1}, remove=["attach"]
    )
    shop.pay_now()
    (plain,) = till.opened
    assert (plain["mchid"], plain["payer"], plain["new_field"]) == ("1900000099", {"openid": "oOther"}, 1)
    assert "attach" not in plain


def test_the_envelope_may_name_an_event_that_nobody_knows(shop, till, callback):
    shop.fault("pay_changed", event_type="TRANSACTION.NEW", count=1)
    shop.pay_now()
    assert json.loads(callback.requests[0]["body"])["event_type"] == "TRANSACTION.NEW"
    assert till.opened == [shop.query()[1]]


def test_a_doubled_header_and_another_host_come_as_they_are(shop, till, callback):
    shop.fault("pay_forged", how="localhost", count=1)
    shop.pay_now()
    assert callback.requests[0]["headers"]["Host"] == "localhost"
    shop.fault("pay_forged", how="double_serial", count=1)
    shop.paid("T20260101000002")
    assert [name for name, _ in callback.requests[1]["pairs"]].count("Wechatpay-Serial") == 2


def test_lost_once_and_lost_for_good(shop, till, callback):
    shop.fault("pay_lost", count=1)
    shop.pay_now()
    assert callback.requests == []
    shop.advance(15)
    assert len(till.opened) == 1
    shop.simulator.control("/faults", method="DELETE")
    shop.fault("pay_lost")
    shop.paid("LOST-FOR-GOOD")
    shop.advance(25 * 3600)
    wait_until(lambda: shop.notes(key="LOST-FOR-GOOD")[0]["outcome"] == "failed")
    assert len(till.opened) == 1
    assert shop.query("LOST-FOR-GOOD")[1]["trade_state"] == "SUCCESS"


def test_signature_probe_comes_before_the_real_one(shop, till, callback):
    shop.fault("pay_probe", count=1)
    shop.pay_now()
    assert callback.requests[0]["headers"]["Wechatpay-Signature"].startswith("WECHATPAY/SIGNTEST/")
    assert (len(till.refused), len(till.opened)) == (1, 1)
    assert shop.notes()[0]["problem"] == ""


@pytest.mark.parametrize(
    ("kind", "more"), [("pay_probe", {}), ("pay_forged", {"how": "merchant_key"}), ("pay_damaged", {"how": "tag"})]
)
def test_a_shop_that_checks_nothing_is_found_out(shop, callback, kind, more):
    callback.reply = lambda _request: (200, b"")
    shop.fault(kind, count=1, **more)
    shop.pay_now()
    truth = shop.simulator.look("/pay/truth", mchid=MCHID)
    assert truth["notifications"]["accepted_wrong"] == 1
    assert "taken for a notification" in truth["accepted_wrong"][0]["problem"]


def test_faults_are_aimed_by_merchant_appid_and_event(simulator, shop, till):
    other = Shop(simulator, "1900000002", name="别家", api_v3_key="k" * 32)
    other.notify_url = "http://127.0.0.1:9/never"
    for aim in ({"appid": other.mchid}, {"appid": APPID}, {"event": "REFUND"}):
        shop.fault("pay_lost", **aim)
    shop.pay_now()
    assert len(till.opened) == 1
    assert fault_hits(shop) == [0, 0, 0]
    simulator.control("/faults", method="DELETE")
    shop.fault("pay_lost", appid=MINI, event="TRANSACTION")
    shop.paid("T20260101000002")
    assert fault_hits(shop) == [1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "pay_forged", "how": "magic"},
        {"kind": "pay_damaged", "how": "x"},
        {"kind": "pay_refund_status", "status": "OK"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(simulator, wrong):
    answer = requests.post(simulator.url + "/_sim/faults", json=wrong, timeout=30)
    assert (answer.status_code, "is one of" in answer.json()["error"]) == (400, True)


def test_every_fault_of_pay_is_tried_here():
    tests = "\n".join(
        (Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("test_pay.py", "test_pay_notify.py")
    )
    assert {kind for kind in kinds.CALLS | kinds.NOTIFICATIONS if f'"{kind}"' not in tests} == set()


def test_the_same_seed_gives_the_same_faults(shop, till):
    def trace():
        shop.simulator.control("/faults", method="DELETE")
        shop.fault("pay_duplicate", probability=0.5, seed=7)
        before = len(till.opened)
        for _ in range(8):
            trace.number += 1
            shop.paid(f"SEEDED-{trace.number}")
        shop.simulator.settle()
        return [len([row for row in note["tries"] if row["kind"] == "again"]) for note in shop.notes()[-8:]], before

    trace.number = 0
    first, _ = trace()
    second, _ = trace()
    assert first == second
    assert set(first) == {0, 1}


def test_every_fault_of_pay_is_described():
    manual = (Path(kinds.__file__).with_name("README.md")).read_text(encoding="utf-8")
    simple = {how for how in kinds.FORGERIES if not how.startswith(("no_", "empty_", "double_"))}
    named = kinds.CALLS | kinds.NOTIFICATIONS | simple | {*kinds.HEADERS, *kinds.DAMAGES, *kinds.REFUND_ENDS}
    assert {word for word in named if f"`{word}`" not in manual} == set()
    words = (Path(kinds.__file__).parents[1] / "phone/words.js").read_text(encoding="utf-8")
    assert {kind for kind in kinds.CALLS | kinds.NOTIFICATIONS if f"{kind}: " not in words} == set()
