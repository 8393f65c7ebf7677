"""Where people come from without a code of the brand's: by WeChat itself, as it says of each follower, and by WeCom."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_noop

TOP: Final = "WECHAT"
CONTACTS: Final = "WECOM"
LANGUAGE: Final = "zh-hans"

# `subscribe_scene` of user/info (reference: service account 5.2); others come up now and then and keep their name.
NAMES: Final[dict[str, str]] = {
    TOP: gettext_noop("WeChat itself"),
    CONTACTS: gettext_noop("Guides in WeCom"),
    "ADD_SCENE_SEARCH": gettext_noop("WeChat search"),
    "ADD_SCENE_ACCOUNT_MIGRATION": gettext_noop("Another account that was taken over"),
    "ADD_SCENE_PROFILE_CARD": gettext_noop("Name card that was shared"),
    "ADD_SCENE_QR_CODE": gettext_noop("The account's own code"),
    "ADD_SCENE_PROFILE_LINK": gettext_noop("Name in an article"),
    "ADD_SCENE_PROFILE_ITEM": gettext_noop("Menu of an article"),
    "ADD_SCENE_PAID": gettext_noop("After a payment"),
    "ADD_SCENE_WECHAT_ADVERTISEMENT": gettext_noop("WeChat advertisement"),
    "ADD_SCENE_REPRINT": gettext_noop("Reprinted article"),
    "ADD_SCENE_LIVESTREAM": gettext_noop("Live stream"),
    "ADD_SCENE_CHANNELS": gettext_noop("WeChat Channels"),
    "ADD_SCENE_WXA": gettext_noop("Mini program"),
    "ADD_SCENE_OTHERS": gettext_noop("Other ways"),
}
