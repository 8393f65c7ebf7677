"""The invented brands: accounts, stores, guides, channels, replies. Every name, place and number is made up."""

from __future__ import annotations

import hashlib
import string
from dataclasses import dataclass
from typing import Any

PASSWORD = "zhiyin-demo-2025"  # noqa: S105 - printed on purpose, for invented brands only
PLATFORM_ADMIN = "platform"
POINTS_NOTICE = "积分到期提醒"  # the notification by which one brand tells it


@dataclass(frozen=True)
class Shop:
    """A store of a demo brand; coordinates are GCJ-02 degrees."""

    code: str
    name: str
    region: str
    city: str
    address: str
    lat: float
    lng: float


@dataclass(frozen=True)
class Staff:
    """A person who signs in: user name, name, role, data scope, store codes, names of regions."""

    username: str
    name: str
    role: str
    scope: str = "BRAND"
    stores: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


@dataclass(frozen=True)
class DemoBrand:
    """Everything a demo brand begins with."""

    slug: str
    name: str
    name_en: str
    subject: str
    opens: str
    closes: str
    guide_prefix: str
    shops: tuple[Shop, ...]
    staff: tuple[Staff, ...]
    tags: tuple[tuple[str, str, str, bool], ...]  # name, group, meaning, kept in step with WeChat
    guides: tuple[str, ...]
    replies: tuple[dict[str, Any], ...]
    menu: tuple[dict[str, Any], ...]
    templates: tuple[dict[str, Any], ...]
    notices: tuple[dict[str, Any], ...]
    welcome: str
    crowd: int

    @property
    def appid(self) -> str:
        """The service account's AppID."""
        return "wx" + _hex(self.slug, "appid", 16)

    @property
    def original_id(self) -> str:
        """The service account's original id."""
        return "gh_" + _hex(self.slug, "original", 12)

    @property
    def secret(self) -> str:
        """The service account's AppSecret."""
        return _hex(self.slug, "secret", 32)

    @property
    def token(self) -> str:
        """The callback's token."""
        return "demo" + _hex(self.slug, "token", 20)

    @property
    def aes_key(self) -> str:
        """The callback's EncodingAESKey (43 letters and digits)."""
        letters = string.ascii_letters + string.digits
        digest = hashlib.sha512(f"demo|{self.slug}|aes".encode()).digest()
        return "".join(letters[byte % 62] for byte in digest[:43])

    @property
    def mini_appid(self) -> str:
        """The mini-program's AppID."""
        return "wx" + _hex(self.slug, "mini", 16)

    @property
    def mini_secret(self) -> str:
        """The mini-program's AppSecret."""
        return _hex(self.slug, "mini secret", 32)


def _hex(slug: str, what: str, length: int) -> str:
    return hashlib.sha256(f"demo|{slug}|{what}".encode()).hexdigest()[:length]


def _rule(
    trigger: str, name: str, text: str, *keywords: str, match: str = "EXACT", position: int = 100
) -> dict[str, Any]:
    return {
        "trigger": trigger,
        "name": name,
        "text": text,
        "keywords": list(keywords),
        "match": match,
        "position": position,
    }


