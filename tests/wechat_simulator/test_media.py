"""Temporary media, and many people acting at once (reference: service account 3.2, 5.12)."""

import pytest

from tests.wechat_simulator.conftest import APPID, OTHER

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def upload(simulator, *, body=PNG, kind="image", name="a.png", content_type="image/png", field="media"):
    return simulator.http.post(
        simulator.url + "/cgi-bin/media/upload",
        params={"access_token": simulator.token(), "type": kind},
        files={field: (name, body, content_type)},
        timeout=10,
    ).json()


def download(simulator, media_id, appid=APPID):
    return simulator.get("/cgi-bin/media/get", access_token=simulator.token(appid), media_id=media_id)


def send_image(simulator, openid, media_id):
    body = {"touser": openid, "msgtype": "image", "image": {"media_id": media_id}}
    return simulator.api("/cgi-bin/message/custom/send", body)["errcode"]


def test_upload_is_kept_three_days(simulator):
    openid = simulator.follow("小雨")
    made = upload(simulator)
    assert (made["type"], set(made)) == ("image", {"type", "media_id", "created_at"})
    answer = download(simulator, made["media_id"])
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
    assert simulator.get(f"/_sim/media/{made['media_id']}").content == PNG
    assert download(simulator, made["media_id"], OTHER).json()["errcode"] == 40007
    assert send_image(simulator, openid, made["media_id"]) == 0
    assert send_image(simulator, openid, "made-up") == 40007
    simulator.switch(check_media_ids=False)
    assert send_image(simulator, openid, "made-up") == 0
    simulator.control("/clock", {"advance": 3 * 86400})
    simulator._tokens.clear()
    assert download(simulator, made["media_id"]).json()["errcode"] == 40007


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"kind": "poem"}, 40004),
        ({"name": "a.exe", "content_type": "application/x-msdownload"}, 40005),
        ({"body": b""}, 44001),
        ({"field": "file"}, 41005),
        ({"kind": "thumb", "name": "a.jpg", "body": b"x" * 64_001}, 40006),
    ],
)
def test_bad_uploads_have_codes(simulator, options, code):
    assert upload(simulator, **options)["errcode"] == code


def test_picture_of_a_person_can_be_fetched(simulator):
    simulator.follow("小雨")
    media_id = simulator.act("小雨", "image")["media_id"]
    assert download(simulator, media_id).content.startswith(b"\x89PNG")


def test_crowd_acts_at_once(simulator, callback):
    simulator.control("/world", {"crowds": [{"prefix": "fan", "count": 50, "follows": [APPID]}]})
    act = {"appid": APPID, "prefix": "fan", "count": 50}
    done = simulator.control("/crowd", {**act, "act": "text", "fields": {"content": "在吗"}})
    assert done["outcomes"] == {"acknowledged": 50}
    assert len(callback.requests) == 50
    assert simulator.control("/crowd", {**act, "act": "follow"})["outcomes"] == {"already follows": 50}


def test_displaced_token_can_die_at_once_by_switch(simulator):
    simulator.switch(token_overlap_seconds=0)
    asked = simulator.grant()
    first = simulator.get("/cgi-bin/token", **asked).json()["access_token"]
    simulator.get("/cgi-bin/token", **asked)
    assert simulator.get("/cgi-bin/tags/get", access_token=first).json()["errcode"] == 40001
