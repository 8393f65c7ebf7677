"""Plays WeChat (and its attackers): makes callback requests, right and wrong in every way the corpus names."""

import base64
import os
from hashlib import sha1
from urllib.parse import quote_from_bytes

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from wechat_gateway.codec import AccountKeys, MessageCipher, Mode

NOW = 1714036504.0
TOKEN = "brandCrmToken2024"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
OLD_AES_KEY = "GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba"
APPID = "wx1234567890abcdef"
ORIGINAL_ID = "gh_0123456789ab"
OPENID = "oTestOpenId000000000000000001"
NONCE = "1514711492"


def sign(*parts):
    return sha1("".join(sorted(parts)).encode()).hexdigest()


def text_message(content="你好", msgid="23456789012345678", openid=OPENID, created=int(NOW), extra=""):
    return (
        f"<xml><ToUserName><![CDATA[{ORIGINAL_ID}]]></ToUserName><FromUserName><![CDATA[{openid}]]></FromUserName>"
        f"<CreateTime>{created}</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{content}]]></Content>"
        f"<MsgId>{msgid}</MsgId>{extra}</xml>"
    )


def event(name, openid=OPENID, created=int(NOW), **fields):
    own = "".join(f"<{key}><![CDATA[{value}]]></{key}>" for key, value in fields.items())
    return (
        f"<xml><ToUserName><![CDATA[{ORIGINAL_ID}]]></ToUserName><FromUserName><![CDATA[{openid}]]></FromUserName>"
        f"<CreateTime>{created}</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[{name}]]></Event>{own}</xml>"
    )


def keys(mode="SAFE", aes_key=AES_KEY, previous=None, previous_until=0.0, **changes):
    values = {
        "brand_id": 1,
        "account_id": 1,
        "appid": APPID.encode(),
        "original_id": ORIGINAL_ID,
        "mode": Mode(mode),
        "token": TOKEN.encode(),
        "cipher": MessageCipher(aes_key),
        "previous_cipher": MessageCipher(previous) if previous else None,
        "previous_until": previous_until,
    }
    return AccountKeys(**{**values, **changes})


def encrypt(message, *, appid=APPID, aes_key=AES_KEY, random=None, length=None, padding=None, cipher_bytes=None):
    """Base64 cipher text; `length` and `padding` break what they name."""
    if isinstance(message, str):
        message = message.encode()
    key = base64.b64decode(aes_key + "=")
    size = len(message) if length is None else length % 2**32
    plain = (random or os.urandom(16)) + size.to_bytes(4, "big") + message + appid.encode()
    pad = 32 - len(plain) % 32
    tail = {
        None: bytes([pad]) * pad,
        "zero": bytes(pad),
        "33": b"\x21" * pad,
        "255": b"\xff" * pad,
        "uneven": bytes(pad - 1) + bytes([pad]) if pad > 1 else bytes([2]),
    }[padding]
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    data = encryptor.update(plain + tail) + encryptor.finalize()
    if cipher_bytes is not None:
        data = (data * 2)[:cipher_bytes]
    return base64.b64encode(data).decode()


def envelope(encrypted):
    return f"<xml><ToUserName><![CDATA[{ORIGINAL_ID}]]></ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"


def query_of(encrypted, *, timestamp=None, nonce=NONCE, token=TOKEN):
    timestamp = str(int(NOW)) if timestamp is None else timestamp
    values = {"signature": sign(token, timestamp, nonce), "timestamp": timestamp, "nonce": nonce}
    if encrypted is not None:
        values |= {"encrypt_type": "aes", "msg_signature": sign(token, timestamp, nonce, encrypted)}
    return values


def as_query(values, extra=""):
    query = "&".join(
        f"{name}={quote_from_bytes(value.encode('utf-8', 'surrogateescape'))}" for name, value in values.items()
    )
    return (query + extra).encode()


def push(message, *, timestamp=None, nonce=NONCE, token=TOKEN, **how):
    """(query string, body) of a right request in safe mode."""
    encrypted = encrypt(message, **how)
    return as_query(query_of(encrypted, timestamp=timestamp, nonce=nonce, token=token)), envelope(encrypted).encode()


