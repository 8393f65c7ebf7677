"""Every table that leads to a person says what becomes of it; copies hold all of it, deletions leave nothing behind."""

import uuid
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import connection, models

from accounts.tenancy import BrandOwned
from loyalty.invariants import breaches
from loyalty.models import Journal
from members import services
from members.errors import ErasureHeld
from members.models import Follower, Identity, Member
from members.personal import Fate, PersonalTable, tables
from members.services import bind_phone, copy_of, erase_member, tag_members
from members.services.proof import is_intact
from tests.factories import AT, make_account, make_member, make_tag
from tests.loyalty.conftest import burn, earn

pytestmark = pytest.mark.django_db
NAMES = {"member_id", "follower_id", "openid", "unionid"}


def leads_to_a_person(model, known):
    for field in model._meta.concrete_fields:
        if field.attname in NAMES:
            return True
        if isinstance(field, models.ForeignKey) and field.remote_field.model._meta.label_lower in known:
            return True
    return False


def test_every_table_that_leads_to_a_person_is_registered():
    """Directly (a column), or because its rows belong to such a row."""
    ours = [model for model in apps.get_models() if issubclass(model, BrandOwned)]
    known = {key for key, _table in tables.items()}
    assert "members.member" in known
    missing = [
        model._meta.label for model in ours if model._meta.label_lower not in known and leads_to_a_person(model, known)
    ]
    assert missing == []
    assert [key for key in known if apps.get_model(key) not in ours] == []


def test_every_registered_value_exists_and_keys_are_not_among_them(in_brand):
    """A copy holds values a person can read; secrets of ours are no part of it."""
    person = make_member(make_account())
    document = copy_of(person, at=AT)
    assert document["member_no"] == person.member_no
    named = [(key, name) for key, table in tables.items() for name in table.fields]
    assert [each for each in named if each[1] in {"session_key", "phone_index", "dedupe_key", "public_id"}] == []


def test_table_that_keeps_rows_must_say_under_which_law():
    rows = dict(tables.items())["members.consent"].rows
    for wrong in (
        {"fate": Fate.KEPT},
        {"fate": Fate.DELETED, "law": "x"},
        {"fate": Fate.ANONYMOUS, "law": "x"},
        {"fate": Fate.KEPT, "law": "x", "blank": {"name": ""}},
    ):
        with pytest.raises(ValueError, match=r"members\.X"):
            PersonalTable("members.X", rows, (), **wrong)


CANARY = "鸾凤canary"
PHONE = "13911112222"


def holding(text):
    """Tables of the database in which a text stands, whichever column."""
    found = set()
    with connection.cursor() as cursor:
        for model in apps.get_models():
            if not issubclass(model, BrandOwned):
                continue
            table = model._meta.db_table
            cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s', [f"%{text}%"])
            if cursor.fetchone()[0]:
                found.add(table)
    return found


@pytest.fixture
def person(in_brand):
    """Somebody with canaries in every form, and a merged record with more of them."""
    member = make_member(make_account(), name=CANARY, city=f"{CANARY}市")
    Follower.objects.filter(member=member).update(unionid=f"u{CANARY}")
    bind_phone(member=member, number=PHONE, source="test", at=AT)
    tag_members(member_ids=[member.pk], tag_ids=[make_tag().pk], source=f"staff: {CANARY}", at=AT)
    services.give_consent(member=member, purpose="MARKETING", text_version="1", source="mini program", at=AT)
    Member.objects.create(
        public_id=uuid.uuid4(), member_no="m-old", name=f"{CANARY}旧", created_at=AT, merged_into=member
    )
    return Member.objects.get(pk=member.pk)


def test_copy_holds_every_form_in_which_a_person_is_known(person):
    text = str(copy_of(person, at=AT))

    assert CANARY in text
    assert f"{CANARY}旧" in text
    assert f"u{CANARY}" in text
    assert f"+86{PHONE}" in text
    assert person.followers.get().openid in text


def test_deletion_leaves_nothing_of_a_person_and_proves_it(person):
    openid = person.followers.get().openid
    other = make_member(make_account(name="第二个号"), name="别人")
    everybody = list(Member.objects.filter(pk=other.pk).values())
    assert holding(CANARY)
    assert holding(openid)

    proof = erase_member(member=person, reason="test", at=AT + timedelta(days=1))

    assert holding(CANARY) == set()
    assert holding(openid) == set()
    assert holding("139****2222") == set()
    assert not Identity.objects.filter(member=person).exists()
    lines = {line["table"]: line for line in proof["lines"]}
    assert (lines["members.Identity"]["fate"], lines["members.Identity"]["after"]) == ("DELETED", 0)
    assert (lines["members.Member"]["fate"], lines["members.Member"]["after"]) == ("ANONYMOUS", 2)
    assert lines["members.Consent"]["fate"] == "KEPT"
    assert "69" in lines["members.Consent"]["law"]["zh-hans"]
    assert is_intact(proof)
    proof["lines"][0]["before"] += 1
    assert not is_intact(proof)
    assert list(Member.objects.filter(pk=other.pk).values()) == everybody


def test_person_with_a_dispute_stays_until_it_is_settled(person):
    services.hold_member(member=person, reason="退款争议", by="x", at=AT)
    with pytest.raises(ErasureHeld, match="退款争议"):
        erase_member(member=person, reason="test", at=AT)
    assert Member.objects.get(pk=person.pk).name == CANARY

    services.end_hold(member=person, at=AT)
    erase_member(member=person, reason="test", at=AT)

    assert Member.objects.get(pk=person.pk).name == ""


def test_ledger_stays_balanced_with_an_owner_without_a_name(person):
    journal = earn(person, 50)
    burn(person, 20)

    proof = erase_member(member=person, reason="test", at=AT + timedelta(days=1))

    assert breaches() == []
    assert Journal.objects.filter(pk=journal.pk, member=person).exists()
    fates = {line["table"]: line["fate"] for line in proof["lines"] if line["table"].startswith("loyalty.")}
    assert fates.pop("loyalty.Journal") == "ANONYMOUS"  # but for their reasons
    assert set(fates.values()) == {"KEPT"}
