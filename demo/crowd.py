"""Plants a crowd into a demo brand, some thousand people at a time: sizes M and L. All of it is invented."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import Final

from django.db import connection

from accounts.models import StaffUser
from accounts.tenancy import brand_scope
from common import clock
from coupons.models import Template, TemplateVersion
from coupons.services import activate_template, save_template
from demo.layers import LAYERS, Ground
from demo.layers.given import RULES
from demo.truth import COUPONS, PLAIN, TAGS, Person, Shape
from guides.models import Guide
from loyalty.models import EarnRule, Tier
from members.models import Member, Tag
from members.services import create_tag
from stores.models import Store
from touchpoints.models import Touchpoint
from wechat_gateway.models import OfficialAccount

AT_ONCE: Final = 5_000


def plant(
    *, brand_id: int, account_id: int, appid: str, people: int, slug: str = "", at: datetime | None = None,
    stores: tuple[str, ...] = (), codes: tuple[str, ...] = (), shape: Shape = PLAIN,
    say: Callable[[str], None] = lambda _text: None,
) -> None:  # fmt: skip
    """Plant a crowd over stores and codes (by their names), each part in a transaction of its own.

    Begun again it goes on where it was.
    """
    with brand_scope(brand_id):
        ground = _ground(brand_id, account_id, appid, slug, at or clock.now(), stores, codes, shape)
        begun = Member.objects.filter(member_no__regex=r"^9\d{10}$").count()
    if 0 < begun < people:
        say(f"an earlier load ended early: going on after {begun:,} of {people:,}")
    crowd: Iterator[Person] = (Person(number, shape) for number in range(begun, people))
    while some := list(islice(crowd, AT_ONCE)):
        with brand_scope(brand_id), connection.cursor() as cursor:
            for layer in LAYERS:
                layer(some, ground, cursor)
        if (some[-1].number + 1) % (AT_ONCE * 10) == 0:
            say(f"{some[-1].number + 1:,}")


def _ground(
    brand_id: int, account_id: int, appid: str, slug: str, at: datetime, stores: tuple[str, ...],
    codes: tuple[str, ...], shape: Shape,
) -> Ground:  # fmt: skip
    tags = dict(Tag.objects.filter(name__in=TAGS).values_list("name", "pk"))
    for name in TAGS:
        if name not in tags:
            tags[name] = create_tag(name=name, group="种植", meaning="为了核对报表", at=at).pk
    places = dict(Store.objects.filter(name__in=stores).values_list("name", "pk"))
    rows = Touchpoint.objects.filter(name__in=codes, account_id=account_id)
    points = {name: (pk, scene) for pk, name, scene in rows.values_list("pk", "name", "scene")}
    guides: dict[int, list[int]] = {}
    for store_id, pk in Guide.objects.filter(is_active=True).order_by("pk").values_list("store_id", "pk"):
        guides.setdefault(store_id, []).append(pk)
    return Ground(
        brand_id=brand_id,
        account_id=account_id,
        appid=appid,
        slug=slug,
        at=at,
        tags=tags,
        stores=tuple(places[name] for name in stores),
        guides=guides,
        codes=tuple(points[name] for name in codes),
        tiers=tuple(Tier.objects.order_by("threshold").values_list("pk", "name", "threshold")),
        spend_rule=EarnRule.objects.filter(kind="spend").order_by("pk").values_list("pk", flat=True).first(),
        coupons=tuple(_coupon(which, at) for which in range(shape.coupons)),
        subject=OfficialAccount.objects.values_list("open_platform_subject", flat=True).get(pk=account_id),
        staff_id=StaffUser.objects.filter(username=f"{slug}-ops").values_list("pk", flat=True).first(),
    )


def _coupon(which: int, at: datetime) -> tuple[int, int]:
    name, _fen = COUPONS[which]
    template = Template.objects.filter(name=name).first()
    if template is None:
        template = save_template(template=Template(name=name, draft=dict(RULES[which])), at=at)
        activate_template(template_id=template.pk, at=at)
    version = TemplateVersion.objects.filter(template=template).order_by("-number").values_list("pk", flat=True)[0]
    return template.pk, version
