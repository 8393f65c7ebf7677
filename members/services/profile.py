"""What is said about people: each source's newest word is kept, and by precedence and freshness one of them counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction

from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from common import clock
from common.registry import Registry
from common.secret import Secret
from members import profiles
from members.errors import ProfileFieldInvalid, ProfileValueInvalid
from members.facts import PROFILE
from members.models import Member, ProfileField, ProfileValue, Sensitivity
from members.person import BIRTHDAY, CITY, GENDER
from members.services.facts import log_facts, note_fact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypedDict, Unpack

    from members.models import Follower

    class Profile(TypedDict, total=False):
        """The facts a person may set: name, birthday as month × 100 + day, city, gender. Those left out stay."""

        name: str
        birth_mmdd: int | None
        city: str
        gender: str


# What apps above do when a field is made or changed: callable(field), in the same transaction.
on_field: Registry[Callable[[ProfileField], None]] = Registry(
    "profile field listeners", purpose="what follows a brand's profile fields"
)


@dataclass(frozen=True)
class Earlier:
    """A word of a source as it stood: the value, by whom, and when it was said."""

    text: str
    by: str
    at: datetime


_OF_COLUMN = {each.column: key for key, each in profiles.COMMON.items()}


def change_profile(*, member_id: int, **profile: Unpack[Profile]) -> Member:
    """Change what a person says about themselves; only the given facts change."""
    said = {_OF_COLUMN[name]: profiles.said_common(_OF_COLUMN[name], value) for name, value in profile.items()}
    return say(member_id=member_id, source=profiles.MEMBER, values=said, at=clock.now())


@transaction.atomic
def say(*, member_id: int, source: str, values: Mapping[str, object], at: datetime, by: str = "") -> Member:
    """Keep what a source says about a person: common facts and fields of the brand by key; an empty value forgets.

    Older news than the same source's last changes nothing. Raises `ProfileValueInvalid`.
    """
    if source not in profiles.sources:
        message = f"no such source: {source}"
        raise ValueError(message)
    member = Member.objects.select_for_update().get(pk=member_id)
    fields = _fields(values)
    read = {key: _read(fields.get(key), key, source, value) for key, value in values.items()}
    changes: dict[str, list[Any]] = {}
    for key, text in read.items():
        field = fields.get(key)
        column = profiles.COMMON[key].column if field is None else ""
        before = getattr(member, column) if column else None
        is_new = _keep(member, key, source, text, field, at, by)
        _recount(member, key, field, at)
        if column and getattr(member, column) != before:
            changes[column] = [before, getattr(member, column)]
        elif not column and is_new:
            plain = field is not None and field.sensitivity == Sensitivity.PLAIN
            changes[key] = [None, text if plain else "***"]
    if changes:
        record_audit(action="change profile", obj=member, changes=changes, reason=source)
        note_fact(kind=PROFILE, member_ids=[member.pk])
    return member


@transaction.atomic
def unsay(
    *,
    member_id: int,
    source: str,
    by: str,
    words: Mapping[str, Earlier | None],
    columns: Mapping[str, Any],
    at: datetime,
) -> None:
    """Take back what a source said under a name: its word of before (None: none) stands again, as of when it was said.

    What was said after that stays. `columns` is what the record held of common facts before: it holds it again where
    nobody says anything any more.
    """
    member = Member.objects.select_for_update().get(pk=member_id)
    fields = _fields(words)
    changes: dict[str, list[Any]] = {}
    for key, word in words.items():
        row = ProfileValue.objects.filter(member=member, key=key, source=source, by=by).first()
        if row is None:
            continue
        field = fields.get(key)
        if word is None:
            row.delete()
        else:
            _write(row, word.text, field)
            row.by, row.at = word.by, word.at
            row.save()
        if key not in profiles.COMMON:
            _recount(member, key, field, at)
            changes[key] = [None, "***"]
            continue
        column = profiles.COMMON[key].column
        before = getattr(member, column)
        if ProfileValue.objects.filter(member=member, key=key).exists():
            _recount(member, key, None, at)
        else:
            _set(member, key, columns[key], at)
        if getattr(member, column) != before:
            changes[column] = [before, getattr(member, column)]
    if changes:
        record_audit(action="change profile", obj=member, changes=changes, reason=source)
        note_fact(kind=PROFILE, member_ids=[member.pk])


def standing(member: Member, keys: Iterable[str]) -> dict[str, Any]:
    """Give what holds of a person: of common facts the column's value, of fields of the brand the word that counts."""
    wanted = list(keys)
    own = [key for key in wanted if key not in profiles.COMMON]
    counting = {row.key: row for row in ProfileValue.objects.filter(member=member, key__in=own, counts=True)}
    return {key: getattr(member, profiles.COMMON[key].column) for key in wanted if key in profiles.COMMON} | {
        key: shown_value(counting[key]) if key in counting else "" for key in own
    }


