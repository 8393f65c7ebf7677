"""What this app itself shows on a member's card: the tags the member may see, and what they agreed to."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from members import selectors
from members.card import Section, sections
from members.models import Purpose


class OwnTag(serializers.Serializer[Any]):
    """A tag that the brand shows to whom it is on."""

    name = serializers.CharField(help_text="Name.")
    group = serializers.CharField(allow_blank=True, help_text="Tag group; may be empty.")


class OwnTags(serializers.Serializer[Any]):
    """Tags the brand shows to members."""

    results = OwnTag(many=True)


class OwnConsent(serializers.Serializer[Any]):
    """What somebody said last about a purpose."""

    purpose = serializers.ChoiceField(choices=Purpose.choices, help_text="What the data may be used for.")
    granted = serializers.BooleanField(allow_null=True, help_text="Null while nothing was said.")


class OwnConsents(serializers.Serializer[Any]):
    """One line per purpose; `/me/consents/` says more."""

    results = OwnConsent(many=True)


def own_tags(member_id: int) -> dict[str, Any]:
    """Give the tags of a member that the brand shows to members, in one query."""
    return {"results": [{"name": name, "group": group} for name, group in selectors.shown_tags(member_id)]}


def own_consents(member_id: int) -> dict[str, Any]:
    """Give what a member agreed to, in one query."""
    known = selectors.consents_in_force(member_id)
    return {
        "results": [
            {"purpose": purpose.value, "granted": known[purpose].granted if purpose in known else None}
            for purpose in Purpose
        ]
    }


sections.register("tags", Section("tags", OwnTags, own_tags))
sections.register("consents", Section("consents", OwnConsents, own_consents))
