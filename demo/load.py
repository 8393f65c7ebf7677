"""Builds the invented brands through the product's own services, with WeChat (the simulator) on the other side."""

from __future__ import annotations

import json
import multiprocessing
import random
import urllib.request
from datetime import datetime, time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import connections

from accounts.models import RoleGrant, StaffUser
from accounts.services import create_brand, grant_role
from accounts.tenancy import brand_scope
from common import clock
from conversations.models import Menu, ReplyRule
from demo import arrivals, channels, notebook, privacy
from demo.automatic import make_automatic_tags, take_first_snapshots
from demo.brands import BRANDS, PASSWORD, PLATFORM_ADMIN
from demo.canary import plant_canary
from demo.crowd import plant
from demo.identities import plant_identities, plant_more
from demo.more_stores import code_names, guided_stores, open_stores, store_names
from demo.news import turn_on_news
from demo.pictures import make_pictures
from demo.platform import load_platform
from demo.points import TIERS
from demo.staff import change_rules, hire_leaders, move_staff
from demo.talks import answer_a_tier, ask_for_fields, make_talks
from demo.truth import PLAIN, SHAPES, SIZES, Shape, together, truth
from guides.models import Guide
from guides.services import give_code
from members.models import Tag
from members.services import create_tag, save_segment
from stores.models import OpeningHours, Region, RegionGrant, Store, StoreGrant
from touchpoints.models import Touchpoint
from touchpoints.services import create_touchpoint, renew_codes
from wechat_gateway.models import MiniProgram, OfficialAccount

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accounts.models import Brand
    from demo.brands import DemoBrand

DAYS = 14
CASES: Final = {"recycled": 119, "twins": 59}  # of identity, beside the one of each that every size has
OPEN_AT = time(10, 30)


HALF: Final = (
    "its first load ended early: it stays as it is, and what is true of it is unknown; an empty var/ begins anew"
)


class PartFailed(Exception):
    """A crowd was not planted to its end; loading again goes on with it."""


class SimulatorAway(Exception):
    """The simulator did not answer at `ZHIYIN_SIMULATOR_URL`."""


def load(say: Callable[[str], None], size: str = "S") -> None:
    """Load every demo brand; what is there already stays. `say` is told what is going on.

    Sizes M and L plant crowds beside. What is true of the brands is written down (`var/truth-S.json` and so on).
    """
    platform_admin()
    loaded = {demo.slug: load_brand(demo, say) for demo in BRANDS}
    crowds = [(demo, *loaded[demo.slug], people) for demo in BRANDS if (people := SIZES[size].get(demo.slug))]
    for demo, brand, account, people in crowds:
        say(f"{demo.name}: a crowd of {people:,}")
        make_codes(demo, brand, account, clock.now())
        if demo.slug == "lanyu":
            hire_leaders(brand.pk, demo.slug, clock.now())
            change_rules(brand.pk, clock.now())
    beside(
        [
            partial(plant_crowd, demo, brand.pk, account, people, say, shape_of(size, demo.slug))
            for demo, brand, account, people in crowds
        ]
    )
    for demo, brand, _account, people in crowds:
        if demo.slug == "lanyu":
            plant_more(brand.pk, **CASES)
            move_staff(brand.pk, demo.guide_prefix, clock.now())
        planted = truth_of("S").get(demo.slug, {}).get("planted")
        crowd = {"to_decide": 0} | truth_of_crowd(demo, people, shape_of(size, demo.slug))
        if demo.slug == "lanyu":
            crowd |= together(crowd, truth_of_cases())
        whole = {"whole": together(planted, crowd)} if planted else {}
        keep_truth(size, demo.slug, {"planted": planted, "crowd": crowd} | whole)
    if crowds:
        load_canary()
    if settings.SIMULATOR_URL:
        load_platform(post)  # after the brands: a new phone shows the first account there is


