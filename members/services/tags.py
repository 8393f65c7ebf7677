"""Tags on people. The array on the member repeats the rows, for segments; both change in one transaction."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db import IntegrityError, connection, transaction
from django.db.models import Count
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from members.errors import TagFieldInvalid, TagGroupHasDoubles, TagNameTaken, TagNameTooLong
from members.facts import TAGS
from members.models import Member, MemberTag, Tag, TagDirection, TagGroup
from members.services.facts import TAG, log_facts, note_fact

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

WECHAT_NAME_BYTES = 30  # reference: service account 5.3
NAME_LENGTH = 30
MOST_SYNONYMS = 10
MOST_DAYS = 3650
EXPIRED_AT_ONCE = 1000


def create_tag(
    *,
    name: str,
    at: datetime,
    group: str = "",
    meaning: str = "",
    sync: bool = False,
    owner: str = "",
    lasts_days: int | None = None,
    synonyms: Sequence[str] = (),
    is_shown: bool = False,
) -> Tag:
    """Add a word to the dictionary, and its group with it.

    Raises `TagNameTaken` (also for another tag's synonym), `TagNameTooLong` when WeChat could not take it,
    `TagFieldInvalid`.
    """
    if sync:
        _require_wechat_name(name)
    also = checked_synonyms(name, synonyms)
    _check_days(lasts_days)
    _require_group(group, at)
    try:
        with transaction.atomic():
            tag = Tag.objects.create(
                name=name,
                group=group,
                meaning=meaning,
                sync=sync,
                owner=owner,
                lasts_days=lasts_days,
                synonyms=also,
                is_shown=is_shown,
                created_at=at,
            )
    except IntegrityError:
        raise TagNameTaken from None
    record_audit(action="create tag", obj=tag, changes={"name": [None, name]})
    return tag


@transaction.atomic
def change_tag(*, tag: Tag, at: datetime, **facts: Any) -> Tag:
    """Change what the dictionary says of a tag: any of name, group, meaning, owner, lasts_days, sync ….

    A tag that moves into an exclusive group must not meet another of it on anybody. Raises `TagNameTaken`,
    `TagNameTooLong`, `TagFieldInvalid`, `TagGroupHasDoubles`.
    """
    row = Tag.objects.select_for_update().get(pk=tag.pk)
    changes = {key: [getattr(row, key), value] for key, value in facts.items() if getattr(row, key) != value}
    for key, (_before, after) in changes.items():
        setattr(row, key, after)
    if row.sync:
        _require_wechat_name(row.name)
    row.synonyms = checked_synonyms(row.name, row.synonyms, but=row.pk)
    _check_days(row.lasts_days)
    _require_group(row.group, at)
    if not changes:
        return row
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        raise TagNameTaken from None
    if "group" in changes:
        _move_slot(row)
    record_audit(action="change tag", obj=row, changes=changes)
    return row


def set_tag_sync(*, tag: Tag, sync: bool) -> Tag:
    """Keep a tag in step with WeChat from now on, or stop doing so. Raises `TagNameTooLong`."""
    if sync:
        _require_wechat_name(tag.name)
    if tag.sync != sync:
        record_audit(action="change tag", obj=tag, changes={"sync": [tag.sync, sync]})
        tag.sync = sync
        tag.save(update_fields=["sync"])
    return tag


@transaction.atomic
def save_tag_group(
    *,
    name: str,
    at: datetime,
    group: TagGroup | None = None,
    meaning: str = "",
    is_exclusive: bool = False,
    direction: str = TagDirection.BOTH,
    keep_newest: bool = False,
) -> TagGroup:
    """Make a group of tags or change one; its tags follow a new name.

    Raises `TagNameTaken`; `TagGroupHasDoubles` when it shall be exclusive and people carry two of its tags, unless
    `keep_newest`: then everybody keeps the one they got last.
    """
    # Tags before their group, as whoever tags people does.
    list(Tag.objects.select_for_update().filter(group=group.name if group else name).order_by("pk"))
    row = TagGroup.objects.select_for_update().get(pk=group.pk) if group else TagGroup(created_at=at)
    before = {key: getattr(row, key) for key in ("name", "meaning", "is_exclusive", "direction")} if group else {}
    row.name, row.meaning, row.is_exclusive, row.direction = name, meaning, is_exclusive, direction
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        raise TagNameTaken from None
    if before and before["name"] != name:
        Tag.objects.filter(group=before["name"]).update(group=name)
    if before.get("is_exclusive", False) != is_exclusive or not before:
        _set_slots(row, at, keep_newest=keep_newest)
    now = {key: getattr(row, key) for key in ("name", "meaning", "is_exclusive", "direction")}
    changes = {key: [before.get(key), value] for key, value in now.items() if before.get(key) != value}
    if changes:
        record_audit(action="change tag group" if before else "create tag group", obj=row, changes=changes)
    return row


Settled: TypeAlias = "dict[int, tuple[int | None, int | None]]"

# What is there keeps its date and source; a rule's tag that is now given, too, gets the giver's. The later end counts.
_PUT = """
INSERT INTO members_membertag (brand_id, member_id, tag_id, source, at, expires_at, given, rule_ids, slot)
SELECT %(brand)s, p.id, t.id, %(source)s, %(at)s, t.expires_at, true, '{}', t.slot
FROM unnest(%(people)s::bigint[]) AS p(id)
CROSS JOIN unnest(%(tags)s::bigint[], %(ends)s::timestamptz[], %(slots)s::bigint[]) AS t(id, expires_at, slot)
ON CONFLICT (brand_id, member_id, tag_id) DO UPDATE SET
    given = true,
    source = CASE WHEN members_membertag.given THEN members_membertag.source ELSE excluded.source END,
    expires_at = CASE
        WHEN NOT members_membertag.given THEN excluded.expires_at
        WHEN members_membertag.expires_at IS NULL OR excluded.expires_at IS NULL THEN NULL
        ELSE greatest(members_membertag.expires_at, excluded.expires_at)
    END
RETURNING member_id, tag_id, xmax = 0
"""


@transaction.atomic(savepoint=False)
def tag_members(
    *,
    member_ids: Iterable[int],
    tag_ids: Sequence[int],
    source: str,
    at: datetime,
    expires_at: datetime | None = None,
    known: Settled | None = None,
) -> int:
    """Put tags on people; those who have one keep it with its date. Gives how many taggings are new.

    A tag of an exclusive group takes the place of the one that is there; of several in one call the first counts.
    Without `expires_at` a tag ends after the days that the dictionary says, if any. `known` is what `settled_tags` has
    given in this transaction.
    """
    people = sorted(set(member_ids))
    if not people or not tag_ids:
        return 0
    settled = settled_tags(tag_ids) if known is None else known
    wanted: dict[int, datetime | None] = {}
    slots: dict[int, int | None] = {}
    for tag_id in dict.fromkeys(tag_ids):
        slot, days = settled.get(tag_id, (None, None))
        if slot is None or slot not in slots.values():
            wanted[tag_id] = expires_at or (at + timedelta(days=days) if days else None)
            slots[tag_id] = slot
    taken = {slot for slot in slots.values() if slot is not None}
    if taken:
        _make_room(people, sorted(taken), list(wanted), source, at)
    with connection.cursor() as cursor:
        cursor.execute(
            _PUT,
            {
                "brand": current_brand_id(),
                "source": source[:60],
                "at": at,
                "people": people,
                "tags": list(wanted),
                "ends": list(wanted.values()),
                "slots": list(slots.values()),
            },
        )
        new = [(member_id, tag_id) for member_id, tag_id, is_new in cursor.fetchall() if is_new]
    if new:
        changed = sorted({member_id for member_id, _tag_id in new})
        log_facts(what=TAG, pairs=new, before="", after="yes", source=source, at=at)
        refresh_tag_ids(member_ids=changed)
        note_fact(kind=TAGS, member_ids=changed)
    return len(new)


@transaction.atomic
def untag_members(
    *, member_ids: Iterable[int], tag_ids: Sequence[int], source: str = "", at: datetime | None = None
) -> int:
    """Take tags off people. Gives how many taggings went; what an automatic rule holds stays, as the rule's.

    `at` is needed for the past to be known; without it the change is not written down.
    """
    people = sorted(set(member_ids))
    rows = MemberTag.objects.filter(member_id__in=people, tag_id__in=list(tag_ids))
    rows.exclude(rule_ids=[]).update(given=False, expires_at=None)
    rows = rows.filter(rule_ids=[])
    gone = list(rows.order_by("pk").values_list("member_id", "tag_id"))
    rows.delete()
    if gone:
        changed = sorted({member_id for member_id, _tag_id in gone})
        refresh_tag_ids(member_ids=changed)
        if at is not None:
            log_facts(what=TAG, pairs=gone, before="yes", after="", source=source, at=at)
            note_fact(kind=TAGS, member_ids=changed)
    return len(gone)


@transaction.atomic
def expire_tags(*, at: datetime) -> int:
    """Take off what has come to its end, a thousand at once; what a rule holds as well stays. Gives how many ended."""
    due = list(
        MemberTag.objects.select_for_update(skip_locked=True)
        .filter(expires_at__lte=at)
        .order_by("expires_at", "pk")[:EXPIRED_AT_ONCE]
    )
    held = [row.pk for row in due if row.rule_ids]
    MemberTag.objects.filter(pk__in=held).update(given=False, expires_at=None)
    gone = [row for row in due if not row.rule_ids]
    MemberTag.objects.filter(pk__in=[row.pk for row in gone]).delete()
    changed = sorted({row.member_id for row in gone})
    pairs = [(row.member_id, row.tag_id) for row in gone]
    log_facts(what=TAG, pairs=pairs, before="yes", after="", source="expired", at=at)
    refresh_tag_ids(member_ids=changed)
    note_fact(kind=TAGS, member_ids=changed)
    return len(due)


def refresh_tag_ids(*, member_ids: Sequence[int]) -> None:
    """Make the arrays on members equal to their tag rows again.

    Two statements in one journey: what another transaction has tagged while this one waited for the person is seen by a
    statement that begins after the wait only.
    """
    if not member_ids:
        return
    people = sorted(set(member_ids))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM members_member WHERE brand_id = %s AND id = ANY(%s) ORDER BY id FOR NO KEY UPDATE;\n"
            "UPDATE members_member m SET tag_ids = coalesce((SELECT array_agg(t.tag_id ORDER BY t.tag_id) "
            "FROM members_membertag t WHERE t.brand_id = m.brand_id AND t.member_id = m.id), '{}') "
            "WHERE m.brand_id = %s AND m.id = ANY(%s)",
            [current_brand_id(), people, current_brand_id(), people],
        )


def settled_tags(tag_ids: Collection[int]) -> Settled:
    """Give for each tag the exclusive group it takes (or None) and for how many days it lasts.

    Both stay as they are until the transaction ends: whoever changes them waits for taggings under way.
    """
    brand_id = current_brand_id()
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT id, "group", lasts_days FROM members_tag WHERE brand_id = %s AND id = ANY(%s) '
            "ORDER BY id FOR SHARE",
            [brand_id, sorted(set(tag_ids))],
        )
        tags = cursor.fetchall()
        names = sorted({name for _pk, name, _days in tags if name})
        groups: dict[str, int] = {}
        if names:
            cursor.execute(
                "SELECT id, name, is_exclusive FROM members_taggroup WHERE brand_id = %s AND name = ANY(%s) "
                "ORDER BY id FOR SHARE",
                [brand_id, names],
            )
            groups = {name: pk for pk, name, exclusive in cursor.fetchall() if exclusive}
    return {pk: (groups.get(name), days) for pk, name, days in tags}


def lock_people(member_ids: Sequence[int]) -> None:
    """Let one transaction at a time decide who has what of an exclusive group."""
    list(Member.objects.select_for_update().filter(pk__in=member_ids).order_by("pk").values_list("pk"))


def checked_synonyms(name: str, synonyms: Iterable[str], *, but: int | None = None) -> list[str]:
    """Give synonyms without repeats. A name leads to one tag: raises `TagNameTaken`, `TagFieldInvalid`."""
    also = sorted({word.strip() for word in synonyms if word.strip()} - {name})
    if len(also) > MOST_SYNONYMS or any(len(word) > NAME_LENGTH for word in also):
        raise TagFieldInvalid(
            "synonyms",
            _("Up to %(count)s synonyms of %(length)s characters each.")
            % {"count": MOST_SYNONYMS, "length": NAME_LENGTH},
        )
    others = Tag.objects.exclude(pk=but) if but else Tag.objects.all()
    if others.filter(name__in=also).exists() or others.filter(synonyms__overlap=[name, *also]).exists():
        raise TagNameTaken
    return also


def _make_room(people: list[int], slots: list[int], coming: list[int], source: str, at: datetime) -> None:
    lock_people(people)
    rows = MemberTag.objects.filter(member_id__in=people, slot__in=slots).exclude(tag_id__in=coming)
    gone = list(rows.order_by("pk").values_list("member_id", "tag_id"))
    rows.delete()
    log_facts(what=TAG, pairs=gone, before="yes", after="", source=source, at=at)


def _set_slots(group: TagGroup, at: datetime, *, keep_newest: bool) -> None:
    tags = list(Tag.objects.filter(group=group.name).order_by("pk").values_list("pk", flat=True))
    rows = MemberTag.objects.filter(tag_id__in=tags)
    if not group.is_exclusive:
        rows.exclude(slot=None).update(slot=None)
        return
    doubles = rows.order_by("member_id").values("member_id").annotate(many=Count("pk")).filter(many__gt=1)
    people = list(doubles.values_list("member_id", flat=True))
    if people and not keep_newest:
        raise TagGroupHasDoubles(group.name, len(people))
    if people:
        lock_people(people)
        newest = rows.filter(member_id__in=people).order_by("member_id", "-at", "-pk").distinct("member_id")
        going = rows.filter(member_id__in=people).exclude(pk__in=list(newest.values_list("pk", flat=True)))
        gone = list(going.order_by("pk").values_list("member_id", "tag_id"))
        going.delete()
        log_facts(what=TAG, pairs=gone, before="yes", after="", source="exclusive group", at=at)
        refresh_tag_ids(member_ids=people)
    rows.update(slot=group.pk)


def _move_slot(tag: Tag) -> None:
    slot = settled_tags([tag.pk])[tag.pk][0]
    rows = MemberTag.objects.filter(tag=tag)
    if slot is not None:
        carriers = rows.values("member_id")
        doubles = MemberTag.objects.filter(slot=slot, member_id__in=carriers).exclude(tag=tag).count()
        if doubles:
            raise TagGroupHasDoubles(tag.group, doubles)
    rows.update(slot=slot)


def _require_group(name: str, at: datetime) -> None:
    if name:
        TagGroup.objects.get_or_create(name=name, defaults={"created_at": at})


def _check_days(days: int | None) -> None:
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise TagFieldInvalid(
            "lasts_days", _("A number from %(low)s to %(high)s is expected here.") % {"low": 1, "high": MOST_DAYS}
        )


def _require_wechat_name(name: str) -> None:
    if len(name.encode()) > WECHAT_NAME_BYTES:
        raise TagNameTooLong
