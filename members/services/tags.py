"""Tags on people. The array on the member repeats the rows, for segments; both change in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, connection, transaction

from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from members.errors import TagNameTaken, TagNameTooLong
from members.models import MemberTag, Tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

WECHAT_NAME_BYTES = 30  # reference: service account 5.3


def create_tag(*, name: str, at: datetime, group: str = "", meaning: str = "", sync: bool = False) -> Tag:
    """Add a word to the dictionary. Raises `TagNameTaken`, and `TagNameTooLong` when WeChat could not take it."""
    if sync:
        _require_wechat_name(name)
    try:
        with transaction.atomic():
            tag = Tag.objects.create(name=name, group=group, meaning=meaning, sync=sync, created_at=at)
    except IntegrityError:
        raise TagNameTaken from None
    record_audit(action="create tag", obj=tag, changes={"name": [None, name]})
    return tag


def set_tag_sync(*, tag: Tag, sync: bool) -> Tag:
    """Keep a tag in step with WeChat from now on, or stop doing so. Raises `TagNameTooLong`."""
    if sync:
        _require_wechat_name(tag.name)
    if tag.sync != sync:
        record_audit(action="change tag", obj=tag, changes={"sync": [tag.sync, sync]})
        tag.sync = sync
        tag.save(update_fields=["sync"])
    return tag


def tag_members(*, member_ids: Iterable[int], tag_ids: Sequence[int], source: str, at: datetime) -> int:
    """Put tags on people; those who have one keep it with its date. Gives how many taggings are new."""
    people = sorted(set(member_ids))
    before = MemberTag.objects.filter(member_id__in=people, tag_id__in=tag_ids).count()
    MemberTag.objects.bulk_create(
        (
            MemberTag(member_id=member_id, tag_id=tag_id, source=source[:60], at=at)
            for member_id in people
            for tag_id in sorted(set(tag_ids))
        ),
        ignore_conflicts=True,
    )
    refresh_tag_ids(member_ids=people)
    return MemberTag.objects.filter(member_id__in=people, tag_id__in=tag_ids).count() - before


def untag_members(*, member_ids: Iterable[int], tag_ids: Sequence[int]) -> int:
    """Take tags off people. Gives how many taggings went."""
    people = sorted(set(member_ids))
    gone, _ = MemberTag.objects.filter(member_id__in=people, tag_id__in=list(tag_ids)).delete()
    refresh_tag_ids(member_ids=people)
    return gone


def refresh_tag_ids(*, member_ids: Sequence[int]) -> None:
    """Make the arrays on members equal to their tag rows again."""
    if not member_ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE members_member m SET tag_ids = coalesce((SELECT array_agg(t.tag_id ORDER BY t.tag_id) "
            "FROM members_membertag t WHERE t.brand_id = m.brand_id AND t.member_id = m.id), '{}') "
            "WHERE m.brand_id = %s AND m.id = ANY(%s)",
            [current_brand_id(), list(member_ids)],
        )


def _require_wechat_name(name: str) -> None:
    if len(name.encode()) > WECHAT_NAME_BYTES:
        raise TagNameTooLong
