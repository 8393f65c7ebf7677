"""The REST API: every path and method for every kind of caller, and every field a caller can fill."""

import re
import uuid
from dataclasses import replace
from datetime import timedelta

from django.utils import timezone

from accounts.rest.scopes import SCOPES
from accounts.sealing import blind_index
from accounts.tenancy import brand_scope
from console.site import site
from coupons.codes import derive
from coupons.models import Coupon, Template
from guides.models import Guide
from guides.services import join_code
from loyalty.models import Fact, Tier
from members.models import (
    ConsentPurpose,
    ConsentText,
    Follower,
    Identity,
    Member,
    MiniProgramSession,
    ProfileField,
    Segment,
    SmsCode,
    Tag,
    Topic,
)
from members.picks import picks
from members.segments import conditions
from members.services import bind_phone
from referrals.models import Invitation
from stores.models import Store
from tests.isolation import surfaces
from tests.isolation.matrix.console import MARKS, THOROUGH, alive, compare_malformed, difference, same
from tests.isolation.world import MiniProgram, OfficialAccount
from touchpoints.models import Touchpoint

CALLERS = (
    ["key full", *(f"key {scope}" for scope in SCOPES), "member", "nobody"]
    if THOROUGH
    else ["key full", "key stores.read", "member"]
)
FACT = {"system": "pos", "kind": "VISIT", "number": "1", "happened_at": "2025-06-01T08:00:00+08:00"}
METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS")

