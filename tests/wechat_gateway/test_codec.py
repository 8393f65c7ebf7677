"""Judging callbacks: reference vectors, the corpus, and mutants of right requests."""

import base64
import itertools
import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wechatpy.crypto import WeChatCrypto

from tests.examples import examples
from tests.sources import load_yaml
from tests.wechat_gateway import forge
from tests.wechat_gateway.forge import AES_KEY, APPID, NONCE, NOW, TOKEN
from wechat_gateway import codec
from wechat_gateway.codec import Accepted, MessageCipher, Quarantined, Refused, judge_echo, judge_push, seal_reply

CORPUS = load_yaml((Path(__file__).parent / "corpus" / "callbacks.yaml").read_text())
VECTORS = load_yaml((Path(__file__).parent / "corpus" / "vectors.yaml").read_text())


def outcome(judged):
    if isinstance(judged, Accepted):
        return f"OK {judged.head.kind}"
    return f"Q {judged.reason}" if isinstance(judged, Quarantined) else f"X {judged.reason}"


@pytest.mark.parametrize("row", CORPUS, ids=lambda row: f"{row['id']}-{row['case'].replace(' ', '_')}")
def test_callback_of_the_corpus_gets_its_answer(row):
    account, query, body = forge.from_row(row)
    judged = judge_push(account, query, body, now=NOW)
    assert outcome(judged) == row["expect"]
    if "mark" in row:
        assert judged.head.mark == row["mark"]
        assert judged.head.event_at == NOW


def test_corpus_rows_have_distinct_names():
    names = [(row["id"], row["case"]) for row in CORPUS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("vector", VECTORS["inbound"], ids=lambda vector: vector["name"])
def test_reference_vector_is_made_and_read(vector):
    key = vector.get("aes_key", AES_KEY)
    cipher = MessageCipher(key)
    random_bytes = vector["random"].encode()
    made = cipher.encrypt(vector["message"].encode(), vector.get("appid", APPID).encode(), random=random_bytes).decode()
    assert made == vector["encrypted"]
    if "msg_signature" in vector:
        signed = codec.signature(TOKEN.encode(), str(vector["timestamp"]).encode(), NONCE.encode(), made.encode())
        assert signed.decode() == vector["msg_signature"]
    account = forge.keys(aes_key=key, appid=vector.get("appid", APPID).encode())
    assert codec._decrypt(account, made.encode(), NOW)[0].decode() == vector["message"]


def test_published_url_signature_is_reproduced():
    assert codec.signature(b"AAAAA", b"1714037059", b"486452656") == b"899cf89e464efb63f54ddac96b0a0a235f53aa78"


def test_ticket_push_of_the_platform_is_not_ours():
    ticket = next(vector for vector in VECTORS["inbound"] if vector["name"].startswith("E"))
    query = forge.as_query(forge.query_of(ticket["encrypted"]))
    judged = judge_push(forge.keys(), query, forge.envelope(ticket["encrypted"]).encode(), now=NOW)
    assert judged == Refused(codec.Doubt.APPID)


def test_reply_under_the_previous_key_is_sealed_with_that_key():
    account = forge.keys(previous=forge.OLD_AES_KEY, previous_until=NOW + 60)
    query, body = forge.push(forge.text_message(), aes_key=forge.OLD_AES_KEY)
    judged = judge_push(account, query, body, now=NOW)
    sealed = seal_reply(account, judged, b"<xml>ok</xml>", now=NOW).decode()
    encrypted = sealed.split("<Encrypt><![CDATA[")[1].split("]]>")[0]
    old = forge.keys(aes_key=forge.OLD_AES_KEY)
    assert codec._decrypt(old, encrypted.encode(), NOW)[0] == b"<xml>ok</xml>"


def test_sealed_reply_can_be_read_by_the_reference_implementation():
    query, body = forge.push(forge.text_message())
    account = forge.keys()
    judged = judge_push(account, query, body, now=NOW)
    sealed = seal_reply(account, judged, "<xml><Content>好</Content></xml>".encode(), now=NOW).decode()
    signature = sealed.split("<MsgSignature><![CDATA[")[1].split("]]>")[0]
    stamp = sealed.split("<TimeStamp>")[1].split("<")[0]
    peer = WeChatCrypto(TOKEN, AES_KEY, APPID)
    # wechatpy gives the text of the root it finds; the wrapper makes it return ours
    assert "好" in str(peer.decrypt_message(sealed, signature, stamp, NONCE))


@settings(max_examples=examples(50))
@given(st.text(min_size=1, max_size=400).filter(lambda text: "\x00" not in text), st.binary(min_size=16, max_size=16))
def test_codec_and_reference_read_each_other(text, random_bytes):
    text = text.encode("utf-8", "ignore").decode() or "x"
    peer = WeChatCrypto(TOKEN, AES_KEY, APPID)
    ours = MessageCipher(AES_KEY).encrypt(text.encode(), APPID.encode(), random=random_bytes)
    stamp = str(int(NOW))
    signed = forge.sign(TOKEN, stamp, NONCE, ours.decode())
    assert peer._decrypt_message({"Encrypt": ours.decode()}, signed, stamp, NONCE, _cipher_of_wechatpy()) == text
    theirs = _encrypted_by_wechatpy(peer, text)
    assert codec._decrypt(forge.keys(), theirs.encode(), NOW)[0].decode() == text


def _cipher_of_wechatpy():
    from wechatpy.crypto import PrpCrypto

    return PrpCrypto


def _encrypted_by_wechatpy(peer, text):
    sealed = peer.encrypt_message(text, NONCE, str(int(NOW)))
    return sealed.split("<Encrypt><![CDATA[")[1].split("]]>")[0]


def test_no_mutant_of_a_right_request_is_accepted():
    rng = random.Random(20240425)
    account = forge.keys()
    accepted = []
    for number in range(40):
        query, body = forge.push(forge.text_message(content=f"消息{number}", msgid=str(10**16 + number)))
        assert isinstance(judge_push(account, query, body, now=NOW), Accepted)
        for _ in range(250):
            mutant_query, mutant_body = bytearray(query), bytearray(body)
            target = mutant_query if rng.random() < 0.5 else mutant_body
            position = rng.randrange(len(target))
            target[position] ^= 1 << rng.randrange(8)
            if _touches_only_what_nobody_signs(query, bytes(mutant_query), body, bytes(mutant_body)):
                continue
            judged = judge_push(account, bytes(mutant_query), bytes(mutant_body), now=NOW)
            if not isinstance(judged, Refused):
                accepted.append((bytes(mutant_query), bytes(mutant_body)))
    assert accepted == []


def _touches_only_what_nobody_signs(query, mutant_query, body, mutant_body):
    """encrypt_type, and the envelope's own ToUserName, bind nothing: the stored mode and the inside decide."""
    if query != mutant_query:
        start = query.index(b"&encrypt_type=")
        changed = next(i for i, (a, b) in enumerate(zip(query, mutant_query, strict=True)) if a != b)
        return start <= changed < query.index(b"&msg_signature=")
    changed = next(i for i, (a, b) in enumerate(zip(body, mutant_body, strict=True)) if a != b)
    return changed < body.index(b"<Encrypt>") and b"Encrypt" in mutant_body


@settings(max_examples=examples(100))
@given(st.binary(max_size=300), st.binary(max_size=600))
@example(b"timestamp=1714036504&nonce=%ff", b"<xml>")
@example(b"=&=&&&", b"{")
def test_arbitrary_bytes_never_raise(query, body):
    for mode in ("SAFE", "COMPATIBLE", "PLAIN"):
        account = forge.keys(mode=mode)
        assert isinstance(judge_push(account, query, body, now=NOW), Refused)
        assert isinstance(judge_echo(account, query, now=NOW), Refused)


@settings(max_examples=examples(100))
@given(st.binary(min_size=1, max_size=500))
@example(b'{"a":' * 5000)
@example("<xml><MsgType>文</MsgType></xml>".encode("gbk"))
def test_authentic_rubbish_is_kept_and_never_raises(inside):
    query, body = forge.push(inside)
    judged = judge_push(forge.keys(), query, body, now=NOW)
    assert isinstance(judged, Quarantined | Accepted)


def test_quick_and_strict_reading_of_the_envelope_agree(monkeypatch):
    shapes = [
        forge.envelope("QUJD"),
        "<xml>\n  <ToUserName>gh_1</ToUserName>\n  <Encrypt><![CDATA[QUJD]]></Encrypt>\n</xml>\n",
        "<xml><Encrypt>QUJD</Encrypt></xml>",
    ]
    quick = [codec._envelope(shape.encode()) for shape in shapes]
    monkeypatch.setattr(codec, "_ENVELOPE", codec.re.compile(rb"(?!)"))
    assert [codec._envelope(shape.encode()) for shape in shapes] == quick == [b"QUJD"] * 3


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("&echostr=8431234", b"8431234"),
        ("&echostr=%3Cscript%3E", b"<script>"),
        ("&echostr=a%0Ab", b"a\nb"),
        ("&echostr=" + "a" * 1024, b"a" * 1024),
        ("&echostr=" + "a" * 1025, Refused(codec.Doubt.ECHO)),
        ("", Refused(codec.Doubt.ECHO)),
        ("&echostr=", Refused(codec.Doubt.ECHO)),
        ("&echostr=1&echostr=2", Refused(codec.Doubt.QUERY)),
    ],
)
def test_url_verification_echoes_one_short_value(extra, expected):
    query = forge.as_query(forge.query_of(None), extra)
    assert judge_echo(forge.keys(), query, now=NOW) == expected


