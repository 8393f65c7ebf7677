"""Nouns for tests: brands, accounts, stores, people. All of them use the services where there is one."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, time

from accounts.models import Brand, StaffUser
from accounts.services import create_brand, grant_role
from guides.models import Guide
from members.models import Follower, Member, Tag
from members.services import create_tag, record_contact, record_follow
from stores.models import OpeningHours, Store
from touchpoints.models import Touchpoint
from touchpoints.services import create_touchpoint
from wechat_gateway.models import MiniProgram, OfficialAccount

AT = datetime(2025, 6, 1, 0, 0, tzinfo=UTC)  # 08:00 in Shanghai
_numbers = itertools.count(1)


def make_brand(slug: str = "lanyu", name: str = "澜屿") -> Brand:
    return create_brand(slug=slug, name=name)


def make_staff(username: str, role: str, **more: str) -> StaffUser:
    """A person with a role in the brand in scope."""
    user, _ = StaffUser.objects.get_or_create(username=username, defaults={"name": username})
    user.set_password("correct horse battery")
    user.save()
    grant_role(staff_user=user, role=role, **more)
    return user


def make_account(name: str = "澜屿", **more: object) -> OfficialAccount:
    number = next(_numbers)
    fields = {
        "appid": f"wx{number:016x}",
        "original_id": f"gh_{number:012x}",
        "app_secret": f"secret{number:026d}",
        "callback_token": f"token{number:05d}",
        "encoding_aes_key": f"{number:05d}abcdefghijklmnopqrstuvwxyz0123456789AB",
        "open_platform_subject": "subject",
        "connected_at": AT,
    }
    return OfficialAccount.objects.create(name=name, **(fields | more))


def make_mini_program(**more: object) -> MiniProgram:
    number = next(_numbers)
    fields = {"appid": f"wxa{number:015x}", "app_secret": f"mini{number:028d}", "open_platform_subject": "subject"}
    return MiniProgram.objects.create(name="会员", **(fields | more))


def make_store(code: str = "SH004", name: str = "上海静安店", lat: float = 31.2239, lng: float = 121.4471) -> Store:
    store = Store.objects.create(code=code, name=name, city="上海", address="南京西路 1601 号", lat=lat, lng=lng)
    OpeningHours.objects.bulk_create(
        OpeningHours(store=store, weekday=day, opens=time(10), closes=time(22)) for day in range(7)
    )
    return store


def make_guide(
    store: Store, staff_no: str = "LY0007", name: str = "王敏", touchpoint: Touchpoint | None = None
) -> Guide:
    return Guide.objects.create(staff_no=staff_no, name=name, store=store, touchpoint=touchpoint, created_at=AT)


def make_tag(name: str = "静安店", **more: object) -> Tag:
    return create_tag(name=name, at=AT, **more)


def make_touchpoint(account: OfficialAccount | None, **more: object) -> Touchpoint:
    return create_touchpoint(**({"name": "上海静安店 · LY0007", "at": AT, "account": account} | more))


def make_follower(account: OfficialAccount, openid: str | None = None, at: datetime = AT) -> Follower:
    """Somebody who follows."""
    follower = record_contact(
        account_id=account.pk,
        appid=account.appid,
        openid=openid or f"oPerson{next(_numbers):021d}",
        at=at,
    )
    record_follow(follower=follower, at=at)
    follower.refresh_from_db()
    return follower


def make_member(account: OfficialAccount, **fields: object) -> Member:
    """Somebody who follows, with facts set on the person."""
    follower = make_follower(account)
    Member.objects.filter(pk=follower.member_id).update(**fields)
    return Member.objects.get(pk=follower.member_id)