# What a caller may write into each field. A text without a row behind it says so; the others name a row of a brand:
# (caller, method, path, body or query with "{}", what B's row is known by, the same of no row).
NO_ROW = {
    "LineBody.sku": "a product of the caller's own",
    "LineBody.category": "a category of the caller's own",
    "LineBody.amount": "a number",
    "FactBody.system": "the caller's own name",
    "FactBody.kind": "a choice",
    "FactBody.amount": "a number",
    "FactBody.lines": "objects of their own",
    "FactBody.ship_to": "an object of its own",
    "ShipTo.province": "a place of China",
    "ShipTo.city": "a place of China",
    "ShipTo.district": "a place of China",
    "ShipTo.address": "words that are read as a place of China and dropped",
    "PlacesQuery.days": "a number",
    "FactBody.name": "the name of an event",
    "FactBody.happened_at": "a moment",
    "OperationBody.key": "the caller's own key; keys are the brand's (tests/loyalty/test_ledger.py::test_a_key_of_another_brand_is_another_key)",
    "PointsBody.key": "the caller's own key",
    "PointsBody.points": "a number",
    "PointsBody.number": "the caller's own number",
    "PointsBody.reason": "the caller's own words",
    "PartBody.key": "the caller's own key",
    "PartBody.points": "a number",
    "PartBody.reason": "the caller's own words",
    "ReleaseBody.key": "the caller's own key",
    "GiftBody.key": "the caller's own key",
    "UseBody.key": "the caller's own key",
    "UseBody.number": "the order's number in the caller's system, text",
    "UseBody.amount": "an amount",
    "GiftBody.points": "a number",
    "CartQuery.amount": "a number",
    **{
        f"{body}Body.{name}": why
        for body in ("Take", "Entered", "Key", "Issue", "Order", "Hold", "Redeem", "Return", "Counter", "Push")
        for name, why in {
            "key": "the caller's own key",
            "order": "the caller's own number",
            "number": "the caller's own number",
            "reason": "the caller's own words",
            "cashier": "the caller's own words",
            "code": "a secret of one coupon; another brand's is unknown (tests/api/test_coupons.py::test_a_printed_code_is_a_coupon_once_however_it_is_typed)",
            "lines": "objects of their own",
            "amount": "a number",
            "minutes": "a number",
            "whole": "yes or no",
            "scanned_at": "a moment",
        }.items()
    },
    "CartLineBody.sku": "a product of the caller's own",
    "CartLineBody.category": "a category of the caller's own",
    "CartLineBody.amount": "a number",
    "CartLineBody.quantity": "a number",
    "CartBody.lines": "objects of their own",
    "MediaQuery.kind": "a choice",
    "MediaQuery.archived": "yes or no",
    "MediaBody.kind": "a choice",
    "MediaBody.name": "the caller's own name",
    "MediaBody.description": "the caller's own words",
    "MediaBody.content": "the caller's own file",
    "InvitedBody.device": "an id of the caller's own; its fingerprint is the brand's (tests/accounts/test_sealing.py::test_same_phone_has_another_fingerprint_in_another_brand)",
    "SignBody.kind": "a choice",
    "SignBody.value": "an id of the caller's own; its fingerprint is the brand's (tests/accounts/test_sealing.py::test_same_phone_has_another_fingerprint_in_another_brand)",
    "TierCouponBody.period": "a choice",
    "TierCouponBody.is_on": "yes or no",
    "ImportBody.file": "the caller's own table",
    "ImportBody.kind": "a choice",
    "ImportBody.columns": "titles of the caller's own table; fields of the brand (tests/imports/test_pages.py::test_columns_that_do_not_fit_are_refused_by_title_and_nothing_is_taken)",
    "ImportBody.create_tags": "yes or no",
    "ImportBody.overwrite": "yes or no",
    "ImportBody.source": "the caller's own words",
    "ImportBody.system": "the caller's own name",
    "ImportBody.give_points": "yes or no",
    "ImportBody.start": "yes or no",
    "ErrorQuery.after": "a number",
    "ExportBody.search": "words that find people of the brand (tests/imports/test_export_api.py::test_a_list_is_narrowed_by_segment_and_search)",
    "ExportBody.format": "a choice",
    "OpeningBody.opening": "a random id of the caller's own",
    "ContactBody.corp": "who issued the id, in the caller's own words",
    "ContactBody.external_userid": "an id of WeCom; who has it in another brand is somebody else here (tests/api/test_contacts.py::test_contact_is_a_person_with_a_touch_and_a_guide)",
    "ContactBody.at": "a moment",
    "NearbyQuery.lat": "a position",
    "ChannelQuery.archived": "yes or no",
    "ReportQuery.days": "a number",
    "ReportQuery.model": "a choice",
    "NearbyQuery.lng": "a position",
    "NearbyQuery.open": "yes or no",
    "NearbyQuery.limit": "a number",
    "PageAddress.url": "the address of a web page",
    "ProfileChange.name": "one's own name",
    "ProfileChange.birthday": "one's own birthday",
    "ProfileChange.city": "one's own city",
    "FlagBody.flag": "a choice",
    "FlagBody.on": "yes or no",
    "FlagBody.since": "a moment",
    "FlagBody.until": "a moment",
    "FlagBody.reason": "the caller's own words",
    "EndBody.kind": "a choice",
    "EndBody.issuer": "who gave it, in the caller's own words",
    "IdentityBody.kind": "a choice",
    "IdentityBody.issuer": "who gave it, in the caller's own words",
    "IdentityBody.since": "a moment",
    "SaidBody.value": "a value of one's own",
    "OwnSayingBody.values": "objects of their own",
    "SayingBody.values": "objects of their own",
    "SayingBody.source": "a choice",
    "SayingBody.said_at": "a moment",
    "ScannedMemberCode.key": "the caller's own key",
    "ScannedMemberCode.scanned_at": "a moment",
    "ConsentText.text_version": "a version",
    "ConsentText.purposes": "a choice",
    "ChoiceChange.wanted": "yes or no",
    "HoursChange.begins": "a time of day",
    "HoursChange.ends": "a time of day",
    "PreferenceChange.topics": "objects of their own",
    "PreferenceChange.carriers": "objects of their own",
    "PreferenceChange.quiet_hours": "an object of its own",
    "PreferenceChange.personalised": "yes or no",
    "Asking.kind": "a choice",
    "Asking.words": "one's own words",
    "Statement.granted": "yes or no",
    "Statement.text_version": "a version",
    "ProfileQuery.profile": "as of PeopleQuery, the same reader (tests/api/test_profile.py::test_lists_show_the_fields_that_are_asked_for_and_nothing_sealed)",
    "PeopleQuery.joined_since": "a moment",
    "PeopleQuery.interacted_since": "a moment",
    "PhoneBinding.code": "WeChat's code; it names a person only to WeChat",
    "PhoneBinding.consent": "an object of its own",
    "SmsBinding.consent": "an object of its own",
    "CounterJoin.name": "the person's own name",
    "CounterJoin.consent": "an object of its own",
    "CounterConsent.text_version": "a version",
    "LogIn.code": "WeChat's code",
    "WhyQuery.at": "a moment",
    "EffectQuery.goal": "a choice",
    "EffectQuery.days": "a number",
    "EffectQuery.everybody": "yes or no",
    "Rule.rule": "asked below, condition by condition",
}


