"""Whatever shows people says so: each page and each answer that shows somebody's data is in the access log, with it.

Every person carries values that stand nowhere else, so an answer tells by itself whom it shows and what of them. A new
page, column or field that shows a person and does not write it down fails here, and so does a line that nobody saw.
"""

import re
from collections import defaultdict

import pytest

from accounts.tenancy import brand_scope
from console.formats import tail
from inbox.models import Conversation, Message
from members.models import AccessEntry, Follower, ListAccess, Member, ProfileValue
from members.opened import OWN
from members.services import bind_phone
from members.services.identity import masked_phone
from tests.factories import AT
from tests.isolation import surfaces
from tests.isolation.matrix import rest
from tests.isolation.matrix.console import BASE, rows_behind, words_of
from wechat_gateway.models import InboundPush

pytestmark = pytest.mark.timeout(300)
PHONE = "13812349876"
TEXT = (
    "<xml><ToUserName>gh_1</ToUserName><FromUserName>oX</FromUserName><CreateTime>1795000000</CreateTime>"
    "<MsgType>text</MsgType><Content>{}</Content><MsgId>9</MsgId></xml>"
)
#: Which fields are looked for; the others cannot be told from what else stands on a page.
TOLD = {"name", "number", "phone_masked", "phone", "birthday", "city", "profile", "words", "wechat"}
#: Answers to POST that show people, and what is posted.
POSTED = {
    "segments/preview/": {"rule": '{"all": []}'},
    "campaigns/<int:pk>/recipients/": {"recipient": "鲲"},
    "members/member/<path:object_id>/change/": {"act": "reveal", "text": "回访"},
}
ASKED = ("members/member/?q=鲲", "members/follower/?q=鲲", "search/?s=鲲", "inbox/rows/", "members/member/?p=2")
#: What a page need not show every time, and why: the thread alone belongs to a page that has shown the name; an entry of
#: the audit log names somebody, or gives their number.
AT_MOST = {r"inbox/\d+/poll/": {"name"}, "accounts/auditentry/": {"number"}}
API_POSTED = {"api/v1/segments/preview/": {"rule": {"all": []}}}


def stays(member):
    """The record that counts: a merged one is the same person."""
    return member.merged_into_id or member.pk


@pytest.fixture(scope="module")
def marked(matrix):
    """Give everybody of A values of their own: {text: (person, field)}."""
    a, marks = matrix.world.a, {}
    with brand_scope(a.brand.pk):
        for member in Member.objects.order_by("pk"):
            tail_ = f"{member.pk % 10_000:04d}"
            member.name, member.city = f"鲲{member.pk}鹏", f"城{member.pk}池"
            member.phone_masked = f"19{member.pk % 10}****{tail_}"
            member.save(update_fields=["name", "city", "phone_masked"])
            marks |= {
                member.name: (member.pk, "name"),
                member.city: (member.pk, "city"),
                member.phone_masked: (member.pk, "phone_masked"),
                member.member_no: (stays(member), "number"),
            }
        for follower in Follower.objects.all():
            marks[tail(follower.openid)] = (follower.member_id, "tail")  # of an OpenID: says who, and is none
        near = a.near[Member]
        Member.objects.filter(pk=near.pk).update(birth_mmdd=229)
        marks |= {"02-29": (near.pk, "birthday"), "2月29日": (near.pk, "birthday")}
        bind_phone(member=Member.objects.get(pk=near.pk), number=f"+86{PHONE}", source="API", at=AT)
        marks |= {f"+86{PHONE}": (near.pk, "phone"), masked_phone(f"+86{PHONE}"): (near.pk, "phone_masked")}
        for value in ProfileValue.objects.filter(sealed=None):
            ProfileValue.objects.filter(pk=value.pk).update(text=f"肤{value.member_id}质")
            marks[f"肤{value.member_id}质"] = (value.member_id, "profile")
        for row in Conversation.objects.select_related("follower"):
            said = f"话{row.follower.member_id}语"
            InboundPush.objects.filter(openid=row.follower.openid).update(body=TEXT.format(said), reason="")
            Conversation.objects.filter(pk=row.pk).update(last_text=said)
            Message.objects.filter(conversation=row).update(text=said, kind="text", attachment=None)
            marks[said] = (row.follower.member_id, "words")
    return marks


