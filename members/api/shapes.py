"""What answers look like, for the API description, and how rows become them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from accounts.rest.serializers import StrictSerializer, birthday
from members.card import sections
from members.selectors import profile_fields, seen, words_that_count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from members.models import ProfileField
    from members.selectors import PersonRow

MMDD = r"^\d{2}-\d{2}$"
MOST_KEYS: Final = 20
KEY: Final = re.compile(r"[a-z][a-z0-9_]{1,39}")
_MOST: Final = {"most": MOST_KEYS}


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
    profile = serializers.DictField(
        child=serializers.CharField(allow_null=True),
        help_text="What counts for each field asked for with `profile`; null for nothing, or not shown.",
    )


@extend_schema_field({"type": "string", "maxLength": MOST_KEYS * 41, "example": "skin,shoe_size"})
class KeysParameter(serializers.Field[Any, Any, Any, Any]):
    """Keys of the brand's own profile fields, with commas between them."""

    def to_internal_value(self, data: Any) -> list[ProfileField]:
        """Take keys of fields that there are, each once."""
        keys = data.split(",") if isinstance(data, str) and len(data) <= MOST_KEYS * 41 else []
        if not keys or len(keys) > MOST_KEYS or len(set(keys)) < len(keys):
            raise ValidationError(_("Up to %(most)s keys with commas between them are expected, each once.") % _MOST)
        found = profile_fields(key for key in keys if KEY.fullmatch(key))
        unknown = sorted(set(keys) - {field.key for field in found})
        if unknown:
            shown = ", ".join(key[:40] for key in unknown)
            raise ValidationError(_("These profile fields do not exist: %(keys)s.") % {"keys": shown})
        return found


class ProfileQuery(StrictSerializer):
    """Which of the brand's own profile fields to show with each person."""

    profile = KeysParameter(
        required=False, help_text="Keys of the brand's profile fields to show, with commas between them; at most 20."
    )


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
    "profile": {},
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
        "profile": {},
    }


def persons(rows: Sequence[PersonRow], fields: Sequence[ProfileField], *, at: datetime) -> list[dict[str, Any]]:
    """Give people as plain values, with what counts for some of the brand's own fields: masked like the phone."""
    words = words_that_count([row.id for row in rows], fields, at=at)
    shown = []
    for row in rows:
        own = words.get(row.id, {})
        said = {field.key: seen(own[field.key], field) or None if field.key in own else None for field in fields}
        shown.append({**person(row), "profile": said})
    return shown