PHONE, DIGITS, THEIR_DIGITS = "13700137000", "048213", "560071"
THEIR_PHONE = "13600136000"  # of a member of B


def code_for(furnished, digits):
    """A message with a code has reached whoever holds the brand's session: only what is asked can be refused."""
    brand, at = furnished.brand.pk, timezone.now()
    session = furnished.near[MiniProgramSession].public_id
    with brand_scope(brand):
        row = SmsCode(
            phone_index=blind_index(brand, "phone", f"+86{PHONE}"),
            asker=f"session:{session.hex}",
            state="SENT",
            asked_at=at,
            expires_at=at + timedelta(days=1),
        )
        row.digest = blind_index(brand, "sms code", f"{row.public_id}:{digits}")
        row.save()


def shown_by(furnished):
    """What the phone of a guide of the brand shows, and the like that nobody's shows."""
    with brand_scope(furnished.brand.pk):
        guide = furnished.far[Guide]
        code = join_code(guide=guide, at=timezone.now()).code
    return code, f"{code.removesuffix(str(guide.pk))}{guide.pk + 1_000_000_000}"


def rows(world):
    code_for(world.a, DIGITS)
    code_for(world.b, THEIR_DIGITS)
    with brand_scope(world.b.brand.pk):
        bind_phone(member=world.b.far[Member], number=THEIR_PHONE, source="t", at=timezone.now())
    phone, digits = (THEIR_PHONE, "13600136009"), (THEIR_DIGITS, "560072")
    shown, guide = shown_by(world.b), (world.b.far[Guide].staff_no, "60000000A")
    counter = {"phone": PHONE, "guide": "{}", "code": DIGITS}
    counter |= {"consent": {"text_version": world.a.near[ConsentText].version, "purposes": ["SERVICE"]}}
    here, purpose = {"guide": world.a.near[Guide].staff_no}, (world.b.far[ConsentPurpose].code, "P0002A")
    own_field = (world.b.far[ProfileField].key, "skin0002A")
    far, person = world.b.far, f"members/{world.a.near[Member].member_no}/tags/"
    theirs, nobody = str(far[Template].public_id), str(uuid.UUID(int=7))
    edges, theirs_card = f"members/{world.a.near[Member].member_no}/identities/", far[Identity].value
    coupon, line = f"coupons/{world.a.near[Coupon].public_id}", {"sku": "a", "amount": 900}
    order, store = {"key": "k", "order": "SO1", "lines": [line], "store": "{}"}, (far[Store].code, "SH001A")
    return {
        "TakeBody.template": ("member", "POST", "me/coupons/claim/", {"key": "k", "template": "{}"}, theirs, nobody),
        "IssueBody.template": (
            "key full",
            "POST",
            f"members/{world.a.near[Member].member_no}/coupons/issue/",
            {"key": "k", "template": "{}"},
            theirs,
            nobody,
        ),
        "PushBody.template": (
            "key full",
            "POST",
            "coupons/pushes/",
            {"key": "k", "template": "{}", "segment": world.a.near[Segment].pk, "reason": "春季回馈"},
            theirs,
            nobody,
        ),
        "PushBody.segment": (
            "key full",
            "POST",
            "coupons/pushes/",
            {"key": "k", "template": str(world.a.near[Template].public_id), "segment": "{}", "reason": "春季回馈"},
            far[Segment].pk,
            9_007_199_254_740_991,
        ),
        "TierCouponBody.template": (
            "key full",
            "POST",
            "coupons/tiers/",
            {"tier": world.a.near[Tier].name, "template": "{}", "period": "MONTH"},
            theirs,
            nobody,
        ),
        "TierCouponBody.tier": (
            "key full",
            "POST",
            "coupons/tiers/",
            {"tier": "{}", "template": str(world.a.near[Template].public_id), "period": "MONTH"},
            far[Tier].name,
            "没有这一级",
        ),
        "ExportBody.segment": (
            "key full",
            "POST",
            "exports/",
            {"segment": "{}"},
            far[Segment].pk,
            9_007_199_254_740_991,
        ),
        "PlanQuery.segment": (
            "key full",
            "GET",
            "coupons/pushes/plan/",
            {"template": str(world.a.near[Template].public_id), "segment": "{}"},
            str(far[Segment].pk),
            "9007199254740991",
        ),
        "PlanQuery.template": (
            "key full",
            "GET",
            "coupons/pushes/plan/",
            {"template": "{}", "segment": str(world.a.near[Segment].pk)},
            theirs,
            nobody,
        ),
        "CartBody.store": ("member", "POST", "me/coupons/check/", {"lines": [line], "store": "{}"}, *store),
        "CartBody.chosen": (
            "member",
            "POST",
            "me/coupons/check/",
            {"lines": [line], "chosen": ["{}"]},
            str(far[Coupon].public_id),
            nobody,
        ),
        "HoldBody.store": ("key full", "POST", f"{coupon}/hold/", order, *store),
        "RedeemBody.store": ("key full", "POST", f"{coupon}/redeem/", order, *store),
        "CounterBody.store": (
            "key full",
            "POST",
            "coupons/counter/",
            {"key": "k", "code": "AAAAAAAAAAAA", "store": "{}"},
            *store,
        ),
        "InvitedBody.code": (
            "member",
            "POST",
            "me/invited-by/",
            {"code": "{}"},
            far[Invitation].code,
            derive(b"nobody", 1),
        ),
        "PhoneBinding.join_code": ("member", "POST", "me/phone/", {"code": "x", "join_code": "{}"}, *shown),
        "SmsBinding.join_code": (
            "member",
            "POST",
            "me/phone/sms/",
            {"phone": PHONE, "code": DIGITS, "join_code": "{}"},
            *shown,
        ),
        "PhoneBody.phone": ("member", "POST", "me/phone/codes/", {"phone": "{}"}, *phone),
        "SmsBinding.phone": ("member", "POST", "me/phone/sms/", {"phone": "{}", "code": DIGITS}, *phone),
        "SmsBinding.code": ("member", "POST", "me/phone/sms/", {"phone": PHONE, "code": "{}"}, *digits),
        "CounterPhone.phone": (
            "key full",
            "POST",
            "counter/joins/codes/",
            {"phone": "{}", "guide": world.a.near[Guide].staff_no},
            *phone,
        ),
        "CounterJoin.phone": ("key full", "POST", "counter/joins/", counter | here | {"phone": "{}"}, *phone),
        "CounterJoin.code": ("key full", "POST", "counter/joins/", counter | here | {"code": "{}"}, *digits),
        "CounterConsent.purposes": (
            "key full",
            "POST",
            "counter/joins/",
            counter | here | {"consent": {"text_version": "2026-11", "purposes": ["{}"]}},
            *purpose,
        ),
        "Statement.purpose": (
            "member",
            "POST",
            "me/consents/",
            {"purpose": "{}", "granted": True, "text_version": "2026-11"},
            *purpose,
        ),
        "ChoiceChange.code": (
            "member",
            "PATCH",
            "me/preferences/",
            {"topics": [{"code": "{}", "wanted": True}]},
            far[Topic].code,
            "t0002A",
        ),
        "SaidBody.key": (
            "member",
            "PATCH",
            "me/profile/",
            {"values": [{"key": "{}", "value": "干性"}]},
            *own_field,
        ),
        "PeopleQuery.profile": ("key full", "GET", "members/", {"profile": "{}"}, *own_field),
        "ExportBody.profile": ("key full", "POST", "exports/", {"profile": ["{}"]}, *own_field),
        "FactBody.number": (
            "key full",
            "POST",
            "facts/",
            FACT | {"number": "{}", "member_no": world.a.near[Member].member_no},
            far[Fact].number,
            "0002A",
        ),
        "ContactBody.unionid": (
            "key full",
            "POST",
            "guides/contacts/",
            {"staff_no": world.a.near[Guide].staff_no, "corp": "ww1", "external_userid": "wm1", "unionid": "{}"},
            far[Follower].unionid,
            f"{far[Follower].unionid[:-1]}A",
        ),
        "GuideBody.guide": ("key full", "GET", "counter/joins/shown/", {"guide": "{}"}, *guide),
        "CounterPhone.guide": (
            "key full",
            "POST",
            "counter/joins/codes/",
            {"phone": PHONE, "guide": "{}"},
            *guide,
        ),
        "CounterJoin.guide": ("key full", "POST", "counter/joins/", counter, *guide),
        "StoreQuery.city": ("key full", "GET", "stores/", {"city": "{}"}, far[Store].city, "没有的城市"),
        "PeopleQuery.member_no": (
            "key full",
            "GET",
            "members/",
            {"member_no": "{}"},
            far[Member].member_no,
            "60000000A",
        ),
        "PeopleQuery.phone": ("key full", "GET", "members/", {"phone": "{}"}, "13800138000", "13800138009"),
        "PeopleQuery.tag": ("key full", "GET", "members/", {"tag": "{}"}, far[Tag].name, "没有的标签"),
        "WhyQuery.member_no": (
            "key full",
            "GET",
            f"segments/{world.a.near[Segment].pk}/why/",
            {"member_no": "{}"},
            far[Member].member_no,
            "60000000A",
        ),
        "TagChange.add": ("key full", "POST", person, {"add": ["{}"]}, far[Tag].name, "新客0002A"),
        "TagChange.remove": ("key full", "POST", person, {"remove": ["{}"]}, far[Tag].name, "新客0002A"),
        "IdentityBody.value": ("key full", "POST", edges, {"kind": "CARD", "value": "{}"}, theirs_card, "0002A"),
        "ContactBody.staff_no": (
            "key full",
            "POST",
            "guides/contacts/",
            {"staff_no": "{}", "corp": "ww1", "external_userid": "wm1"},
            far[Guide].staff_no,
            "60000000A",
        ),
        "ContactBody.channel": (
            "key full",
            "POST",
            "guides/contacts/",
            {"staff_no": world.a.near[Guide].staff_no, "corp": "ww1", "external_userid": "wm1", "channel": "{}"},
            far[Touchpoint].pk,
            9_007_199_254_740_991,
        ),
        "EndBody.value": ("key full", "POST", f"{edges}end/", {"kind": "CARD", "value": "{}"}, theirs_card, "0002A"),
        "FactBody.member_no": (
            "key full",
            "POST",
            "facts/",
            FACT | {"member_no": "{}"},
            far[Member].member_no,
            "60000000A",
        ),
        "FactBody.store": (
            "key full",
            "POST",
            "facts/",
            FACT | {"member_no": world.a.near[Member].member_no, "store": "{}"},
            far[Store].code,
            "SH001A",
        ),
        "FactBody.refers": (
            "key full",
            "POST",
            "facts/",
            FACT | {"kind": "REFUND", "amount": 1, "refers": "{}"},
            far[Fact].number,
            "0002A",
        ),
        "ScannedMemberCode.code": (
            "key full",
            "POST",
            "counter/codes/",
            {"key": "scan", "code": "{}"},
            f"0000000000{far[Member].member_no}",
            "000000000060000000A",
        ),
        "GiftBody.to": (
            "member",
            "POST",
            "me/points/gifts/",
            {"key": "gift", "to": "{}", "points": 1},
            far[Member].member_no,
            "60000000A",
        ),
        "PageAddress.appid": (
            "key full",
            "POST",
            "js-config/",
            {"appid": "{}", "url": "https://lanyu.example.com/"},
            far[OfficialAccount].appid,
            "wxfffffffffffffffe",
        ),
        "LogIn.appid": (
            "nobody",
            "POST",
            "session/",
            {"appid": "{}", "code": "x"},
            # a session opens the brand of the AppID: that is what it is for; an unknown code opens nothing
            "wxffffffffffffffff",
            "wxfffffffffffffffe",
        ),
    }


