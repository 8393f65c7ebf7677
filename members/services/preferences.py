"""The preference centre: what people want to hear about, by which way and when, and the topics a brand offers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db import IntegrityError, transaction

from accounts.services import record_audit
from members.choices import PERSONAL, QUIET, carrier_key, topic_key
from members.errors import PreferenceInvalid, TopicInvalid
from members.facts import CONSENT
from members.models import Consent, Member, OptOut, Purpose, Topic
from members.reach import carriers
from members.services.facts import note_fact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, time

_CODE: Final = re.compile(r"[a-z][a-z0-9_-]{0,19}")
MOST_TOPICS: Final = 30


@dataclass(frozen=True)
class Quiet:
    """From when until when nothing but service messages is wanted; by the brand's clock, over midnight if need be."""

    begins: time
    ends: time


@transaction.atomic
def save_topic(*, code: str, name: str, at: datetime, meaning: str = "", is_active: bool = True) -> Topic:
    """Offer a topic, or change one that has this code. Raises `TopicInvalid`."""
    code, name = code.strip().lower(), name.strip()
    if not _CODE.fullmatch(code):
        raise TopicInvalid("code")
    if not name or len(name) > 30:
        raise TopicInvalid("name")
    row = Topic.objects.select_for_update().filter(code=code).first()
    if row is None:
        if Topic.objects.count() >= MOST_TOPICS:
            raise TopicInvalid("many")
        try:
            with transaction.atomic():
                row = Topic.objects.create(code=code, name=name, meaning=meaning, is_active=is_active, created_at=at)
        except IntegrityError:
            raise TopicInvalid("taken") from None
        record_audit(action="create topic", obj=row, changes={"name": [None, name]})
        return row
    before = {"name": row.name, "meaning": row.meaning, "is_active": row.is_active}
    row.name, row.meaning, row.is_active = name, meaning, is_active
    row.save(update_fields=["name", "meaning", "is_active"])
    after = {"name": name, "meaning": meaning, "is_active": is_active}
    changes = {key: [value, after[key]] for key, value in before.items() if value != after[key]}
    if changes:
        record_audit(action="change topic", obj=row, changes=changes)
    return row


@transaction.atomic
def set_preferences(
    *,
    member: Member,
    channel: str,
    source: str,
    at: datetime,
    topics: Mapping[str, bool] | None = None,
    ways: Mapping[str, bool] | None = None,
    personal: bool | None = None,
    quiet: Quiet | None = None,
    no_quiet: bool = False,
) -> int:
    """Change what a person wants; what is not named stays. Gives how many choices are new. Safe to repeat.

    In force for every message that is not yet claimed. Each change is a line of the consent ledger. Raises
    `PreferenceInvalid` for a topic or a way that does not exist.
    """
    Member.objects.select_for_update().get(pk=member.pk)
    wanted = {topic_key(pk): yes for pk, yes in _topics(topics or {}).items()}
    for way, yes in (ways or {}).items():
        if way not in carriers:
            raise PreferenceInvalid("carriers", way)
        wanted[carrier_key(way)] = yes
    if personal is not None:
        wanted[PERSONAL] = personal
    refused = set(OptOut.objects.filter(member=member, purpose__in=wanted).values_list("purpose", flat=True))
    changed = {key: yes for key, yes in wanted.items() if yes == (key in refused)}
    OptOut.objects.filter(member=member, purpose__in=[key for key, yes in changed.items() if yes]).delete()
    OptOut.objects.bulk_create(
        [OptOut(member=member, purpose=key, at=at) for key, yes in changed.items() if not yes], ignore_conflicts=True
    )
    statements = [(key, yes) for key, yes in sorted(changed.items())]
    if (quiet is not None or no_quiet) and _set_quiet(member, quiet, at):
        statements.append((QUIET, quiet is None))
    Consent.objects.bulk_create(
        Consent(member=member, purpose=key, granted=yes, text_version="", channel=channel, source=source, at=at)
        for key, yes in statements
    )
    if statements:
        note_fact(kind=CONSENT, member_ids=[member.pk])
    return len(statements)


@transaction.atomic
def set_minor(*, member: Member, under_14: bool, at: datetime) -> None:
    """Say that somebody is under 14 (or is not): without a guardian they get no marketing and nothing personalised."""
    rows = OptOut.objects.select_for_update().filter(member=member, purpose=Purpose.MARKETING)
    row = rows.first()
    if (row is not None and row.minor) == under_14:
        return
    if row is None:
        OptOut.objects.create(member=member, purpose=Purpose.MARKETING, at=at, withdrawn=False, minor=True)
    elif under_14 or row.withdrawn or row.listed or row.control:
        rows.update(minor=under_14)
    else:
        row.delete()
    record_audit(action="mark under 14", obj=member, changes={"under 14": [not under_14, under_14]})


def _topics(given: Mapping[str, bool]) -> dict[int, bool]:
    known = dict(Topic.objects.filter(code__in=list(given)).values_list("code", "pk"))
    unknown = next((code for code in given if code not in known), None)
    if unknown is not None:
        raise PreferenceInvalid("topics", unknown)
    return {known[code]: yes for code, yes in given.items()}


def _set_quiet(member: Member, quiet: Quiet | None, at: datetime) -> bool:
    row = OptOut.objects.filter(member=member, purpose=QUIET).first()
    if quiet is None:
        if row is not None:
            row.delete()
        return row is not None
    if quiet.begins == quiet.ends:
        raise PreferenceInvalid("quiet", "")
    if row is not None and (row.quiet_from, row.quiet_until) == (quiet.begins, quiet.ends):
        return False
    OptOut.objects.update_or_create(
        member=member, purpose=QUIET, defaults={"at": at, "quiet_from": quiet.begins, "quiet_until": quiet.ends}
    )
    return True
