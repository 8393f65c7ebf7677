"""The other stores of a large fashion brand, its guides there, and the media by which a crowd came: sizes M and L."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Final

from accounts.tenancy import brand_scope
from demo.brands import DemoBrand, Shop
from guides.models import Guide
from stores.models import OpeningHours, Region, Store
from touchpoints.models import Touchpoint
from touchpoints.services import create_touchpoint
from wechat_gateway.models import OfficialAccount

# City, letters of its store codes, region, centre (GCJ-02), and where its further stores are.
CITIES: Final = (
    ("上海", "SH", "华东", 31.2304, 121.4737, ("新天地", "环球港", "虹桥", "七宝")),
    ("杭州", "HZ", "华东", 30.2741, 120.1551, ("武林", "滨江", "西溪")),
    ("北京", "BJ", "华北", 39.9042, 116.4074, ("西单", "望京", "五棵松", "朝阳大悦城")),
    ("广州", "GZ", "华南", 23.1291, 113.2644, ("正佳", "北京路", "万菱汇")),
    ("深圳", "SZ", "华南", 22.5431, 114.0579, ("海岸城", "卓悦中心", "来福士")),
    ("成都", "CD", "西南", 30.5728, 104.0668, ("太古里", "银泰", "金牛")),
    ("南京", "NJ", "华东", 32.0603, 118.7969, ("新街口", "河西", "江宁")),
    ("苏州", "SU", "华东", 31.2989, 120.5853, ("观前", "园区", "吴中")),
    ("天津", "TJ", "华北", 39.0842, 117.2010, ("滨江道", "海信广场")),
    ("武汉", "WH", "华中", 30.5928, 114.3055, ("楚河汉街", "国广", "光谷")),
    ("长沙", "CS", "华中", 28.2282, 112.9388, ("五一广场", "梅溪湖")),
    ("重庆", "CQ", "西南", 29.5630, 106.5516, ("解放碑", "观音桥", "杨家坪")),
)
GUIDES: Final = 8  # in each of these stores
MORE: Final = 8  # of these stores have one more: 320 guides with those of the beginning
LEAVERS: Final = 22  # who work in the first of these stores until the crowd is there
SURNAMES: Final = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜"
GIVEN: Final = "嘉 岚 宁 彤 悦 晨 朗 桐 楠 泽 澄 然 珂 琪 睿 禾 筱 苒 茜 蕾 言 越 辰 野 雯 霖 颖".split()
KNOWN: Final = "阿柚 北野 陈二 豆蔻 阿芷 何夕 江小舟 栗子 木南 青禾 桑桑 唐果".split()
MEDIA: Final = {
    "lanyu": (
        (
            "社媒",
            (
                "小红书主页",
                "抖音橱窗",
                "微博置顶",
                "视频号主页",
                "小红书笔记",
                "抖音直播间",
                "微博话题",
                "搜一搜",
                "公众号文末",
            ),
        ),
        ("达人", tuple(f"达人 · {name}" for name in KNOWN)),
        ("异业合作", ("花店联名卡", "咖啡联名杯套", "书店借阅卡", "酒店客房卡", "影院票根")),
        ("包装", ("购物袋", "吊牌", "包裹卡")),
    ),
    "zaoshan": (("社媒", ("小红书主页", "抖音团购", "大众点评主页")),),
}


def shops() -> tuple[Shop, ...]:
    """Give the further stores; numbers go on after those the brand begins with."""
    found = []
    for city, letters, region, lat, lng, places in CITIES:
        for each, place in enumerate(places):
            found.append(
                Shop(
                    f"{letters}{101 + each}",
                    f"{city}{place}店",
                    region,
                    city,
                    f"{place}商圈 {18 + 7 * each} 号",
                    round(lat + 0.021 * (each - 1), 4),
                    round(lng + 0.017 * (2 - each), 4),
                )
            )
    return tuple(found)


def store_names(demo: DemoBrand) -> tuple[str, ...]:
    """Give the stores of a brand in the order in which a crowd is counted."""
    return tuple(shop.name for shop in (*demo.shops, *(shops() if demo.slug == "lanyu" else ())))


def code_names(demo: DemoBrand) -> tuple[str, ...]:
    """Give the codes by which a crowd came, those that brought most first."""
    social, *others = [codes for _medium, codes in MEDIA[demo.slug]]
    doors = tuple(_door(name) for name in store_names(demo))
    rooms = tuple(_room(name) for name in store_names(demo)) if demo.slug == "lanyu" else ()
    return (*social, *doors, *rooms, *(name for codes in others for name in codes))


def guided_stores(demo: DemoBrand) -> frozenset[str]:
    """Give the stores that have guides: two begin in each of the first ones, the further stores have their own."""
    begin = {demo.shops[number // 2 % len(demo.shops)].name for number in range(len(demo.guides))}
    return frozenset(begin | {shop.name for shop in (shops() if demo.slug == "lanyu" else ())})


def _door(store: str) -> str:
    return f"{store} · 门口"


def _room(store: str) -> str:
    return f"{store} · 试衣间"


def open_stores(brand_id: int, demo: DemoBrand, account: OfficialAccount, at: datetime) -> list[int]:
    """Open what is missing of the stores, guides and codes; gives the codes that are new."""
    long_ago = at - timedelta(days=200)
    with brand_scope(brand_id):
        if Touchpoint.objects.filter(account=account, name=code_names(demo)[0]).exists():
            return []
        if demo.slug == "lanyu":
            _build(demo, long_ago)
        made = []
        root = Touchpoint.objects.get(name="门店", parent=None)
        for store in Store.objects.filter(name__in=store_names(demo)).order_by("pk"):
            place = Touchpoint.objects.filter(parent=root, store=store, scene="").first()
            place = place or create_touchpoint(name=store.name, parent=root, store=store, at=long_ago)
            made += [
                create_touchpoint(name=name, parent=place, store=store, account=account, at=long_ago)
                for name in (_door(store.name), *([_room(store.name)] if demo.slug == "lanyu" else []))
            ]
        for medium, names in MEDIA[demo.slug]:
            node = Touchpoint.objects.filter(name=medium, parent=None).first()
            node = node or create_touchpoint(name=medium, at=long_ago)
            made += [create_touchpoint(name=name, parent=node, account=account, at=long_ago) for name in names]
        return [code.pk for code in made]


def _build(demo: DemoBrand, at: datetime) -> None:
    regions = {region.name: region for region in Region.objects.all()}
    hours = time.fromisoformat(demo.opens), time.fromisoformat(demo.closes)
    number = len(demo.guides)
    for place, shop in enumerate(shops()):
        region = regions.get(shop.region) or Region.objects.create(name=shop.region)
        regions[shop.region] = region
        store = Store.objects.create(
            code=shop.code,
            name=shop.name,
            region=region,
            city=shop.city,
            address=shop.address,
            telephone=f"400-555 {number:04d}",
            lat=shop.lat,
            lng=shop.lng,
        )
        OpeningHours.objects.bulk_create(
            OpeningHours(store=store, weekday=day, opens=hours[0], closes=hours[1]) for day in range(7)
        )
        staff = []
        for _each in range(GUIDES + (place < MORE)):
            number += 1
            staff.append(_guide(demo, number, store, at))
        Guide.objects.bulk_create(staff)
    for each, shop in enumerate(shops()[:LEAVERS], number + 1):
        _guide(demo, each, Store.objects.get(code=shop.code), at).save()


def _guide(demo: DemoBrand, number: int, store: Store, at: datetime) -> Guide:
    return Guide(staff_no=f"{demo.guide_prefix}{number:04d}", name=person(number), store=store, created_at=at)


def person(number: int) -> str:
    """Give a name."""
    return SURNAMES[number * 7 % len(SURNAMES)] + GIVEN[number * 5 % len(GIVEN)]
