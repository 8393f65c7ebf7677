"""wechatpy 1.8.18 as published, unchanged, against the simulated WeCom: only the host is rewritten, below requests."""

from urllib.parse import urlsplit, urlunsplit

import pytest
from requests.adapters import HTTPAdapter
from wechatpy.enterprise import WeChatClient, parse_message
from wechatpy.enterprise.crypto import WeChatCrypto
from wechatpy.enterprise.exceptions import InvalidCorpIdException
from wechatpy.exceptions import InvalidSignatureException, WeChatClientException

from tests.wechat_simulator.wecom.conftest import AES_KEY, CORP, OTHER_CORP, TOKEN


class ToSimulator(HTTPAdapter):
    def __init__(self, url):
        super().__init__()
        self.target = urlsplit(url).netloc

    def send(self, request, **options):
        parts = urlsplit(request.url)
        assert parts.hostname == "qyapi.weixin.qq.com"
        request.url = urlunsplit(("http", self.target, "/qyapi" + parts.path, parts.query, ""))
        return super().send(request, **options)


@pytest.fixture
def client(wecom):
    client = WeChatClient(CORP, wecom.secret(), timeout=10)
    client._http.mount("https://", ToSimulator(wecom.simulator.url))
    yield client
    client._http.close()


def test_token_staff_and_departments(wecom, client):
    assert client.user.get("guide01")["name"] == "顾问小王"
    assert client.access_token == wecom.gettoken()["access_token"]
    assert [row["id"] for row in client.department.get()] == [1, 2]
    with pytest.raises(WeChatClientException) as refusal:
        client.user.get("nobody")
    assert refusal.value.errcode == 60111


def test_dead_token_is_replaced(wecom, client):
    assert client.user.get("guide01")["userid"] == "guide01"
    wecom.simulator.control("/tokens/kill", {"appid": CORP, "expire": True})
    assert client.user.get("guide02")["userid"] == "guide02"


def test_upload(wecom, client):
    answer = client.media.upload("image", ("cover.png", b"\x89PNG....", "image/png"))
    assert wecom.simulator.get(f"/_sim/media/{answer['media_id']}").content == b"\x89PNG...."


def test_event_is_opened(wecom, ear):
    external = wecom.add()
    request = ear.requests[0]
    query = request["query"]
    signed = query["msg_signature"], query["timestamp"], query["nonce"]
    plain = WeChatCrypto(TOKEN, AES_KEY, CORP).decrypt_message(request["body"], *signed)
    message = parse_message(plain)
    # this version knows no events of customers: it keeps their fields
    assert (message._data["MsgType"], message._data["ChangeType"]) == ("event", "add_external_contact")
    assert (message._data["ExternalUserID"], message._data["UserID"]) == (external, "guide01")
    with pytest.raises(InvalidCorpIdException):
        WeChatCrypto(TOKEN, AES_KEY, OTHER_CORP).decrypt_message(request["body"], *signed)
    with pytest.raises(InvalidSignatureException):
        WeChatCrypto("another", AES_KEY, CORP).decrypt_message(request["body"], *signed)


def test_callback_is_verified(wecom, ear):
    crypto = WeChatCrypto(TOKEN, AES_KEY, CORP)

    def answer(request):
        query = request["query"]
        echo = crypto.check_signature(query["msg_signature"], query["timestamp"], query["nonce"], query["echostr"])
        return 200, echo.encode() if isinstance(echo, str) else echo

    ear.reply = answer
    assert wecom.simulator.control(f"/wecom/{CORP}/agents/1000002/verify") == {"ok": True, "problem": ""}
