"""Plants a crowd into a demo brand, some thousand people in a statement: sizes M and L. All of it is invented."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from accounts.sealing import blind_index, seal
from accounts.tenancy import brand_scope
from common import clock
from demo.truth import POINTS, TAGS, Person
from loyalty.services.many import Gain, earn_many
from members.models import Member, Tag
from members.services import create_tag
from members.services.identity import masked_phone
from stores.models import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

AT_ONCE: Final = 5_000
_SPACE: Final = uuid.UUID("8f1b3c52-6f0f-4a53-9a55-000020250601")
_SURNAMES: Final = "王李张刘陈杨黄赵周吴徐孙马朱胡郭何林高罗"
_GIVEN: Final = "子涵 晓明 雨桐 思远 佳怡 浩然 一诺 欣妍 俊杰 若曦 清和 知夏 明远 念初 书瑶 安然 云舒".split()

_MEMBERS: Final = """
INSERT INTO members_member (brand_id, public_id, member_no, name, phone, phone_index, phone_tail, phone_masked,
    birth_mmdd, city, store_id, created_at, joined_at, subscribed, last_interaction_at, tag_ids)
SELECT %(brand)s, p.public_id, p.member_no, p.name, p.phone, p.phone_index, p.tail, p.masked, p.birth, '', p.store,
    p.since, CASE WHEN p.joined THEN p.since END, p.follows, p.since, ARRAY[p.tag]
FROM unnest(%(public_ids)s::uuid[], %(numbers)s::text[], %(names)s::text[], %(phones)s::bytea[], %(indexes)s::uuid[],
    %(tails)s::text[], %(masks)s::text[], %(births)s::smallint[], %(stores)s::bigint[], %(sinces)s::timestamptz[],
    %(joined)s::boolean[], %(follows)s::boolean[], %(tags)s::bigint[])
    AS p(public_id, member_no, name, phone, phone_index, tail, masked, birth, store, since, joined, follows, tag)
"""
_REST: Final = (
    """INSERT INTO members_follower (brand_id, account_id, openid, unionid, member_id, subscribed, followed_at,
           last_interaction_at, follow_count, follow_scene)
       SELECT m.brand_id, %(account)s, 'oCrowd' || lpad(m.member_no, 22, '0'), '', m.id, true, m.created_at,
           m.created_at, 1, '' FROM members_member m
       WHERE m.brand_id = %(brand)s AND m.member_no = ANY(%(numbers)s) AND m.subscribed""",
    """INSERT INTO members_identity (brand_id, member_id, kind, namespace, value, source, since)
       SELECT m.brand_id, m.id, 'OPENID', %(appid)s, 'oCrowd' || lpad(m.member_no, 22, '0'), 'demo', m.created_at
       FROM members_member m
       WHERE m.brand_id = %(brand)s AND m.member_no = ANY(%(numbers)s) AND m.subscribed
       UNION ALL
       SELECT m.brand_id, m.id, 'PHONE', '', m.phone_index::text, 'demo', m.joined_at FROM members_member m
       WHERE m.brand_id = %(brand)s AND m.member_no = ANY(%(numbers)s) AND m.phone_index IS NOT NULL""",
    """INSERT INTO members_membertag (brand_id, member_id, tag_id, source, at, given, rule_ids)
       SELECT m.brand_id, m.id, m.tag_ids[1], 'demo', m.created_at, true, '{}' FROM members_member m
       WHERE m.brand_id = %(brand)s AND m.member_no = ANY(%(numbers)s)""",
)
_FACTS: Final = """
INSERT INTO loyalty_fact (brand_id, system, kind, number, fingerprint, member_id, amount, body, happened_at,
    received_at)
SELECT m.brand_id, 'crowd', 'PURCHASE', f.number, gen_random_uuid(), m.id, f.amount, f.body::jsonb, f.at, f.at
FROM unnest(%(facts)s::text[], %(buyers)s::text[], %(amounts)s::bigint[], %(bodies)s::text[],
    %(moments)s::timestamptz[]) AS f(number, member_no, amount, body, at)
