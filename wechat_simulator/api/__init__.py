"""WeChat's API paths; importing this package fills the table of routes."""

from wechat_simulator.api import (
    codes,
    component,
    custom,
    drafts,
    mass,
    media,
    menus,
    mini,
    notices,
    oauth,
    openapi,
    tags,
    templates,
    token,
    users,
)
from wechat_simulator.api.base import ROUTES, Call, Picture, Route

__all__ = [
    "ROUTES",
    "Call",
    "Picture",
    "Route",
    "codes",
    "component",
    "custom",
    "drafts",
    "mass",
    "media",
    "menus",
    "mini",
    "notices",
    "oauth",
    "openapi",
    "tags",
    "templates",
    "token",
    "users",
]