# What is free in A though B has it, and how that is answered.
ACCEPTED = {
    "PhoneBody.phone": 202,
    "CounterPhone.phone": 202,
    "FactBody.number": 201,
    "ContactBody.unionid": 200,
    "IdentityBody.value": 200,
}
NEW_PERSON = re.compile(r'"member_no":"\d+","is_new":true')  # whose number is drawn


def filled(template, value):
    if isinstance(template, dict):
        return {name: filled(each, value) for name, each in template.items()}
    if isinstance(template, list):
        return [filled(each, value) for each in template]
    return value if template == "{}" else template


def inputs(matrix, cells):
    """Every field of every body and query: a value of B's is answered like one of nobody's."""
    world, declared = matrix.world, rows(matrix.world)
    for name in surfaces.input_fields():
        if name in NO_ROW:
            cells.skip(f"names no row: {NO_ROW[name]}")
        elif name not in declared:
            cells.undeclare(f"serializer field {name}")
    # A process reads a brand's key once; without this the first of two equal searches would ask once more.
    matrix.askers["key full"].ask("GET", "/api/v1/members/", {"phone": "13800138009"})
    for name, (caller, method, path, template, theirs, nobody) in declared.items():
        compare(cells, matrix.askers[caller], method, path, template, theirs, nobody, name)
    for name in surfaces.related_fields():
        cells.undeclare(f"{name} looks rows up by itself")
    for prefix in ("/api/v1/", "/b/lanyu/"):
        ask_conditions(cells, world, matrix.askers["key full" if "api" in prefix else "owner"], prefix)
    for path in ("stores/", "members/", "tags/", "segments/", "campaigns/", "channels/"):
        cursor_of_another_brand(cells, matrix, path)