def words_of(member_id: int, *, source: str) -> dict[str, Earlier]:
    """Give what a source has said of a person, by key."""
    rows = ProfileValue.objects.filter(member_id=member_id, source=source)
    return {row.key: Earlier(shown_value(row), row.by, row.at) for row in rows}


def _fields(keys: Iterable[str]) -> dict[str, ProfileField]:
    wanted = [key for key in keys if key not in profiles.COMMON]
    return {row.key: row for row in ProfileField.objects.filter(key__in=wanted)} if wanted else {}


def _read(field: ProfileField | None, key: str, source: str, value: object) -> str:
    if key in profiles.COMMON:
        text = "" if value is None else value
        if not isinstance(text, str):
            raise ProfileValueInvalid(key, "")
        return profiles.said_common(key, profiles.read_common(key, text))
    if field is None:
        raise ProfileValueInvalid(key, profiles.unknown_field())
    if source not in field.sources:
        raise ProfileValueInvalid(key, profiles.not_from(source))
    return profiles.read_value(field, value)


def _keep(member: Member, key: str, source: str, text: str, field: ProfileField | None, at: datetime, by: str) -> bool:
    """Keep a source's word unless a newer one is known; gives whether anything is different now."""
    row = ProfileValue.objects.filter(member=member, key=key, source=source).first()
    if row is not None and row.at > at:
        return False
    if row is None:
        if not text:
            legacy = getattr(member, profiles.COMMON[key].column) if field is None else None
            if not legacy:
                return False  # nothing was known, and nothing is said
        row = ProfileValue(member=member, key=key, source=source)
    before = shown_value(row)
    _write(row, text, field)
    row.at, row.by = at, by[:60]
    row.save()
    return before != text


def _write(row: ProfileValue, text: str, field: ProfileField | None) -> None:
    """Put a value where its field wants it: plain, or sealed when not everybody may see it."""
    is_plain = field is None or field.sensitivity == Sensitivity.PLAIN
    row.text = text if is_plain else ""
    row.sealed = None if is_plain or not text else Secret(text)


def shown_value(row: ProfileValue) -> str:
    """Give the value of a row in full."""
    return row.sealed.reveal() if row.sealed else row.text


def _recount(member: Member, key: str, field: ProfileField | None, at: datetime) -> None:
    """Say which source's word counts, and keep the common fact's column equal to it."""
    rows = list(ProfileValue.objects.filter(member=member, key=key).order_by("pk"))
    if not rows:
        return
    best = profiles.winner(
        (profiles.Said(row.source, row.at, empty=not row.text and not row.sealed) for row in rows),
        precedence=field.sources if field else profiles.PRECEDENCE,
        fresh_days=field.fresh_days if field else None,
        at=at,
    )
    ProfileValue.objects.filter(pk__in=[row.pk for row in rows if row.counts and row.source != best]).update(
        counts=False
    )
    ProfileValue.objects.filter(pk__in=[row.pk for row in rows if not row.counts and row.source == best]).update(
        counts=True
    )
    if field is not None:
        return
    column = profiles.COMMON[key].column
    text = next((row.text for row in rows if row.source == best), "")
    value = profiles.read_common(key, text)
    if getattr(member, column) != value:
        _set(member, key, value, at)


