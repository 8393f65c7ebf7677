"""Gives a crowd of followers names, stores, guides, tags and a fortnight of history. All of it is invented."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from django.db import connection

from accounts.sealing import blind_index
from accounts.tenancy import brand_scope
from common import clock
from demo.notebook import notes
from guides.models import Assignment, Guide
from members.models import Follower, Identity, IdentityKind, Member, MemberTag, Tag
from members.services.identity import masked_phone
from stores.models import Store
from touchpoints.models import Touch, TouchCase, TouchKind, Touchpoint, TouchpointTag

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

SURNAMES = "王李张刘陈杨黄赵周吴徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹"
GIVEN = (
    "子涵 晓明 雨桐 思远 佳怡 浩然 梓萱 一诺 欣妍 俊杰 若曦 天佑 诗涵 宇轩 可馨 "
    "嘉树 清和 知夏 明远 念初 书瑶 景行 安然 乐怡 云舒 星辰 沐阳 语嫣 洛 宁"
).split()
JOINED_SHARE, GUIDE_SHARE = 0.63, 0.55
OLD: Final = timedelta(days=30)  # as the tags 新客 and 老客 say
_SPACE: Final = UUID("8f1b3c52-6f0f-4a53-9a55-000120250601")
_TOLD: Final = {
    "name": "text", "phone_tail": "text", "phone_masked": "text", "birth_mmdd": "smallint", "joined_at": "timestamptz",
    "store_id": "bigint", "last_interaction_at": "timestamptz", "public_id": "uuid",
}  # fmt: skip


def enliven(brand_id: int, account_id: int, chance: Random) -> None:
    """Spread a brand's followers over its codes, stores and guides, in one short scope per step."""
    at = clock.now()
    with brand_scope(brand_id):
        codes = list(Touchpoint.objects.filter(account_id=account_id).exclude(scene="").order_by("pk"))
        guides = {guide.touchpoint_id: guide for guide in Guide.objects.filter(touchpoint__isnull=False)}
        tags: dict[int, list[int]] = {}
        for row in TouchpointTag.objects.all():
            tags.setdefault(row.touchpoint_id, []).append(row.tag_id)
        extra = list(Tag.objects.filter(group__in=["活跃", "口味", "时段"]).order_by("pk"))
        ages = {tag.name: tag.pk for tag in Tag.objects.filter(group="生命周期")}
        followers = list(Follower.objects.filter(account_id=account_id).order_by("pk"))
        weights = [3 if "静安" in code.name else 1 for code in codes]
        people = Member.objects.in_bulk([follower.member_id for follower in followers])
        named = dict(Tag.objects.values_list("pk", "name"))
        shops = dict(Store.objects.values_list("pk", "name"))
        book = notes()
        touches, taggings, assignments, identities = [], [], [], []
        for follower in followers:
            member = people[follower.member_id]
            member.public_id = uuid5(_SPACE, follower.openid)  # it decides about the control group: always the same
            code = chance.choices(codes, weights)[0] if chance.random() < 0.8 else None
            since = follower.followed_at or at
            touches.append(
                Touch(
                    touchpoint=code,
                    follower=follower,
                    member=member,
                    kind=TouchKind.FOLLOW,
                    case=TouchCase.NEW,
                    scene=code.scene if code else "",
                    at=since,
                ),
            )
            chosen = set(tags.get(code.pk, []) if code else [])
            chosen.update(tag.pk for tag in extra if chance.random() < 0.2)
            age = ages.get("老客" if at - since >= OLD else "新客")
            chosen.update([age] if age else [])
            book.tags[member.pk] = {named[pk] for pk in chosen}
            if code is not None:
                book.came[member.pk] = code.name
            taggings += [MemberTag(member=member, tag_id=pk, source="demo", at=since) for pk in sorted(chosen)]
            member.tag_ids = sorted(chosen)
            if code and code.store_id:
                member.store_id = code.store_id
                book.stores[member.pk] = shops[code.store_id]
            if code and code.pk in guides and chance.random() < GUIDE_SHARE:
                reason = f"code: {code.name}"
                book.with_guide.add(member.pk)
                assignments.append(Assignment(member=member, guide=guides[code.pk], since=since, reason=reason))
            member.last_interaction_at = since + (at - since) * chance.random() ** 0.4  # rather lately, never before
            if chance.random() < JOINED_SHARE:
                identities.append(_join(brand_id, member, chance, since))
                book.members.add(member.pk)
        Touch.objects.bulk_create(touches, batch_size=1000)
        MemberTag.objects.bulk_create(taggings, batch_size=1000, ignore_conflicts=True)
        Assignment.objects.bulk_create(assignments, batch_size=1000)
        Identity.objects.bulk_create(identities, batch_size=1000, ignore_conflicts=True)
        _keep(brand_id, list(people.values()))


def _keep(brand_id: int, people: list[Member]) -> None:
    """Write what people have become with one statement: `bulk_update` takes seconds, and seals no numbers."""
    sealed = Member._meta.get_field("phone")
    columns: list[list[Any]] = [
        [member.pk for member in people],
        [sealed.pre_save(member, False) if member.phone_tail else None for member in people],
        [member.phone_index and str(member.phone_index) for member in people],
        ["{" + ",".join(map(str, member.tag_ids)) + "}" for member in people],  # lists of different lengths
        *([_plain(getattr(member, name)) for member in people] for name in _TOLD),
    ]
    told = ", ".join(_TOLD)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE members_member m SET phone = coalesce(v.phone, m.phone), "  # noqa: S608 - columns named above
            "phone_index = v.phone_index, "
            f"tag_ids = v.tag_ids::bigint[], {', '.join(f'{name} = v.{name}' for name in _TOLD)} "
            "FROM unnest(%s::bigint[], %s::bytea[], %s::uuid[], %s::text[], "
            f"{', '.join(f'%s::{kind}[]' for kind in _TOLD.values())}) "
            f"AS v(id, phone, phone_index, tag_ids, {told}) WHERE m.brand_id = %s AND m.id = v.id",
            [*columns, brand_id],
        )


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def _join(brand_id: int, member: Member, chance: Random, since: datetime) -> Identity:
    number = f"+861000{chance.randrange(10_000_000):07d}"  # a range that is not handed out
    member.name = chance.choice(SURNAMES) + chance.choice(GIVEN)
    member.phone = number
    member.phone_index = blind_index(brand_id, "phone", number)
    member.phone_tail, member.phone_masked = number[-4:], masked_phone(number)
    member.birth_mmdd = chance.randrange(1, 13) * 100 + chance.randrange(1, 29)
    member.joined_at = since
    return Identity(
        member=member,
        kind=IdentityKind.PHONE,
        value=str(member.phone_index),
        source="demo",
        since=since,
    )
