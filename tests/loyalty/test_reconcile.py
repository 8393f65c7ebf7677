"""Damage of many kinds, each done behind the product's back: each is found, and called by its name."""

from __future__ import annotations

from io import StringIO

import psycopg2
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.tenancy import brand_scope
from loyalty import services
from loyalty.invariants import INVARIANTS
from loyalty.models import Lot
from loyalty.services import Report
from members.services.identity import merge_members
from tests.factories import AT, make_account, make_member
from tests.loyalty.conftest import burn, earn, freeze, policy, reverse
from tests.loyalty.test_facts import rule

# What is done, and which invariants must say so (others may as well).
DAMAGE = {
    "missing leg": (
        "DELETE FROM loyalty_entry WHERE id = (SELECT min(id) FROM loyalty_entry)",
        "every journal sums to 0",
    ),
    "doubled leg": (
        (
            "INSERT INTO loyalty_entry (brand_id, journal_id, pocket, member_id, lot_id, points, at) "
            "SELECT brand_id, journal_id, pocket, member_id, lot_id, points, at FROM loyalty_entry ORDER BY id LIMIT 1"
        ),
        "every journal sums to 0",
    ),
    "all legs gone": (
        "DELETE FROM loyalty_entry WHERE journal_id = (SELECT min(id) FROM loyalty_journal)",
        "every journal has two legs",
    ),
    "journal gone": (
        "DELETE FROM loyalty_journal WHERE id = (SELECT min(id) FROM loyalty_journal)",
        "every leg has its journal",
    ),
    "leg off by one": (
        "UPDATE loyalty_entry SET points = points + 1 WHERE id = (SELECT min(id) FROM loyalty_entry)",
        "every journal sums to 0",
    ),
    "moved in time": (
        "UPDATE loyalty_journal SET at = at - interval '1 day'",
        "legs carry the moment of their journal",
    ),
    "lot off by one": (
        "UPDATE loyalty_lot SET remaining = remaining - 1 WHERE id = (SELECT min(id) FROM loyalty_lot WHERE remaining > 0)",
        "lots equal their legs",
    ),
    "lot of somebody else": (
        "UPDATE loyalty_lot SET member_id = (SELECT max(id) FROM members_member) WHERE id = (SELECT min(id) FROM loyalty_lot)",
        "nobody else has legs left in a lot",
    ),
    "lot gone": ("DELETE FROM loyalty_lot WHERE id = (SELECT min(id) FROM loyalty_lot)", "legs are of lots that exist"),
    "lot below 0": ("UPDATE loyalty_lot SET remaining = -5", "no lot below 0 or above what came"),
    "balance off by one": (
        "UPDATE loyalty_account SET available = available + 1 WHERE id = (SELECT min(id) FROM loyalty_account)",
        "balances equal lots",
    ),
    "balance gone": (
        "DELETE FROM loyalty_account WHERE id = (SELECT min(id) FROM loyalty_account)",
        "balances equal the ledger",
    ),
    "debt forgotten": ("UPDATE loyalty_account SET owed = 0 WHERE owed > 0", "what is owed equals the ledger"),
    "balance below 0": ("UPDATE loyalty_account SET available = -1", "no balance below 0"),
    "freeze ended by hand": ("UPDATE loyalty_hold SET state = 'RELEASED'", "freezes equal what is frozen"),
    "reversed twice": (
        "UPDATE loyalty_journal SET points = points + 1000 WHERE reverses_id IS NOT NULL",
        "no more reversed than happened",
    ),
    "journal says another number": (
        "UPDATE loyalty_journal SET points = points + 1 WHERE kind = 'BURN'",
        "journals say what their legs move",
    ),
    "lot made larger": (
        "UPDATE loyalty_lot SET granted = granted + 1",
        "points that were issued have a lot or paid a debt",
    ),
    "granted twice": (
        (
            "UPDATE loyalty_journal SET detail = (SELECT detail FROM loyalty_journal WHERE detail ? 'fact' LIMIT 1) "
            "WHERE kind = 'EARN'"
        ),
        "one grant for a fact and rule",
    ),
    "more refunded than paid": (
        "UPDATE loyalty_fact SET amount = 99999 WHERE kind = 'REFUND'",
        "no more refunded than paid",
    ),
    "points of a deleted person": (
        "UPDATE members_member SET erased_at = now() WHERE id = (SELECT min(member_id) FROM loyalty_lot WHERE remaining > 0)",
        "merged and deleted people have no points",
    ),
    "adjustment without entry": (
        "UPDATE loyalty_adjustment SET journal_id = NULL",
        "done adjustments have their journal",
    ),
}