def _set(member: Member, key: str, value: Any, at: datetime) -> None:
    """Change a common fact's column; what it was is written down where rules ask about the past."""
    column = profiles.COMMON[key].column
    before = getattr(member, column)
    setattr(member, column, value)
    member.save(update_fields=[column])
    if key in (CITY, BIRTHDAY, GENDER):
        said = {"before": f"{before or ''}"[:60], "after": f"{value or ''}"[:60]}
        log_facts(what=key, pairs=[(member.pk, 0)], **said, source="", at=at)


# --- the brand's own fields ------------------------------------------------------------------------------------------


@transaction.atomic
def save_profile_field(*, field: ProfileField, at: datetime) -> ProfileField:
    """Make a field, or change its words, precedence and freshness; type and who sees it stay.

    Raises `ProfileFieldInvalid`.
    """
    profiles.check_field(field)
    before = ProfileField.objects.filter(pk=field.pk).first() if field.pk else None
    fixed = ("key", "kind", "sensitivity")
    if before is not None and any(getattr(before, name) != getattr(field, name) for name in fixed):
        raise ProfileFieldInvalid("kind", profiles.fixed_field())
    others = ProfileField.objects.exclude(pk=field.pk)
    if others.filter(key=field.key).exists() or others.filter(label=field.label).exists():
        raise ProfileFieldInvalid("label", profiles.taken_field())
    if before is None:
        field.created_at = at
    field.save()
    record_audit(action="create profile field" if before is None else "change profile field", obj=field)
    if before is not None and (before.sources, before.fresh_days) != (field.sources, field.fresh_days):
        _recount_field(field, at)
    for _key, listener in on_field.items():
        listener(field)
    return field


def recount_profiles(*, at: datetime) -> int:
    """Let another word count where the one that did is no longer fresh; gives of how many people."""
    return sum(
        _recount_field(field, at, is_by_time=True)
        for field in ProfileField.objects.filter(fresh_days__isnull=False).order_by("pk")
    )


# People of whom several sources have said something about a field, locked as whoever says something locks them.
_CONTESTED: Final = """
SELECT m.id FROM members_member m WHERE m.brand_id = %(brand)s AND m.id IN (
    SELECT v.member_id FROM members_profilevalue v WHERE v.brand_id = %(brand)s AND v.key = %(key)s
        AND (NOT %(by_time)s OR (v.counts AND v.at < %(since)s))
        AND EXISTS (SELECT 1 FROM members_profilevalue o WHERE o.brand_id = v.brand_id AND o.member_id = v.member_id
            AND o.key = v.key AND o.id <> v.id))
ORDER BY m.id FOR NO KEY UPDATE
"""
# The same order as `profiles.winner`.
_LET_COUNT: Final = """
WITH best AS (
    SELECT DISTINCT ON (v.member_id) v.member_id, v.id FROM members_profilevalue v
    WHERE v.brand_id = %(brand)s AND v.key = %(key)s AND v.member_id = ANY (%(people)s)
        AND (v.text <> '' OR v.sealed IS NOT NULL)
    ORDER BY v.member_id, v.at < %(since)s, array_position(%(sources)s::text[], v.source::text), v.at DESC, v.source
)
UPDATE members_profilevalue v SET counts = (v.id = b.id) FROM best b
WHERE v.brand_id = %(brand)s AND v.key = %(key)s AND v.member_id = b.member_id AND v.counts <> (v.id = b.id)
RETURNING v.member_id
"""