LANYU = DemoBrand(
    slug="lanyu",
    name="澜屿",
    name_en="LANYU",
    subject="op-lanyu",
    opens="10:00",
    closes="22:00",
    guide_prefix="LY",
    shops=(
        Shop("SH001", "上海南京东路店", "华东", "上海", "黄浦区南京东路 299 号 1 层", 31.2376, 121.4832),
        Shop("SH002", "上海徐家汇店", "华东", "上海", "徐汇区虹桥路 1 号 2 层", 31.1951, 121.4370),
        Shop("SH003", "上海陆家嘴店", "华东", "上海", "浦东新区世纪大道 8 号 1 层", 31.2369, 121.5018),
        Shop("SH004", "上海静安店", "华东", "上海", "静安区南京西路 1601 号 1 层", 31.2239, 121.4471),
        Shop("SH005", "上海南京西路店", "华东", "上海", "静安区南京西路 1038 号 2 层", 31.2301, 121.4605),
        Shop("SH006", "上海五角场店", "华东", "上海", "杨浦区邯郸路 600 号 1 层", 31.2994, 121.5131),
        Shop("HZ001", "杭州湖滨店", "华东", "杭州", "上城区延安路 258 号", 30.2545, 120.1646),
        Shop("BJ001", "北京三里屯店", "华北", "北京", "朝阳区三里屯路 19 号", 39.9349, 116.4550),
        Shop("BJ002", "北京国贸店", "华北", "北京", "朝阳区建国门外大街 1 号", 39.9090, 116.4599),
        Shop("GZ001", "广州太古汇店", "华南", "广州", "天河区天河路 383 号", 23.1324, 113.3326),
        Shop("SZ001", "深圳万象城店", "华南", "深圳", "罗湖区宝安南路 1881 号", 22.5394, 114.1107),
        Shop("CD001", "成都春熙路店", "西南", "成都", "锦江区中纱帽街 8 号", 30.6531, 104.0832),
    ),
    staff=(
        Staff("lanyu-owner", "沈知夏", "OWNER"),
        Staff("lanyu-ops", "林澄", "MARKETER"),
        Staff("lanyu-east", "宋佳宁", "REGION_MANAGER", "STORES", regions=("华东",)),
        Staff("lanyu-store", "顾遥", "STORE_MANAGER", "STORES", ("SH004",)),
        Staff("lanyu-guide", "王敏", "GUIDE", "OWN"),
        Staff("lanyu-desk", "叶小满", "SERVICE_DESK"),
        Staff("lanyu-data", "许衡", "ANALYST"),
        Staff("lanyu-audit", "冯律", "AUDITOR"),
    ),
    tags=(
        ("静安店", "门店", "从上海静安店的码关注", True),
        ("南京西路", "门店", "从上海南京西路店的码关注", True),
        ("礼盒", "包装", "扫过礼盒上的码", False),
        ("高活", "活跃", "近 30 天互动 3 次以上", True),
        ("新客", "生命周期", "关注不满 30 天", False),
        ("老客", "生命周期", "关注满 30 天", False),
    ),
    guides=tuple(
        (
            "陈思远 李雷 周芸 吴桐 郑可 赵宁 王敏 孙悦 钱朵 冯一诺 蒋欣 韩松 "
            "杨帆 朱颜 秦朗 尤佳 许诺 何苗 吕白 施然 张弛 孔令 曹野 严真"
        ).split()
    ),
    replies=(
        _rule("FOLLOW", "关注欢迎", "欢迎来到澜屿 LANYU。回复「营业时间」「预约」，或点下方菜单，我们随时都在。"),
        _rule("REFOLLOW", "再次关注", "欢迎回来，澜屿一直为你留着位置。"),
        _rule(
            "KEYWORD",
            "营业时间",
            "澜屿门店每天 10:00–22:00 营业。发送你的位置，告诉你最近的三家店。",
            "营业时间",
            "几点开门",
            "几点关门",
            match="CONTAINS",
            position=10,
        ),
        _rule("KEYWORD", "预约", "把想去的门店和时间告诉专属导购，当天为你留位。", "预约", position=20),
        _rule("KEYWORD", "会员", "用手机号即可入会：点菜单「商城」打开小程序。", "会员", "入会", position=30),
        _rule("CLICK", "会员中心", "会员卡、积分和专属导购都在小程序里：点菜单「商城」打开。", "MEMBER_HOME"),
        _rule("CLICK", "附近门店", "点左下角键盘，再点「＋」里的「位置」发给我们，马上告诉你最近的三家店。", "NEARBY"),
        _rule("DEFAULT", "收到消息", "收到。客服 10:00–22:00 在线，也可以回复「营业时间」「预约」「会员」。"),
    ),
    menu=(
        {"type": "click", "name": "会员中心", "key": "MEMBER_HOME"},
        {
            "name": "服务",
            "sub_button": [
                {"type": "click", "name": "附近门店", "key": "NEARBY"},
                {"type": "view", "name": "穿搭手册", "url": "https://lanyu.example.com/lookbook"},
            ],
        },
        {"type": "view", "name": "商城", "url": "https://lanyu.example.com/mall"},
    ),
    templates=(
        {
            "title": "到店提醒",
            "keys": [
                {"key": "thing1", "label": "门店"},
                {"key": "time2", "label": "到店时间"},
                {"key": "thing3", "label": "温馨提示"},
                {"key": "name4", "label": "会员姓名"},
            ],
        },
        {
            "title": "会员权益变更通知",
            "keys": [
                {"key": "thing1", "label": "会员等级"},
                {"key": "thing2", "label": "变更说明"},
                {"key": "time3", "label": "生效时间"},
            ],
        },
    ),
    notices=(
        {
            "title": "取货提醒",
            "keys": [
                {"key": "thing1", "label": "商品"},
                {"key": "time2", "label": "取货时间"},
                {"key": "thing3", "label": "门店"},
            ],
        },
        {
            "title": "新品到店通知",
            "keys": [
                {"key": "thing1", "label": "新品"},
                {"key": "time2", "label": "到店时间"},
                {"key": "thing3", "label": "门店"},
            ],
        },
        {
            "title": "活动开始提醒",
            "keys": [{"key": "thing1", "label": "活动"}, {"key": "time2", "label": "开始时间"}],
        },
        {
            "title": POINTS_NOTICE,
            "keys": [
                {"key": "thing1", "label": "温馨提示"},
                {"key": "number2", "label": "到期积分"},
                {"key": "date3", "label": "到期日期"},
            ],
        },
    ),
    welcome="你好，这里是{store}。我是你的专属导购{guide}（{staff_no}），有任何需要直接在这里告诉我。",
    crowd=2000,
)

