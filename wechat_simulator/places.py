"""Built-in people and named places, so that demos and tests speak of the same ones."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A named point: degrees of latitude and longitude (GCJ-02, as phones in China report)."""

    id: str
    name: str
    latitude: float
    longitude: float
    address: str


PLACES: tuple[Place, ...] = (
    Place("renmin", "人民广场", 31.232781, 121.475137, "上海市黄浦区人民大道"),
    Place("jingansi", "静安寺", 31.223421, 121.445873, "上海市静安区南京西路1686号"),
    Place("xujiahui", "徐家汇", 31.194624, 121.436563, "上海市徐汇区肇嘉浜路1111号"),
    Place("lujiazui", "陆家嘴", 31.238068, 121.501654, "上海市浦东新区世纪大道"),
    Place("wukang", "武康路", 31.207230, 121.437970, "上海市徐汇区武康路"),
    Place("xintiandi", "新天地", 31.219330, 121.475180, "上海市黄浦区太仓路181弄"),
    Place("wujiaochang", "五角场", 31.299120, 121.514250, "上海市杨浦区邯郸路"),
    Place("hongqiao", "虹桥火车站", 31.194460, 121.320520, "上海市闵行区申贵路1500号"),
    Place("qibao", "七宝老街", 31.155700, 121.352640, "上海市闵行区青年路"),
    Place("xihu", "西湖断桥", 30.258160, 120.151390, "杭州市西湖区北山街"),
    Place("wulin", "武林广场", 30.274910, 120.163660, "杭州市下城区体育场路"),
    Place("taikoohui", "太古汇", 23.131910, 113.332380, "广州市天河区天河路383号"),
    Place("sanlitun", "三里屯", 39.935890, 116.454200, "北京市朝阳区三里屯路"),
    Place("guomao", "国贸", 39.908690, 116.459890, "北京市朝阳区建国门外大街1号"),
    Place("chunxilu", "春熙路", 30.655420, 104.077730, "成都市锦江区春熙路"),
)


class BuiltInPerson(NamedTuple):
    """A named person of the built-in world."""

    id: str
    nickname: str
    phone: str
    platform: int  # 1 iOS, 2 Android, 3 other
    place: str


PEOPLE: tuple[BuiltInPerson, ...] = (
    BuiltInPerson("xiaoyu", "小雨", "13800000001", 1, "jingansi"),
    BuiltInPerson("laozhou", "老周", "13800000002", 2, "renmin"),
    BuiltInPerson("aling", "阿玲", "13800000003", 1, "xujiahui"),
    BuiltInPerson("chenchen", "陈晨", "13800000004", 2, "lujiazui"),
    BuiltInPerson("zhaoyi", "赵一", "13800000005", 1, "wukang"),
    BuiltInPerson("qianduoduo", "钱多多", "13800000006", 2, "xintiandi"),
    BuiltInPerson("sunwei", "孙薇", "13800000007", 1, "wujiaochang"),
    BuiltInPerson("lijianguo", "李建国", "13800000008", 2, "hongqiao"),
    BuiltInPerson("wumei", "吴梅", "13800000009", 1, "qibao"),
    BuiltInPerson("zhengkai", "郑凯", "13800000010", 2, "xihu"),
    BuiltInPerson("wangfang", "王芳", "13800000011", 1, "wulin"),
    BuiltInPerson("fengxiaobao", "冯小宝", "13800000012", 2, "taikoohui"),
    BuiltInPerson("ouyangna", "欧阳娜", "13800000013", 1, "sanlitun"),
    BuiltInPerson("dadong", "大东", "13800000014", 2, "guomao"),
    BuiltInPerson("mumu", "木木", "13800000015", 1, "chunxilu"),
)


def place_named(key: str) -> Place | None:
    """By id or by Chinese name."""
    return next((place for place in PLACES if key in (place.id, place.name)), None)