JOIN members_member m ON m.brand_id = %(brand)s AND m.member_no = f.member_no
"""


def member_no(number: int) -> str:
    """Give the member number of somebody of the crowd: eleven digits, one more than real ones have."""
    return f"9{number:010d}"


def plant(
    *, brand_id: int, account_id: int, appid: str, people: int, at: datetime | None = None,
    say: Callable[[str], None] = lambda _text: None,
) -> None:  # fmt: skip
    """Plant a crowd, each part in a transaction of its own; begun again it goes on where it was."""
    at = at or clock.now()
    with brand_scope(brand_id):
        tags = {tag.name: tag.pk for tag in Tag.objects.filter(name__in=TAGS)}
        for name in TAGS:
            if name not in tags:
                tags[name] = create_tag(name=name, group="种植", meaning="为了核对报表", at=at).pk
        stores: list[int | None] = [*Store.objects.order_by("pk").values_list("pk", flat=True)] or [None]
        begun = Member.objects.filter(member_no__regex=r"^9\d{10}$").count()
    crowd: Iterator[Person] = (Person(number) for number in range(begun, people))
    while some := list(islice(crowd, AT_ONCE)):
        with brand_scope(brand_id), connection.cursor() as cursor:
            given: dict[str, Any] = {"brand": brand_id, "account": account_id, "appid": appid}
            given |= _columns(brand_id, some, tags, stores, at)
            for statement in (_MEMBERS, *_REST, _FACTS):
                cursor.execute(statement, given)
            _points(some, at)
        if (some[-1].number + 1) % (AT_ONCE * 10) == 0:
            say(f"{some[-1].number + 1:,}")


def _columns(
    brand_id: int, some: Sequence[Person], tags: dict[str, int], stores: Sequence[Any], at: datetime
) -> dict[str, Any]:
    sealed = [_phone(brand_id, person) for person in some]
    bought = [(person, each, fen, days) for person in some for each, (fen, days) in enumerate(person.purchases)]
    return {
        "public_ids": [str(public_id(brand_id, person)) for person in some],
        "numbers": [member_no(person.number) for person in some],
        "names": [
            _SURNAMES[person.number % len(_SURNAMES)] + _GIVEN[person.number // 7 % len(_GIVEN)] for person in some
        ],
        "phones": [each[0] for each in sealed],
        "indexes": [each[1] for each in sealed],
        "tails": [each[2] for each in sealed],
        "masks": [each[3] for each in sealed],
        "births": [person.birth_mmdd for person in some],
        "stores": [stores[person.number % len(stores)] for person in some],
        "sinces": [at - timedelta(days=person.joined_days_ago, hours=1) for person in some],
        "joined": [person.joined for person in some],
        "follows": [person.follows for person in some],
        "tags": [tags[person.tag] for person in some],
        "facts": [f"CR{person.number}-{each}" for person, each, _fen, _days in bought],
        "buyers": [member_no(person.number) for person, *_rest in bought],
        "amounts": [fen for _person, _each, fen, _days in bought],
        "bodies": [
            json.dumps({"place": person.place} if person.place else {}) for person, _each, _fen, _days in bought
        ],
        "moments": [at - timedelta(days=days, hours=2) for _person, _each, _fen, days in bought],
    }


def public_id(brand_id: int, person: Person) -> uuid.UUID:
    """Give the key a person's sealed phone is bound to."""
    return uuid.uuid5(_SPACE, f"{brand_id}:{person.number}")


def _phone(brand_id: int, person: Person) -> tuple[bytes | None, str | None, str, str]:
    if not person.joined:
        return None, None, "", ""
    number = f"+861002{person.number:07d}"  # a range that is not handed out
    field: Any = Member._meta.get_field("phone")
    context = field.context(Member(brand_id=brand_id, public_id=public_id(brand_id, person)))
    index = blind_index(brand_id, "phone", number)
    return seal(brand_id, number, context), str(index), number[-4:], masked_phone(number)


def _points(some: Iterable[Person], at: datetime) -> None:
    wanted = [member_no(person.number) for person in some if person.points]
    ids = dict(Member.objects.filter(member_no__in=wanted).values_list("member_no", "pk"))
    gains = [Gain(f"crowd:{number}", ids[number], POINTS) for number in wanted]
    earn_many(gains=gains, actor="demo", source="demo", reason="种植", at=at)