@transaction.atomic
def _recount_field(field: ProfileField, at: datetime, *, is_by_time: bool = False) -> int:
    """Say of everybody which source's word counts, by the field's precedence and freshness."""
    since = datetime.min.replace(tzinfo=UTC) if field.fresh_days is None else at - timedelta(days=field.fresh_days)
    values: dict[str, Any] = {
        "brand": current_brand_id(),
        "key": field.key,
        "since": since,
        "sources": field.sources,
        "by_time": is_by_time,
    }
    with connection.cursor() as cursor:
        cursor.execute(_CONTESTED, values)
        values["people"] = [member_id for (member_id,) in cursor.fetchall()]
        cursor.execute(_LET_COUNT, values)
        changed = {member_id for (member_id,) in cursor.fetchall()}
    note_fact(kind=PROFILE, member_ids=changed)
    return len(changed)


# --- merges and erasure ----------------------------------------------------------------------------------------------

_ASIDE = "~"


def move_profile(*, kept: Member, merged: Member, at: datetime) -> dict[str, Any]:
    """When two records become one: of each source's words the newer goes along; nothing is copied or dropped."""
    mine = {(row.key, row.source): row for row in ProfileValue.objects.filter(member=kept)}
    theirs = list(ProfileValue.objects.filter(member=merged).order_by("pk"))
    if not theirs:
        return {}
    known = {key for key, _source in mine}
    came, went = [], []
    for row in theirs:
        own = mine.get((row.key, row.source))
        if own is None:
            came.append(row.pk)
        elif row.at > own.at:
            came.append(row.pk)
            went.append(own.pk)
    _swap(came, kept, went, merged)
    touched = sorted({row.key for row in theirs})
    # A column without anybody's word stays; one that was empty takes the word that came, and is emptied by an undo.
    kept.refresh_from_db()
    blank = [key for key in touched if key in profiles.COMMON and not getattr(kept, profiles.COMMON[key].column)]
    _recount_all([kept], [key for key in touched if key in known or key in blank or key not in profiles.COMMON], at)
    return {"came": came, "went": went, "keys": touched, "blank": blank}


def return_profile(*, kept: Member, merged: Member, moved: dict[str, Any], at: datetime) -> None:
    """When a merge is undone: words that changed hands go back."""
    came = list(ProfileValue.objects.filter(pk__in=moved["came"], member=kept).values_list("pk", flat=True))
    went = list(ProfileValue.objects.filter(pk__in=moved["went"], member=merged).values_list("pk", flat=True))
    _swap(came, merged, went, kept)
    for each in (kept, merged):
        each.refresh_from_db()
    spoken = set(ProfileValue.objects.filter(member=kept).values_list("key", flat=True))
    _recount_all([kept, merged], moved["keys"], at)
    emptied = []
    for key in moved["blank"]:
        column = profiles.COMMON[key].column
        if key not in spoken and getattr(kept, column) == getattr(merged, column):
            setattr(kept, column, None if key == "birthday" else "")
            emptied.append(column)
    if emptied:
        kept.save(update_fields=emptied)


def _swap(came: list[int], taker: Member, went: list[int], giver: Member) -> None:
    """Let rows change hands both ways; a source's place is taken until the other row has left it."""
    for row in ProfileValue.objects.filter(pk__in=went).order_by("pk"):
        ProfileValue.objects.filter(pk=row.pk).update(source=_ASIDE + row.source)
    ProfileValue.objects.filter(pk__in=came).update(member=taker)
    for row in ProfileValue.objects.filter(pk__in=went).order_by("pk"):
        ProfileValue.objects.filter(pk=row.pk).update(member=giver, source=row.source.removeprefix(_ASIDE))


def _recount_all(people: Iterable[Member], keys: Iterable[str], at: datetime) -> None:
    wanted = list(keys)
    fields = _fields(wanted)
    for member in people:
        for key in wanted:
            _recount(member, key, fields.get(key), at)


def forget_profile(*, follower: Follower, whole: bool, at: datetime) -> int:
    """When a person's data is deleted: what anybody said about them goes too."""
    if not whole:
        return 0
    wave, gone = [follower.member_id], 0
    while wave:
        gone += ProfileValue.objects.filter(member_id__in=wave).delete()[0]
        wave = list(Member.objects.filter(merged_into_id__in=wave).order_by("pk").values_list("pk", flat=True))
    return gone
