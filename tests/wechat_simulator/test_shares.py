"""What people forward to each other."""

from tests.wechat_simulator.conftest import APPID, MINI

PAGE = "pages/gift/index?from=xiaoyu"


def refused(simulator, person="xiaoyu", appid=MINI, **fields):
    answer = simulator.http.post(
        f"{simulator.url}/_sim/people/{person}/act", json={"appid": appid, **fields}, timeout=30
    )
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


def received(simulator, person):
    return simulator.look(f"/people/{person}/shares")["shares"]


def test_a_mini_program_page_is_opened_by_another_person(simulator):
    shared = simulator.act("小雨", "share", MINI, to="老周", pagepath="/" + PAGE, title="送你一张券")["shared"]
    (row,) = received(simulator, "laozhou")
    assert (row["n"], row["kind"], row["from_name"], row["opened_at"]) == (shared["n"], "miniprogram", "小雨", None)
    opened = simulator.act("老周", "open_shared", MINI, n=row["n"])["open"]
    assert opened == {
        "kind": "miniprogram", "appid": MINI, "pagepath": PAGE, "title": "送你一张券", "scene": 1007
    }  # fmt: skip
    assert received(simulator, "laozhou")[0]["opened_at"] is not None
    code = simulator.act("老周", "login", MINI)["code"]
    grant = {"appid": MINI, "secret": simulator.secret(MINI), "js_code": code, "grant_type": "authorization_code"}
    answer = simulator.get("/sns/jscode2session", **grant).json()
    assert answer["openid"] == simulator.openid("老周", MINI) != simulator.openid("小雨", MINI)


def test_a_page_that_is_not_published_is_not_forwarded(simulator):
    simulator.control("/world", {"accounts": [{"appid": MINI, "pages": ["pages/gift/index"]}]})
    assert "no such page" in refused(simulator, act="share", to="laozhou", pagepath="pages/other")
    simulator.act("小雨", "share", MINI, to="老周", pagepath=PAGE)


def test_an_accounts_card_leads_to_a_follow_with_its_own_scene(simulator):
    simulator.follow("小雨")
    simulator.act("小雨", "share", to="老周")
    assert simulator.act("老周", "open_shared")["followed"] is False
    assert simulator.act("老周", "open_shared", follow=True)["followed"] is True
    openid = simulator.openid("老周")
    assert simulator.ask("/cgi-bin/user/info", openid=openid)["subscribe_scene"] == "ADD_SCENE_PROFILE_CARD"
    assert simulator.act("老周", "open_shared")["followed"] is True


def test_a_link_keeps_its_address(simulator):
    simulator.act("小雨", "share", to="老周", url="https://shop.example.com/a?b=c", title="新品")
    assert simulator.act("老周", "open_shared")["open"] == {
        "kind": "web", "url": "https://shop.example.com/a?b=c", "title": "新品"
    }  # fmt: skip


def test_nobody_opens_what_another_was_sent(simulator):
    number = simulator.act("小雨", "share", MINI, to="老周", pagepath=PAGE)["shared"]["n"]
    assert "nobody forwarded" in refused(simulator, "aling", act="open_shared", n=number)
    assert "nobody forwarded" in refused(simulator, "laozhou", appid=APPID, act="open_shared", n=number)
    assert "oneself" in refused(simulator, act="share", to="小雨")
    assert "no person" in refused(simulator, act="share", to="谁")
    assert [len(received(simulator, person)) for person in ("xiaoyu", "laozhou", "aling")] == [0, 1, 0]


def test_the_newest_comes_first_and_survives_a_restart(simulator, tmp_path):
    for number in range(3):
        simulator.act("小雨", "share", MINI, to="老周", pagepath=f"pages/{number}")
    rows = received(simulator, "laozhou")
    assert [row["pagepath"] for row in rows] == ["pages/2", "pages/1", "pages/0"]
    simulator.sim.save(tmp_path)
    simulator.sim.shares.rows = []
    assert simulator.sim.restore(tmp_path)
    assert received(simulator, "laozhou") == rows
    assert "pages/2" in simulator.act("老周", "open_shared", MINI)["open"]["pagepath"]
