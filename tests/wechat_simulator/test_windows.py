"""Customer-service messages under the rule of 2023 (reference: service account 5.9)."""

from tests.wechat_simulator.conftest import APPID, MINI

CLICK_MENU = {"button": [{"type": "click", "name": "会员中心", "key": "MEMBER"}]}


def custom(simulator, openid, text="你好"):
    body = {"touser": openid, "msgtype": "text", "text": {"content": text}}
    return simulator.api("/cgi-bin/message/custom/send", body)["errcode"]


def test_message_opens_five_in_48_hours(simulator):
    openid = simulator.follow("小雨")
    simulator.control("/clock", {"advance": 61})
    assert custom(simulator, openid) == 45015
    simulator.act("小雨", "text", content="在吗")
    assert [custom(simulator, openid, f"第{n}条") for n in range(6)] == [0] * 5 + [45047]
    simulator.act("小雨", "text", content="还在吗")
    assert custom(simulator, openid) == 0
    simulator.control("/clock", {"advance": 48 * 3600})
    simulator._tokens.clear()
    assert custom(simulator, openid) == 45015


def test_follow_opens_three_in_one_minute(simulator):
    openid = simulator.follow("小雨")
    assert [custom(simulator, openid) for _ in range(4)] == [0, 0, 0, 45047]
    simulator.control("/clock", {"advance": 60})
    assert custom(simulator, openid) == 45015


def test_scan_opens_three_in_one_minute(simulator):
    simulator.control("/world", {"accounts": [{"appid": APPID, "codes": [{"scene": "store-1", "name": "静安店门口"}]}]})
    openid = simulator.follow("小雨")
    simulator.control("/clock", {"advance": 61})
    simulator.act("小雨", "scan", code_name="静安店门口")
    assert [custom(simulator, openid) for _ in range(4)] == [0, 0, 0, 45047]


def test_click_opens_a_window_and_view_does_not(simulator):
    view = {"type": "view", "name": "门店", "url": "https://crm.example.com/stores"}
    simulator.api("/cgi-bin/menu/create", {"button": [*CLICK_MENU["button"], view]})
    openid = simulator.follow("小雨")
    simulator.control("/clock", {"advance": 61})
    simulator.act("小雨", "tap", name="门店")
    assert custom(simulator, openid) == 45015
    simulator.act("小雨", "tap", name="会员中心")
    assert [custom(simulator, openid) for _ in range(4)] == [0, 0, 0, 45047]


def test_windows_do_not_add_up_unless_switched(simulator):
    openid = simulator.follow("小雨")
    simulator.act("小雨", "text", content="在吗")
    assert [custom(simulator, openid) for _ in range(6)] == [0] * 5 + [45047]
    simulator.switch(windows_add_up=True)
    other = simulator.follow("老周")
    simulator.act("老周", "text", content="在吗")
    assert [custom(simulator, other) for _ in range(9)] == [0] * 8 + [45047]


def test_sent_message_stands_in_the_chat_and_in_the_truth(simulator):
    openid = simulator.follow("小雨")
    custom(simulator, openid, "欢迎来到静安店")
    entry = simulator.entries("小雨")[-1]
    assert (entry["kind"], entry["via"], entry["content"]) == ("text", "custom", "欢迎来到静安店")
    assert [row["status"] for row in simulator.rows(kind="custom")] == ["success"]


def test_bodies_are_checked(simulator):
    openid = simulator.follow("小雨")

    def code(**body):
        return simulator.api("/cgi-bin/message/custom/send", {"touser": openid, **body})["errcode"]

    assert code(msgtype="poem", poem={}) == 40008
    assert code(msgtype="text", text={"content": ""}) == 44004
    assert code(msgtype="text", text={"content": "字" * 700}) == 45002
    assert code(msgtype="image", image={}) == 40007
    assert code(msgtype="news", news={"articles": [{}, {}]}) == 45008
    assert code(msgtype="miniprogrampage", miniprogrampage={"appid": "wxelse", "pagepath": "a"}) == 40166
    assert code(msgtype="miniprogrampage", miniprogrampage={"appid": MINI, "pagepath": "a"}) == 0


def test_refusing_and_leaving_people_get_nothing(simulator):
    openid = simulator.follow("小雨")
    simulator.act("小雨", "block")
    assert custom(simulator, openid) == 48002
    simulator.act("小雨", "unblock")
    simulator.act("小雨", "unfollow")
    assert custom(simulator, openid) == 45015


def test_typing_has_its_own_codes(simulator):
    openid = simulator.follow("小雨")

    def typing(command):
        return simulator.api("/cgi-bin/message/custom/typing", {"touser": openid, "command": command})["errcode"]

    assert typing("Typing") == 45080
    simulator.act("小雨", "text", content="在吗")
    assert [typing("Typing"), typing("Typing"), typing("Sing"), typing("CancelTyping")] == [0, 45081, 45072, 0]


def test_tapped_item_of_a_message_menu_counts_as_a_menu_tap(simulator):
    openid = simulator.follow("小雨")
    simulator.control("/clock", {"advance": 61})
    simulator.act("小雨", "text", content="满意", menu_id="101")
    assert [custom(simulator, openid) for _ in range(4)] == [0, 0, 0, 45047]
