"""After a leak: whose data one operator or key saw in a week, complete and nothing else; and the draft of the report."""

import csv
import io
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import ApiKey, AuditEntry
from accounts.roles import Role
from accounts.services import issue_api_key
from accounts.tenancy import brand_scope
from accounts.viewer import Viewer, viewing
from common import clock
from imports import services as exports
from imports.models import Export, ExportState
from members import services
from members.models import AccessEntry, ListAccess, Member
from members.opened import Way, way_of
from members.services.who_saw import Looker, everyone_seen_by, overview_of, seen_by
from tests.console.conftest import *  # noqa: F403 - the two brands and who looks at them
from tests.console.conftest import signed_in
from tests.factories import AT, make_member, make_staff

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
CARD = {"name", "number", "phone_masked", "birthday", "city", "words"}
LIST = {"name", "phone_masked"}


@pytest.fixture
def at_hand(monkeypatch):
    """A clock that the test sets."""
    stands = [AT]
    monkeypatch.setattr(clock, "timestamp", lambda: stands[0].timestamp())
    return stands


@pytest.fixture
def people(ours):
    with brand_scope(ours.brand.pk):
        return [make_member(ours.account, name=f"鲲{number:02d}鹏", city="丽水") for number in range(12)]


def a_looker(viewer_id, *, since=AT - 30 * DAY, until=AT + 30 * DAY, key=None, label="x"):
    return Looker(None if key else viewer_id, key, label, since, until)


def told(looker):
    """What the log says: {person: fields}."""
    found = defaultdict(set)
    for row in everyone_seen_by(looker):
        found[row.member_id] |= set(row.fields)
    return dict(found)


class Reader:
    """Does what an operator does, and keeps apart from the product what they got to see."""

    def __init__(self, client, ours, people, seed):
        self.client, self.ours, self.people, self.chance = client, ours, people, random.Random(seed)
        self.truth = defaultdict(set)

    def saw(self, member_ids, fields):
        for pk in member_ids:
            self.truth[pk] |= fields

    def card(self):
        member = self.chance.choice(self.people)
        assert self.client.get(f"/b/lanyu/members/member/{member.pk}/change/").status_code == 200
        self.saw([member.pk], CARD)

    def page_of_the_list(self):
        page = self.client.get("/b/lanyu/members/member/").content.decode()
        with brand_scope(self.ours.brand.pk):
            everybody = dict(Member.objects.values_list("pk", "name"))
        self.saw([pk for pk, name in everybody.items() if name in page], LIST)

    def search(self):
        member = self.chance.choice(self.people)
        page = self.client.get(f"/b/lanyu/search/?s={member.name}").content.decode()
        assert member.name in page
        self.saw([member.pk], {"name"})

    def flags(self):
        member = self.chance.choice(self.people)
        self.client.get(f"/b/lanyu/members/flags/{member.pk}/")
        self.saw([member.pk], {"name"})

    def refused(self):
        assert self.client.get("/b/lanyu/members/member/999999/change/").status_code == 404

    def nobody(self):
        self.client.get("/b/lanyu/members/tag/")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_week_of_reading_is_told_as_it_was(ours, people, at_hand, seed):
    """Acts by chance of two operators over three weeks, played through the pages; the week of one is asked for."""
    with brand_scope(ours.brand.pk):
        staff = [make_staff(name, Role.OWNER) for name in ("lin", "wu")]
    readers = [Reader(signed_in(each), ours, people, seed) for each in staff]
    chance, begins = random.Random(seed), datetime(2026, 3, 2, tzinfo=UTC)
    week = (begins + 7 * DAY, begins + 14 * DAY)
    for minutes in sorted(chance.sample(range(21 * 24 * 60), 60)):
        at_hand[0] = begins + timedelta(minutes=minutes)
        reader = chance.choice(readers)
        kept = reader.truth
        reader.truth = kept if reader is readers[0] and week[0] <= at_hand[0] < week[1] else defaultdict(set)
        getattr(reader, chance.choice(["card", "page_of_the_list", "search", "flags", "refused", "nobody"]))()
        reader.truth = kept

    with brand_scope(ours.brand.pk):
        found = told(a_looker(staff[0].pk, since=week[0], until=week[1]))
        overview = overview_of(a_looker(staff[0].pk, since=week[0], until=week[1]))
    truth = readers[0].truth
    assert set(found) == set(truth) != set()
    assert all(fields <= found[person] for person, fields in truth.items())
    assert {person for person, fields in found.items() if "city" in fields} == {
        person for person, fields in truth.items() if "city" in fields
    }
    assert overview.people == len(truth)
    assert overview.fields["name"] == len(truth)