def compare(cells, asker, method, path, template, theirs, nobody, name):
    answers = []
    for value in (theirs, nobody):
        heard = asker.ask(method, f"/api/v1/{path}", filled(template, value))
        shown = heard.without(value).names(*MARKS)
        cells.expect(not shown and alive(heard), asker.name, method, path, name, saw=f"{heard.status} {shown}")
        cells.expect(heard.status == ACCEPTED.get(name, heard.status), method, path, name, "accepted", saw=heard.status)
        answers.append(replace(heard, text=NEW_PERSON.sub("new", heard.text)).without(value))
    cells.expect(same(*answers), asker.name, method, path, f"{name} of B", saw=difference(*answers))


def ask_conditions(cells, world, asker, prefix):
    """Every condition of a rule that names rows, with rows of B and with none."""
    for key, condition in conditions.items():
        params = {
            each.name: each.choices[0][0] if each.choices else {"number": 30, "words": ["上海"]}.get(each.kind, [])
            for each in condition.fields
        }
        for each in condition.fields:
            if each.kind in {"choice", "number", "words"}:
                continue
            if each.kind not in picks:
                cells.undeclare(f"condition {key} picks {each.kind}")
                continue
            theirs = world.b.near[picks.get(each.kind).model].pk
            answers = []
            for value in (theirs, 8_999_999):
                rule = {"all": [{"condition": key, "params": params | {each.name: [value]}}]}
                if "api" in prefix:
                    heard = asker.ask("POST", f"{prefix}segments/preview/", {"rule": rule})
                else:
                    from orjson import dumps

                    heard = asker.ask("POST", f"{prefix}segments/preview/", {"rule": dumps(rule).decode()})
                cells.expect(not heard.names(*MARKS), asker.name, "segments/preview/", key, saw=heard.names(*MARKS))
                answers.append(heard.without(value))
            cells.expect(
                same(*answers), asker.name, f"{prefix}segments/preview/", f"{key} of B", saw=difference(*answers)
            )
    for rule in ({"all": []}, {"none": []}):
        body = {"rule": rule} if "api" in prefix else {"rule": str(rule).replace("'", '"')}
        heard = asker.ask("POST", f"{prefix}segments/preview/", body)
        cells.expect(alive(heard) and not heard.names(*MARKS), asker.name, prefix, "everybody", saw=heard.text)
        if "api" in prefix and heard.status == 200:
            count = asker.last.json()["count"]
            cells.expect(count == people_of(world.a), asker.name, "segments/preview/", "count", saw=count)


