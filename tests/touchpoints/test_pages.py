"""Pages of channels as people with roles see them: figures open their rows, acts act, scopes hold."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import timedelta
from zoneinfo import ZoneInfo

import pypdfium2
import pytest
import zxingcpp
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from common import clock
from members.models import Member
from tests.console.conftest import (  # noqa: F401 - fixtures
    as_manager,
    as_marketer,
    as_owner,
    manager,
    marketer,
    ours,
    owner,
    theirs,
)
from tests.factories import make_mini_program, make_store, make_tag
from tests.touchpoints.conftest import come
from touchpoints.admin import TouchpointAdmin
from touchpoints.errors import NotInTree
from touchpoints.models import CodeAllowance, CodeIssue, Cost, MiniCode, Move, StaffPerson, Touchpoint, TouchpointTag
from touchpoints.services import archive_branch, count_again, create_mini_code, create_touchpoint, keep_code
from touchpoints.services import sums as counting

pytestmark = pytest.mark.django_db
TREE = "/b/lanyu/touchpoints/touchpoint/"


def page_of(row):
    return f"{TREE}{row.pk}/change/"


@pytest.fixture
def grown(ours, theirs):  # noqa: F811
    """Our brand with a small tree in which people came; the other one has scans too."""
    now = clock.now()
    with brand_scope(ours.brand.pk):
        ours.medium = create_touchpoint(name="澜门店", at=now)
        ours.place = create_touchpoint(name="澜静安", parent=ours.medium, at=now, store=ours.store)
        ours.code = create_touchpoint(
            name="澜柜台", parent=ours.place, account=ours.account, store=ours.store, at=now, benefit="八折券"
        )
        keep_code(touchpoint=ours.code, ticket="gQ1", url="http://weixin.qq.com/q/lan", at=now)
        ours.people = [come(ours.code, at=now - timedelta(days=2), joined=now - timedelta(days=1)) for _ in range(3)]
        come(ours.touchpoint, follower=ours.people[0].follower, at=now - timedelta(days=1))
    with brand_scope(theirs.brand.pk):
        theirs.code = create_touchpoint(name="灶柜台", account=theirs.account, at=now)
        keep_code(touchpoint=theirs.code, ticket="gQ2", url="http://weixin.qq.com/q/zao", at=now)
        come(theirs.code, at=now)
    return ours


def figures_of(html, name):
    """The cells of a line of the tree: (text, link)."""
    line = next(each for each in re.findall(r"<tr .*?</tr>", html, re.DOTALL) if f">{name}</a>" in each)
    cells = re.findall(r'<td class="zy-number.*?</td>', line, re.DOTALL)
    return [
        (re.sub(r"<.*?>", "", cell).strip(), (re.findall(r'href="(.*?)"', cell) or [""])[0].replace("&amp;", "&"))
        for cell in cells
    ]


def test_every_figure_of_the_tree_opens_just_its_rows(as_owner, grown):  # noqa: F811
    html = as_owner.get(TREE).content.decode()
    opened = 0
    for name, expected in (("澜门店", ["3", "3", "3"]), ("澜静安", ["3", "3", "3"]), ("澜柜台", ["3", "3", "3"])):
        cells = figures_of(html, name)
        assert [text for text, _link in cells[:3]] == expected
        for text, link in cells[:3]:
            rows = as_owner.get(link).content.decode()
            assert rows.count("<tr><th scope=") - 1 == int(text)
            opened += 1
    assert opened == 9
    assert "灶" not in html


def test_tree_of_a_store_manager_shows_their_stores_only(as_manager, grown):  # noqa: F811
    with brand_scope(grown.brand.pk):
        far = create_touchpoint(name="澜远方", account=grown.account, store=grown.far_store, at=clock.now())
        come(far, at=clock.now())
    html = as_manager.get(TREE).content.decode()

    assert figures_of(html, "澜静安")[0][0] == "3"
    assert "澜远方" not in html
    assert "澜门店" not in html
    for path in (
        page_of(far),
        f"/b/lanyu/touchpoints/rows/?channel={far.pk}",
        f"/b/lanyu/touchpoints/rows/?at={far.pk}",
    ):
        assert as_manager.get(path).status_code == 404
    assert "澜远方" not in as_manager.get("/b/lanyu/touchpoints/rows/").content.decode()
    assert "澜远方" not in as_manager.get("/b/lanyu/touchpoints/quality/").content.decode()
    assert "澜远方" not in as_manager.get("/b/lanyu/touchpoints/attribution/").content.decode()


def test_rows_hide_names_of_people_outside_the_scope(as_manager, grown):  # noqa: F811
    with brand_scope(grown.brand.pk):
        Member.objects.filter(pk=grown.people[0].follower.member_id).update(name="澜别店的人", store=grown.far_store)
        Member.objects.filter(pk=grown.people[1].follower.member_id).update(name="澜本店的人", store=grown.store)
    html = as_manager.get(f"/b/lanyu/touchpoints/rows/?channel={grown.code.pk}").content.decode()

    assert "澜本店的人" in html
    assert "澜别店的人" not in html
    assert html.count("<tr><th scope=") == 4


@pytest.mark.parametrize("path", ["", "{code}/change/"])
def test_pages_ask_as_often_for_many_codes_as_for_few(as_owner, grown, path):  # noqa: F811
    path = TREE + path.format(code=grown.medium.pk)

    def asked():
        with brand_scope(grown.brand.pk):
            count_again(at=clock.now(), zone=ZoneInfo("Asia/Shanghai"))
        with CaptureQueriesContext(connection) as queries:
            assert as_owner.get(path).status_code == 200
        return len(queries)

    asked()  # what is remembered for the process is remembered now
    few = asked()
    with brand_scope(grown.brand.pk):
        for number in range(12):
            store = make_store(f"L{number}", f"澜店{number}")
            place = create_touchpoint(name=f"澜店{number}", parent=grown.medium, store=store, at=clock.now())
            come(create_touchpoint(name=f"澜码{number}", parent=place, account=grown.account, at=clock.now()))
    assert asked() == few


def test_other_brands_channel_is_nowhere(as_owner, grown, theirs):  # noqa: F811
    for path in (page_of(theirs.code), f"/b/lanyu/touchpoints/rows/?channel={theirs.code.pk}"):
        assert as_owner.get(path).status_code == 404
    answer = as_owner.post("/b/lanyu/touchpoints/sheet/file/", {"code": [theirs.code.pk], "layout": "six"})
    assert answer.status_code == 404
    with brand_scope(theirs.brand.pk):
        assert not CodeIssue.objects.filter(printed_at__isnull=False).exists()


def test_options_of_the_tree_change_what_it_shows(as_owner, grown):  # noqa: F811
    old = clock.now() - timedelta(days=50)
    with brand_scope(grown.brand.pk):
        Touchpoint.objects.filter(pk=grown.touchpoint.pk).update(created_at=old)
        quiet = create_touchpoint(name="澜没人扫", account=grown.account, at=old)
        keep_code(touchpoint=quiet, ticket="gQ8", url="http://weixin.qq.com/q/quiet", at=clock.now())
        come(quiet, at=old)

    def lines(query):
        html = as_owner.get(TREE + query).content.decode()
        names = re.findall(r'<a href="[^"]*/change/[^"]*">(澜[^<]*)</a>', html)
        return {name: figures_of(html, name)[0][0] for name in names}

    def follows(query):
        html = as_owner.get(TREE + query).content.decode()
        return [figures_of(html, name)[1][0] for name in ("澜柜台", "澜门口")]

    assert lines("")["澜没人扫"] == "0"
    assert lines("?days=90")["澜没人扫"] == "1"
    assert lines("?days=1")["澜柜台"] == "0"
    assert [follows(""), follows("?model=last")] == [["3", "0"], ["2", "1"]]  # one of them scanned two codes
    assert set(lines("?show=quiet")) == {"澜没人扫"}
    assert set(lines("?q=没人")) == {"澜没人扫"}


@pytest.fixture
def wide(grown, monkeypatch):
    """More lines than are shown at once: a medium with four places of two codes each; one code is archived."""
    monkeypatch.setattr("touchpoints.on_screen.tree.MOST_LINES", 8)
    monkeypatch.setattr("touchpoints.on_screen.pages.MOST_LINES", 8)
    now = clock.now()
    with brand_scope(grown.brand.pk):
        for place in range(4):
            above = create_touchpoint(name=f"澜{place}号店", parent=grown.medium, at=now)
            for code in range(2):
                made = create_touchpoint(name=f"澜{place}号店{code}号码", parent=above, account=grown.account, at=now)
                if place >= 2:
                    come(made, at=now - timedelta(days=1))
        archive_branch(touchpoint=Touchpoint.objects.get(name="澜0号店1号码"), at=now)
    return grown


def names_in(html):
    return re.findall(r'href="[^"]*/change/[^"]*">(澜[^<]*)</a>', html)


def branches_in(html):
    """Where each line gets what hangs below it."""
    lines = re.findall(r"<tr .*?</tr>", html, re.DOTALL)
    found = {}
    for line in lines:
        more = re.search(r'data-tp-more="(.*?)"', line)
        if more:
            found[names_in(line)[0]] = more[1].replace("&amp;", "&")
    return found


@pytest.mark.parametrize("page", [TREE, "/b/lanyu/touchpoints/attribution/?figure=follow"])
def test_large_tree_gives_its_lowest_level_when_a_line_is_opened(as_owner, wide, page):  # noqa: F811
    html = as_owner.get(page).content.decode()
    whole = page == TREE
    places = ["澜0号店", "澜1号店", "澜2号店", "澜3号店", "澜静安"] if whole else ["澜2号店", "澜3号店", "澜静安"]
    assert [name for name in names_in(html) if name != "澜门口"] == ["澜门店", *places]

    opened = {
        name: as_owner.get(page.split("?")[0] + more).content.decode() for name, more in branches_in(html).items()
    }
    codes = {"澜静安": ["澜柜台"]} | {f"澜{n}号店": [f"澜{n}号店0号码", f"澜{n}号店1号码"] for n in (2, 3)}
    if whole:
        codes |= {"澜0号店": ["澜0号店0号码"], "澜1号店": ["澜1号店0号码", "澜1号店1号码"]}
    assert {name: names_in(rows) for name, rows in opened.items()} == codes
    assert figures_of(opened["澜静安"], "澜柜台")[0][0] == ("3" if whole else "3.0")
    assert all('data-level="3"' in rows for rows in opened.values())


def test_branch_outside_the_scope_or_the_brand_is_not_found(as_owner, as_manager, wide, theirs):  # noqa: F811
    with brand_scope(wide.brand.pk):
        far = create_touchpoint(name="澜远方", account=wide.account, store=wide.far_store, at=clock.now())
    for page in (TREE, "/b/lanyu/touchpoints/attribution/"):
        for client, branch in ((as_owner, theirs.code.pk), (as_manager, far.pk), (as_owner, "x"), (as_owner, "")):
            assert client.get(f"{page}?branch={branch}&level=2").status_code == 404
        assert as_owner.get(f"{page}?branch={far.pk}&level=2").status_code == 200
        assert as_owner.get(f"{page}?branch={far.pk}&level=99").status_code == 404


def test_first_level_that_is_too_long_says_how_many_are_left_out(as_owner, wide):  # noqa: F811
    with brand_scope(wide.brand.pk):
        for number in range(9):
            create_touchpoint(name=f"澜媒介{number}", at=clock.now())
    html = as_owner.get(TREE).content.decode()

    assert len(names_in(html)) == 8
    assert "还有 3 个，按名称搜索。" in html  # with 澜门店 and 澜门口 there are eleven


def test_long_list_of_hits_is_cut_into_pages(as_owner, wide):  # noqa: F811
    def shown(query):
        return names_in(as_owner.get(TREE + query).content.decode())

    everything = [f"澜{place}号店{code}号码" for place in range(4) for code in range(2)]
    everything.remove("澜0号店1号码")
    assert shown("?q=号码") == everything
    with brand_scope(wide.brand.pk):
        for number in range(3):
            create_touchpoint(name=f"澜补充号码{number}", account=wide.account, at=clock.now())
    first, second = shown("?q=号码"), shown("?q=号码&page=2")
    assert (len(first), len(second)) == (8, 2)
    assert sorted(first + second) == sorted([*everything, *(f"澜补充号码{number}" for number in range(3))])
    assert shown("?q=号码&page=99") == second
    assert 'href="?q=%E5%8F%B7%E7%A0%81&amp;page=2"' in as_owner.get(f"{TREE}?q=号码").content.decode()


REPORTS = (
    TREE,
    "{code}",
    "/b/lanyu/touchpoints/rows/",
    "/b/lanyu/touchpoints/quality/",
    "/b/lanyu/touchpoints/attribution/",
)


@pytest.mark.parametrize("path", REPORTS)
def test_report_says_how_old_its_figures_are_while_many_people_wait(as_owner, grown, monkeypatch, path):  # noqa: F811
    path = page_of(grown.code) if path == "{code}" else path
    now = clock.now()
    with brand_scope(grown.brand.pk):
        count_again(at=now - timedelta(minutes=24, seconds=30), zone=ZoneInfo("Asia/Shanghai"))
    assert "正在统计" not in as_owner.get(path).content.decode()
    monkeypatch.setattr(counting, "WHILE_LOOKING", 1)
    with brand_scope(grown.brand.pk):
        for _ in range(2):
            come(grown.code, at=now)

    assert "已延迟 25 分钟，2 人的变化正在统计" in as_owner.get(path).content.decode()


# --- permanent codes -------------------------------------------------------------------------------------------------

PERMANENT = "/b/lanyu/touchpoints/permanent/"


def allow(client, account, **fields):
    given = {"permanent_codes": "12", "made_elsewhere": "9"} | fields
    return client.post(
        PERMANENT, {"account": account.pk} | {f"{account.pk}-{name}": text for name, text in given.items()}
    )


def test_limit_of_permanent_codes_is_changed_on_its_page(as_marketer, grown, theirs):  # noqa: F811
    with brand_scope(grown.brand.pk):
        create_touchpoint(name="澜门头", account=grown.account, is_permanent=True, at=clock.now())
    assert "1 / 100,000" in as_marketer.get(PERMANENT).content.decode()
    assert allow(as_marketer, grown.account).status_code == 302
    html = as_marketer.get(PERMANENT).content.decode()

    assert "10 / 12" in html
    assert "即将用完" in html
    assert "灶" not in html
    with brand_scope(grown.brand.pk):
        row = CodeAllowance.objects.get()
        assert (row.permanent_codes, row.made_elsewhere, row.repeats_are_free) == (12, 9, False)
        assert AuditEntry.objects.filter(action="change code allowance").count() == 1


def test_odd_or_foreign_limit_changes_nothing(as_marketer, as_manager, grown, theirs):  # noqa: F811
    assert allow(as_marketer, grown.account, permanent_codes="-1").status_code == 422
    assert allow(as_marketer, grown.account, made_elsewhere="x").status_code == 422
    assert allow(as_marketer, theirs.account).status_code == 404
    assert allow(as_manager, grown.account).status_code == 403
    for side in (grown, theirs):
        with brand_scope(side.brand.pk):
            assert not CodeAllowance.objects.exists()


# --- acts ------------------------------------------------------------------------------------------------------------


def act(client, row, name, **fields):
    return client.post(page_of(row), {"act": name, **fields}, follow=True)


def test_branch_is_moved_archived_and_restored_by_buttons(as_marketer, grown):  # noqa: F811
    with brand_scope(grown.brand.pk):
        target = create_touchpoint(name="澜包装", at=clock.now())
    act(as_marketer, grown.place, "move", parent=target.pk, past="restate")
    act(as_marketer, grown.place, "archive")
    with brand_scope(grown.brand.pk):
        rows = {row.pk: row for row in Touchpoint.objects.all()}
        assert rows[grown.place.pk].parent_id == target.pk
        assert [rows[pk].archived_at is None for pk in (grown.place.pk, grown.code.pk, target.pk)] == [
            False,
            False,
            True,
        ]
        assert Move.objects.get().restates is True
    act(as_marketer, grown.place, "restore")
    with brand_scope(grown.brand.pk):
        assert not Touchpoint.objects.filter(archived_at__isnull=False).exists()
        assert set(AuditEntry.objects.filter(action__contains=" channel").values_list("action", flat=True)) >= {
            "move channel",
            "archive channel",
            "restore channel",
        }


def test_form_that_was_open_while_a_branch_moved_does_not_move_it_back(as_marketer, grown, monkeypatch):  # noqa: F811
    with brand_scope(grown.brand.pk):
        target = create_touchpoint(name="澜包装", at=clock.now())
    reading = TouchpointAdmin.get_object

    def read(self, *args, **kwargs):
        """Django reads the row of a form more than once; another request commits after each."""
        Touchpoint.objects.filter(pk=grown.place.pk).update(parent=grown.medium)
        row = reading(self, *args, **kwargs)
        Touchpoint.objects.filter(pk=grown.place.pk).update(parent=target)
        return row

    monkeypatch.setattr(TouchpointAdmin, "get_object", read)
    answer = as_marketer.post(page_of(grown.place), {"name": "澜静安寺", "store": grown.store.pk, "owner": ""})

    assert answer.status_code == 302
    with brand_scope(grown.brand.pk):
        row = Touchpoint.objects.get(pk=grown.place.pk)
        assert (row.name, row.parent_id) == ("澜静安寺", target.pk)


def test_impossible_place_is_refused_in_words(as_marketer, grown):  # noqa: F811
    answer = act(as_marketer, grown.medium, "move", parent=grown.place.pk, past="keep")

    assert "渠道不能放在自己的下级里。" in answer.content.decode()
    with brand_scope(grown.brand.pk):
        assert Touchpoint.objects.get(pk=grown.medium.pk).parent_id is None


def test_nothing_is_moved_below_an_archived_branch(as_marketer, grown):  # noqa: F811
    with brand_scope(grown.brand.pk):
        old = create_touchpoint(name="澜旧包装", at=clock.now())
        shelf = create_touchpoint(name="澜旧货架", parent=old, at=clock.now())
        Touchpoint.objects.filter(pk=old.pk).update(archived_at=clock.now())
    for place in (old, shelf):
        answer = act(as_marketer, grown.place, "move", parent=place.pk, past="keep")
        assert "“澜旧包装”已归档，下面不能再添加内容。" in answer.content.decode()
        with brand_scope(grown.brand.pk):
            assert Touchpoint.objects.get(pk=grown.place.pk).parent_id == grown.medium.pk
            with pytest.raises(NotInTree):
                create_touchpoint(name="澜新", parent=place, at=clock.now())


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": "12.345", "starts_on": "2025-06-01", "ends_on": "2025-06-02"},
        {"amount": "NaN", "starts_on": "2025-06-01", "ends_on": "2025-06-02"},
        {"amount": "1e99", "starts_on": "2025-06-01", "ends_on": "2025-06-02"},
        {"amount": "-1", "starts_on": "2025-06-01", "ends_on": "2025-06-02"},
        {"amount": "5", "starts_on": "2025-06-02", "ends_on": "2025-06-01"},
        {"amount": "5", "starts_on": "", "ends_on": "2025-06-01"},
    ],
)
def test_odd_cost_is_refused_and_nothing_is_noted(as_marketer, grown, fields):  # noqa: F811
    act(as_marketer, grown.code, "add-cost", **fields)

    with brand_scope(grown.brand.pk):
        assert not Cost.objects.exists()


def test_cost_is_noted_in_fen_and_taken_out_again(as_marketer, grown):  # noqa: F811
    today = f"{clock.now():%Y-%m-%d}"
    act(as_marketer, grown.code, "add-cost", amount="1200.50", starts_on=today, ends_on=today, note="海报")
    with brand_scope(grown.brand.pk):
        cost = Cost.objects.get()
        assert (cost.amount, cost.note) == (120_050, "海报")
    assert "¥1,200.50" in as_marketer.get(TREE).content.decode()
    act(as_marketer, grown.code, "remove-cost", cost=cost.pk)
    with brand_scope(grown.brand.pk):
        assert not Cost.objects.exists()


def test_person_is_marked_as_staff_from_the_list_of_scans(as_marketer, grown):  # noqa: F811
    member_id = grown.people[0].follower.member_id
    card, said = f"/b/lanyu/members/member/{member_id}/change/", "渠道统计视为员工"
    assert said not in as_marketer.get(card).content.decode()
    act(as_marketer, grown.code, "staff", member=member_id)
    assert said in as_marketer.get(card).content.decode()
    assert figures_of(as_marketer.get(TREE).content.decode(), "澜柜台")[0][0] == "2"
    act(as_marketer, grown.code, "not-staff", member=member_id)
    with brand_scope(grown.brand.pk):
        assert not StaffPerson.objects.exists()


@pytest.mark.parametrize(
    "name", ["move", "archive", "restore", "renew", "add-cost", "remove-cost", "staff", "not-staff"]
)
def test_who_may_only_look_changes_nothing(as_manager, grown, name):  # noqa: F811
    assert act(as_manager, grown.code, name, parent="", past="keep").status_code == 403


# --- sheets ----------------------------------------------------------------------------------------------------------


def test_downloaded_sheet_scans_and_is_remembered_as_printed(as_manager, grown):  # noqa: F811
    answer = as_manager.post(
        "/b/lanyu/touchpoints/sheet/file/", {"code": [grown.code.pk], "layout": "two", "format": "pdf"}
    )
    page = pypdfium2.PdfDocument(answer.content)[0]
    said = page.get_textpage().get_text_bounded()

    assert [found.text for found in zxingcpp.read_barcodes(page.render(scale=2).to_pil())] == [
        "http://weixin.qq.com/q/lan"
    ]
    assert all(words in said for words in ("澜柜台", "八折券", grown.code.scene))
    with brand_scope(grown.brand.pk):
        assert CodeIssue.objects.get(touchpoint=grown.code).printed_at is not None


def test_several_pictures_come_as_an_archive(as_owner, grown):  # noqa: F811
    with brand_scope(grown.brand.pk):
        keep_code(touchpoint=grown.touchpoint, ticket="gQ9", url="http://weixin.qq.com/q/tor", at=clock.now())
    both = [grown.code.pk, grown.touchpoint.pk]
    answer = as_owner.post("/b/lanyu/touchpoints/sheet/file/", {"code": both, "format": "png"})

    assert len(zipfile.ZipFile(io.BytesIO(answer.content)).namelist()) == 2


@pytest.mark.parametrize(
    "fields", [{"code": []}, {"code": ["x"]}, {"format": "exe"}, {"layout": "huge"}, {"code": ["99999999999999999999"]}]
)
def test_odd_sheet_is_not_found(as_owner, grown, fields):  # noqa: F811
    asked = {"code": [grown.code.pk], "layout": "six", "format": "pdf"} | fields
    assert as_owner.post("/b/lanyu/touchpoints/sheet/file/", asked).status_code == 404


# --- batches ---------------------------------------------------------------------------------------------------------


def test_batch_shows_the_preview_first_and_then_makes_it(as_marketer, grown, monkeypatch):  # noqa: F811
    rung = []
    monkeypatch.setattr("touchpoints.services.codes.ring", lambda *args, **more: rung.append((args[1:], more)))
    asked = {
        "account": grown.account.pk,
        "parent": grown.medium.pk,
        "stores": [grown.store.pk],
        "objects": "门口\n柜台\n门口",
        "welcome": "欢迎来{store}",
    }
    preview = as_marketer.post("/b/lanyu/touchpoints/batch/", asked).content.decode()
    with brand_scope(grown.brand.pk):
        before = Touchpoint.objects.count()
    assert "将新建 2 个渠道码" in preview
    assert "澜静安店 · 门口" in preview

    as_marketer.post("/b/lanyu/touchpoints/batch/", asked | {"create": "1"})
    with brand_scope(grown.brand.pk):
        assert Touchpoint.objects.count() == before + 2
        made = list(Touchpoint.objects.filter(name__startswith="澜静安店 · ").order_by("pk"))
    assert [(row.name, row.welcome) for row in made] == [
        ("澜静安店 · 门口", "欢迎来澜静安店"),
        ("澜静安店 · 柜台", "欢迎来澜静安店"),
    ]
    assert rung == [((grown.brand.pk, [row.pk for row in made]), {"anew": False})]


def test_a_line_of_a_batch_has_a_tag_of_its_own(as_marketer, grown, theirs):  # noqa: F811
    with brand_scope(grown.brand.pk):
        common, own, other = make_tag("扫过包装"), make_tag("买过礼盒"), make_tag("送 礼")
    with brand_scope(theirs.brand.pk):
        make_tag("灶的标签")
    asked = {
        "account": grown.account.pk,
        "objects": "礼盒 #买过礼盒 ＃送 礼\n袋装\n袋装#散称 #扫过包装",
        "tags": [common.pk],
    }
    preview = as_marketer.post("/b/lanyu/touchpoints/batch/", asked).content.decode()
    assert preview.count('<span class="zy-tag">扫过包装</span>') == 3
    assert preview.count('<span class="zy-tag">买过礼盒</span>') == 1

    as_marketer.post("/b/lanyu/touchpoints/batch/", asked | {"create": "1"})
    with brand_scope(grown.brand.pk):
        kept = {
            name: sorted(TouchpointTag.objects.filter(touchpoint__name=name).values_list("tag_id", flat=True))
            for name in ("礼盒", "袋装", "袋装#散称")
        }
    assert kept == {
        "礼盒": sorted([common.pk, own.pk, other.pk]), "袋装": [common.pk], "袋装#散称": [common.pk]
    }  # fmt: skip

    wrong = as_marketer.post(
        "/b/lanyu/touchpoints/batch/", asked | {"objects": "甲\n\n礼盒 #灶的标签\n #买过礼盒\n乙 #"}
    )
    page = wrong.content.decode()
    assert wrong.status_code == 422
    for said in ("第 3 行：没有标签「灶的标签」", "第 4 行：", "第 5 行："):
        assert said in page


def test_batch_refuses_stores_and_tags_of_another_brand(as_marketer, grown, theirs):  # noqa: F811
    for fields in ({"stores": [theirs.store.pk]}, {"tags": [theirs.tag.pk]}, {"account": theirs.account.pk}):
        asked = {"account": grown.account.pk, "objects": "门口", "create": "1"} | fields
        assert as_marketer.post("/b/lanyu/touchpoints/batch/", asked).status_code == 422
    assert as_marketer.get("/b/lanyu/touchpoints/batch/").content.decode().count("灶") == 0


# --- quality ---------------------------------------------------------------------------------------------------------


def test_ranking_page_puts_the_loyal_channel_first(as_owner, grown):  # noqa: F811
    now = clock.now()
    came = now - timedelta(days=60)
    with brand_scope(grown.brand.pk):
        bargain = create_touchpoint(name="澜抽奖海报", account=grown.account, at=came)
        loyal = create_touchpoint(name="澜会员日", account=grown.account, at=came)
        for number in range(45):
            come(bargain, at=came, left=came + timedelta(days=1) if number % 9 else None)
        for _ in range(30):
            come(loyal, at=came, joined=came, back=now)
    html = as_owner.get("/b/lanyu/touchpoints/quality/").content.decode()

    assert re.findall(r'tp-rank-no">(\d+)</td><th scope="row"><a [^>]*>(.*?)</a>', html) == [
        ("1", "澜会员日"),
        ("2", "澜抽奖海报"),
    ]


def test_mini_program_code_is_revoked_after_it_was_said_that_this_is_for_good(as_owner, grown):  # noqa: F811
    with brand_scope(grown.brand.pk):
        made = create_mini_code(
            touchpoint=grown.code, program=make_mini_program(), page="pages/store/index", at=clock.now()
        )
    html = as_owner.get(page_of(grown.code)).content.decode()

    dialog = re.search(rf'<dialog[^>]* id="revoke-mini-{made.code}".*?</dialog>', html, re.DOTALL)[0]
    assert "不可撤销" in dialog
    assert html.count('value="revoke-mini"') == dialog.count('value="revoke-mini"') == 1
    fields = dict(re.findall(r'<input type="hidden" name="(mini|act)" value="(\w+)"', dialog))
    as_owner.post(page_of(grown.code), {**fields, "act": "revoke-mini"})
    with brand_scope(grown.brand.pk):
        assert MiniCode.objects.get(pk=made.pk).revoked_at is not None
    assert "revoke-mini" not in as_owner.get(page_of(grown.code)).content.decode()


def test_downloading_the_picture_counts_as_print_and_the_home_page_leads_to_what_ends(grown, as_owner, settings):  # noqa: F811
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    with brand_scope(grown.brand.pk):
        CodeIssue.objects.filter(touchpoint=grown.code).update(expires_at=clock.now() + timedelta(days=3))
    assert "Printed channel codes that stop working" not in as_owner.get("/b/lanyu/").content.decode()
    assert as_owner.get(f"{TREE}{grown.code.pk}/code.png").status_code == 200
    with brand_scope(grown.brand.pk):
        assert CodeIssue.objects.get(touchpoint=grown.code).printed_at is not None
    home = as_owner.get("/b/lanyu/").content.decode()
    assert "Printed channel codes that stop working" in home
    assert f"{TREE}?show=print" in home
    listed = as_owner.get(f"{TREE}?show=print").content.decode()
    assert "澜柜台" in listed
    assert "澜静安 ·" not in listed
