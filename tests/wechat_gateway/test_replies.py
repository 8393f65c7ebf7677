"""Replies keep their shape whatever is written into them."""

import xml.etree.ElementTree as ET

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from wechat_gateway.replies import (
    Image,
    MiniProgramLink,
    News,
    Text,
    TransferToCustomerService,
    Voice,
    clean,
    fit,
    render,
)  # fmt: skip

TO = {"openid": "oPerson", "original_id": "gh_1", "at": 1714036505.7}


@settings(max_examples=examples(100))
@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=300))
@example("]]>")
@example("a]]]]>]]>b")
@example("\x00\x01\ud800\ufffe\r\n\r")
@example("<Event>x</Event>&amp;&#65;")
def test_text_survives_rendering_and_injects_nothing(text):
    root = ET.fromstring(render(Text(text), **TO))
    assert [child.tag for child in root] == ["ToUserName", "FromUserName", "CreateTime", "MsgType", "Content"]
    assert (root.findtext("Content") or "") == fit(clean(text))


@settings(max_examples=examples(50))
@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=100))
def test_json_reply_holds_the_same_text(text):
    reply = orjson.loads(render(Text(text), as_json=True, **TO))
    assert reply == {
        "ToUserName": "oPerson", "FromUserName": "gh_1", "CreateTime": 1714036505, "MsgType": "text",
        "Content": fit(clean(text)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "size"),
    [("a" * 2048, 2048), ("a" * 2049, 2048), ("好" * 683, 2046), ("a" + "👍" * 600, 2045), ("a" * 2047 + "好", 2047)],
)
def test_long_text_is_cut_between_characters(text, size):
    assert len(fit(text).encode()) == size


def test_cut_never_leaves_half_a_link():
    assert fit("a" * 2030 + '<a href="https://example.com/">b</a>') == "a" * 2030
    assert fit('<a href="x">b</a>' + "a" * 3000).startswith('<a href="x">b</a>')


def test_each_kind_of_reply_has_its_fields():
    def shape(reply):
        return {
            child.tag: (child.text or [(sub.tag, sub.text) for sub in child.iter() if sub.text])
            for child in ET.fromstring(render(reply, **TO))
        }

    assert shape(Image("m1"))["Image"] == [("MediaId", "m1")]
    assert shape(Voice("m2"))["MsgType"] == "voice"
    assert shape(News("题", "d", "https://p", "https://u"))["Articles"] == [
        ("Title", "题"), ("Description", "d"), ("PicUrl", "https://p"), ("Url", "https://u"),
    ]  # fmt: skip
    assert shape(TransferToCustomerService("kf01@brandx"))["TransInfo"] == [("KfAccount", "kf01@brandx")]
    assert "TransInfo" not in shape(TransferToCustomerService())


def test_mini_program_link_escapes_what_it_is_given():
    content = ET.fromstring(render(MiniProgramLink('<b>"', "wx1", 'p?a=1&b="', "https://u"), **TO)).findtext("Content")
    assert content == (
        '<a href="https://u" data-miniprogram-appid="wx1" data-miniprogram-path="p?a=1&amp;b=&quot;">&lt;b&gt;"</a>'
    )