def shown_in(text, marks):
    """Whom a page shows, and which of their fields."""
    found = defaultdict(set)
    for mark, (person, field) in marks.items():
        if mark in text and re.search(rf"(?<![0-9A-Za-z]){re.escape(mark)}(?![0-9A-Za-z])", text):
            found[person].add(field)
    return dict(found)


def written_down(since):
    """Whom the access log says was shown, with which fields."""
    found = defaultdict(set)
    for person, fields in AccessEntry.objects.filter(pk__gt=since[0]).values_list("member_id", "fields"):
        found[person] |= set(fields)
    for people, fields in ListAccess.objects.filter(pk__gt=since[1]).values_list("people", "fields"):
        for person in people:
            found[person] |= {"profile" if field.startswith(OWN) else field for field in fields}
    return dict(found)


def newest():
    return [
        model.objects.order_by("-pk").values_list("pk", flat=True).first() or 0 for model in (AccessEntry, ListAccess)
    ]


def ask(matrix, who, method, path, data=None):
    """An answer with what was written down about it."""
    asker, noted = matrix.askers[who], []
    with brand_scope(matrix.world.a.brand.pk):
        since = newest()

    def look():
        with brand_scope(matrix.world.a.brand.pk):
            noted.append(written_down(since))

    asker.look = look
    heard = asker.ask(method, path, data)
    asker.look = None
    return heard, noted[0]


def faults(where, shown, noted, marks):
    """What an answer shows and the log does not say, and the other way round."""
    addressed = {person for mark, (person, field) in marks.items() if field == "number" and f"/{mark}/" in where}
    for person, fields in shown.items():
        if missing := fields - noted.get(person, set()) - {"tail"}:
            yield f"{where}: shows {sorted(missing)} of {person}, and writes nothing down"
    at_most = next((fields for part, fields in AT_MOST.items() if re.search(part, where)), set())
    has = defaultdict(set)
    for person, field in marks.values():
        has[person].add(field)
    for person, fields in noted.items():
        if person not in shown and person not in addressed:  # whoever asks by number knows whom
            yield f"{where}: {person} is written down and not shown"
        elif extra := (fields & TOLD & has[person]) - shown.get(person, set()) - at_most:
            yield f"{where}: {sorted(extra)} of {person} are written down and not shown"


def requests_of(matrix):
    near = matrix.world.a.near
    for address, _view in surfaces.console():
        if "<content_type_id>" in address.pieces:
            continue
        path = BASE + address.path(**(rows_behind(address, near) or {}), **words_of(address))
        yield "owner", "GET", path, None
        if address.name in POSTED:
            yield "owner", "POST", path, POSTED[address.name]
    for path in ASKED:
        yield "owner", "GET", BASE + path, None
    for address, _view in surfaces.outside():
        if address.name.startswith("api/v1/") and not address.name.startswith("api/v1/me/"):
            yield "key full", "GET", "/" + address.path(**rest.keys_of(address, near)), None
            if address.name in API_POSTED:
                yield "key full", "POST", "/" + address.path(), API_POSTED[address.name]


def test_whatever_shows_people_is_in_the_access_log(matrix, marked):
    found, seen = [], 0
    for who, method, path, data in requests_of(matrix):
        heard, noted = ask(matrix, who, method, path, data)
        if heard.status >= 300:
            found += [f"{who} {method} {path}: {heard.status}, and {noted} is written down"] * bool(noted)
            continue
        shown = shown_in(heard.text, marked)
        seen += bool(shown)
        found += faults(f"{who} {method} {path}", shown, noted, marked)

    assert found == [], "\n".join(found)
    assert seen > 45  # pages and answers that show somebody
