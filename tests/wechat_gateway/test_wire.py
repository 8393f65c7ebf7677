"""The quick way to read a push gives what expat gives."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.wechat_gateway.forge import event, text_message
from wechat_gateway import wire
from wechat_gateway.wire import Unreadable, read_fields

PIECES = st.sampled_from(
    ["<a>", "</a>", "<Content>", "</Content>", "<![CDATA[", "]]>", "]", "]]", "&amp;", "&", "<", ">", " ", "\n", "\r",
     "好", "\x01", "\ufffe", "<xml>", "</xml>", "<b/>", "<!-- c -->", "x", "<a x='1'>", "<!DOCTYPE x>", "\u00a0"],
)  # fmt: skip


@settings(max_examples=examples(300))
@given(st.lists(PIECES, max_size=12).map("".join))
@example("<a><![CDATA[x]]]]></a>")
@example("<a><![CDATA[ x ]]></a><Content> y </Content>")
@example("<a>1</a><a>2</a>")
@example("<a>x]]>y</a>")
@example("<a></a>")
def test_quick_and_strict_reading_agree(inside):
    data = f"<xml>{inside}</xml>".encode()
    quick = wire._read_flat(data)
    if quick is None:
        return
    assert quick == wire._read_xml(data, clean=False)


@pytest.mark.parametrize("body", [text_message(content="[微笑] a]]b"), event("CLICK", EventKey="V1")])
def test_usual_push_is_read_the_quick_way(body):
    assert wire._read_flat(body.encode()) == wire._read_xml(body.encode(), clean=False)


@pytest.mark.parametrize(
    "body",
    [
        "<xml>" + "<a><![CDATA[" + "]" * 60_000,
        "<xml>" + "<a>" * 20_000,
        "<xml>" + "<a>x</a>" * 7_000 + "<b>",
        "<xml><a><![CDATA[" + "] " * 30_000 + "</a></xml>",
        "<xml>" + " " * 60_000,
        "<xml><a>" + "x" * 60_000,
        "{" * 60_000,
        '{"a":' + "[" * 60_000,
    ],
)
def test_hostile_body_costs_milliseconds(body):
    started = time.thread_time()  # of the processor, not of the clock: other work may come between
    with pytest.raises(Unreadable):
        read_fields(body.encode())
    assert time.thread_time() - started < 0.25
