"""Push bodies in XML and JSON, and strict reading of the answers (reference: service account 1.2, 4)."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

Fields = dict[str, Any]
MAX_REPLY = 64 * 1024


class ReplyError(ValueError):
    """A passive reply that WeChat would not show; the text says why."""


def _cdata(text: str) -> str:
    return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"


def _element(name: str, value: Any) -> str:
    if isinstance(value, dict):
        inner = "".join(_element(key, item) for key, item in value.items())
    elif isinstance(value, list):
        return "".join(_element(name, item) for item in value)  # a repeated element, no container
    elif isinstance(value, int | float):
        inner = str(value)
    else:
        inner = _cdata(str(value))
    return f"<{name}>{inner}</{name}>"


def to_xml(fields: Fields) -> bytes:
    """``<xml>…</xml>``: text in CDATA, numbers bare, lists as repeated elements."""
    return ("<xml>" + "".join(_element(name, value) for name, value in fields.items()) + "</xml>").encode()


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return str(value)


def to_json(fields: Fields, *, numbers_as_text: bool = False) -> bytes:
    """The JSON form; number fields may come as text (reference: service account 1.2)."""
    return json.dumps(_texts(fields) if numbers_as_text else fields, ensure_ascii=False, separators=(",", ":")).encode()


def _tree(element: ET.Element) -> Any:
    if len(element) == 0:
        return element.text or ""
    answer: dict[str, Any] = {}
    for child in element:
        value = _tree(child)
        if child.tag in answer:
            present = answer[child.tag]
            answer[child.tag] = [*present, value] if isinstance(present, list) else [present, value]
        else:
            answer[child.tag] = value
    return answer


def parse(body: bytes, expected: str) -> Fields:
    """Fields of a reply in the format of the push (``xml`` or ``json``); ``ReplyError`` for anything else."""
    if len(body) > MAX_REPLY:
        raise ReplyError("larger than 64 KB")
    if expected == "json":
        try:
            value = json.loads(body)
        except ValueError as error:
            raise ReplyError("not JSON") from error
        if not isinstance(value, dict):
            raise ReplyError("not a JSON object")
        return value
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ReplyError("DTD in XML")
    try:
        root = ET.fromstring(body)  # noqa: S314 - DTD and entities are refused above
    except ET.ParseError as error:
        raise ReplyError("not XML") from error
    value = _tree(root)
    if root.tag != "xml" or not isinstance(value, dict):
        raise ReplyError("root is not <xml>")
    return value
