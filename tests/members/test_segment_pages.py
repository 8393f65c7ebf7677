"""The pages of segments: what is counted before anything is saved, where faults stand, and who may see what."""

import json
import re
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from members import rule_form
from members.errors import RuleInvalid
from members.models import Segment, Tag
from members.segments import MAX_LEAVES, compile_rule, conditions
from members.services import save_segment, tag_members
from tests.factories import AT, make_account, make_member, make_staff, make_store, make_tag

FOLLOWING = {"condition": "subscribed", "params": {"value": "yes"}}


def signed_in(brand, role="MARKETER"):
    with brand_scope(brand.pk):
        staff = make_staff(f"{brand.slug}-{role.lower()}", role)
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    return client


def posted(rule, path="r"):
    """The fields a browser posts for a rule on screen."""
    data = {"node": [path]}
    if "condition" in rule:
        data[f"{path}.condition"] = rule["condition"]
        for name, value in rule.get("params", {}).items():
            data[f"{path}.params.{name}"] = value
        return data
    kind, children = next(iter(rule.items()))
    data[f"{path}.kind"] = kind
    for index, child in enumerate(children):
        inner = posted(child, f"{path}.{index}")
        data["node"] += inner.pop("node")
        data.update(inner)
    return data


def html_of(answer):
    return answer.content.decode()


def count_in(html):
    return int(re.search(r'data-count="(\d+)"', html)[1])


@pytest.fixture
def people(brand):
    """Three followers, of whom two carry a tag, one of these from a store."""
    with brand_scope(brand.pk):
        account = make_account()
        tag, other = make_tag("静安店"), make_tag("新客")
        store = make_store()
        members = [make_member(account, name=name) for name in ("陈子涵", "吴晓明", "刘洋")]
        tag_members(member_ids=[members[0].pk, members[1].pk], tag_ids=[tag.pk], source="test", at=AT)
        tag_members(member_ids=[members[1].pk], tag_ids=[other.pk], source="test", at=AT)
    return {"tag": tag, "other": other, "store": store, "members": members}


def nested(people):
    return {
        "all": [
            FOLLOWING,
            {"any": [{"condition": "tag", "params": {"how": "any", "tags": [people["tag"].pk]}}]},
            {"none": [{"condition": "tag", "params": {"how": "any", "tags": [people["other"].pk]}}]},
        ]
    }


def test_preview_counts_what_is_posted_and_saves_nothing(brand, people):
    answer = signed_in(brand).post("/b/lanyu/segments/preview/", posted(nested(people)) | {"version": "7"})
    html = html_of(answer)
    assert (count_in(html), answer["X-Version"]) == (1, "7")
    assert "陈子涵" in html
    assert "吴晓明" not in html
    assert "「静安店」" in html
    with brand_scope(brand.pk):
        assert Segment.objects.count() == 0


def test_saved_rule_is_the_posted_one_and_its_count_the_previewed_one(brand, people):
    client = signed_in(brand)
    rule = nested(people)
    answer = client.post("/b/lanyu/segments/new/", posted(rule) | {"name": "静安未触达"})
    with brand_scope(brand.pk):
        segment = Segment.objects.get()
        assert AuditEntry.objects.filter(action="create segment", object_id=str(segment.pk)).count() == 1
    assert (segment.name, segment.rule, segment.counted) == ("静安未触达", rule, 1)
    assert answer["Location"] == f"/b/lanyu/segments/{segment.pk}/"
    shown = html_of(client.get(f"/b/lanyu/segments/{segment.pk}/"))
    assert shown.count('data-testid="condition"') == 3
    assert shown.count('data-testid="group"') == 3


def test_changed_segment_keeps_its_row_and_a_copy_gets_another(brand, people):
    client = signed_in(brand)
    with brand_scope(brand.pk):
        segment = save_segment(name="粉丝", rule={"all": [FOLLOWING]}, at=AT)
    where = f"/b/lanyu/segments/{segment.pk}/"
    seen = {"seen": segment.updated_at.isoformat()}
    client.post(where, posted(nested(people)) | {"name": "粉丝", "copy": "1", "copy_name": "粉丝 副本"} | seen)
    client.post(where, posted({"none": [FOLLOWING]}) | {"name": "未关注"} | seen)
    with brand_scope(brand.pk):
        assert dict(Segment.objects.values_list("name", "counted")) == {"未关注": 0, "粉丝 副本": 1}


