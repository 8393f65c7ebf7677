"""While PostgreSQL is away every page says so and when to come back, also where no view was reached."""

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import InterfaceError, OperationalError


@pytest.fixture
def away(client, monkeypatch):
    """A browser with a session whose row cannot be read."""

    def away(error):
        def load(_self):
            raise error

        monkeypatch.setattr(SessionStore, "load", load)
        client.raise_request_exception = False
        client.cookies["sessionid"] = "0123456789abcdef0123456789abcdef"
        return client

    return away


@pytest.mark.parametrize("error", [OperationalError("server closed the connection"), InterfaceError("closed")])
@pytest.mark.parametrize("path", ["/brands/", "/b/lanyu/", "/readyz"])
def test_pages_answer_503_and_when_to_try_again(away, db, error, path):
    answer = away(error).get(path)

    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert "server closed" not in answer.content.decode()


def test_the_api_keeps_its_error_shape(client, db, monkeypatch):
    def holder_of_key(_clear):
        raise OperationalError("x")

    monkeypatch.setattr("accounts.rest.authentication.holder_of_key", holder_of_key)
    answer = client.get("/api/v1/tags/", headers={"Authorization": "Key a.b"})

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "unavailable"
    assert answer["Retry-After"]


def test_other_faults_stay_faults(away, db):
    answer = away(RuntimeError("x")).get("/brands/")

    assert answer.status_code == 500
    assert "Retry-After" not in answer