def load_brand(demo: DemoBrand, say: Callable[[str], None]) -> tuple[Brand, OfficialAccount]:
    """Load one brand as size S has it; what is there already stays."""
    if settings.SIMULATOR_URL:
        open_the_shops()
    at = clock.now()
    brand = create_brand(slug=demo.slug, name=demo.name, name_en=demo.name_en)
    with brand_scope(brand.pk):
        if OfficialAccount.objects.filter(appid=demo.appid).exists():
            say(f"{demo.name}: already there")
            account = OfficialAccount.objects.get(appid=demo.appid)
        else:
            say(f"{demo.name}: stores, staff, guides, channels, replies")
            account = build(demo, at)
        connected = Menu.objects.filter(account=account, published_at__isnull=False).exists()
    if settings.SIMULATOR_URL:
        describe_to_simulator(demo, account)
        if not connected:
            with notebook.kept() as book:
                connect(demo, brand, account, say)
            book.counts["following"] = len(following(demo))
            keep_truth("S", demo.slug, {"planted": book.truth()})
        elif not truth_of("S").get(demo.slug, {}).get("planted"):
            say(f"{demo.name}: {HALF}")
    return brand, account


def load_canary() -> None:
    """Make the brand that nobody else may see anything of, here and in the simulated WeChat. Safe to repeat."""
    brand = plant_canary(clock.now())
    with brand_scope(brand.pk):
        account = OfficialAccount.objects.get()
        known = {
            "appid": account.appid,
            "kind": "service",
            "name": account.name,
            "subject": account.open_platform_subject,
            "original_id": account.original_id,
            "secret": account.app_secret.reveal(),
            "callback_url": f"{settings.PUBLIC_URL}/wx/{account.path_token}",
            "token": account.callback_token.reveal(),
            "aes_key": account.encoding_aes_key.reveal(),
            "mode": "safe",
        }
    if settings.SIMULATOR_URL:
        post("/_sim/world", {"accounts": [known]})


def beside(parts: Sequence[Callable[[], None]]) -> None:
    """Do several things at once, each in a process of its own. Raises `PartFailed` when one of them fails."""
    if len(parts) < 2:
        for part in parts:
            part()
        return
    connections.close_all()
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=part) for part in parts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise PartFailed


def make_codes(demo: DemoBrand, brand: Brand, account: OfficialAccount, at: datetime) -> None:
    """Open further stores, and have WeChat make the codes by which a crowd came: those that are missing."""
    open_stores(brand.pk, demo, account, at)
    if not settings.SIMULATOR_URL:
        return
    if renew_codes(brand.pk, at=at):
        name_codes(demo, brand.pk, account.pk)


def plant_crowd(
    demo: DemoBrand, brand_id: int, account: OfficialAccount, people: int, say: Callable[[str], None], shape: Shape
) -> None:
    """Plant a crowd over the stores and codes of a brand."""
    plant(
        brand_id=brand_id,
        account_id=account.pk,
        appid=demo.appid,
        slug=demo.slug,
        people=people,
        stores=store_names(demo),
        codes=code_names(demo),
        shape=shape,
        say=lambda text: say(f"{demo.name}: {text}"),
    )


def shape_of(size: str, slug: str) -> Shape:
    """Say what kind of crowd a brand has in a size."""
    return SHAPES.get((size, slug), PLAIN)


def truth_of_crowd(demo: DemoBrand, people: int, shape: Shape) -> dict[str, Any]:
    """Count what is true of the crowd of a brand."""
    ladder = [(name, threshold) for name, threshold, _benefits in TIERS]
    return truth(
        people,
        stores=store_names(demo),
        guided=guided_stores(demo),
        codes=code_names(demo),
        ladder=ladder,
        shape=shape,
    )


def truth_of_cases() -> dict[str, Any]:
    """Count what is true of the planted cases of identity: of two who show one phone only the first joins by it."""
    members = CASES["recycled"] + CASES["twins"]
    return {"to_decide": sum(CASES.values()), "members": members, "members_by_tier": {TIERS[0][0]: members}}