def test_segment_somebody_else_changed_is_not_overwritten(brand, people):
    with brand_scope(brand.pk):
        segment = save_segment(name="粉丝", rule={"all": [FOLLOWING]}, at=AT)
    stale = posted(nested(people)) | {"name": "我的", "seen": "2025-01-01T00:00:00+00:00"}
    answer = signed_in(brand).post(f"/b/lanyu/segments/{segment.pk}/", stale)
    assert answer.status_code == 422
    with brand_scope(brand.pk):
        assert Segment.objects.get().name == "粉丝"


@pytest.mark.parametrize(
    ("leaf", "place"),
    [
        ({"condition": "last_interaction", "params": {"how": "within", "days": "0"}}, "r.0.0.params.days"),
        ({"condition": "last_interaction", "params": {"how": "within", "days": "viele"}}, "r.0.0.params.days"),
        ({"condition": "last_interaction", "params": {"how": "sometimes", "days": "3"}}, "r.0.0.params.how"),
        ({"condition": "tag", "params": {"how": "any", "tags": []}}, "r.0.0.params.tags"),
    ],
)
def test_fault_stands_where_it_is(brand, people, leaf, place):
    client = signed_in(brand)
    data = posted({"all": [{"any": [leaf]}]})
    node, field = place.split(".params.")
    preview = html_of(client.post("/b/lanyu/segments/preview/", data))
    assert f'data-fault-node="{node}" data-fault-field="params.{field}"' in preview
    answer = client.post("/b/lanyu/segments/new/", data | {"name": "falsch"})
    message = re.search(rf'data-error-of="{re.escape(place)}">([^<]+)<', html_of(answer))
    assert answer.status_code == 422
    assert message
    assert message[1] in preview
    with brand_scope(brand.pk):
        assert Segment.objects.count() == 0


@pytest.mark.parametrize("kind", ["tags", "stores"])
def test_another_brands_tag_or_store_is_refused_like_a_missing_one(brand, other_brand, people, kind):
    with brand_scope(other_brand.pk):
        foreign = {"tags": make_tag("辣"), "stores": make_store("HZ001", "杭州湖滨店")}[kind]
    params = {"tags": {"how": "any", "tags": [foreign.pk]}, "stores": {"stores": [foreign.pk]}}[kind]
    missing = {"tags": {"how": "any", "tags": [987654]}, "stores": {"stores": [987654]}}[kind]
    key = {"tags": "tag", "stores": "store"}[kind]
    client = signed_in(brand)
    answers = [
        client.post("/b/lanyu/segments/new/", posted({"all": [{"condition": key, "params": each}]}) | {"name": "fremd"})
        for each in (params, missing)
    ]
    pages = [re.sub(rf"\b(?:{foreign.pk}|987654)\b", "N", html_of(answer)) for answer in answers]
    strip = re.compile(r'(csrfmiddlewaretoken" value="|title="|datetime=")[^"]*"')
    assert [answer.status_code for answer in answers] == [422, 422]
    assert strip.sub("", pages[0]) == strip.sub("", pages[1])
    assert "辣" not in pages[0]
    assert "杭州湖滨店" not in pages[0]
    with brand_scope(brand.pk):
        assert Segment.objects.count() == 0


def test_choices_offer_this_brands_rows_only(brand, other_brand, people):
    with brand_scope(other_brand.pk):
        make_tag("静安火锅")
    html = html_of(signed_in(brand).get("/b/lanyu/segments/choices/tags/?q=静安"))
    assert re.findall(r'data-name="([^"]+)"', html) == ["静安店"]


