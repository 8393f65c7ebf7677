"""Which columns a table can have, by what titles people call them, and what each is read as."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from imports import values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True)
class Column:
    """One thing a row can say. `read` turns the text of a cell into a plain value or raises `values.Unreadable`."""

    key: str
    label: StrOrPromise
    titles: tuple[str, ...]  # what it is called, in Chinese first: the template takes the first of the language
    says: StrOrPromise  # how a cell looks
    read: Callable[[str], Any]
    own: bool = False  # a field of the brand's own
    sensitive: bool = False  # not for everybody's eyes


MEMBER_COLUMNS: Final = (
    Column(
        "member_no",
        _("Member number"),
        ("会员号", "member_no", "member number", "membership number", "会员编号"),
        _("digits, as in an export of this console"),
        values.code,
    ),
    Column(
        "phone",
        _("Phone"),
        ("手机号", "phone", "手机", "手机号码", "电话", "联系电话", "mobile", "phone number", "tel", "cell"),
        _("13800001234; abroad with country code: +852 5123 4567"),
        values.phone,
    ),
    Column(
        "card",
        _("Card number"),
        ("会员卡号", "card_no", "卡号", "实体卡号", "card", "card number", "membership card", "pos card"),
        _("letters and digits"),
        values.code,
    ),
    Column(
        "unionid",
        "UnionID",
        ("unionid", "unionid", "union id", "微信unionid"),
        _("as WeChat gives it"),
        values.code,
    ),
    Column(
        "name",
        pgettext_lazy("person", "Name"),
        ("姓名", "name", "名字", "会员姓名", "客户姓名", "称呼", "full name", "customer name"),
        _("up to 60 characters"),
        values.name,
    ),
    Column(
        "birthday",
        _("Birthday"),
        ("生日", "birthday", "出生日期", "出生年月日", "birth date", "date of birth", "dob"),
        _("1990-08-17 or 08-17; the year is not kept"),
        values.birthday,
    ),
    Column("gender", _("Gender"), ("性别", "gender", "sex"), _("男, 女, male or female"), values.gender),
    Column(
        "city",
        _("City"),
        ("城市", "city", "所在城市", "常住城市", "居住城市"),
        _("up to 40 characters"),
        values.city,
    ),
    Column(
        "tags",
        _("Tags"),
        ("标签", "tags", "会员标签", "客户标签", "tag", "labels"),
        _("several with ；between them"),
        values.words,
    ),
    Column(
        "staff_no",
        _("Staff number of the guide"),
        ("导购工号", "staff_no", "工号", "专属导购", "导购", "guide", "staff number", "sales associate"),
        _("as on the page of guides"),
        values.code,
    ),
    Column(
        "points",
        _("Opening balance of points"),
        ("期初积分", "opening_points", "积分", "积分余额", "剩余积分", "points", "points balance", "opening balance"),
        _("a whole number; given once"),
        values.points,
    ),
    Column(
        "joined",
        _("Joined on"),
        ("入会日期", "joined", "入会时间", "注册日期", "注册时间", "开卡日期", "join date", "joined at", "registered"),
        _("2023-05-01"),
        values.past_day,
    ),
    Column(
        "source",
        pgettext_lazy("import", "Source"),
        ("来源", "source", "来源渠道", "会员来源", "origin"),
        _("up to 30 characters, such as 老系统"),
        values.source,
    ),
)
ORDER_COLUMNS: Final = (
    Column(
        "number",
        _("Order number"),
        ("订单号", "order_no", "订单编号", "单号", "小票号", "order number", "order id", "receipt"),
        _("up to 64 characters"),
        values.code,
    ),
    *(column for column in MEMBER_COLUMNS if column.key in ("phone", "card", "member_no")),
    Column(
        "amount",
        _("Amount"),
        ("金额", "amount", "实付金额", "订单金额", "支付金额", "总金额", "消费金额", "paid", "total", "amount yuan"),
        _("yuan: 199.90"),
        values.fen,
    ),
    Column(
        "at",
        _("When"),
        ("时间", "ordered_at", "下单时间", "订单时间", "支付时间", "交易时间", "消费时间", "日期", "date", "time"),
        _("2025-06-01 13:45, in the brand's time zone"),
        values.moment,
    ),
    Column(
        "items",
        _("Items"),
        ("商品", "items", "商品明细", "明细", "lines", "products", "sku"),
        _("LY-1024【shirts】=199.90；LY-2048=80: code = yuan paid; its category in 【】, if you have one"),
        values.items,
    ),
    Column(
        "store",
        _("Store code"),
        ("门店编码", "store", "门店", "门店代码", "店铺编码", "store code", "shop"),
        _("as on the page of stores"),
        values.code,
    ),
    Column(
        "ship_to",
        _("Delivery address"),
        (
            "收货地址",
            "ship_to",
            "配送地址",
            "收件地址",
            "详细地址",
            "地址",
            "delivery address",
            "shipping address",
            "address",
        ),
        _("浙江省杭州市西湖区…: only province, city and district are kept"),
        values.place,
    ),
    Column(
        "ship_province",
        _("Delivery province"),
        ("收货省份", "ship_province", "省份", "省", "收货省", "province"),
        _("浙江省; when it is apart"),
        values.city,
    ),
    Column(
        "ship_city",
        _("Delivery city"),
        ("收货城市", "ship_city", "城市", "市", "收货市", "city"),
        _("杭州市; when it is apart"),
        values.city,
    ),
    Column(
        "ship_district",
        _("Delivery district"),
        ("收货区县", "ship_district", "区县", "区", "收货区", "district"),
        _("西湖区; when it is apart"),
        values.city,
    ),
)
# Titles of an export that say nothing an import could take; they are left out without a word.
IGNORED: Final = frozenset(
    {
        "可用积分",
        "spendablepoints",
        "水印",
        "watermark",
        "等级",
        "tier",
        "归属门店",
        "homestore",
        "关注状态",
        "following",
        "最近互动",
        "lastinteraction",
    }
)
_NOISE: Final = re.compile(r"[\s_\-*:：()（）\[\]【】/.]+")


def plain_title(text: str) -> str:
    """Give a title as titles are compared: half width, lower case, without blanks, marks and brackets."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"[(\[【][^)\]】]*[)\]】]", "", text) or text
    return _NOISE.sub("", text)


