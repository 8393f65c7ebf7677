"""China's provinces, cities and districts (GB/T 2260), and which of them an address is in.

An address is read from its beginning, as people and shops write it: with or without 省 and 市, said twice, with a wrong
or missing level. What could be in two places is in none: the reason says so. Nothing here keeps an address.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_FILE: Final = Path(__file__).with_name("divisions.tsv")
LONGEST: Final = 400  # characters of an address that are looked at
HONG_KONG, MACAU, TAIWAN = "810000", "820000", "710000"
_WITHOUT_CITIES: Final = frozenset((HONG_KONG, MACAU))  # they are their own city


class Why(StrEnum):
    """What became of an address."""

    FOUND = "FOUND"
    EMPTY = "EMPTY"  # nothing was said
    ABROAD = "ABROAD"  # not in China
    AMBIGUOUS = "AMBIGUOUS"  # it could be in two places, or says two
    UNKNOWN = "UNKNOWN"  # no place in it that is known


@dataclass(frozen=True)
class Place:
    """A province, perhaps a city of it, perhaps a district of that: six-digit codes, empty where nothing was said."""

    province: str
    city: str = ""
    district: str = ""

    @property
    def codes(self) -> tuple[str, ...]:
        """Give the codes from the province down, as many as are known."""
        return tuple(code for code in (self.province, self.city, self.district) if code)


@dataclass(frozen=True)
class Located:
    """Where an address is, or why nobody can say."""

    place: Place | None
    why: Why


@dataclass(frozen=True)
class _Level:
    """The areas of one level under every way to write them: whole names, and short ones that need care."""

    whole: dict[str, tuple[str, ...]]
    short: dict[str, tuple[str, ...]]
    longest: int


@dataclass(frozen=True)
class _Book:
    names: dict[str, str]
    above: dict[str, str]
    inside: dict[str, tuple[str, ...]]
    towns: frozenset[str]  # districts that are known by their short name: 昆山, 浦东
    provinces: _Level
    cities: _Level
    districts: _Level


_PEOPLES: Final = (
    "(?:各|蒙古|回|藏|维吾尔|苗|彝|壮|布依|朝鲜|满|侗|瑶|白|土家|哈尼|哈萨克|傣|黎|傈僳|佤|畲|拉祜|水|东乡|纳西|景颇|"
    "柯尔克孜|土|达斡尔|仫佬|羌|布朗|撒拉|毛南|仡佬|锡伯|阿昌|普米|塔吉克|怒|裕固|保安|独龙|鄂温克|鄂伦春|基诺)族?"
)
_AUTONOMOUS: Final = re.compile(rf"(.{{2,}}?)(?:{_PEOPLES})*自治([区州县旗])")
_ENDS: Final = ("特别行政区", "地区", "新区", "林区", "特区", "省", "市", "盟", "区", "县", "旗")
_PROVINCE, _CITY, _DISTRICT = "province", "city", "district"
# Behind a short name these say that it is the name of a road, a building or a smaller place.
_NOT_A_PLACE: Final = re.compile(
    r"[东西南北中内外前后上下环一二三四五六七八九十0-9]{0,3}"
    r"(?:路|街|道|大道|巷|弄|里|村|镇|乡|桥|门|胡同|广场|大厦|花园|小区|公寓|医院|大学|站|店|苑|府|饭店|酒店|宾馆)"
)
_A_SMALLER_ONE: Final = re.compile(r"(?:新区|区|县|旗|市)")
_FILLERS: Final = re.compile(
    r"(?:市辖区|省直辖县级行政区划|自治区直辖县级行政区划|省直辖行政单位|直辖县级|县(?=.{2,}县))"
)
_LABEL: Final = re.compile(r"(?:收货|配送|收件|寄送|送货|详细|家庭|公司)*(?:地址|地区|所在地区?|省市区)[::]?")
_CHINA: Final = re.compile(r"(?:中华人民共和国|中国)")
_NOISE: Final = re.compile(r"[\s,,、。/\\|·.;;:\-—_()()\[\]【】\"'“”‘’]+")
_CHINESE: Final = re.compile(r"[\u3400-\u9fff]")
_LATIN: Final = (
    (re.compile(r"hong\s*kong", re.IGNORECASE), Place(HONG_KONG, HONG_KONG)),
    (re.compile(r"maca[uo]", re.IGNORECASE), Place(MACAU, MACAU)),
    (re.compile(r"taiwan", re.IGNORECASE), Place(TAIWAN)),
)
_IN_CHINA: Final = re.compile(r"china|p\.?\s*r\.?\s*c\b", re.IGNORECASE)
_COUNTRIES: Final = (
    "美国|加拿大|墨西哥|巴西|阿根廷|英国|法国|德国|意大利|西班牙|葡萄牙|荷兰|比利时|瑞士|瑞典|挪威|芬兰|丹麦|奥地利|波兰|希腊|俄罗斯|"
    "乌克兰|土耳其|以色列|沙特|阿联酋|迪拜|印度尼西亚|印尼|印度|巴基斯坦|孟加拉|斯里兰卡|尼泊尔|泰国|越南|柬埔寨|老挝|缅甸|"
    "马来西亚|新加坡|菲律宾|文莱|日本|东京|大阪|韩国|首尔|朝鲜民主|蒙古国|哈萨克斯坦|澳大利亚|澳洲|新西兰|埃及|南非|尼日利亚|肯尼亚|海外|国外|境外"
)
_ABROAD: Final = re.compile(_COUNTRIES)
_OF_TAIWAN: Final = re.compile(
    r"台北|新北市|高雄|台中市|台南市|桃园市|基隆|新竹|嘉义|花莲|屏东|宜兰县|苗栗|彰化|南投县|云林县|台东县|澎湖|金门县"
)
# As written in Hong Kong, Macau and Taiwan, and by who lives there.
_SIMPLER: Final = str.maketrans(
    "臺灣廣東區縣門龍雲寧蘇濱慶陝貴遼內廈瀋陽長漢鄭濟島嶺興義烏滬莞黃隴齊爾連壢彰嘉蓮蘭澳麗",
    "台湾广东区县门龙云宁苏滨庆陕贵辽内厦沈阳长汉郑济岛岭兴义乌沪莞黄陇齐尔连坜彰嘉莲兰澳丽",
)
# Said alone, these are a district of one great city as often as a city of their own.
_TWO_PLACES: Final = frozenset({"朝阳"})


def locate(text: str) -> Located:
    """Say which province, city and district an address is in."""
    plain = unicodedata.normalize("NFKC", text[:LONGEST]).translate(_SIMPLER)
    if not plain.strip():
        return Located(None, Why.EMPTY)
    if not _CHINESE.search(plain):
        return _in_latin(plain)
    plain = _NOISE.sub("", plain)
    plain = _LABEL.sub("", plain, count=1) if _LABEL.match(plain) else plain
    plain = _CHINA.sub("", plain, count=1) if _CHINA.match(plain) else plain
    plain = re.sub(r"^[0-9]{6}", "", plain)  # a post code
    if _OF_TAIWAN.match(plain):
        return Located(Place(TAIWAN), Why.FOUND)
    if _ABROAD.match(plain):
        return Located(None, Why.ABROAD)
    found = _from_the_province(plain) or _from_the_city(plain) or _from_the_district(plain)
    return found or Located(None, Why.UNKNOWN)


def by_code(code: str) -> Place | None:
    """Give a place by the code of its lowest level; None when there is no such code."""
    book = _book()
    if code not in book.names:
        return None
    chain = [code]
    while above := book.above[chain[0]]:
        chain.insert(0, above)
    return _whole(Place(*chain))


def name_of(code: str) -> str:
    """Give the name of a division, as 上海市; the code itself when it is not known (any more)."""
    return _book().names.get(code, code)


def said(codes: Iterable[str]) -> str:
    """Say a place from the province down, nothing twice: 浙江省 杭州市 西湖区, 上海市 静安区."""
    return " ".join(dict.fromkeys(name_of(code) for code in codes))


def short_name(code: str) -> str:
    """Give the name without what it is: 上海, 内蒙古, 杭州."""
    return _stem(name_of(code)) or name_of(code)


def provinces() -> tuple[str, ...]:
    """Give the codes of all 34 provinces, in order."""
    return _in("")


def _in_latin(plain: str) -> Located:
    for pattern, place in _LATIN:
        if pattern.search(plain):
            return Located(place, Why.FOUND)
    if _IN_CHINA.search(plain) or sum(letter.isalpha() for letter in plain) < 3:
        return Located(None, Why.UNKNOWN)
    return Located(None, Why.ABROAD)


def _from_the_province(plain: str) -> Located | None:
    book = _book()
    found = _match(plain, book.provinces)
    if found is None or len(found[0]) != 1:
        return None
    province, rest = found[0][0], _less(plain[found[1] :])
    again = _match(rest, book.provinces)
    if again is not None and again[0] == (province,):
        rest = _less(rest[again[1] :])
    if province in _WITHOUT_CITIES or province == TAIWAN:
        return Located(_whole(Place(province)), Why.FOUND)
    cities = _in(province)
    if len(cities) == 1:  # a municipality
        return Located(_with_district(province, cities[0], rest), Why.FOUND)
    return _inside(province, cities, rest)


def _inside(province: str, cities: Collection[str], rest: str) -> Located:
    book = _book()
    city = _match(rest, book.cities, cities)
    district = _match(rest, book.districts, {each for city in cities for each in _in(city)}, care=True)
    if city is not None and (district is None or district[1] <= city[1]):
        return Located(_with_district(province, city[0][0], rest[city[1] :]), Why.FOUND)
    if district is not None and len(district[0]) == 1:
        return Located(Place(province, book.above[district[0][0]], district[0][0]), Why.FOUND)
    if district is None and _match(rest, book.cities, care=True) is not None:
        return Located(None, Why.AMBIGUOUS)  # 广东省杭州市
    return Located(Place(province), Why.FOUND)  # nothing more, or a district that several of its cities have


def _from_the_city(plain: str) -> Located | None:
    book = _book()
    found = _match(plain, book.cities)
    if found is None:
        return None
    closer = _match(plain, book.districts, care=True)
    if closer is not None and closer[1] > found[1]:
        return None  # 长沙县 is more than 长沙
    city, rest = found[0][0], plain[found[1] :]
    place = _with_district(book.above[city], city, rest)
    if plain[: found[1]] in _TWO_PLACES and not place.district:
        return Located(None, Why.AMBIGUOUS)
    return Located(place, Why.FOUND)


def _from_the_district(plain: str) -> Located | None:
    book = _book()
    found = _match(plain, book.districts, care=True) or _match(plain, book.districts, book.towns)
    if found is None:
        return None
    if len({book.above[each] for each in found[0]}) > 1:
        return Located(None, Why.AMBIGUOUS)
    district = found[0][0]
    city = book.above[district]
    return Located(Place(book.above[city], city, district), Why.FOUND)


def _with_district(province: str, city: str, rest: str) -> Place:
    book, rest = _book(), _less(rest)
    again = _match(rest, book.cities, [city], care=True)
    if again is not None:
        rest = _less(rest[again[1] :])
    found = _match(rest, book.districts, _in(city))
    return Place(province, city, found[0][0] if found is not None and len(found[0]) == 1 else "")


def _whole(place: Place) -> Place:
    """Hong Kong and Macau are cities as well."""
    return Place(place.province, place.province) if place.province in _WITHOUT_CITIES else place


def _less(rest: str) -> str:
    return _FILLERS.sub("", rest, count=1) if _FILLERS.match(rest) else rest


def _match(
    text: str, level: _Level, among: Collection[str] | None = None, *, care: bool = False
) -> tuple[tuple[str, ...], int] | None:
    """Give the areas a text begins with, and how many characters say so: the longest that fits.

    `care`: whole names only, because nothing before them says where they are.
    """
    for length in range(min(level.longest, len(text)), 1, -1):
        form, rest = text[:length], text[length:]
        found = level.whole.get(form, ())
        if not found and not care and not _NOT_A_PLACE.match(rest) and not _A_SMALLER_ONE.match(rest):
            found = level.short.get(form, ())
        if found and among is not None:
            found = tuple(each for each in found if each in among)
        if found:
            return found, length
    return None


def _in(code: str) -> tuple[str, ...]:
    return _book().inside.get(code, ())


def _stem(name: str) -> str:
    autonomous = _AUTONOMOUS.fullmatch(name)
    if autonomous is not None:
        return autonomous[1]
    for end in _ENDS:
        if name.endswith(end) and len(name) - len(end) >= 2:
            return name.removesuffix(end)
    return ""


def _forms(name: str) -> tuple[str, ...]:
    """Give other whole ways to write a name: 延边州 for 延边朝鲜族自治州, 长阳县 for 长阳土家族自治县."""
    autonomous = _AUTONOMOUS.fullmatch(name)
    if autonomous is None:
        return (name,)
    return (name, f"{autonomous[1]}{autonomous[2]}") if autonomous[2] != "区" else (name,)


@cache
def _book() -> _Book:
    names: dict[str, str] = {}
    above: dict[str, str] = {}
    for line in _FILE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            code, parent, name = line.split("\t")
            names[code], above[code] = name, parent
    levels: dict[str, list[str]] = {_PROVINCE: [], _CITY: [], _DISTRICT: []}
    for code, parent in above.items():
        kind = _PROVINCE if not parent else _CITY if not above[parent] else _DISTRICT
        # A municipality is found as a province; its one city has the same name.
        if not (kind == _CITY and names[code] == names[parent]):
            levels[kind].append(code)
    inside: dict[str, list[str]] = {}
    for code, parent in above.items():
        inside.setdefault(parent, []).append(code)
    by_level = [_level(names, levels[kind]) for kind in (_PROVINCE, _CITY, _DISTRICT)]
    towns = frozenset(code for code in levels[_DISTRICT] if names[code].endswith(("市", "新区")))
    return _Book(names, above, {code: tuple(below) for code, below in inside.items()}, towns, *by_level)


def _level(names: dict[str, str], codes: list[str]) -> _Level:
    whole: dict[str, tuple[str, ...]] = {}
    short: dict[str, tuple[str, ...]] = {}
    for code in codes:
        for form in _forms(names[code]):
            whole[form] = (*whole.get(form, ()), code)
        stem = _stem(names[code])
        if stem:
            short[stem] = (*short.get(stem, ()), code)
    return _Level(whole, short, max(len(form) for form in (*whole, *short)))