def test_tree_edits_add_nest_and_remove(brand, people):
    client = signed_in(brand)
    rule = {"all": [FOLLOWING]}
    html = html_of(client.post("/b/lanyu/segments/tree/", posted(rule) | {"op": "group", "at": "r"}))
    assert 'name="r.1.kind"' in html
    rule = {"all": [FOLLOWING, {"any": []}]}
    html = html_of(
        client.post("/b/lanyu/segments/tree/", posted(rule) | {"op": "condition", "at": "r.1", "key": "tag"})
    )
    assert 'name="r.1.0.condition" value="tag"' in html
    assert re.findall(r'id="([^"]+)"[^>]* data-fresh', html) == ["r.1.0.params.how"]
    html = html_of(client.post("/b/lanyu/segments/tree/", posted(rule) | {"op": "remove", "at": "r.0"}))
    assert re.findall(r'name="(r[.\d]*)\.kind"', html) == ["r", "r.0"]
    assert 'data-testid="condition"' not in html


def test_limits_are_told_and_kept(brand, people):
    client = signed_in(brand)
    full = {"all": [FOLLOWING] * MAX_LEAVES}
    html = html_of(client.post("/b/lanyu/segments/tree/", posted(full) | {"op": "condition", "at": "r", "key": "tag"}))
    assert html.count('data-testid="condition"') == MAX_LEAVES
    assert 'data-testid="add-condition"' not in html
    deep = {"all": [{"any": [{"none": [{"any": [FOLLOWING]}]}]}]}
    html = html_of(client.post("/b/lanyu/segments/tree/", posted(deep) | {"op": "group", "at": "r.0.0.0"}))
    assert html.count('data-testid="group"') == 4
    assert html.count('data-testid="add-group"') == 3
    too_deep = {"all": [{"any": [{"none": [{"any": [{"all": [FOLLOWING]}]}]}]}]}
    assert client.post("/b/lanyu/segments/new/", posted(too_deep) | {"name": "tief"}).status_code == 422


def test_unknown_condition_is_kept_and_keeps_the_segment_from_being_saved(brand, people):
    with brand_scope(brand.pk):
        unknown = {"condition": "horoscope", "params": {"sign": "狮子"}}
        segment = Segment.objects.create(name="旧的", rule={"all": [FOLLOWING, unknown]}, created_at=AT, updated_at=AT)
    client = signed_in(brand)
    html = html_of(client.get(f"/b/lanyu/segments/{segment.pk}/"))
    kept = re.search(r'name="r\.1\.raw" value="([^"]+)"', html)
    assert json.loads(unescape(kept[1])) == unknown
    data = posted({"all": [FOLLOWING]}) | {"name": "旧的", "seen": segment.updated_at.isoformat()}
    data["node"] = ["r", "r.0", "r.1"]
    data["r.1.raw"] = json.dumps(unknown)
    answer = client.post(f"/b/lanyu/segments/{segment.pk}/", data)
    assert answer.status_code == 422
    assert "horoscope" in html_of(answer)
    with brand_scope(brand.pk):
        assert Segment.objects.get().rule == {"all": [FOLLOWING, unknown]}


def test_a_condition_nested_deeper_than_anybody_nests_is_refused(brand, people):
    client = signed_in(brand)
    for depth in (90, 300, 1500):
        data = posted({"all": [FOLLOWING]}) | {"name": "深"}
        data["node"] = ["r", "r.0", "r.1"]
        data["r.1.raw"] = '{"condition": "x", "params": ' + "[" * depth + "]" * depth + "}"
        assert client.post("/b/lanyu/segments/new/", data).status_code == 422, depth
    with brand_scope(brand.pk):
        assert not Segment.objects.filter(name="深").exists()


def test_nobody_is_explained_by_the_condition_that_emptied_it(brand, people):
    rule = {"all": [FOLLOWING, {"condition": "store", "params": {"stores": [people["store"].pk]}}, FOLLOWING]}
    html = html_of(signed_in(brand).post("/b/lanyu/segments/preview/", posted(rule)))
    assert count_in(html) == 0
    assert re.search(r'data-testid="nobody">\s*<p>[^<]*上海静安店', html)


def test_another_sample_shows_other_people(brand):
    with brand_scope(brand.pk):
        account = make_account()
        for number in range(25):
            make_member(account, name=f"顾客{number:02d}")
    client = signed_in(brand)
    pages = [html_of(client.post("/b/lanyu/segments/preview/", posted({"all": []}) | {"draw": draw})) for draw in "012"]
    samples = [set(re.findall(r"顾客\d\d", page)) for page in pages]
    assert (len(samples[0]), len(samples[1]), samples[0] & samples[1]) == (20, 5, set())
    assert samples[2] == samples[0]


