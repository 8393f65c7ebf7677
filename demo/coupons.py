"""Coupons at a demo brand: six templates, given in every way, used in stores and online. All of it is invented."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import F

from accounts.tenancy import brand_scope
from common import clock
from common.errors import AppError
from coupons import services
from coupons.models import Coupon, Move, MoveKind, PurchaseGift, State, Template, TemplateVersion, Way
from coupons.rules import Cart, Line, read, valid_between
from coupons.selectors.scans import KIND
from demo.channels import BARGAIN
from loyalty.models import Fact, FactKind, Tier
from loyalty.selectors.points import zone
from loyalty.services import Operation
from loyalty.services.ledger import fingerprint
from members.models import Member, Segment
from members.services import save_segment
from stores.models import Store
from touchpoints.models import Touch, TouchKind, Touchpoint
from touchpoints.services import replies_changed

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

PEOPLE: Final = 48
SINCE: Final = timedelta(days=75)
PRINTED: Final = 200
GIFT: Final = "新品试饮"
TEMPLATES: Final[tuple[tuple[str, dict[str, Any], dict[str, Any]], ...]] = (
    ("满 500 减 60", {"kind": "AMOUNT", "amount": 6_000, "threshold": 50_000, "days": 60}, {"claimable": True}),
    (
        "新品 8.5 折",
        {"kind": "PERCENT", "percent": 15, "cap": 20_000, "categories": ["new"], "days": 14},
        {"claimable": True, "total": 500},
    ),
    (
        "知音专享 9 折",
        {"kind": "PERCENT", "percent": 10, "days": 90, "on_refund": "EXTEND"},
        {"by_guides": True, "per_member": 2},
    ),
    (GIFT, {"kind": "GIFT", "gift": "新品咖啡", "days": 30}, {"points_price": 200, "total": 300, "per_member": 3}),
    (
        "围巾兑换券",
        {"kind": "EXCHANGE", "pieces": 1, "products": ["LY-0512"], "days": 30, "on_refund": "VOID"},
        {"points_price": 3_000, "total": 50},
    ),
    ("礼盒随附 50 元", {"kind": "AMOUNT", "amount": 5_000, "threshold": 20_000, "days": 45}, {"per_member": 3}),
)

RETURNING: Final = (
    "老友回馈 20 元",
    {"kind": "AMOUNT", "amount": 2_000, "threshold": 10_000, "days": 30},
    {"total": 200},
)
BOX: Final = "节日礼盒"
SCANNED: Final = 24
BY_CODE: Final = (
    "礼盒见面礼 20 元",
    {"kind": "AMOUNT", "amount": 2_000, "threshold": 10_000, "days": 60},
    {"total": 500},
)


LOTTERY: Final = (
    "抽奖安慰奖 10 元",
    {"kind": "AMOUNT", "amount": 1_000, "threshold": 5_000, "days": 30},
    {"claimable": True, "total": 150},
)


def give_coupons(brand_id: int, chance: Random) -> None:
    """Set templates up and let two and a half months of giving and using happen."""
    now = clock.now()
    with brand_scope(brand_id):
        if Template.objects.exists():
            return
        tiers = [[tier.pk, tier.name] for tier in Tier.objects.order_by("threshold")][2:]
        made = {name: _template(name, rule, settings, tiers, now - SINCE) for name, rule, settings in TEMPLATES}
        rows = Member.objects.filter(joined_at__isnull=False, merged_into__isnull=True, erased_at__isnull=True)
        people = list(rows.order_by("pk").values_list("pk", flat=True)[:PEOPLE])
        stores = list(Store.objects.filter(is_active=True).order_by("pk").values_list("pk", flat=True)[:5])
    for number, member_id in enumerate(people):
        with brand_scope(brand_id):
            _live(member_id, number, made, stores, chance, now)
    with brand_scope(brand_id):
        batch = services.create_batch(
            template=made["礼盒随附 50 元"], label="春节礼盒内卡", count=PRINTED, at=now - timedelta(days=20)
        )
        services.make_portion(batch_id=batch.pk, at=now)
        batch.refresh_from_db()
        codes = [code for code, _used in services.read_codes(batch=batch)]
    for member_id, code in zip(people[::4], codes, strict=False):
        with brand_scope(brand_id):
            at = now - timedelta(minutes=chance.randrange(60, 20_000))
            operation = Operation("demo", f"code:{member_id}")
            services.redeem_code(operation=operation, code=code, member_id=member_id, at=at)
    with brand_scope(brand_id):
        _push(now)
        _tier_coupons(made, now)
        _after_purchases(made, now)
        _code_coupon(now)
        _lottery()
        while services.expire_due(at=now):
            pass


def _push(now: datetime) -> None:
    """Give a coupon to everybody of the first segment; the budget covers them."""
    at = now - timedelta(days=3)
    segment = Segment.objects.order_by("pk").first()
    if segment is None:
        return
    template = _template(*RETURNING, [], at)
    push = services.create_push(
        operation=Operation("demo", "push"), template=template, segment=segment, reason="老友回馈", at=at
    )
    try:
        services.start_push(push_id=push.pk, at=at)
    except AppError:
        return  # a kept segment that nobody has counted yet
    while services.push_portion(push_id=push.pk, at=at):
        pass
    _segments(template)


def _segments(template: Template) -> None:
    """Keep whom the push gave a coupon: all of them, and those who can still use it."""
    for name, states in (("领到老友回馈的人", ("given",)), ("老友回馈还没用", ("given", "unused"))):
        asked = [
            {"condition": "coupon", "params": {"templates": [template.pk], "state": state, "days": 30}}
            for state in states
        ]
        save_segment(name=name, rule={"all": asked}, at=clock.now())


def _tier_coupons(made: dict[str, Template], now: datetime) -> None:
    """The highest tier gives a coupon every month, the one below every quarter."""
    offered = ("满 500 减 60", "礼盒随附 50 元")
    for tier, period, name in zip(Tier.objects.order_by("-threshold")[:2], ("MONTH", "QUARTER"), offered, strict=False):
        services.set_gift(tier=tier, template=made[name], period=period, is_on=True, at=now)
    services.find_gifts(at=now)
    while services.give_gifts(at=now):
        pass


def _code_coupon(now: datetime) -> None:
    """The code in the gift box gives a coupon: who scanned it lately has theirs, one is left out."""
    code = Touchpoint.objects.filter(name=BOX).exclude(scene="").first()
    if code is None:
        return
    template = _template(*BY_CODE, [], now - SINCE)
    code.benefit, code.benefit_kind, code.benefit_id = BY_CODE[0], KIND, template.pk
    code.welcome = f"{code.welcome}{{权益}}已经放进你的卡券。"
    code.save(update_fields=["benefit", "benefit_kind", "benefit_id", "welcome"])
    replies_changed(account_id=code.account_id or 0)
    touches = list(Touch.objects.select_related("touchpoint").filter(touchpoint=code).order_by("-at", "pk")[:SCANNED])
    for number, touch in enumerate(touches):
        services.owe_for_scan(touch, number == len(touches) - 1)
    while services.give_scan(at=now):
        pass


def _lottery() -> None:
    """Whoever came by the lottery poster took what it gave, four of five of them, and most did nothing else."""
    rows = Touch.objects.filter(touchpoint__name=BARGAIN, kind=TouchKind.FOLLOW).order_by("at", "pk")
    touches = list(rows)
    if not touches:
        return
    template = _template(*LOTTERY, [], touches[0].at)
    version = TemplateVersion.objects.get(template=template)
    took = {touch.pk: touch for number, touch in enumerate(touches) if number % 5}
    valid = {pk: valid_between(read(version.rule), issued_at=_taken(touch), zone=zone()) for pk, touch in took.items()}
    coupons = Coupon.objects.bulk_create(
        Coupon(
            template=template,
            version=version,
            member_id=touch.member_id,
            nth=1,
            way=Way.CLAIM,
            state=State.UNUSED,
            valid_from=valid[pk][0],
            valid_until=valid[pk][1],
            issued_at=_taken(touch),
        )
        for pk, touch in took.items()
    )
    Move.objects.bulk_create(
        Move(
            coupon=coupon,
            kind=MoveKind.ISSUE,
            after=State.UNUSED,
            actor="demo",
            key=f"lottery:{pk}",
            fingerprint=fingerprint(act="claim", template=template.pk, member=coupon.member_id),
            member_id=coupon.member_id,
            detail={"way": Way.CLAIM, "version": version.number, "nth": 1, "limit": template.per_member},
            valid_until=coupon.valid_until,
            at=coupon.issued_at,
        )
        for pk, coupon in zip(took, coupons, strict=True)
    )
    Template.objects.filter(pk=template.pk).update(taken=F("taken") + len(coupons))


def _taken(touch: Touch) -> datetime:
    return touch.at + timedelta(minutes=2)


def _after_purchases(made: dict[str, Template], now: datetime) -> None:
    """Whoever buys for 800 yuan at once gets a coupon for the next time: the newest purchases have brought some."""
    day = now.astimezone(zone()).date()
    gift = PurchaseGift(
        template=made["礼盒随附 50 元"],
        at_least=80_000,
        first_day=day - timedelta(days=7),
        last_day=day + timedelta(days=60),
    )
    services.save_purchase_gift(gift=gift, at=now)
    rows = Fact.objects.filter(kind=FactKind.PURCHASE, happened_at__gt=now - timedelta(days=6))
    for fact in rows.order_by("pk")[:40]:
        services.note_purchase(fact)
    while services.give_after_purchases(at=now):
        pass


def _template(name: str, rule: dict[str, Any], settings: dict[str, Any], tiers: list[Any], at: datetime) -> Template:
    draft = {**rule, "tiers": tiers} if name.startswith("知音") and tiers else dict(rule)
    row = services.save_template(template=Template(name=name, draft=draft, **settings), at=at)
    services.activate_template(template_id=row.pk, at=at)
    return Template.objects.get(pk=row.pk)


def _live(
    member_id: int, number: int, made: dict[str, Template], stores: list[int], chance: Random, now: datetime
) -> None:
    for name, template in made.items():
        if chance.random() > (0.7 if template.claimable else 0.25):
            continue
        at = now - timedelta(minutes=chance.randrange(30, int(SINCE.total_seconds() // 60)))
        if template.points_price:
            at = now - timedelta(minutes=chance.randrange(5, 50))
        try:
            coupon = _given(template, name, member_id, at)
        except AppError:
            continue  # too few points, or none left: so it is in life
        if chance.random() < 0.45:
            used = min(at + timedelta(minutes=chance.randrange(1, 9_000)), now)
            store = chance.choice(stores) if stores and (template.points_price or chance.random() < 0.5) else None
            _use(coupon, f"CP{coupon.pk:06d}", store, used, chance)


def _given(template: Template, name: str, member_id: int, at: datetime) -> Coupon:
    operation = Operation("demo", f"{name}:{member_id}")
    given: dict[str, Any] = {"operation": operation, "template": template, "member_id": member_id, "at": at}
    if template.points_price:
        move = services.exchange_points(**given)
    elif template.claimable:
        move = services.claim_coupon(**given)
    else:
        move = services.issue_coupon(**given, way=Way.GUIDE, reason="到店咨询")
    coupon: Coupon = move.coupon
    return coupon


def _use(coupon: Coupon, order: str, store: int | None, at: datetime, chance: Random) -> None:
    amount = chance.choice((45_900, 89_900, 129_900))
    cart = Cart((Line("LY-0512", "new", amount),), store)
    try:
        if store is not None:
            code, _until = services.show_code(coupon_id=coupon.pk, at=at)
            services.redeem_at_counter(
                operation=Operation("demo", order), code=code, cart=cart, cashier="LY0007", at=at
            )
            return
        services.redeem_coupon(operation=Operation("demo", order), coupon_id=coupon.pk, order=order, cart=cart, at=at)
    except AppError:
        return  # below the threshold, or not this tier
    back = at + timedelta(days=2)
    if chance.random() < 0.2 and back < clock.now():
        services.return_coupon(operation=Operation("demo", f"R{order}"), coupon_id=coupon.pk, order=order, at=back)
