"""The people of a crowd: members, followers, what they are known by, one tag each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db.backends.utils import CursorWrapper

from accounts.sealing import blind_index, seal
from demo.layers.ground import Ground, member_no
from demo.truth import Person
from members.models import Member
from members.services.identity import masked_phone

_SURNAMES: Final = "王李张刘陈杨黄赵周吴徐孙马朱胡郭何林高罗"
_GIVEN: Final = "子涵 晓明 雨桐 思远 佳怡 浩然 一诺 欣妍 俊杰 若曦 清和 知夏 明远 念初 书瑶 安然 云舒".split()

_STATEMENTS: Final = (
    """INSERT INTO members_member (brand_id, public_id, member_no, name, phone, phone_index, phone_tail, phone_masked,
           birth_mmdd, city, store_id, created_at, joined_at, subscribed, last_interaction_at, tag_ids)
       SELECT %(brand)s, p.public_id, p.member_no, p.name, p.phone, p.phone_index, p.tail, p.masked, p.birth, '',
           p.store, p.since, CASE WHEN p.joined THEN p.since END, p.follows, p.seen, ARRAY[p.tag]
       FROM unnest(%(public_ids)s::uuid[], %(numbers)s::text[], %(names)s::text[], %(phones)s::bytea[],
           %(indexes)s::uuid[], %(tails)s::text[], %(masks)s::text[], %(births)s::smallint[], %(stores)s::bigint[],
           %(sinces)s::timestamptz[], %(seen)s::timestamptz[], %(joined)s::boolean[], %(follows)s::boolean[],
           %(tags)s::bigint[])
           AS p(public_id, member_no, name, phone, phone_index, tail, masked, birth, store, since, seen, joined,
               follows, tag)""",
    """INSERT INTO members_follower (brand_id, account_id, openid, unionid, member_id, subscribed, followed_at,
           last_interaction_at, follow_count, follow_scene)
       SELECT m.brand_id, %(account)s, 'oCrowd' || lpad(m.member_no, 22, '0'),
           CASE WHEN m.member_no = ANY(%(unionids)s) THEN 'uCrowd' || m.member_no ELSE '' END, m.id, true,
           m.created_at, m.last_interaction_at, 1, '' FROM members_member m
       WHERE m.brand_id = %(brand)s AND m.member_no = ANY(%(numbers)s) AND m.subscribed""",
    """INSERT INTO members_identity (brand_id, member_id, kind, namespace, value, source, since)
       SELECT m.brand_id, m.id, 'OPENID', %(appid)s, 'oCrowd' || lpad(m.member_no, 22, '0'), 'demo', m.created_at
       FROM members_member m
       WHERE m.brand_id = %(brand)s AND m.member_no = ANY(%(numbers)s) AND m.subscribed
       UNION ALL
       SELECT m.brand_id, m.id, 'UNIONID', %(subject)s, 'uCrowd' || m.member_no, 'user info', m.created_at
       FROM members_member m WHERE m.brand_id = %(brand)s AND m.member_no = ANY(%(unionids)s)
       UNION ALL
       SELECT m.brand_id, m.id, 'PHONE', '', m.phone_index::text, 'demo', m.joined_at FROM members_member m
       WHERE m.brand_id = %(brand)s AND m.member_no = ANY(%(numbers)s) AND m.phone_index IS NOT NULL""",
    """INSERT INTO members_identity (brand_id, member_id, kind, namespace, value, source, since, expires_at)
       SELECT m.brand_id, m.id, 'PENDING', 'corp', 'pdCrowd' || m.member_no, 'contact way', m.last_interaction_at,
           m.last_interaction_at + interval '90 days' FROM members_member m
       WHERE m.brand_id = %(brand)s AND m.member_no = ANY(%(pending)s)""",
    """INSERT INTO members_membertag (brand_id, member_id, tag_id, source, at, given, rule_ids)
       SELECT m.brand_id, m.id, m.tag_ids[1], 'demo', m.created_at, true, '{}' FROM members_member m
       WHERE m.brand_id = %(brand)s AND m.member_no = ANY(%(numbers)s)""",
)


def plant(some: Sequence[Person], ground: Ground, cursor: CursorWrapper) -> None:
    """Plant the people themselves."""
    sealed = [_phone(ground, person) for person in some]
    given = ground.given(
        public_ids=[ground.key(person.number) for person in some],
        numbers=[member_no(person.number) for person in some],
        names=[_SURNAMES[person.number % len(_SURNAMES)] + _GIVEN[person.number // 7 % len(_GIVEN)] for person in some],
        phones=[each[0] for each in sealed],
        indexes=[each[1] for each in sealed],
        tails=[each[2] for each in sealed],
        masks=[each[3] for each in sealed],
        births=[person.birth_mmdd for person in some],
        stores=[ground.store_of(person) for person in some],
        sinces=[ground.ago(person.joined_days_ago, 60) for person in some],
        seen=[ground.ago(person.seen_days_ago, 50) for person in some],
        joined=[person.joined for person in some],
        follows=[person.follows for person in some],
        tags=[ground.tags[person.tag] for person in some],
        subject=ground.subject,
        unionids=[member_no(person.number) for person in some if person.has_unionid],
        pending=[member_no(person.number) for person in some if person.is_pending],
    )
    for statement in _STATEMENTS:
        cursor.execute(statement, given)


def _phone(ground: Ground, person: Person) -> tuple[bytes | None, str | None, str, str]:
    if not person.joined:
        return None, None, "", ""
    number = f"+861002{person.number:07d}"  # a range that is not handed out
    field: Any = Member._meta.get_field("phone")
    context = field.context(Member(brand_id=ground.brand_id, public_id=ground.key(person.number)))
    index = blind_index(ground.brand_id, "phone", number)
    return seal(ground.brand_id, number, context), str(index), number[-4:], masked_phone(number)