def test_key_and_file_and_revealed_phone_are_told(ours, people, at_hand, client):
    """The ways out that are no page: an API key by name and by list, a file, a phone in full."""
    with brand_scope(ours.brand.pk):
        owner = make_staff("lin", Role.OWNER)
        keys = [issue_api_key(label="POS", scopes=["members.read"], at=AT) for _twice in range(2)]
        services.bind_phone(member=people[0], number="+8613800138000", source="API", at=AT)
        viewer = Viewer(owner.pk, "lin", ours.brand.pk, Role.OWNER)
    one, other = ({"authorization": f"Key {clear}"} for _row, clear in keys)
    assert client.get(f"/api/v1/members/{people[1].member_no}/", headers=one).status_code == 200
    assert client.get("/api/v1/members/", {"page_size": "3"}, headers=other).status_code == 200
    signed_in(owner).post(f"/b/lanyu/members/member/{people[0].pk}/change/", {"act": "reveal", "text": "客诉"})
    with brand_scope(ours.brand.pk), viewing(viewer):
        export = exports.ask_for_export(viewer=viewer, at=AT, search="鲲0", unmasked=True, reason="核对")
    exports.write_export(brand_id=ours.brand.pk, export_id=export.pk)
    with brand_scope(ours.brand.pk), viewing(viewer):
        export = Export.objects.get(pk=export.pk)
        assert export.state == ExportState.READY
        before = told(a_looker(owner.pk))
        exports.download(row=export, viewer=viewer)
        after = told(a_looker(owner.pk))

        assert {pk for pk, fields in before.items() if "phone" in fields} == {people[0].pk}
        assert {pk for pk, fields in after.items() if "phone" in fields} == {each.pk for each in people[:10]}
        by_keys = [set(told(a_looker(None, key=row.pk, label="POS"))) for row, _clear in keys]
        assert by_keys[0] == {people[1].pk}  # of two keys with one name each has its own
        assert len(by_keys[1]) == 3
        assert {way_of(page) for page in overview_of(a_looker(owner.pk)).pages} == {Way.PAGE, Way.REVEAL, Way.EXPORT}


def test_merged_and_erased_people_are_one_person_and_a_number(ours, people):
    with brand_scope(ours.brand.pk):
        viewer = Viewer(make_staff("lin", Role.OWNER).pk, "lin", ours.brand.pk, Role.OWNER)
        with viewing(viewer):
            services.note_listed(people=[each.pk for each in people[:3]], page="search", at=AT)
        Member.objects.filter(pk=people[1].pk).update(merged_into=people[0])
        services.erase_member(member=people[2], reason="x", at=AT)
        looker = a_looker(viewer.staff_id)

        assert {row.member_id for row in seen_by(looker)} == {people[0].pk, people[2].pk}
        assert overview_of(looker).erased == 1
        assert "鲲" not in str(list(ListAccess.objects.values()))


def test_the_same_list_is_one_line_an_hour_and_nobody_changes_it(ours, people):
    with brand_scope(ours.brand.pk), viewing(Viewer(None, "收银", ours.brand.pk, "", via="api")):
        for minutes in (0, 5, 59):
            services.note_listed(
                people=[people[1].pk, people[0].pk, None], page="search", at=AT.replace(minute=minutes)
            )
        services.note_listed(people=[people[0].pk], page="search", at=AT)
        services.note_listed(people=[], page="search", at=AT)
        with pytest.raises(KeyError):
            services.note_listed(people=[people[0].pk], page="nowhere", at=AT)

        assert sorted(len(row.people) for row in ListAccess.objects.all()) == [1, 2]


