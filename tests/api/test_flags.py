"""Flags over the API: a system leaves somebody out and lets them in again, in its own brand."""

from accounts.tenancy import brand_scope
from members.models import Flag


def test_a_member_is_left_out_and_let_in_again(a, b):
    path = f"/members/{a.member.member_no}/flags/"
    body = {"flag": "STAFF", "on": True, "reason": "门店店员", "since": "2025-06-02T00:00:00+08:00"}
    for _ in range(2):
        said = a.system.post(path, body)
        assert [(row["flag"], row["since"]) for row in said.json()["results"]] == [("STAFF", "2025-06-01T16:00:00Z")]
    assert a.key("members.read").post(path, body).status_code == 403
    assert b.system.post(path, body).status_code == 404
    assert a.system.post(path, body | {"since": "2099-01-01T00:00:00Z"}).json()["error"]["code"] == "flag_invalid"
    later = {"flag": "STAFF", "on": False, "reason": "离职", "until": "2025-06-03T00:00:00Z"}
    assert a.system.post(path, later | {"until": "2099-01-01T00:00:00Z"}).json()["error"]["code"] == "flag_invalid"
    assert [row["until"] for row in a.system.post(path, later).json()["results"]] == ["2025-06-03T00:00:00Z"]
    assert a.system.post(path, {"flag": "STAFF", "on": False, "reason": "离职"}).json() == {"results": []}
    with brand_scope(a.brand.pk):
        assert not Flag.objects.exists()