def people_of(furnished):
    with brand_scope(furnished.brand.pk):
        return Member.objects.filter(brand_id=furnished.brand.pk, merged_into__isnull=True).count()


def cursor_of_another_brand(cells, matrix, path):
    """A cursor made in B is as unknown in A as one that nobody has made."""
    theirs = matrix.foreign_key_holder
    theirs.ask("GET", f"/api/v1/{path}", {"page_size": "1"})
    cursor = theirs.last.json()["next"]
    cells.expect(bool(cursor), "B", path, "has a second page", saw=theirs.last.status_code)
    if cursor:
        made_up = cursor[:-6] + ("AAAAAA" if not cursor.endswith("AAAAAA") else "BBBBBB")
        answers = [
            matrix.askers["key full"].ask("GET", f"/api/v1/{path}", {"cursor": each}).without(each)
            for each in (cursor, made_up)
        ]
        cells.expect(same(*answers) and answers[0].status == 422, path, "cursor of B", saw=difference(*answers))


def paths(matrix, cells, only=""):
    """Every path and method: own rows, rows of B, rows that do not exist."""
    world = matrix.world
    for address, _view in surfaces.outside():
        if not address.name.startswith("api/") or only not in address.name:
            continue
        own = keys_of(address, world.a.near)
        if own is None:
            cells.undeclare(address.name)
            continue
        for caller in CALLERS:
            ask_path(cells, matrix.askers[caller], address, own, keys_of(address, world.b.far))