def following(demo: DemoBrand) -> list[str]:
    """Ask the simulated WeChat who follows a brand: openids."""
    people = get(f"/_sim/people?appid={demo.appid}&limit=10000")["people"]
    return [person["accounts"][demo.appid]["openid"] for person in people]


def truth_path(size: str) -> Path:
    """Say where the truth of a size is written: beside the data of the product it is true of."""
    return Path(settings.STATE_DIR) / f"truth-{size}.json"


def truth_of(size: str) -> dict[str, Any]:
    """Give what is true of the brands of a loaded size, by their slugs; nothing when it was not written."""
    path = truth_path(size)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def keep_truth(size: str, slug: str, facts: dict[str, Any]) -> None:
    """Write down what is true of a brand, for checking reports."""
    path = truth_path(size)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(truth_of(size) | {slug: facts}, ensure_ascii=False, indent=1) + "\n")
    part.replace(path)


def open_the_shops() -> None:
    """Move a simulated clock that stands before opening time to 10:30: the first location sent finds open stores."""
    clock.resync()
    local = clock.now().astimezone(ZoneInfo("Asia/Shanghai"))
    if local.hour < OPEN_AT.hour:
        post("/_sim/clock", {"set": datetime.combine(local.date(), OPEN_AT, local.tzinfo).timestamp()})
        clock.resync()


def platform_admin() -> None:
    """Make the person who runs the installation."""
    user, created = StaffUser.objects.get_or_create(
        username=PLATFORM_ADMIN,
        defaults={"name": "平台管理员", "is_staff": True, "is_superuser": True},
    )
    if created:
        user.set_password(PASSWORD)
        user.save()


def build(demo: DemoBrand, at: datetime) -> OfficialAccount:
    """Make a brand's rows (in its scope)."""
    account = OfficialAccount.objects.create(
        name=demo.name,
        appid=demo.appid,
        original_id=demo.original_id,
        app_secret=demo.secret,
        callback_token=demo.token,
        encoding_aes_key=demo.aes_key,
        open_platform_subject=demo.subject,
        connected_at=at,
    )
    MiniProgram.objects.create(
        name=f"{demo.name}会员",
        appid=demo.mini_appid,
        app_secret=demo.mini_secret,
        open_platform_subject=demo.subject,
    )
    stores = make_stores(demo)
    make_staff(demo, stores)
    tags = {
        name: create_tag(name=name, group=group, meaning=meaning, sync=sync, at=at)
        for name, group, meaning, sync in demo.tags
    }
    make_automatic_tags(at)
    make_guides(demo, account, stores, tags, at)
    for rule in demo.replies:
        ReplyRule.objects.create(account=account, updated_at=at, **rule)
    Menu.objects.create(account=account, draft=list(demo.menu))
    make_talks(demo, account, tags, at)
    make_pictures(at)
    store_tag = next(iter(tags.values()))
    save_segment(
        name="静安近 30 天互动" if demo.slug == "lanyu" else "静安寺店近 30 天互动",
        rule={
            "all": [
                {"condition": "subscribed", "params": {"value": "yes"}},
                {"condition": "tag", "params": {"how": "any", "tags": [store_tag.pk]}},
                {"condition": "last_interaction", "params": {"how": "within", "days": 30}},
            ],
        },
        at=at,
    )
    return account


def make_stores(demo: DemoBrand) -> list[Store]:
    """Make the stores with their regions and hours."""
    regions: dict[str, Region] = {}
    stores = []
    opens, closes = time.fromisoformat(demo.opens), time.fromisoformat(demo.closes)
    for shop in demo.shops:
        region = regions.get(shop.region) or Region.objects.create(name=shop.region)
        regions[shop.region] = region
        store = Store.objects.create(
            code=shop.code,
            name=shop.name,
            region=region,
            city=shop.city,
            address=shop.address,
            telephone="021-5550 " + shop.code[-3:].rjust(4, "0"),
            lat=shop.lat,
            lng=shop.lng,
        )
        OpeningHours.objects.bulk_create(
            OpeningHours(store=store, weekday=day, opens=opens, closes=closes) for day in range(7)
        )
        stores.append(store)
    return stores


