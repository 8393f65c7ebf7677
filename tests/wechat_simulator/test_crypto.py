"""Against the vectors of the reference, section 1.5 (letters A to H)."""

import pytest

from wechat_simulator.crypto import CipherError, MessageCipher, signature

TOKEN, TIMESTAMP, NONCE = "brandCrmToken2024", "1714036504", "1514711492"
KEY, APPID = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "wx1234567890abcdef"
PREVIOUS_KEY = "GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba"
RANDOM = b"0123456789abcdef"
HEAD = (
    "<xml><ToUserName><![CDATA[gh_0123456789ab]]></ToUserName><FromUserName><![CDATA[oTestOpenId000000000000000001]]>"
    "</FromUserName><CreateTime>1714036504</CreateTime>"
)
B_PLAIN = HEAD + (
    "<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[你好]]></Content><MsgId>23456789012345678</MsgId></xml>"
)
B_TEXT = "Q3stYC6hdFzMh9T8HCvyDI4OFzVNXy1hzMgwxpcjW4Z3o6yfCFU64yan0zEQFjd+qK8bYOd0iJWXlQwcebzMITILrDYKE7PmJHRPuV2UWpW2BD7Z3wRVTdWPICaF+0Le34mST+saBuB05wSEDSWrdWDbiypM2OlkyqdhwMYZszVp2hcTT4ChC/WFImK/71wJ+3dVCquiYDDp3ehwjYOL6LslNTLZcnvnWM9mS6E98g+GUxX8pG6lSuEVgysllkUq1BufsPg2SPZAGufZAW/D9g7XaaFtWZKt2lTkvtP4NCat7iAdT8XMfggD01kns4fYSnt2sjvk2wGhGLOa2YSBwk6dDtCzt3dI7rTn0hq8jf+11oU742hb/7nV5rh9rZTWPTtiKRyGMGTmYmoaXvx44X6wFkTgbhYQEvvtktInlT0="
C_PLAIN = (
    "<xml><ToUserName><![CDATA[oTestOpenId000000000000000001]]></ToUserName><FromUserName><![CDATA[gh_0123456789ab]]></FromUserName>"
    "<CreateTime>1714036505</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[ok]]></Content></xml>"
)
C_TEXT = "DpQeJfnf/MGZ/+GTIspwVLKLelnK3J4m2y9YVI3pPPlxCoqrbzVQz2CYpFb8e2YrwjdwGhpvT1+hfl07WJ+9MK/o1Hlhd/BQMoOCeupCzUGXDrPuWi1TSXDpur6yZstp4KZTstx4TMROBT2H+PopokpmQMw5spjsbi4Oe9Bn+a/Y1dkuscQuy90Fc1xdqM1s+We/SxPGUNq3cUEeClqQvkVWDJRhoAFU8TEz08nRx6kAzEr32wHFvZoHvOTvqqnnNFW7sfcUZ9laMjHlLAbz09TBmuAbibHuSG4bq0GdOALh4nmIz7eLYewx3O5+LZhoxtuJL4OCCe4u6SMg02AG9KJqUQK9iEln8yEmOM33l4pYuJvINmdU9wkWujPn6MaH"
D_TEXT = "Q3stYC6hdFzMh9T8HCvyDKrhsqkWjSa4DbROCGPw/zlHngOOnfZmPDWcUOO43s98MsNL7bwWlkSLclrV0ofbRTOZQhX5wb8wg6GGp08RvZKEefcd/lj7ycEdii6yfv4X"
E_PLAIN = (
    "<xml><AppId><![CDATA[wxcomp000000000001]]></AppId><CreateTime>1714036500</CreateTime><InfoType><![CDATA[component_verify_ticket]]></InfoType>"
    "<ComponentVerifyTicket><![CDATA[ticket@@@demo]]></ComponentVerifyTicket></xml>"
)
E_TEXT = "Q3stYC6hdFzMh9T8HCvyDEKzL3xYCbr+3CS7FhSaFsEQcG7r+5uwHamxB54gppkJb3xaFYiAz8W0G4EVggfSqqaMAQBCKjnck52RB5M1OBoXbAA8n2Qt/bNRUQjJFf0kuDRWGGuXhSzE+IjBN/CHL8YJsbw/9Ek2ttOCVIwfMCQHqB2gL85j4aBgfotyjaWnmmHTGOpQJSUvzSVwe+kSt/4CH3afGEwL6ZZN75hVnDp6f9PR5iHmC3mJvJqXLXYtIuHVzWP7o9mHF1JCc9SZ8Y4V/dlAQPoNXJPNC3A6OjN2c0ONPimqFZQChvyLgFlWU5LslCHA5AtT9Hnuj6S9uvZMdxV3ptAzTtgee5xHckPcvKYw/hhglepulJOD5sQp"
G_PLAIN = (
    '{"ToUserName":"gh_0123456789ab","FromUserName":"oTestOpenId000000000000000001","CreateTime":1714036504,'
    '"MsgType":"event","Event":"CLICK","EventKey":"V1001"}'
)
G_TEXT = "Q3stYC6hdFzMh9T8HCvyDDHu92A6TCf57siroB55OWZtoiCvDNRMj377f8Sfm9qq4w+sfmeaDhKIBZUzo53joPqhdCjAVo7H/MYKPXk4YzOVkJE1tbn596MX4h41PFa0jndUzni85kRTxGJqsgQW2Dvk8MFBqVDlUqUqVQydYIPxVw839Sy89Ex8CqpAx0Buf/ybTpqoXlBwqp9i+Xf3s3PIxXEs6tnGL+L2KCz6kygIpcr8FJDlBAxB2FrciiD11SW+mfvPYj5iP6kSCKMuubqkQg7+7+jWWhdDzCgFPuU="
H_PLAIN = HEAD + "<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[unsubscribe]]></Event></xml>"
H_TEXT = "2fIBjbJiufRC2+np8Wp7vxDu3d7O7mM1A20uV+KffdkRUvaEi4zsfBoUDen17uZYjvQD9/UY9bHcJJxQjKbBOHU6lQ4lB2ozXNve6lDOCOQO1/E0pC75sSTU56BE0cEcC9p6yTBoRRHLED8RbF3A5VUrRm+lfWw/xzKyhhG8VAUGROfwJOP1ErZJXKZ2Uhs8i3Ppd65y8RhKrCh0tFf67eKonxciIbBUdvPF8AaKK/njW6T4RLG7F8JCsWDHiJEECcPypWOUEfJ2wWhRygjMIrNPot7jnDptAYmsdcZ1SSPtRj21A9G93u19eF2SNrKVNIh+93ow9zSzm258jyLjAhrYG3SZgDaM2h3AgMoXarstcZgkE98hq50W2VspueFX"