def guess(header: Sequence[str], known: Sequence[Column]) -> list[str]:
    """Say what each column is taken for by its title: the key of a column, or an empty text."""
    by_title: dict[str, str] = {}
    for column in known:  # the common ones come first: a field of the brand's own takes no title from them
        for title in column.titles:
            by_title.setdefault(plain_title(title), column.key)
    by_title.pop("", None)
    return [by_title.get(plain_title(title), "") for title in header]


def doubles(columns: Sequence[str]) -> dict[str, list[int]]:
    """Give the fields that more than one column claims, with the numbers of those columns (from 1)."""
    found: dict[str, list[int]] = {}
    for number, key in enumerate(columns, 1):
        if key:
            found.setdefault(key, []).append(number)
    return {key: numbers for key, numbers in found.items() if len(numbers) > 1}


def assigned(
    header: Sequence[str], given: Mapping[str, str], known: Sequence[Column]
) -> tuple[list[str], dict[str, str]]:
    """Say what each column is taken for when somebody names them by title; what is not named is left out.

    Gives the keys in the order of the file, and by title what is wrong with it: "missing" (the file has no such title),
    "ambiguous" (it has several), "unknown" (no table holds that) or "doubled" (another column is taken for it, too).
    """
    keys = {column.key for column in known}
    plain = {title: _as_in_header(title) for title in given}
    places = {title: [number for number, each in enumerate(header) if each == plain[title]] for title in given}
    claimed = Counter(key for key in given.values() if key)
    titles = Counter(plain.values())
    wrong: dict[str, str] = {}
    columns = [""] * len(header)
    for title, key in given.items():
        if not places[title]:
            wrong[title] = "missing"
        elif len(places[title]) > 1 or titles[plain[title]] > 1:
            wrong[title] = "ambiguous"
        elif key and key not in keys:
            wrong[title] = "unknown"
        elif claimed[key] > 1:
            wrong[title] = "doubled"
        else:
            columns[places[title][0]] = key
    return columns, wrong


def _as_in_header(title: str) -> str:
    """Give a title as the header of a table that was read has it."""
    return title.strip()[:60]


def is_ignored(title: str) -> bool:
    """Say whether a title is one of ours that no import reads."""
    return plain_title(title) in IGNORED or not title
