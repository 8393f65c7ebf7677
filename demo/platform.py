"""The third-party platform of a demo installation, and an account that has not been authorised to it yet."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from common import clock
from wechat_gateway import platforms, services

NAME: Final = "知音服务商"
UNCONNECTED: Final = "澜屿 LANYU 外滩店"


def _hex(*parts: str, length: int) -> str:
    return sha256("|".join(("demo platform", *parts)).encode()).hexdigest()[:length]


APPID: Final = f"wx{_hex('appid', length=16)}"
KEYS: Final = {
    "secret": _hex("secret", length=32),
    "token": f"demo{_hex('token', length=20)}",
    "aes_key": _hex("aes", length=43),
}


def load_platform(post: Callable[[str, dict[str, Any]], Any]) -> None:
    """Make the platform here and in the simulated WeChat, and let a first ticket come. Safe to repeat."""
    platform = services.set_platform(
        name=NAME,
        appid=APPID,
        app_secret=KEYS["secret"],
        callback_token=KEYS["token"],
        encoding_aes_key=KEYS["aes_key"],
        at=clock.now(),
    )
    post(
        "/_sim/world",
        {
            "components": [
                {
                    "appid": APPID,
                    "name": NAME,
                    **KEYS,
                    "events_url": platforms.events_url(platform),
                    "messages_url": platforms.messages_url(),
                }
            ],
            "accounts": [{"appid": f"wx{_hex('shop', length=16)}", "name": UNCONNECTED, "subject": "op-lanyu"}],
        },
    )
    post(f"/_sim/components/{APPID}/ticket", {})
