"""No input breaks the callback path, and nothing authentic is lost (S5); replies and unknown kinds survive (S7, S15)."""

import asyncio
import gc
import logging
import os
import xml.etree.ElementTree as ET
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.tenancy import brand_scope
from tests.examples import examples
from tests.hostile.conftest import running
from tests.hostile.forgery import right_request
from tests.hostile.fuzz import ADDRESSED, FOUND, Fuzzer, outcome_of
from tests.hostile.sizes import figure, size
from tests.sources import load_yaml
from tests.wechat_gateway import forge
from wechat_gateway import asgi, codec
from wechat_gateway.codec import Accepted, Quarantined, Refused, judge_echo, judge_push
from wechat_gateway.events import EVENT_KINDS, LANES, make_push
from wechat_gateway.models import InboundPush, PushState
from wechat_gateway.registries import handlers
from wechat_gateway.replies import MAX_TEXT_BYTES, Text, clean, render
from wechat_gateway.services import handle_inbound

pytestmark = pytest.mark.timeout(3600)  # sizes are chosen from outside

AT_ONCE = 250
MOST_GROWTH = 20 * 1024 * 1024


def memory():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def digest(text):
    return blake2b(text.encode(), digest_size=12).digest()


# Alarms that the input is meant to raise; any other error is a fault of ours.
ALARMS = ("an authentic push of another account came in", "a message id came again with other content")


class Errors(logging.Handler):
    """Keeps what was logged as an error."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.found = []

    def emit(self, record):
        message = record.getMessage()
        if record.exc_info or not any(alarm in message for alarm in ALARMS):
            self.found.append(message)


@pytest.fixture
def errors():
    handler = Errors()
    logging.getLogger().addHandler(handler)
    yield handler.found
    logging.getLogger().removeHandler(handler)


def handle_everything(account):
    """Work off the inbox with the product's own handlers."""
    for lane in range(LANES):
        for _ in range(100_000):
            if not handle_inbound(brand_id=account.brand_id, lane=lane, at=account.connected_at):
                break


def bodies_of(account):
    with brand_scope(account.brand_id):
        return {digest(body) for body in InboundPush.objects.values_list("body", flat=True).iterator()}


def digests_of(account):
    with brand_scope(account.brand_id):
        return set(InboundPush.objects.values_list("digest", flat=True).iterator())


def states_of(account):
    with brand_scope(account.brand_id):
        return Counter(InboundPush.objects.values_list("state", flat=True))