def plain_push(message, *, timestamp=None, nonce=NONCE):
    return as_query(query_of(None, timestamp=timestamp, nonce=nonce)), message.encode()


def from_row(row):
    """(keys, query, body) of a corpus row; see corpus/callbacks.yaml for what a row may say."""
    account = keys(
        mode=row.get("mode", "SAFE"),
        previous=OLD_AES_KEY if "previous_until" in row else None,
        previous_until=NOW + row.get("previous_until", 0),
    )
    message = _message(row)
    timestamp = row.get("timestamp", str(int(NOW + row.get("age", 0))))
    nonce = row.get("nonce", NONCE) * row.get("nonce_times", 1)
    if row.get("plain"):
        encrypted, body = None, message
    else:
        encrypted = row.get("encrypted") or encrypt(
            message,
            appid=row.get("appid", APPID) or "",
            aes_key=OLD_AES_KEY if row.get("old_key") else AES_KEY,
            length=_length(row, message),
            padding=row.get("padding"),
            cipher_bytes=row.get("cipher_bytes"),
        )
        for change in row.get("encrypted_change", []):
            encrypted = encrypted.replace(change[0], change[1], change[2] if len(change) > 2 else -1)
        encrypted = encrypted.rstrip("=") if row.get("strip_equals") else encrypted + row.get("encrypted_append", "")
        body = row.get("envelope", envelope("{encrypted}")).replace("{encrypted}", encrypted).encode()
        if row.get("prefix") == "bom":
            body = b"\xef\xbb\xbf" + body
    values = query_of(encrypted, timestamp=timestamp, nonce=nonce)
    for name in row.get("drop", []):
        values.pop(name, None)
    values |= {name: value * row.get("value_times", 1) for name, value in row.get("set", {}).items()}
    if "signature_of_other" in row:
        values["msg_signature"] = sign(TOKEN, timestamp, nonce, encrypt("other"))
    for name in row.get("upper", []):
        values[name] = values[name].upper()
    for name in row.get("pad", []):
        values[name] = f" {values[name]} "
    extra = row.get("extra", "")
    for name in row.get("double", []):
        extra += f"&{name}={values.get(name, '')}"
    if "body" in row:
        body = row["body"].encode()
    return account, as_query(values, extra), body


def _message(row):
    if "message_hex" in row:
        return bytes.fromhex(row["message_hex"])
    if "repeat" in row:
        row = {key: _repeated(value, row["repeat"]) for key, value in row.items() if key != "repeat"}
    if "fields" in row:
        known = {
            "ToUserName": ORIGINAL_ID,
            "FromUserName": OPENID,
            "CreateTime": str(int(NOW)),
            "MsgType": "text",
            "Content": "你好",
            "MsgId": "23456789012345678",
        }
        if row["fields"].get("MsgType") == "event":
            del known["Content"], known["MsgId"]
        known |= {key: value for key, value in row["fields"].items() if value is not None}
        for key, value in row["fields"].items():
            if value is None:
                del known[key]
        inner = "".join(f"<{key}>{value}</{key}>" for key, value in known.items())
        return f"<xml>{inner}{row.get('more', '')}</xml>".encode()
    if "deep" in row:
        return ("<xml>" + "<a>" * row["deep"] + "</a>" * row["deep"] + "</xml>").encode()
    if "wide" in row:
        return ("<xml>" + "<a/>" * row["wide"] + "</xml>").encode()
    if "attributes" in row:
        return ("<xml><a " + " ".join(f'a{n}="1"' for n in range(row["attributes"])) + "/></xml>").encode()
    message = row.get("message", text_message())
    return message.encode(row.get("encoding", "utf-8"))


def _repeated(value, marks):
    """Put a text many times where its mark stands."""
    if isinstance(value, dict):
        return {key: _repeated(each, marks) for key, each in value.items()}
    if isinstance(value, str):
        for mark, (text, times) in marks.items():
            value = value.replace(mark, text * times)
    return value


def _length(row, message):
    if "length" not in row:
        return None
    length = row["length"]
    return len(message) + int(length) if isinstance(length, str) else length
