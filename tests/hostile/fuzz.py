"""Makes inputs to the callback path that break it if anything does; keeps for seeds whatever gave a new outcome.

`python -m tests.hostile.fuzz 300000` looks for ways through the path and keeps the shortest inputs in corpus/found.yaml.
"""

import random
import sys
from pathlib import Path

import yaml

from tests.sources import load_yaml
from tests.wechat_gateway import forge
from wechat_gateway.codec import Accepted, Quarantined, judge_push
from wechat_gateway.events import EVENT_KINDS, MESSAGE_KINDS

FOUND = Path(__file__).parent / "corpus" / "found.yaml"
NASTY = [
    b"", b" ", b"\x00", b"\x01\x1f", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", "\ufffe".encode(), b"]]>", b"<![CDATA[", b"]]",
    b"<!--", b"-->", b"<?x ?>", b"<!DOCTYPE x>", b"<!ENTITY a 'b'>", b"&amp;", b"&#0;", b"&#xD800;", b"&#1114112;", b"&x;", b"<a>",
    b"</a>", b"<xml>", b"</xml>", b"<a b='c'/>", b"<item/>", b"-1", b"0", b"NaN", b"Infinity", b"1e400", b"9" * 40, b"2147483648",
    b"9223372036854775808", b"qrscene_", b"qrscene_qrscene_x", b"javascript:alert(1)", b"../../etc/passwd", b"' OR 1=1 --",
    b"{{7*7}}", b"%s%n", b"%00", "１２３".encode(), "👩‍👩‍👧".encode(), "\u202eabc".encode(), "好".encode("gbk"), b"a" * 5000,
    b"[" * 200, b'{"a":' * 50, b"\\ud800", b"\r\n\r\n", b"null", b"true", b"(a+)+$",
]  # fmt: skip
FIELDS = ["Content", "MsgId", "MediaId", "PicUrl", "Event", "EventKey", "Ticket", "Latitude", "Longitude", "Precision", "Status", "MsgID",
          "Location_X", "Location_Y", "Scale", "Label", "Url", "Title", "Description", "CreateTime", "FromUserName", "MsgType", "OpenID",
          "List", "SubscribeMsgPopupEvent", "MenuId", "bizmsgmenuid", "SendLocationInfo", "ScanCodeInfo", "SendPicsInfo"]  # fmt: skip
ADDRESSED = f"<ToUserName><![CDATA[{forge.ORIGINAL_ID}]]></ToUserName>".encode()
CIPHER_BREAKS = [
    {"padding": "zero"}, {"padding": "33"}, {"padding": "255"}, {"padding": "uneven"}, {"length": 0}, {"length": -1},
    {"length": 2**31}, {"cipher_bytes": 100}, {"cipher_bytes": 16}, {"cipher_bytes": 32},
]  # fmt: skip


def first_seeds():
    """One right message of every kind, in XML and in JSON."""
    found = []
    for kind in sorted(MESSAGE_KINDS):
        own = f"<MsgType><![CDATA[{kind}]]></MsgType><Content>你好</Content><MediaId>m1</MediaId><MsgId>12345</MsgId>"
        found.append(_whole(own.encode()))
    for kind in EVENT_KINDS:
        own = f"<MsgType>event</MsgType><Event><![CDATA[{kind}]]></Event><EventKey>k</EventKey><MsgID>7</MsgID><Status>success</Status>"
        found.append(_whole(own.encode()))
    notice = b"<List><TemplateId>t</TemplateId><SubscribeStatusString>accept</SubscribeStatusString><PopupScene>1</PopupScene></List>"
    for wrapper in (b"SubscribeMsgPopupEvent", b"SubscribeMsgChangeEvent", b"SubscribeMsgSentEvent"):
        own = b"<MsgType>event</MsgType><Event>subscribe_msg_popup_event</Event><%b>%b%b</%b>" % (
            wrapper,
            notice,
            notice,
            wrapper,
        )
        found.append(_whole(own))
    found.append(
        _whole(b"<MsgType>event</MsgType><Event>LOCATION</Event><Latitude>31.2</Latitude><Longitude>121.4</Longitude>")
    )
    found.append(
        f'{{"ToUserName":"{forge.ORIGINAL_ID}","FromUserName":"{forge.OPENID}","CreateTime":{int(forge.NOW)},"MsgType":"event",'
        '"Event":"subscribe_msg_popup_event","List":[{"TemplateId":"t","PopupScene":"1"}]}'.encode()
    )
    found.append(
        f'{{"ToUserName":"{forge.ORIGINAL_ID}","FromUserName":"{forge.OPENID}","CreateTime":{int(forge.NOW)},"MsgType":"text",'
        '"Content":"你好","MsgId":23456789012345678}'.encode()
    )
    return found


