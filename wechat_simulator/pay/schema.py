"""Bodies are checked field by field: type, length, range, and nothing that is not known (pay reference 3.6, 5.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from wechat_simulator.pay.errors import wrong

MOST_FEN = 2**31 - 1  # the platform's integers; the reference names no greatest amount


@dataclass(frozen=True)
class Text:
    """A string of so many characters."""

    most: int
    least: int = 1
    pattern: str = ""
    required: bool = False

    def check(self, value: Any, where: str) -> None:
        """Right, or PARAM_ERROR naming the field."""
        if not isinstance(value, str):
            raise wrong(where, "类型不是字符串", value)
        if not self.least <= len(value) <= self.most:
            raise wrong(where, f"长度应为 {self.least} 到 {self.most}", value)
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise wrong(where, "格式不符合规则", value)


@dataclass(frozen=True)
class Number:
    """An integer; a text, a fraction and a boolean are none."""

    least: int = 0
    most: int = MOST_FEN
    required: bool = False

    def check(self, value: Any, where: str) -> None:
        """Right, or PARAM_ERROR naming the field."""
        if type(value) is not int:
            raise wrong(where, "类型不是整数", value)
        if not self.least <= value <= self.most:
            raise wrong(where, f"应在 {self.least} 到 {self.most} 之间", value)


@dataclass(frozen=True)
class Flag:
    """True or false."""

    required: bool = False

    def check(self, value: Any, where: str) -> None:
        """Right, or PARAM_ERROR naming the field."""
        if not isinstance(value, bool):
            raise wrong(where, "类型不是布尔值", value)


@dataclass(frozen=True)
class OneOf:
    """One of some words."""

    words: tuple[str, ...]
    required: bool = False

    def check(self, value: Any, where: str) -> None:
        """Right, or PARAM_ERROR naming the field."""
        if value not in self.words:
            raise wrong(where, f"应为 {'、'.join(self.words)}", value)


@dataclass(frozen=True)
class ListOf:
    """A list of one kind."""

    item: Any
    most: int = 6000
    required: bool = False

    def check(self, value: Any, where: str) -> None:
        """Right, or PARAM_ERROR naming the field."""
        if not isinstance(value, list) or len(value) > self.most:
            raise wrong(where, "类型不是数组", value)
        for index, entry in enumerate(value):
            self.item.check(entry, f"{where}/{index}")


@dataclass(frozen=True)
class Body:
    """An object: what is required is there, what is unknown is refused (cause 270924358)."""

    fields: dict[str, Any] = field(default_factory=dict)
    required: bool = False

    def check(self, value: Any, where: str = "") -> None:
        """Right, or PARAM_ERROR naming the field."""
        if not isinstance(value, dict):
            raise wrong(where or "/", "类型不是对象", value)
        for name, kind in self.fields.items():
            if value.get(name) is not None:
                kind.check(value[name], f"{where}/{name}")
            elif kind.required:
                openid = where == "/payer"
                raise wrong(f"{where}/{name}", "缺少参数", cause="openid" if openid else "parameter")
        for name in value:
            if name not in self.fields:
                raise wrong(f"{where}/{name}", "多余的参数", value[name], cause="extra")