@pytest.fixture
def history(brand):
    """A brand in which a bit of everything has happened."""
    with brand_scope(brand.pk):
        account = make_account()
        ann, ben, cid = (make_member(account) for _ in range(3))
        policy(negative="ALLOW")
        rule()
        report = Report("pos", "PURCHASE", "SO1", AT, member_id=ann.pk, amount=20_000)
        services.record_fact(report=report, at=AT)
        services.record_fact(report=Report("pos", "REFUND", "R1", AT, amount=5_000, refers="SO1"), at=AT)
        burn(ann, 20)
        freeze(ann, 30)
        granted = earn(ben, 50)
        burn(ben, 40)
        reverse(granted)
        earn(cid, 7)
        services.adjust_points(member_id=ann.pk, points=10, reason="补偿", at=AT)
        merge_members(kept=ann, merged=cid, evidence="t", at=AT)
    return brand


@pytest.mark.django_db(transaction=True)
def test_every_kind_of_damage_is_found_and_called_by_its_name(history):
    where = settings.DATABASES["owner"]
    owner = psycopg2.connect(
        dbname=connection.settings_dict["NAME"], host=where["HOST"], port=where["PORT"], user=where["USER"],
        password=where["PASSWORD"],
    )  # fmt: skip
    named, missed = set(), {}
    try:
        with owner.cursor() as cursor:
            cursor.execute("SELECT set_config('app.brand_id', %s, true)", [str(history.pk)])

            def findings():
                found = {}
                for name, statement in INVARIANTS.items():
                    cursor.execute(statement, {"brand": history.pk})
                    if rows := cursor.fetchall():
                        found[name] = rows
                return found

            assert findings() == {}
            for table in ("journal", "entry", "fact"):
                cursor.execute(f"ALTER TABLE loyalty_{table} DISABLE TRIGGER USER")
            for table, name in (("lot", "lot_is_whole"), ("account", "account_is_not_negative")):
                cursor.execute(f"ALTER TABLE loyalty_{table} DROP CONSTRAINT {name}")
            for name, (statement, invariant) in DAMAGE.items():
                cursor.execute("SAVEPOINT before")
                cursor.execute(statement)
                assert cursor.rowcount > 0, name
                found = set(findings())
                if invariant not in found:
                    missed[name] = found
                named.add(invariant)
                cursor.execute("ROLLBACK TO SAVEPOINT before")
        owner.rollback()
    finally:
        owner.close()
    assert missed == {}
    assert named == set(INVARIANTS)


def test_the_command_names_what_does_not_agree_and_ends_with_an_error(people):
    from accounts.models import Brand

    earn(people.ann, 10)
    slug = Brand.objects.get(pk=people.ann.brand_id).slug

    def said():
        out = StringIO()
        try:
            call_command("reconcile_points", brand=slug, stdout=out)
        except CommandError as error:
            return out.getvalue(), str(error)
        return out.getvalue(), ""

    assert said() == (f"{len(INVARIANTS)} invariants hold for the points of 澜屿\n", "")
    lot = Lot.objects.get()
    Lot.objects.update(remaining=9)
    text, error = said()
    assert f"lots equal their legs: row {lot.pk}: left 9, by the ledger 10" in text
    assert "balances equal lots" in text
    assert "findings in the points of 澜屿" in error
    Lot.objects.update(remaining=10)
    with pytest.raises(CommandError, match="there is no brand"):
        call_command("reconcile_points", brand="nowhere")