def _whole(own):
    head = f"<FromUserName><![CDATA[{forge.OPENID}]]></FromUserName><CreateTime>{int(forge.NOW)}</CreateTime>".encode()
    return b"<xml>" + ADDRESSED + head + own + b"</xml>"


class Fuzzer:
    """`authentic()` and `foreign()` give inputs; `learn()` is told what came of them."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.seeds = first_seeds()
        self.known = set()
        self.keys = forge.keys()

    def inside(self):
        """A message that was right once."""
        rng = self.rng
        data = rng.choice(self.seeds)
        for _ in range(rng.choice((0, 1, 1, 2, 3, 6))):
            data = rng.choice(STEPS)(rng, data, rng.choice(self.seeds))
        return data[:40_000]

    def authentic(self):
        """(query, body, inner, broken cipher text): signed with the account's own token and encrypted with its own key."""
        rng = self.rng
        inner = self.inside()
        how = rng.choice(CIPHER_BREAKS) if rng.random() < 0.05 else {}
        encrypted = forge.encrypt(inner, **how)
        query = forge.as_query(forge.query_of(encrypted, nonce=str(rng.randrange(10**12))))
        return query, forge.envelope(encrypted).encode(), inner, bool(how)

    def foreign(self):
        """(method, path suffix, query, body, headers) of somebody without keys."""
        rng = self.rng
        query, body, inner, _ = self.authentic()
        query = query.replace(b"&encrypt_type=aes", b"")  # says nothing, so changing it would forge nothing
        choice = rng.randrange(6)
        if choice == 0:
            query = _scramble(rng, query)
        elif choice == 1:
            query = b"&".join(
                rng.choice((b"a", b"nonce", b"timestamp", b"signature[]", b"echostr"))
                + b"="
                + _quote(rng.choice(NASTY))
                for _ in range(rng.randrange(40))
            )
        elif choice == 2:
            query, body = _resigned(query), rng.choice(STEPS)(rng, body, inner)
        elif choice == 3:
            query, body = _resigned(query), inner
        elif choice == 4:
            query, body = _scramble(rng, query), rng.randbytes(rng.randrange(300))
        else:
            query, body = _scramble(rng, query), rng.choice(NASTY) * rng.randrange(1, 20)
        headers = (
            [(b"content-type", rng.choice([b"text/xml", b"application/json", b"\xff", b""]))]
            if rng.random() < 0.3
            else []
        )
        return "GET" if rng.random() < 0.05 else "POST", query, body, headers

    def learn(self, query, body, inner):
        """Keep an authentic message for a seed when what became of it was never seen; says whether it was new."""
        judged = judge_push(self.keys, query, body, now=forge.NOW)
        if isinstance(judged, Accepted):
            outcome = ("OK", judged.head.kind, judged.is_json, judged.head.mark, tuple(sorted(judged.fields))[:40])
        else:
            outcome = ("Q" if isinstance(judged, Quarantined) else "X", judged.reason)
        if outcome in self.known:
            return False
        self.known.add(outcome)
        if len(inner) < 4000 and len(self.seeds) < 3000:
            self.seeds.append(inner)
        return True


