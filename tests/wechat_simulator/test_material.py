"""Permanent media: kept beyond three days, counted, limited, taken away by its account only (reference: 5.12)."""

from tests.wechat_simulator.conftest import OTHER
from tests.wechat_simulator.test_media import PNG, download, send_image, upload


def keep(simulator, *, kind="image", name="a.png", content_type="image/png", body=PNG, **fields):
    return simulator.http.post(
        simulator.url + "/cgi-bin/material/add_material",
        params={"access_token": simulator.token(), "type": kind},
        files={"media": (name, body, content_type)},
        data=fields,
        timeout=10,
    ).json()


def counts(simulator):
    return simulator.get("/cgi-bin/material/get_materialcount", access_token=simulator.token()).json()


def test_a_permanent_file_outlives_three_days_and_is_counted(simulator):
    made, temporary = keep(simulator), upload(simulator)
    assert set(made) == {"media_id", "url"}
    simulator.control("/clock", {"advance": 4 * 86400})
    simulator._tokens.clear()
    assert download(simulator, made["media_id"]).content == PNG
    assert download(simulator, temporary["media_id"]).json()["errcode"] == 40007
    assert counts(simulator) == {"voice_count": 0, "video_count": 0, "image_count": 1, "news_count": 0}


def test_a_full_account_is_refused(simulator):
    simulator.switch(permanent_media=1)
    assert "media_id" in keep(simulator)
    assert keep(simulator)["errcode"] == 45001
    simulator.switch(permanent_media_full_code=45009)
    assert keep(simulator)["errcode"] == 45009


def test_a_video_needs_a_description(simulator):
    video = {"kind": "video", "name": "a.mp4", "content_type": "video/mp4"}
    assert keep(simulator, **video)["errcode"] == 40035
    assert keep(simulator, description="no json", **video)["errcode"] == 40035
    assert set(keep(simulator, description='{"title": "新品", "introduction": ""}', **video)) == {"media_id"}


def test_only_its_account_takes_a_file_away(simulator):
    media_id = keep(simulator)["media_id"]

    def remove(key, appid=None):
        token = simulator.token(appid) if appid else simulator.token()
        return simulator.http.post(
            simulator.url + "/cgi-bin/material/del_material",
            params={"access_token": token},
            json={"media_id": key},
            timeout=10,
        ).json()["errcode"]

    assert remove(media_id, OTHER) == 40007
    assert remove(upload(simulator)["media_id"]) == 40007
    assert remove(media_id) == 0
    assert remove(media_id) == 40007
    assert counts(simulator)["image_count"] == 0
    openid = simulator.follow("小雨")
    assert send_image(simulator, openid, media_id) == 40007