def keys_of(address, side):
    values = {}
    for parameter in address.parameters:
        if parameter not in surfaces.REST_PARAMETERS:
            return None
        model, column = surfaces.REST_PARAMETERS[parameter]
        values[parameter] = getattr(side[model], column)
    return values


def like(value):
    """A key in the same form that nobody has."""
    if isinstance(value, int):
        return value + 1_000_000_000
    return uuid.uuid4() if isinstance(value, uuid.UUID) else f"{value[:-1]}Q"


def ask_path(cells, asker, address, own, theirs):
    for method in METHODS if asker.name in {"key full", "member"} else METHODS[:2]:
        heard = asker.ask(method, f"/{address.path(**own)}")
        shown = heard.names(*MARKS)
        cells.expect(not shown and alive(heard), asker.name, method, address.name, "own", saw=f"{heard.status} {shown}")
        if not own:
            continue
        nobody = {name: like(value) for name, value in theirs.items()}
        answers = []
        for values in (theirs, nobody):
            heard = asker.ask(method, f"/{address.path(**values)}")
            answers.append(heard.without(*values.values()))
        cells.expect(same(*answers), asker.name, method, address.name, "row of B", saw=difference(*answers))
        cells.expect(answers[0].status != 200, asker.name, method, address.name, "row of B", saw=answers[0].status)


def malformed(matrix, cells):
    """Every part of a path that names a row, with ids that cannot be any."""
    for address, _view in surfaces.outside():
        own = keys_of(address, matrix.world.a.near) if address.name.startswith("api/") else None
        for parameter in own or ():
            for method in METHODS[:3]:

                def ask(value, address=address, own=own, parameter=parameter, method=method):
                    return matrix.askers["key full"].ask(method, f"/{address.path(**own | {parameter: value})}")

                def elsewhere(method=method):
                    return matrix.askers["key full"].ask(method, "/api/v1/nothing/like/this/")

                compare_malformed(cells, ask, elsewhere, address, method, parameter, like(own[parameter]))


def outside(matrix, cells):
    """What lies outside brands: health, sign-in, choice of brands, the platform's pages."""
    for address, _view in surfaces.outside():
        if address.name.startswith("api/"):
            continue
        path = "/" + address.path(**{name: "accounts" if name == "app_label" else "1" for name in address.parameters})
        for name in ("nobody", "owner", "key full"):
            for method in ("GET", "POST"):
                heard = matrix.askers[name].ask(method, path)
                shown = heard.names(*MARKS)
                fine = alive(heard) or address.name == "readyz"  # which may say that migrations are waiting
                cells.expect(not shown and fine, name, method, address.name, saw=f"{heard.status} {shown}")
        # Whoever works for two brands may see the names of both, and nothing of a third.
        heard = matrix.askers["agency"].ask("GET", path)
        cells.expect(not heard.names(*MARKS[::2]), "agency", "GET", address.name, saw=heard.names(*MARKS[::2]))
    for method in ("GET", "POST"):
        answers = [
            matrix.askers["owner"].ask(method, f"/b/{slug}/").without(slug) for slug in ("zaoshan", "nobody", "yunqi")
        ]
        cells.expect(
            len(set(answers)) == 1 and answers[0].status == 404, "owner", method, "/b/<another>/", saw=answers[0]
        )
    cells.facts["console models"] = len(site._registry)
    assert Segment in surfaces.PREFIXES.values()
    assert MiniProgram


PARTS = {"paths": paths, "inputs": inputs, "malformed ids": malformed, "outside": outside}
