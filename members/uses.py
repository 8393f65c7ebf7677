"""Where a tag is used at WeChat: apps above say it, so that nothing in use is deleted there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from common.registry import Registry
from members.models import RemoteTag


@dataclass(frozen=True)
class TagUse:
    """What uses a tag, and its page ('' in a process without a console)."""

    name: str
    link: str = ""


Users: TypeAlias = Callable[[RemoteTag], list[TagUse]]

tag_users: Final[Registry[Users]] = Registry("tag users", purpose="what uses a tag of ours at WeChat")


def uses_of(remote_tag: RemoteTag) -> list[TagUse]:
    """Give what uses a tag at WeChat."""
    return [use for _key, look in tag_users.items() for use in look(remote_tag)]