def test_url_verification_refuses_a_stale_timestamp():
    query = forge.as_query(forge.query_of(None, timestamp=str(int(NOW) - 301)), "&echostr=1")
    assert judge_echo(forge.keys(), query, now=NOW) == Refused(codec.Doubt.TIMESTAMP)


def test_secrets_are_not_printed():
    account = forge.keys()
    printed = f"{account!r} {account.cipher!r}"
    assert TOKEN not in printed
    assert AES_KEY not in printed
    assert base64.b64decode(AES_KEY + "=").hex() not in printed


def test_message_key_of_a_wrong_form_is_refused():
    with pytest.raises(ValueError):
        MessageCipher("short")


def test_every_doubt_occurs_in_the_corpus():
    seen = {row["expect"].split()[1] for row in CORPUS if row["expect"].startswith("X")}
    assert set(itertools.chain(seen, ["ECHO"])) == {doubt.value for doubt in codec.Doubt}


def test_one_cipher_serves_many_messages_and_junk_between_them():
    peer, cipher, keys = WeChatCrypto(TOKEN, AES_KEY, APPID), MessageCipher(AES_KEY), forge.keys()
    stamp, made = str(int(NOW)), []
    for number in range(20):
        text = f"第{number}条" * (number + 1)
        assert codec._decrypt(keys, forge.encrypt(text).encode(), NOW)[0].decode() == text
        keys.cipher.decrypt_raw(b"junk" * 4 * number)
        ours = cipher.encrypt(text.encode(), APPID.encode()).decode()
        signed = forge.sign(TOKEN, stamp, NONCE, ours)
        assert peer._decrypt_message({"Encrypt": ours}, signed, stamp, NONCE, _cipher_of_wechatpy()) == text
        made.append(cipher.encrypt(b"the same", APPID.encode()))
    assert len(set(made)) == 20
