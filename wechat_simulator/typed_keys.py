"""Rules of the typed keys of a 类目模板 (reference: service account 5.6); a violation is 47003 naming the field."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from wechat_simulator.errors import WeChatError

HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
AMOUNT = re.compile(r"[^\d\s.,-]?\d{1,10}(\.\d+)?元?")
DAY = r"\d{4}([年/.-])\d{1,2}[月/.-]\d{1,2}日?"
CLOCK = r"\d{1,2}:\d{2}(:\d{2})?"
TIME = re.compile(rf"({DAY}\s*)?{CLOCK}")
DATE = re.compile(rf"{DAY}(\s*{CLOCK})?")
PREFIX = re.compile(r"^(.*?)\d*$")


def _name(value: str) -> bool:
    if HAN.search(value):
        return len(value) <= 10
    return len(value) <= 20


RULES: dict[str, Callable[[str], bool]] = {
    "thing": lambda value: len(value) <= 20,
    "number": lambda value: re.fullmatch(r"[-+]?\d{1,32}(\.\d+)?", value) is not None and len(value) <= 32,
    "letter": lambda value: re.fullmatch(r"[A-Za-z]{1,32}", value) is not None,
    "symbol": lambda value: len(value) <= 5,
    "character_string": lambda value: len(value) <= 32 and value.isascii() and value.isprintable(),
    "time": lambda value: TIME.fullmatch(value) is not None,
    "date": lambda value: DATE.fullmatch(value) is not None,
    "amount": lambda value: AMOUNT.fullmatch(value) is not None,
    "phone_number": lambda value: re.fullmatch(r"[\d+()\- ]{1,17}", value) is not None,
    "car_number": lambda value: len(value) <= 8,
    "name": _name,
    "phrase": lambda value: len(value) <= 5 and all(HAN.match(char) for char in value),
}


def check(keys: tuple[str, ...], consts: dict[str, list[str]], data: Any) -> None:
    """Every key of the template must be there and obey the rule of its type; further keys are ignored."""
    if not isinstance(data, dict):
        raise WeChatError(47001)
    for key in keys:
        entry = data.get(key)
        value = entry.get("value") if isinstance(entry, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not value:
            raise WeChatError(47003, f"argument invalid! data.{key}.value is empty")
        match = PREFIX.match(key)
        kind = match.group(1) if match else key
        if kind == "const":
            if consts.get(key) and value not in consts[key]:
                raise WeChatError(47003, f"argument invalid! data.{key}.value invalid")
            continue
        rule = RULES.get(kind)
        if rule is not None and not rule(value):
            raise WeChatError(47003, f"argument invalid! data.{key}.value invalid")
