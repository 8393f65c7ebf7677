"""The movable clock, its timers, and what becomes due."""

import pytest

from tests.wechat_simulator.conftest import APPID, wait_until
from wechat_simulator.clock import DEFAULT_START, Clock, Timers, next_midnight, parse_moment, shanghai_day


class Real:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_clock_follows_its_rule():
    real = Real()
    clock = Clock(real=real)
    assert clock.now() == DEFAULT_START == parse_moment("2025-06-01T08:00:00+08:00")
    real.now += 10
    assert clock.now() == DEFAULT_START + 10
    clock.set_rate(3600)
    real.now += 2
    assert clock.now() == DEFAULT_START + 10 + 7200
    clock.set_rate(0)
    real.now += 500
    clock.advance(5)
    view = clock.view()
    assert clock.now() == DEFAULT_START + 7215
    assert clock.now() == view["sim_epoch"] + (real.now - view["real_epoch"]) * view["rate"]
    with pytest.raises(ValueError, match="rate"):
        clock.set_rate(-1)


def test_midnight_is_shanghai_midnight():
    evening = parse_moment("2025-06-01T23:59:59")
    assert shanghai_day(evening + 1) == shanghai_day(evening) + 1
    assert next_midnight(evening) == evening + 1


def test_timers_fire_in_order_with_the_moment_they_were_due():
    real = Real()
    clock = Clock(0.0, real=real)
    timers = Timers(clock)
    fired = []
    timers.on("note", lambda due, payload: fired.append((due, payload)))
    for moment in (30.0, 10.0, 20.0, 99.0):
        timers.at(moment, "note", f"t{moment:.0f}")
    assert timers.upcoming(30.0)["count"] == 3
    clock.advance(50)
    timers.fire_some()
    assert fired == [(10.0, "t10"), (20.0, "t20"), (30.0, "t30")]
    assert len(timers) == 1


def test_clock_over_http(simulator):
    view = simulator.look("/clock")
    assert {"real_epoch", "sim_epoch", "rate"} <= set(view)
    assert view["rate"] == 1
    paused = simulator.control("/clock", {"pause": True})
    assert simulator.look("/clock")["now"] == paused["now"]
    moved = simulator.control("/clock", {"set": "2025-07-01T00:00:00"})
    assert moved["iso"] == "2025-07-01T00:00:00+08:00"
    assert simulator.control("/clock", {"advance": 86400})["iso"] == "2025-07-02T00:00:00+08:00"
    assert simulator.control("/clock", {"rate": 60})["rate"] == 60
    assert simulator.control("/clock", {"pause": False})["rate"] == 1


def test_what_becomes_due_is_listed(simulator):
    simulator.token()
    simulator.follow("小雨")
    scene = {"scene": {"scene_str": "a"}}
    simulator.api(
        "/cgi-bin/qrcode/create", {"expire_seconds": 900, "action_name": "QR_STR_SCENE", "action_info": scene}
    )
    due = simulator.look("/clock", within=86400)["due"]
    assert due["kinds"] == {"token_expires": 1, "window_closes": 1, "code_expires": 1, "quotas_reset": 1}
    assert due["items"][0]["kind"] == "window_closes"
    assert simulator.look("/clock", within=30)["due"]["count"] == 0


def test_fast_clock_makes_timers_come_sooner(simulator):
    openid = simulator.follow("小雨")
    simulator.switch(finish_delay_seconds=3600)
    simulator.send(openid)
    simulator.control("/clock", {"rate": 36000})
    simulator.settle()
    wait_until(lambda: simulator.rows(kind="template")[0]["status"] == "success")
    assert simulator.look("/truth", appid=APPID)["counts"][APPID]["template"]["received"] == 1