def _quote(data):
    return b"".join(b"%%%02X" % byte for byte in data[:300])


def _scramble(rng, query):
    data = bytearray(query)
    while data == query:
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _resigned(query):
    """Signed by somebody who guesses the token."""
    return query.replace(b"signature=", b"signature=0", 1)


def _flip(rng, data, _other):
    if not data:
        return b"\x00"
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(rng, data, _other):
    a, b = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    return data[:a] + data[b:] if rng.random() < 0.7 else data[:a]


def _insert(rng, data, _other):
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(NASTY) + data[at:]


def _splice(rng, data, other):
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _value(rng, data, _other):
    """Another value between two marks."""
    parts = data.split(b">")
    at = rng.randrange(len(parts))
    value = rng.choice(NASTY)
    parts[at] = (b"<![CDATA[" + value + b"]]" if rng.random() < 0.3 else value) + parts[at][parts[at].find(b"<") :]
    return b">".join(parts)


def _field(rng, data, _other):
    """One more field, or one a second time."""
    name = rng.choice(FIELDS).encode()
    value = (
        rng.choice(NASTY)
        if rng.random() < 0.6
        else rng.choice((b"text", b"event", b"subscribe", b"SCAN", b"1714036504", b"1"))
    )
    made = b"<%b>%b</%b>" % (name, value, name) if data[:1] == b"<" else b',"%b":"%b"' % (name, value)
    at = data.rfind(b"</xml>") if data[:1] == b"<" else data.rfind(b"}")
    return data[:at] + made + data[at:] if at > 0 else data + made


def _nest(rng, data, other):
    depth = rng.choice((1, 2, 15, 16, 17, 300))
    inner = b"<a>" * depth + other[5:-6][:500] + b"</a>" * depth
    return data.replace(b"</xml>", inner + b"</xml>")


def _recode(rng, data, _other):
    text = data.decode("utf-8", "replace")
    return text.encode(
        rng.choice(["utf-16", "utf-16-le", "utf-32", "gb18030", "cp037", "utf-8-sig", "utf-7"]), "replace"
    )


def _repeat(rng, data, _other):
    a, b = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    return data[:b] + data[a:b] * rng.choice((1, 2, 50)) + data[b:]


STEPS = [_flip, _cut, _insert, _splice, _value, _value, _field, _field, _field, _nest, _recode, _repeat]


def outcome_of(judged):
    if isinstance(judged, Accepted):
        return f"OK {judged.head.kind}"
    return f"Q {judged.reason}" if isinstance(judged, Quarantined) else f"X {judged.reason}"


def find(count, seed):
    """The shortest few messages for each outcome."""
    fuzzer, kept = Fuzzer(seed), {}
    for row in load_yaml(FOUND.read_text()):
        kept.setdefault(row["outcome"], []).append(bytes.fromhex(row["inner"]))
    for _ in range(count):
        query, body, inner, broken = fuzzer.authentic()
        fuzzer.learn(query, body, inner)
        outcome = outcome_of(judge_push(fuzzer.keys, query, body, now=forge.NOW))
        if broken or (outcome.startswith("OK unknown") and outcome not in kept and len(kept) > 200):
            continue
        most = 1 if outcome.startswith("OK") else 6
        kept[outcome] = sorted({*kept.get(outcome, ()), inner}, key=lambda each: (len(each), each))[:most]
    return [
        {"outcome": outcome, "inner": inner.hex()}
        for outcome in sorted(kept)
        for number, inner in enumerate(kept[outcome])
        if number == 0 or len(inner) < 1000
    ]


def main():
    rows = find(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    comment = "# One message (hex) for each way through the callback path that fuzzing has found: `python -m tests.hostile.fuzz`.\n"
    FOUND.write_text(comment + yaml.safe_dump(rows, width=1_000_000, default_flow_style=None))


if __name__ == "__main__":
    main()
