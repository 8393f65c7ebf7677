"""Reads a template's fields out of its text, e.g. `商品名称：{{thing1.DATA}}` (reference: service account 5.6)."""

from __future__ import annotations

import re
from typing import Final

from campaigns.typed_keys import type_of

_FIELD: Final = re.compile(r"(?P<label>[^\n{}]*?)[:：]?\s*\{\{\s*(?P<key>\w+)\.DATA\s*\}\}")
# Old templates still carry them; WeChat no longer shows them (reference: service account 5.6, rule of 2023).
_DROPPED: Final = frozenset({"first", "remark"})


def parse_fields(content: str) -> list[dict[str, str]]:
    """Give the fields of a template in order: [{"key": "thing1", "label": "商品名称", "type": "thing"}].

    Keys without a known type get the type "".
    """
    found: dict[str, dict[str, str]] = {}
    for match in _FIELD.finditer(content):
        key = match["key"]
        if key in _DROPPED or key in found:
            continue
        kind = type_of(key)
        found[key] = {"key": key, "label": match["label"].strip() or key, "type": kind.key if kind else ""}
    return list(found.values())
