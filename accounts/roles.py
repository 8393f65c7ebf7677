"""What each role may do: roles are sets of capabilities, data scope says over which rows."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """The work somebody does for a brand."""

    OWNER = "OWNER", _("Owner")
    MARKETER = "MARKETER", _("Marketer")
    STORE_MANAGER = "STORE_MANAGER", _("Store manager")
    GUIDE = "GUIDE", _("Guide")
    ANALYST = "ANALYST", _("Analyst")


class DataScope(models.TextChoices):
    """Over which rows a role reaches."""

    BRAND = "BRAND", _("Whole brand")
    STORES = "STORES", _("Own stores")
    OWN = "OWN", _("Own members")


# Capability = "<area>.<act>". Areas are the places of the console, acts are view and edit, plus named acts.
_VIEW_ALL = frozenset(
    f"{area}.view"
    for area in ("members", "tags", "segments", "campaigns", "touchpoints", "stores", "guides", "replies", "menus")
)
# Whoever talks with followers; their data scope says with whose.
_INBOX = frozenset({"inbox.view", "inbox.edit", "canned.view"})
_MARKETING = frozenset(
    {
        *_VIEW_ALL,
        "members.edit",
        "tags.edit",
        "segments.edit",
        "campaigns.edit",
        "campaigns.launch",
        "touchpoints.edit",
        "replies.edit",
        "menus.edit",
        "quarantine.view",
        *_INBOX,
        "canned.edit",
        "agents.view",
        "incidents.view",
    },
)
CAPABILITIES: dict[str, frozenset[str]] = {
    Role.OWNER: frozenset(
        {
            *_MARKETING,
            "stores.edit",
            "guides.edit",
            "accounts.view",
            "accounts.edit",
            "staff.view",
            "staff.edit",
            "keys.view",
            "keys.edit",
            "audit.view",
            "quarantine.edit",
            "members.reveal",
            "privacy.view",
            "privacy.edit",
            "agents.edit",
        },
    ),
    Role.MARKETER: _MARKETING,
    Role.STORE_MANAGER: frozenset(
        {"members.view", "members.edit", "tags.view", "stores.view", "stores.edit", "guides.view", "guides.edit"},
    )
    | {"touchpoints.view"}
    | _INBOX,
    Role.GUIDE: frozenset({"members.view", "tags.view", "stores.view", "guides.view"}) | _INBOX,
    Role.ANALYST: _VIEW_ALL,
}


def allows(role: str, capability: str) -> bool:
    """Say whether a role includes a capability such as `campaigns.launch`."""
    return capability in CAPABILITIES.get(role, frozenset())
