"""Addresses as people and shops write them: which province, city and district, or why nobody can say."""

import re
import time
from pathlib import Path

import pytest

from common import divisions
from common.divisions import Why, by_code, locate, name_of, provinces, said, short_name


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("浙江省杭州市西湖区文三路 1 号", "浙江省 杭州市 西湖区"),
        ("杭州西湖区", "浙江省 杭州市 西湖区"),
        ("浙江，杭州，西湖", "浙江省 杭州市 西湖区"),
        ("广 东 省 深 圳 市 南 山 区", "广东省 深圳市 南山区"),
        ("收货地址：江苏省南京市鼓楼区上海路1号", "江苏省 南京市 鼓楼区"),
        ("中国 518000 广东省深圳市", "广东省 深圳市"),
        # Municipalities: with and without the city, said twice, with the filler that shop systems write.
        ("上海市静安区南京西路1601号", "上海市 静安区"),
        ("上海市上海市浦东新区", "上海市 浦东新区"),
        ("北京市市辖区海淀区", "北京市 海淀区"),
        ("重庆市县云阳县", "重庆市 云阳县"),
        ("上海浦东", "上海市 浦东新区"),
        # A district that many cities have is where the city before it says.
        ("北京朝阳", "北京市 朝阳区"),
        ("长春朝阳区", "吉林省 长春市 朝阳区"),
        ("朝阳市双塔区", "辽宁省 朝阳市 双塔区"),
        ("江苏省鼓楼区", "江苏省"),
        ("广东省番禺区", "广东省 广州市 番禺区"),
        # Cities of the province itself, cities without districts, autonomous ones.
        ("湖北省省直辖县级行政区划仙桃市", "湖北省 仙桃市"),
        ("东莞市长安镇", "广东省 东莞市"),
        ("广东中山", "广东省 中山市"),
        ("新疆石河子市", "新疆维吾尔自治区 石河子市"),
        ("延边州延吉市", "吉林省 延边朝鲜族自治州 延吉市"),
        ("陵水县", "海南省 陵水黎族自治县"),
        ("内蒙古呼和浩特新城区", "内蒙古自治区 呼和浩特市 新城区"),
        ("锡林郭勒盟锡林浩特市", "内蒙古自治区 锡林郭勒盟 锡林浩特市"),
        # One name, two levels.
        ("吉林", "吉林省"),
        ("吉林市", "吉林省 吉林市"),
        ("青海省海南州共和县", "青海省 海南藏族自治州 共和县"),
        ("海南省三亚市", "海南省 三亚市"),
        ("长沙县星沙", "湖南省 长沙市 长沙县"),
        ("昆山", "江苏省 苏州市 昆山市"),
        ("和康县", "新疆维吾尔自治区 和田地区 和康县"),  # of 2024
        # A place that is unknown inside a known one.
        ("江苏苏州工业园区", "江苏省 苏州市"),
        # Hong Kong, Macau and Taiwan.
        ("香港九龙旺角弥敦道", "香港特别行政区"),
        ("Flat A, Kowloon, Hong Kong", "香港特别行政区"),
        ("澳門特別行政區", "澳门特别行政区"),
        ("Macao", "澳门特别行政区"),
        ("臺灣臺北市信義區", "台湾省"),
        ("台北市中正区", "台湾省"),
    ],
)
def test_address_is_in_a_province_a_city_a_district(address, expected):
    found = locate(address)
    assert (found.why, said(found.place.codes) if found.place else None) == (Why.FOUND, expected)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("", Why.EMPTY),
        (" 　", Why.EMPTY),
        ("朝阳区建国路 1 号", Why.AMBIGUOUS),
        ("朝阳", Why.AMBIGUOUS),
        ("鼓楼区", Why.AMBIGUOUS),
        ("广东省杭州市", Why.AMBIGUOUS),
        ("日本东京都港区", Why.ABROAD),
        ("1 Main St, New York, NY 10001", Why.ABROAD),
        ("Shanghai, China", Why.UNKNOWN),
        ("到店自提", Why.UNKNOWN),
        ("中山路 1 号", Why.UNKNOWN),
        ("北京西路 100 号", Why.UNKNOWN),
        ("12345", Why.UNKNOWN),
        ("🙂🙂🙂", Why.UNKNOWN),
        ("省市区", Why.UNKNOWN),
    ],
)
def test_address_that_says_no_place_says_why(address, why):
    assert (locate(address).place, locate(address).why) == (None, why)


def test_every_division_is_found_by_its_whole_name_and_by_its_code():
    assert len(provinces()) == 34
    missed = []
    for province in provinces():
        assert locate(name_of(province)).place.codes[0] == province
    lines = Path(divisions.__file__).with_name("divisions.tsv").read_text(encoding="utf-8").splitlines()[1:]
    codes = [line.split("\t")[0] for line in lines]
    assert len(codes) == len(set(codes)) > 3000
    for code in codes:
        place = by_code(code)
        assert re.fullmatch(r"\d{6}", code)
        assert place.codes[-1] in (code, place.city)
        if locate("".join(name_of(each) for each in place.codes)).place != place:
            missed.append((code, said(place.codes)))
    # A municipality's name is the province first.
    assert [code for code, _name in missed if code not in ("110000", "120000", "310000", "500000")] == []
    assert (by_code("999999"), name_of("999999"), short_name("150000")) == (None, "999999", "内蒙古")


def test_an_endless_address_costs_nothing():
    began = time.process_time()
    for text in ("省" * 100_000, "上海市" * 50_000, "自治" * 50_000 + "县", "(" * 100_000):
        locate(text)
    assert time.process_time() - began < 2
