"""Reads WeChat's XML and JSON into plain nested dicts, strictly: no DTD, no entities, UTF-8 only, bounded."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import Any, Final, NoReturn, TypeAlias
from xml.parsers import expat

Value: TypeAlias = "str | Fields | list[Value]"
Fields: TypeAlias = "dict[str, Value]"

MAX_DEPTH: Final = 16
MAX_TAGS: Final = 4096
_BOM: Final = b"\xef\xbb\xbf"
# XML 1.0 forbids these even in CDATA, yet phones send them inside texts; tab, line feed and carriage return stay.
_FORBIDDEN_CONTROLS: Final = bytes(c for c in range(1, 32) if c not in (9, 10, 13))
_DECLARED_ENCODING: Final = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([^\"']*)[\"']")
# What nearly every push looks like: <xml> around flat elements, CDATA or plain, without entities. Reading it this way
# gives what expat gives (a test compares the two) in a third of the time; anything else goes to expat.
_ELEMENT: Final = (  # possessive throughout: a body that does not fit is given up in one pass
    r"<([A-Za-z]\w*+)>(?:<!\[CDATA\[((?:[^\]]++|\](?!\]>))*+)\]\]>|([^<&\]]*+))</\1>[ \t\n]*+"
)
_FLAT: Final = re.compile(rf"<xml>[ \t\n]*+((?:{_ELEMENT.replace(chr(92) + '1', chr(92) + '2')})*+)</xml>", re.ASCII)
_ELEMENTS: Final = re.compile(_ELEMENT, re.ASCII)
_NOT_XML: Final = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Blanks belong to what a person wrote; everywhere else WeChat itself pads values (reference: service account 3.1).
_WRITTEN_BY_PEOPLE: Final = frozenset({"Content"})


class Unreadable(Exception):
    """The bytes are not a message of a known form; `reason` is a short code for operators."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_fields(data: bytes, *, clean: bool = True) -> Fields:
    """The message as nested dicts of strings, from XML or JSON by its first byte.

    A repeated element becomes a list. `clean` drops control characters that XML forbids before giving up.
    Raises Unreadable.
    """
    data = data.removeprefix(_BOM)
    start = data.lstrip()[:1]
    if start == b"<":
        return _read_flat(data) or _read_xml(data, clean=clean)
    if start == b"{":
        return _read_json(data)
    raise Unreadable("EMPTY" if not start else "FORMAT")


def text_of(fields: Fields, name: str) -> str:
    """The value of a leaf, '' when it is missing, nested or repeated."""
    value = fields.get(name)
    return value if type(value) is str else ""


def _read_flat(data: bytes) -> Fields | None:
    """The fields of a document of the usual shape; None: let expat decide."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    match = _FLAT.fullmatch(text)
    if match is None or _NOT_XML.search(text):
        return None
    found = _ELEMENTS.findall(match[1])
    fields: Fields = {
        name: (cdata or plain) if name in _WRITTEN_BY_PEOPLE else (cdata or plain).strip()
        for name, cdata, plain in found
    }
    return fields if len(fields) == len(found) <= MAX_TAGS // 2 else None


def _read_xml(data: bytes, *, clean: bool) -> Fields:
    if b"\x00" in data:
        raise Unreadable("NUL")
    declared = _DECLARED_ENCODING.match(data.lstrip())
    if declared and declared[1].lower() not in (b"utf-8", b"utf8"):
        raise Unreadable("ENCODING")
    if data.count(b"<") > MAX_TAGS:
        raise Unreadable("TOO_MANY_ELEMENTS")
    try:
        root = _tree(data)
    except ET.ParseError:
        cleaned = data.translate(None, _FORBIDDEN_CONTROLS)
        if not clean or cleaned == data:
            raise Unreadable("XML") from None
        try:
            root = _tree(cleaned)
        except ET.ParseError:
            raise Unreadable("XML") from None
    if root.tag != "xml":
        raise Unreadable("ROOT")
    return _children(root, 1)


def _tree(data: bytes) -> ET.Element:
    """Parse with expat; the encoding is forced, so that a DTD can only be spelled in the bytes looked for here."""
    if b"<!DOCTYPE" in data:
        # The word may stand in a text somebody wrote; only a real declaration is refused.
        judge = expat.ParserCreate("utf-8")
        judge.StartDoctypeDeclHandler = _refuse_doctype
        try:
            judge.Parse(data, True)
        except expat.ExpatError:
            raise Unreadable("XML") from None
    parser = ET.XMLParser(encoding="utf-8")  # noqa: S314 - see above
    parser.feed(data)
    return parser.close()


def _refuse_doctype(*_: object) -> NoReturn:
    raise Unreadable("DOCTYPE")


def _children(element: ET.Element, depth: int) -> Fields:
    if depth > MAX_DEPTH:
        raise Unreadable("TOO_DEEP")
    if element.attrib:
        raise Unreadable("ATTRIBUTES")
    fields: Fields = {}
    for child in element:
        tag = child.tag
        value: Value
        if len(child):
            value = _children(child, depth + 1)
        else:
            if child.attrib:
                raise Unreadable("ATTRIBUTES")
            value = child.text or ""
            if tag not in _WRITTEN_BY_PEOPLE:
                value = value.strip()
        _add(fields, tag, value)
    return fields


def _add(fields: Fields, name: str, value: Value) -> None:
    if name not in fields:
        fields[name] = value
        return
    known = fields[name]
    if type(known) is list:
        known.append(value)
    else:
        fields[name] = [known, value]


def _read_json(data: bytes) -> Fields:
    try:
        found = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Unreadable("JSON") from None
    if type(found) is not dict:
        raise Unreadable("ROOT")
    return {name: _plain(name, value, 1) for name, value in found.items()}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("DUPLICATE_KEY")
    return found


def _refuse_constant(_: str) -> NoReturn:
    raise Unreadable("JSON")


def _plain(name: str, value: object, depth: int) -> Value:
    """Numbers become text, as XML would have carried them: pushes mix both (reference: service account 1.2)."""
    if depth > MAX_DEPTH:
        raise Unreadable("TOO_DEEP")
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise Unreadable("SURROGATE")
        return value if name in _WRITTEN_BY_PEOPLE else value.strip()
    if isinstance(value, dict):
        return {key: _plain(key, item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(name, item, depth + 1) for item in value]
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
