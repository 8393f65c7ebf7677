"""What answers look like, for the API description, and how rows become them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from accounts.rest.serializers import birthday
from members.card import sections

if TYPE_CHECKING:
    from members.selectors import PersonRow

MMDD = r"^\d{2}-\d{2}$"


class StoreLine(serializers.Serializer[Any]):
    """A store by its code."""

    code = serializers.CharField(help_text="Store code.")
    name = serializers.CharField(help_text="Name.")


class Card(serializers.Serializer[Any]):
    """What a member sees about themselves."""

    member_no = serializers.CharField(help_text="Member number; random, so it tells nothing of the brand's size.")
    name = serializers.CharField(allow_blank=True, help_text="Name; may be empty.")
    phone = serializers.CharField(allow_null=True, help_text="Phone, masked; null until one is bound.")
    birthday = serializers.RegexField(MMDD, allow_null=True, help_text="Birthday without a year, `MM-DD`.")
    city = serializers.CharField(allow_blank=True, help_text="City; may be empty.")
    joined_at = serializers.DateTimeField(allow_null=True, help_text="When they became a member; null for a visitor.")
    following = serializers.BooleanField(help_text="Whether they follow a service account of the brand.")
    store = StoreLine(allow_null=True, help_text="Home store.")

    def get_fields(self) -> dict[str, Any]:
        """Add what other apps show on the card."""
        declared = super().get_fields()
        for key, section in sections.items():
            declared[key] = section.serializer(allow_null=True)
        return declared


class Person(serializers.Serializer[Any]):
    """A person, as the brand's other systems see them."""

    member_no = serializers.CharField(help_text="Member number.")
    name = serializers.CharField(allow_blank=True, help_text="Name; may be empty.")
    phone = serializers.CharField(allow_null=True, help_text="Phone, masked; null when unknown.")
    birthday = serializers.RegexField(MMDD, allow_null=True, help_text="Birthday without a year, `MM-DD`.")
    city = serializers.CharField(allow_blank=True, help_text="City; may be empty.")
    store = StoreLine(allow_null=True, help_text="Home store.")
    tags = serializers.ListField(child=serializers.CharField(), help_text="Names of tags, in order.")
    following = serializers.BooleanField(help_text="Whether they follow a service account of the brand.")
    created_at = serializers.DateTimeField(help_text="First contact.")
    joined_at = serializers.DateTimeField(allow_null=True, help_text="When they became a member; null for a visitor.")
    last_interaction_at = serializers.DateTimeField(allow_null=True, help_text="When they last did something.")


class People(serializers.Serializer[Any]):
    """A page of people, newest contact first."""

    results = Person(many=True)
    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page; null on the last.")


CARD_EXAMPLE = {
    "member_no": "4820175936",
    "name": "陈悦",
    "phone": "138****6721",
    "birthday": "08-17",
    "city": "上海",
    "joined_at": "2026-11-21T05:45:00Z",
    "following": True,
    "store": {"code": "SH004", "name": "上海静安店"},
    "guide": {"staff_no": "LY0007", "name": "王敏", "store_name": "上海静安店", "since": "2026-11-21T05:44:10Z"},
    "tags": {"results": [{"name": "品鉴会", "group": "兴趣"}]},
    "consents": {"results": [{"purpose": "SERVICE", "granted": True}, {"purpose": "MARKETING", "granted": None}]},
    "points": {
        "spendable": 1280,
        "held": 0,
        "owed": 0,
        "ending": 300,
        "ends_at": "2026-12-31T16:00:00Z",
        "tier": "知音",
        "value": 8620,
        "next_tier": None,
        "missing": None,
    },
}
PERSON_EXAMPLE = {
    "member_no": "4820175936",
    "name": "陈悦",
    "phone": "138****6721",
    "birthday": "08-17",
    "city": "上海",
    "store": {"code": "SH004", "name": "上海静安店"},
    "tags": ["会员", "静安店"],
    "following": True,
    "created_at": "2026-11-20T02:00:00Z",
    "joined_at": "2026-11-21T05:45:00Z",
    "last_interaction_at": "2026-11-21T05:44:10Z",
}


def person(row: PersonRow) -> dict[str, Any]:
    """Give a person as plain values."""
    return {
        "member_no": row.member_no,
        "name": row.name,
        "phone": row.phone or None,
        "birthday": birthday(row.birth_mmdd),
        "city": row.city,
        "store": None if row.store_code is None else {"code": row.store_code, "name": row.store_name},
        "tags": row.tags,
        "following": row.following,
        "created_at": row.created_at,
        "joined_at": row.joined_at,
        "last_interaction_at": row.last_interaction_at,
    }
