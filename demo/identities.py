"""Planted people: many identities, twins, a recycled phone, some without UnionID, profile fields and a tester."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from accounts.tenancy import brand_scope
from common import clock
from demo.notebook import notes
from demo.people import GIVEN, SURNAMES
from members import services
from members.models import Doubt, Identity, Member, ProfileField
from members.services import Known

if TYPE_CHECKING:
    from datetime import datetime

BY: Final = "会员运营"
LATER: Final = timedelta(days=400)


def plant_identities(brand_id: int, subject: str) -> None:
    """Plant cases whose outcome is known; planting them again changes nothing."""
    with brand_scope(brand_id):
        if Doubt.objects.exists() or ProfileField.objects.exists():
            return
        _plant(subject)


def _plant(subject: str) -> None:
    at = clock.now()
    known = _met(
        at - timedelta(days=90), "陈嘉宁", Known("CARD", "88000001", "pos"), Known("PHONE", "10009990001"), "shop"
    )
    services.link_identity(
        member=known, known=Known("EXTERNAL", "wmDemoChenJiaNing", "corp"), source="wecom", at=at - timedelta(days=30)
    )
    services.link_identity(
        member=known,
        known=Known("UNIONID", "uDemoChenJiaNing", subject),
        source="user info",
        at=at - timedelta(days=30),
    )
    old = _recycled(("周国强", "林晓"), "88000002", "oDemoLinXiao", "10009990002", at)
    _twins(("吴双", "吴对"), ("88000003", "88000004"), "10009990003", at)
    # Without UnionID nothing ties these two; they heal when both show the phone.
    for openid in ("oDemoNoUnion1", "oDemoNoUnion2"):
        _met(at, "", Known("OPENID", openid, f"demo-{openid[-1]}"), None, "mini-program log-in")
    _fields(known, at)
    services.set_flag(member_id=old.pk, kind="TEST", since=None, reason="试机号码", by=BY, at=at)


def plant_more(brand_id: int, *, recycled: int, twins: int) -> None:
    """Plant the same cases many times, each in a transaction of its own; what is there already stays."""
    at = clock.now()
    with brand_scope(brand_id):
        cards = Identity.objects.filter(kind="CARD", value__startswith=_card(0)[:4])
        there = set(cards.order_by().values_list("value", flat=True))
    for number in range(recycled):
        if _card(number) in there:
            continue
        with brand_scope(brand_id):
            names = (_name(number), _name(number + 11))
            _recycled(names, _card(number), f"oDemoAgain{number:04d}", f"1000998{number:04d}", at)
    for number in range(twins):
        if _card(5_000 + 2 * number) in there:
            continue
        with brand_scope(brand_id):
            names = (_name(number), _name(number, 1))
            both = (_card(5_000 + 2 * number), _card(5_001 + 2 * number))
            _twins(names, both, f"1000997{number:04d}", at)


def _card(number: int) -> str:
    return f"8810{number:04d}"


def _name(number: int, other: int = 0) -> str:
    return SURNAMES[number % len(SURNAMES)] + GIVEN[(number * 7 + other) % len(GIVEN)]


def _recycled(names: tuple[str, str], card: str, openid: str, phone: str, at: datetime) -> Member:
    """The owner of a number gave it up; somebody new shows it on their own phone. Gives the former."""
    old = _met(at - LATER, names[0], Known("CARD", card, "pos"), Known("PHONE", phone), "shop")
    new = _met(at, names[1], Known("OPENID", openid, "demo-mini"), None, "mini-program log-in")
    services.link_phone(member=new, number=phone, source="mini program", at=at)
    notes().members.add(new.pk)
    notes().counts["to_decide"] += 1
    return old


def _twins(names: tuple[str, str], cards: tuple[str, str], phone: str, at: datetime) -> None:
    """Twins share a home phone that a till typed for both."""
    for name, card, birthday in zip(names, cards, ("05-06", "05-07"), strict=True):
        twin = _met(at, name, Known("CARD", card, "pos"), None, "shop")
        services.say(member_id=twin.pk, source="pos", values={"birthday": birthday}, at=at, by=BY)
        services.link_phone(member=twin, number=phone, source="shop", at=at)
        notes().members.add(twin.pk)
    notes().counts["to_decide"] += 1


def _met(at: datetime, name: str, first: Known, second: Known | None, source: str) -> Member:
    found = services.meet(identities=[each for each in (first, second) if each], source=source, at=at)
    if name:
        services.say(member_id=found.member.pk, source="operator", values={"name": name}, at=clock.now(), by=BY)
    return Member.objects.get(pk=found.member.pk)


def _fields(member: Member, now: datetime) -> None:
    skin = ProfileField(
        key="skin",
        label="肤质",
        kind="CHOICE",
        choices=["干性", "油性", "混合"],
        sources=["member", "dialogue", "operator", "pos", "import"],
        fresh_days=365,
        by_member=True,
    )
    services.save_profile_field(field=skin, at=now)
    allergy = ProfileField(
        key="allergy",
        label="过敏史",
        kind="TEXT",
        sources=["member", "dialogue", "operator", "import"],
        sensitivity="SEALED",
    )
    services.save_profile_field(field=allergy, at=now)
    services.say(member_id=member.pk, source="pos", values={"skin": "油性"}, at=now - timedelta(days=60), by="收银 2")
    services.say(member_id=member.pk, source="member", values={"skin": "干性", "allergy": "花生"}, at=now)