def test_role_without_edit_reads_and_counts_but_changes_nothing(brand, people):
    with brand_scope(brand.pk):
        segment = save_segment(name="粉丝", rule=nested(people), at=AT)
    client = signed_in(brand, "ANALYST")
    html = html_of(client.get(f"/b/lanyu/segments/{segment.pk}/"))
    assert 'id="segment-tree" disabled' in html
    assert 'data-testid="save-segment"' not in html
    assert count_in(html_of(client.post("/b/lanyu/segments/preview/", {"rule": json.dumps(segment.rule)}))) == 1
    refused = [
        client.post(f"/b/lanyu/segments/{segment.pk}/", posted({"all": []}) | {"name": "weg"}),
        client.get("/b/lanyu/segments/new/"),
        client.post("/b/lanyu/segments/tree/", posted({"all": []}) | {"op": "group", "at": "r"}),
    ]
    assert [answer.status_code for answer in refused] == [403, 403, 403]
    assert signed_in(brand, "GUIDE").get("/b/lanyu/segments/").status_code == 403
    with brand_scope(brand.pk):
        assert Segment.objects.get().name == "粉丝"


def test_another_brands_segment_looks_like_a_missing_one(brand, other_brand):
    with brand_scope(other_brand.pk):
        foreign = save_segment(name="灶山常客", rule={"all": []}, at=AT)
    client = signed_in(brand)
    answers = [client.get(f"/b/lanyu/segments/{pk}/") for pk in (foreign.pk, 987654)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert html_of(answers[0]) == html_of(answers[1])
    assert "灶山常客" not in html_of(client.get("/b/lanyu/segments/"))


def test_list_finds_by_name(brand, people):
    with brand_scope(brand.pk):
        save_segment(name="粉丝", rule={"all": [FOLLOWING]}, at=AT, counted=12480)
        save_segment(name="静安", rule=nested(people), at=AT, counted=1)
    client = signed_in(brand)
    html = html_of(client.get("/b/lanyu/segments/?q=静"))
    assert ("静安" in html, ">粉丝<" in html) == (True, False)


def test_rule_survives_the_way_through_the_form(in_brand, rf):
    tag, store = make_tag(), make_store()
    rule = {
        "any": [
            {"none": [{"condition": "tag", "params": {"how": "all", "tags": [tag.pk]}}, FOLLOWING]},
            {"condition": "store", "params": {"stores": [store.pk]}},
            {"condition": "last_interaction", "params": {"how": "before", "days": 90}},
        ]
    }
    assert rule_form.rule_of(rf.post("/", posted(rule)).POST) == rule
    root = rule_form.tree(rule)
    assert [child.path for child in root.children] == ["r.0", "r.1", "r.2"]
    assert root.children[0].children[0].inputs[1].picked[0].name == tag.name


def test_every_condition_can_be_added_and_shown(in_brand):
    for key, _item in conditions.items():
        rule = {"all": []}
        path = rule_form.add_condition(rule, "r", key)
        assert rule_form.tree(rule, fresh=path).children[0].label


def test_deleted_tag_is_marked(in_brand):
    tag = make_tag()
    rule = {"all": [{"condition": "tag", "params": {"how": "any", "tags": [tag.pk]}}]}
    Tag.objects.all().delete()
    assert rule_form.tree(rule).children[0].inputs[1].picked[0].gone
    with pytest.raises(RuleInvalid) as refused:
        compile_rule(rule, at=AT)
    assert rule_form.fault_of(refused.value).node == "r.0"


def test_list_says_many_rules_with_as_many_queries_as_one(brand, people):
    client = signed_in(brand)

    def ask(count):
        with brand_scope(brand.pk):
            for number in range(count):
                save_segment(name=f"静安 {count}-{number}", rule=nested(people), at=AT)
        with CaptureQueriesContext(connection) as asked:
            html = html_of(client.get("/b/lanyu/segments/"))
        return len(asked), html.count("「静安店」")

    (few, once), (many, often) = ask(1), ask(3)
    assert (once, often) == (1, 4)
    assert many == few