ZAOSHAN = DemoBrand(
    slug="zaoshan",
    name="灶山小馆",
    name_en="ZAOSHAN",
    subject="op-zaoshan",
    opens="11:00",
    closes="02:00",
    guide_prefix="ZS",
    shops=(
        Shop("SH001", "灶山静安寺店", "上海", "上海", "静安区愚园路 68 号 3 层", 31.2229, 121.4433),
        Shop("SH002", "灶山人民广场店", "上海", "上海", "黄浦区西藏中路 268 号 5 层", 31.2336, 121.4735),
        Shop("SH003", "灶山徐家汇店", "上海", "上海", "徐汇区肇嘉浜路 1111 号 6 层", 31.1944, 121.4385),
        Shop("SH004", "灶山五角场店", "上海", "上海", "杨浦区淞沪路 8 号 4 层", 31.3010, 121.5150),
        Shop("HZ001", "灶山武林店", "杭州", "杭州", "拱墅区体育场路 1 号", 30.2750, 120.1635),
        Shop("CD001", "灶山春熙路店", "成都", "成都", "锦江区春熙路南段 8 号", 30.6540, 104.0800),
    ),
    staff=(
        Staff("zaoshan-owner", "邵一鸣", "OWNER"),
        Staff("zaoshan-ops", "唐棠", "MARKETER"),
    ),
    tags=(
        ("静安寺店", "门店", "在静安寺店扫过桌码", True),
        ("爱吃辣", "口味", "点过三次以上辣菜", False),
        ("夜宵", "时段", "22 点后来过", True),
    ),
    guides=("罗勒", "葱花", "姜丝", "蒜苗", "花椒", "八角"),
    replies=(
        _rule("FOLLOW", "关注欢迎", "欢迎来灶山小馆。回复「排队」看当前桌数，回复「营业时间」看几点打烊。"),
        _rule("REFOLLOW", "再次关注", "又见面了，老位置给你留着。"),
        _rule(
            "KEYWORD",
            "营业时间",
            "灶山小馆每天 11:00–次日 02:00 营业。",
            "营业时间",
            "几点打烊",
            match="CONTAINS",
            position=10,
        ),
        _rule(
            "KEYWORD", "排队", "到店前半小时回复「排队 店名」，我们先替你取号。", "排队", match="PREFIX", position=20
        ),
        _rule("CLICK", "会员卡", "会员卡在小程序里：点菜单「点餐」打开。", "MEMBER_HOME"),
        _rule("DEFAULT", "收到消息", "灶上正忙，马上就来。回复「排队」「营业时间」能更快得到答案。"),
    ),
    menu=(
        {"type": "click", "name": "会员卡", "key": "MEMBER_HOME"},
        {"type": "view", "name": "点餐", "url": "https://zaoshan.example.com/order"},
    ),
    templates=(
        {
            "title": "排队叫号通知",
            "keys": [
                {"key": "thing1", "label": "门店"},
                {"key": "character_string2", "label": "排队号码"},
                {"key": "thing3", "label": "温馨提示"},
            ],
        },
    ),
    notices=(
        {
            "title": "新菜上桌通知",
            "keys": [{"key": "thing1", "label": "新菜"}, {"key": "time2", "label": "时间"}],
        },
    ),
    welcome="你好，这里是{store}，今天由{guide}（{staff_no}）为你服务。",
    crowd=800,
)

BRANDS = (LANYU, ZAOSHAN)
