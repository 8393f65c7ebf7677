"""Right requests, and what attackers and broken lines make of them."""

import random
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

from tests.wechat_gateway import forge
from tests.wechat_gateway.conftest import Answered, Caller

REFUSED = Answered(403, [(b"content-length", b"0")], b"")
HEX, DIGITS = b"0123456789abcdef", b"0123456789"
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class Addressed(Caller):
    """Calls from many addresses, since one that keeps failing is told to slow down."""

    def __init__(self, application):
        super().__init__(application)
        self.count = 0

    async def request(self, method, path, query=b"", body=b"", headers=(), raw_path=None, client=None, chunks=None):
        self.count += 1
        answer = {}
        pieces = [body] if chunks is None else list(chunks)
        waiting = [{"type": "http.request", "body": each, "more_body": each is not pieces[-1]} for each in pieces[::-1]]

        async def receive():
            return waiting.pop()

        async def send(message):
            if message["type"] == "http.response.start":
                answer["status"], answer["headers"] = message["status"], message["headers"]
            else:
                answer["body"] = answer.get("body", b"") + message.get("body", b"")

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode() if raw_path is None else raw_path,
            "query_string": query,
            "headers": [(b"host", b"127.0.0.1"), *headers],
            "client": (client or f"10.0.{self.count // 500 % 250}.{self.count // 125_000}", 1),
        }
        await self.application(scope, receive, send)
        return Answered(answer["status"], answer["headers"], answer["body"])


@dataclass(frozen=True)
class Right:
    """One right request of a brand, in its parts."""

    path_token: str
    query: tuple[tuple[str, str], ...]
    encrypted: str
    inner: str

    @property
    def body(self):
        return forge.envelope(self.encrypted).encode()

    @property
    def query_string(self):
        return forge.as_query(dict(self.query))

    def of(self, name):
        return dict(self.query)[name]


def right_request(account, message, *, nonce=forge.NONCE):
    """What WeChat would send to an account made by `make_account`."""
    token, aes_key = account.callback_token.reveal(), account.encoding_aes_key.reveal()
    message = message.replace(forge.ORIGINAL_ID, account.original_id)
    encrypted = forge.encrypt(message, appid=account.appid, aes_key=aes_key)
    query = forge.query_of(encrypted, nonce=nonce, token=token)
    return Right(account.path_token, tuple(query.items()), encrypted, message)


def _changed(rng, text, position, alphabet):
    data = bytearray(text.encode())
    other = [each for each in alphabet if each != data[position]]
    data[position] = rng.choice(other)
    return data.decode()


def mutants(rights, count, seed=20261122):
    """`count` forgeries as (what was done, path, query string, body), every byte of what is signed among them."""
    rng = random.Random(seed)
    made = 0
    for right in rights:  # first each byte once, then by chance
        if made > count // 2:
            break
        for name, alphabet in (("signature", HEX), ("msg_signature", HEX), ("timestamp", DIGITS), ("nonce", DIGITS)):
            for position in range(len(right.of(name))):
                value = _changed(rng, right.of(name), position, alphabet)
                yield f"{name}[{position}]", _path(right), _with(right, name, value), right.body
                made += 1
        # All of the first one's cipher text, and of each further one every so many bytes.
        for position in range(0, len(right.encrypted), 1 if right is rights[0] else 20):
            encrypted = _changed(rng, right.encrypted, position, BASE64)
            yield f"cipher[{position}]", _path(right), right.query_string, forge.envelope(encrypted).encode()
            made += 1
        for position in range(len(right.path_token)):
            token = _changed(rng, right.path_token, position, BASE64[:-2])
            yield f"path[{position}]", f"/wx/{token}", right.query_string, right.body
            made += 1
    kinds = [
        _cipher,
        _swap_query,
        _swap_body,
        _swap_path,
        _downgrade,
        _dropped,
        _doubled,
        _shuffled,
        _moved,
        _truncated,
        _foreign_token,
    ]
    while made < count:
        right, other = rng.choice(rights), rng.choice(rights)
        kind = kinds[made % (len(kinds) * 2)] if made % (len(kinds) * 2) < len(kinds) else _cipher
        forged = kind(rng, right, other)
        if forged is not None:
            yield kind.__name__.strip("_"), *forged
            made += 1


def _path(right):
    return f"/wx/{right.path_token}"


def _with(right, name, value):
    return forge.as_query(dict(right.query) | {name: value})


def _cipher(rng, right, _other):
    encrypted = right.encrypted
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        encrypted = _changed(rng, encrypted, rng.randrange(len(encrypted)), BASE64)
    return (
        (_path(right), right.query_string, forge.envelope(encrypted).encode()) if encrypted != right.encrypted else None
    )


def _swap_query(rng, right, other):
    if right.query == other.query:
        return None
    return _path(right), other.query_string, right.body


def _swap_body(rng, right, other):
    return (_path(right), right.query_string, other.body) if right.encrypted != other.encrypted else None


def _swap_path(rng, right, other):
    return (_path(other), right.query_string, right.body) if right.path_token != other.path_token else None


def _downgrade(rng, right, _other):
    values = dict(right.query)
    for name in rng.sample(["msg_signature", "encrypt_type"], rng.randint(0, 2)):
        del values[name]
    if rng.random() < 0.5:
        values["encrypt_type"] = "raw"
    return _path(right), forge.as_query(values), right.inner.encode()


def _dropped(rng, right, _other):
    values = dict(right.query)
    del values[rng.choice(["signature", "msg_signature", "timestamp", "nonce"])]
    return _path(right), forge.as_query(values), right.body


def _doubled(rng, right, other):
    name = rng.choice(["signature", "msg_signature", "timestamp", "nonce"])
    extra = rng.choice([right.of(name), other.of(name), ""])
    return _path(right), forge.as_query(dict(right.query), f"&{name}={extra}"), right.body


def _shuffled(rng, right, _other):
    """Values under each other's names."""
    names = ["signature", "msg_signature", "timestamp", "nonce"]
    values = [right.of(name) for name in names]
    rng.shuffle(values)
    changed = dict(right.query) | dict(zip(names, values, strict=True))
    return (_path(right), forge.as_query(changed), right.body) if changed != dict(right.query) else None


def _moved(rng, right, _other):
    """Digits moved between timestamp and nonce: the hash over both stays the same."""
    both = right.of("timestamp") + right.of("nonce")
    cut = rng.choice([1, 5, 8, 9, 11, 12, 15])
    changed = dict(right.query) | {"timestamp": both[:cut], "nonce": both[cut:]}
    return _path(right), forge.as_query(changed), right.body


def _truncated(rng, right, _other):
    cut = rng.randrange(len(right.encrypted))
    return _path(right), right.query_string, forge.envelope(right.encrypted[:cut]).encode()


def _foreign_token(rng, right, _other):
    """Everything right but the token, which nobody outside knows."""
    token = "".join(rng.choices("abcdefghijklmnop", k=16))
    encrypted = forge.encrypt(right.inner, aes_key="".join(rng.choices("abcdefghijklmnop", k=43)))
    return _path(right), forge.as_query(forge.query_of(encrypted, token=token)), forge.envelope(encrypted).encode()


def moved_digit(right):
    both = right.of("timestamp") + right.of("nonce")
    return replace(right, query=tuple((dict(right.query) | {"timestamp": both[:9], "nonce": both[9:]}).items()))


def values_of(query):
    return dict(parse_qsl(query.decode("latin-1")))
