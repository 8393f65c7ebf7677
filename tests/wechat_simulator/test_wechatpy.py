"""wechatpy 1.8.18 as published, unchanged, against the simulator: only the host is rewritten, below requests."""

import time
from urllib.parse import urlsplit, urlunsplit

import pytest
from requests.adapters import HTTPAdapter
from wechatpy import WeChatClient, parse_message
from wechatpy.client.api import WeChatWxa
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import APILimitedException, WeChatClientException
from wechatpy.replies import ArticlesReply, TextReply
from wechatpy.utils import check_signature

from tests.wechat_simulator.conftest import AES_KEY, APPID, GOOD, MINI, TEMPLATE

TOKEN = "brandCrmToken2024"


class ToSimulator(HTTPAdapter):
    def __init__(self, url):
        super().__init__()
        self.target = urlsplit(url).netloc

    def send(self, request, **options):
        parts = urlsplit(request.url)
        assert parts.hostname.endswith("weixin.qq.com")
        request.url = urlunsplit(("http", self.target, parts.path, parts.query, ""))
        return super().send(request, **options)


@pytest.fixture
def client(simulator):
    client = WeChatClient(APPID, simulator.secret(), timeout=10, auto_retry=False)
    client._http.mount("https://", ToSimulator(simulator.url))
    yield client
    client._http.close()


@pytest.fixture
def openid(simulator):
    return simulator.follow("小雨")


def test_token_user_and_followers(simulator, client, openid):
    assert len(client.access_token) > 100
    assert client.user.get(openid)["unionid"] == simulator.look("/people/xiaoyu")["unionids"]["lanyu"]
    assert [info["openid"] for info in client.user.get_batch([openid])] == [openid]
    assert list(client.user.iter_followers()) == [openid]
    client.user.update_remark(openid, "常客")
    assert client.user.get(openid)["remark"] == "常客"
    assert client.misc.get_wechat_ips() == ["127.0.0.1", "127.0.0.0/8"]


def test_tags_and_blacklist(client, openid):
    tag = client.tag.create("金卡")["id"]
    client.tag.tag_user(tag, openid)
    assert client.tag.get_user_tag(openid) == [tag]
    assert list(client.tag.iter_tag_users(tag)) == [openid]
    client.tag.update(tag, "黑卡")
    assert client.tag.get()[-1]["name"] == "黑卡"
    client.tag.untag_user(tag, [openid])
    client.tag.delete(tag)
    client.tag.batch_black_list([openid])
    assert client.tag.get_black_list()["data"]["openid"] == [openid]
    client.tag.batch_unblack_list([openid])


def test_menus(client, openid):
    button = {"type": "click", "name": "会员中心", "key": "MEMBER"}
    assert client.menu.get() is None
    client.menu.create({"button": [button]})
    assert client.menu.get()["menu"]["button"] == [button]
    assert client.menu.get_menu_info()["is_menu_open"] == 1
    tag = client.tag.create("金卡")["id"]
    gold = {**button, "name": "金卡专区"}
    menu = client.menu.add_conditional({"button": [gold], "matchrule": {"tag_id": str(tag)}})["menuid"]
    client.tag.tag_user(tag, openid)
    assert client.menu.try_match(openid)["button"] == [gold]
    client.menu.del_conditional(menu)
    client.menu.delete()


def test_codes(simulator, client):
    made = client.qrcode.create(
        {"expire_seconds": 600, "action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": "s:021"}}}
    )
    url = client.qrcode.get_url(made["ticket"])
    with client._http.get(url, timeout=10) as answer:
        assert answer.content.startswith(b"\x89PNG")
    assert simulator.look("/codes")["codes"][0]["scene"] == "s:021"


def test_templates(simulator, client, openid):
    assert client.template.get_all_private_template()["template_list"][0]["template_id"] == TEMPLATE
    added = client.template.get("43216")
    client.template.del_private_template(added)
    mini_program = {"appid": MINI, "pagepath": "pages/home"}
    sent = client.message.send_template(openid, TEMPLATE, GOOD, mini_program=mini_program)
    assert simulator.rows(kind="template")[0]["msgid"] == str(sent["msgid"])
    with pytest.raises(WeChatClientException) as raised:
        client.message.send_template(openid, TEMPLATE, {"thing1": {"value": "x"}})
    assert raised.value.errcode == 47003


def test_customer_service_messages(simulator, client, openid):
    client.message.send_text(openid, "你好")
    client.message.send_articles(openid, [{"title": "会员日", "description": "d", "url": "u", "image": "p"}])
    client.message.send_msg_menu(
        openid, {"head_content": "满意吗", "list": [{"id": "1", "content": "好"}], "tail_content": "谢"}
    )
    assert [entry["kind"] for entry in simulator.entries("小雨")[1:]] == ["text", "news", "msgmenu"]
    with pytest.raises(WeChatClientException) as raised:
        client.message.send_text(openid, "再来")
    assert raised.value.errcode == 45047


def test_mini_program_login(simulator):
    client = WeChatClient(MINI, simulator.secret(MINI), timeout=10, auto_retry=False)
    client._http.mount("https://", ToSimulator(simulator.url))
    code = simulator.act("小雨", "login", MINI)["code"]
    session = WeChatWxa(client).code_to_session(code)
    assert session["openid"] == simulator.openid("小雨", MINI)
    client._http.close()


def test_minute_quota_is_told_by_its_own_exception(simulator, client, openid):
    simulator.control("/quotas", {"appid": APPID, "path": "/cgi-bin/user/info", "per_day": 0})
    with pytest.raises(APILimitedException):
        client.user.get(openid)


def test_dead_token_is_renewed_by_its_retry(simulator, client, openid):
    first = client.access_token
    simulator.control("/tokens/kill", {"appid": APPID})
    client.auto_retry = True
    assert client.user.get(openid)["openid"] == openid
    assert client.access_token != first


def crypto_server(request, make):
    """What a product built on wechatpy does with a push."""
    query = request["query"]
    crypto = WeChatCrypto(TOKEN, AES_KEY, APPID)
    check_signature(TOKEN, query["signature"], query["timestamp"], query["nonce"])
    text = crypto.decrypt_message(request["body"], query["msg_signature"], query["timestamp"], query["nonce"])
    message = parse_message(text)
    reply = make(message)
    return message, crypto.encrypt_message(reply.render(), query["nonce"], str(int(time.time()))).encode()


def test_its_crypto_reads_pushes_and_its_replies_are_shown(simulator, callback):
    messages = []

    def answer(request):
        message, body = crypto_server(request, lambda message: TextReply(content="欢迎", message=message))
        messages.append(message)
        return 200, body

    callback.reply = answer
    saw = simulator.act("小雨", "follow")["saw"]
    saw += simulator.act("小雨", "text", content="在吗")["saw"]
    assert [entry["content"] for entry in saw if entry["from"] == "account"] == ["欢迎", "欢迎"]
    assert [message.type for message in messages] == ["event", "text"]
    assert (messages[0].event, messages[1].content) == ("subscribe", "在吗")


def test_its_news_reply_is_shown(simulator, callback):
    def make(message):
        reply = ArticlesReply(message=message)
        reply.add_article(
            {"title": "会员日", "description": "双倍", "image": "https://e.com/a.jpg", "url": "https://e.com"}
        )
        return reply

    simulator.follow("小雨")
    callback.reply = lambda request: (200, crypto_server(request, make)[1])
    saw = simulator.act("小雨", "text", content="在吗")["saw"]
    assert saw[-1]["articles"] == [
        {"title": "会员日", "description": "双倍", "picurl": "https://e.com/a.jpg", "url": "https://e.com"}
    ]