@pytest.fixture
def quiet():
    """pytest keeps every line that is logged, which would be taken for a leak."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def test_no_input_breaks_the_callback_path(brands, at, errors, quiet):
    """Half of the inputs are authentic with broken insides, and go on to the handlers of every app."""
    account, count = brands[0], size("inputs")
    path, seed = f"/wx/{account.path_token}", int(os.environ.get("ZHIYIN_HOSTILE_SEED", "20261122"))
    fuzzer, answers, refused, kept, known = Fuzzer(seed), Counter(), [], set(), set()
    before = [0]

    async def one(caller, number):
        if number % 2:
            method, query, body, headers = fuzzer.foreign()
            answer = await caller.request(method, path, query, body, headers)
            answers["foreign", answer.status, answer.body] += 1
            return
        query, body, inner, broken = fuzzer.authentic()
        fuzzer.learn(query, body, inner)
        answer = await caller.request("POST", path, query, body)
        answers["authentic", answer.status, answer.body[:7]] += 1
        if answer.status == 403:
            refused.append(inner)
        elif not broken:
            judged = judge_push(forge.keys(), query, body, now=forge.NOW)
            if isinstance(judged, Accepted):  # two bodies may say the same (blanks): what they say is kept once
                known.add(UUID(judged.head.digest))
            else:
                kept.add(digest(asgi._as_text(inner)[0]))

    async def story():
        async with running() as caller:
            for start in range(0, count, AT_ONCE):
                await asyncio.gather(*(one(caller, number) for number in range(start, start + AT_ONCE)))
                if start == count // 5 // AT_ONCE * AT_ONCE:
                    before[0] = memory()
            return memory()

    after = asyncio.run(story())
    handle_everything(account)
    states = states_of(account)
    growth = after - before[0] - 150 * (len(kept) + len(known))  # what this test itself remembers
    figure("S5", "inputs, half of them authentic", str(sum(answers.values())))
    figure(
        "S5",
        "unhandled exceptions, answers 5xx",
        f"{len(errors)}, {sum(n for (_, status, _), n in answers.items() if status >= 500)}",
        "0, 0",
    )
    figure("S5", "kinds of outcome reached", str(len(fuzzer.known)))
    figure("S5", "authentic: kept", " ".join(f"{state} {number}" for state, number in sorted(states.items())))
    figure("S5", "growth of memory", f"{growth / 2**20:.1f} MiB", "< 20 MiB")

    assert {status for who, status, _ in answers if who == "authentic"} <= {200, 403}
    assert {status for who, status, _ in answers if who == "foreign"} <= {403, 413}
    assert {body for who, _, body in answers if who == "foreign"} == {b""}
    # Nothing authentic is refused but what another account is addressed by.
    assert [inner for inner in refused if inner.count(ADDRESSED) == 1 and inner.count(b"ToUserName") == 2][:3] == []
    assert known - digests_of(account) == set()
    assert kept - bodies_of(account) == set()
    assert len(known) > count / 20
    assert set(states) == {PushState.HANDLED, PushState.QUARANTINED}
    assert min(states.values()) > count / 50
    assert errors == []
    assert growth < MOST_GROWTH


FOUND_ROWS = load_yaml(FOUND.read_text())


def test_found_inputs_end_as_they_did(brands, at, errors):
    """The corpus keeps one input for each way through the path that a fuzzing run has found."""
    account = brands[0]
    wrong = []

    async def story():
        async with running() as caller:
            for row in FOUND_ROWS:
                inner = bytes.fromhex(row["inner"])
                encrypted = forge.encrypt(inner)
                query, body = forge.as_query(forge.query_of(encrypted)), forge.envelope(encrypted).encode()
                outcome = outcome_of(judge_push(forge.keys(), query, body, now=forge.NOW))
                answer = await caller.request("POST", f"/wx/{account.path_token}", query, body)
                if outcome != row["outcome"] or answer.status != (403 if outcome.startswith("X") else 200):
                    wrong.append((row, outcome, answer))

    asyncio.run(story())
    handle_everything(account)
    assert wrong == []
    assert errors == []
    assert set(states_of(account)) == {PushState.HANDLED, PushState.QUARANTINED}
    assert len(FOUND_ROWS) > 100


BYTES = st.binary(max_size=300)
HALVES = st.one_of(BYTES, st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))


@settings(max_examples=examples(1500), suppress_health_check=list(HealthCheck))
@given(query=BYTES, body=BYTES, inner=HALVES, mode=st.sampled_from(["SAFE", "COMPATIBLE", "PLAIN"]))
def test_judge_never_raises(query, body, inner, mode):
    """Typed results only, for any bytes in any mode; also for bytes under a right signature."""
    keys = forge.keys(mode=mode)
    signed = forge.as_query(forge.query_of(None))
    encrypted = forge.encrypt(inner)
    sealed = forge.as_query(forge.query_of(encrypted))
    for values, data in ((query, body), (signed, body), (signed, inner), (sealed, forge.envelope(encrypted).encode())):
        judged = judge_push(keys, values, data, now=forge.NOW)
        assert isinstance(judged, Accepted | Quarantined | Refused)
        if isinstance(judged, Accepted):
            make_push(judged.fields, judged.head, brand_id=1, account_id=1, appid="", original_id="", received_at=None)
        assert isinstance(judge_echo(keys, values, now=forge.NOW), bytes | Refused)


# --- Replies (S7) ----------------------------------------------------------------------------------------------------

PIECES = ["]]>", "]]", "]", ">", "<", "&", "<![CDATA[", "</Content>", "<MsgType>", "\x00", "\x01", "\x0b", "\x1f", "\x7f", "\ud800",
          "\udfff", "\ufffe", "\uffff", "\r\n", "\r", "\n", "\t", " ", "好", "é", "👩‍👩‍👧‍👦", "🇨🇳", "👍🏽", "\u202e", "\u200b", "\u200d",
          '<a href="http://x">', "</a>", "a", "'", '"', "𝔘", "e\u0301"]  # fmt: skip


def texts(count, seed=20261122):
    import random

    rng = random.Random(seed)
    for number in range(count):
        if number % 10 == 0:  # around the edge of 2,048 bytes
            text = "字" * rng.randrange(675, 684) + "".join(rng.choices(PIECES, k=rng.randrange(8)))
            yield text + "".join(rng.choices(PIECES, k=4))
        else:
            yield "".join(rng.choices(PIECES, k=rng.randrange(1, 40)))


def test_reply_is_the_text_and_nothing_else():
    """Rendered, encrypted, decrypted and read by another parser than the one that wrote it."""
    account, wrong, cut = forge.keys(), [], 0
    query, body = forge.push(forge.text_message())
    accepted = judge_push(account, query, body, now=forge.NOW)
    for text in texts(size("texts")):
        rendered = render(Text(text), openid=forge.OPENID, original_id=forge.ORIGINAL_ID, at=forge.NOW)
        sealed = codec.seal_reply(account, accepted, rendered.encode(), now=forge.NOW)
        inside = codec._decrypt(account, ET.fromstring(sealed).findtext("Encrypt").encode(), forge.NOW)[0]
        root = ET.fromstring(inside)
        names = [child.tag for child in root]
        found, meant = root.findtext("Content"), clean(text)
        whole = len(meant.encode()) <= MAX_TEXT_BYTES
        cut += not whole
        fits = found == meant if whole else meant.startswith(found) and 1900 < len(found.encode()) <= MAX_TEXT_BYTES
        if (
            names != ["ToUserName", "FromUserName", "CreateTime", "MsgType", "Content"]
            or not fits
            or len(root.find("Content"))
        ):
            wrong.append((text, found))
    assert wrong == []
    assert cut > size("texts") // 100
    figure("S7", "reply texts changed or injected", f"0 of {size('texts')}", "0")


def test_cleaning_drops_only_what_xml_forbids():
    forbidden = ["\x00", "\x01", "\x0b", "\x1f", "\ud800", "\udfff", "\ufffe", "\uffff"]
    kept = "".join(piece for piece in PIECES if piece not in forbidden)
    assert clean("".join(PIECES)) == kept.replace("\r\n", "\n").replace("\r", "\n")


# --- Every kind (S15) ------------------------------------------------------------------------------------------------

INVENTED = [f"invented_{n}" for n in range(10)] + [
    "A.B",
    "-",
    "x" * 64,
    "0",
    "Subscribed",
    "scan2",
    "textt",
    "None",
    "null",
    "_",
]


def test_known_events_are_handled_and_unknown_ones_kept(brands, at, errors):
    account = brands[0]
    kinds = [*EVENT_KINDS, *INVENTED]
    assert len(EVENT_KINDS) >= 60
    assert len(INVENTED) == 20

    async def story():
        async with running() as caller:
            answers = []
            for number, kind in enumerate(kinds):
                right = right_request(
                    account, forge.event(kind, openid=f"oPerson{number}", EventKey="x"), nonce=str(number)
                )
                answers.append(await caller.request("POST", f"/wx/{right.path_token}", right.query_string, right.body))
            return answers

    answers = asyncio.run(story())
    assert {(answer.status, answer.body[:7]) for answer in answers} <= {(200, b"success"), (200, b"<xml><E")}
    handle_everything(account)
    with brand_scope(account.brand_id):
        rows = dict(InboundPush.objects.values_list("openid", "kind"))
    assert [rows[f"oPerson{n}"] for n in range(len(EVENT_KINDS))] == list(EVENT_KINDS)
    unknown = [rows[f"oPerson{n}"] for n in range(len(EVENT_KINDS), len(kinds))]
    assert unknown == [f"unknown:{name.lower()}"[:64] for name in INVENTED]
    assert states_of(account) == {PushState.HANDLED: len(kinds)}
    assert errors == []
    assert len(list(handlers.items())) >= 5
    figure("S15", "kinds of events known, invented: kept", f"{len(EVENT_KINDS)}, {len(INVENTED)}: {len(rows)}", "all")
