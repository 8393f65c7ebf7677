"""Settings pages about WeChat: the brand's accounts, what is wrong with them, and pushes."""

from wechat_gateway.admin import accounts, authorising, home, incidents, platform, pushes
from wechat_gateway.admin.pushes import kind_label, reason_label

__all__ = ["accounts", "authorising", "home", "incidents", "kind_label", "platform", "pushes", "reason_label"]