def make_staff(demo: DemoBrand, stores: list[Store]) -> None:
    """Make the people who sign in."""
    by_code = {store.code: store for store in stores}
    hashed = make_password(PASSWORD)  # once: hashing is slow on purpose
    for person in demo.staff:
        user, created = StaffUser.objects.get_or_create(username=person.username, defaults={"name": person.name})
        if created:
            user.password = hashed
            user.save()
        grant: RoleGrant = grant_role(staff_user=user, role=person.role, scope=person.scope)
        RoleGrant.objects.filter(pk=grant.pk).update(created_at=clock.now())  # by the clock that pages show
        for code in person.stores:
            StoreGrant.objects.get_or_create(grant=grant, store=by_code[code])
        for region in Region.objects.filter(name__in=person.regions):
            RegionGrant.objects.get_or_create(grant=grant, region=region)


def make_guides(
    demo: DemoBrand,
    account: OfficialAccount,
    stores: list[Store],
    tags: dict[str, Tag],
    at: datetime,
) -> None:
    """Make the channel tree: a node per store, with a door code and one per guide."""
    root = create_touchpoint(name="门店", at=at)
    packages = create_touchpoint(name="包装", at=at)
    create_touchpoint(
        name="节日礼盒",
        parent=packages,
        account=account,
        at=at,
        tags=[tag for name, tag in tags.items() if name == "礼盒"],
        welcome=f"谢谢选择{demo.name}。礼盒里的卡片背面有一份小惊喜，回复「会员」领取。",
    )
    nodes: dict[int, Touchpoint] = {}
    for number, name in enumerate(demo.guides, 1):
        store = stores[(number - 1) // 2 % len(stores)]
        node = nodes.get(store.pk) or create_touchpoint(name=store.name, parent=root, store=store, at=at)
        nodes[store.pk] = node
        store_tags = [tag for label, tag in tags.items() if tag.group == "门店" and label in store.name]
        staff_no = f"{demo.guide_prefix}{number:04d}"
        guide = Guide.objects.create(
            staff_no=staff_no,
            name=name,
            store=store,
            staff_user=StaffUser.objects.filter(username=f"{demo.slug}-guide", name=name).first(),
            created_at=at,
        )
        code = create_touchpoint(
            name=f"{store.name} · {staff_no}",
            parent=node,
            account=account,
            store=store,
            tags=store_tags,
            welcome=demo.welcome.format(store=store.name, guide=name, staff_no=staff_no),
            at=at,
        )
        give_code(guide=guide, touchpoint=code)


def describe_to_simulator(demo: DemoBrand, account: OfficialAccount) -> None:
    """Let the simulated WeChat know the brand's accounts, templates and its crowd of followers. Safe to repeat."""
    start = clock.timestamp()
    per_day = demo.crowd // DAYS
    post(
        "/_sim/world",
        {
            "subjects": [{"id": demo.subject, "name": demo.name}],
            "accounts": [
                {
                    "appid": demo.appid,
                    "kind": "service",
                    "name": demo.name,
                    "subject": demo.subject,
                    "original_id": demo.original_id,
                    "secret": demo.secret,
                    "callback_url": f"{settings.PUBLIC_URL}/wx/{account.path_token}",
                    "token": demo.token,
                    "aes_key": demo.aes_key,
                    "mode": "safe",
                    "templates": list(demo.templates),
                    "notices": list(demo.notices),
                },
                {
                    "appid": demo.mini_appid,
                    "kind": "mini",
                    "name": f"{demo.name}会员",
                    "subject": demo.subject,
                    "secret": demo.mini_secret,
                },
            ],
            "crowds": [
                {
                    "prefix": f"{demo.slug}-{day:02d}-",
                    "nickname": "粉丝",
                    "count": per_day + 7 * ((day * 5) % 9),
                    "follows": [demo.appid],
                    "at": start - (DAYS - day) * 86_400 + 3 * 3_600,
                    # Who came on the first days has met the subscribe button since.
                    "agrees": arrivals.agreements(demo, day),
                }
                for day in range(DAYS)
            ]
            + channels.crowds(demo, start),
        },
    )


def connect(demo: DemoBrand, brand: Brand, account: OfficialAccount, say: Callable[[str], None]) -> None:
    """Do what an operator does on the first day: fetch the followers, templates; make the codes; publish the menu."""
    from demo.campaigns import run_campaigns
    from demo.coupons import give_coupons
    from demo.daily import leave_traces
    from demo.people import enliven
    from demo.points import give_points
    from demo.referrals import invite_friends
    from demo.tables import import_tables
    from demo.talk import talk
    from demo.wechat import connect_to_wechat
    from demo.welcomes import welcome

    say(f"{demo.name}: followers, templates, codes, menu from WeChat")
    connect_to_wechat(brand.pk, account.pk)
    say(f"{demo.name}: a fortnight of life")
    enliven(brand.pk, account.pk, random.Random(20250601))
    channels.plant(brand.pk, demo, account, random.Random(20250602))
    talk(brand.pk, demo.slug, account, writer(demo))
    welcome(brand.pk, account.pk, random.Random(20250603))
    give_points(brand.pk, random.Random(20250604))
    with brand_scope(brand.pk):
        answer_a_tier(account, clock.now())
    give_coupons(brand.pk, random.Random(20250605))
    invite_friends(brand.pk)
    plant_identities(brand.pk, demo.subject)
    if demo.slug == "lanyu":
        with brand_scope(brand.pk):
            ask_for_fields(account, clock.now())
    import_tables(brand.pk)
    take_first_snapshots(brand.pk)
    privacy.furnish(brand.pk)
    leave_traces(brand.pk, account)
    run_campaigns(brand.pk, demo.slug, account)
    with brand_scope(brand.pk):
        turn_on_news(clock.now())
    arrivals.furnish(brand.pk, demo, account, get(f"/_sim/people?appid={demo.appid}&limit=10000")["people"])
    name_codes(demo, brand.pk, account.pk)


def name_codes(demo: DemoBrand, brand_id: int, account_id: int) -> None:
    """Let the simulated WeChat show the codes by their names."""
    for touchpoint in codes_of(brand_id, account_id):
        post("/_sim/codes/name", {"appid": demo.appid, "scene": touchpoint.scene, "name": touchpoint.name})


def writer(demo: DemoBrand) -> Callable[[str, str, datetime], None]:
    """Give how the simulated WeChat is told that somebody wrote earlier."""
    people = get(f"/_sim/people?appid={demo.appid}&limit=10000")["people"]
    by_openid = {person["accounts"][demo.appid]["openid"]: person["id"] for person in people}

    def wrote(openid: str, content: str, at: datetime) -> None:
        act = {"act": "wrote", "appid": demo.appid, "content": content, "at": at.timestamp()}
        post(f"/_sim/people/{by_openid[openid]}/act", act)

    return wrote


def codes_of(brand_id: int, account_id: int) -> list[Touchpoint]:
    """Give the channels that carry a code."""
    with brand_scope(brand_id):
        return list(Touchpoint.objects.filter(account_id=account_id).exclude(scene="").order_by("pk"))


def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Call the simulator's control API. Raises `SimulatorAway`."""
    return _call(path, json.dumps(body).encode())


def get(path: str) -> dict[str, Any]:
    """Ask the simulator's control API. Raises `SimulatorAway`."""
    return _call(path, None)


def _call(path: str, body: bytes | None) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - the simulator's address comes from settings
        settings.SIMULATOR_URL + path,
        data=body,
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            result: dict[str, Any] = json.load(answer)
    except OSError as error:
        detail = error.read().decode() if isinstance(error, HTTPError) else str(error)
        raise SimulatorAway(detail) from error
    return result
