"""What each role may do: roles are sets of capabilities, data scope says over which rows."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """The work somebody does for a brand."""

    OWNER = "OWNER", _("Owner")
    MARKETER = "MARKETER", _("Marketer")
    REGION_MANAGER = "REGION_MANAGER", _("Region manager")
    STORE_MANAGER = "STORE_MANAGER", _("Store manager")
    GUIDE = "GUIDE", _("Guide")
    SERVICE_DESK = "SERVICE_DESK", _("Service desk")
    ANALYST = "ANALYST", _("Analyst")
    AUDITOR = "AUDITOR", _("Auditor")


class DataScope(models.TextChoices):
    """Over which rows a role reaches."""

    BRAND = "BRAND", _("Whole brand")
    STORES = "STORES", _("Own stores")
    OWN = "OWN", _("Own members")


# Roles that are somebody's for a part of the brand; the form refuses the whole brand for them.
NARROW = frozenset({Role.REGION_MANAGER, Role.STORE_MANAGER, Role.GUIDE})

# Capability = "<area>.<act>". Areas are the places of the console, acts are view and edit, plus named acts.
_VIEW_ALL = frozenset(
    f"{area}.view"
    for area in (
        "members",
        "tags",
        "segments",
        "campaigns",
        "touchpoints",
        "stores",
        "guides",
        "replies",
        "menus",
        "library",
        "points",
        "coupons",
        "profile",
    )
)
# Whoever talks with followers; their data scope says with whose.
_INBOX = frozenset({"inbox.view", "inbox.edit", "canned.view", "library.view"})
_MARKETING = frozenset(
    {
        *_VIEW_ALL,
        "members.edit",
        "members.merge",
        "profile.edit",
        "tags.edit",
        "segments.edit",
        "campaigns.edit",
        "campaigns.launch",
        "touchpoints.edit",
        "replies.edit",
        "menus.edit",
        "library.edit",
        "points.edit",
        "points.adjust",
        "coupons.edit",
        "coupons.give",
        "counter.view",
        "counter.undo",
        "imports.view",
        "imports.edit",
        "exports.view",
        "exports.edit",
        "quarantine.view",
        *_INBOX,
        "canned.edit",
        "agents.view",
        "incidents.view",
    },
)
_STORE_MANAGING = (
    frozenset(
        {"members.view", "members.edit", "tags.view", "stores.view", "stores.edit", "guides.view", "guides.edit"},
    )
    | {"touchpoints.view", "coupons.view", "coupons.give", "counter.view", "counter.undo"}
    | {"touchpoints.view", "exports.view", "exports.edit"}
    | _INBOX
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
            "points.approve",
        },
    ),
    Role.MARKETER: _MARKETING,
    Role.REGION_MANAGER: _STORE_MANAGING | {"segments.view", "campaigns.view", "agents.view"},
    Role.STORE_MANAGER: _STORE_MANAGING,
    Role.GUIDE: frozenset({"members.view", "tags.view", "stores.view", "guides.view", "coupons.give", "counter.view"})
    | _INBOX,
    # Talks with everybody, and looks up what an answer needs; what is said to many at once stays with marketing.
    Role.SERVICE_DESK: frozenset(
        {
            "members.view",
            "tags.view",
            "stores.view",
            "replies.view",
            "menus.view",
            "canned.edit",
            "agents.view",
            *_INBOX,
        },
    ),
    Role.ANALYST: _VIEW_ALL,
    # Sees who may do what, and who did what; changes nothing and takes part in nothing.
    Role.AUDITOR: _VIEW_ALL
    | {
        "accounts.view",
        "agents.view",
        "audit.view",
        "canned.view",
        "exports.view",
        "imports.view",
        "inbox.view",
        "incidents.view",
        "keys.view",
        "privacy.view",
        "quarantine.view",
        "staff.view",
    },
}


def allows(role: str, capability: str) -> bool:
    """Say whether a role includes a capability such as `campaigns.launch`."""
    return capability in CAPABILITIES.get(role, frozenset())
