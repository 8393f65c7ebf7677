"""The simulated clock at its first reading: nobody may see real time while somebody else still asks."""

import io
import json
import threading
import time
import urllib.request

import pytest

from common import clock

SIMULATED = 1_750_000_000.0


@pytest.fixture
def simulator_clock(monkeypatch):
    """A clock that answers when told to; gives (entered, go, asked)."""
    entered, go, asked = threading.Event(), threading.Event(), []

    def urlopen(_url, timeout):
        asked.append(timeout)
        entered.set()
        assert go.wait(60)
        return io.BytesIO(json.dumps({"real_epoch": time.time(), "sim_epoch": SIMULATED, "rate": 1}).encode())

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return entered, go, asked


def test_threads_that_read_it_first_all_see_simulated_time(simulator_clock):
    entered, go, asked = simulator_clock
    follower = clock._Follower()
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(follower.timestamp("http://x"))) for _ in range(4)]
    threads[0].start()
    assert entered.wait(60)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(60)

    assert [round(moment - SIMULATED, -2) for moment in seen] == [0, 0, 0, 0]
    assert len(asked) == 1


def test_while_it_is_away_it_is_asked_once_a_second(monkeypatch):
    asked = []

    def refuse(_url, timeout):
        asked.append(timeout)
        raise OSError

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(clock, "REFRESH_SECONDS", 3600.0)
    follower = clock._Follower()

    for _ in range(5):
        assert abs(follower.timestamp("http://x") - time.time()) < 60

    assert len(asked) == 1