def test_signature_matches_vector_a_and_the_value_published_by_wechat():
    assert signature(TOKEN, TIMESTAMP, NONCE) == "695608d4bfa7100bd1691fdb41959ab1fcd6ef71"
    assert signature("AAAAA", "1714037059", "486452656") == "899cf89e464efb63f54ddac96b0a0a235f53aa78"


@pytest.mark.parametrize(
    ("key", "appid", "random", "plain", "text"),
    [
        pytest.param(KEY, APPID, RANDOM, B_PLAIN, B_TEXT, id="B"),
        pytest.param(KEY, APPID, b"fedcba9876543210", C_PLAIN, C_TEXT, id="C"),
        pytest.param(KEY, APPID, RANDOM, "a" * 26, D_TEXT, id="D"),
        pytest.param(KEY, "wxcomp000000000001", RANDOM, E_PLAIN, E_TEXT, id="E"),
        pytest.param(KEY, APPID, RANDOM, G_PLAIN, G_TEXT, id="G"),
        pytest.param(PREVIOUS_KEY, APPID, RANDOM, H_PLAIN, H_TEXT, id="H"),
    ],
)
def test_cipher_matches_vector_both_ways(key, appid, random, plain, text):
    cipher = MessageCipher(key, appid)
    assert cipher.encrypt(plain.encode(), random) == text
    assert cipher.decrypt(text) == plain.encode()


@pytest.mark.parametrize(
    ("text", "stamp", "nonce", "wanted"),
    [
        (B_TEXT, TIMESTAMP, NONCE, "4f615e3121225dcddeb2c1ff3bd37d28291ac161"),
        (C_TEXT, "1714036505", NONCE, "850f8ebfe0f218e3e4b782194f964635c117b648"),
        (E_TEXT, TIMESTAMP, NONCE, "13298a324330901f815f52d4b2fca713fac1baaa"),
        (G_TEXT, TIMESTAMP, NONCE, "c0e61d36a8ddf67b33dd0d45781b54eb9f7a9e98"),
        (H_TEXT, TIMESTAMP, NONCE, "efb01663275e9dfcb3ec028c14ccbc723c64fdbf"),
    ],
)
def test_message_signature_matches_vector(text, stamp, nonce, wanted):
    assert signature(TOKEN, stamp, nonce, text) == wanted


@pytest.mark.parametrize(
    ("key", "appid", "text"),
    [
        pytest.param(KEY, APPID, E_TEXT, id="another appid"),
        pytest.param(KEY, APPID, H_TEXT, id="another key"),
        pytest.param(KEY, APPID, B_TEXT[:-4], id="cut"),
        pytest.param(KEY, APPID, "", id="empty"),
        pytest.param(KEY, APPID, "不是", id="not base64"),
    ],
)
def test_decrypt_refuses_what_is_not_for_this_account(key, appid, text):
    with pytest.raises(CipherError):
        MessageCipher(key, appid).decrypt(text)


def test_key_of_another_length_is_refused():
    with pytest.raises(ValueError, match="43 characters"):
        MessageCipher("short", APPID)
