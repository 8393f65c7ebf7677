"""What a member wants to hear about, as the mini program says it."""

import pytest

from tests.api.conftest import a, rates  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db


def test_hours_are_kept_as_they_were_said_and_end_with_null(a):  # noqa: F811
    hours = {"begins": "22:00", "ends": "07:30"}
    said = a.me.patch("/me/preferences/", {"quiet_hours": hours})
    assert (said.status_code, said.json()["quiet_hours"]) == (200, hours)
    assert a.me.get("/me/preferences/").json()["quiet_hours"] == hours
    assert a.me.patch("/me/preferences/", {"quiet_hours": None}).json()["quiet_hours"] is None


@pytest.mark.parametrize("hour", ["", "24:00", "7:30", "22:00:00", "２２:００", "22:00\n", "\x95\x11", 22, None, {}])
def test_what_is_no_hour_is_refused_by_field(a, hour):  # noqa: F811
    refused = a.me.patch("/me/preferences/", {"quiet_hours": {"begins": hour, "ends": "07:30"}})
    assert refused.status_code == 422
    assert {row["field"] for row in refused.json()["error"]["fields"]} == {"quiet_hours.begins"}