def test_page_names_them_and_hands_out_file_and_report(as_owner, ours, theirs, people):
    with brand_scope(theirs.brand.pk):
        spy = make_staff("spy", Role.OWNER)
        with viewing(Viewer(spy.pk, "spy", theirs.brand.pk, Role.OWNER)):
            services.note_opened(member_id=theirs.member.pk, page="card", at=clock.now())
    with brand_scope(ours.brand.pk):
        Member.objects.filter(pk=people[0].pk).update(name="=cmd|' /C calc'!A0")
        leaker = make_staff("leaker", Role.SERVICE_DESK)
        with viewing(Viewer(leaker.pk, "leaker", ours.brand.pk, Role.SERVICE_DESK)):
            services.note_opened(member_id=people[0].pk, page="card", at=clock.now())
            services.note_listed(people=[people[0].pk, people[1].pk], page="search", at=clock.now())
    here = "/b/lanyu/members/who-saw/"

    page = as_owner.get(here, {"who": leaker.pk}).content.decode()
    assert people[0].member_no in page
    assert people[1].name in page
    assert people[2].name not in page
    for nobody in (spy.pk, 10**9, "key-1", "key-x", "x"):  # another brand's person is nobody here
        assert "zy-table" not in as_owner.get(here, {"who": nobody}).content.decode()
        assert as_owner.post(f"{here}?who={nobody}").status_code == 404
    assert "spy" not in as_owner.get(here).content.decode()

    rows = list(csv.reader(io.StringIO(as_owner.post(f"{here}?who={leaker.pk}").content.decode("utf-8-sig"))))
    assert [(row[0], row[5]) for row in rows[1:]] == [
        (people[0].member_no, "1"),
        (people[0].member_no, "1"),
        (people[1].member_no, "1"),
    ]
    assert rows[1][1] == "'=cmd|' /C calc'!A0"
    text = as_owner.get(f"{here}report/?who={leaker.pk}").context["text"]
    chinese, english = text.split("\n---\n")
    assert "第五十七条" in chinese
    assert "art. 57" in english
    for words in ("- 生日：1 人", "- 姓名：2 人", "- 共 2 人", "leaker"):
        assert words in chinese
    for words in ("- Birthday: 1\n", "- Name: 2\n", "- People: 2\n", "## 9. Contact"):
        assert words in english
    answer = as_owner.post(f"{here}report/?who={leaker.pk}", {"text": "# 报告\r\n改过"})
    assert answer.content.decode() == "# 报告\r\n改过"
    with brand_scope(ours.brand.pk):  # and whoever asks is written down as well
        taken = AuditEntry.objects.order_by("pk").values_list("action", flat=True)
        assert {"download who saw what", "download breach report"} <= set(taken)
        assert set(ListAccess.objects.filter(page__startswith="whosaw").values_list("page", flat=True)) == {
            "whosaw",
            "whosaw.file",
        }


@pytest.mark.parametrize(("role", "page", "file"), [("AUDITOR", 200, 403), ("MARKETER", 403, 403), ("GUIDE", 403, 403)])
def test_page_opens_for_those_who_see_the_audit_log(ours, people, role, page, file):
    with brand_scope(ours.brand.pk):
        staff, leaker = make_staff(f"{role.lower()}-x", role), make_staff("leaker", Role.OWNER)
        with viewing(Viewer(leaker.pk, "leaker", ours.brand.pk, Role.OWNER)):
            services.note_opened(member_id=people[0].pk, page="card", at=clock.now())
    client = signed_in(staff)

    assert client.get(f"/b/lanyu/members/who-saw/?who={leaker.pk}").status_code == page
    assert client.post(f"/b/lanyu/members/who-saw/?who={leaker.pk}").status_code == file
    assert client.post(f"/b/lanyu/members/who-saw/report/?who={leaker.pk}", {"text": "x"}).status_code == file


def test_lines_from_before_fields_were_kept_show_what_their_page_shows(ours, people):
    with brand_scope(ours.brand.pk):
        key = ApiKey.objects.get(pk=issue_api_key(label="POS", scopes=[], at=AT)[0].pk)
        AccessEntry.objects.create(
            member=people[0], actor_label="POS", via="api", page="api:tags/", at=AT, hour=AT.replace(minute=0)
        )

        assert told(a_looker(None, key=key.pk, label="POS")) == {people[0].pk: {"tags"}}
